//! An API server of our own: lists with limit and continue, watches with bookmarks, 410, 401, 403, and what goes
//! wrong between a client and it. It knows objects as JSON and nothing of what they mean.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use serde_json::{Value, json};

use crate::proto;

/// A resource and the name of an object of it, with its namespace.
type Key = (String, String);

/// One change: the version that it made, and the object before and after.
struct Change {
    version: u64,
    resource: String,
    before: Option<Value>,
    after: Option<Value>,
}

#[derive(Default)]
struct World {
    version: u64,
    objects: BTreeMap<Key, Value>,
    log: Vec<Change>,
    /// Versions before this one are forgotten.
    compacted: u64,
    /// Counts bookmarks that were asked for.
    bookmarks: u64,
    /// The version of the last of them.
    marked: u64,
    /// Counts the times at which all connections were cut.
    cuts: u64,
    faults: Faults,
    /// What was asked for: method, path and query.
    asked: Vec<String>,
}

/// What goes wrong.
#[derive(Clone, Default)]
pub(crate) struct Faults {
    /// The only token that is accepted.
    pub(crate) token: Option<String>,
    /// Verbs and resources that are forbidden.
    pub(crate) forbidden: Vec<(&'static str, &'static str)>,
    /// Nobody is there: connections are closed at once.
    pub(crate) is_away: bool,
    /// How long the head of a response takes.
    pub(crate) delay: Duration,
    /// Objects are written in JSON only.
    pub(crate) no_protobuf: bool,
    /// A version that is too old is refused within the watch, not before it.
    pub(crate) late_gone: bool,
    /// Lists end in the middle, so often.
    pub(crate) torn_lists: u32,
    /// The continuation of a list is too old, so often.
    pub(crate) expired_pages: u32,
    /// A list from the cache is answered page by page, too.
    pub(crate) pages_from_cache: bool,
}

/// The server.
pub(crate) struct ApiServer {
    shared: Arc<Shared>,
    pub(crate) address: SocketAddr,
}

#[derive(Default)]
struct Shared {
    world: Mutex<World>,
    changed: Condvar,
}

impl Shared {
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }
}

impl ApiServer {
    /// Listens on a port of its own.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::default());
        shared.world().version = 100;
        let server = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&server);
                std::thread::spawn(move || {
                    let _ = serve(&shared, stream);
                });
            }
        });
        Self { shared, address }
    }

    /// Sets what goes wrong from now on. Watches that run are cut off.
    pub(crate) fn set(&self, faults: Faults) {
        let mut world = self.shared.world();
        world.faults = faults;
        world.cuts += 1;
        self.shared.changed.notify_all();
    }

    /// Forgets all versions before the present one.
    pub(crate) fn compact(&self) {
        let mut world = self.shared.world();
        world.compacted = world.version;
    }

    /// Makes the version grow, without a change that anybody watches.
    pub(crate) fn skip_versions(&self, count: u64) {
        self.shared.world().version += count;
    }

    /// Sends a bookmark on each watch.
    pub(crate) fn bookmark(&self) {
        let mut world = self.shared.world();
        world.bookmarks += 1;
        world.marked = world.version;
        self.shared.changed.notify_all();
    }

    /// What was asked for since the last call.
    pub(crate) fn take_asked(&self) -> Vec<String> {
        std::mem::take(&mut self.shared.world().asked)
    }

    /// Whether a request that contains this was made since the last call of [`ApiServer::take_asked`].
    pub(crate) fn was_asked(&self, part: &str) -> bool {
        self.shared.world().asked.iter().any(|request| request.contains(part))
    }
}

/// A request.
struct Request {
    method: String,
    path: String,
    parameters: BTreeMap<String, String>,
    token: Option<String>,
    accept: String,
    body: Vec<u8>,
}

