//! How each name server is told to serve one zone and nothing else, and all of them at once.

use std::path::Path;

use hickory_server::proto::rr::RecordType;

use crate::ask::Question;
use crate::compare::ORIGIN;
use crate::kit::{Scratch, Server, free_port};
use crate::peer::{Peer, Recipe};
use crate::signing::{Denial, write};

/// Our program and the others, with the same file.
pub(crate) struct Servers {
    pub(crate) ours: Server,
    pub(crate) others: Vec<Peer>,
}

impl Servers {
    pub(crate) fn start(denial: Denial) -> Self {
        let ours = serve(denial);
        let zone = ours.scratch.path().join("zone");
        let probe = Question::new(ORIGIN, RecordType::SOA);
        let recipes: [fn(&Path, &Path, u16) -> Recipe; 3] = [knotd, nsd, named];
        let start = |recipe: fn(&Path, &Path, u16) -> Recipe| {
            Peer::start(|directory, port| recipe(&zone, directory, port), &probe)
        };
        Self { others: recipes.into_iter().map(start).collect(), ours }
    }
}

/// Our program with the zone.
pub(crate) fn serve(denial: Denial) -> Server {
    let scratch = Scratch::new();
    write(&scratch, denial);
    scratch.write("Corefile", "example.org {\n  bind 127.0.0.1\n  file zone\n}\n");
    Server::start_in(scratch, free_port(), &["-conf", "Corefile"])
}

fn knotd(zone: &Path, directory: &Path, port: u16) -> Recipe {
    let (zone, directory) = (zone.display(), directory.display());
    let config = format!(
        "server:\n  listen: 127.0.0.1@{port}\n  rundir: \"{directory}\"\n  udp-workers: 1\n  \
         tcp-workers: 1\n  background-workers: 1\ndatabase:\n  storage: \"{directory}\"\nlog:\n  - \
         target: stderr\n    any: warning\ntemplate:\n  - id: default\n    semantic-checks: off\n    \
         zonefile-load: whole\n    zonefile-sync: -1\n    journal-content: none\nzone:\n  - domain: \
         {ORIGIN}\n    file: \"{zone}\"\n"
    );
    Recipe { program: "knotd", package: "knot", config, arguments: &["-c"] }
}

fn nsd(zone: &Path, directory: &Path, port: u16) -> Recipe {
    let (zone, directory) = (zone.display(), directory.display());
    let config = format!(
        "server:\n  ip-address: 127.0.0.1@{port}\n  server-count: 1\n  username: \"\"\n  zonesdir: \
         \"{directory}\"\n  pidfile: \"{directory}/nsd.pid\"\n  database: \"\"\n  zonelistfile: \
         \"{directory}/nsd.list\"\n  xfrdfile: \"{directory}/nsd.xfrd\"\n  xfrdir: \"{directory}\"\n  \
         rrl-ratelimit: 0\nremote-control:\n  control-enable: no\nzone:\n  name: {ORIGIN}\n  zonefile: \
         \"{zone}\"\n"
    );
    Recipe { program: "nsd", package: "nsd", config, arguments: &["-d", "-c"] }
}

fn named(zone: &Path, directory: &Path, port: u16) -> Recipe {
    let (zone, directory) = (zone.display(), directory.display());
    let config = format!(
        "options {{ directory \"{directory}\"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ \
         none; }}; pid-file \"{directory}/named.pid\"; session-keyfile \"{directory}/named.key\"; \
         managed-keys-directory \"{directory}\"; notify no; check-integrity no; empty-zones-enable no; \
         recursion no; dnssec-validation no; }};\ncontrols {{}};\nzone \"{ORIGIN}\" {{ type primary; \
         file \"{zone}\"; check-names ignore; }};\n"
    );
    Recipe { program: "named", package: "bind9", config, arguments: &["-g", "-n", "1", "-c"] }
}
