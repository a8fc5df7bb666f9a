//! `loadbalance`: varies the order of the addresses in an answer.
//!
//! It reorders the records of a reply on its way out: in place if all addresses of a section have the
//! same owner and type, otherwise by writing a new reply. It never adds or removes a record.

mod config;
mod order;
mod row;
mod weights;

use std::sync::Arc;

use chain::{Kind, Query, Reply, ServeDns, Setup};
use corefile::{Diagnostic, Diagnostics, Directive};
use wire::{Rcode, Rtype, Section};

use config::Policy;
use order::{Order, Random, Rearrangement};
use row::{InPlace, Items};
use weights::{Unread, WeightsFile};

/// The `loadbalance` directive.
pub static PLUGIN: Kind =
    Kind { name: "loadbalance", doc: include_str!("README.md"), setup, ..Kind::DEFAULT };

struct LoadBalance {
    order: Order,
}

fn setup(uses: &[&Directive], setup: &mut Setup<'_>) -> Result<(), Diagnostics> {
    let config = config::parse(uses)?;
    let weights = match config.policy {
        Policy::Shuffle => None,
        Policy::Weighted { file, reload } => {
            let source = Arc::new(WeightsFile::new(setup.path(&file)));
            match source.renew() {
                Ok(()) => {}
                Err(Unread::Open(error)) if !reload.is_zero() => {
                    setup.warn(
                        Diagnostic::warning(
                            file.span,
                            format!("cannot open weight file `{}`: {error}", file.as_str()),
                        )
                        .label("all addresses have the same weight until it can be read")
                        .help("check the path and `root`; a server looks for the file again")
                        .logged(format!(
                            "plugin/loadbalance: Failed to open weight file:{error}. Will try \
                                 again in {reload:?}"
                        )),
                    );
                }
                Err(problem) => {
                    let error = Diagnostic::error(file.span, problem.to_string())
                        .label("this file cannot be used")
                        .help("`catena help loadbalance` shows what a weight file looks like");
                    return Err(problem.place().into_iter().fold(error, Diagnostic::at).into());
                }
            }
            if !reload.is_zero() {
                let source = Arc::clone(&source);
                setup.task(move || weights::watch(source, reload));
            }
            Some(source)
        }
    };
    setup.link(LoadBalance { order: Order { weights, prefer: config.prefer } });
    Ok(())
}

impl ServeDns for LoadBalance {
    #[inline]
    fn on_reply(&self, query: &mut Query, reply: &mut Reply) {
        let records: u32 = Section::ALL.iter().map(|&s| u32::from(reply.count(s))).sum();
        if records < 2 || reply.rcode() != Rcode::NOERROR || reply.is_silent() {
            return;
        }
        if self.order.weights.is_some()
            && !matches!(query.qtype(), Rtype::A | Rtype::AAAA | Rtype::SRV)
        {
            return;
        }
        self.arrange(reply);
    }
}

