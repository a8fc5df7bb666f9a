//! What is answered.

use serde_json::{Value, json};
use wire::Rtype;

use crate::api::Faults;
use crate::bed::Bed;
use crate::objects::{balanced, external, headless, pod, service, slice};

const SOA: &str = "\nns cluster.local. 5 SOA ns.dns.cluster.local.";

fn negative(rcode: &str) -> String {
    format!("{rcode}{SOA}")
}

/// The objects of the examples of the specification, and some more.
fn cluster() -> Vec<Value> {
    vec![
        service("web", &["10.3.0.1"], "http/TCP/80 https/TCP/443"),
        slice("web-1", "web", &["10.4.0.1", "10.4.0.2", "!10.4.0.3"], "http/TCP/8080"),
        service("dual", &["10.3.0.2", "fd00:3::2"], "dns/UDP/53 dns-tcp/TCP/53"),
        headless("db", "sql/TCP/3306"),
        slice("db-1", "db", &["10.4.1.1=one", "10.4.1.2"], "sql/TCP/3306"),
        slice("db-2", "db", &["fd00:4::1", "fd00:4::"], "sql/TCP/3306"),
        headless("nobody", "sql/TCP/3306"),
        headless("bare", ""),
        slice("bare-1", "bare", &["10.4.2.1"], ""),
        external("away", "host.upstream.test"),
        external("inside", "web.NS.svc.cluster.local."),
        external("number", "192.0.2.1"),
    ]
}

/// The objects in the namespace of the bed.
fn bed(options: &str) -> Bed {
    let bed = Bed::new(options, &cluster());
    let mut inside = external("inside", "");
    inside["spec"]["externalName"] = json!(format!("web.{}.svc.cluster.local.", bed.namespace()));
    bed.put(inside);
    bed.until("the alias", |bed| {
        let alias = bed.ask("inside.NS.svc.cluster.local", Rtype::CNAME);
        alias.contains("CNAME web.NS.svc.cluster.local.")
    });
    bed
}

#[test]
fn services_with_addresses() {
    let bed = bed("");
    let web = "web.NS.svc.cluster.local";
    bed.expect(web, Rtype::A, "NOERROR\nan web.NS.svc.cluster.local. 5 A 10.3.0.1");
    bed.expect(web, Rtype::AAAA, &negative("NOERROR"));
    bed.expect(web, Rtype::TXT, &negative("NOERROR"));
    bed.expect(
        web,
        Rtype::SRV,
        "NOERROR
an web.NS.svc.cluster.local. 5 SRV 0 50 443 web.NS.svc.cluster.local.
an web.NS.svc.cluster.local. 5 SRV 0 50 80 web.NS.svc.cluster.local.
ar web.NS.svc.cluster.local. 5 A 10.3.0.1",
    );
    bed.expect(
        "_http._tcp.web.NS.svc.cluster.local",
        Rtype::SRV,
        "NOERROR
an _http._tcp.web.NS.svc.cluster.local. 5 SRV 0 100 80 web.NS.svc.cluster.local.
ar web.NS.svc.cluster.local. 5 A 10.3.0.1",
    );
    bed.expect("_none._tcp.web.NS.svc.cluster.local", Rtype::SRV, &negative("NXDOMAIN"));
    bed.expect("_http._udp.web.NS.svc.cluster.local", Rtype::SRV, &negative("NXDOMAIN"));
    bed.expect(
        "dual.NS.svc.cluster.local",
        Rtype::AAAA,
        "NOERROR\nan dual.NS.svc.cluster.local. 5 AAAA fd00:3::2",
    );
    // CoreDNS counts each port with each address, and sends each target and port once.
    bed.expect(
        "dual.NS.svc.cluster.local",
        Rtype::SRV,
        "NOERROR
an dual.NS.svc.cluster.local. 5 SRV 0 25 53 dual.NS.svc.cluster.local.
ar dual.NS.svc.cluster.local. 5 A 10.3.0.2
ar dual.NS.svc.cluster.local. 5 AAAA fd00:3::2",
    );
    bed.expect(
        "10-4-0-1.web.NS.svc.cluster.local",
        Rtype::A,
        "NOERROR\nan 10-4-0-1.web.NS.svc.cluster.local. 5 A 10.4.0.1",
    );
    bed.expect("10-4-0-3.web.NS.svc.cluster.local", Rtype::A, &negative("NXDOMAIN"));
    let ptr = "NOERROR\nan 1.0.3.10.in-addr.arpa. 5 PTR web.NS.svc.cluster.local.";
    bed.expect("1.0.3.10.in-addr.arpa", Rtype::PTR, ptr);
    let ptr = "NOERROR\nan 2.0.4.10.in-addr.arpa. 5 PTR 10-4-0-2.web.NS.svc.cluster.local.";
    bed.expect("2.0.4.10.in-addr.arpa", Rtype::PTR, ptr);
    let none = "NXDOMAIN\nns in-addr.arpa. 5 SOA ns.dns.in-addr.arpa.";
    bed.expect("3.0.4.10.in-addr.arpa", Rtype::PTR, none);
    bed.expect("4.10.in-addr.arpa", Rtype::PTR, none);
}

