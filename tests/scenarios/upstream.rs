//! Upstreams that scenarios make up: records, and ways to misbehave.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::Duration;

use exchange::Query;
use tokio::time::Instant;
use wire::{Class, Name, NewRecord, Opcode, Rcode, Reply, Rtype, Section};
use zone::master::OwnedRecord;

use crate::ask::duration;

#[path = "redis.rs"]
mod redis;

/// All upstreams of a scenario, by address.
#[derive(Default)]
pub(crate) struct World {
    upstreams: Mutex<HashMap<SocketAddr, Upstream>>,
}

struct Upstream {
    records: Vec<OwnedRecord>,
    ways: Vec<(String, String)>,
    asked: usize,
    /// Since when it is there.
    since: Instant,
    /// What it keeps, if it is a Redis.
    redis: redis::Redis,
}

impl World {
    /// Puts an upstream in place; one that was there keeps its count, and what it has if it is a
    /// Redis.
    pub(crate) fn set(&self, address: &str, text: &str) -> Result<(), String> {
        let address = parse_address(address)?;
        let mut upstream = Upstream {
            records: Vec::new(),
            ways: Vec::new(),
            asked: 0,
            since: Instant::now(),
            redis: redis::Redis::default(),
        };
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            match line.strip_prefix('!') {
                Some(way) => {
                    let way = way.trim();
                    let (word, argument) = way.split_once(' ').unwrap_or((way, ""));
                    upstream.ways.push((word.to_owned(), argument.trim().to_owned()));
                }
                None => upstream.records.push(
                    zone::master::record_from_line(line, &Name::root(), 3600)
                        .map_err(|problem| format!("`{line}`: {problem}"))?,
                ),
            }
        }
        let mut all = self.upstreams.lock().unwrap();
        if let Some(before) = all.remove(&address) {
            upstream.asked = before.asked;
            upstream.redis = before.redis;
        }
        all.insert(address, upstream);
        Ok(())
    }

    /// How many queries an upstream got.
    pub(crate) fn asked(&self, address: &str) -> Result<usize, String> {
        let address = parse_address(address)?;
        Ok(self.upstreams.lock().unwrap().get(&address).map_or(0, |upstream| upstream.asked))
    }

    fn with<T>(&self, to: SocketAddr, then: impl FnOnce(&mut Upstream) -> T) -> Option<T> {
        let mut all = self.upstreams.lock().unwrap();
        let upstream = all.get_mut(&to)?;
        upstream.asked += 1;
        Some(then(upstream))
    }
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.parse()
        .or_else(|_| text.parse().map(|ip| SocketAddr::new(ip, 53)))
        .map_err(|_| format!("`{text}` is not an address"))
}

impl net::client::Simulated for World {
    fn udp(&self, to: SocketAddr, message: &[u8]) -> Vec<(Duration, Vec<u8>)> {
        self.with(to, |upstream| upstream.datagrams(message)).unwrap_or_default()
    }

    fn tcp(&self, to: SocketAddr, message: &[u8]) -> Option<(Duration, Vec<u8>)> {
        self.with(to, |upstream| {
            if upstream.way("refuse-tcp").is_some()
                || upstream.way("refuse").is_some()
                || upstream.is_silent()
            {
                return None;
            }
            Some((upstream.delay(), upstream.answer(message)))
        })?
    }

    fn tcp_messages(&self, to: SocketAddr, message: &[u8]) -> Option<Vec<(Duration, Vec<u8>)>> {
        self.with(to, |upstream| {
            let gone = upstream.way("refuse-tcp").is_some() || upstream.way("refuse").is_some();
            if gone || upstream.is_silent() {
                return None;
            }
            let messages = upstream.transfer(message);
            let messages = messages.unwrap_or_else(|| vec![upstream.answer(message)]);
            Some(messages.into_iter().map(|message| (upstream.delay(), message)).collect())
        })?
    }

    fn raw_tcp(&self, to: SocketAddr, command: &[u8]) -> Option<(Duration, Vec<u8>)> {
        self.with(to, |upstream| {
            if upstream.way("redis").is_none() || upstream.way("silent").is_some() {
                return None;
            }
            let reply = match upstream.way("garbage") {
                // What it has is not what was put there.
                Some(_) if command.starts_with(b"*2\r\n$3\r\nGET") => redis::bulk(b"garbage"),
                _ => upstream.redis.reply(command),
            };
            Some((upstream.delay(), reply))
        })?
    }

