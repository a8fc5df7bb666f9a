//! Requests the own endpoint every second and measures the time: a busy process answers slowly.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use chain::HttpAddress;
use telemetry::metrics::{self, Counter, Histogram, SHARED};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};

/// The pause between two requests.
const PAUSE: Duration = Duration::from_secs(1);
/// The timeout of a request.
const TIMEOUT: Duration = Duration::from_secs(3);
/// A slower request is logged.
const SLOW: Duration = Duration::from_secs(1);

/// CoreDNS's slim buckets: 0.25 ms and four times ten times that.
const SLIM_BUCKETS: &[f64] = &[0.00025, 0.0025, 0.025, 0.25, 2.5];

/// Registers the metrics of the probe.
pub(super) fn register_metrics() {
    durations();
    failures();
}

/// How long requests took, in nanoseconds.
fn durations() -> Histogram {
    let help = "Histogram of the time (in seconds) each request took.";
    let name = "coredns_health_request_duration_seconds";
    metrics::histogram(name, help, &[], &[], SLIM_BUCKETS, 1e-9)
}

/// Requests that failed.
fn failures() -> Counter {
    let help = "The number of times the health check failed.";
    metrics::counter("coredns_health_request_failures_total", help, &[], &[])
}

/// Requests one endpoint again and again.
pub(super) struct Probe {
    url: String,
    address: Option<SocketAddr>,
    duration: Histogram,
    failures: Counter,
}

impl Probe {
    /// A probe of the endpoint on `address`, as it is written in the Corefile.
    pub(super) fn new(address: &str) -> Self {
        let (duration, failures) = (durations(), failures());
        // The directive was checked, so this is an address.
        let mut target = HttpAddress::resolve(address).ok();
        if let Some(target) = &mut target
            && target.ip().is_unspecified()
        {
            target.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        Self { url: format!("http://{address}/health"), address: target, duration, failures }
    }

    /// Sends requests until the configuration is replaced.
    pub(super) async fn run(self) {
        let Some(address) = self.address else { return };
        loop {
            sleep(PAUSE).await;
            let start = Instant::now();
            let asked = timeout(TIMEOUT, ask(address)).await;
            let took = start.elapsed();
            self.duration.observe(SHARED, took.as_nanos() as u64);
            let url = &self.url;
            let problem = match asked {
                Ok(Ok(())) => {
                    if took > SLOW {
                        let took = corefile::show_duration(took);
                        telemetry::warning!(
                            "plugin/health: Local health request to {url:?} took more than 1s: \
                             {took}"
                        );
                    }
                    continue;
                }
                Ok(Err(problem)) => problem.to_string(),
                Err(_) => format!("no reply within {TIMEOUT:?}"),
            };
            self.failures.inc(SHARED);
            telemetry::warning!("plugin/health: Local health request to {url:?} failed: {problem}");
        }
    }
}

/// One request, over a connection of its own.
async fn ask(address: SocketAddr) -> io::Result<()> {
    let mut stream = net::stream::connect_tcp(address).await?;
    let request = format!("GET /health HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut start = [0; 9];
    stream.read_exact(&mut start).await?;
    if start.starts_with(b"HTTP/1.") {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "the reply is not HTTP"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn asks_over_http() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serve = async {
            for answer in ["HTTP/1.1 200 OK\r\n\r\nOK", "SSH-2.0-x\r\n", ""] {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 256];
                let len = stream.read(&mut request).await.unwrap();
                assert!(request[..len].starts_with(b"GET /health HTTP/1.1\r\n"));
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        };
        let asked = async {
            assert!(ask(address).await.is_ok());
            assert!(ask(address).await.is_err());
            assert!(ask(address).await.is_err());
        };
        tokio::join!(serve, asked);
    }

    #[test]
    fn wildcard_addresses_are_asked_on_the_loopback() {
        let address = |text| Probe::new(text).address.unwrap().to_string();
        assert_eq!(address(":8080"), "127.0.0.1:8080");
        assert_eq!(address("0.0.0.0:1"), "127.0.0.1:1");
        assert_eq!(address("[::1]:2"), "[::1]:2");
        assert_eq!(address("localhost:3"), "127.0.0.1:3");
    }
}
