//! What is listed and watched.

use cluster::objects::{Pod, Service, Slice, Text};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The kinds of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Services.
    Services,
    /// EndpointSlices.
    Slices,
    /// Namespaces.
    Namespaces,
    /// Pods.
    Pods,
    /// ServiceImports of the Multi-Cluster Services API.
    Imports,
}

/// An object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object<'a> {
    /// A Service, or a ServiceImport.
    Service(Service<'a>),
    /// An EndpointSlice.
    Slice(Slice<'a>),
    /// The name of a Namespace.
    Namespace(Text<'a>),
    /// A Pod.
    Pod(Pod<'a>),
}

/// Objects of one kind, in all namespaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resource {
    /// The kind.
    pub kind: Kind,
    /// Selects objects by their labels; empty for all.
    pub labels: String,
}

impl Kind {
    /// The plural in the paths of the API.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Services => "services",
            Self::Slices => "endpointslices",
            Self::Namespaces => "namespaces",
            Self::Pods => "pods",
            Self::Imports => "serviceimports",
        }
    }

    /// The group; empty for the core.
    pub fn group(self) -> &'static str {
        match self {
            Self::Services | Self::Namespaces | Self::Pods => "",
            Self::Slices => "discovery.k8s.io",
            Self::Imports => "multicluster.x-k8s.io",
        }
    }

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Services => "/api/v1/services",
            Self::Namespaces => "/api/v1/namespaces",
            Self::Pods => "/api/v1/pods",
            Self::Slices => "/apis/discovery.k8s.io/v1/endpointslices",
            Self::Imports => "/apis/multicluster.x-k8s.io/v1alpha1/serviceimports",
        }
    }

    /// Selects objects by their fields. Pods that have ended have no address of their own any more.
    fn fields(self) -> &'static str {
        match self {
            Self::Pods => "status.phase!=Succeeded,status.phase!=Failed,status.phase!=Unknown",
            _ => "",
        }
    }

    /// Whether the API server can write these objects as protobuf: those of custom resources it cannot.
    pub(crate) fn has_protobuf(self) -> bool {
        self != Self::Imports
    }
}

/// What may stand in the value of a query as it is.
const VALUE: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'/');

impl Resource {
    /// The path and query of a request with these parameters.
    pub(crate) fn uri(&self, parameters: &[(&str, &str)]) -> String {
        let mut uri = self.kind.path().to_owned();
        let selectors = [("labelSelector", &*self.labels), ("fieldSelector", self.kind.fields())];
        let mut separator = '?';
        for (name, value) in parameters.iter().chain(&selectors) {
            if !value.is_empty() {
                uri.push(separator);
                uri.push_str(name);
                uri.push('=');
                uri.extend(utf8_percent_encode(value, VALUE));
                separator = '&';
            }
        }
        uri
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_escaped() {
        let resource = Resource { kind: Kind::Pods, labels: "app in (a, b),x!=y".to_owned() };
        assert_eq!(
            resource.uri(&[("limit", "5"), ("continue", "")]),
            "/api/v1/pods?limit=5&labelSelector=app%20in%20%28a%2C%20b%29%2Cx%21%3Dy&fieldSelector=\
             status.phase%21%3DSucceeded%2Cstatus.phase%21%3DFailed%2Cstatus.phase%21%3DUnknown"
        );
        let all = Resource { kind: Kind::Slices, labels: String::new() };
        assert_eq!(all.uri(&[]), "/apis/discovery.k8s.io/v1/endpointslices");
    }
}
