//! `forward` and `cache` before hickory-server, a signed zone in the same process: what comes
//! through us is what it says when it is asked itself.

use std::sync::Arc;
use std::time::Duration;

use hickory_server::Server as Hickory;
use hickory_server::dnssec::NxProofKind;
use hickory_server::proto::dnssec::crypto::Ed25519SigningKey;
use hickory_server::proto::dnssec::rdata::DNSKEY;
use hickory_server::proto::dnssec::{DnssecSigner, SigningKey};
use hickory_server::proto::op::ResponseCode;
use hickory_server::proto::rr::{Name, RecordType};
use hickory_server::proto::serialize::txt::Parser;
use hickory_server::store::in_memory::InMemoryZoneHandler;
use hickory_server::zone_handler::{AxfrPolicy, Catalog, ZoneType};
use tokio::net::{TcpListener, UdpSocket};
use tokio::runtime::Runtime;

use crate::ask::{Client, Question, Record, Reply};
use crate::kit::{Server, free_port};

const ZONE: &str = "\
$TTL 300
@         SOA   ns hostmaster 1 7200 3600 1209600 120
@         NS    ns
@         MX    10 mail
@         MX    20 mail.example.net.
@         TXT   \"v=spf1 mx -all\" \"and a second string\"
ns        A     192.0.2.1
www       A     192.0.2.80
www       A     192.0.2.81
www       AAAA  2001:db8::80
mail      A     192.0.2.25
alias     CNAME www
chain     CNAME alias
_sip._tcp SRV   10 60 5060 mail
_sip._tcp SRV   20 0 5061 www
*.wild    A     192.0.2.90
a.b.ent   TXT   \"b.ent and ent are empty non-terminals\"
caa       CAA   0 issue \"ca.example.net\"
short     60 A  192.0.2.60
";

/// hickory-server with the zone, signed; ends with the value.
struct Upstream {
    runtime: Runtime,
    server: Hickory<Catalog>,
    port: u16,
}

impl Upstream {
    fn start() -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let port = free_port();
        let mut server = Hickory::new(catalog());
        runtime.block_on(async {
            server.register_socket(UdpSocket::bind(("127.0.0.1", port)).await.unwrap());
            let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
            server.register_listener(listener, Duration::from_secs(5), 64);
        });
        Self { runtime, server, port }
    }

    fn stop(mut self) {
        self.runtime.block_on(self.server.shutdown_gracefully()).unwrap();
    }
}

/// The zone, signed.
pub(crate) fn catalog() -> Catalog {
    let origin = Name::from_ascii("example.org.").unwrap();
    // A set that needs TCP even if the client offers what every server gives at most.
    let big = (0..30).map(|i| format!("big TXT \"{i:0>200}\"\n"));
    let text = ZONE.to_owned() + &big.collect::<String>();
    let (_, records) = Parser::new(text, None, Some(origin.clone())).parse().unwrap();
    let proof = Some(NxProofKind::Nsec);
    let (primary, policy) = (ZoneType::Primary, AxfrPolicy::Deny);
    let mut zone: InMemoryZoneHandler =
        InMemoryZoneHandler::new(origin.clone(), records, primary, policy, proof).unwrap();
    let key = Ed25519SigningKey::from_pkcs8(&Ed25519SigningKey::generate_pkcs8().unwrap()).unwrap();
    let dnskey = DNSKEY::from_key(&key.to_public_key().unwrap());
    let day = Duration::from_secs(86_400);
    zone.add_zone_signing_key_mut(DnssecSigner::new(dnskey, Box::new(key), origin.clone(), day))
        .unwrap();
    zone.secure_zone_mut().unwrap();
    let mut catalog = Catalog::new();
    catalog.upsert(origin.into(), vec![Arc::new(zone)]);
    catalog
}

/// One of each: types, aliases, wildcards, denials, with and without DNSSEC and EDNS.
pub(crate) fn questions() -> Vec<Question> {
    use RecordType::{A, AAAA, CAA, CNAME, DNSKEY, MX, NS, SOA, SRV, TXT};
    let asked = [
        ("www", A),
        ("www", AAAA),
        ("WwW", A),
        ("@", MX),
        ("@", TXT),
        ("@", SOA),
        ("@", NS),
        ("@", DNSKEY),
        ("_sip._tcp", SRV),
        ("caa", CAA),
        ("short", A),
        ("big", TXT),
        ("alias", CNAME),
        ("alias", A),
        ("chain", AAAA),
        ("chain", MX),
        ("x.wild", A),
        ("y.z.wild", A),
        ("x.wild", TXT),
        ("mail", AAAA),
        ("b.ent", A),
        ("www", RecordType::Unknown(65_280)),
        ("nothing", A),
        ("below.www", A),
    ];
    let full = |name: &str| match name {
        "@" => "example.org.".to_owned(),
        _ => format!("{name}.example.org."),
    };
    let mut questions = Vec::new();
    for (name, rtype) in asked {
        let question = Question::new(&full(name), rtype);
        questions.push(question.clone().plain());
        questions.push(question.clone().dnssec());
        questions.push(question);
    }
    questions
}

