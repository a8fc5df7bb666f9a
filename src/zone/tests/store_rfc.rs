//! The examples of the RFCs, as data: a zone, and for each question the rcode and the records of
//! answer and authority (`...` stands for "whatever").

#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "all of this is test code")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test program")]

mod store_kit;

use store_kit::{Record, ask, load, name, record, same, show};
use wire::Rtype;

/// `> name type [do]`, then `rcode [aa]`, then records with `AN ` or `NS ` before them.
fn check(origin: &str, zone: &str, script: &str) {
    let zone = load(origin, zone).unwrap_or_else(|errors| panic!("{errors:?}"));
    for block in script.split("> ").skip(1) {
        let mut lines = block.lines().map(str::trim).filter(|line| !line.is_empty());
        let question: Vec<&str> = lines.next().unwrap().split(' ').collect();
        let qtype = Rtype::from_text(question[1]).unwrap();
        let got = ask(&zone, &name(question[0]), qtype, question.contains(&"do"));
        let head = lines.next().unwrap();
        let flags = if got.aa { " aa" } else { "" };
        assert_eq!(format!("{}{flags}", got.rcode), head, "{question:?}");
        let lines: Vec<&str> = lines.collect();
        for (mark, section) in ["AN ", "NS "].into_iter().zip(&got.sections) {
            let wanted: Vec<&str> =
                lines.iter().filter_map(|line| line.strip_prefix(mark)).collect();
            if wanted == ["..."] {
                continue;
            }
            let want: Vec<Record> = wanted.iter().map(|line| record(line)).collect();
            let (got, want_text) = (show(section), show(&want));
            assert!(same(section, &want, true), "{question:?} {mark}\n{got:#?}\n{want_text:#?}");
        }
    }
}

#[test]
fn rfc_4592_section_2_2_1() {
    check(
        "example.",
        "$ORIGIN example.
@ 3600 IN SOA ns hostmaster 1 7200 3600 86400 600
@ 3600 NS ns.example.com.
@ 3600 NS ns.example.net.
*.example. 3600 TXT \"this is a wildcard\"
*.example. 3600 MX 10 host1.example.
sub.*.example. 3600 TXT \"this is not a wildcard\"
host1.example. 3600 A 192.0.2.1
_ssh._tcp.host1.example. 3600 SRV 0 0 22 host1.example.
_ssh._tcp.host2.example. 3600 SRV 0 0 22 host1.example.
subdel.example. 3600 NS ns.example.com.
subdel.example. 3600 NS ns.example.net.
",
        "> host3.example. MX
NOERROR aa
AN host3.example. 3600 IN MX 10 host1.example.
NS ...
> host3.example. A
NOERROR aa
NS example. 3600 IN SOA ns.example. hostmaster.example. 1 7200 3600 86400 600
> foo.bar.example. TXT
NOERROR aa
AN foo.bar.example. 3600 IN TXT \"this is a wildcard\"
NS ...
> host1.example. MX
NOERROR aa
NS ...
> sub.*.example. MX
NOERROR aa
NS ...
> _telnet._tcp.host1.example. SRV
NXDOMAIN aa
NS ...
> host.subdel.example. A
NOERROR
NS subdel.example. 3600 IN NS ns.example.com.
NS subdel.example. 3600 IN NS ns.example.net.
> ghost.*.example. MX
NXDOMAIN aa
NS ...
> *.example. MX
NOERROR aa
AN *.example. 3600 IN MX 10 host1.example.
NS ...
> host2.example. TXT
NOERROR aa
NS ...
",
    );
}

