//! The options of the `kubernetes` directive as plain values.

use std::path::PathBuf;
use std::time::Duration;

use chain::{Fallthrough, Setup, zones};
use corefile::{Diagnostic, Diagnostics, Directive, Token};
use kubeapi::{Access, Limits};
use wire::{Name, name};

use super::selector;

const OPTIONS: &[&str] = &[
    "endpoint",
    "tls",
    "kubeconfig",
    "apiserver_qps",
    "apiserver_burst",
    "apiserver_max_inflight",
    "namespaces",
    "namespace_labels",
    "labels",
    "pods",
    "endpoint_pod_names",
    "ttl",
    "noendpoints",
    "fallthrough",
    "ignore",
    "multicluster",
    "zonal",
    "startup_timeout",
    "stale",
];

const TTL: u32 = 5;
const LONGEST_TTL: u32 = 3600;
const STARTUP: Duration = Duration::from_secs(5);

/// Whether the names of pods are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum PodMode {
    /// They do not exist.
    #[default]
    Disabled,
    /// Every address in a namespace that exists is taken for a pod.
    Insecure,
    /// Those of pods.
    Verified,
}

/// A `kubernetes` directive.
#[derive(Clone, Debug)]
pub(super) struct Config {
    /// The zones in their order.
    pub(super) zones: Vec<Name>,
    /// The zone that reverse names lead to: the first one that is not a reverse zone.
    pub(super) primary: Name,
    pub(super) multicluster: Vec<Name>,
    pub(super) access: Access,
    pub(super) limits: Limits,
    pub(super) namespaces: Vec<String>,
    pub(super) namespace_labels: String,
    pub(super) labels: String,
    pub(super) pods: PodMode,
    pub(super) pod_names: bool,
    pub(super) ttl: u32,
    pub(super) endpoints: bool,
    pub(super) fallthrough: Fallthrough,
    pub(super) ignore_empty: bool,
    pub(super) zonal: bool,
    pub(super) startup_timeout: Duration,
    pub(super) stale: Option<Duration>,
}

impl Config {
    /// Reads the directive.
    ///
    /// # Errors
    /// All mistakes in it.
    pub(super) fn read(directive: &Directive, setup: &mut Setup<'_>) -> Result<Self, Diagnostics> {
        let mut problems = Diagnostics::default();
        let mut zones: Vec<Name> = Vec::new();
        for arg in &directive.args {
            match zones::parse(arg) {
                Ok(found) => zones.extend(found),
                Err(problem) => problems.push(problem),
            }
        }
        if directive.args.is_empty() {
            zones = setup.zones().iter().map(Name::to_lower).collect();
        }
        let is_forward = |zone: &&Name| !is_reverse(zone);
        let primary = zones.iter().find(is_forward).cloned();
        if primary.is_none() && !problems.has_errors() {
            problems.push(
                Diagnostic::error(directive.span, "non-reverse zone name must be used")
                    .label("all of its zones are reverse zones")
                    .help("add the zone of the cluster, such as `cluster.local`"),
            );
        }
        let mut config = Self {
            zones,
            primary: primary.unwrap_or_else(Name::root),
            multicluster: Vec::new(),
            access: Access::InCluster,
            limits: Limits::default(),
            namespaces: Vec::new(),
            namespace_labels: String::new(),
            labels: String::new(),
            pods: PodMode::default(),
            pod_names: false,
            ttl: TTL,
            endpoints: true,
            fallthrough: Fallthrough::NEVER,
            ignore_empty: false,
            zonal: false,
            startup_timeout: STARTUP,
            stale: None,
        };
        let mut reach = Reach::default();
        for option in directive.options() {
            if let Err(problem) = config.option(directive, option, &mut reach, setup) {
                problems.push(problem);
            }
        }
        config.access = reach.access();
        config.check(directive, &mut problems);
        if problems.has_errors() { Err(problems) } else { Ok(config) }
    }