#[test]
fn services_without_addresses() {
    let bed = bed("");
    bed.expect(
        "db.NS.svc.cluster.local",
        Rtype::A,
        "NOERROR\nan db.NS.svc.cluster.local. 5 A 10.4.1.1\nan db.NS.svc.cluster.local. 5 A 10.4.1.2",
    );
    bed.expect(
        "_sql._tcp.db.NS.svc.cluster.local",
        Rtype::SRV,
        "NOERROR
an _sql._tcp.db.NS.svc.cluster.local. 5 SRV 0 25 3306 10-4-1-2.db.NS.svc.cluster.local.
an _sql._tcp.db.NS.svc.cluster.local. 5 SRV 0 25 3306 fd00-4--0.db.NS.svc.cluster.local.
an _sql._tcp.db.NS.svc.cluster.local. 5 SRV 0 25 3306 fd00-4--1.db.NS.svc.cluster.local.
an _sql._tcp.db.NS.svc.cluster.local. 5 SRV 0 25 3306 one.db.NS.svc.cluster.local.
ar 10-4-1-2.db.NS.svc.cluster.local. 5 A 10.4.1.2
ar fd00-4--0.db.NS.svc.cluster.local. 5 AAAA fd00:4::
ar fd00-4--1.db.NS.svc.cluster.local. 5 AAAA fd00:4::1
ar one.db.NS.svc.cluster.local. 5 A 10.4.1.1",
    );
    bed.expect(
        "one.db.NS.svc.cluster.local",
        Rtype::A,
        "NOERROR\nan one.db.NS.svc.cluster.local. 5 A 10.4.1.1",
    );
    bed.expect(
        "fd00-4--0.db.NS.svc.cluster.local",
        Rtype::AAAA,
        "NOERROR\nan fd00-4--0.db.NS.svc.cluster.local. 5 AAAA fd00:4::",
    );
    // The endpoint has another name.
    bed.expect("10-4-1-1.db.NS.svc.cluster.local", Rtype::A, &negative("NXDOMAIN"));
    let ptr = "NOERROR\nan 1.1.4.10.in-addr.arpa. 5 PTR one.db.NS.svc.cluster.local.";
    bed.expect("1.1.4.10.in-addr.arpa", Rtype::PTR, ptr);
    bed.expect("nobody.NS.svc.cluster.local", Rtype::A, &negative("NXDOMAIN"));
    let bare = "NOERROR\nan bare.NS.svc.cluster.local. 5 A 10.4.2.1";
    bed.expect("bare.NS.svc.cluster.local", Rtype::A, bare);
    bed.expect("bare.NS.svc.cluster.local", Rtype::SRV, &negative("NOERROR"));
}

