//! What the directive may say.

use super::*;
use corefile::{Diagnostics, Directive, Span};
use wire::Name;

use super::options::{MINUTE, RFC_8767};

fn directive(line: &str) -> Directive {
    let token = |text: &str| Token { text: text.into(), span: Span::default(), quoted: false };
    let mut words = line.split(' ').filter(|word| !word.is_empty()).map(token);
    Directive {
        name: words.next().unwrap(),
        args: words.collect(),
        body: None,
        span: Span::default(),
        end: Span::default(),
    }
}

/// A `cache` line, then one line for each option.
fn parse(lines: &[&str]) -> Result<Config, Vec<String>> {
    let mut cache = directive(lines[0]);
    cache.body = (lines.len() > 1).then(|| lines[1..].iter().map(|line| directive(line)).collect());
    Config::parse(&cache, &[Name::root()], &mut Diagnostics::default())
        .map_err(|problems| problems.0.into_iter().map(|problem| problem.message).collect())
}

fn problem(option: &str) -> String {
    parse(&["cache", option]).unwrap_err().join("; ")
}

#[test]
fn defaults_are_those_of_coredns() {
    let config = parse(&["cache"]).unwrap();
    assert_eq!(config, Config::default());
    assert_eq!((config.success.max_ttl, config.denial.max_ttl), (3600, 1800));
    assert_eq!((config.success.min_ttl, config.servfail), (5, 5));
}

#[test]
fn the_first_argument_is_a_ttl_or_a_zone() {
    let config = parse(&["cache 30 Example.org 10.0.0.0/24"]).unwrap();
    assert_eq!((config.success.max_ttl, config.denial.max_ttl), (30, 30));
    assert_eq!(config.zones_label, "example.org.,0.0.10.in-addr.arpa.");
    assert_eq!(parse(&["cache x"]).unwrap().zones_label, "x.");
    assert_eq!(parse(&["cache 0"]).unwrap_err(), ["the TTL `0` is zero or negative"]);
    assert!(parse(&["cache -4"]).is_err());
}

#[test]
fn limits_of_each_half() {
    let config = parse(&["cache 25 example.nl", "success 10", "denial 20000 15 2"]).unwrap();
    assert_eq!((config.success.capacity, config.success.max_ttl), (1024, 25));
    assert_eq!(config.denial.capacity, 20_000);
    assert_eq!((config.denial.max_ttl, config.denial.min_ttl), (15, 2));
    assert_eq!(problem("success 10 0"), "the TTL `0` is zero or negative");
    assert_eq!(problem("denial 10 5 -1"), "the TTL `-1` is negative");
    assert!(parse(&["cache", "success"]).is_err());
    assert!(parse(&["cache", "success x"]).is_err());
}

#[test]
fn prefetch_has_three_arguments() {
    let of = |line: &str| parse(&["cache", line]).unwrap().prefetch;
    let minute = Duration::from_secs(60);
    assert_eq!(of("prefetch 10"), Some(Prefetch { amount: 10, gap: minute, percent: 10 }));
    assert_eq!(of("prefetch 1 2m 20%"), Some(Prefetch { amount: 1, gap: 2 * minute, percent: 20 }));
    assert_eq!(of("prefetch 0"), None);
    assert_eq!(problem("prefetch -1"), "the amount `-1` is out of range");
    for bad in ["prefetch 1 2m 20", "prefetch 1 2m 9%", "prefetch 1 2m 91%"] {
        assert!(problem(bad).contains("percentage"), "{bad}");
    }
    assert!(parse(&["cache", "prefetch 1 2m 20% x"]).is_err());
}

