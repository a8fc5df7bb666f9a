//! The checks by name, and how serious each is.

/// How serious a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// It is not looked for.
    Off,
    /// The zone can be served, but perhaps not as its author expects.
    Warning,
    /// The zone is wrong.
    Error,
}

macro_rules! checks {
    ($($name:ident = $text:literal, $level:ident, $about:literal;)*) => {
        /// What is checked.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Check {
            $(#[doc = concat!("`", $text, "`: ", $about, ".")] $name,)*
        }

        impl Check {
            /// All checks, in the order of their list.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The name by which it is turned off or made an error.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }

            /// How serious it is unless a rule says otherwise.
            pub const fn default_level(self) -> Level {
                match self {
                    $(Self::$name => Level::$level,)*
                }
            }

            /// What it finds, in one line.
            pub const fn about(self) -> &'static str {
                match self {
                    $(Self::$name => $about,)*
                }
            }
        }
    };
}

// An error by default is what keeps the server from serving the zone.
checks! {
    Syntax = "syntax", Error, "text that cannot be read as records";
    NoSoa = "no-soa", Error, "no SOA record at the apex";
    SeveralSoas = "several-soas", Error, "SOA records that differ";
    SoaBelowApex = "soa-below-apex", Error, "an SOA record below the apex";
    CnameAndOther = "cname-and-other", Error, "a CNAME record beside other records";
    SeveralCnames = "several-cnames", Error, "several CNAME records at a name";
    SeveralDnames = "several-dnames", Error, "several DNAME records at a name";
    OutOfZone = "out-of-zone", Warning, "a record outside of the zone, which is not served";
    OtherClass = "class", Warning, "a record of another class than IN, which is not served";
    LongString = "long-string", Warning, "a string of more than 255 bytes, which is split";
    IncludeOutside = "include-outside", Warning, "an included file that lies outside of the folder of the zone file";
    Duplicate = "duplicate", Warning, "a record that comes twice";
    TtlDiffers = "ttl-differs", Warning, "records of one set with different TTLs";
    NoNs = "no-ns", Warning, "no NS records at the apex";
    SoaSerial = "soa-serial", Warning, "the serial number 0";
    SoaTimers = "soa-timers", Warning, "timers of the SOA record that do not fit together";
    SoaMailbox = "soa-mailbox", Warning, "a mailbox in the SOA record that is written with an @";
    ZoneTwice = "zone-twice", Warning, "a name that ends in the name of the zone twice: a final dot is missing";
    AddressAsName = "address-as-name", Warning, "an address where a name is expected";
    HostName = "host-name", Off, "a host with other characters than letters, digits and hyphens in its name";
    MissingGlue = "missing-glue", Warning, "a delegation to a name server inside it without the address of it";
    Occluded = "occluded", Warning, "a record below a delegation that is neither an address nor part of the delegation";
    BelowDname = "below-dname", Warning, "a record below a DNAME record";
    NsToCname = "ns-to-cname", Warning, "a name server that is an alias";
    MxToCname = "mx-to-cname", Warning, "a mail exchange that is an alias";
    SrvToCname = "srv-to-cname", Warning, "the host of a service that is an alias";
    NsWithoutAddress = "ns-without-address", Warning, "a name server of this zone without an address";
    MxWithoutAddress = "mx-without-address", Warning, "a mail exchange of this zone without an address";
    SrvWithoutAddress = "srv-without-address", Warning, "the host of a service, of this zone, without an address";
    CnameToNothing = "cname-to-nothing", Warning, "an alias for a name of this zone that does not exist";
    CnameLoop = "cname-loop", Warning, "aliases that lead back to themselves";
    DsWithoutNs = "ds-without-ns", Warning, "a DS record without a delegation beside it";
    Unsigned = "unsigned", Warning, "a set of a signed zone without a signature";
    SignatureWithoutSet = "signature-without-set", Warning, "a signature without the set that it covers";
    SignatureTime = "signature-time", Warning, "a signature that is no longer or not yet valid";
    SignatureKey = "signature-key", Warning, "a signature by a key that is not in the zone, or by another zone";
    NsecChain = "nsec-chain", Warning, "an NSEC record that is missing, or leads to a wrong name";
    NsecTypes = "nsec-types", Warning, "an NSEC or NSEC3 record that lists other types than its name has";
    Nsec3Chain = "nsec3-chain", Warning, "an NSEC3 record that is missing, or leads to a wrong hash";
    Nsec3Parameters = "nsec3-parameters", Warning, "NSEC3 parameters with iterations or a salt";
    Zonemd = "zonemd", Warning, "a ZONEMD record that does not have the digest of the zone";
}

impl Check {
    /// The check of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|check| check.name() == name)
    }

    /// Whether the server refuses what it finds, so that it can be nothing less than an error.
    pub fn is_fixed(self) -> bool {
        self.default_level() == Level::Error
    }

    pub(super) const fn index(self) -> usize {
        self as usize
    }
}

/// How serious each check is, and how much of each is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    levels: Vec<Level>,
    /// Findings of one check that have a place; more are counted.
    pub shown: usize,
}

/// Findings of one check that are shown by default.
const SHOWN: usize = 10;

impl Default for Rules {
    fn default() -> Self {
        Self {
            levels: Check::ALL.iter().map(|check| check.default_level()).collect(),
            shown: SHOWN,
        }
    }
}

impl Rules {
    /// How serious a check is.
    pub fn level(&self, check: Check) -> Level {
        self.levels[check.index()]
    }

    /// Makes a check more or less serious. What the server refuses stays an error.
    pub fn set(&mut self, check: Check, level: Level) {
        if !check.is_fixed() {
            self.levels[check.index()] = level;
        }
    }

    /// Makes errors of all warnings.
    pub fn make_errors(&mut self) {
        for level in self.levels.iter_mut().filter(|level| **level == Level::Warning) {
            *level = Level::Error;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_check_has_a_name_of_its_own_and_words() {
        for (at, check) in Check::ALL.iter().enumerate() {
            assert_eq!(check.index(), at);
            assert_eq!(Check::named(check.name()), Some(*check));
            assert!(!check.about().is_empty() && check.about().trim() == check.about());
        }
        assert_eq!(Check::named("nonsense"), None);
    }

    #[test]
    fn what_the_server_refuses_stays_an_error() {
        let mut rules = Rules::default();
        rules.set(Check::NoSoa, Level::Off);
        rules.set(Check::Duplicate, Level::Off);
        rules.make_errors();
        assert_eq!(rules.level(Check::NoSoa), Level::Error);
        assert_eq!(rules.level(Check::Duplicate), Level::Off);
        assert_eq!(rules.level(Check::TtlDiffers), Level::Error);
        assert_eq!(rules.level(Check::HostName), Level::Off);
    }
}