#[test]
fn names_elsewhere() {
    let bed = bed("");
    let away = "an away.NS.svc.cluster.local. 5 CNAME host.upstream.test.";
    bed.expect("away.NS.svc.cluster.local", Rtype::CNAME, &format!("NOERROR\n{away}"));
    bed.expect(
        "away.NS.svc.cluster.local",
        Rtype::A,
        &format!("NOERROR\n{away}\nan host.upstream.test. 60 A 192.0.2.7"),
    );
    bed.expect(
        "inside.NS.svc.cluster.local",
        Rtype::A,
        "NOERROR
an inside.NS.svc.cluster.local. 5 CNAME web.NS.svc.cluster.local.
an web.NS.svc.cluster.local. 5 A 10.3.0.1",
    );
    bed.expect("number.NS.svc.cluster.local", Rtype::A, &negative("NXDOMAIN"));
    bed.expect("x.away.NS.svc.cluster.local", Rtype::A, &negative("NXDOMAIN"));
}

#[test]
fn names_above_services() {
    let bed = bed("");
    for name in ["svc.cluster.local", "pod.cluster.local", "NS.svc.cluster.local", "cluster.local"]
    {
        bed.expect(name, Rtype::A, &negative("NOERROR"));
    }
    for name in ["none.svc.cluster.local", "web.none.svc.cluster.local", "foo.cluster.local"] {
        bed.expect(name, Rtype::A, &negative("NXDOMAIN"));
    }
    bed.expect("a.b.c.web.NS.svc.cluster.local", Rtype::A, &negative("NXDOMAIN"));
    bed.expect("NS.pod.cluster.local", Rtype::A, &negative("NXDOMAIN"));
    let version = "NOERROR\nan dns-version.cluster.local. 28800 TXT 1.1.0";
    bed.expect("dns-version.cluster.local", Rtype::TXT, version);
    let soa = "NOERROR\nan cluster.local. 5 SOA ns.dns.cluster.local.";
    bed.expect("cluster.local", Rtype::SOA, soa);
    bed.expect(
        "WEB.NS.svc.CLUSTER.local",
        Rtype::A,
        "NOERROR\nan WEB.NS.svc.CLUSTER.local. 5 A 10.3.0.1",
    );
}

#[test]
fn pods_by_their_address() {
    let insecure = bed("pods insecure\nttl 30");
    insecure.expect(
        "10-9-8-7.NS.pod.cluster.local",
        Rtype::A,
        "NOERROR\nan 10-9-8-7.NS.pod.cluster.local. 30 A 10.9.8.7",
    );
    insecure.expect(
        "fd00--7.NS.pod.cluster.local",
        Rtype::AAAA,
        "NOERROR\nan fd00--7.NS.pod.cluster.local. 30 AAAA fd00::7",
    );
    let none = "NXDOMAIN\nns cluster.local. 30 SOA ns.dns.cluster.local.";
    insecure.expect("10-9-8-700.NS.pod.cluster.local", Rtype::A, none);
    insecure.expect("10-9-8-7.none.pod.cluster.local", Rtype::A, none);

    let pods = [pod("one", "10.5.0.1", "Running"), pod("done", "10.5.0.2", "Succeeded")];
    let verified = Bed::new("pods verified", &pods);
    let one = "NOERROR\nan 10-5-0-1.NS.pod.cluster.local. 5 A 10.5.0.1";
    verified.expect("10-5-0-1.NS.pod.cluster.local", Rtype::A, one);
    verified.expect("10-5-0-2.NS.pod.cluster.local", Rtype::A, &negative("NXDOMAIN"));
    verified.expect("10-9-8-7.NS.pod.cluster.local", Rtype::A, &negative("NXDOMAIN"));
    verified.put(pod("one", "10.5.0.9", "Running"));
    let moved = "NOERROR\nan 10-5-0-9.NS.pod.cluster.local. 5 A 10.5.0.9";
    verified.expect("10-5-0-9.NS.pod.cluster.local", Rtype::A, moved);
    verified.expect("10-5-0-1.NS.pod.cluster.local", Rtype::A, &negative("NXDOMAIN"));
    verified.put(pod("one", "10.5.0.9", "Failed"));
    verified.expect("10-5-0-9.NS.pod.cluster.local", Rtype::A, &negative("NXDOMAIN"));
}

