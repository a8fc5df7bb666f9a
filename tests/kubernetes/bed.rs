//! A server under test beside an API server: one of our own, or the one that KUBECONFIG names.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use kube_client::client::Body;
use kube_client::config::{KubeConfigOptions, Kubeconfig};
use kube_client::{Client, Config};
use serde_json::{Value, json};
use wire::{Message, Rtype};

use crate::api::ApiServer;
use crate::kit::{self, PATIENCE, Server};

/// Objects in a cluster, and a server that answers for it.
pub(crate) struct Bed {
    /// Our own API server, unless there is a real one.
    pub(crate) api: Option<ApiServer>,
    pub(crate) server: Server,
    objects: Objects,
}

/// Makes objects, in a namespace of its own.
pub(crate) struct Objects {
    runtime: tokio::runtime::Runtime,
    client: Client,
    /// The namespace of all objects.
    pub(crate) namespace: String,
    made: std::sync::Mutex<BTreeSet<String>>,
}

/// The kubeconfig of our own API server with this token.
pub(crate) fn kubeconfig(api: &ApiServer, token: &str) -> String {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": format!("http://{}", api.address)}}],
        "users": [{"name": "test", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    })
    .to_string()
}

impl Objects {
    fn new(kubeconfig: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.enable_all().worker_threads(1).build().unwrap();
        let client = runtime.block_on(async {
            let read = Kubeconfig::from_yaml(kubeconfig).unwrap();
            let options = KubeConfigOptions::default();
            let config = Config::from_custom_kubeconfig(read, &options).await.unwrap();
            Client::try_from(config).unwrap()
        });
        let namespace = format!("test-{}-{number}", std::process::id());
        Self { runtime, client, namespace, made: std::sync::Mutex::default() }
    }

    fn request(&self, method: &str, path: &str, body: &Value) -> u16 {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("content-type", "application/json")
            .body(Body::from(body.to_string().into_bytes()))
            .unwrap();
        self.runtime.block_on(self.client.send(request)).unwrap().status().as_u16()
    }

    fn collection(&self, kind: &str) -> String {
        let namespace = &self.namespace;
        match kind {
            "Namespace" => "/api/v1/namespaces".to_owned(),
            "Service" => format!("/api/v1/namespaces/{namespace}/services"),
            "Pod" => format!("/api/v1/namespaces/{namespace}/pods"),
            "EndpointSlice" => {
                format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices")
            }
            "ServiceImport" => {
                format!(
                    "/apis/multicluster.x-k8s.io/v1alpha1/namespaces/{namespace}/serviceimports"
                )
            }
            other => panic!("no {other}"),
        }
    }

    /// Creates or replaces an object.
    pub(crate) fn put(&self, mut object: Value) {
        let kind = object["kind"].as_str().unwrap().to_owned();
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        if kind != "Namespace" {
            object["metadata"]["namespace"] = json!(self.namespace);
        }
        let collection = self.collection(&kind);
        let path = format!("{collection}/{name}");
        let known = !self.made.lock().unwrap().insert(path.clone());
        let code = if known {
            self.request("PUT", &path, &object)
        } else {
            self.request("POST", &collection, &object)
        };
        assert!(code < 300, "{code} for {object}");
    }

    /// Deletes an object.
    pub(crate) fn delete(&self, kind: &str, name: &str) {
        let path = format!("{}/{name}", self.collection(kind));
        self.made.lock().unwrap().remove(&path);
        let code = self.request("DELETE", &path, &json!({}));
        assert!(code < 300, "{code}");
    }
}

impl Drop for Objects {
    fn drop(&mut self) {
        // A real API server outlives the test.
        let made = std::mem::take(&mut *self.made.lock().unwrap());
        for path in made {
            self.request("DELETE", &path, &json!({}));
        }
    }
}

impl Bed {
    /// A cluster with its namespace and these objects, and a server with these options of `kubernetes`.
    pub(crate) fn new(options: &str, objects: &[Value]) -> Self {
        Self::with("", options, objects, |_| {})
    }

    /// The same with our own API server, even if there is a real one.
    pub(crate) fn own(options: &str, objects: &[Value], prepare: impl Fn(&ApiServer)) -> Self {
        Self::with_api(Some(ApiServer::start()), "", options, objects, prepare)
    }

    /// The same with more plugins in the block.
    pub(crate) fn with(
        plugins: &str,
        options: &str,
        objects: &[Value],
        prepare: impl Fn(&ApiServer),
    ) -> Self {
        let api = std::env::var_os("KUBECONFIG").is_none().then(ApiServer::start);
        Self::with_api(api, plugins, options, objects, prepare)
    }