fn read(reader: &mut BufReader<TcpStream>) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|len| *len > 0)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let parameters = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .map(|(key, value)| (key.to_owned(), unescape(value)))
        .collect();
    let (mut token, mut accept, mut length) = (None, String::new(), 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        match &*name.to_lowercase() {
            "authorization" => token = value.trim().strip_prefix("Bearer ").map(str::to_owned),
            "accept" => accept = value.trim().to_owned(),
            "content-length" => length = value.trim().parse().ok()?,
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request { method, path: path.to_owned(), parameters, token, accept, body })
}

fn unescape(text: &str) -> String {
    let mut out = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = (byte == b'%').then(|| std::str::from_utf8(&after[..2]).unwrap());
        match hex {
            Some(hex) => {
                out.push(u8::from_str_radix(hex, 16).unwrap());
                rest = &after[2..];
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8(out).unwrap()
}

/// The resource of a path, and the rest: namespace and name.
fn place(path: &str) -> Option<(String, Option<String>, Option<String>)> {
    let parts: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    let (["api", _, rest @ ..] | ["apis", _, _, rest @ ..]) = parts.as_slice() else {
        return None;
    };
    let owned = |text: &&str| Some((*text).to_owned());
    match rest {
        ["namespaces", namespace, resource, name] => {
            Some(((*resource).to_owned(), owned(namespace), owned(name)))
        }
        ["namespaces", namespace, resource] => {
            Some(((*resource).to_owned(), owned(namespace), None))
        }
        [resource, name] => Some(((*resource).to_owned(), None, owned(name))),
        [resource] => Some(((*resource).to_owned(), None, None)),
        _ => None,
    }
}

fn serve(shared: &Shared, stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    while let Some(request) = read(&mut reader) {
        let (faults, cuts) = {
            let mut world = shared.world();
            let mut asked: Vec<String> = vec![request.method.clone(), request.path.clone()];
            asked.extend(request.parameters.iter().map(|(key, value)| format!("{key}={value}")));
            world.asked.push(asked.join(" "));
            (world.faults.clone(), world.cuts)
        };
        let is_ours = request.method != "GET";
        if faults.is_away && !is_ours {
            return stream.shutdown(Shutdown::Both);
        }
        if !is_ours {
            std::thread::sleep(faults.delay);
        }
        let Some((resource, namespace, name)) = place(&request.path) else {
            refuse(&mut stream, &request, 404, "the server could not find the requested resource")?;
            continue;
        };
        if is_ours {
            change(shared, &mut stream, &request, &resource, namespace, name)?;
            continue;
        }
        if faults.token.is_some() && request.token != faults.token {
            refuse(&mut stream, &request, 401, "Unauthorized")?;
            continue;
        }
        let is_watch = request.parameters.contains_key("watch");
        let verb = if is_watch { "watch" } else { "list" };
        if faults.forbidden.contains(&(verb, resource.as_str())) {
            let message = format!("{resource} is forbidden: User \"u\" cannot {verb} resource");
            refuse(&mut stream, &request, 403, &message)?;
        } else if is_watch {
            return watch(shared, &mut stream, &request, &resource, &faults, cuts);
        } else {
            list(shared, &mut stream, &request, &resource, &faults)?;
        }
    }
    Ok(())
}

fn respond(stream: &mut TcpStream, code: u16, media: &str, body: &[u8]) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 {code} Status\r\ncontent-type: {media}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat())
}

fn status(code: u16, message: &str) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code})
}

