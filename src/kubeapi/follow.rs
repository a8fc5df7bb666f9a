//! A resource, listed and then watched, for ever.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use crate::client::Api;
use crate::failure::{Class, Failure};
use crate::resource::Resource;
use crate::status::Status;
use crate::stream::{Event, List, Said, Sink, Watch};

/// Objects on a page.
const PAGE: &str = "500";
/// The pauses after failures: the first, and the longest.
const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_millis(800);
const LONGEST_REFUSED: Duration = Duration::from_secs(10);
/// How long a watch lasts at least; as much again by chance, so that servers are not asked by all at once.
const WATCH: Duration = Duration::from_secs(300);
/// How much longer than the server says a watch may last.
const GRACE: Duration = Duration::from_secs(10);

/// Lists the resource and follows its changes, for ever. The sink is told all of it. Of several callers with
/// one status, one follows at a time; the next one goes on where it ended.
pub async fn follow(api: &Api, resource: &Resource, status: &Status, sink: &mut dyn Sink) {
    // The tasks of two configurations may meet: the later one goes on where the other ends.
    let _turn = status.turn.lock().await;
    let mut from = status.version().map_or(From::Start, From::Version);
    let mut pause = FIRST;
    loop {
        let outcome = match &from {
            From::Version(version) => watch(api, resource, version.clone(), status, sink).await,
            _ => list(api, resource, &from, sink).await.inspect(|version| {
                status.has_version(Some(version));
                status.has_list();
                sink.take(Event::Ends);
            }),
        };
        match outcome {
            Ok(version) => {
                pause = FIRST;
                if let From::Version(_) = from {
                    // The watch has ended as it should.
                    status.is_deaf();
                }
                from = From::Version(version);
            }
            Err((version, failure)) => {
                let was_watching = matches!(from, From::Version(_));
                from = match failure.class {
                    Class::Gone if was_watching => From::Now,
                    Class::Gone => From::NowAtOnce,
                    _ => version.map_or(from, From::Version),
                };
                // That a version is too old is in the nature of things.
                if failure.class == Class::Gone {
                    status.has_version(None);
                    status.is_deaf();
                    continue_after(FIRST).await;
                    continue;
                }
                if status.has_failed(&failure) {
                    sink.take(Event::Failed(&failure));
                }
                let longest = match failure.class {
                    Class::Refused => {
                        api.reconnect();
                        LONGEST_REFUSED
                    }
                    _ => LONGEST,
                };
                continue_after(pause.min(longest)).await;
                pause = (pause * 2).min(longest);
            }
        }
    }
}

/// Where to begin.
enum From {
    /// With a list, as the server has it at hand.
    Start,
    /// With a list of what there is now.
    Now,
    /// The same without pages.
    NowAtOnce,
    /// With the changes since this version.
    Version(String),
}

/// Pauses for this time, more or less.
async fn continue_after(pause: Duration) {
    sleep(pause.mul_f64(0.5 + chance() / 2.0)).await;
}

/// A number from 0 to 1 by chance.
fn chance() -> f64 {
    use std::hash::{BuildHasher, RandomState};
    (RandomState::new().hash_one(()) >> 11) as f64 / (1u64 << 53) as f64
}

type Ended = (Option<String>, Failure);

/// Reads a list, page by page. Returns its version.
async fn list(
    api: &Api,
    resource: &Resource,
    from: &From,
    sink: &mut dyn Sink,
) -> Result<String, Ended> {
    sink.take(Event::Begins);
    let limit = if matches!(from, From::NowAtOnce) { "" } else { PAGE };
    let version = if matches!(from, From::Start) { "0" } else { "" };
    let mut next = String::new();
    loop {
        // A page that follows has the version of the first.
        let version = if next.is_empty() { version } else { "" };
        let parameters = [("limit", limit), ("resourceVersion", version), ("continue", &*next)];
        let page = page(api, resource, &parameters, sink).await.map_err(|why| (None, why))?;
        if page.next.is_empty() {
            return Ok(page.version);
        }
        next = page.next;
    }
}

async fn page(
    api: &Api,
    resource: &Resource,
    parameters: &[(&str, &str)],
    sink: &mut dyn Sink,
) -> Result<List, Failure> {
    let mut response = api.get(resource, "list", parameters).await?;
    let mut page = List::new(resource.kind, response.format);
    while let Some(octets) = response.next().await? {
        let fed = page.feed(&octets, |object| sink.take(Event::Listed(object)));
        fed.map_err(|why| malformed(resource, &why))?;
    }
    if page.is_whole() { Ok(page) } else { Err(malformed(resource, "it ends too early")) }
}

fn malformed(resource: &Resource, why: &str) -> Failure {
    let plural = resource.kind.plural();
    Failure::transient(format!("the API server's list of `{plural}` is malformed: {why}"))
}

/// Follows changes from a version on. Returns the last version when the watch ends.
async fn watch(
    api: &Api,
    resource: &Resource,
    mut version: String,
    status: &Status,
    sink: &mut dyn Sink,
) -> Result<String, Ended> {
    let lasts = WATCH.mul_f64(1.0 + chance());
    let seconds = lasts.as_secs().to_string();
    let parameters = [
        ("watch", "true"),
        ("allowWatchBookmarks", "true"),
        ("resourceVersion", &*version),
        ("timeoutSeconds", &*seconds),
    ];
    let response = api.get(resource, "watch", &parameters).await;
    let mut response = response.map_err(|why| (Some(version.clone()), why))?;
    if status.has_watch() {
        sink.take(Event::Recovered);
    }
    let mut watch = Watch::new(resource.kind, response.format);
    let until = Instant::now() + lasts + GRACE;
    loop {
        let octets = match timeout_at(until, response.next()).await {
            Err(_) | Ok(Ok(None)) => return Ok(version),
            Ok(Err(why)) => return Err((Some(version), why)),
            Ok(Ok(Some(octets))) => octets,
        };
        let mut refused = None;
        let fed = watch.feed(&octets, |said, at| {
            if !at.is_empty() {
                at.clone_into(&mut version);
                status.has_version(Some(at));
            }
            match said {
                Said::Changed(object) => sink.take(Event::Changed(object)),
                Said::Gone(object) => sink.take(Event::Gone(object)),
                Said::Bookmark => {}
                Said::Refused(refusal) => refused = Some(refusal),
            }
        });
        if let Err(why) = fed {
            // What came is not to be trusted: everything again.
            let failure = Failure::gone(format!("a watch is malformed: {why}"));
            return Err((None, failure));
        }
        if let Some(refusal) = refused {
            let why = api.refused(resource.kind, refusal.code, &refusal.message);
            return Err((Some(version), why));
        }
    }
}