#[test]
fn rfc_6672_substitution() {
    let long = ["a".repeat(62), "b".repeat(62), "c".repeat(62)].join(".");
    let zone = format!(
        "$ORIGIN example.
@ 60 SOA ns host 1 2 3 4 5
@ 60 NS ns
d 60 DNAME target
d 60 TXT \"at the owner\"
x.target 60 A 192.0.2.1
*.target 60 TXT wild
out 60 DNAME else.where.
top 60 DNAME .
long 60 DNAME {long}
chain 60 CNAME x.d
low.d 60 A 192.0.2.9
"
    );
    let far = "e".repeat(60);
    let script = format!(
        "> x.d.example. A
NOERROR aa
AN d.example. 60 IN DNAME target.example.
AN x.d.example. 60 IN CNAME x.target.example.
AN x.target.example. 60 IN A 192.0.2.1
NS ...
> d.example. TXT
NOERROR aa
AN d.example. 60 IN TXT \"at the owner\"
NS ...
> d.example. A
NOERROR aa
NS ...
> y.z.d.example. TXT
NOERROR aa
AN d.example. 60 IN DNAME target.example.
AN y.z.d.example. 60 IN CNAME y.z.target.example.
AN y.z.target.example. 60 IN TXT wild
NS ...
> low.d.example. A
NOERROR aa
AN d.example. 60 IN DNAME target.example.
AN low.d.example. 60 IN CNAME low.target.example.
NS ...
> a.b.out.example. A
NOERROR aa
AN out.example. 60 IN DNAME else.where.
AN a.b.out.example. 60 IN CNAME a.b.else.where.
NS ...
> a.top.example. A
NOERROR aa
AN top.example. 60 IN DNAME .
AN a.top.example. 60 IN CNAME a.
NS ...
> {far}.long.example. A
YXDOMAIN aa
AN long.example. 60 IN DNAME {long}.example.
> chain.example. A
NOERROR aa
AN chain.example. 60 IN CNAME x.d.example.
AN d.example. 60 IN DNAME target.example.
AN x.d.example. 60 IN CNAME x.target.example.
AN x.target.example. 60 IN A 192.0.2.1
NS ...
> x.d.example. CNAME
NOERROR aa
AN d.example. 60 IN DNAME target.example.
AN x.d.example. 60 IN CNAME x.target.example.
NS ...
"
    );
    check("example.", &zone, &script);
}

#[test]
fn rfc_2308_negative_answers() {
    let soa = "xx. 100 IN SOA ns1.xx. hostmaster.ns1.xx. 1 2 3 4 50";
    check(
        "xx.",
        &format!(
            "{soa}\nxx. 100 NS ns1.xx.\nns1.xx. 100 A 127.0.0.2\nan.example.xx. 100 CNAME tripple.xx.\nhere.xx. 100 CNAME ns1.xx.\n"
        ),
        // The second: section 2.1, the SOA is that of the zone the chain ends in.
        &format!(
            "> nothing.xx. A
NXDOMAIN aa
NS {soa}
> an.example.xx. A
NXDOMAIN aa
AN an.example.xx. 100 IN CNAME tripple.xx.
NS {soa}
> ns1.xx. MX
NOERROR aa
NS {soa}
> here.xx. MX
NOERROR aa
AN here.xx. 100 IN CNAME ns1.xx.
NS {soa}
> example.xx. A
NOERROR aa
NS {soa}
"
        ),
    );
}

/// The zone of RFC 4035 appendix A with its records, signatures shortened.
const RFC_4035: &str = "$ORIGIN example.
$TTL 3600
@ SOA ns1 bugs.x.w 1081539377 3600 300 3600000 3600
@ RRSIG SOA 5 1 3600 20040509183619 20040409183619 38519 example. AAAA
@ NS ns1
@ NS ns2
@ RRSIG NS 5 1 3600 20040509183619 20040409183619 38519 example. AAAA
@ MX 1 xx
@ NSEC a NS SOA MX RRSIG NSEC DNSKEY
@ RRSIG NSEC 5 1 3600 20040509183619 20040409183619 38519 example. AAAA
a NS ns1.a
a NS ns2.a
a DS 57855 5 1 B6DCD485719ADCA18E5F3D48A2331627FDD3636B
a RRSIG DS 5 2 3600 20040509183619 20040409183619 38519 example. AAAA
a NSEC ai NS DS RRSIG NSEC
a RRSIG NSEC 5 2 3600 20040509183619 20040409183619 38519 example. AAAA
ns1.a A 192.0.2.5
ns2.a A 192.0.2.6
ai A 192.0.2.9
ai RRSIG A 5 2 3600 20040509183619 20040409183619 38519 example. AAAA
ai NSEC b A RRSIG NSEC
ai RRSIG NSEC 5 2 3600 20040509183619 20040409183619 38519 example. AAAA
b NS ns1.b
b NS ns2.b
b NSEC ns1 NS RRSIG NSEC
b RRSIG NSEC 5 2 3600 20040509183619 20040409183619 38519 example. AAAA
ns1.b A 192.0.2.7
ns1 A 192.0.2.1
ns1 RRSIG A 5 2 3600 20040509183619 20040409183619 38519 example. AAAA
ns1 NSEC ns2 A RRSIG NSEC
ns1 RRSIG NSEC 5 2 3600 20040509183619 20040409183619 38519 example. AAAA
ns2 A 192.0.2.2
ns2 NSEC *.w A RRSIG NSEC
*.w MX 1 ai
*.w RRSIG MX 5 2 3600 20040509183619 20040409183619 38519 example. AAAA
*.w NSEC x.w MX RRSIG NSEC
x.w MX 1 xx
x.w NSEC x.y.w MX RRSIG NSEC
x.y.w MX 1 xx
x.y.w NSEC xx MX RRSIG NSEC
x.y.w RRSIG NSEC 5 4 3600 20040509183619 20040409183619 38519 example. AAAA
xx A 192.0.2.10
xx NSEC example. A RRSIG NSEC
";