impl LoadBalance {
    fn arrange(&self, reply: &mut Reply) {
        let mut random = Random::new();
        match self.order.rearrangement(reply) {
            Rearrangement::InPlace(runs) => {
                for (run, section) in runs.into_iter().zip(Section::ALL) {
                    if let Some(run) = run.filter(|run| run.count > 1) {
                        let mut row = InPlace { reply, run };
                        self.order.arrange(&mut row, section, &mut random);
                    }
                }
            }
            Rearrangement::Rewrite => reply.rearrange(|before, items| {
                self.order.sort(items);
                for section in Section::ALL {
                    let start = items.partition_point(|item| item.section < section);
                    let end = items.partition_point(|item| item.section <= section);
                    let items = &mut items[start..end];
                    if let Some(addresses) = order::addresses(items) {
                        let mut row = Items { items: &mut items[addresses], before };
                        self.order.arrange(&mut row, section, &mut random);
                    }
                    if self.order.weights.is_none()
                        && let Some(exchanges) = order::exchanges(items)
                    {
                        let mut row = Items { items: &mut items[exchanges], before };
                        order::shuffle(&mut row, &mut random);
                    }
                }
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use corefile::Cidr;
    use std::collections::HashMap;
    use wire::{Name, NameBuf, NewRecord, Rdata};

    fn wire(text: &str) -> Vec<u8> {
        Name::from_text(text).unwrap().as_wire().to_vec()
    }

    /// A reply to `www.example.org. A` with these records: `an OWNER TYPE VALUE`.
    fn reply(records: &[&str]) -> Reply {
        let mut query = Query::new();
        query.make_subquery(&Query::new(), &wire("www.example.org."), Rtype::A, false);
        let mut reply = Reply::new();
        reply.begin(&query);
        for (ttl, record) in (0u32..).zip(records) {
            let words: Vec<&str> = record.split(' ').collect();
            let section = match words[0] {
                "an" => Section::Answer,
                "ns" => Section::Authority,
                _ => Section::Additional,
            };
            let rtype = Rtype::from_text(words[2]).unwrap();
            let rdata = match rtype {
                Rtype::A => words[3].parse::<std::net::Ipv4Addr>().unwrap().octets().to_vec(),
                Rtype::AAAA => words[3].parse::<std::net::Ipv6Addr>().unwrap().octets().to_vec(),
                Rtype::MX => [&[0, 10], &wire(words[3])[..]].concat(),
                Rtype::RRSIG => [&[0; 18], &wire(words[3])[..]].concat(),
                _ => wire(words[3]),
            };
            let rdata = Rdata::Other(rtype, &rdata);
            reply.push(section, NewRecord::new(&wire(words[1]), ttl, rdata));
        }
        reply
    }

    /// The records as `OWNER TYPE TTL`; TTLs tell which record it was.
    fn shown(reply: &Reply) -> Vec<String> {
        let mut owner = NameBuf::new();
        reply
            .records()
            .map(|record| {
                let record = record.unwrap();
                record.owner(&mut owner).unwrap();
                let first = owner.to_name().to_string();
                let first = first.split('.').next().unwrap_or_default().to_owned();
                format!("{first} {} {}", record.rtype, record.ttl)
            })
            .collect()
    }

    fn plugin(weights: Option<Arc<WeightsFile>>, prefer: Vec<Cidr>) -> LoadBalance {
        LoadBalance { order: Order { weights, prefer } }
    }

    /// How often each outcome comes in 6000 tries.
    fn outcomes(plugin: &LoadBalance, records: &[&str]) -> HashMap<String, u32> {
        let mut counts = HashMap::new();
        for _ in 0..6000 {
            let mut reply = reply(records);
            let plain = reply.plain_len();
            plugin.arrange(&mut reply);
            assert_eq!(reply.plain_len(), plain, "nothing was lost");
            *counts.entry(shown(&reply).join(", ")).or_default() += 1;
        }
        counts
    }

    fn evenly(counts: &HashMap<String, u32>, kinds: u32) {
        assert_eq!(counts.len() as u32, kinds, "{counts:?}");
        let each = 6000 / kinds;
        assert!(counts.values().all(|count| count.abs_diff(each) < each / 3), "{counts:?}");
    }

    #[test]
    fn addresses_behind_an_alias_are_shuffled_where_they_lie() {
        let records = [
            "an www.example.org. CNAME host.example.org.",
            "an host.example.org. A 192.0.2.1",
            "an host.example.org. A 192.0.2.2",
            "an host.example.org. A 192.0.2.3",
            "an host.example.org. RRSIG example.org.",
            "ns example.org. NS ns.example.org.",
            "ar ns.example.org. A 192.0.2.53",
        ];
        let before = reply(&records);
        assert!(matches!(
            plugin(None, Vec::new()).order.rearrangement(&before),
            Rearrangement::InPlace(_)
        ));
        let counts = outcomes(&plugin(None, Vec::new()), &records);
        evenly(&counts, 6);
        for outcome in counts.keys() {
            assert!(outcome.starts_with("www CNAME 0, host A "), "{outcome}");
            assert!(outcome.ends_with("host RRSIG 4, example NS 5, ns A 6"), "{outcome}");
        }
    }

    #[test]
    fn groups_are_brought_into_order() {
        let records = [
            "an host.example.org. A 192.0.2.1",
            "an www.example.org. MX a.example.org.",
            "an www.example.org. MX b.example.org.",
            "an www.example.org. NS a.example.org.",
            "an www.example.org. CNAME host.example.org.",
            "ar a.example.org. A 192.0.2.3",
            "ar b.example.org. AAAA 2001:db8::1",
        ];
        let counts = outcomes(&plugin(None, Vec::new()), &records);
        evenly(&counts, 4);
        for outcome in counts.keys() {
            let start = "www CNAME 4, www NS 3, host A 0, www MX ";
            assert!(outcome.starts_with(start), "{outcome}");
        }
    }

    #[test]
    fn weights_decide_which_address_is_first() {
        let directory = std::env::temp_dir().join(format!("catena-weights-{}", std::process::id()));
        std::fs::write(&directory, "WWW.example.org\n192.0.2.1 3\n192.0.2.3 2\n").unwrap();
        let source = Arc::new(WeightsFile::new(directory.clone()));
        source.renew().unwrap();
        std::fs::remove_file(directory).unwrap();
        let plugin = plugin(Some(source), Vec::new());
        let addresses = [
            "an www.example.org. A 192.0.2.1",
            "an www.example.org. A 192.0.2.2",
            "an www.example.org. A 192.0.2.3",
        ];
        // With another record behind them, the reply has to be written anew.
        for more in [&[][..], &["an www.example.org. NS ns.example.org."]] {
            let records = [&addresses[..], more].concat();
            let counts = outcomes(&plugin, &records);
            let first = |ttl: u32| -> u32 {
                let first = |outcome: &str| {
                    outcome.split(", ").find(|it| it.contains(" A ")).map(str::to_owned)
                };
                let wanted = Some(format!("www A {ttl}"));
                let counts = counts.iter().filter(|(outcome, _)| first(outcome) == wanted);
                counts.map(|(_, count)| count).sum()
            };
            for (ttl, expected) in [(0, 3000), (1, 1000), (2, 2000)] {
                assert!(first(ttl).abs_diff(expected) < 250, "{counts:?}");
            }
        }
    }

    #[test]
    fn preferred_ranges_come_first() {
        let range = |text: &str, prefix| Cidr { addr: text.parse().unwrap(), prefix };
        let prefer = vec![range("10.1.0.0", 16), range("10.0.0.0", 8)];
        let counts = outcomes(
            &plugin(None, prefer),
            &[
                "an www.example.org. A 192.0.2.1",
                "an www.example.org. A 10.2.0.1",
                "an www.example.org. A 10.1.0.1",
                "an www.example.org. A 192.0.2.2",
            ],
        );
        evenly(&counts, 2);
        assert!(counts.keys().all(|it| it.starts_with("www A 2, www A 1, ")), "{counts:?}");
    }
}
