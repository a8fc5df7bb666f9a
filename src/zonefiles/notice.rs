//! What is odd about the serial of a new version of a zone.

use wire::Name;

/// What is odd about a serial. The servers that transfer the zone go by it (RFC 1982 section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// It is lower than that of the version before.
    Lower {
        /// Serial of the version before.
        before: u32,
        /// Serial of the new version.
        serial: u32,
    },
    /// It is that of the version before, whose records are others. The new version serves.
    Same {
        /// The serial of both.
        serial: u32,
    },
    /// It is that of the version before, whose text is another one. The version before serves on.
    Unraised {
        /// The serial of both.
        serial: u32,
    },
}

impl Notice {
    /// What is odd about `serial` after `before`, if anything is.
    pub(crate) fn of(before: u32, serial: u32, changed: bool) -> Option<Self> {
        if serial == before {
            return changed.then_some(Self::Same { serial });
        }
        (!zone::is_newer(serial, before)).then_some(Self::Lower { before, serial })
    }

    /// The message and the remedy.
    pub(crate) fn text(self, origin: &Name) -> (String, String) {
        match self {
            Self::Lower { before, serial } => (
                format!(
                    "zone `{origin}`: serial {serial} is lower than serial {before} of the version before"
                ),
                format!(
                    "servers that transfer the zone keep serial {before}: raise the serial above it"
                ),
            ),
            Self::Same { serial } => (
                format!(
                    "zone `{origin}`: the records have changed, but serial {serial} is that of the version before"
                ),
                format!(
                    "servers that transfer the zone do not notice: raise the serial above {serial}"
                ),
            ),
            Self::Unraised { serial } => (
                format!(
                    "zone `{origin}`: the file has changed, but its serial {serial} is that of the version that serves"
                ),
                format!("that version serves on: raise the serial above {serial}"),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_wrap_around() {
        assert_eq!(Notice::of(7, 8, true), None);
        assert_eq!(Notice::of(u32::MAX, 0, true), None);
        assert_eq!(Notice::of(7, 7, false), None);
        assert_eq!(Notice::of(7, 7, true), Some(Notice::Same { serial: 7 }));
        assert_eq!(Notice::of(7, 6, true), Some(Notice::Lower { before: 7, serial: 6 }));
        assert_eq!(
            Notice::of(0, u32::MAX, false),
            Some(Notice::Lower { before: 0, serial: u32::MAX })
        );
        let (message, remedy) = Notice::Lower { before: 7, serial: 6 }.text(&Name::root());
        assert_eq!(message, "zone `.`: serial 6 is lower than serial 7 of the version before");
        assert!(remedy.ends_with("raise the serial above it"), "{remedy}");
    }
}