#[test]
fn options_select_what_is_answered() {
    let names = slice("db-1", "db", &["10.4.6.1#pod-a", "10.4.6.2=host#pod-b"], "sql/TCP/3306");
    let bed = Bed::new("endpoint_pod_names", &[headless("db", "sql/TCP/3306"), names]);
    let a = "NOERROR\nan pod-a.db.NS.svc.cluster.local. 5 A 10.4.6.1";
    bed.expect("pod-a.db.NS.svc.cluster.local", Rtype::A, a);

    let bed = Bed::new("noendpoints", &cluster());
    bed.expect("db.NS.svc.cluster.local", Rtype::A, &negative("NXDOMAIN"));
    let web = "NOERROR\nan web.NS.svc.cluster.local. 5 A 10.3.0.1";
    bed.expect("web.NS.svc.cluster.local", Rtype::A, web);

    let bed = Bed::new("ignore empty_service", &cluster());
    bed.expect("web.NS.svc.cluster.local", Rtype::A, web);
    bed.expect("dual.NS.svc.cluster.local", Rtype::A, &negative("NXDOMAIN"));

    let bed = Bed::new("labels app=web", &cluster());
    bed.expect("web.NS.svc.cluster.local", Rtype::A, web);
    bed.expect("dual.NS.svc.cluster.local", Rtype::A, &negative("NXDOMAIN"));

    let bed = Bed::new("namespaces other", &cluster());
    bed.expect("web.NS.svc.cluster.local", Rtype::A, &negative("NXDOMAIN"));
    let none = "NXDOMAIN\nns in-addr.arpa. 5 SOA ns.dns.in-addr.arpa.";
    bed.expect("1.0.3.10.in-addr.arpa", Rtype::PTR, none);
    let bed = Bed::new("namespaces {namespace}", &cluster());
    bed.expect("web.NS.svc.cluster.local", Rtype::A, web);

    let bed = Bed::new("namespace_labels team=a", &cluster());
    bed.expect("web.NS.svc.cluster.local", Rtype::A, &negative("NXDOMAIN"));
    bed.put(json!({
        "apiVersion": "v1", "kind": "Namespace",
        "metadata": {"name": bed.namespace(), "labels": {"team": "a"}},
    }));
    bed.expect("web.NS.svc.cluster.local", Rtype::A, web);
}

#[test]
fn topology_zones_have_names() {
    let slice = slice("db-1", "db", &["10.4.7.1@eu-1", "10.4.7.2@EU-2", "10.4.7.3@a.b"], "x/TCP/1");
    let objects = [headless("db", "x/TCP/1"), slice, service("web", &["10.3.7.1"], "x/TCP/1")];
    let bed = Bed::new("zonal", &objects);
    let of = |zone: &str, address: &str| {
        format!("NOERROR\nan {zone}._zone.db.NS.svc.cluster.local. 5 A {address}")
    };
    for (zone, address) in
        [("eu-1.pin", "10.4.7.1"), ("eu-2.prefer", "10.4.7.2"), ("a.b.pin", "10.4.7.3")]
    {
        let name = format!("{zone}._zone.db.NS.svc.cluster.local");
        bed.expect(&name, Rtype::A, &of(zone, address));
    }
    bed.expect("us.pin._zone.db.NS.svc.cluster.local", Rtype::A, &negative("NOERROR"));
    let all = bed.ask("us.prefer._zone.db.NS.svc.cluster.local", Rtype::A);
    assert_eq!(all.lines().count(), 4, "{all}");
    bed.expect("us.pin._zone.web.NS.svc.cluster.local", Rtype::A, &negative("NXDOMAIN"));
    bed.expect("us.near._zone.db.NS.svc.cluster.local", Rtype::A, &negative("NXDOMAIN"));
}

fn import(name: &str, kind: &str, addresses: &[&str]) -> Value {
    json!({
        "apiVersion": "multicluster.x-k8s.io/v1alpha1", "kind": "ServiceImport",
        "metadata": {"name": name},
        "spec": {"type": kind, "ips": addresses, "ports": [{"name": "x", "protocol": "TCP", "port": 9}]},
    })
}