    pub(crate) fn with_api(
        api: Option<ApiServer>,
        plugins: &str,
        options: &str,
        objects: &[Value],
        prepare: impl Fn(&ApiServer),
    ) -> Self {
        let config = match &api {
            Some(api) => kubeconfig(api, "one"),
            None => std::fs::read_to_string(std::env::var("KUBECONFIG").unwrap()).unwrap(),
        };
        let made = Objects::new(&config);
        made.put(
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": made.namespace}}),
        );
        objects.iter().for_each(|object| made.put(object.clone()));
        if let Some(api) = &api {
            prepare(api);
        }
        let scratch = kit::Scratch::new();
        scratch.write("kubeconfig", &config);
        let corefile = format!(
            "cluster.local:{{port}} in-addr.arpa:{{port}} ip6.arpa:{{port}} clusterset.local:{{port}} \
             ext.test:{{port}} {{
                bind 127.0.0.1
                ready 127.0.0.1:{{ready}}
                prometheus 127.0.0.1:{{metrics}}
                {plugins}
                kubernetes cluster.local in-addr.arpa ip6.arpa {} {{
                    kubeconfig kubeconfig
                    {}
                }}
            }}
            upstream.test:{{port}} {{
                bind 127.0.0.1
                template IN ANY {{
                    answer \"{{{{ .Name }}}} 60 IN A 192.0.2.7\"
                }}
            }}",
            if options.contains("multicluster") { "clusterset.local" } else { "" },
            options.replace("{namespace}", &made.namespace),
        );
        let port = kit::free_port();
        let (ready, metrics) = (kit::free_port(), kit::free_port());
        let corefile = corefile
            .replace("{port}", &port.to_string())
            .replace("{ready}", &ready.to_string())
            .replace("{metrics}", &metrics.to_string());
        scratch.write("Corefile", &corefile);
        scratch.write("ports", &format!("{ready} {metrics}"));
        let mut server = Server::spawn(kit::CATENA, scratch, port, &["-conf", "Corefile"], &[]);
        server.wait_for("\ncatena-");
        Self { api, server, objects: made }
    }

    /// Creates or replaces an object.
    pub(crate) fn put(&self, object: Value) {
        self.objects.put(object);
    }

    /// Deletes an object.
    pub(crate) fn delete(&self, kind: &str, name: &str) {
        self.objects.delete(kind, name);
    }

    /// The namespace of all objects.
    pub(crate) fn namespace(&self) -> &str {
        &self.objects.namespace
    }

    /// Our own API server.
    pub(crate) fn api(&self) -> &ApiServer {
        self.api.as_ref().expect("the test needs our own API server")
    }

    /// A name in which `NS` stands for the namespace.
    fn name(&self, name: &str) -> String {
        name.replace("NS", self.namespace())
    }

    /// The reply to a question over TCP as text: rcode, flags, and the records of each section, sorted.
    /// `NS` stands for the namespace.
    pub(crate) fn ask(&self, name: &str, rtype: Rtype) -> String {
        let question = kit::question(7, &self.name(name), rtype, &[]);
        let answer = self.server.ask_tcp(&question);
        show(&answer.0).replace(self.namespace(), "NS")
    }

    /// Asks until the reply is as expected.
    pub(crate) fn expect(&self, name: &str, rtype: Rtype, expected: &str) {
        self.expect_within(PATIENCE, name, rtype, expected);
    }

    pub(crate) fn expect_within(&self, time: Duration, name: &str, rtype: Rtype, expected: &str) {
        let until = Instant::now() + time;
        loop {
            let found = self.ask(name, rtype);
            if found == expected {
                return;
            }
            assert!(
                Instant::now() < until,
                "{name} {rtype}\nis       {found}\nexpected {expected}\n{}",
                self.server.said()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn port(&self, which: usize) -> u16 {
        let ports = std::fs::read_to_string(self.server.scratch.path().join("ports")).unwrap();
        ports.split(' ').nth(which).unwrap().parse().unwrap()
    }

    /// The status and text of an HTTP endpoint.
    fn get(&self, port: u16, path: &str) -> (u16, String) {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut reply = String::new();
        let _ = stream.read_to_string(&mut reply);
        let code = reply.split(' ').nth(1).unwrap().parse().unwrap();
        (code, reply.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    /// Whether `/ready` says so.
    pub(crate) fn is_ready(&self) -> bool {
        self.get(self.port(0), "/ready").0 == 200
    }

    /// The sum of a metric over its labels.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.get(self.port(1), "/metrics").1;
        let lines = text.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{']))
        });
        lines.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
    }

    /// Waits until something holds.
    pub(crate) fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !holds(self) {
            assert!(Instant::now() < until, "{what} does not come:\n{}", self.server.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// A message as text.
pub(crate) fn show(message: &[u8]) -> String {
    let view = Message::new(message).unwrap();
    let flags = view.flags();
    let rcode = wire::Rcode(flags & 15);
    let mut text = rcode.to_string();
    if flags & 0x0400 == 0 {
        text.push_str(" no-aa");
    }
    let mut owner = wire::NameBuf::new();
    let mut sections = [Vec::new(), Vec::new(), Vec::new()];
    for record in view.records() {
        let record = record.unwrap();
        record.owner(&mut owner).unwrap();
        let mut rdata = Vec::new();
        wire::rdata::expand(record.rtype, message, record.rdata_at, record.end, &mut rdata)
            .unwrap();
        let owner = wire::name::Text(owner.as_wire());
        let shown = rdata_text(record.rtype, &rdata);
        let line = format!("{owner} {} {} {shown}", record.ttl, record.rtype);
        sections[record.section as usize].push(line);
    }
    for (name, mut lines) in ["an", "ns", "ar"].into_iter().zip(sections) {
        lines.sort();
        for line in lines {
            write!(text, "\n{name} {line}").unwrap();
        }
    }
    text
}

fn rdata_text(rtype: Rtype, rdata: &[u8]) -> String {
    let name = |octets| wire::name::Text(octets).to_string();
    let number = |at: usize| u16::from_be_bytes([rdata[at], rdata[at + 1]]);
    match rtype {
        Rtype::A => std::net::Ipv4Addr::from(<[u8; 4]>::try_from(rdata).unwrap()).to_string(),
        Rtype::AAAA => std::net::Ipv6Addr::from(<[u8; 16]>::try_from(rdata).unwrap()).to_string(),
        Rtype::SRV => format!("{} {} {} {}", number(0), number(2), number(4), name(&rdata[6..])),
        Rtype::CNAME | Rtype::PTR | Rtype::NS => name(rdata),
        Rtype::TXT => String::from_utf8_lossy(&rdata[1..]).into_owned(),
        // The serial number is a time.
        Rtype::SOA => name(&rdata[..wire::name::wire_len(rdata).unwrap()]),
        other => format!("{other} {rdata:?}"),
    }
}