#[test]
fn rfc_4035_appendix_b() {
    let sig = |owner: &str, of: &str, labels: u8| {
        format!(
            "{owner} 3600 IN RRSIG {of} 5 {labels} 3600 20040509183619 20040409183619 38519 example. AAAA"
        )
    };
    let soa = format!(
        "NS example. 3600 IN SOA ns1.example. bugs.x.w.example. 1081539377 3600 300 3600000 3600\nNS {}",
        sig("example.", "SOA", 1)
    );
    let top = format!(
        "NS example. 3600 IN NSEC a.example. NS SOA MX RRSIG NSEC DNSKEY\nNS {}",
        sig("example.", "NSEC", 1)
    );
    let ns = format!(
        "NS example. 3600 IN NS ns1.example.\nNS example. 3600 IN NS ns2.example.\nNS {}",
        sig("example.", "NS", 1)
    );
    let script = format!(
        "> ml.example. A do
NXDOMAIN aa
{soa}
NS b.example. 3600 IN NSEC ns1.example. NS RRSIG NSEC
NS {b}
{top}
> ns1.example. MX do
NOERROR aa
{soa}
NS ns1.example. 3600 IN NSEC ns2.example. A RRSIG NSEC
NS {ns1}
> mc.a.example. MX do
NOERROR
NS a.example. 3600 IN NS ns1.a.example.
NS a.example. 3600 IN NS ns2.a.example.
NS a.example. 3600 IN DS 57855 5 1 B6DCD485719ADCA18E5F3D48A2331627FDD3636B
NS {ads}
> mc.b.example. MX do
NOERROR
NS b.example. 3600 IN NS ns1.b.example.
NS b.example. 3600 IN NS ns2.b.example.
NS b.example. 3600 IN NSEC ns1.example. NS RRSIG NSEC
NS {b}
> a.z.w.example. MX do
NOERROR aa
AN a.z.w.example. 3600 IN MX 1 ai.example.
AN {wild}
{ns}
NS x.y.w.example. 3600 IN NSEC xx.example. MX RRSIG NSEC
NS {xyw}
> a.z.w.example. AAAA do
NOERROR aa
{soa}
NS x.y.w.example. 3600 IN NSEC xx.example. MX RRSIG NSEC
NS {xyw}
NS *.w.example. 3600 IN NSEC x.w.example. MX RRSIG NSEC
> example. DS do
NOERROR aa
{soa}
{top}
> y.w.example. A do
NOERROR aa
{soa}
NS x.w.example. 3600 IN NSEC x.y.w.example. MX RRSIG NSEC
> b.example. DS do
NOERROR aa
{soa}
NS b.example. 3600 IN NSEC ns1.example. NS RRSIG NSEC
NS {b}
> ai.example. A do
NOERROR aa
AN ai.example. 3600 IN A 192.0.2.9
AN {ai}
{ns}
> ai.example. A
NOERROR aa
AN ai.example. 3600 IN A 192.0.2.9
NS example. 3600 IN NS ns1.example.
NS example. 3600 IN NS ns2.example.
",
        b = sig("b.example.", "NSEC", 2),
        ns1 = sig("ns1.example.", "NSEC", 2),
        ads = sig("a.example.", "DS", 2),
        wild = sig("a.z.w.example.", "MX", 2),
        xyw = sig("x.y.w.example.", "NSEC", 4),
        ai = sig("ai.example.", "A", 2),
    );
    check("example.", RFC_4035, &script);
}