    fn refuses(&self, to: SocketAddr) -> bool {
        let all = self.upstreams.lock().unwrap();
        all.get(&to).is_some_and(|upstream| upstream.way("refuse").is_some())
    }
}

impl Upstream {
    fn way(&self, word: &str) -> Option<&str> {
        self.ways.iter().find(|(known, _)| known == word).map(|(_, argument)| argument.as_str())
    }

    fn delay(&self) -> Duration {
        self.way("delay").map_or(Duration::ZERO, |text| duration(text).expect("a duration"))
    }

    /// Whether it says nothing now; with `flap` every other while.
    fn is_silent(&self) -> bool {
        let flap = self.way("flap").map(|text| duration(text).expect("a duration"));
        let odd = |each: Duration| self.since.elapsed().as_millis() / each.as_millis() % 2 == 1;
        self.way("silent").is_some() || flap.is_some_and(odd)
    }

    fn datagrams(&self, message: &[u8]) -> Vec<(Duration, Vec<u8>)> {
        if self.is_silent() {
            return Vec::new();
        }
        let delay = self.delay();
        let right = self.answer(message);
        if self.way("wrong-id").is_some() {
            let mut wrong = right;
            wrong[0] ^= 0xFF;
            return vec![(delay, wrong)];
        }
        if self.way("wrong-question").is_some() {
            let mut wrong = right;
            wrong[13] ^= 1;
            return vec![(delay, wrong)];
        }
        if self.way("garbage").is_some() {
            return vec![(delay, b"garbage".to_vec())];
        }
        if self.way("answer-after-garbage").is_some() {
            let mut wrong_id = right.clone();
            wrong_id[0] ^= 0xFF;
            let mut wrong_question = right.clone();
            wrong_question[13] ^= 1;
            let later = delay + Duration::from_millis(20);
            return vec![
                (delay, b"garbage".to_vec()),
                (delay, wrong_id),
                (delay, wrong_question),
                (later, right),
            ];
        }
        if self.way("truncate").is_some() {
            let end = wire::Message::new(&right).unwrap().questions_end().unwrap();
            let mut cut = right[..end].to_vec();
            cut[2] |= 0x02;
            cut[6..12].fill(0);
            return vec![(delay, cut)];
        }
        vec![(delay, right)]
    }

    /// The messages of a transfer, if one is asked for: the zone as a whole. `cut` leaves the last message
    /// out; nothing comes of a zone that is not there.
    fn transfer(&self, message: &[u8]) -> Option<Vec<Vec<u8>>> {
        let mut query = Query::new();
        query.receive(message).expect("a query that parses");
        if !query.qtype().is_transfer() {
            return None;
        }
        let zone = Name::from_wire(query.name()).unwrap();
        let is_soa = |record: &&OwnedRecord| record.rtype == Rtype::SOA && record.owner == zone;
        let soa = self.records.iter().find(is_soa);
        let within = |record: &&OwnedRecord| record.owner.is_under(&zone) && !is_soa(record);
        let whole: Vec<&OwnedRecord> =
            soa.into_iter().chain(self.records.iter().filter(within)).chain(soa).collect();
        let (last, first) = whole
            .split_last()
            .map_or((&[][..], &[][..]), |(_, first)| (&whole[first.len()..], first));
        let mut messages: Vec<Vec<u8>> = [first, last]
            .iter()
            .map(|part| {
                let mut reply = Reply::new();
                reply.begin(&query);
                part.iter().for_each(|record| push(&mut reply, Section::Answer, record));
                let rcode = if soa.is_some() { Rcode::NOERROR } else { Rcode::REFUSED };
                reply.set_rcode(rcode);
                reply.seal(query.id(), 0x8400 | reply.rcode().0);
                reply.bytes().to_vec()
            })
            .collect();
        if self.way("cut").is_some() {
            messages.pop();
        }
        Some(messages)
    }

