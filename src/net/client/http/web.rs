//! DNS in requests and responses of HTTP (RFC 8484), of whichever version.

use std::fmt;
use std::net::SocketAddr;

use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use http::header::{ACCEPT, AGE, CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};

use super::template::Template;
use crate::client::error::InvalidReply;

/// The media type of a DNS message.
const MESSAGE: HeaderValue = HeaderValue::from_static("application/dns-message");
/// The longest message there is.
const MAX_MESSAGE: usize = 65_535;
/// The length of a server's text that is shown to the operator.
const QUOTED: usize = 100;

/// How a query is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Method {
    /// In the path; what is asked often may come from a cache on the way.
    Get,
    /// In the body: shorter.
    #[default]
    Post,
}

/// What is asked of a server over HTTP.
#[derive(Clone, PartialEq, Eq)]
pub struct Resource {
    template: Template,
    method: Method,
    /// With everything but the query.
    uri: Uri,
}

impl Resource {
    /// The resource `template` of the server that calls itself `authority`, a name with or without
    /// a port.
    ///
    /// # Errors
    /// Together they are no URI.
    pub fn new(authority: &str, template: &Template, method: Method) -> Result<Self, String> {
        let uri = Uri::builder().scheme(Scheme::HTTPS).authority(authority);
        let uri = uri.path_and_query(template.bare()).build().map_err(|why| why.to_string())?;
        Ok(Self { template: template.clone(), method, uri })
    }

    /// The request as Go's HTTP client names it in errors: method and URL. CoreDNS has the address there,
    /// and not the server's name.
    pub(crate) fn told(&self, to: SocketAddr, message: &Bytes) -> String {
        match self.method {
            Method::Post => format!("Post \"https://{to}{}\"", self.template.bare()),
            Method::Get => {
                format!(
                    "Get \"https://{to}{}\"",
                    self.template.with(&BASE64URL_NOPAD.encode(message))
                )
            }
        }
    }

    /// The head of a request, and its body if it has one.
    pub(crate) fn request(
        &self,
        message: &Bytes,
    ) -> Result<(Request<()>, Option<Bytes>), InvalidReply> {
        let mut request = Request::new(());
        *request.uri_mut() = self.uri.clone();
        request.headers_mut().insert(ACCEPT, MESSAGE);
        match self.method {
            Method::Post => {
                *request.method_mut() = http::Method::POST;
                request.headers_mut().insert(CONTENT_TYPE, MESSAGE);
                request.headers_mut().insert(CONTENT_LENGTH, message.len().into());
                Ok((request, Some(message.clone())))
            }
            Method::Get => {
                let path = self.template.with(&BASE64URL_NOPAD.encode(message));
                let mut parts = self.uri.clone().into_parts();
                // A query of 49,000 octets is too long for a URI.
                let path =
                    PathAndQuery::try_from(path).map_err(|why| InvalidReply(why.to_string()))?;
                parts.path_and_query = Some(path);
                *request.uri_mut() =
                    Uri::from_parts(parts).map_err(|why| InvalidReply(why.to_string()))?;
                Ok((request, None))
            }
        }
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} {:?}", self.method, self.uri, self.template.with("…"))
    }
}

/// What came back.
pub(crate) struct Answer {
    pub(crate) message: Vec<u8>,
    /// For how many seconds it lay in a cache on the way.
    pub(crate) age: u32,
}

/// A response whose head was found fit.
pub(crate) struct Reading {
    answer: Answer,
}

impl Reading {
    /// Judges the head.
    pub(crate) fn begin<T>(response: &Response<T>) -> Result<Self, InvalidReply> {
        let (status, headers) = (response.status(), response.headers());
        if !status.is_success() {
            return Err(InvalidReply(refusal(status, headers)));
        }
        let kind = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        let essence = kind.split(|&byte| byte == b';').next().unwrap_or_default();
        if !essence.trim_ascii().eq_ignore_ascii_case(MESSAGE.as_bytes()) {
            let kind = if kind.is_empty() { "nothing said" } else { &*quote(kind) };
            return Err(InvalidReply(format!("HTTP content of type `{kind}` is no DNS message")));
        }
        // RFC 9111 section 5.1: what is no number does not count, what is too large is large.
        let age = headers.get(AGE).and_then(|age| age.to_str().ok()).map_or(0, |age| {
            let digits = !age.is_empty() && age.bytes().all(|byte| byte.is_ascii_digit());
            if digits { age.parse().unwrap_or(u32::MAX) } else { 0 }
        });
        Ok(Self { answer: Answer { message: Vec::new(), age } })
    }

