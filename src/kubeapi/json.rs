//! Objects in JSON.

use std::borrow::Cow;
use std::collections::BTreeMap;

use cluster::objects::{Endpoint, Id, Pod, Port, Service, Slice, Text};
use serde::Deserialize;

use crate::decoded::{
    Decoded, LABEL_CLUSTER, LABEL_IMPORT, LABEL_SERVICE, Refusal, TRIGGER, settle,
};
use crate::resource::{Kind, Object};

/// An object of any of the kinds: what is absent is empty.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Any {
    metadata: Meta,
    spec: Spec,
    status: State,
    endpoints: Option<Vec<End>>,
    ports: Option<Vec<AnyPort>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Meta {
    name: String,
    namespace: String,
    resource_version: String,
    deletion_timestamp: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Spec {
    #[serde(rename = "type")]
    kind: String,
    #[serde(rename = "clusterIP")]
    cluster_ip: String,
    #[serde(rename = "clusterIPs")]
    cluster_ips: Option<Vec<String>>,
    #[serde(rename = "externalIPs")]
    external_ips: Option<Vec<String>>,
    /// Of a ServiceImport.
    ips: Option<Vec<String>>,
    external_name: String,
    ports: Option<Vec<AnyPort>>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct State {
    load_balancer: Balancer,
    #[serde(rename = "podIP")]
    pod_ip: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Balancer {
    ingress: Option<Vec<Ingress>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Ingress {
    ip: String,
    hostname: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AnyPort {
    name: Option<String>,
    protocol: Option<String>,
    port: Option<i64>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct End {
    addresses: Option<Vec<String>>,
    conditions: Conditions,
    hostname: Option<String>,
    target_ref: Option<Target>,
    zone: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Conditions {
    ready: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Target {
    name: String,
}

fn text(text: Option<String>) -> Text<'static> {
    Cow::Owned(text.unwrap_or_default())
}

fn ports(ports: Option<Vec<AnyPort>>) -> Vec<Port<'static>> {
    let port = |port: AnyPort| Port {
        name: text(port.name),
        protocol: text(port.protocol),
        number: port.port.and_then(|number| u16::try_from(number).ok()),
    };
    ports.into_iter().flatten().map(port).collect()
}

/// Reads an object of this kind.
///
/// # Errors
/// It is malformed.
pub(crate) fn object(kind: Kind, octets: &[u8]) -> Result<Decoded<'static>, String> {
    let any: Any = serde_json::from_slice(octets).map_err(|error| error.to_string())?;
    let Any { metadata: meta, spec, status, endpoints, ports: slice_ports } = any;
    let version = Cow::Owned(meta.resource_version);
    if meta.name.is_empty() {
        return Ok(Decoded { version, object: None });
    }
    let id = Id { namespace: Cow::Owned(meta.namespace), name: Cow::Owned(meta.name) };
    let mut labels = meta.labels.unwrap_or_default();
    let mut annotations = meta.annotations.unwrap_or_default();
    let object = match kind {
        Kind::Services | Kind::Imports => {
            let addresses = spec.cluster_ips.or(spec.ips).unwrap_or_default();
            let is_headless = addresses.iter().any(|address| address == "None");
            let service = Service {
                id,
                addresses: addresses.iter().filter_map(|text| text.parse().ok()).collect(),
                ports: ports(spec.ports),
                external_name: Cow::Owned(spec.external_name),
                outside: spec.external_ips.into_iter().flatten().map(Cow::Owned).collect(),
                ..Service::default()
            };
            let address = if is_headless { "None" } else { &spec.cluster_ip };
            let ingress = status.load_balancer.ingress.into_iter().flatten();
            let outside = ingress
                .map(|it| Cow::Owned(if it.ip.is_empty() { it.hostname } else { it.ip }))
                .collect();
            Object::Service(settle(service, address, &spec.kind, outside))
        }
        Kind::Slices => Object::Slice(Slice {
            id,
            service: text(labels.remove(LABEL_SERVICE)),
            imported_service: text(labels.remove(LABEL_IMPORT)),
            cluster: text(labels.remove(LABEL_CLUSTER)),
            ports: ports(slice_ports),
            endpoints: endpoints.into_iter().flatten().flat_map(ready).collect(),
            triggered: text(annotations.remove(TRIGGER)),
        }),
        Kind::Namespaces => Object::Namespace(id.name),
        Kind::Pods => {
            let address = status.pod_ip.parse().ok();
            let labels = labels.into_iter().map(|(k, v)| (Cow::Owned(k), Cow::Owned(v)));
            Object::Pod(Pod {
                id,
                address: address.filter(|_| meta.deletion_timestamp.is_none()),
                labels: labels.collect(),
            })
        }
    };
    Ok(Decoded { version, object: Some(object) })
}

/// The endpoints of an element of a slice, if it is ready.
fn ready(end: End) -> Vec<Endpoint<'static>> {
    if end.conditions.ready == Some(false) {
        return Vec::new();
    }
    let addresses = end.addresses.unwrap_or_default();
    let hostname = text(end.hostname);
    let target = text(end.target_ref.map(|target| target.name));
    let zone = text(end.zone);
    let addresses = addresses.iter().filter_map(|text| text.parse().ok());
    let endpoint = |address| Endpoint {
        address,
        hostname: hostname.clone(),
        target: target.clone(),
        zone: zone.clone(),
    };
    addresses.map(endpoint).collect()
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ListMeta {
    #[serde(rename = "resourceVersion")]
    version: String,
    #[serde(rename = "continue")]
    next: String,
}

/// Reads the metadata of a list: its version, and where it goes on.
pub(crate) fn list_meta(octets: &[u8]) -> Result<(String, String), String> {
    let meta: ListMeta = serde_json::from_slice(octets).map_err(|error| error.to_string())?;
    Ok((meta.version, meta.next))
}

/// Reads a Status.
pub(crate) fn status(octets: &[u8]) -> Option<Refusal> {
    serde_json::from_slice(octets).ok()
}

#[derive(Deserialize)]
struct Change<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    object: &'a serde_json::value::RawValue,
}

/// Reads a watch event: its type, and the object.
pub(crate) fn event(octets: &[u8]) -> Result<(Text<'static>, &[u8]), String> {
    let change: Change<'_> = serde_json::from_slice(octets).map_err(|error| error.to_string())?;
    Ok((Cow::Owned(change.kind), change.object.get().as_bytes()))
}
