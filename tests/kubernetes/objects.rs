//! Objects of a cluster.

use serde_json::{Value, json};

/// A service with these addresses and ports (`name/protocol/number`, separated by blanks).
pub(crate) fn service(name: &str, addresses: &[&str], ports: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "type": "ClusterIP", "clusterIP": addresses[0], "clusterIPs": addresses,
            "ports": service_ports(ports),
        },
    })
}

fn service_ports(ports: &str) -> Value {
    ports_with(
        ports,
        |name, protocol, number| json!({"name": name, "protocol": protocol, "port": number, "targetPort": number}),
    )
}

fn ports_with(ports: &str, make: impl Fn(&str, &str, u16) -> Value) -> Value {
    let port = |text: &str| {
        let parts: Vec<&str> = text.split('/').collect();
        make(parts[0], parts[1], parts[2].parse().unwrap())
    };
    ports.split_whitespace().map(port).collect()
}

/// A service without addresses of its own.
pub(crate) fn headless(name: &str, ports: &str) -> Value {
    service(name, &["None"], ports)
}

/// A service that stands for a name elsewhere.
pub(crate) fn external(name: &str, target: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"type": "ExternalName", "externalName": target},
    })
}

/// A service with addresses and host names outside of the cluster.
pub(crate) fn balanced(name: &str, address: &str, ports: &str, outside: &[&str]) -> Value {
    let mut object = service(name, &[address], ports);
    object["spec"]["type"] = json!("LoadBalancer");
    let ingress = |place: &&str| match place.parse::<std::net::IpAddr>() {
        Ok(_) => json!({"ip": place}),
        Err(_) => json!({"hostname": place}),
    };
    let ingress: Vec<Value> = outside.iter().map(ingress).collect();
    object["status"] = json!({"loadBalancer": {"ingress": ingress}});
    object
}

/// A slice of a service. An endpoint is `address`, `address=hostname`, `address@zone`, `address#pod` or, if it is
/// not ready, `!address`.
pub(crate) fn slice(name: &str, service: &str, endpoints: &[&str], ports: &str) -> Value {
    let endpoint = |text: &&str| {
        let is_ready = !text.starts_with('!');
        let text = text.trim_start_matches('!');
        let cut = text.find(['=', '@', '#']).unwrap_or(text.len());
        let mut endpoint = json!({
            "addresses": [&text[..cut]], "conditions": {"ready": is_ready, "serving": true},
        });
        match text.get(cut..cut + 1) {
            Some("=") => endpoint["hostname"] = json!(&text[cut + 1..]),
            Some("@") => endpoint["zone"] = json!(&text[cut + 1..]),
            Some("#") => endpoint["targetRef"] = json!({"kind": "Pod", "name": &text[cut + 1..]}),
            _ => {}
        }
        endpoint
    };
    let family = if endpoints.iter().any(|it| it.contains(':')) { "IPv6" } else { "IPv4" };
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": family,
        "metadata": {"name": name, "labels": {"kubernetes.io/service-name": service}},
        "endpoints": endpoints.iter().map(endpoint).collect::<Vec<_>>(),
        "ports": ports_with(ports, |name, protocol, number| {
            json!({"name": name, "protocol": protocol, "port": number})
        }),
    })
}

/// A pod with an address.
pub(crate) fn pod(name: &str, address: &str, phase: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
        "spec": {"containers": []}, "status": {"phase": phase, "podIP": address},
    })
}