fn refuse(
    stream: &mut TcpStream,
    request: &Request,
    code: u16,
    message: &str,
) -> std::io::Result<()> {
    let status = status(code, message);
    if request.accept.contains("protobuf") {
        respond(stream, code, PROTOBUF, &proto::envelope("Status", &proto::status(&status)))
    } else {
        respond(stream, code, "application/json", status.to_string().as_bytes())
    }
}

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// Creates, replaces or deletes an object.
fn change(
    shared: &Shared,
    stream: &mut TcpStream,
    request: &Request,
    resource: &str,
    namespace: Option<String>,
    name: Option<String>,
) -> std::io::Result<()> {
    let mut object: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    let named = name.or_else(|| object["metadata"]["name"].as_str().map(str::to_owned));
    let namespace = namespace.unwrap_or_default();
    let key = (resource.to_owned(), format!("{namespace}/{}", named.unwrap_or_default()));
    let mut world = shared.world();
    world.version += 1;
    let version = world.version;
    let before = world.objects.get(&key).cloned();
    let after = if request.method == "DELETE" {
        world.objects.remove(&key);
        None
    } else {
        if !namespace.is_empty() {
            object["metadata"]["namespace"] = json!(namespace);
        }
        object["metadata"]["resourceVersion"] = json!(version.to_string());
        world.objects.insert(key, object.clone());
        Some(object.clone())
    };
    world.log.push(Change { version, resource: resource.to_owned(), before, after });
    drop(world);
    shared.changed.notify_all();
    respond(stream, 200, "application/json", object.to_string().as_bytes())
}

/// Whether an object has the labels and fields that the request wants.
fn is_selected(object: &Value, request: &Request) -> bool {
    let labels = request.parameters.get("labelSelector").map_or("", |text| text);
    let fields = request.parameters.get("fieldSelector").map_or("", |text| text);
    let label =
        |key: &str| object["metadata"]["labels"][key].as_str().unwrap_or_default().to_owned();
    let phase = object["status"]["phase"].as_str().unwrap_or_default();
    let holds = |requirement: &str, value: &dyn Fn(&str) -> String| {
        if let Some((key, wanted)) = requirement.split_once("!=") {
            value(key) != wanted
        } else if let Some((key, wanted)) = requirement.split_once('=') {
            value(key) == wanted
        } else {
            !value(requirement).is_empty()
        }
    };
    let all = |text: &str, value: &dyn Fn(&str) -> String| {
        text.split(',').filter(|it| !it.is_empty()).all(|it| holds(it, value))
    };
    all(labels, &label) && all(fields, &|_| phase.to_owned())
}

fn list(
    shared: &Shared,
    stream: &mut TcpStream,
    request: &Request,
    resource: &str,
    faults: &Faults,
) -> std::io::Result<()> {
    let parameter = |name: &str| request.parameters.get(name).map_or("", |text| text);
    let mut world = shared.world();
    let next = parameter("continue");
    let (at, start): (u64, usize) = match next.split_once(':') {
        Some((version, start)) => (version.parse().unwrap(), start.parse().unwrap()),
        None => (world.version, 0),
    };
    if !next.is_empty() && (world.faults.expired_pages > 0 || at < world.compacted) {
        world.faults.expired_pages = world.faults.expired_pages.saturating_sub(1);
        drop(world);
        return refuse(stream, request, 410, "The provided continue parameter is too old");
    }
    // A cache has all of it at hand and pays no attention to the limit.
    let from_cache = parameter("resourceVersion") == "0" && !faults.pages_from_cache;
    let limit: usize =
        parameter("limit").parse().ok().filter(|_| !from_cache).unwrap_or(usize::MAX);
    // Later pages show the version of the first.
    let mut objects: BTreeMap<Key, Value> = world.objects.clone();
    for change in world.log.iter().rev().filter(|change| change.version > at) {
        let about = change.after.as_ref().or(change.before.as_ref()).unwrap();
        let text = |name: &str| about["metadata"][name].as_str().unwrap_or_default();
        let key = (change.resource.clone(), format!("{}/{}", text("namespace"), text("name")));
        match &change.before {
            Some(before) => objects.insert(key, before.clone()),
            None => objects.remove(&key),
        };
    }
    let is_torn = world.faults.torn_lists > 0;
    world.faults.torn_lists = world.faults.torn_lists.saturating_sub(1);
    drop(world);
    let all: Vec<Value> = objects
        .into_iter()
        .filter(|((of, _), object)| of == resource && is_selected(object, request))
        .map(|(_, object)| object)
        .collect();
    let end = start.saturating_add(limit).min(all.len());
    let next = if end < all.len() { format!("{at}:{end}") } else { String::new() };
    let items = &all[start..end];
    let (media, body) = if is_protobuf(request, resource, faults) {
        (PROTOBUF, proto::list(resource, &at.to_string(), &next, items))
    } else {
        let meta = json!({"resourceVersion": at.to_string(), "continue": next});
        let list = json!({"kind": "List", "apiVersion": "v1", "metadata": meta, "items": items});
        ("application/json", list.to_string().into_bytes())
    };
    if is_torn {
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {media}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), &body[..body.len() / 2]].concat())?;
        return stream.shutdown(Shutdown::Both);
    }
    respond(stream, 200, media, &body)
}

