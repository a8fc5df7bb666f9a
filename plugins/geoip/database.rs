//! A MaxMind database: checks that its type is supported, and looks up the values of an address.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use maxminddb::{LookupResult, MaxMindDbError, PathElement, Reader, path};
use serde_json::{Number, Value};

/// The bound on the size of a file; the largest databases on sale have half a GiB.
const MAX_FILE: u64 = 4 << 30;

/// The content of the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Schema {
    /// Geographic locations.
    City,
    /// Autonomous systems.
    Asn,
}

/// The database types that CoreDNS reads, and their schema.
const TYPES: [(&str, Schema); 23] = [
    ("DBIP-ASN-Lite (compat=GeoLite2-ASN)", Schema::Asn),
    ("GeoLite2-ASN", Schema::Asn),
    ("GeoIP2-ISP", Schema::Asn),
    ("GeoIP2-Precision-ISP", Schema::Asn),
    ("DBIP-City-Lite", Schema::City),
    ("DBIP-Country-Lite", Schema::City),
    ("DBIP-Country", Schema::City),
    ("DBIP-Location (compat=City)", Schema::City),
    ("DBIP-ISP (compat=Enterprise)", Schema::City),
    ("DBIP-Location-ISP (compat=Enterprise)", Schema::City),
    ("GeoLite2-City", Schema::City),
    ("GeoLite2-Country", Schema::City),
    ("GeoIP-City-Redacted-US", Schema::City),
    ("GeoIP-Enterprise-Redacted-US", Schema::City),
    ("GeoIP2-City", Schema::City),
    ("GeoIP2-City-Africa", Schema::City),
    ("GeoIP2-City-Asia-Pacific", Schema::City),
    ("GeoIP2-City-Europe", Schema::City),
    ("GeoIP2-City-North-America", Schema::City),
    ("GeoIP2-City-South-America", Schema::City),
    ("GeoIP2-Country", Schema::City),
    ("GeoIP2-Enterprise", Schema::City),
    ("GeoIP2-Precision-City", Schema::City),
];

/// Known types with neither schema.
const OTHERS: [&str; 4] =
    ["GeoIP-Anonymous-Plus", "GeoIP2-Anonymous-IP", "GeoIP2-Connection-Type", "GeoIP2-Domain"];

/// Metadata labels of the city schema.
const CITY_LABELS: &[&str] = &[
    "geoip/city/name",
    "geoip/country/name",
    "geoip/continent/name",
    "geoip/country/code",
    "geoip/subdivisions/code",
    "geoip/country/is_in_european_union",
    "geoip/continent/code",
    "geoip/latitude",
    "geoip/longitude",
    "geoip/timezone",
    "geoip/postalcode",
];

/// Metadata labels of the ASN schema.
const ASN_LABELS: &[&str] = &["geoip/asn/number", "geoip/asn/org"];

type Found<'a> = LookupResult<'a, Vec<u8>>;

/// A database in memory.
pub(super) struct Database {
    reader: Reader<Vec<u8>>,
    schema: Schema,
}

impl Database {
    /// Reads a file.
    ///
    /// # Errors
    /// The file is no such database; the text is CoreDNS's.
    pub(super) fn open(file: &Path) -> Result<Self, String> {
        let shown = file.display();
        let bytes = read(file)
            .map_err(|error| format!("failed to open database file: open {shown}: {error}"))?;
        let base = file.file_name().unwrap_or_default().to_string_lossy();
        Self::new(bytes, &base)
    }

    fn new(bytes: Vec<u8>, name: &str) -> Result<Self, String> {
        let failed = |what: &dyn std::fmt::Display| format!("failed to open database file: {what}");
        let reader = Reader::from_source(bytes).map_err(|error| failed(&error))?;
        let kind = reader.metadata().database_type.as_str();
        let Some(&(_, schema)) = TYPES.iter().find(|(known, _)| *known == kind) else {
            return Err(match OTHERS.contains(&kind) {
                true => "database does not provide any supported schema (city, asn)".to_owned(),
                false => {
                    failed(&format_args!("reader does not support the {kind:?} database type"))
                }
            });
        };
        let database = Self { reader, schema };
        database.probe().map_err(|error| {
            let schema = match schema {
                Schema::City => "city",
                Schema::Asn => "asn",
            };
            format!("unexpected failure looking up database {name:?} schema {schema:?}: {error}")
        })?;
        Ok(database)
    }

