//! What is read from either format.

use std::net::IpAddr;

use cluster::objects::{self, Service, Text};
use serde::Deserialize;

use crate::resource::Object;

/// The service of a slice.
pub(crate) const LABEL_SERVICE: &str = "kubernetes.io/service-name";
/// The imported service of a slice.
pub(crate) const LABEL_IMPORT: &str = "multicluster.kubernetes.io/service-name";
/// The cluster that a slice is imported from.
pub(crate) const LABEL_CLUSTER: &str = "multicluster.kubernetes.io/source-cluster";
/// When that happened which changed a slice.
pub(crate) const TRIGGER: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// An object, or the version alone of a bookmark.
pub(crate) struct Decoded<'a> {
    pub(crate) version: Text<'a>,
    pub(crate) object: Option<Object<'a>>,
}

/// A Status: why the server refuses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(crate) struct Refusal {
    pub(crate) code: u16,
    pub(crate) message: String,
}

/// A service while its fields arrive.
#[derive(Default)]
pub(crate) struct Told<'a> {
    pub(crate) service: Service<'a>,
    /// The field `clusterIP`, or `None` of `clusterIPs`.
    pub(crate) address: Text<'a>,
    /// The field `type`.
    pub(crate) kind: Text<'a>,
    pub(crate) outside: Vec<Text<'a>>,
}

/// The service once all fields are known.
pub(crate) fn settle<'a>(
    mut service: Service<'a>,
    address: &str,
    kind: &str,
    outside: Vec<Text<'a>>,
) -> Service<'a> {
    if service.addresses.is_empty() {
        service.addresses.extend(address.parse::<IpAddr>());
    }
    service.kind = match kind {
        "ExternalName" => objects::Kind::ExternalName,
        // The type of a ServiceImport.
        "Headless" => objects::Kind::Headless,
        _ if address == "None" => objects::Kind::Headless,
        _ => objects::Kind::ClusterIp,
    };
    service.outside.extend(outside);
    service
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_a_service_follows_from_its_fields() {
        let kind = |address: &str, kind: &str| {
            settle(Service::default(), address, kind, vec!["192.0.2.1".into()]).kind
        };
        assert_eq!(kind("10.0.0.1", "LoadBalancer"), objects::Kind::ClusterIp);
        assert_eq!(kind("None", "ClusterIP"), objects::Kind::Headless);
        assert_eq!(kind("", "ExternalName"), objects::Kind::ExternalName);
        assert_eq!(kind("", "Headless"), objects::Kind::Headless);
        let service = settle(Service::default(), "10.0.0.1", "", vec!["192.0.2.1".into()]);
        assert_eq!(service.addresses, ["10.0.0.1".parse::<IpAddr>().unwrap()]);
        assert_eq!(service.outside, ["192.0.2.1"]);
    }
}
