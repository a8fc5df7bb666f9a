//! The files of `tls`: read when the configuration is built, and again when they change.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use chain::Setup;
use corefile::{Diagnostic, Diagnostics, Token};
use files::versions::Stamp;
use files::watch::PollSchedule;
use net::tls::{
    Certificate, Chain, ClientAuth, Clients, Credentials, Identity, MAX_PEM, Material, TicketKeys,
    Trust,
};
use telemetry::metrics::{self, Counter, SHARED, Sample, Type, Value};

use super::config::Config;

/// The largest file of ticket keys.
const MAX_KEYS: u64 = 64 << 10;
/// Time between two checks of the files, beside the system's notifications.
const EVERY: Duration = Duration::from_secs(10);

/// A file of the directive.
#[derive(Clone)]
struct File {
    token: Token,
    path: PathBuf,
}

/// What is wrong with a file.
pub(super) struct Problem {
    file: Token,
    path: PathBuf,
    what: String,
}

/// All files of one directive.
pub(super) struct Source {
    pairs: Vec<(File, File)>,
    authorities: Option<File>,
    client_auth: ClientAuth,
    ticket_keys: Option<File>,
}

/// The versions of some files.
type Stamps = Vec<Option<Stamp>>;

/// Credentials that survive a reload, and the versions of the files that were last read or tried.
pub(super) struct Read {
    pub(super) credentials: Arc<Credentials>,
    seen: Mutex<Stamps>,
    /// The files of the certificates.
    shown: Vec<String>,
}

/// All credentials that are in use.
static IN_USE: Mutex<Vec<Weak<Read>>> = Mutex::new(Vec::new());

impl Read {
    /// Shows when its certificates expire, while it is in use.
    pub(super) fn show(self: &Arc<Self>) {
        let mut all = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|one| one.strong_count() > 0 && !std::ptr::eq(one.as_ptr(), Arc::as_ptr(self)));
        all.push(Arc::downgrade(self));
        drop(all);
        metrics::source(
            "catena_tls_certificate_expiry_timestamp_seconds",
            "Unix time at which the certificate in this file expires.",
            &["file"],
            Type::Gauge,
            expiries,
        );
    }
}

fn expiries(samples: &mut Vec<Sample>) {
    let all = IN_USE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut found = BTreeMap::new();
    for read in all.iter().filter_map(Weak::upgrade) {
        let material = read.credentials.material();
        let ends = material.certificates.iter().map(Certificate::not_after);
        found.extend(read.shown.iter().cloned().zip(ends));
    }
    let sample = |(file, end)| Sample { labels: vec![file], value: Value::Gauge(end as f64) };
    samples.extend(found.into_iter().map(sample));
}

impl File {
    fn wrong(&self, what: impl ToString) -> Problem {
        Problem { file: self.token.clone(), path: self.path.clone(), what: what.to_string() }
    }

    fn read(&self) -> Result<Vec<u8>, Problem> {
        files::read(&self.path, MAX_PEM).map_err(|error| self.wrong(error))
    }
}

impl Problem {
    /// The diagnostic at the word that names the file.
    fn diagnostic(self) -> Diagnostic {
        let path = self.path.display();
        Diagnostic::error(self.file.span, format!("cannot use `{path}`: {}", self.what))
            .label("needed for TLS")
            .help("name PEM files that belong together: `tls CERT KEY [CA]`")
    }
}

impl Source {
    pub(super) fn new(config: &Config, setup: &Setup<'_>) -> Self {
        let file = |token: &Token| File { token: token.clone(), path: setup.path(token) };
        let pair = |(certificate, key): &(Token, Token)| (file(certificate), file(key));
        Self {
            pairs: config.pairs.iter().map(pair).collect(),
            authorities: config.authorities.as_ref().map(file),
            client_auth: config.client_auth,
            ticket_keys: config.ticket_keys.as_ref().map(file),
        }
    }

    fn files(&self) -> impl Iterator<Item = &File> {
        let pairs = self.pairs.iter().flat_map(|(certificate, key)| [certificate, key]);
        pairs.chain(&self.authorities).chain(&self.ticket_keys)
    }

    /// The paths of all files.
    pub(super) fn paths(&self) -> impl Iterator<Item = &std::path::Path> {
        self.files().map(|file| file.path.as_path())
    }

    fn stamps(&self) -> Stamps {
        self.paths().map(|path| Stamp::of(path).ok()).collect()
    }

