//! Where zones come from: the primaries, how they are asked, and how much is asked at once.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use chain::KeyRef;
use corefile::Cidr;
use net::client::Network;
use net::tls::TransferSession;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::Instant;
use transfer::{Client, Limits, Outcome, Peer, Received, Tally, TransferError, Trouble};
use zone::{Changes, Refused, Soa, Zone};

use super::catalog::Catalog;
use super::copy::{Copy, Terms};
use super::metrics::{Metrics, Said};
use super::timers::Bounds;

/// Transfers at once, in all and from one address.
const TRANSFERS: (usize, usize) = (16, 4);
/// Questions for serials at once, in all and to one address.
const CHECKS: (usize, usize) = (256, 32);

/// The bounds of what is asked at once, by all zones of the server.
pub(super) struct Gate {
    transfers: Semaphore,
    checks: Semaphore,
    servers: Mutex<HashMap<SocketAddr, Weak<ServerGate>>>,
}

struct ServerGate {
    transfers: Semaphore,
    checks: Semaphore,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            transfers: Semaphore::new(TRANSFERS.0),
            checks: Semaphore::new(CHECKS.0),
            servers: Mutex::default(),
        }
    }
}

impl Gate {
    fn server(&self, address: SocketAddr) -> Arc<ServerGate> {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = servers.get(&address).and_then(Weak::upgrade) {
            return known;
        }
        servers.retain(|_, server| server.strong_count() > 0);
        let server = Arc::new(ServerGate {
            transfers: Semaphore::new(TRANSFERS.1),
            checks: Semaphore::new(CHECKS.1),
        });
        servers.insert(address, Arc::downgrade(&server));
        server
    }
}

/// A turn at the server first: who waits for one server must not take the turns of others.
async fn turn<'a>(
    of_server: &'a Semaphore,
    of_all: &'a Semaphore,
) -> (Option<SemaphorePermit<'a>>, Option<SemaphorePermit<'a>>) {
    let server = of_server.acquire().await.ok();
    (server, of_all.acquire().await.ok())
}

/// One primary.
#[derive(Clone)]
pub(super) struct Primary {
    pub(super) address: SocketAddr,
    pub(super) session: Option<TransferSession>,
    pub(super) source: Option<IpAddr>,
}

/// Where the zones of a directive come from.
#[derive(Clone)]
pub(super) struct Source {
    /// The primaries and how they are asked, to tell one source from another.
    pub(super) identity: String,
    pub(super) primaries: Vec<Primary>,
    pub(super) key: Option<KeyRef>,
    pub(super) allow_notify: Vec<Cidr>,
    pub(super) limits: Limits,
    pub(super) bounds: Bounds,
    pub(super) database: Option<PathBuf>,
    /// The zones are catalogs with this number of members at most.
    pub(super) catalog: Option<usize>,
    pub(super) network: Network,
    pub(super) gate: Arc<Gate>,
    pub(super) metrics: Metrics,
}

/// What a check found.
pub(super) enum Checked {
    /// This primary has the version that there is.
    Current(SocketAddr, Soa),
    /// A new version serves.
    Fresh(Fresh),
    /// No primary answered as it should; what the last one did.
    Failed(String),
}

/// A new version.
pub(super) struct Fresh {
    pub(super) from: SocketAddr,
    pub(super) zone: Arc<Zone>,
    pub(super) is_whole: bool,
    pub(super) tally: Tally,
    pub(super) took: Duration,
}

/// Why a primary did not do.
struct Problem {
    text: String,
    /// Whether it was not even reached.
    is_unreachable: bool,
}

impl Problem {
    fn new(text: String) -> Self {
        Self { text, is_unreachable: false }
    }
}

impl From<TransferError> for Problem {
    fn from(error: TransferError) -> Self {
        let text = match error.help() {
            Some(help) => format!("{}; {help}", error.trouble),
            None => error.trouble.to_string(),
        };
        Self { text, is_unreachable: matches!(error.trouble, Trouble::Unreachable(_)) }
    }
}

impl Source {
    /// What it says about each of its zones.
    pub(super) fn terms(&self) -> Terms {
        Terms {
            identity: self.identity.clone(),
            shown: self.shown(),
            primaries: self.primaries.iter().map(|primary| primary.address).collect(),
            bounds: self.bounds,
            database: self.database.clone(),
        }
    }

