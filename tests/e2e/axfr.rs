//! `catena axfr`: what it prints, on which stream, and how it exits.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::thread::JoinHandle;

use wire::{Name, Rtype};

use crate::kit::{Scratch, free_port, run, text};

/// A primary that answers one request with these records, in one message, and its port.
fn primary(rcode: u8, records: Vec<Vec<u8>>) -> (u16, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut length = [0; 2];
        stream.read_exact(&mut length).unwrap();
        let mut request = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut request).unwrap();
        let question = 12 + Name::from_text("example.org.").unwrap().as_wire().len() + 4;
        let mut reply = request[..question].to_vec();
        let counts = [0, 1, 0, records.len() as u8, 0, 0, 0, 0];
        reply[2..12].copy_from_slice(&[&[0x84, rcode][..], &counts].concat());
        reply.extend(records.iter().flatten());
        stream.write_all(&[&(reply.len() as u16).to_be_bytes(), &reply[..]].concat()).unwrap();
        request
    };
    (port, std::thread::spawn(serve))
}

fn record(owner: &str, rtype: Rtype, rdata: &[u8]) -> Vec<u8> {
    let name = Name::from_text(owner).unwrap();
    let fixed = [&rtype.0.to_be_bytes()[..], &[0, 1, 0, 0, 1, 44]].concat();
    [name.as_wire(), &fixed, &(rdata.len() as u16).to_be_bytes(), rdata].concat()
}

fn soa(serial: u32) -> Vec<u8> {
    let name = |text: &str| Name::from_text(text).unwrap();
    let mut rdata = [name("ns.example.org.").as_wire(), name("h.example.org.").as_wire()].concat();
    for number in [serial, 7200, 3600, 1_209_600, 300] {
        rdata.extend_from_slice(&number.to_be_bytes());
    }
    record("example.org.", Rtype::SOA, &rdata)
}

fn a(owner: &str, last: u8) -> Vec<u8> {
    record(owner, Rtype::A, &[192, 0, 2, last])
}

/// Exit code, stdout and stderr.
fn axfr(port: u16, more: &[&str]) -> (Option<i32>, String, String) {
    let scratch = Scratch::new();
    let server = format!("@127.0.0.1:{port}");
    let out = run(scratch.path(), &[&["axfr", &server, "example.org"], more].concat());
    (out.status.code(), text(&out.stdout), text(&out.stderr))
}

#[test]
fn a_zone_is_printed_as_a_master_file_or_as_json() {
    let records = || {
        let txt = record("t.example.org.", Rtype::TXT, b"\x03a\"b");
        vec![soa(5), a("www.example.org.", 1), txt, a("example.net.", 9), soa(5)]
    };
    let warning =
        "warning: 1 record outside the zone left out, the first at `example.net.`\n".to_owned();
    let zone = "\
$ORIGIN example.org.
$TTL 300
@   IN SOA ns.example.org. h.example.org. (
                5            ; serial
                7200         ; refresh, 2 hours
                3600         ; retry, 1 hour
                1209600      ; expire, 2 weeks
                300 )        ; minimum, 5 minutes
t   IN TXT \"a\\\"b\"
www IN A   192.0.2.1
";
    let (port, served) = primary(0, records());
    assert_eq!(axfr(port, &[]), (Some(0), zone.to_owned(), warning.clone()));
    // One question for AXFR, and nothing else.
    assert_eq!(served.join().unwrap()[4..12], [0, 1, 0, 0, 0, 0, 0, 0]);

    let (port, served) = primary(0, records());
    let (code, out, err) = axfr(port, &["--format", "json"]);
    served.join().unwrap();
    let expected = format!(
        r#"{{"server":"127.0.0.1:{port}","zone":"example.org.","serial":5,"records":[
{{"class":"IN","name":"example.org.","rdata":"ns.example.org. h.example.org. 5 7200 3600 1209600 300","ttl":300,"type":"SOA"}},
{{"class":"IN","name":"t.example.org.","rdata":"\"a\\\"b\"","ttl":300,"type":"TXT"}},
{{"class":"IN","name":"www.example.org.","rdata":"192.0.2.1","ttl":300,"type":"A"}}
]}}
"#
    );
    assert_eq!((code, out, err), (Some(0), expected, warning));
}

#[test]
fn changes_are_printed_with_signs() {
    let records =
        vec![soa(6), soa(5), a("www.example.org.", 1), soa(6), a("www.example.org.", 2), soa(6)];
    let (port, served) = primary(0, records);
    let line = |serial: u32| {
        format!(
            "example.org. 300 IN SOA ns.example.org. h.example.org. {serial} 7200 3600 1209600 300"
        )
    };
    let expected = format!(
        "; from serial 5 to 6\n- {}\n- www.example.org. 300 IN A 192.0.2.1\n+ {}\n+ www.example.org. 300 IN \
         A 192.0.2.2\n",
        line(5),
        line(6)
    );
    assert_eq!(axfr(port, &["--ixfr", "5"]), (Some(0), expected, String::new()));
    // Our SOA record is in the authority section.
    assert_eq!(served.join().unwrap()[4..12], [0, 1, 0, 0, 0, 1, 0, 0]);
}

#[test]
fn what_goes_wrong_is_told_with_a_remedy() {
    let fails = |rcode, records, told: &str| {
        let (port, served) = primary(rcode, records);
        let told = told.replace("{at}", &format!("zone `example.org.` at 127.0.0.1:{port}"));
        assert_eq!(axfr(port, &[]), (Some(1), String::new(), told));
        served.join().unwrap();
    };
    fails(
        5,
        vec![],
        "{at}: the server answers REFUSED\n  = help: allow transfers of the zone to this address at the \
         server, or sign with the key that it asks for\n",
    );
    fails(
        0,
        vec![soa(5), a("www.example.org.", 1)],
        "{at}: the server ended the connection after 2 records, before the reply ended\n",
    );
    fails(
        0,
        vec![a("www.example.org.", 1)],
        "{at}: the reply begins with the A record of `www.example.org.`, not with the SOA record of the \
         zone\n",
    );
    let (code, out, err) = axfr(free_port(), &[]);
    assert_eq!((code, out.as_str()), (Some(1), ""));
    assert!(err.contains("connect: connection refused\n  = help: does the server listen"), "{err}");
}

#[test]
fn wrong_arguments_exit_with_2_and_the_usage() {
    let scratch = Scratch::new();
    let told = |arguments: &[&str]| {
        let out = run(scratch.path(), arguments);
        (out.status.code(), text(&out.stdout), text(&out.stderr))
    };
    let (code, usage, err) = told(&["help", "axfr"]);
    assert_eq!((code, err.as_str()), (Some(0), ""));
    assert!(
        usage.starts_with("Usage of catena axfr:\n  axfr @SERVER[:PORT] ZONE [FLAGS]\n"),
        "{usage}"
    );
    assert_eq!(told(&["axfr", "--help"]), (Some(0), usage.clone(), String::new()));
    let (code, out, err) = told(&["axfr", "example.org"]);
    assert_eq!((code, out.as_str()), (Some(2), ""));
    assert_eq!(
        err,
        format!("no argument names the server by an `@`: expected `axfr @SERVER ZONE`\n{usage}")
    );
    let (code, _, err) = told(&["axfr", "@127.0.0.1", "example.org", "-y", "nonsense"]);
    assert_eq!(code, Some(1));
    assert!(err.starts_with("-y: a key has the form"), "{err}");
}