    fn option(
        &mut self,
        directive: &Directive,
        option: &Directive,
        reach: &mut Reach,
        setup: &mut Setup<'_>,
    ) -> Result<(), Diagnostic> {
        option.no_body()?;
        let mut args = option.args();
        match option.name.as_str() {
            "endpoint" => {
                let url = args.required("URL")?;
                reach.endpoint = Some(endpoint(url)?);
                if let Some(second) = args.next() {
                    let warning =
                        Diagnostic::warning(second.span, "only the first endpoint is used");
                    setup.warn(
                        warning
                            .label("this endpoint has no effect")
                            .help("remove it, or name a load balancer"),
                    );
                }
                return Ok(());
            }
            "tls" => {
                let paths =
                    [args.required("CERT")?, args.required("KEY")?, args.required("CACERT")?];
                reach.tls = Some(paths.map(|token| setup.path(token)));
            }
            "kubeconfig" => {
                let file = setup.path(args.required("FILE")?);
                reach.kubeconfig = Some((file, args.optional::<String>("CONTEXT")?));
            }
            "apiserver_qps" => {
                let token = args.required("QPS")?;
                let qps = token.parse::<f64>("QPS")?;
                self.limits.per_second = qps as f32;
                at_least_zero(token, qps, "apiserver_qps")?;
            }
            "apiserver_burst" => {
                let token = args.required("BURST")?;
                let burst = token.parse::<i64>("BURST")?;
                at_least_zero(token, burst as f64, "apiserver_burst")?;
                self.limits.burst = u32::try_from(burst).unwrap_or(u32::MAX);
            }
            "apiserver_max_inflight" => {
                let token = args.required("MAX")?;
                let most = token.parse::<i64>("MAX")?;
                at_least_zero(token, most as f64, "apiserver_max_inflight")?;
                // More than this is no bound.
                self.limits.in_flight = usize::try_from(most).unwrap_or(usize::MAX).min(1 << 20);
            }
            "namespaces" => {
                args.required("a namespace")?;
                let names = option.args.iter().map(|token| token.as_str().to_lowercase());
                self.namespaces.extend(names);
                return Ok(());
            }
            "labels" => {
                self.labels = expression(option)?;
                return Ok(());
            }
            "namespace_labels" => {
                self.namespace_labels = expression(option)?;
                return Ok(());
            }
            "pods" => self.pods = pod_mode(args.required("POD-MODE")?)?,
            "endpoint_pod_names" => self.pod_names = true,
            "ttl" => {
                let token = args.required("TTL")?;
                self.ttl = ttl(token)?;
            }
            "noendpoints" => self.endpoints = false,
            "fallthrough" => {
                self.fallthrough = Fallthrough::from_args(&option.args)?;
                setup.warn_outside(&option.args);
                return Ok(());
            }
            "ignore" => {
                let token = args.required("empty_service")?;
                if token.as_str() != "empty_service" {
                    let shown = token.as_str();
                    return Err(Diagnostic::error(
                        token.span,
                        format!("unable to parse ignore value: '{shown}'"),
                    )
                    .label("expected `empty_service`"));
                }
                self.ignore_empty = true;
            }
            "multicluster" => {
                args.required("ZONES")?;
                for token in &option.args {
                    for zone in zones::parse(token)? {
                        self.multicluster_zone(token, zone)?;
                    }
                }
                return Ok(());
            }
            "zonal" => self.zonal = true,
            "startup_timeout" => self.startup_timeout = args.value("DURATION")?,
            "stale" => self.stale = Some(args.value("DURATION")?),
            _ => return Err(directive.unknown_option(option, OPTIONS)),
        }
        args.end()
    }

    fn multicluster_zone(&mut self, token: &Token, zone: Name) -> Result<(), Diagnostic> {
        if !self.zones.contains(&zone) {
            let zones: Vec<String> = self.zones.iter().map(ToString::to_string).collect();
            let zones = zones.join(" ");
            return Err(Diagnostic::error(
                token.span,
                format!(
                    "is not authoritative for the multicluster zone {zone} (authoritative zones: \
                     [{zones}])"
                ),
            )
            .label("this is none of its zones")
            .help("add it to the zones of `kubernetes`"));
        }
        self.multicluster.push(zone);
        Ok(())
    }

