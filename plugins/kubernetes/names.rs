//! What a name in the zone of a cluster stands for: the DNS-Based Service Discovery specification 1.1.0, and
//! the forms that CoreDNS adds.

use cluster::Part;

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning<'a> {
    /// The zone itself.
    Apex,
    /// `svc` or `pod`, `dns`: names above others.
    Above,
    /// `dns-version`.
    Version,
    /// `ns.dns`: the server's own name.
    Server,
    /// `NAMESPACE.svc`.
    Services { namespace: &'a [u8] },
    /// `NAMESPACE.pod`.
    Pods { namespace: &'a [u8] },
    /// `SERVICE.NAMESPACE.svc`, and what is below.
    Service { namespace: &'a [u8], name: &'a [u8], part: Part<'a> },
    /// `ADDRESS.NAMESPACE.pod`.
    Pod { namespace: &'a [u8], label: &'a [u8] },
    /// Nothing: the name cannot exist.
    Nothing,
}

/// The labels of a name in front of its zone.
pub(super) const MOST_LABELS: usize = 12;

/// The names that a directive answers.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Forms {
    /// `ENDPOINT.CLUSTER.SERVICE.NAMESPACE.svc`, of imported services.
    pub(super) multicluster: bool,
    /// `ZONE.pin._zone.SERVICE.NAMESPACE.svc`.
    pub(super) zonal: bool,
}

/// What a name in a forward zone stands for: `labels` are those in front of the zone.
pub(super) fn meaning<'a>(labels: &'a [&'a [u8]], forms: Forms) -> Meaning<'a> {
    let Some((tree, rest)) = labels.split_last() else { return Meaning::Apex };
    match (*tree, rest) {
        (b"svc" | b"pod" | b"dns", []) => Meaning::Above,
        (b"dns-version", []) => Meaning::Version,
        (b"dns", [server]) if *server == b"ns" => Meaning::Server,
        (b"svc", [namespace]) => Meaning::Services { namespace },
        (b"pod", [namespace]) => Meaning::Pods { namespace },
        (b"svc", [before @ .., name, namespace]) => match part(before, forms) {
            Some(part) => Meaning::Service { namespace, name, part },
            None => Meaning::Nothing,
        },
        (b"pod", [label, namespace]) => Meaning::Pod { namespace, label },
        _ => Meaning::Nothing,
    }
}

/// Which part of a service the labels in front of its name stand for.
fn part<'a>(before: &'a [&'a [u8]], forms: Forms) -> Option<Part<'a>> {
    match before {
        [] => Some(Part::Whole),
        [label] => Some(Part::Endpoint { label, cluster: None }),
        [first, second] => {
            let is_port = first.starts_with(b"_") || second.starts_with(b"_");
            Some(if forms.multicluster && !is_port {
                Part::Endpoint { label: first, cluster: Some(second) }
            } else {
                // As in CoreDNS the underscores may be absent.
                Part::Port { name: bare(first), protocol: bare(second) }
            })
        }
        [labels @ .., directive, anchor] => {
            if !forms.zonal || forms.multicluster || *anchor != b"_zone" {
                return None;
            }
            match *directive {
                b"pin" => Some(Part::Zone { labels, prefer: false }),
                b"prefer" => Some(Part::Zone { labels, prefer: true }),
                _ => None,
            }
        }
    }
}

fn bare(label: &[u8]) -> &[u8] {
    label.strip_prefix(b"_").unwrap_or(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> Vec<&[u8]> {
        text.split('.').filter(|label| !label.is_empty()).map(str::as_bytes).collect()
    }

    fn check(text: &str, forms: Forms, expected: impl Fn(Meaning<'_>) -> bool) {
        let labels = labels(text);
        let found = meaning(&labels, forms);
        assert!(expected(found), "{text}: {found:?}");
    }

    #[test]
    fn names_are_those_of_the_specification() {
        let plain = Forms::default();
        check("", plain, |it| it == Meaning::Apex);
        check("svc", plain, |it| it == Meaning::Above);
        check("dns-version", plain, |it| it == Meaning::Version);
        check("ns.dns", plain, |it| it == Meaning::Server);
        check("web", plain, |it| it == Meaning::Nothing);
        check("prod.svc", plain, |it| it == Meaning::Services { namespace: b"prod" });
        check("prod.pod", plain, |it| it == Meaning::Pods { namespace: b"prod" });
        let service = |it: Meaning<'_>, part: Part<'_>| {
            it == Meaning::Service { namespace: b"prod", name: b"web", part }
        };
        check("web.prod.svc", plain, |it| service(it, Part::Whole));
        check("a.web.prod.svc", plain, |it| {
            service(it, Part::Endpoint { label: b"a", cluster: None })
        });
        for text in ["_http._tcp.web.prod.svc", "http.tcp.web.prod.svc"] {
            check(text, plain, |it| service(it, Part::Port { name: b"http", protocol: b"tcp" }));
        }
        check("a.b.c.web.prod.svc", plain, |it| it == Meaning::Nothing);
        check("1-2-3-4.prod.pod", plain, |it| {
            it == Meaning::Pod { namespace: b"prod", label: b"1-2-3-4" }
        });
        check("a.1-2-3-4.prod.pod", plain, |it| it == Meaning::Nothing);
    }

    #[test]
    fn imported_services_and_zones_have_names_of_their_own() {
        let imported = Forms { multicluster: true, zonal: true };
        check("a.west.web.prod.svc", imported, |it| {
            matches!(
                it,
                Meaning::Service { part: Part::Endpoint { cluster: Some(b"west"), .. }, .. }
            )
        });
        check("_http._tcp.web.prod.svc", imported, |it| {
            matches!(it, Meaning::Service { part: Part::Port { .. }, .. })
        });
        check("z.pin._zone.web.prod.svc", imported, |it| it == Meaning::Nothing);
        let zonal = Forms { multicluster: false, zonal: true };
        check("eu.1.pin._zone.web.prod.svc", zonal, |it| {
            matches!(it, Meaning::Service { part: Part::Zone { labels, prefer: false }, .. }
                if labels == [&b"eu"[..], b"1"])
        });
        check("eu.prefer._zone.web.prod.svc", zonal, |it| {
            matches!(it, Meaning::Service { part: Part::Zone { prefer: true, .. }, .. })
        });
        check("eu.near._zone.web.prod.svc", zonal, |it| it == Meaning::Nothing);
        check("eu.pin._zone.web.prod.svc", Forms::default(), |it| it == Meaning::Nothing);
    }
}
