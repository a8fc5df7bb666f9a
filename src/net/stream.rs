//! Byte streams to and from other programs that do not speak DNS: over unix sockets, TCP and TLS.

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream, lookup_host};
use tokio::task::JoinSet;

use crate::tls::{Client, Identity, MAX_PEM, Server, Trust};

/// How long a handshake of TLS may take.
const HANDSHAKE: Duration = Duration::from_secs(4);
/// How long those that are served may take to finish once they were told to.
const GRACE: Duration = Duration::from_secs(2);
/// After the system could not accept a connection.
const PAUSE: Duration = Duration::from_millis(100);

/// Bytes in, bytes out.
pub trait Bytes: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytes for T {}

/// A stream of whatever kind.
pub type Stream = Box<dyn Bytes>;

/// Where a stream leads, or is waited for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    /// The path of a unix socket.
    Unix(PathBuf),
    /// Host and port.
    Tcp(String),
    /// Host and port, encrypted.
    Tls(String),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp(host) => write!(f, "tcp://{host}"),
            Self::Tls(host) => write!(f, "tls://{host}"),
        }
    }
}

/// How the certificate at the other end of a TLS stream that we open is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verification {
    /// It must be for the peer's name, from an authority that the system trusts.
    System,
    /// Not at all.
    Insecure,
}

/// The files that a TLS endpoint of ours is made of.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Files {
    /// The certificate, and those that lead to its authority.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// The authorities that a client's certificate must come from; none: clients need no certificate.
    pub authorities: Option<PathBuf>,
    /// A client without a certificate is welcome all the same.
    pub optional: bool,
}

impl Files {
    /// Whether an endpoint can be made of them now.
    ///
    /// # Errors
    /// A file cannot be read, or is not what it should be; the text names the file.
    pub fn check(&self) -> io::Result<()> {
        self.read().map(drop)
    }

    /// Reads them. Errors name the file.
    fn read(&self) -> io::Result<Server> {
        fn about(path: &Path, problem: impl fmt::Display) -> io::Error {
            io::Error::other(format!("{}: {problem}", path.display()))
        }
        let read = |path: &Path| files::read(path, MAX_PEM).map_err(|error| about(path, error));
        let (certificate, key) = (read(&self.certificate)?, read(&self.key)?);
        let in_certificate = |error: String| about(&self.certificate, error);
        let identity = Identity::from_pem(&certificate, &key).map_err(in_certificate)?;
        let clients = match &self.authorities {
            None => None,
            Some(path) => Some(Trust::from_pem(&read(path)?).map_err(|error| about(path, error))?),
        };
        Server::new(&identity, clients.as_ref(), self.optional).map_err(in_certificate)
    }
}

/// Opens a stream. `send_buffer` octets are asked of the system for TCP.
///
/// # Errors
/// Nobody is there, or is not who it should be.
pub async fn connect(
    endpoint: &Endpoint,
    verification: Verification,
    send_buffer: usize,
) -> io::Result<Stream> {
    // As in Go no host means this machine.
    let whole = |host: &str| match host.starts_with(':') {
        true => format!("localhost{host}"),
        false => host.to_owned(),
    };
    match endpoint {
        Endpoint::Unix(path) => Ok(Box::new(UnixStream::connect(path).await?)),
        Endpoint::Tcp(host) => Ok(Box::new(open(&whole(host), send_buffer).await?)),
        Endpoint::Tls(host) => {
            let host = &whole(host);
            let name = host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name);
            let name = name.trim_start_matches('[').trim_end_matches(']');
            let trust = match verification {
                Verification::System => Trust::system(),
                Verification::Insecure => Trust::insecure(),
            };
            let client = Client::new(&trust, None).map_err(io::Error::other)?;
            let session = client.session(name).map_err(io::Error::other)?;
            Ok(Box::new(session.handshake(open(host, send_buffer).await?).await?))
        }
    }
}

/// Opens a TCP stream to an address. Small writes leave at once.
///
/// # Errors
/// The peer does not accept it.
pub async fn connect_tcp(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

async fn open(host: &str, send_buffer: usize) -> io::Result<TcpStream> {
    let mut problem = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in lookup_host(host).await? {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // The system grants what it is set to grant at most.
                let _ = SockRef::from(&stream).set_send_buffer_size(send_buffer);
                return Ok(stream);
            }
            Err(error) => problem = error,
        }
    }
    Err(problem)
}