/// The zone of RFC 5155 appendix A, without signatures but that of the SOA record.
const RFC_5155: &str = "$ORIGIN example.
$TTL 3600
@ SOA ns1 bugs.x.w 1 3600 300 3600000 3600
@ RRSIG SOA 7 1 3600 20150420235959 20051021000000 40430 example. AAAA
@ NS ns1
@ NS ns2
@ MX 1 xx
@ NSEC3PARAM 1 0 12 aabbccdd
0p9mhaveqvm6t7vbl5lop2u3t2rp3tom NSEC3 1 1 12 aabbccdd 2t7b4g4vsa5smi47k61mv5bv1a22bojr NS SOA MX RRSIG DNSKEY NSEC3PARAM
2t7b4g4vsa5smi47k61mv5bv1a22bojr NSEC3 1 1 12 aabbccdd 2vptu5timamqttgl4luu9kg21e0aor3s A RRSIG
2vptu5timamqttgl4luu9kg21e0aor3s NSEC3 1 1 12 aabbccdd 35mthgpgcu1qg68fab165klnsnk3dpvl MX RRSIG
35mthgpgcu1qg68fab165klnsnk3dpvl NSEC3 1 1 12 aabbccdd b4um86eghhds6nea196smvmlo4ors995 NS DS RRSIG
a NS ns1.a
a NS ns2.a
a DS 58470 5 1 3079F1593EBAD6DC121E202A8B766A6A4837206C
ns1.a A 192.0.2.5
ns2.a A 192.0.2.6
ai A 192.0.2.9
b4um86eghhds6nea196smvmlo4ors995 NSEC3 1 1 12 aabbccdd gjeqe526plbf1g8mklp59enfd789njgi MX RRSIG
c NS ns1.c
c NS ns2.c
ns1.c A 192.0.2.7
gjeqe526plbf1g8mklp59enfd789njgi NSEC3 1 1 12 aabbccdd ji6neoaepv8b5o6k4ev33abha8ht9fgc A HINFO AAAA RRSIG
ji6neoaepv8b5o6k4ev33abha8ht9fgc NSEC3 1 1 12 aabbccdd k8udemvp1j2f7eg6jebps17vp3n8i58h
k8udemvp1j2f7eg6jebps17vp3n8i58h NSEC3 1 1 12 aabbccdd kohar7mbb8dc2ce8a9qvl8hon4k53uhi
kohar7mbb8dc2ce8a9qvl8hon4k53uhi NSEC3 1 1 12 aabbccdd q04jkcevqvmu85r014c7dkba38o0ji5r A RRSIG
ns1 A 192.0.2.1
ns2 A 192.0.2.2
q04jkcevqvmu85r014c7dkba38o0ji5r NSEC3 1 1 12 aabbccdd r53bq7cc2uvmubfu5ocmm6pers9tk9en A RRSIG
r53bq7cc2uvmubfu5ocmm6pers9tk9en NSEC3 1 1 12 aabbccdd t644ebqk9bibcna874givr6joj62mlhv MX RRSIG
t644ebqk9bibcna874givr6joj62mlhv NSEC3 1 1 12 aabbccdd 0p9mhaveqvm6t7vbl5lop2u3t2rp3tom A HINFO AAAA RRSIG
*.w MX 1 ai
x.w MX 1 xx
x.y.w MX 1 xx
xx A 192.0.2.10
";

#[test]
fn rfc_5155_appendix_b() {
    let line = |hash: &str| {
        let found = RFC_5155.lines().find(|line| line.starts_with(hash)).unwrap();
        let (owner, rest) = found.split_once(' ').unwrap();
        format!("NS {owner}.example. 3600 IN {rest}")
    };
    let soa = "NS example. 3600 IN SOA ns1.example. bugs.x.w.example. 1 3600 300 3600000 3600\n\
        NS example. 3600 IN RRSIG SOA 7 1 3600 20150420235959 20051021000000 40430 example. AAAA";
    let [top, c0, ce, w, wild, ent, b4] =
        ["0p9m", "35mt", "b4um", "k8ud", "r53b", "ji6n", "q04j"].map(line);
    let script = format!(
        "> a.c.x.w.example. A do
NXDOMAIN aa
{soa}
{ce}
{top}
{c0}
> ns1.example. MX do
NOERROR aa
{soa}
{ns1}
> y.w.example. A do
NOERROR aa
{soa}
{ent}
> mc.c.example. MX do
NOERROR
NS c.example. 3600 IN NS ns1.c.example.
NS c.example. 3600 IN NS ns2.c.example.
{c0}
{top}
> a.z.w.example. MX do
NOERROR aa
AN a.z.w.example. 3600 IN MX 1 ai.example.
NS example. 3600 IN NS ns1.example.
NS example. 3600 IN NS ns2.example.
{b4}
> a.z.w.example. AAAA do
NOERROR aa
{soa}
{w}
{b4}
{wild}
> example. DS do
NOERROR aa
{soa}
{top}
> 2t7b4g4vsa5smi47k61mv5bv1a22bojr.example. NSEC3
NXDOMAIN aa
NS ...
",
        ns1 = line("2t7b"),
    );
    check("example.", RFC_5155, &script);
}
