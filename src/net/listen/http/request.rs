//! What a request asks for, and what answers it (RFC 8484). No sockets.

use std::net::IpAddr;

use data_encoding::BASE64URL_NOPAD;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri};
use wire::HEADER;

use crate::listen::http_settings::HttpSettings;

/// The longest DNS message.
pub(super) const MAX_MESSAGE: usize = 65_535;
/// The media type of DNS messages.
const MEDIA: &str = "application/dns-message";
/// What CoreDNS lets a reply live in caches of HTTP at most, in seconds.
const MAX_AGE: u32 = 3600;

/// What a request asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked {
    /// This message.
    Message(Vec<u8>),
    /// The message in the body.
    Body,
}

/// Reads the head of a request.
///
/// # Errors
/// The status of the refusal.
pub(super) fn read(
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    settings: &HttpSettings,
) -> Result<Asked, StatusCode> {
    if !settings.paths.iter().any(|path| path == uri.path()) {
        return Err(StatusCode::NOT_FOUND);
    }
    match *method {
        Method::GET => get(uri.query().unwrap_or_default()),
        Method::POST => {
            if headers.get(CONTENT_TYPE).is_some_and(|found| !is_message(found)) {
                return Err(StatusCode::UNSUPPORTED_MEDIA_TYPE);
            }
            let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok());
            let length = length.map(|length| length.parse::<usize>());
            match length {
                Some(Ok(length)) if length > MAX_MESSAGE => Err(StatusCode::PAYLOAD_TOO_LARGE),
                Some(Err(_)) => Err(StatusCode::BAD_REQUEST),
                Some(Ok(_)) | None => Ok(Asked::Body),
            }
        }
        _ => Err(StatusCode::METHOD_NOT_ALLOWED),
    }
}

/// The message of the one parameter `dns`.
fn get(query: &str) -> Result<Asked, StatusCode> {
    let mut found = query.split('&').filter_map(|part| part.strip_prefix("dns="));
    let (Some(text), None) = (found.next(), found.next()) else {
        return Err(StatusCode::BAD_REQUEST);
    };
    if text.len() > MAX_MESSAGE.div_ceil(3) * 4 {
        return Err(StatusCode::URI_TOO_LONG);
    }
    // "padding characters MUST NOT be included" (section 6); those who add them all the same mean the same.
    let text = text.trim_end_matches('=').trim_end_matches("%3D").trim_end_matches("%3d");
    let message = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| StatusCode::BAD_REQUEST)?;
    checked(message).map(Asked::Message)
}

/// A message that may be one.
///
/// # Errors
/// It is too short.
pub(super) fn checked(message: Vec<u8>) -> Result<Vec<u8>, StatusCode> {
    if message.len() < HEADER { Err(StatusCode::BAD_REQUEST) } else { Ok(message) }
}

fn is_message(value: &HeaderValue) -> bool {
    let kind = value.as_bytes().split(|&byte| byte == b';').next().unwrap_or_default();
    kind.trim_ascii().eq_ignore_ascii_case(MEDIA.as_bytes())
}

/// The head of the response with this reply.
pub(super) fn success(reply: &[u8]) -> Response<()> {
    let mut response = Response::new(());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(reply.len()));
    // "... no larger than the smallest TTL in the Answer section" (section 5.1)
    let age = wire::least_ttl(reply).unwrap_or(0).min(MAX_AGE);
    headers.insert(CACHE_CONTROL, max_age(age));
    response
}

fn max_age(seconds: u32) -> HeaderValue {
    // Always valid: it is ASCII.
    HeaderValue::try_from(format!("max-age={seconds}"))
        .unwrap_or(HeaderValue::from_static("no-store"))
}

/// The head of a refusal.
pub(super) fn refusal(status: StatusCode) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(0));
    response
}

/// The client that a trusted proxy forwards for: the last address of `Forwarded` (RFC 7239) or
/// `X-Forwarded-For` that is not another trusted proxy's.
pub(super) fn forwarded(
    headers: &HeaderMap,
    peer: IpAddr,
    settings: &HttpSettings,
) -> Option<IpAddr> {
    if !settings.trusts(peer) {
        return None;
    }
    let standard: Vec<IpAddr> = values(headers, &http::header::FORWARDED)
        .flat_map(|element| element.split(';'))
        .filter_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            name.eq_ignore_ascii_case("for").then(|| address(value))?
        })
        .collect();
    let usual = || -> Vec<IpAddr> {
        let name = HeaderName::from_static("x-forwarded-for");
        values(headers, &name).filter_map(address).collect()
    };
    let hops = if standard.is_empty() { usual() } else { standard };
    hops.into_iter().rev().find(|hop| !settings.trusts(*hop))
}

fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let all = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|line| line.split(','))
}

/// An address, with or without a port, brackets and quotes.
fn address(text: &str) -> Option<IpAddr> {
    let text = text.trim().trim_matches('"');
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Some(ip.to_canonical());
    }
    if let Some(rest) = text.strip_prefix('[') {
        return rest.split(']').next()?.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
    }
    text.rsplit_once(':')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> HttpSettings {
        HttpSettings {
            paths: vec!["/dns-query".to_owned(), "/here".to_owned()],
            proxies: vec![("192.0.2.0".parse().unwrap(), 24), ("2001:db8::".parse().unwrap(), 32)],
            ..HttpSettings::default()
        }
    }

    fn asked(method: Method, uri: &str, headers: &[(&str, &str)]) -> Result<Asked, u16> {
        let uri: Uri = uri.parse().unwrap();
        let headers = map(headers);
        read(&method, &uri, &headers, &settings()).map_err(|status| status.as_u16())
    }

    fn map(headers: &[(&str, &str)]) -> HeaderMap {
        let pair = |(name, value): &(&str, &str)| {
            (HeaderName::try_from(*name).unwrap(), HeaderValue::try_from(*value).unwrap())
        };
        headers.iter().map(pair).collect()
    }

    #[test]
    fn requests_are_read_or_refused() {
        let message = || Ok(Asked::Message(vec![0; 12]));
        assert_eq!(asked(Method::GET, "/dns-query?dns=AAAAAAAAAAAAAAAA", &[]), message());
        assert_eq!(asked(Method::GET, "/here?a=b&dns=AAAAAAAAAAAAAAAA", &[]), message());
        assert_eq!(asked(Method::GET, "/dns-query?dns=AAAAAAAAAAAAAAA", &[]), Err(400), "short");
        for wrong in
            ["", "?", "?dns=", "?dns=*", "?dns=AA==", "?dns=AAAAAAAAAAAAAAAA&dns=AAAAAAAAAAAAAAAA"]
        {
            assert_eq!(asked(Method::GET, &format!("/dns-query{wrong}"), &[]), Err(400), "{wrong}");
        }
        assert_eq!(asked(Method::GET, "/dns-query/?dns=AAAAAAAAAAAAAAAA", &[]), Err(404));
        assert_eq!(asked(Method::GET, "/../dns-query", &[]), Err(404));
        assert_eq!(asked(Method::PUT, "/dns-query", &[]), Err(405));
        let post = |headers: &[(&str, &str)]| asked(Method::POST, "/dns-query", headers);
        assert_eq!(post(&[]), Ok(Asked::Body), "CoreDNS does not look at the type");
        assert_eq!(post(&[("content-type", "Application/DNS-Message; x=y")]), Ok(Asked::Body));
        assert_eq!(post(&[("content-type", "text/plain")]), Err(415));
        assert_eq!(post(&[("content-length", "65535")]), Ok(Asked::Body));
        assert_eq!(post(&[("content-length", "65536")]), Err(413));
        assert_eq!(post(&[("content-length", "-1")]), Err(400));
    }

    #[test]
    fn trusted_proxies_tell_who_the_client_is() {
        let of = |peer: &str, headers: &[(&str, &str)]| {
            forwarded(&map(headers), peer.parse().unwrap(), &settings()).map(|ip| ip.to_string())
        };
        let known = |text: &str| Some(text.to_owned());
        let usual = [("x-forwarded-for", "203.0.113.9, 198.51.100.1, 192.0.2.7")];
        assert_eq!(of("192.0.2.1", &usual), known("198.51.100.1"), "the last that is no proxy");
        assert_eq!(of("198.51.100.9", &usual), None, "a stranger may say anything");
        let standard =
            [("forwarded", "for=203.0.113.9;proto=https, for=\"[2001:db8::1]:80\";by=x")];
        assert_eq!(of("192.0.2.1", &standard), known("203.0.113.9"));
        assert_eq!(
            of("2001:db8::5", &[("forwarded", "For=198.51.100.7:4711")]),
            known("198.51.100.7")
        );
        assert_eq!(
            of("192.0.2.1", &[("x-forwarded-for", "unknown, ,::ffff:203.0.113.5")]),
            known("203.0.113.5")
        );
        assert_eq!(of("192.0.2.1", &[]), None);
        assert_eq!(of("192.0.2.1", &[("x-forwarded-for", "192.0.2.3")]), None, "all are proxies");
    }
}
