//! Why a request failed, in words for the operator.

use std::error::Error;
use std::fmt;

use http::StatusCode;

use crate::resource::Kind;

/// Why a request failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    text: String,
    pub(crate) class: Class,
}

/// What is to be done about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// The same again soon.
    Transient,
    /// The same again, but not soon: somebody has to change something, or the server asks for it.
    Refused,
    /// A list: the version is too old.
    Gone,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Failure {}

impl Failure {
    pub(crate) fn transient(text: impl Into<String>) -> Self {
        Self { text: text.into(), class: Class::Transient }
    }

    pub(crate) fn refused(text: impl Into<String>) -> Self {
        Self { text: text.into(), class: Class::Refused }
    }

    /// The version to watch from, or the place in a list, is too old.
    pub(crate) fn gone(text: impl Into<String>) -> Self {
        Self { text: text.into(), class: Class::Gone }
    }

    /// No response came from `server`.
    pub(crate) fn unreached(server: &str, error: &(dyn Error + 'static)) -> Self {
        let mut last = error;
        let mut tls = None;
        let text = loop {
            let within = last.downcast_ref::<std::io::Error>().and_then(|error| error.get_ref());
            let error = within.map_or(last, |within| within as &(dyn Error + 'static));
            if let Some(found) = error.downcast_ref::<rustls::Error>() {
                tls = Some(found.to_string());
            }
            match error.source() {
                Some(source) => last = source,
                None => break error.to_string(),
            }
        };
        match tls {
            Some(tls) => Self::transient(format!(
                "TLS with API server `{server}` failed: {tls}: check the CA certificate and the \
                 server's name"
            )),
            None => Self::transient(format!("cannot reach API server `{server}`: {text}")),
        }
    }

    /// The server answered with this status and this text.
    pub(crate) fn answered(
        server: &str,
        verb: &str,
        kind: Kind,
        status: StatusCode,
        message: &str,
    ) -> Self {
        let message = message.trim();
        let said = if message.is_empty() { String::new() } else { format!(": {message}") };
        let (plural, group) = (kind.plural(), kind.group());
        match status {
            StatusCode::UNAUTHORIZED => Self::refused(format!(
                "API server `{server}` does not accept the credentials (401 Unauthorized): renew \
                 the token or the client certificate{said}"
            )),
            StatusCode::FORBIDDEN => Self::refused(format!(
                "API server `{server}` does not permit to {verb} `{plural}` of API group \
                 `{group}` (403 Forbidden): grant it to the service account by a ClusterRole{said}"
            )),
            StatusCode::NOT_FOUND => Self::refused(format!(
                "API server `{server}` has no `{plural}` of API group `{group}` (404 Not Found): \
                 install their CustomResourceDefinition{said}"
            )),
            StatusCode::GONE => Self::gone(format!("the version is too old{said}")),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::BAD_REQUEST => Self::refused(format!(
                "API server `{server}` refuses to {verb} `{plural}` ({status}){said}"
            )),
            _ => Self::transient(format!(
                "API server `{server}` fails to {verb} `{plural}` ({status}){said}"
            )),
        }
    }
}