/// Waits for streams at an endpoint.
pub struct Door {
    listening: Listening,
    files: Option<Files>,
    tls: Option<Server>,
}

enum Listening {
    Unix(UnixListener, PathBuf),
    Tcp(TcpListener),
}

impl Door {
    /// Opens it; of `files` only a TLS endpoint makes use. A unix socket that nobody listens at
    /// any more is taken over.
    ///
    /// # Errors
    /// The endpoint is taken, or the files are not what they should be.
    pub fn open(endpoint: &Endpoint, files: Option<&Files>) -> io::Result<Self> {
        let listening = match endpoint {
            Endpoint::Unix(path) => Listening::Unix(listen_unix(path)?, path.clone()),
            Endpoint::Tcp(host) | Endpoint::Tls(host) => Listening::Tcp(listen_tcp(host)?),
        };
        let files = match (endpoint, files) {
            (Endpoint::Tls(_), None) => {
                return Err(io::Error::other("TLS needs a certificate and its key"));
            }
            (Endpoint::Tls(_), Some(files)) => Some(files.clone()),
            (Endpoint::Unix(_) | Endpoint::Tcp(_), _) => None,
        };
        let tls = files.as_ref().map(Files::read).transpose()?;
        Ok(Self { listening, files, tls })
    }

    /// Where it is, if it has an address.
    pub fn address(&self) -> Option<SocketAddr> {
        match &self.listening {
            Listening::Tcp(listener) => listener.local_addr().ok(),
            Listening::Unix(..) => None,
        }
    }

    /// Runs `serve` for each stream that comes, for at most `most` at once (further ones wait), until
    /// `end`. Those under way then get a little time to finish.
    pub async fn serve<F>(
        mut self,
        most: usize,
        serve: impl Fn(Stream) -> F + Clone + Send + 'static,
        end: impl Future<Output = ()>,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let mut served = JoinSet::new();
        let mut end = std::pin::pin!(end);
        loop {
            tokio::select! {
                () = &mut end => break,
                Some(_) = served.join_next() => {}
                accepted = self.listening.accept(), if served.len() < most => match accepted {
                    Ok(Accepted::Unix(stream)) => {
                        let serve = serve.clone();
                        served.spawn(async move { serve(Box::new(stream)).await });
                    }
                    Ok(Accepted::Tcp(stream)) => {
                        let (tls, serve) = (self.renewed(), serve.clone());
                        served.spawn(async move {
                            match tls {
                                None => serve(Box::new(stream)).await,
                                Some(tls) => {
                                    let greeted = tls.handshake(stream);
                                    if let Ok(Ok(stream)) =
                                        tokio::time::timeout(HANDSHAKE, greeted).await
                                    {
                                        serve(Box::new(stream)).await;
                                    }
                                }
                            }
                        });
                    }
                    Err(_) => tokio::time::sleep(PAUSE).await,
                },
            }
        }
        let all = async { while served.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(GRACE, all).await;
    }

    /// How to shake hands. Connections are few, so the files are read again for each: a certificate
    /// that was renewed is shown, and one that cannot be read does not replace the one before.
    fn renewed(&mut self) -> Option<Server> {
        if let Some(files) = &self.files
            && let Ok(server) = files.read()
        {
            self.tls = Some(server);
        }
        self.tls.clone()
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        if let Self::Unix(_, path) = self {
            let _ = std::fs::remove_file(path);
        }
    }
}

enum Accepted {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Listening {
    async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Unix(listener, _) => Ok(Accepted::Unix(listener.accept().await?.0)),
            Self::Tcp(listener) => Ok(Accepted::Tcp(listener.accept().await?.0)),
        }
    }
}

