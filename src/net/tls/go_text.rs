//! Errors of TLS in the words of Go's `crypto/tls` and `crypto/x509`:
//! operators of CoreDNS have patterns for these texts.

use std::io;

use rustls::pki_types::UnixTime;
use rustls::{AlertDescription, CertificateError, Error};

/// The same error with Go's text. What is no error of TLS stays as it is.
pub(crate) fn told(error: io::Error) -> io::Error {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return error.kind().into();
    }
    let text = error.get_ref().and_then(|inner| inner.downcast_ref()).map(text);
    match text {
        Some(text) => io::Error::new(error.kind(), text),
        None => error,
    }
}

fn text(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(why) => {
            format!("tls: failed to verify certificate: x509: {}", certificate(why))
        }
        Error::AlertReceived(alert) => format!("remote error: tls: {}", self::alert(*alert)),
        Error::InvalidMessage(_) => {
            "tls: first record does not look like a TLS handshake".to_owned()
        }
        Error::PeerIncompatible(_) => {
            format!("tls: server selected unsupported protocol version or parameters ({error})")
        }
        other => format!("tls: {other}"),
    }
}

fn certificate(why: &CertificateError) -> String {
    const EXPIRED: &str = "certificate has expired or is not yet valid: ";
    match why {
        CertificateError::UnknownIssuer => "certificate signed by unknown authority".to_owned(),
        CertificateError::Expired | CertificateError::NotValidYet => {
            EXPIRED.trim_end_matches(": ").to_owned()
        }
        CertificateError::ExpiredContext { time, not_after } => {
            format!("{EXPIRED}current time {} is after {}", rfc3339(*time), rfc3339(*not_after))
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            format!("{EXPIRED}current time {} is before {}", rfc3339(*time), rfc3339(*not_before))
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let expected = expected.to_str();
            if presented.is_empty() {
                return format!(
                    "certificate is not valid for any names, but wanted to match {expected}"
                );
            }
            // rustls shows each as `DnsName("dns.example.net")`.
            let names: Vec<&str> =
                presented.iter().map(|name| name.split('"').nth(1).unwrap_or(name)).collect();
            format!("certificate is valid for {}, not {expected}", names.join(", "))
        }
        other => other.to_string(),
    }
}

/// Go's names of alerts (`crypto/tls/alert.go`); those of others are their numbers there.
fn alert(alert: AlertDescription) -> String {
    let name = match alert {
        AlertDescription::CloseNotify => "close notify",
        AlertDescription::UnexpectedMessage => "unexpected message",
        AlertDescription::BadRecordMac => "bad record MAC",
        AlertDescription::HandshakeFailure => "handshake failure",
        AlertDescription::BadCertificate => "bad certificate",
        AlertDescription::UnsupportedCertificate => "unsupported certificate",
        AlertDescription::CertificateRevoked => "revoked certificate",
        AlertDescription::CertificateExpired => "expired certificate",
        AlertDescription::CertificateUnknown => "unknown certificate",
        AlertDescription::IllegalParameter => "illegal parameter",
        AlertDescription::UnknownCA => "unknown certificate authority",
        AlertDescription::AccessDenied => "access denied",
        AlertDescription::DecodeError => "error decoding message",
        AlertDescription::DecryptError => "error decrypting message",
        AlertDescription::ProtocolVersion => "protocol version not supported",
        AlertDescription::InsufficientSecurity => "insufficient security level",
        AlertDescription::InternalError => "internal error",
        AlertDescription::UserCanceled => "user canceled",
        AlertDescription::MissingExtension => "missing extension",
        AlertDescription::UnsupportedExtension => "unsupported extension",
        AlertDescription::UnrecognisedName => "unrecognized name",
        AlertDescription::CertificateRequired => "certificate required",
        AlertDescription::NoApplicationProtocol => "no application protocol",
        other => return format!("alert({})", u8::from(other)),
    };
    name.to_owned()
}

/// A moment as Go prints it in these texts.
fn rfc3339(time: UnixTime) -> String {
    let seconds = time.as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // The civil date of a day since 1970 (Howard Hinnant's algorithm, for years from 1970 on).
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let of_era = shifted % 146_097;
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u64::from(month <= 2);
    let (hour, minute) = (second / 3_600, second / 60 % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{:02}Z", second % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::ServerName;
    use std::time::Duration;

    #[test]
    fn errors_are_told_as_go_tells_them() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let expected = || ServerName::try_from("dns.example.net").unwrap();
        let names = |presented| CertificateError::NotValidForNameContext {
            expected: expected(),
            presented,
        };
        let wrong = Error::InvalidCertificate;
        let cases = [
            (
                wrong(CertificateError::UnknownIssuer),
                "tls: failed to verify certificate: x509: certificate signed by unknown authority",
            ),
            (
                wrong(names(vec![
                    "DnsName(\"a.example\")".to_owned(),
                    "DnsName(\"b.example\")".to_owned(),
                ])),
                "tls: failed to verify certificate: x509: certificate is valid for a.example, \
                 b.example, not dns.example.net",
            ),
            (
                wrong(names(Vec::new())),
                "tls: failed to verify certificate: x509: certificate is not valid for any names, but \
                 wanted to match dns.example.net",
            ),
            (
                wrong(CertificateError::ExpiredContext {
                    time: at(1_795_947_300),
                    not_after: at(951_825_599),
                }),
                "tls: failed to verify certificate: x509: certificate has expired or is not yet valid: \
                 current time 2026-11-29T10:15:00Z is after 2000-02-29T11:59:59Z",
            ),
            (
                Error::AlertReceived(AlertDescription::HandshakeFailure),
                "remote error: tls: handshake failure",
            ),
            (
                Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType),
                "tls: first record does not look like a TLS handshake",
            ),
        ];
        for (error, expected) in cases {
            let error = told(io::Error::new(io::ErrorKind::InvalidData, error));
            assert_eq!(
                (error.to_string().as_str(), error.kind()),
                (expected, io::ErrorKind::InvalidData)
            );
        }
        assert_eq!(rfc3339(at(0)), "1970-01-01T00:00:00Z");
        let other = told(io::ErrorKind::UnexpectedEof.into());
        assert_eq!(other.kind(), io::ErrorKind::UnexpectedEof);
    }
}
