//! The names of metrics.

use crate::repository::{PRODUCT, code, each, none, sources};

/// What CoreDNS 1.14.7 exports, read from its sources.
const COREDNS_METRICS: [&str; 53] = [
    "acl_allowed_requests_total",
    "acl_blocked_requests_total",
    "acl_dropped_requests_total",
    "acl_filtered_requests_total",
    "autopath_success_total",
    "build_info",
    "cache_drops_total",
    "cache_entries",
    "cache_evictions_total",
    "cache_hits_total",
    "cache_misses_total",
    "cache_prefetch_total",
    "cache_requests_total",
    "cache_served_stale_total",
    "dns64_requests_translated_total",
    "dns_do_requests_total",
    "dns_https3_responses_total",
    "dns_https_responses_total",
    "dns_quic_responses_total",
    "dns_request_duration_seconds",
    "dns_request_size_bytes",
    "dns_requests_total",
    "dns_response_size_bytes",
    "dns_responses_total",
    "dnssec_cache_entries",
    "dnssec_cache_hits_total",
    "dnssec_cache_misses_total",
    "forward_healthcheck_broken_total",
    "forward_max_concurrent_rejects_total",
    "grpc_request_duration_seconds",
    "grpc_requests_total",
    "grpc_responses_total",
    "health_request_duration_seconds",
    "health_request_failures_total",
    "hosts_entries",
    "hosts_reload_timestamp_seconds",
    "kubernetes_dns_programming_duration_seconds",
    "kubernetes_rest_client_rate_limiter_duration_seconds",
    "kubernetes_rest_client_request_duration_seconds",
    "kubernetes_rest_client_requests_total",
    "local_localhost_requests_total",
    "panics_total",
    "plugin_enabled",
    "proxy_conn_cache_hits_total",
    "proxy_conn_cache_misses_total",
    "proxy_healthcheck_failures_total",
    "proxy_request_duration_seconds",
    "reload_failed_total",
    "reload_version_info",
    "shed_dropped_total",
    "template_matches_total",
    "template_rr_failures_total",
    "template_template_failures_total",
];

/// What outside plugins export whose directives are understood here.
const OUTSIDE_METRICS: [&str; 7] = [
    "fanout_request_count_total",
    "fanout_request_duration_seconds",
    "fanout_response_rcode_count_total",
    "redisc_drops_total",
    "redisc_hits_total",
    "redisc_misses_total",
    "redisc_set_errors_total",
];

#[test]
fn metrics_have_their_names() {
    none(each(sources(&PRODUCT), metrics));
}

/// `coredns_*` to the letter where CoreDNS has the metric, else `catena_<plugin>_<noun>_<unit>`.
fn metrics(path: &str, text: &str) -> Vec<(usize, String)> {
    let plugin = path.strip_prefix("plugins/").and_then(|rest| Some(rest.split_once('/')?.0));
    let mut complaints = Vec::new();
    let mut before = "";
    for (number, line) in code(text) {
        // Whole literals: every second part between quotes.
        for name in line.split('"').skip(1).step_by(2) {
            let plain =
                name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
            if !plain {
                continue;
            }
            if let Some(rest) = name.strip_prefix("coredns_") {
                if !COREDNS_METRICS.contains(&rest) && !OUTSIDE_METRICS.contains(&rest) {
                    complaints.push((number, format!("`{name}`: CoreDNS exports no such metric")));
                }
            } else if let Some(rest) = name.strip_prefix("catena_") {
                // `prometheus` speaks for the process.
                let owned = plugin.is_none_or(|plugin| {
                    plugin == "prometheus" || rest.starts_with(&format!("{plugin}_"))
                });
                let counted = line.contains("counter(") || before.contains("counter(");
                let abbreviated = ["_ms", "_us", "_ns", "_sec", "_secs", "_num", "_kb", "_mb"];
                if !owned
                    || counted && !rest.ends_with("_total")
                    || abbreviated.iter().any(|unit| rest.ends_with(unit))
                {
                    let wanted = "catena_<plugin>_<noun>_<unit>, with _total for counters";
                    complaints.push((number, format!("`{name}` is not {wanted}")));
                }
            }
        }
        before = line;
    }
    complaints
}

mod fires {
    use super::*;

    #[test]
    fn on_metrics() {
        let check = |path: &str, name: &str| metrics(path, &format!("f(\"{name}\")")).len();
        assert_eq!(check("plugins/cache/mod.rs", "coredns_cache_hits_total"), 0);
        assert_eq!(check("plugins/cache/mod.rs", "coredns_cache_hit_total"), 1);
        assert_eq!(check("plugins/cache/mod.rs", "catena_cache_refused_total"), 0);
        assert_eq!(check("plugins/cache/mod.rs", "catena_file_refused_total"), 1);
        assert_eq!(check("src/server/x.rs", "catena_wait_ms"), 1);
        assert_eq!(metrics("src/x.rs", "counter(\n\"catena_waiting\",").len(), 1);
    }
}