    /// Reads all files for the first time.
    ///
    /// # Errors
    /// Each that cannot be used.
    pub(super) fn open(
        &self,
        key_log: Option<Arc<dyn rustls::KeyLog>>,
    ) -> Result<Read, Diagnostics> {
        let seen = Mutex::new(self.stamps());
        let material = self.read()?;
        let tickets = match self.ticket_text().map_err(Problem::diagnostic)? {
            None => TicketKeys::random(),
            Some(text) => TicketKeys::from_text(&text),
        };
        let tickets = tickets.map_err(|what| self.wrong_keys(&what))?;
        let credentials = Arc::new(Credentials::new(material, tickets, key_log));
        let shown = self.pairs.iter().map(|(file, _)| file.path.display().to_string()).collect();
        Ok(Read { credentials, seen, shown })
    }

    /// Reads the certificates and authorities.
    ///
    /// # Errors
    /// Each that cannot be used.
    fn read(&self) -> Result<Material, Diagnostics> {
        let mut problems = Diagnostics::default();
        let mut certificates = Vec::new();
        for pair in &self.pairs {
            match certificate(pair) {
                Ok(certificate) => certificates.push(certificate),
                Err(problem) => problems.push(problem.diagnostic()),
            }
        }
        match self.clients() {
            Ok(clients) if !problems.has_errors() => return Ok(Material { certificates, clients }),
            Ok(_) => {}
            Err(problem) => problems.push(problem.diagnostic()),
        }
        Err(problems)
    }

    fn clients(&self) -> Result<Clients, Problem> {
        let Some(file) = &self.authorities else {
            // As in CoreDNS the system's authorities count where none are named.
            let trust = match self.client_auth {
                ClientAuth::VerifyIfGiven | ClientAuth::RequireAndVerify => Trust::system(),
                ClientAuth::None | ClientAuth::Request | ClientAuth::Require => Trust::none(),
            };
            let (first, _) = &self.pairs[0];
            return Clients::new(self.client_auth, &trust).map_err(|why| {
                first.wrong(format!("clients cannot be verified without a CA: {why}"))
            });
        };
        let trust = Trust::from_pem(&file.read()?).map_err(|why| file.wrong(why))?;
        Clients::new(self.client_auth, &trust).map_err(|why| file.wrong(why))
    }

    /// The diagnostic for what is wrong with the ticket keys.
    fn wrong_keys(&self, what: &str) -> Diagnostic {
        let file = self.ticket_keys.as_ref().unwrap_or(&self.pairs[0].0);
        let path = file.path.display();
        Diagnostic::error(file.token.span, format!("cannot use `{path}`: {what}"))
            .label("the keys of session tickets")
            .help("write one key a line, as `openssl rand -base64 48` makes them")
    }

    fn ticket_text(&self) -> Result<Option<String>, Problem> {
        let read =
            |file: &File| files::read_text(&file.path, MAX_KEYS).map_err(|error| file.wrong(error));
        self.ticket_keys.as_ref().map(read).transpose()
    }

    /// Reads the files again if one has changed. Files with a mistake change nothing.
    fn renew(&self, read: &Read, failures: &Counter) {
        let now = self.stamps();
        let mut seen = read.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if now == *seen {
            return;
        }
        *seen = now;
        let credentials = &read.credentials;
        let failed = |what: &dyn std::fmt::Display| {
            failures.inc(SHARED);
            telemetry::error!("plugin/tls: {what}: what was read before stays in use");
        };
        match self.read() {
            Ok(material) => {
                credentials.replace(material);
                let (first, _) = &self.pairs[0];
                telemetry::info!(
                    "plugin/tls: {}: the certificate is replaced",
                    first.path.display()
                );
            }
            Err(problems) => {
                problems.in_order().into_iter().for_each(|problem| failed(&problem.message));
            }
        }
        let keys = self.ticket_text().map_err(|problem| problem.diagnostic().message);
        match keys.map(|text| text.map(|text| credentials.tickets().replace(&text))) {
            Ok(None | Some(Ok(()))) => {}
            Ok(Some(Err(what))) => failed(&self.wrong_keys(&what).message),
            Err(message) => failed(&message),
        }
    }
}

fn certificate((certificate, key): &(File, File)) -> Result<Certificate, Problem> {
    let (chain, secret) = (certificate.read()?, key.read()?);
    let chain = Chain::from_pem(&chain).map_err(|why| certificate.wrong(why))?;
    let identity = Identity::new(chain, &secret).map_err(|why| key.wrong(why))?;
    Certificate::new(&identity).map_err(|why| key.wrong(why))
}

/// Reads the files again whenever one of them changes.
pub(super) async fn watch(
    mut source: Source,
    read: Arc<Read>,
    mut schedule: PollSchedule,
    failures: Counter,
) {
    loop {
        let (of, count) = (Arc::clone(&read), failures.clone());
        let renewed = tokio::task::spawn_blocking(move || {
            source.renew(&of, &count);
            source
        });
        // This fails only when the process ends.
        let Ok(same) = renewed.await else { return };
        source = same;
        schedule.next(EVERY).await;
    }
}
