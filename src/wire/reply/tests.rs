use super::*;
use crate::{Name, Rdata, name};

fn query(text: &str) -> Request {
    let mut bytes = vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    bytes.extend_from_slice(Name::from_text(text).unwrap().as_wire());
    bytes.extend_from_slice(&[0, 1, 0, 1]);
    let mut query = Request::new();
    query.receive(&bytes).unwrap();
    query
}

fn wire(text: &str) -> Vec<u8> {
    Name::from_text(text).unwrap().as_wire().to_vec()
}

fn owners(reply: &Reply) -> Vec<String> {
    let mut buf = NameBuf::new();
    reply
        .records()
        .map(|record| {
            record.unwrap().owner(&mut buf).unwrap();
            buf.to_name().to_string()
        })
        .collect()
}

#[test]
fn names_are_compressed_and_read_back() {
    let query = query("www.example.org.");
    let mut reply = Reply::new();
    reply.begin(&query);
    reply.answer(60, Rdata::Cname(&wire("host.Example.org.")));
    let host = NewRecord::new(name!("host.example.org."), 60, Rdata::A([1, 2, 3, 4].into()));
    reply.push(Section::Answer, host);
    let server = NewRecord::new(name!("example.org."), 60, Rdata::Ns(name!("ns.other.net.")));
    reply.push(Section::Authority, server);
    assert_eq!(owners(&reply), ["www.example.org.", "host.example.org.", "example.org."]);
    assert_eq!(&reply.bytes()[reply.question_end()..][..2], [0xC0, 12]);
    let plain = 33 + (17 + 10 + 18) + (18 + 10 + 4) + (13 + 10 + 14);
    assert_eq!(reply.plain_len(), plain);
    assert!(reply.len() < plain as usize);

    let before = reply.bytes().to_vec();
    reply.rearrange(|old, items| {
        assert_eq!(old, before);
        items.swap(0, 1);
        items[2].ttl = 7;
    });
    assert_eq!(owners(&reply), ["host.example.org.", "www.example.org.", "example.org."]);
    assert_eq!(reply.plain_len(), plain);
    let ttls: Vec<u32> = reply.records().map(|r| r.unwrap().ttl).collect();
    assert_eq!(ttls, [60, 60, 7]);

    reply.truncate_to(reply.len() - 1);
    assert!(reply.truncated);
    assert_eq!(reply.count(Section::Authority), 0);
}

#[test]
fn a_dropped_section_no_longer_counts() {
    let query = query("www.example.org.");
    let (owner, host) = (name!("example.org."), name!("ns.example.org."));
    let write = |sections: &[Section]| {
        let mut reply = Reply::new();
        reply.begin(&query);
        for &section in sections {
            for ttl in 0..2 {
                reply.push(section, NewRecord::new(owner, ttl, Rdata::Ns(host)));
            }
        }
        reply
    };
    for left_out in Section::ALL {
        for dropped in Section::ALL {
            let there: Vec<Section> =
                Section::ALL.into_iter().filter(|&section| section != left_out).collect();
            let stays: Vec<Section> =
                there.iter().copied().filter(|&section| section != dropped).collect();
            let (mut reply, expected) = (write(&there), write(&stays));
            reply.drop_section(dropped);
            assert_eq!(reply.bytes(), expected.bytes(), "{dropped:?} of {there:?}");
            assert_eq!(reply.plain_len(), expected.plain_len(), "{dropped:?} of {there:?}");
            assert_eq!(reply.record_bytes().1, expected.record_bytes().1);
            // What follows is compressed against what is still there.
            let address = NewRecord::new(host, 1, Rdata::A([192, 0, 2, 1].into()));
            reply.push(Section::Additional, address);
            assert_eq!(owners(&reply).last().map(String::as_str), Some("ns.example.org."));
        }
    }
}

#[test]
fn the_last_section_is_cut_off_in_place() {
    let query = query("www.example.org.");
    let mut reply = Reply::new();
    reply.begin(&query);
    // Bytes that writing anew would change: a name that is not compressed.
    let a = [&wire("www.example.org.")[..], &[0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 1, 2, 3, 4]].concat();
    reply.push_raw(Section::Answer, &[], &a, 1, a.len());
    let kept = reply.bytes().to_vec();
    reply.push_raw(Section::Authority, &[], &a, 1, a.len());
    reply.drop_section(Section::Authority);
    assert_eq!(reply.bytes(), kept);
    assert_eq!(reply.plain_len() as usize, kept.len());
}

#[test]
fn a_loaded_message_keeps_records_and_gives_up_its_opt() {
    let query = query("WWW.example.org.");
    let mut upstream = Reply::new();
    upstream.begin(&query);
    upstream.answer(9, Rdata::A([192, 0, 2, 1].into()));
    upstream.opt.push(10, &[1; 8]);
    let options = upstream.opt.as_wire().to_vec();
    upstream.push_opt(1232, 0, true, &options);
    upstream.seal(1, 0x8580);
    let message = upstream.bytes().to_vec();

    let mut reply = Reply::new();
    reply.begin(&query);
    reply.load(&message).unwrap();
    assert_eq!(reply.count(Section::Answer), 1);
    assert_eq!(reply.count(Section::Additional), 0);
    assert_eq!(reply.opt.options().next().unwrap().code, 10);
    assert!(reply.authoritative() && reply.recursion_available);
    assert_eq!(reply.plain_len(), 33 + 17 + 14);

    for cut in 0..message.len() {
        assert!(reply.load(&message[..cut]).is_err(), "cut at {cut}");
    }
    let mut other_type = message.clone();
    other_type[30] ^= 0x20;
    assert!(reply.load(&other_type).is_err(), "another type");
    let other = self::query("xww.example.org.");
    reply.begin(&other);
    assert!(reply.load(&message).is_err(), "another question");
}
