//! `tls`: the certificates of listeners, and what they demand of clients.
//!
//! It reads files and makes credentials of them. The listeners use these; the plugin never sees a query.

mod config;
mod key_log;
mod source;

use std::sync::Arc;

use chain::{Kind, Setup};
use corefile::{Diagnostic, Diagnostics, Directive};
use telemetry::metrics;
use wire::Scheme;

use config::Config;
use key_log::KeyLogFile;
use source::{Read, Source};

/// The `tls` directive.
pub static PLUGIN: Kind =
    Kind { name: "tls", doc: include_str!("README.md"), listener: true, setup, ..Kind::DEFAULT };

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let Some(directive) = uses.first() else { return Ok(()) };
    let made = credentials(uses, setup);
    if made.is_err() {
        // So that no certificate is missing besides.
        setup.set_credentials(Arc::new(()), directive.name.span);
    }
    made
}

fn credentials(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let Some(directive) = uses.first() else { return Ok(()) };
    if let Some(second) = uses.get(1) {
        let message = "TLS already configured for this server instance";
        return Err(Diagnostic::error(second.name.span, message)
            .label("a second `tls`")
            .also(directive.name.span, "the first one")
            .help("write further certificates as `certificate CERT KEY` in the block of the first")
            .into());
    }
    let config = Config::read(directive)?;
    let source = Source::new(&config, setup);
    let log = config.key_log.as_ref().map(|token| setup.path(token));
    let log =
        log.map(|path| setup.keep(format!("keylog {}", path.display()), || KeyLogFile::new(path)));
    // The files are read in any case, so that a mistake in them is found now.
    let fresh = source.open(log.clone().map(|log| log as Arc<dyn rustls::KeyLog>))?;
    warn(directive, &fresh, setup);
    let read: Arc<Read> = setup.keep(identity(&config, setup), || fresh);
    read.show();
    setup.set_credentials(Arc::clone(&read.credentials), directive.name.span);
    let failures = metrics::counter(
        "catena_tls_reload_failures_total",
        "Changed files of certificates or keys that were not used because of a mistake.",
        &[],
        &[],
    );
    let schedule = setup.poll_schedule(source.paths());
    setup.task(move || source::watch(source, read, schedule, failures));
    if let Some(log) = log {
        setup.task(move || log.write());
    }
    Ok(())
}

/// Everything that the credentials are made of but the content of the files.
fn identity(config: &Config, setup: &Setup<'_>) -> String {
    let files: Vec<_> = config.files().map(|token| setup.path(token)).collect();
    let log = config.key_log.as_ref().map(|token| setup.path(token));
    let shape = (config.pairs.len(), config.authorities.is_some(), config.ticket_keys.is_some());
    format!("{files:?} {shape:?} {:?} {log:?}", config.client_auth)
}

fn warn(directive: &Directive, read: &Read, setup: &mut Setup<'_>) {
    let keys = setup.keys();
    if !keys.is_empty() && keys.iter().all(|key| key.endpoint.scheme == Scheme::Dns) {
        setup.warn(
            Diagnostic::warning(directive.name.span, "`tls` has no effect here")
                .label("no listener of this server block uses TLS")
                .help(
                    "write the key as `tls://.`, or add the listener `tls://.` to the server block",
                ),
        );
    }
    let clock = setup.clock();
    let now = (clock.unix)((clock.now)());
    let expired = |at: &usize| read.credentials.material().certificates[*at].not_after() <= now;
    for at in (0..read.credentials.material().certificates.len()).filter(expired) {
        let token = directive.args.first().filter(|_| at == 0).unwrap_or(&directive.name);
        setup.warn(
            Diagnostic::warning(token.span, "the certificate has expired")
                .label("clients that verify it do not connect")
                .help("renew it: the server reads the file again when it changes"),
        );
    }
}
