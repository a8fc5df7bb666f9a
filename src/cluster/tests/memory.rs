//! What the head of `lib.rs` says of memory.

use std::net::{IpAddr, Ipv4Addr};

use cluster::objects::{Endpoint, Id, Kind, Port, Service, Slice};
use cluster::{Detail, Services};

const SERVICES: u32 = 10_000;
const ENDPOINTS: u32 = 150_000;

#[test]
fn ten_thousand_services_take_few_octets() {
    let services = Services::new(Detail::default());
    let empty = services.memory();
    let port = || vec![Port { name: "http".into(), protocol: "TCP".into(), number: Some(80) }];
    let each = ENDPOINTS / SERVICES;
    for number in 0..SERVICES {
        let id = |name: String| Id {
            namespace: format!("ns-{}", number % 100).into(),
            name: name.into(),
        };
        let name = format!("svc-{number}");
        services.put_service(&Service {
            id: id(name.clone()),
            kind: Kind::ClusterIp,
            addresses: vec![IpAddr::V4(Ipv4Addr::from(0x0A00_0100 + number))],
            ports: port(),
            ..Service::default()
        });
        let endpoint = |at| Endpoint {
            address: IpAddr::V4(Ipv4Addr::from(0x0A80_0001 + number * each + at)),
            hostname: "".into(),
            target: "".into(),
            zone: "".into(),
        };
        let slice = Slice {
            id: id(format!("{name}-abcde")),
            ports: port(),
            endpoints: (0..each).map(endpoint).collect(),
            ..Slice::default()
        };
        services.put_slice(&name, &slice);
    }
    let grown = services.memory() - empty;
    println!("{grown} octets, {} for each endpoint; {empty} empty", grown / ENDPOINTS as usize);
    assert!(grown < 25 * ENDPOINTS as usize, "{grown} octets");
    assert!(empty < 100_000, "{empty} octets without a service");
}