    /// Checks what several options say together.
    fn check(&self, directive: &Directive, problems: &mut Diagnostics) {
        let at = |name: &str| {
            let option = directive.options().iter().find(|option| option.name.as_str() == name);
            option.map_or(directive.span, |option| option.span)
        };
        if !self.namespaces.is_empty() && !self.namespace_labels.is_empty() {
            problems.push(
                Diagnostic::error(
                    at("namespace_labels"),
                    "namespaces and namespace_labels cannot both be set",
                )
                .help("remove one of the two"),
            );
        }
        if self.zonal && !self.endpoints {
            problems.push(
                Diagnostic::error(
                    at("noendpoints"),
                    "zonal requires the endpoint cache; remove noendpoints",
                )
                .label("names of topology zones are answered with endpoints"),
            );
        }
    }
}

/// The options that say how to reach the API server.
#[derive(Default)]
struct Reach {
    endpoint: Option<String>,
    tls: Option<[PathBuf; 3]>,
    kubeconfig: Option<(PathBuf, Option<String>)>,
}

impl Reach {
    /// As in CoreDNS, `kubeconfig` goes before `endpoint`.
    fn access(self) -> Access {
        let Self { endpoint, tls, kubeconfig } = self;
        if let Some((file, context)) = kubeconfig {
            return Access::Kubeconfig { file, context };
        }
        let Some(url) = endpoint else { return Access::InCluster };
        let (identity, authorities) = match tls {
            Some([certificate, key, ca]) => (Some((certificate, key)), Some(ca)),
            None => (None, None),
        };
        Access::Endpoint { url, identity, authorities }
    }
}

/// Whether the zone is in the tree of reverse names.
pub(super) fn is_reverse(zone: &Name) -> bool {
    let within = |tree: &[u8]| name::is_under(zone.as_wire(), tree);
    within(name!("in-addr.arpa.")) || within(name!("ip6.arpa."))
}

fn endpoint(token: &Token) -> Result<String, Diagnostic> {
    let url = token.as_str();
    let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    match rest {
        Some(rest) if !rest.is_empty() => Ok(url.to_owned()),
        // As in client-go, a bare host means http.
        None if !url.contains("://") => Ok(format!("http://{url}")),
        _ => Err(Diagnostic::error(token.span, format!("`{url}` is not the URL of an API server"))
            .label("expected a URL such as `https://192.0.2.1:6443`")),
    }
}

fn at_least_zero(token: &Token, number: f64, option: &str) -> Result<(), Diagnostic> {
    if number >= 0.0 {
        return Ok(());
    }
    Err(Diagnostic::error(token.span, format!("{option} must be >= 0")).label("expected 0 or more"))
}

/// All words of a selector as one text.
fn expression(option: &Directive) -> Result<String, Diagnostic> {
    let mut args = option.args();
    args.required("EXPRESSION")?;
    let words: Vec<&str> = option.args.iter().map(Token::as_str).collect();
    let text = words.join(" ");
    selector::check(&text).map_err(|why| {
        Diagnostic::error(
            option.span,
            format!("unable to parse label selector value: '{text}': {why}"),
        )
        .help("write it as for `kubectl -l`: `app=web`, `env in (prod, test)`, `!internal`")
    })?;
    Ok(text)
}

fn pod_mode(token: &Token) -> Result<PodMode, Diagnostic> {
    match token.as_str() {
        "disabled" => Ok(PodMode::Disabled),
        "insecure" => Ok(PodMode::Insecure),
        "verified" => Ok(PodMode::Verified),
        other => Err(Diagnostic::error(
            token.span,
            format!("wrong value for pods: {other},  must be one of: disabled, verified, insecure"),
        )
        .label("expected `disabled`, `verified` or `insecure`")),
    }
}

fn ttl(token: &Token) -> Result<u32, Diagnostic> {
    let seconds = token.parse::<i64>("TTL")?;
    u32::try_from(seconds).ok().filter(|ttl| *ttl <= LONGEST_TTL).ok_or_else(|| {
        Diagnostic::error(token.span, format!("ttl must be in range [0, 3600]: {seconds}"))
            .label("expected 0 to 3600 seconds")
    })
}