fn is_protobuf(request: &Request, resource: &str, faults: &Faults) -> bool {
    request.accept.contains("protobuf") && !faults.no_protobuf && resource != "serviceimports"
}

fn watch(
    shared: &Shared,
    stream: &mut TcpStream,
    request: &Request,
    resource: &str,
    faults: &Faults,
    cuts: u64,
) -> std::io::Result<()> {
    let from = request.parameters.get("resourceVersion").and_then(|text| text.parse().ok());
    let mut from: u64 = from.unwrap_or_default();
    let is_old = from < shared.world().compacted;
    let gone = "too old resource version";
    if is_old && !faults.late_gone {
        return refuse(stream, request, 410, gone);
    }
    let protobuf = is_protobuf(request, resource, faults);
    let media = if protobuf {
        "application/vnd.kubernetes.protobuf;stream=watch"
    } else {
        "application/json"
    };
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-type: {media}\r\ntransfer-encoding: chunked\r\n\r\n");
    stream.write_all(head.as_bytes())?;
    let mut send = |kind: &str, object: &Value| {
        let event = if protobuf {
            proto::event(resource, kind, object)
        } else {
            format!("{}\n", json!({"type": kind, "object": object})).into_bytes()
        };
        let chunk = format!("{:x}\r\n", event.len());
        stream.write_all(&[chunk.as_bytes(), &event, b"\r\n"].concat())
    };
    if is_old {
        send("ERROR", &status(410, gone))?;
        return stream.shutdown(Shutdown::Both);
    }
    let mut bookmarks = shared.world().bookmarks;
    let version = |version: u64| json!({"metadata": {"resourceVersion": version.to_string()}});
    loop {
        let mut world = shared.world();
        while world.cuts == cuts && world.version <= from && world.bookmarks == bookmarks {
            world = shared.changed.wait(world).unwrap();
        }
        if world.cuts != cuts {
            // A bookmark that was asked for before is on its way.
            let due = (world.bookmarks != bookmarks).then_some(world.marked);
            drop(world);
            if let Some(marked) = due {
                send("BOOKMARK", &version(marked))?;
            }
            return stream.shutdown(Shutdown::Both);
        }
        let mut events: Vec<(&str, Value)> = Vec::new();
        for change in world.log.iter().filter(|it| it.version > from && it.resource == resource) {
            let selected = |object: &&Value| is_selected(object, request);
            let before = change.before.as_ref().filter(selected);
            let after = change.after.as_ref().filter(selected);
            match (before, after) {
                (None, Some(after)) => events.push(("ADDED", after.clone())),
                (Some(_), Some(after)) => events.push(("MODIFIED", after.clone())),
                (Some(before), None) => {
                    let mut last = before.clone();
                    last["metadata"]["resourceVersion"] = json!(change.version.to_string());
                    events.push(("DELETED", last));
                }
                (None, None) => {}
            }
        }
        if world.bookmarks != bookmarks {
            bookmarks = world.bookmarks;
            events.push(("BOOKMARK", version(world.version)));
        }
        from = world.version;
        drop(world);
        for (kind, object) in events {
            send(kind, &object)?;
        }
    }
}