    /// Whether this address may send notifications.
    pub(super) fn may_notify(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.primaries.iter().any(|primary| primary.address.ip().to_canonical() == address)
            || self.allow_notify.iter().any(|range| range.contains(address))
    }

    /// The primaries, for the status of a zone.
    fn shown(&self) -> String {
        let shown: Vec<String> =
            self.primaries.iter().take(3).map(|primary| primary.address.to_string()).collect();
        let word = if self.primaries.len() == 1 { "primary" } else { "primaries" };
        let more = self.primaries.len() - shown.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        format!("{word} {}{more}", shown.join(", "))
    }

    /// The primaries in the order in which they are asked: the one that says it has changed, the one that was
    /// of use last, then as they are written.
    fn order(&self, last: Option<SocketAddr>, first: Option<IpAddr>) -> Vec<&Primary> {
        let mut order: Vec<&Primary> = self.primaries.iter().collect();
        let first = first.map(|address| address.to_canonical());
        order.sort_by_key(|primary| {
            let is_first = Some(primary.address.ip().to_canonical()) == first;
            (!is_first, Some(primary.address) != last)
        });
        order
    }

    /// Looks for a newer version at the primaries, one after the other, and publishes it.
    pub(super) async fn check(&self, copy: &Arc<Copy>, first: Option<IpAddr>) -> Checked {
        let mut last = String::from("there is no primary");
        for primary in self.order(copy.from(), first) {
            match self.ask(copy, primary).await {
                Ok(found) => return found,
                Err(problem) => {
                    let (zone, address) = (copy.origin(), primary.address);
                    last = format!("{address}: {}", problem.text);
                    if copy.is_news(&last) {
                        // The words of CoreDNS's log.
                        let stage =
                            if problem.is_unreachable { "setup transfer" } else { "transfer" };
                        let text = &problem.text;
                        match problem.is_unreachable {
                            true => telemetry::error!(
                                "plugin/file: Failed to {stage} `{zone}' with `\"{address}\"': {text}"
                            ),
                            false => telemetry::error!(
                                "plugin/file: Failed to {stage} `{zone}' from \"{address}\": {text}"
                            ),
                        }
                    }
                }
            }
        }
        Checked::Failed(last)
    }

    async fn ask(&self, copy: &Arc<Copy>, primary: &Primary) -> Result<Checked, Problem> {
        let client = self.client(primary)?;
        let gate = self.gate.server(primary.address);
        let base = copy.base().filter(|_| !copy.is_other());
        if let Some(base) = &base {
            let turn = turn(&gate.checks, &self.gate.checks).await;
            let asked = client.soa(copy.origin()).await;
            drop(turn);
            let soa = asked.inspect_err(|_| self.metrics.checked(Said::Nothing))?;
            let (serial, ours) = (soa.serial, base.serial());
            if serial == ours {
                self.metrics.checked(Said::Current);
                return Ok(Checked::Current(primary.address, base.soa()));
            }
            if !zone::is_newer(serial, ours) {
                self.metrics.checked(Said::Behind);
                return Err(Problem::new(format!(
                    "the server has serial {serial}, which is older than {ours}; the version that \
                     there is stays, until the serial at the server is raised above it"
                )));
            }
            self.metrics.checked(Said::Newer);
        }
        let _turn = turn(&gate.transfers, &self.gate.transfers).await;
        let began = Instant::now();
        let transferred = self.transfer(copy, &client, base).await;
        let (zone, is_whole, tally) = transferred.inspect_err(|_| self.metrics.failed())?;
        let took = began.elapsed();
        self.metrics.transferred(is_whole, &tally, took);
        Ok(Checked::Fresh(Fresh { from: primary.address, zone, is_whole, tally, took }))
    }

