//! How each server is started for each kind of work, single-threaded and on loopback only.

use std::path::{Path, PathBuf};

use super::secure::NAME;
use super::server::{find, write};

/// What is asked of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work<'a> {
    /// Answer for one zone.
    Authority { origin: &'a str, zone: &'a Path },
    /// Forward everything to this port of loopback and cache it.
    Forward { to: u16, over: Over<'a> },
}

/// How the upstream is asked, and whose certificate it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over<'a> {
    Plain,
    Tls { authority: &'a Path },
    Https { authority: &'a Path },
}

/// A server ready to be started.
#[derive(Clone)]
pub(crate) struct Recipe {
    pub(crate) name: String,
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(&'static str, &'static str)>,
}

/// Catena with a chain for the work; `kubeadm` adds the plugins of a cluster's Corefile.
pub(crate) fn catena(
    program: &Path,
    dir: &Path,
    port: u16,
    work: Work<'_>,
    kubeadm: bool,
) -> Recipe {
    let mut chain = String::from("    bind 127.0.0.1\n    errors\n    prometheus 127.0.0.1:0\n");
    if kubeadm {
        chain.push_str(
            "    health 127.0.0.1:0\n    ready 127.0.0.1:0\n    hosts {\n        192.0.2.1 \
             one.test\n        fallthrough\n    }\n    loop\n    reload\n    loadbalance\n",
        );
    }
    let zone = match work {
        Work::Authority { origin, zone } => {
            chain.push_str(&format!("    file {}\n", zone.display()));
            origin
        }
        Work::Forward { to, over } => {
            let forward = match over {
                Over::Plain => format!("127.0.0.1:{to}"),
                Over::Tls { authority } => format!(
                    "tls://127.0.0.1:{to} {{\n        tls {}\n        tls_servername {NAME}\n    }}",
                    authority.display()
                ),
                Over::Https { authority } => format!(
                    "https://127.0.0.1:{to} {{\n        tls {}\n        tls_servername {NAME}\n    }}",
                    authority.display()
                ),
            };
            chain.push_str(&format!(
                "    cache {{\n        success 200000\n    }}\n    forward . {forward}\n"
            ));
            "."
        }
    };
    let name = if kubeadm { "catena kubeadm" } else { "catena" };
    let corefile = write(
        &dir.join(format!("Corefile.{}", name.replace(' ', "."))),
        &format!("{zone}:{port} {{\n{chain}}}\n"),
    );
    Recipe {
        name: name.into(),
        program: program.to_owned(),
        arguments: vec!["-conf".into(), corefile],
        environment: vec![("GOMAXPROCS", "1")],
    }
}

/// 200 rules of `rewrite` and 100 stanzas of `template`, of all kinds, that match no name of a bench.
fn rules(origin: &str) -> String {
    let mut text = String::new();
    for i in 0..40 {
        text += &format!(
            "    rewrite name exact old{i}.{origin} new{i}.{origin}\n    rewrite name prefix \
             legacy{i}- current{i}-\n    rewrite name suffix .dc{i}.{origin} .{origin} answer \
             auto\n    rewrite name substring -staging{i}- -test{i}-\n    rewrite name regex \
             ^([a-z]+)-pod{i}[.](.*)$ {{1}}.{{2}}\n"
        );
    }
    for i in 0..50 {
        text += &format!(
            "    template IN A tenant{i}.{origin} {{\n        answer \"{{{{ .Name }}}} 60 IN A \
             192.0.2.1\"\n        fallthrough\n    }}\n    template IN A {origin} {{\n        match \
             ^ip{i}-(?P<a>[0-9]+)-(?P<b>[0-9]+)[.]\n        answer \"{{{{ .Name }}}} 60 IN A \
             10.0.{{{{ .Group.a }}}}.{{{{ .Group.b }}}}\"\n        fallthrough\n    }}\n"
        );
    }
    text
}

/// Catena and CoreDNS (if it is here), each plain and with many rules in front of a zone.
pub(crate) fn with_rules(
    program: &Path,
    dir: &Path,
    port: u16,
    origin: &str,
    zone: &Path,
) -> Vec<Recipe> {
    let mut recipes = Vec::new();
    let coredns = find("coredns");
    let programs = [
        ("catena", "catena rules", Some(program)),
        ("coredns", "coredns rules", coredns.as_deref()),
    ];
    for (plain, ruled, program) in programs {
        let Some(program) = program else { continue };
        for (name, rules) in [(plain, String::new()), (ruled, rules(origin))] {
            let corefile = write(
                &dir.join(format!("Corefile.{}", name.replace(' ', "."))),
                &format!(
                    "{origin}:{port} {{\n    bind 127.0.0.1\n    errors\n    prometheus \
                     127.0.0.1:0\n{rules}    file {}\n}}\n",
                    zone.display()
                ),
            );
            recipes.push(Recipe {
                name: name.into(),
                program: program.to_owned(),
                arguments: vec!["-conf".into(), corefile],
                environment: vec![("GOMAXPROCS", "1")],
            });
        }
    }
    recipes
}

/// A peer's name and arguments for a kind of work, if it can do it.
type Peer = fn(&Path, u16, Work<'_>) -> Option<(&'static str, Vec<String>)>;

/// The peers on this machine that can do the work.
pub(crate) fn peers(dir: &Path, port: u16, work: Work<'_>) -> Vec<Recipe> {
    let all: [Peer; 6] = [knotd, nsd, named, unbound, dnsdist, coredns];
    all.iter()
        .filter_map(|peer| {
            let (name, arguments) = peer(dir, port, work)?;
            let program = find(name)?;
            let environment = vec![("GOMAXPROCS", "1")];
            Some(Recipe { name: name.into(), program, arguments, environment })
        })
        .collect()
}

fn bare(origin: &str) -> &str {
    origin.trim_end_matches('.')
}

fn knotd(dir: &Path, port: u16, work: Work<'_>) -> Option<(&'static str, Vec<String>)> {
    let Work::Authority { origin, zone } = work else { return None };
    let (dir_text, zone) = (dir.display(), zone.display());
    let conf = write(
        &dir.join("knot.conf"),
        &format!(
            "server:\n    listen: 127.0.0.1@{port}\n    rundir: {dir_text}\n    udp-workers: 1\n    \
             tcp-workers: 1\n    background-workers: 1\ndatabase:\n    storage: {dir_text}\nlog:\n  - \
             target: stderr\n    any: error\ntemplate:\n  - id: default\n    semantic-checks: off\n    \
             zonefile-load: whole\n    zonefile-sync: -1\n    journal-content: none\nzone:\n  - \
             domain: \"{origin}\"\n    file: \"{zone}\"\n"
        ),
    );
    Some(("knotd", vec!["-c".into(), conf]))
}

fn nsd(dir: &Path, port: u16, work: Work<'_>) -> Option<(&'static str, Vec<String>)> {
    let Work::Authority { origin, zone } = work else { return None };
    let (dir_text, zone, origin) = (dir.display(), zone.display(), bare(origin));
    let conf = write(
        &dir.join("nsd.conf"),
        &format!(
            "server:\n  ip-address: 127.0.0.1@{port}\n  server-count: 1\n  username: \"\"\n  zonesdir: \
             \"{dir_text}\"\n  pidfile: \"{dir_text}/nsd.pid\"\n  database: \"\"\n  zonelistfile: \
             \"{dir_text}/nsd.list\"\n  xfrdfile: \"{dir_text}/nsd.xfrd\"\n  xfrdir: \"{dir_text}\"\n  \
             logfile: \"{dir_text}/nsd.log\"\n  rrl-ratelimit: 0\nremote-control:\n  control-enable: \
             no\nzone:\n  name: \"{origin}\"\n  zonefile: \"{zone}\"\n"
        ),
    );
    Some(("nsd", vec!["-d".into(), "-c".into(), conf]))
}

fn named(dir: &Path, port: u16, work: Work<'_>) -> Option<(&'static str, Vec<String>)> {
    let dir_text = dir.display();
    let (options, zones) = match work {
        Work::Authority { origin, zone } => (
            "recursion no;".to_owned(),
            format!(
                "zone \"{}\" {{ type primary; file \"{}\"; check-names ignore; }};\n",
                bare(origin),
                zone.display()
            ),
        ),
        Work::Forward { to, over: Over::Plain } => (
            format!(
                "recursion yes; allow-recursion {{ any; }}; forward only; forwarders port {to} {{ \
                 127.0.0.1; }}; dnssec-validation no;"
            ),
            String::new(),
        ),
        Work::Forward { .. } => return None,
    };
    let conf = write(
        &dir.join("named.conf"),
        &format!(
            "options {{ directory \"{dir_text}\"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 \
             {{ none; }}; pid-file \"{dir_text}/named.pid\"; session-keyfile \"{dir_text}/named.key\"; \
             managed-keys-directory \"{dir_text}\"; notify no; check-integrity no; empty-zones-enable \
             no; {options} }};\ncontrols {{}};\n{zones}"
        ),
    );
    Some(("named", vec!["-f".into(), "-n".into(), "1".into(), "-c".into(), conf]))
}

fn unbound(dir: &Path, port: u16, work: Work<'_>) -> Option<(&'static str, Vec<String>)> {
    let Work::Forward { to, over } = work else { return None };
    let (bundle, forward) = match over {
        Over::Plain => (String::new(), format!("forward-addr: 127.0.0.1@{to}")),
        Over::Tls { authority } => (
            format!("  tls-cert-bundle: \"{}\"\n", authority.display()),
            format!("forward-tls-upstream: yes\n  forward-addr: 127.0.0.1@{to}#{NAME}"),
        ),
        Over::Https { .. } => return None,
    };
    let conf = write(
        &dir.join("unbound.conf"),
        &format!(
            "server:\n  interface: 127.0.0.1@{port}\n  num-threads: 1\n  username: \"\"\n  chroot: \
             \"\"\n  directory: \"{0}\"\n  pidfile: \"\"\n  use-syslog: no\n  do-daemonize: no\n  \
             do-not-query-localhost: no\n  access-control: 127.0.0.0/8 allow\n  module-config: \
             \"iterator\"\n  msg-cache-size: 128m\n  rrset-cache-size: 256m\n  local-zone: \"lab.\" \
             nodefault\n{bundle}remote-control:\n  control-enable: no\nforward-zone:\n  name: \".\"\n  \
             {forward}\n",
            dir.display()
        ),
    );
    Some(("unbound", vec!["-d".into(), "-c".into(), conf]))
}

fn dnsdist(dir: &Path, port: u16, work: Work<'_>) -> Option<(&'static str, Vec<String>)> {
    let Work::Forward { to, over } = work else { return None };
    let secure = |authority: &Path, path: &str| {
        format!(
            ", tls=\"openssl\", subjectName=\"{NAME}\", caStore=\"{}\", validateCertificates=true{path}",
            authority.display()
        )
    };
    let over = match over {
        Over::Plain => String::new(),
        Over::Tls { authority } => secure(authority, ""),
        Over::Https { authority } => secure(authority, ", dohPath=\"/dns-query\""),
    };
    let conf = write(
        &dir.join("dnsdist.conf"),
        &format!(
            "setLocal(\"127.0.0.1:{port}\")\nnewServer({{address=\"127.0.0.1:{to}\", \
             healthCheckMode=\"up\"{over}}})\npc = newPacketCache(300000, {{maxTTL=86400}})\n\
             getPool(\"\"):setCache(pc)\nsetUDPMultipleMessagesVectorSize(64)\nsetSecurityPollSuffix(\"\")\n"
        ),
    );
    Some(("dnsdist", vec!["--supervised".into(), "-C".into(), conf]))
}

fn coredns(dir: &Path, port: u16, work: Work<'_>) -> Option<(&'static str, Vec<String>)> {
    let (zone, answers) = match work {
        Work::Authority { origin, zone } => (origin, format!("    file {}\n", zone.display())),
        Work::Forward { to, over } => {
            let (scheme, options) = match over {
                Over::Plain => ("", String::new()),
                Over::Tls { authority } => (
                    "tls://",
                    format!(
                        " {{\n        tls {}\n        tls_servername {NAME}\n    }}",
                        authority.display()
                    ),
                ),
                Over::Https { .. } => return None,
            };
            (
                ".",
                format!(
                    "    cache {{\n        success 200000\n    }}\n    forward . \
                     {scheme}127.0.0.1:{to}{options}\n"
                ),
            )
        }
    };
    let conf = write(
        &dir.join("Corefile.coredns"),
        &format!(
            "{zone}:{port} {{\n    bind 127.0.0.1\n    errors\n    prometheus 127.0.0.1:0\n{answers}}}\n"
        ),
    );
    Some(("coredns", vec!["-conf".into(), conf]))
}