    /// Looks up an address, to check that the records have the declared type.
    fn probe(&self) -> Result<(), MaxMindDbError> {
        let found = self.reader.lookup(IpAddr::V4(Ipv4Addr::LOCALHOST))?;
        self.labels().iter().try_for_each(|label| value(label, &found).map(drop))
    }

    /// The labels it has values for.
    pub(super) fn labels(&self) -> &'static [&'static str] {
        match self.schema {
            Schema::City => CITY_LABELS,
            Schema::Asn => ASN_LABELS,
        }
    }

    /// The value for an address of the label with this index. Where the database does not say it is
    /// empty, `false` or 0; none if the database is broken, or has no such addresses at all.
    pub(super) fn value(&self, label: usize, address: IpAddr) -> Option<String> {
        let label = self.labels().get(label)?;
        match self.reader.lookup(address).and_then(|found| value(label, &found)) {
            Ok(value) => Some(value),
            Err(error) => {
                telemetry::debug!("plugin/geoip: no {label} for {address}: {error}");
                None
            }
        }
    }
}

fn read(file: &Path) -> Result<Vec<u8>, String> {
    let plain = |error: io::Error| {
        let text = error.to_string();
        text.split(" (os error").next().unwrap_or(&text).to_lowercase()
    };
    files::read(file, MAX_FILE).map_err(plain)
}

fn value(label: &str, found: &Found<'_>) -> Result<String, MaxMindDbError> {
    let text = |path: [&str; 2]| -> Result<String, MaxMindDbError> {
        Ok(found.decode_path::<&str>(&path.map(Into::into))?.unwrap_or_default().to_owned())
    };
    let name = |of: &str| -> Result<String, MaxMindDbError> {
        Ok(found.decode_path::<&str>(&path![of, "names", "en"])?.unwrap_or_default().to_owned())
    };
    let coordinate = |of: &str| -> Result<String, MaxMindDbError> {
        let number = number(found, &path!["location", of])?.and_then(|number| number.as_f64());
        Ok(number.map(|number| number.to_string()).unwrap_or_default())
    };
    match label {
        "geoip/city/name" => name("city"),
        "geoip/country/name" => name("country"),
        "geoip/continent/name" => name("continent"),
        "geoip/country/code" => text(["country", "iso_code"]),
        "geoip/continent/code" => text(["continent", "code"]),
        "geoip/timezone" => text(["location", "time_zone"]),
        "geoip/postalcode" => text(["postal", "code"]),
        "geoip/latitude" => coordinate("latitude"),
        "geoip/longitude" => coordinate("longitude"),
        "geoip/subdivisions/code" => {
            let all = found.decode_path::<Vec<Value>>(&path!["subdivisions"])?;
            let codes =
                all.iter().flatten().map(|one| one["iso_code"].as_str().unwrap_or_default());
            Ok(codes.collect::<Vec<_>>().join(","))
        }
        "geoip/country/is_in_european_union" => {
            let member = found.decode_path::<bool>(&path!["country", "is_in_european_union"])?;
            Ok(member.unwrap_or_default().to_string())
        }
        "geoip/asn/number" => {
            let number = number(found, &path!["autonomous_system_number"])?;
            Ok(number.and_then(|number| number.as_u64()).unwrap_or_default().to_string())
        }
        "geoip/asn/org" => {
            let who = found.decode_path::<&str>(&path!["autonomous_system_organization"])?;
            Ok(who.unwrap_or_default().to_owned())
        }
        _ => Ok(String::new()),
    }
}

/// A number of any size: vendors differ in which they write.
fn number(found: &Found<'_>, path: &[PathElement<'_>]) -> Result<Option<Number>, MaxMindDbError> {
    match found.decode_path(path)? {
        None => Ok(None),
        Some(Value::Number(number)) => Ok(Some(number)),
        Some(_) => Err(MaxMindDbError::decoding("expected a number")),
    }
}