    /// Asks for the changes since `base`, or for the whole zone, and publishes it.
    async fn transfer(
        &self,
        copy: &Arc<Copy>,
        client: &Client,
        base: Option<Arc<Zone>>,
    ) -> Result<(Arc<Zone>, bool, Tally), Problem> {
        let (zone, by) = (copy.origin(), client.peer().address);
        let hint = base.as_ref().map_or(0, |base| base.memory() as u64);
        if let Some(base) = &base {
            let why = match client.ixfr(zone, &base.soa(), hint).await {
                Ok(Received { outcome: Outcome::Changes(changes), tally }) => {
                    match self.publish_changes(copy, by, Arc::clone(base), changes).await {
                        Ok(zone) => return Ok((zone, false, tally)),
                        Err(Unpublished::Catalog(text)) => return Err(Problem::new(text)),
                        Err(Unpublished::Unfit(text)) => text,
                    }
                }
                Ok(Received { outcome: Outcome::Zone(new), tally }) => {
                    return Ok((self.publish(copy, by, *new).await?, true, tally));
                }
                Ok(Received { outcome: Outcome::Current(soa), .. }) => {
                    return Err(Problem::new(format!(
                        "the server said that it had a newer version, and then that {} is the newest",
                        soa.serial
                    )));
                }
                Err(error) if error.calls_for_axfr() => error.trouble.to_string(),
                Err(error) => return Err(error.into()),
            };
            telemetry::debug!("zone `{zone}`: no changes from {by}: {why}");
        }
        let newer_than = base.as_ref().map(|base| base.serial());
        let received = client.axfr(zone, newer_than, hint).await?;
        let Outcome::Zone(new) = received.outcome else {
            return Err(Problem::new("the server sent no zone".to_owned()));
        };
        Ok((self.publish(copy, by, *new).await?, true, received.tally))
    }

    /// Publishes a whole zone.
    async fn publish(
        &self,
        copy: &Arc<Copy>,
        by: SocketAddr,
        new: Zone,
    ) -> Result<Arc<Zone>, Problem> {
        let (copy, catalog) = (Arc::clone(copy), self.catalog);
        blocking(move || {
            check_catalog(&new, catalog)?;
            if let Some(store) = copy.store()
                && copy.base().is_some_and(|base| base.serial() == new.serial())
            {
                store.forget();
            }
            copy.publish(by, |live| Ok(live.replace(new)))
        })
        .await
        .map_err(|unpublished| Problem::new(unpublished.text()))
    }

    /// Publishes the versions that these changes lead to, all or none.
    async fn publish_changes(
        &self,
        copy: &Arc<Copy>,
        by: SocketAddr,
        base: Arc<Zone>,
        changes: Vec<Changes>,
    ) -> Result<Arc<Zone>, Unpublished> {
        let (copy, catalog) = (Arc::clone(copy), self.catalog);
        blocking(move || {
            if changes.is_empty() {
                return Err(Unpublished::Unfit("the server sent no changes".to_owned()));
            }
            let unfit = |refused: Refused| Unpublished::Unfit(refused.to_string());
            let mut last = Arc::clone(&base);
            for one in &changes {
                last = Arc::new(last.apply(one).map_err(unfit)?);
            }
            check_catalog(&last, catalog)?;
            copy.publish(by, |live| {
                if !live.is_loaded() {
                    return Ok(live.replace(last));
                }
                let mut published = base;
                for one in changes {
                    published = live.change(one).map_err(unfit)?;
                }
                Ok(published)
            })
        })
        .await
    }

    fn client(&self, primary: &Primary) -> Result<Client, Problem> {
        let key = match &self.key {
            None => None,
            Some(named) => Some(named.get().ok_or_else(|| {
                let name = named.name();
                Problem::new(format!("the key `{name}` was removed: nothing is asked without it"))
            })?),
        };
        let peer = Peer {
            address: primary.address,
            source: primary.source,
            session: primary.session.clone(),
            key,
        };
        Ok(Client::new(self.network.clone(), peer, self.limits))
    }
}

/// Why what came is not published.
enum Unpublished {
    /// It is no zone.
    Unfit(String),
    /// It is a zone, but not the catalog that it should be.
    Catalog(String),
}

impl Unpublished {
    fn text(self) -> String {
        match self {
            Self::Unfit(text) | Self::Catalog(text) => text,
        }
    }
}

fn check_catalog(zone: &Zone, most: Option<usize>) -> Result<(), Unpublished> {
    let Some(most) = most else { return Ok(()) };
    Catalog::read(zone, most).map(drop).map_err(|broken| {
        let text = format!("version {} is no catalog: {broken}; the members stay", zone.serial());
        Unpublished::Catalog(text)
    })
}

/// Runs what takes long for large zones where it holds up nobody.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Unpublished> + Send + 'static,
) -> Result<T, Unpublished> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(stopped) => Err(Unpublished::Catalog(format!("the version was not made: {stopped}"))),
    }
}
