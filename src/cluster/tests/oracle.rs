//! A cluster after any changes and lists is what a plain model of it is.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use cluster::objects::{Endpoint, Id, Kind, Port, Service, Slice};
use cluster::{Detail, Listed, Services};
use proptest::prelude::*;

/// What a model knows of a service, or of a slice: ports and addresses.
type Facts = (Vec<u16>, BTreeSet<IpAddr>);

#[derive(Default)]
struct Model {
    services: BTreeMap<u8, Facts>,
    /// By slice: its service and facts.
    slices: BTreeMap<u8, (u8, Facts)>,
}

#[derive(Clone, Debug)]
enum Step {
    Service(u8, Vec<u8>),
    NoService(u8),
    Slice(u8, u8, Vec<u8>),
    NoSlice(u8),
    /// A list of these services, while others may change before it ends.
    ListServices(Vec<u8>, Option<u8>),
    ListSlices(Vec<u8>, Option<u8>),
}

fn step() -> impl Strategy<Value = Step> {
    let addresses = || proptest::collection::vec(0..12u8, 0..5);
    prop_oneof![
        (0..6u8, addresses()).prop_map(|(service, list)| Step::Service(service, list)),
        (0..6u8).prop_map(Step::NoService),
        (0..8u8, 0..6u8, addresses()).prop_map(|(slice, of, list)| Step::Slice(slice, of, list)),
        (0..8u8).prop_map(Step::NoSlice),
        (addresses(), proptest::option::of(0..6u8)).prop_map(|(l, s)| Step::ListServices(l, s)),
        (addresses(), proptest::option::of(0..8u8)).prop_map(|(l, s)| Step::ListSlices(l, s)),
    ]
}

fn address(number: u8) -> IpAddr {
    match number % 3 {
        0 => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number.into())),
        _ => IpAddr::V4(Ipv4Addr::new(10, 0, 0, number)),
    }
}

fn name(number: u8) -> String {
    format!("svc-{number}")
}

fn service(number: u8, list: &[u8]) -> Service<'static> {
    Service {
        id: Id { namespace: "prod".into(), name: name(number).into() },
        kind: Kind::ClusterIp,
        addresses: list.iter().map(|&number| address(number)).collect(),
        ports: list
            .iter()
            .map(|&port| Port { number: Some(port.into()), ..Port::default() })
            .collect(),
        ..Service::default()
    }
}

fn slice(number: u8, list: &[u8]) -> Slice<'static> {
    Slice {
        id: Id { namespace: "prod".into(), name: format!("slice-{number}").into() },
        ports: vec![Port { number: Some(number.into()), ..Port::default() }],
        endpoints: list
            .iter()
            .map(|&at| Endpoint {
                address: address(at),
                hostname: if at % 2 == 0 { format!("host-{at}").into() } else { "".into() },
                target: "".into(),
                zone: "".into(),
            })
            .collect(),
        ..Slice::default()
    }
}

impl Model {
    fn put_service(&mut self, number: u8, list: &[u8]) {
        let ports = list.iter().map(|&port| port.into()).collect();
        self.services.insert(number, (ports, list.iter().map(|&at| address(at)).collect()));
    }

    fn put_slice(&mut self, number: u8, of: u8, list: &[u8]) {
        if list.is_empty() {
            self.slices.remove(&number);
        } else {
            let facts = (vec![number.into()], list.iter().map(|&at| address(at)).collect());
            self.slices.insert(number, (of, facts));
        }
    }

    fn addresses(&self, number: u8) -> BTreeSet<IpAddr> {
        let own = self.services.get(&number).into_iter();
        let slices = self.slices.values().filter(|(of, _)| *of == number).map(|(_, facts)| facts);
        own.chain(slices).flat_map(|facts| facts.1.iter().copied()).collect()
    }
}

fn apply(step: &Step, services: &Services, model: &mut Model) {
    match step {
        Step::Service(number, list) => {
            services.put_service(&service(*number, list));
            model.put_service(*number, list);
        }
        Step::NoService(number) => {
            services.remove_service(&service(*number, &[]).id);
            model.services.remove(number);
        }
        Step::Slice(number, of, list) => {
            services.put_slice(&name(*of), &slice(*number, list));
            model.put_slice(*number, *of, list);
        }
        Step::NoSlice(number) => {
            services.remove_slice(&slice(*number, &[]).id);
            model.slices.remove(number);
        }
        Step::ListServices(list, late) => {
            let mark = services.begin_list(Listed::Services);
            let put: Vec<u8> = list.iter().map(|at| at % 6).chain(*late).collect();
            for &number in &put {
                services.put_service(&service(number, &[number]));
                model.put_service(number, &[number]);
            }
            services.end_list(Listed::Services, mark);
            model.services.retain(|number, _| put.contains(number));
        }
        Step::ListSlices(list, late) => {
            let mark = services.begin_list(Listed::Slices);
            let put: Vec<u8> = list.iter().map(|at| at % 8).chain(*late).collect();
            for &number in &put {
                services.put_slice(&name(number % 6), &slice(number, &[number]));
                model.put_slice(number, number % 6, &[number]);
            }
            services.end_list(Listed::Slices, mark);
            model.slices.retain(|number, _| put.contains(number));
        }
    }
}

fn compare(services: &Services, model: &Model) {
    for number in 0..6 {
        let found = services.find(b"prod", name(number).as_bytes(), |entry| {
            let ports = |ports: cluster::Ports<'_>| -> Vec<u16> {
                ports.filter_map(|port| port.number).collect()
            };
            let own = entry.service().map(|service| ports(service.ports));
            let slices: BTreeSet<Vec<u16>> =
                entry.slices().map(|slice| ports(slice.ports)).collect();
            (own, slices)
        });
        let own = model.services.get(&number).map(|facts| facts.0.clone());
        let slices: BTreeSet<Vec<u16>> = model
            .slices
            .values()
            .filter(|(of, _)| *of == number)
            .map(|(_, facts)| facts.0.clone())
            .collect();
        assert_eq!(found.unwrap_or_default(), (own, slices), "service {number}");
    }
    for at in 0..12 {
        let mut found = BTreeSet::new();
        services.with_address(address(at), |entry| {
            found.insert(String::from_utf8(entry.name().to_vec()).expect("a name"));
        });
        let has = |number: &u8| model.addresses(*number).contains(&address(at));
        let expected: BTreeSet<String> = (0..6).filter(has).map(name).collect();
        assert_eq!(found, expected, "address {at}");
    }
    let kept = (model.services.len(), model.slices.len());
    assert_eq!(services.len(), kept, "what is gone leaves nothing");
}

proptest! {
    #[test]
    fn services_are_what_the_changes_made_of_them(
        steps in proptest::collection::vec(step(), 0..40)
    ) {
        let services = Services::new(Detail::default());
        let mut model = Model::default();
        for step in &steps {
            apply(step, &services, &mut model);
            compare(&services, &model);
        }
    }
}

#[test]
fn a_change_tells_what_it_changed() {
    let services = Services::new(Detail::default());
    let mut web = service(1, &[1]);
    assert!(services.put_service(&web).inside);
    assert!(!services.put_service(&web).inside, "it says the same");
    web.outside = vec!["192.0.2.1".into(), "lb.example.".into()];
    let changed = services.put_service(&web);
    assert!(changed.outside);
    assert!(!services.put_slice("svc-1", &slice(3, &[3])).outside);
    assert!(services.remove_service(&web.id).outside);
    assert!(!services.remove_service(&web.id).inside);
}