#[test]
fn imported_services_have_a_zone() {
    let mut slice = slice("s-1", "", &["10.4.8.1=a", "10.4.8.2"], "x/TCP/9");
    slice["metadata"]["labels"] = json!({
        "multicluster.kubernetes.io/service-name": "far",
        "multicluster.kubernetes.io/source-cluster": "west",
    });
    let objects =
        [import("near", "ClusterSetIP", &["10.3.8.1"]), import("far", "Headless", &[]), slice];
    let bed = Bed::new("multicluster clusterset.local", &objects);
    let near = "NOERROR\nan near.NS.svc.clusterset.local. 5 A 10.3.8.1";
    bed.expect("near.NS.svc.clusterset.local", Rtype::A, near);
    let one = "NOERROR\nan a.west.far.NS.svc.clusterset.local. 5 A 10.4.8.1";
    bed.expect("a.west.far.NS.svc.clusterset.local", Rtype::A, one);
    bed.expect(
        "_x._tcp.far.NS.svc.clusterset.local",
        Rtype::SRV,
        "NOERROR
an _x._tcp.far.NS.svc.clusterset.local. 5 SRV 0 50 9 10-4-8-2.west.far.NS.svc.clusterset.local.
an _x._tcp.far.NS.svc.clusterset.local. 5 SRV 0 50 9 a.west.far.NS.svc.clusterset.local.
ar 10-4-8-2.west.far.NS.svc.clusterset.local. 5 A 10.4.8.2
ar a.west.far.NS.svc.clusterset.local. 5 A 10.4.8.1",
    );
    let none = "NXDOMAIN\nns clusterset.local. 5 SOA ns.dns.clusterset.local.";
    bed.expect("a.east.far.NS.svc.clusterset.local", Rtype::A, none);
    bed.expect("near.NS.svc.cluster.local", Rtype::A, &negative("NXDOMAIN"));
}

#[test]
fn changes_are_answered() {
    let bed = bed("");
    bed.put(slice("db-1", "db", &["10.4.1.7"], "sql/TCP/3306"));
    let db = "NOERROR\nan db.NS.svc.cluster.local. 5 A 10.4.1.7";
    bed.expect("db.NS.svc.cluster.local", Rtype::A, db);
    let none = "NXDOMAIN\nns in-addr.arpa. 5 SOA ns.dns.in-addr.arpa.";
    bed.expect("1.1.4.10.in-addr.arpa", Rtype::PTR, none);
    bed.delete("EndpointSlice", "db-1");
    bed.delete("EndpointSlice", "db-2");
    bed.expect("db.NS.svc.cluster.local", Rtype::A, &negative("NXDOMAIN"));
    bed.delete("Service", "web");
    bed.expect("web.NS.svc.cluster.local", Rtype::A, &negative("NXDOMAIN"));
    bed.put(service("web", &["10.3.0.99"], "http/TCP/80"));
    let web = "NOERROR\nan web.NS.svc.cluster.local. 5 A 10.3.0.99";
    bed.expect("web.NS.svc.cluster.local", Rtype::A, web);
}

#[test]
fn objects_in_json_are_the_same() {
    let json = Faults { no_protobuf: true, ..Faults::default() };
    let bed = Bed::own(
        "pods verified",
        &[cluster(), vec![pod("one", "10.5.0.1", "Running")]].concat(),
        |api| {
            api.set(json.clone());
        },
    );
    let both = "NOERROR\nan db.NS.svc.cluster.local. 5 A 10.4.1.1\nan db.NS.svc.cluster.local. 5 A 10.4.1.2";
    bed.expect("db.NS.svc.cluster.local", Rtype::A, both);
    let one = "NOERROR\nan 10-5-0-1.NS.pod.cluster.local. 5 A 10.5.0.1";
    bed.expect("10-5-0-1.NS.pod.cluster.local", Rtype::A, one);
    bed.put(slice("db-1", "db", &["!10.4.1.1", "10.4.1.3"], "sql/TCP/3306"));
    let db = "NOERROR\nan db.NS.svc.cluster.local. 5 A 10.4.1.3";
    bed.expect("db.NS.svc.cluster.local", Rtype::A, db);
}