    /// Takes a piece of the body.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> Result<(), InvalidReply> {
        let message = &mut self.answer.message;
        if message.len() + chunk.len() > MAX_MESSAGE {
            return Err(InvalidReply(format!("HTTP content of more than {MAX_MESSAGE} bytes")));
        }
        message.extend_from_slice(chunk);
        Ok(())
    }

    /// All of the body came.
    pub(crate) fn end(self) -> Answer {
        self.answer
    }
}

fn refusal(status: StatusCode, headers: &HeaderMap) -> String {
    match headers.get(LOCATION) {
        Some(location) if status.is_redirection() => {
            let location = quote(location.as_bytes());
            format!("HTTP status {status}, to `{location}`: redirects are not followed")
        }
        _ => format!("HTTP status {status}"),
    }
}

/// The beginning of what a server said, safe to be shown.
fn quote(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(QUOTED)];
    shown.iter().map(|&b| if b.is_ascii_graphic() || b == b' ' { b as char } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(status: u16, headers: &[(&'static str, &'static str)]) -> Result<u32, String> {
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(*name, *value);
        }
        let reading = Reading::begin(&response.body(()).unwrap());
        reading.map(|reading| reading.end().age).map_err(|why| why.to_string())
    }

    #[test]
    fn heads_are_judged() {
        let dns = ("content-type", "application/dns-message");
        type Headers = [(&'static str, &'static str)];
        let cases: &[(u16, &Headers, Result<u32, &str>)] = &[
            (200, &[dns], Ok(0)),
            (203, &[dns, ("age", "250")], Ok(250)),
            (200, &[dns, ("age", "99999999999999999999")], Ok(u32::MAX)),
            (200, &[dns, ("age", "-3")], Ok(0)),
            (200, &[dns, ("age", "+3")], Ok(0)),
            (200, &[dns, ("age", "")], Ok(0)),
            (200, &[("content-type", "Application/DNS-Message; x=y")], Ok(0)),
            (
                200,
                &[("content-type", "text/html")],
                Err("HTTP content of type `text/html` is no DNS message"),
            ),
            (200, &[], Err("HTTP content of type `nothing said` is no DNS message")),
            (404, &[dns], Err("HTTP status 404 Not Found")),
            (
                301,
                &[("location", "https://other.example/")],
                Err(
                    "HTTP status 301 Moved Permanently, to `https://other.example/`: redirects are \
                     not followed",
                ),
            ),
            (304, &[], Err("HTTP status 304 Not Modified")),
            (429, &[dns], Err("HTTP status 429 Too Many Requests")),
        ];
        for (status, headers, expected) in cases {
            let expected = expected.map_err(ToOwned::to_owned);
            assert_eq!(judged(*status, headers), expected, "{status} {headers:?}");
        }
    }

    #[test]
    fn a_body_has_a_bound() {
        let dns = Response::builder().header("content-type", "application/dns-message");
        let mut reading = Reading::begin(&dns.body(()).unwrap()).unwrap();
        assert!(reading.push(&[0; 65_000]).is_ok());
        assert!(reading.push(&[0; 535]).is_ok());
        assert!(reading.push(&[0]).is_err());
    }

    #[test]
    fn what_servers_say_is_shown_with_care() {
        assert_eq!(quote(b"a\x1b[31m\nb\xFF"), "a?[31m?b?");
        assert_eq!(quote(&[b'x'; 1000]).len(), QUOTED);
    }

    /// The examples of RFC 8484 sections 4.1.1 and 4.2.1.
    #[test]
    fn requests() {
        let mut message =
            b"\0\0\x01\0\0\x01\0\0\0\0\0\0\x03www\x07example\x03com\0\0\x01\0\x01".to_vec();
        let resource =
            |method| Resource::new("dnsserver.example.net", &Template::default(), method).unwrap();
        let (head, body) = resource(Method::Get).request(&message.clone().into()).unwrap();
        assert_eq!(
            head.uri().to_string(),
            "https://dnsserver.example.net/dns-query?dns=AAABAAABAAAAAAAAA3d3dwdleGFtcGxlA2NvbQAAAQAB"
        );
        assert!(body.is_none() && head.method() == "GET");
        let (head, body) = resource(Method::Post).request(&message.clone().into()).unwrap();
        assert_eq!(head.uri(), "https://dnsserver.example.net/dns-query");
        assert_eq!((head.method().as_str(), body.unwrap()), ("POST", Bytes::from(message.clone())));
        assert_eq!(head.headers()["content-type"], "application/dns-message");
        message.resize(65_535, 0);
        assert!(resource(Method::Get).request(&message.clone().into()).is_err());
        assert!(resource(Method::Post).request(&message.into()).is_ok());
    }
}
