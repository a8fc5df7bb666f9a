//! From a directive to a group of upstreams over gRPC. Files are read here, once.

use std::net::SocketAddr;
use std::sync::Arc;

use chain::Setup;
use corefile::{Diagnostic, Diagnostics, Directive, Token};
use net::client::{Network, ServerAddress};
use net::tls::{Client, Session};

use super::config::{GrpcConfig, GrpcSpec};
use super::group::GrpcGroup;
use super::metrics::GrpcOwner;
use super::upstream::{self, Identity, Upstream};
use crate::ask::Selector;
use crate::locate::resolv::{self, Servers};
use crate::locate::tls;
use crate::message::OwnData;

/// CoreDNS's bound on upstreams, those in files among them.
const MAX_UPSTREAMS: usize = 15;

impl GrpcGroup {
    /// The group that `directive` describes. Its files are read, and its upstreams are watched once
    /// the configuration serves.
    ///
    /// # Errors
    /// A file cannot be read or used, or there are too many upstreams.
    pub fn set_up(
        owner: &'static GrpcOwner,
        config: &GrpcConfig,
        directive: &Directive,
        setup: &mut Setup<'_>,
    ) -> Result<Self, Diagnostics> {
        let network = match setup.service::<Network>() {
            Some(network) => network,
            None => Arc::new(Network::Os),
        };
        let places = places(config, setup);
        let client = client(config, directive, setup);
        let (places, client) = match (places, client) {
            (Ok(places), Ok(client)) => (places, client),
            (places, client) => {
                let mut problems = places.err().unwrap_or_default();
                problems.extend(client.err().unwrap_or_default());
                return Err(problems);
            }
        };
        let workers = setup.workers();
        let mut upstreams = Vec::with_capacity(places.len());
        for place in places {
            let session = match &client {
                Some(client) => Some(session(client, config, &place, directive)?),
                None => None,
            };
            let authority = match (&client, &config.server_name) {
                (Some(_), Some(name)) => name.as_str().to_owned(),
                _ => authority(&place),
            };
            let identity = Identity { place, session, authority };
            let key = format!("{} {workers} {identity:?}", owner.name);
            let upstream = setup.keep(key, || Upstream::new(identity, owner, workers));
            let (watched, network) = (Arc::clone(&upstream), Arc::clone(&network));
            setup.task(move || upstream::watch(watched, network));
            upstreams.push(upstream);
        }
        let policy = Selector::new(config.policy, None);
        Ok(Self { upstreams: upstreams.into(), policy, network, own: OwnData::new(setup) })
    }
}

/// The addresses of the upstreams, in the order written.
fn places(config: &GrpcConfig, setup: &mut Setup<'_>) -> Result<Vec<ServerAddress>, Diagnostics> {
    let mut problems = Diagnostics::default();
    let mut places = Vec::new();
    for (token, to) in &config.to {
        match to {
            GrpcSpec::Unix(path) => places.push(ServerAddress::Unix(path.clone())),
            GrpcSpec::Address(address, zone) => {
                let (address, unknown) = resolv::scoped(*address, zone.as_deref());
                places.push(ServerAddress::Address(address));
                let warning = unknown.map(|problem| resolv::no_interface(token, problem));
                setup.warn_all(warning);
            }
            GrpcSpec::File(text) => match servers(token, text, setup) {
                Ok(Servers { addresses, problems }) => {
                    places.extend(addresses.into_iter().map(ServerAddress::Address));
                    let unknown = problems.into_iter();
                    let warnings = unknown.map(|problem| resolv::no_interface(token, problem));
                    setup.warn_all(warnings);
                }
                Err(problem) => problems.push(problem),
            },
        }
    }
    if places.len() > MAX_UPSTREAMS
        && let (Some((first, _)), Some((last, _))) = (config.to.first(), config.to.last())
    {
        problems.push(
            Diagnostic::error(
                first.span.to(last.span),
                format!("more than {MAX_UPSTREAMS} TOs configured: {}", places.len()),
            )
            .label("too many upstreams")
            .help(format!("keep at most {MAX_UPSTREAMS}")),
        );
    }
    if problems.has_errors() { Err(problems) } else { Ok(places) }
}

/// The servers of a file like resolv.conf.
fn servers(token: &Token, text: &str, setup: &Setup<'_>) -> Result<Servers, Diagnostic> {
    let mut problem = None;
    for path in [setup.path(token), setup.start_directory().join(text)] {
        match resolv::read(&path) {
            Ok(servers) if servers.addresses.is_empty() => {
                return Err(Diagnostic::error(token.span, "no nameservers found")
                    .label("no `nameserver` line in this file")
                    .help("give an address, or a file with `nameserver` lines"));
            }
            Ok(servers) => return Ok(servers),
            Err(error) => problem = Some(error),
        }
    }
    let why = problem.map_or_else(String::new, |error| format!(": {error}"));
    Err(Diagnostic::error(token.span, format!("not an IP address or file: `{text}`{why}"))
        .label("expected an address, `unix://` and a path, or a file like /etc/resolv.conf")
        .help("host names are not resolved here: write the address"))
}

/// How we are over TLS, if it is asked for.
fn client(
    config: &GrpcConfig,
    directive: &Directive,
    setup: &mut Setup<'_>,
) -> Result<Option<Client>, Diagnostics> {
    if config.tls.is_none() && config.server_name.is_none() {
        return Ok(None);
    }
    let files = config.tls.clone().unwrap_or_default();
    let read = tls::client(&files, true, directive.span, setup)?;
    if read.distrusts {
        setup.warn(tls::distrust(directive));
    }
    Ok(read.client)
}

/// Sessions with the upstream at `place`. Without a name its certificate must be for the address.
fn session(
    client: &Client,
    config: &GrpcConfig,
    place: &ServerAddress,
    directive: &Directive,
) -> Result<Session, Diagnostic> {
    let name = match (&config.server_name, place) {
        (Some(name), _) => name.as_str().to_owned(),
        (None, ServerAddress::Address(address)) => address.ip().to_string(),
        (None, ServerAddress::Unix(_)) => "localhost".to_owned(),
    };
    client
        .session(&name)
        .map_err(|why| Diagnostic::error(directive.span, format!("cannot use TLS: {why}")))
}

/// What an upstream without a name is called in requests.
fn authority(place: &ServerAddress) -> String {
    match place {
        // The number of an interface means nothing elsewhere.
        ServerAddress::Address(address) => {
            SocketAddr::new(address.ip(), address.port()).to_string()
        }
        ServerAddress::Unix(_) => "localhost".to_owned(),
    }
}
