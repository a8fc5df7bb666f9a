//! Objects of a cluster, cut to what names need. They borrow from the message that has them.

use std::borrow::Cow;
use std::net::IpAddr;

/// A text of an object.
pub type Text<'a> = Cow<'a, str>;

/// The name of an object and its namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Id<'a> {
    /// The namespace.
    pub namespace: Text<'a>,
    /// The name.
    pub name: Text<'a>,
}

/// A port of a service or a slice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Port<'a> {
    /// Its name; empty if it has none.
    pub name: Text<'a>,
    /// Its protocol, such as `TCP`.
    pub protocol: Text<'a>,
    /// Its number. `None`: a slice for all ports.
    pub number: Option<u16>,
}

/// How a service is reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// By addresses of its own.
    #[default]
    ClusterIp,
    /// By the addresses of its endpoints.
    Headless,
    /// By a name elsewhere.
    ExternalName,
}

/// A Service, or a ServiceImport of the Multi-Cluster Services API.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Service<'a> {
    /// Its name.
    pub id: Id<'a>,
    /// How it is reached.
    pub kind: Kind,
    /// Its addresses in the cluster.
    pub addresses: Vec<IpAddr>,
    /// Its ports.
    pub ports: Vec<Port<'a>>,
    /// The name that it stands for, if it is an [`Kind::ExternalName`].
    pub external_name: Text<'a>,
    /// Its addresses and host names outside of the cluster: `externalIPs`, then those of load balancers.
    pub outside: Vec<Text<'a>>,
}

/// An endpoint that is ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint<'a> {
    /// Its address.
    pub address: IpAddr,
    /// Its hostname; empty if it has none.
    pub hostname: Text<'a>,
    /// The name of the pod behind it; empty if there is none.
    pub target: Text<'a>,
    /// The topology zone; empty if it is unknown.
    pub zone: Text<'a>,
}

/// An EndpointSlice: some of the endpoints of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slice<'a> {
    /// Its name.
    pub id: Id<'a>,
    /// The service: label `kubernetes.io/service-name`.
    pub service: Text<'a>,
    /// The imported service: label `multicluster.kubernetes.io/service-name`.
    pub imported_service: Text<'a>,
    /// The cluster that it is imported from: label `multicluster.kubernetes.io/source-cluster`.
    pub cluster: Text<'a>,
    /// Its ports. Empty: the endpoints have none.
    pub ports: Vec<Port<'a>>,
    /// The endpoints that are ready.
    pub endpoints: Vec<Endpoint<'a>>,
    /// When that happened which caused the slice to change, as RFC 3339 text: annotation
    /// `endpoints.kubernetes.io/last-change-trigger-time`.
    pub triggered: Text<'a>,
}

/// A pod that runs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod<'a> {
    /// Its name.
    pub id: Id<'a>,
    /// Its address. `None`: it has none yet, or it terminates.
    pub address: Option<IpAddr>,
    /// Its labels.
    pub labels: Vec<(Text<'a>, Text<'a>)>,
}

/// What of the objects is kept beside that which every cluster needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Detail {
    /// The name of a pod stands for a missing hostname of its endpoint.
    pub pod_names: bool,
    /// The topology zones of endpoints.
    pub zones: bool,
    /// The labels of pods.
    pub pod_labels: bool,
}