#[test]
fn services_are_reached_from_outside() {
    let objects = [
        balanced("web", "10.3.9.1", "http/TCP/80", &["192.0.2.10", "2001:db8::10"]),
        balanced("host", "10.3.9.2", "http/TCP/80", &["host.upstream.test"]),
        service("inner", &["10.3.9.3"], "http/TCP/80"),
        headless("db", "sql/TCP/3306"),
        slice("db-1", "db", &["10.4.9.1=one", "10.4.9.2=two"], "sql/TCP/3306"),
    ];
    let plugin = "k8s_external ext.test in-addr.arpa ip6.arpa {\nheadless\nfallthrough in-addr.arpa ip6.arpa\n}";
    let bed = Bed::with(plugin, "", &objects, |_| {});
    bed.until("readiness", Bed::is_ready);
    let web = "web.NS.ext.test";
    bed.expect(web, Rtype::A, "NOERROR\nan web.NS.ext.test. 5 A 192.0.2.10");
    bed.expect(web, Rtype::AAAA, "NOERROR\nan web.NS.ext.test. 5 AAAA 2001:db8::10");
    bed.expect(
        "_http._tcp.web.NS.ext.test",
        Rtype::SRV,
        "NOERROR
an _http._tcp.web.NS.ext.test. 5 SRV 0 50 80 web.NS.ext.test.
ar web.NS.ext.test. 5 A 192.0.2.10
ar web.NS.ext.test. 5 AAAA 2001:db8::10",
    );
    bed.expect(
        "host.NS.ext.test",
        Rtype::A,
        "NOERROR
an host.NS.ext.test. 5 CNAME host.upstream.test.
an host.upstream.test. 60 A 192.0.2.7",
    );
    let none = "NXDOMAIN\nns ext.test. 5 SOA ns1.dns.ext.test.";
    bed.expect("inner.NS.ext.test", Rtype::A, none);
    bed.expect("x.web.NS.ext.test", Rtype::A, none);
    bed.expect("NS.ext.test", Rtype::A, &none.replace("NXDOMAIN", "NOERROR"));
    bed.expect("one.db.NS.ext.test", Rtype::A, "NOERROR\nan one.db.NS.ext.test. 5 A 10.4.9.1");
    bed.expect("ext.test", Rtype::SOA, "NOERROR\nan ext.test. 5 SOA ns1.dns.ext.test.");
    bed.expect("dns.ext.test", Rtype::A, &none.replace("NXDOMAIN", "NOERROR"));
    bed.expect("ns2.dns.ext.test", Rtype::A, none);
    let ptr = "NOERROR\nan 10.2.0.192.in-addr.arpa. 5 PTR web.NS.ext.test.";
    bed.expect("10.2.0.192.in-addr.arpa", Rtype::PTR, ptr);
    // What is not outside is inside.
    let ptr = "NOERROR\nan 3.9.3.10.in-addr.arpa. 5 PTR inner.NS.svc.cluster.local.";
    bed.expect("3.9.3.10.in-addr.arpa", Rtype::PTR, ptr);
}

#[test]
fn the_zone_can_be_transferred() {
    let bed = Bed::with("transfer {\nto *\n}", "", &cluster(), |_| {});
    bed.until("readiness", Bed::is_ready);
    let zone = bed.ask("cluster.local", Rtype::AXFR);
    for record in [
        "web.NS.svc.cluster.local. 5 A 10.3.0.1",
        "_http._tcp.web.NS.svc.cluster.local. 5 SRV 0 100 80 web.NS.svc.cluster.local.",
        "one.db.NS.svc.cluster.local. 5 A 10.4.1.1",
        "_sql._tcp.db.NS.svc.cluster.local. 5 SRV 0 25 3306 fd00-4--0.db.NS.svc.cluster.local.",
        "away.NS.svc.cluster.local. 5 CNAME host.upstream.test.",
        "dns-version.cluster.local. 28800 TXT 1.1.0",
    ] {
        assert!(zone.contains(&format!("\nan {record}")), "{record} is missing\n{zone}");
    }
    let reverse = bed.ask("in-addr.arpa", Rtype::AXFR);
    let record = "1.1.4.10.in-addr.arpa. 5 PTR one.db.NS.svc.cluster.local.";
    assert!(reverse.contains(record), "{reverse}");
}