    /// What the records say: the records asked for, with one CNAME followed; else NODATA or
    /// NXDOMAIN with the SOA that is above.
    fn answer(&self, message: &[u8]) -> Vec<u8> {
        let mut query = Query::new();
        query.receive(message).expect("forward sends queries that parse");
        let mut reply = Reply::new();
        reply.begin(&query);
        reply.recursion_available = true;
        self.add("answer", Section::Answer, &mut reply);
        let is_notify = query.opcode() == Opcode::NOTIFY;
        // A secondary acknowledges without records (RFC 1996 section 4.7).
        let rcode = if is_notify { Rcode::NOERROR } else { self.fill(&query, &mut reply) };
        self.add("authority", Section::Authority, &mut reply);
        self.add("additional", Section::Additional, &mut reply);
        reply.set_rcode(rcode);
        if let Some(rcode) = self.way("rcode") {
            reply.clear();
            reply.set_rcode(Rcode::from_text(rcode).expect("a known rcode"));
        }
        let flags = 0x8080
            | u16::from(query.recursion_desired()) << 8
            | u16::from(self.way("aa").is_some()) << 10
            | u16::from(self.way("ad").is_some()) << 5
            | u16::from(query.checking_disabled()) << 4
            | reply.rcode().0;
        if query.edns().is_some() {
            // What the query's options are can then be seen in the reply.
            let options = match (self.way("echo"), self.way("scope")) {
                (Some(_), _) => query.options().flat_map(|option| option_bytes(&option)).collect(),
                (None, Some(bits)) => scoped(&query, bits),
                (None, None) => Vec::new(),
            };
            reply.push_opt(1232, 0, query.wants_dnssec(), &options);
        }
        reply.seal(query.id(), flags | u16::from(query.opcode().0) << 11);
        reply.bytes().to_vec()
    }

    /// Adds records whatever was asked.
    fn add(&self, word: &str, section: Section, reply: &mut Reply) {
        for (_, line) in self.ways.iter().filter(|(known, _)| known == word) {
            let record = zone::master::record_from_line(line, &Name::root(), 3600)
                .expect("a record in master file form");
            let class = self.way("class").map(|text| Class::from_text(text).expect("a class"));
            let ttl = self.way("ttl").map(|text| text.parse().expect("a number of seconds"));
            let mut added = NewRecord::from(record.as_ref());
            added.class = class.unwrap_or(Class::IN);
            added.ttl = ttl.unwrap_or(record.ttl);
            reply.push(section, added);
        }
    }

    fn fill(&self, query: &Query, reply: &mut Reply) -> Rcode {
        let mut name = Name::from_wire(query.name()).unwrap();
        let mut exists = false;
        for _ in 0..8 {
            let mut alias = None;
            let mut found = false;
            for record in self.records.iter().filter(|record| record.owner == name) {
                exists = true;
                let signature = record.rtype == Rtype::RRSIG
                    && query.wants_dnssec()
                    && record.rdata.starts_with(&query.qtype().0.to_be_bytes());
                if record.rtype == query.qtype() || query.qtype() == Rtype::ANY || signature {
                    found |= !signature;
                    push(reply, Section::Answer, record);
                } else if record.rtype == Rtype::CNAME {
                    push(reply, Section::Answer, record);
                    alias = Name::from_wire(&record.rdata).ok();
                }
            }
            match alias {
                Some(target) if !found => name = target,
                _ if found => return Rcode::NOERROR,
                _ => break,
            }
        }
        let soa = self
            .records
            .iter()
            .filter(|record| record.rtype == Rtype::SOA && name.is_under(&record.owner))
            .max_by_key(|record| record.owner.labels().count());
        if let Some(soa) = soa {
            push(reply, Section::Authority, soa);
        }
        if exists { Rcode::NOERROR } else { Rcode::NXDOMAIN }
    }
}

/// The client subnet option of the query, with the scope that the answer is meant for.
fn scoped(query: &Query, bits: &str) -> Vec<u8> {
    let subnets = query.options().filter(|option| option.code == 8);
    subnets
        .flat_map(|option| {
            let mut bytes = option_bytes(&option);
            bytes[4 + 3] = bits.parse().expect("a number of bits");
            bytes
        })
        .collect()
}

fn option_bytes(option: &wire::EdnsOption<'_>) -> Vec<u8> {
    let len = option.data.len() as u16;
    [&option.code.to_be_bytes()[..], &len.to_be_bytes(), option.data].concat()
}

fn push(reply: &mut Reply, section: Section, record: &OwnedRecord) {
    reply.push(section, NewRecord::from(record.as_ref()));
}