fn listen_tcp(host: &str) -> io::Result<TcpListener> {
    // As in Go no host means all addresses.
    let full = if host.starts_with(':') { format!("[::]{host}") } else { host.to_owned() };
    let listener = std::net::TcpListener::bind(full)?;
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

fn listen_unix(path: &Path) -> io::Result<UnixListener> {
    match UnixListener::bind(path) {
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            let refused = StdUnixStream::connect(path).err().map(|error| error.kind());
            if refused != Some(io::ErrorKind::ConnectionRefused)
                || !std::fs::symlink_metadata(path)?.file_type().is_socket()
            {
                return Err(error);
            }
            std::fs::remove_file(path)?;
            UnixListener::bind(path)
        }
        bound => bound,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::sync::oneshot;

    /// A folder of this test alone, removed with it.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            static NUMBER: AtomicU32 = AtomicU32::new(0);
            let number = NUMBER.fetch_add(1, Ordering::Relaxed);
            let name = format!("catena-stream-{}-{number}", std::process::id());
            let path = std::env::temp_dir().join(name);
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn write(&self, name: &str, text: &str) -> PathBuf {
            let path = self.0.join(name);
            std::fs::write(&path, text).unwrap();
            path
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn files(folder: &Folder, name: &str) -> Files {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        Files {
            certificate: folder.write("cert.pem", &made.cert.pem()),
            key: folder.write("key.pem", &made.signing_key.serialize_pem()),
            authorities: None,
            optional: false,
        }
    }

    async fn echo(mut stream: Stream) {
        let mut bytes = [0; 5];
        // Somebody may only have looked whether anybody is here.
        if stream.read_exact(&mut bytes).await.is_err() {
            return;
        }
        stream.write_all(&bytes).await.unwrap();
        let _ = stream.shutdown().await;
    }

    async fn converse(mut stream: Stream) -> Vec<u8> {
        stream.write_all(b"hello").await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        bytes
    }

    #[tokio::test]
    async fn a_unix_socket_is_taken_over_only_if_nobody_listens() {
        let folder = Folder::new();
        let endpoint = Endpoint::Unix(folder.0.join("a.sock"));
        let path = folder.0.join("a.sock");
        // Left behind, as by a process that was killed.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let door = Door::open(&endpoint, None).unwrap();
        let again = Door::open(&endpoint, None).err().map(|error| error.kind());
        assert_eq!(again, Some(io::ErrorKind::AddrInUse));
        let (end, ended) = oneshot::channel::<()>();
        let served = tokio::spawn(door.serve(2, echo, async { drop(ended.await) }));
        let stream = connect(&endpoint, Verification::System, 0).await.unwrap();
        assert_eq!(converse(stream).await, b"hello");
        drop(end);
        served.await.unwrap();
        assert!(!path.exists());
        folder.write("b.sock", "not a socket");
        assert!(Door::open(&Endpoint::Unix(folder.0.join("b.sock")), None).is_err());
    }

    #[tokio::test]
    async fn tls_shows_a_certificate_that_may_be_renewed() {
        let folder = Folder::new();
        let files = files(&folder, "localhost");
        let any = Endpoint::Tls("127.0.0.1:0".to_owned());
        assert!(Door::open(&any, None).is_err(), "no certificate");
        let door = Door::open(&any, Some(&files)).unwrap();
        let here = Endpoint::Tls(door.address().unwrap().to_string());
        let (end, ended) = oneshot::channel::<()>();
        let served = tokio::spawn(door.serve(2, echo, async { drop(ended.await) }));
        let blind = connect(&here, Verification::Insecure, 4096).await.unwrap();
        assert_eq!(converse(blind).await, b"hello");
        let Err(error) = connect(&here, Verification::System, 4096).await else {
            panic!("believed")
        };
        assert!(error.to_string().contains("certificate"), "{error}");
        // What cannot be read does not replace what is shown.
        folder.write("cert.pem", "nothing");
        let blind = connect(&here, Verification::Insecure, 4096).await.unwrap();
        assert_eq!(converse(blind).await, b"hello");
        drop(end);
        served.await.unwrap();
        let error = Door::open(&any, Some(&files)).err().unwrap();
        assert!(error.to_string().contains("cert.pem"), "{error}");
    }

    #[tokio::test]
    async fn who_needs_a_certificate_gets_nothing_without_one() {
        let folder = Folder::new();
        let mut files = files(&folder, "localhost");
        files.authorities = Some(files.certificate.clone());
        for (optional, expected) in [(true, &b"hello"[..]), (false, b"")] {
            files.optional = optional;
            let door = Door::open(&Endpoint::Tls("127.0.0.1:0".to_owned()), Some(&files)).unwrap();
            let here = Endpoint::Tls(door.address().unwrap().to_string());
            let (end, ended) = oneshot::channel::<()>();
            let served = tokio::spawn(door.serve(2, echo, async { drop(ended.await) }));
            let mut got = Vec::new();
            if let Ok(mut stream) = connect(&here, Verification::Insecure, 4096).await
                && stream.write_all(b"hello").await.is_ok()
            {
                // The refusal comes as an alert, after the handshake.
                let _ = stream.read_to_end(&mut got).await;
            }
            assert_eq!(got, expected);
            drop(end);
            served.await.unwrap();
        }
    }
}