/// Whether two replies say the same, as far as a forwarder may not change it. A cache counts TTLs
/// down and takes away what is no longer authoritative.
pub(crate) fn compare(question: &Question, direct: &Reply, through: &Reply) -> Result<(), String> {
    let same = |ours: &[Record], theirs: &[Record]| {
        let fits = |(ours, theirs): (&Record, &Record)| ours.same(theirs) && ours.ttl <= theirs.ttl;
        ours.len() == theirs.len() && ours.iter().zip(theirs).all(fits)
    };
    let equal = direct.rcode == through.rcode
        && direct.dnssec == through.dnssec
        && same(&through.answer, &direct.answer)
        && same(&through.authority, &direct.authority)
        && same(&through.additional, &direct.additional);
    if equal {
        return Ok(());
    }
    let shown = |reply: &Reply| format!("    {}\n", reply.lines().join("\n    "));
    Err(format!("> {question}\n  hickory:\n{}  through us:\n{}", shown(direct), shown(through)))
}

#[test]
fn what_comes_through_is_what_hickory_says() {
    let upstream = Upstream::start();
    let direct = Client::new(upstream.port);
    let serves = |plugins: &str| {
        let forward = format!("forward . 127.0.0.1:{}", upstream.port);
        Server::start(&format!(".:{{port}} {{\n  bind 127.0.0.1\n{plugins}  {forward}\n}}\n"))
    };
    let (bare, cached) = (serves(""), serves("  cache\n"));
    let (bare, cache) = (Client::new(bare.port), Client::new(cached.port));
    let mut differences = Vec::new();
    let mut expected = Vec::new();
    for question in questions() {
        let reply = direct.ask(&question);
        for through in [bare.ask(&question), bare.ask_tcp(&question), cache.ask(&question)] {
            differences.extend(compare(&question, &reply, &through).err());
        }
        expected.push((question, reply));
    }
    // What now comes can only come from the cache.
    upstream.stop();
    for (question, reply) in expected.iter().filter(|(question, reply)| kept(question, reply)) {
        for through in [cache.ask(question), cache.ask_tcp(question)] {
            differences.extend(compare(question, reply, &through).err());
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    covers_what_it_should(&expected);
}

/// RFC 2308 section 5: "Negative responses without SOA records SHOULD NOT be cached". hickory gives
/// none when an alias ends without the type.
fn kept(question: &Question, reply: &Reply) -> bool {
    let wanted = question.rtype.to_string();
    reply.answer.iter().any(|record| record.rtype == wanted)
        || reply.authority.iter().any(|record| record.rtype == "SOA")
}

/// The zone, its signatures and its proofs are there: else equal replies would say little.
fn covers_what_it_should(replies: &[(Question, Reply)]) {
    let has = |what: &dyn Fn(&Question, &Reply) -> bool| {
        replies.iter().any(|(question, reply)| what(question, reply))
    };
    let holds = |records: &[Record], rtype: &str| records.iter().any(|r| r.rtype == rtype);
    assert!(has(&|_, reply| reply.rcode == ResponseCode::NXDomain));
    assert!(has(&|_, reply| reply.answer.is_empty() && reply.rcode == ResponseCode::NoError));
    assert!(has(&|asked, reply| asked.dnssec && holds(&reply.answer, "RRSIG")));
    assert!(has(&|asked, reply| asked.dnssec && holds(&reply.authority, "NSEC")));
    assert!(has(&|asked, reply| !asked.dnssec && reply.answer.len() == 30));
    assert!(!has(&|asked, reply| !asked.dnssec && holds(&reply.answer, "RRSIG")));
}

#[test]
fn truncated_upstream_is_asked_over_tcp() {
    let upstream = Upstream::start();
    let forward = format!("forward . 127.0.0.1:{}", upstream.port);
    let server = Server::start(&format!(".:{{port}} {{\n  bind 127.0.0.1\n  {forward}\n}}\n"));
    let question = Question::new("big.example.org.", RecordType::TXT);
    assert!(Client::new(upstream.port).ask_udp(&question).truncated);
    // A client of ours has its own limit: truncated over UDP, whole over TCP.
    let through = Client::new(server.port);
    assert!(through.ask_udp(&question).truncated);
    assert!(through.ask_udp(&question.clone().plain()).truncated);
    let whole = through.ask_tcp(&question);
    assert_eq!((whole.rcode, whole.answer.len()), (ResponseCode::NoError, 30));
}