#[test]
fn serve_stale_has_two_modes() {
    let of = |line: &str| parse(&["cache", line]).unwrap().stale;
    let plain = Stale { up_to: 3600, verify: None, ttl: 0, recheck: Duration::ZERO };
    let thirty = Duration::from_secs(30);
    assert_eq!(of("serve_stale"), Some(plain));
    assert_eq!(of("serve_stale 2h"), Some(Stale { up_to: 7200, ..plain }));
    assert_eq!(
        of("serve_stale 1h IMMEDIATE 30s 30s"),
        Some(Stale { ttl: 30, recheck: thirty, ..plain })
    );
    assert_eq!(
        of("serve_stale 1h verify 100ms 30s 30s"),
        Some(Stale { verify: Some(Duration::from_millis(100)), ttl: 30, recheck: thirty, ..plain })
    );
    assert_eq!(of("serve_stale 1h verify"), Some(Stale { verify: Some(Duration::ZERO), ..plain }));
    assert!(problem("serve_stale 1h later").contains("`later`"));
    assert!(problem("serve_stale 1h immediate 1500ms").contains("not a TTL"));
    assert!(problem("serve_stale 1h immediate 1s 6m").contains("too long"));
    assert!(parse(&["cache", "serve_stale 1h immediate 1s 1s 1s"]).is_err());
    assert_eq!(of("serve_stale 0s"), None);
    assert_eq!(of("serve_stale forever"), Some(Stale { up_to: u32::MAX, ..plain }));
    assert_eq!(of("serve_stale rfc8767"), Some(RFC_8767));
    let days = |up_to| Some(Stale { up_to, ..RFC_8767 });
    assert_eq!(of("serve_stale 72h RFC8767"), days(72 * 3600));
    assert_eq!(of("serve_stale forever rfc8767"), days(u32::MAX));
    assert_eq!(of("serve_stale 0s rfc8767"), None);
    assert_eq!(of("serve_stale 24h verify 1800ms 30s 30s"), Some(RFC_8767));
    assert!(parse(&["cache", "serve_stale rfc8767 30s"]).is_err());
}

#[test]
fn the_policy_needs_serve_stale() {
    assert!(problem("serve_stale_policy prefer_positive").contains("needs `serve_stale`"));
    let policy = "serve_stale_policy Prefer_Positive";
    assert!(parse(&["cache", "serve_stale", policy]).unwrap().prefer_positive);
    let twice = parse(&["cache", "serve_stale", policy, policy]).unwrap_err();
    assert_eq!(twice, ["`serve_stale_policy` is specified twice"]);
    assert!(parse(&["cache", "serve_stale", "serve_stale_policy x"]).is_err());
}

#[test]
fn the_other_options() {
    assert_eq!(parse(&["cache", "servfail 0s"]).unwrap().servfail, 0);
    assert_eq!(parse(&["cache", "servfail 5m"]).unwrap().servfail, 300);
    assert!(problem("servfail 301s").contains("too long"));
    assert!(parse(&["cache", "keepttl"]).unwrap().keepttl);
    assert!(parse(&["cache", "keepttl x"]).is_err());
    assert_eq!(parse(&["cache", "ecs"]).unwrap().ecs, Some(64));
    assert_eq!(parse(&["cache", "ecs 8"]).unwrap().ecs, Some(8));
    assert_eq!(problem("ecs 0"), "`0` is out of range");
    assert!(parse(&["cache", "ecs 8 8"]).is_err());
    let config = parse(&["cache", "disable denial sub.example.org", "disable success"]);
    let config = config.unwrap();
    assert_eq!(config.success.disabled, ZoneSet::all());
    assert_eq!(config.denial.disabled.iter().count(), 1);
    assert!(problem("disable nothing").contains("`nothing`"));
    assert!(problem("positive 0").contains("unknown option `positive`"));
    let two = parse(&["cache 0", "positive 0", "prefetch -1"]).unwrap_err();
    assert_eq!(two.len(), 3, "all problems at once");
}

#[test]
fn what_is_asked_of_the_system() {
    let of = |line: &str| parse(&["cache", line]).unwrap();
    assert_eq!(of("admin").admin.unwrap().address, "127.0.0.1:8953");
    let admin = of("admin :9000 token").admin.unwrap();
    assert_eq!((&*admin.address, admin.token.unwrap().as_str()), (":9000", "token"));
    assert!(parse(&["cache", "admin :9000 token x"]).is_err());
    let snapshot = of("snapshot cache.bin").snapshot.unwrap();
    assert_eq!((snapshot.file.as_str(), snapshot.interval), ("cache.bin", 5 * MINUTE));
    assert_eq!(of("snapshot a 1m").snapshot.unwrap().interval, MINUTE);
    assert_eq!(problem("snapshot a 5s"), "`5s` is too short");
    assert!(parse(&["cache", "snapshot"]).is_err());
}
