//! `pprof`: serves profiles of the process over HTTP, on the paths that `go tool pprof` expects.
//!
//! It costs nothing until a client requests a profile, and never sees a query.

mod config;
mod cpu;
mod profile;
mod symbols;
mod threads;

use chain::{HttpReply, HttpRequest, Kind, Setup};
use corefile::{Diagnostics, Directive};

/// The `pprof` directive.
pub static PLUGIN: Kind =
    Kind { name: "pprof", doc: include_str!("README.md"), once: true, setup, ..Kind::DEFAULT };

/// The pages and their description in the index.
const PAGES: [(&str, &str); 5] = [
    ("cmdline", "the command line of the process"),
    ("goroutine", "the state of each thread (there are no goroutines)"),
    ("profile", "CPU profile; `seconds` sets the duration (default 30)"),
    ("symbol", "the function names of addresses"),
    ("threadcreate", "the state of each thread"),
];

/// Pages of Go's runtime that do not exist here, and the substitute for each.
const ABSENT: [(&str, &str); 5] = [
    (
        "/debug/pprof/allocs",
        "no allocation profile: the allocator keeps none.\n\
         Use `heaptrack --pid PID`, or `perf record -e 'probe_libc:malloc' -g -p PID`.\n",
    ),
    (
        "/debug/pprof/block",
        "no block profile: there are no goroutines that could block.\n\
         Use `offcputime -p PID` or `perf sched record -p PID`.\n",
    ),
    (
        "/debug/pprof/heap",
        "no heap profile: the allocator keeps none.\n\
         Use `heaptrack --pid PID`; the metric process_resident_memory_bytes \
         shows the memory in use.\n",
    ),
    (
        "/debug/pprof/mutex",
        "no mutex profile: queries take no locks.\n\
         Use `perf lock contention -p PID` or `offcputime -p PID`.\n",
    ),
    (
        "/debug/pprof/trace",
        "no execution trace: there is no goroutine scheduler.\n\
         Use `perf trace -p PID` or `perf sched record -p PID`.\n",
    ),
];

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let config = config::parse(uses)?;
    let address = &config.address;
    for warning in config.warnings {
        setup.warn(warning);
    }
    setup.http(address, "/debug/pprof", |_| {
        HttpReply::text(302, "").with("Location", "/debug/pprof/")
    });
    setup.http(address, "/debug/pprof/", |_| index());
    setup.http(address, "/debug/pprof/cmdline", |_| text(command_line()));
    setup.http(address, "/debug/pprof/goroutine", |_| text(threads::list()));
    setup.http(address, "/debug/pprof/threadcreate", |_| text(threads::list()));
    setup.http_later(address, "/debug/pprof/symbol", symbol);
    setup.http_later(address, "/debug/pprof/profile", |request| cpu::answer(request.query));
    for (path, words) in ABSENT {
        setup.http(address, path, move |_| {
            HttpReply::text(501, words.replace("PID", &std::process::id().to_string()))
                .with("X-Content-Type-Options", "nosniff")
        });
    }
    Ok(())
}

fn text(body: impl Into<Vec<u8>>) -> HttpReply {
    HttpReply::text(200, body).with("X-Content-Type-Options", "nosniff")
}

fn index() -> HttpReply {
    let mut page = String::from(
        "<html>\n<head><title>/debug/pprof/</title></head>\n<body>\n<h1>/debug/pprof/</h1>\n<ul>\n",
    );
    for (name, what) in PAGES {
        page += &format!("<li><a href=\"{name}?debug=1\">{name}</a>: {what}</li>\n");
    }
    page += "</ul>\n<p>Not available; each page names an alternative: ";
    let names = ABSENT.map(|(path, _)| {
        let name = path.rsplit('/').next().unwrap_or_default();
        format!("<a href=\"{name}\">{name}</a>")
    });
    page += &names.join(", ");
    page += ".</p>\n</body>\n</html>\n";
    HttpReply::new(200, "text/html; charset=utf-8", page).with("X-Content-Type-Options", "nosniff")
}

/// The arguments with NUL between them, as Go has it.
#[expect(clippy::disallowed_methods, reason = "a file of the kernel that need not be UTF-8")]
fn command_line() -> Vec<u8> {
    let mut line = std::fs::read("/proc/self/cmdline").unwrap_or_default();
    line.pop_if(|last| *last == 0);
    line
}

/// The addresses are behind the `?` or, if there are many, in the body.
async fn symbol(request: HttpRequest) -> HttpReply {
    let asked = if request.body.is_empty() { request.query.into_bytes() } else { request.body };
    // The first request reads the symbol tables from the binary: not on this thread.
    let found = tokio::task::spawn_blocking(move || symbols::answer(&asked)).await;
    found.map_or_else(|_| HttpReply::text(500, "cannot read the symbols\n"), text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chain::{Clock, HttpHandler, Kept, Services};
    use chain::{HttpEndpoint, setup::BlockSetup};
    use wire::Moment;

    fn endpoints() -> Vec<HttpEndpoint> {
        let services = Services::new(1, Clock { now: || Moment(0), unix: |_| 0 }, Kept::default());
        let mut block = BlockSetup::default();
        setup(&[], &mut block.plugin("pprof", &[], &services)).unwrap();
        block.requests.endpoints
    }

    async fn get(path: &str, query: &str) -> HttpReply {
        let endpoints = endpoints();
        let endpoint = endpoints.iter().find(|it| it.path == path).unwrap();
        assert_eq!(endpoint.address.text, "localhost:6053");
        let request = HttpRequest { query: query.to_owned(), ..HttpRequest::default() };
        match &endpoint.handler {
            HttpHandler::Now(handler) => handler(&request),
            HttpHandler::Later(handler) => handler(request).await,
        }
    }

    #[tokio::test]
    async fn every_page_of_the_index_is_there() {
        let reply = get("/debug/pprof", "").await;
        assert_eq!((reply.status, &reply.headers[..]), (302, &[("Location", "/debug/pprof/")][..]));
        let index = String::from_utf8(get("/debug/pprof/", "").await.body).unwrap();
        for (name, _) in PAGES {
            assert!(index.contains(&format!("href=\"{name}?debug=1\"")), "{index}");
            let path = format!("/debug/pprof/{name}");
            assert!(endpoints().iter().any(|it| it.path == path), "{path}");
        }
        for (path, _) in ABSENT {
            let reply = get(path, "").await;
            let said = String::from_utf8(reply.body).unwrap();
            assert_eq!(reply.status, 501, "{path}");
            assert!(said.contains("Use `") && !said.contains("PID"), "{said}");
        }
    }

    #[tokio::test]
    async fn threads_and_the_command_line_are_shown() {
        let reply = get("/debug/pprof/cmdline", "").await;
        let first = reply.body.split(|byte| *byte == 0).next().unwrap();
        assert_eq!(first, std::env::args().next().unwrap().as_bytes());
        let threads = String::from_utf8(get("/debug/pprof/goroutine", "debug=1").await.body);
        assert!(threads.unwrap().starts_with("threads: "));
    }
}
