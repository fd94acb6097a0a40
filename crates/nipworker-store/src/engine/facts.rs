//! What an index entry says of its event beside where it stands, so that most questions are
//! answered without reading the event.

use nipworker_protocol::EventView;

/// The kind and the expiration time of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Facts {
    pub(super) kind: u16,
    pub(super) expires_at: Option<i64>,
}

impl Facts {
    pub(super) fn of(event: &EventView<'_>) -> Self {
        Self { kind: event.kind(), expires_at: event.expiration() }
    }

    /// Two bytes, or ten with an expiration time.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        out.extend(self.kind.to_be_bytes());
        if let Some(expires_at) = self.expires_at {
            out.extend(expires_at.to_be_bytes());
        }
    }

    /// `None` when the bytes have another size than [`Facts::write`] gives them.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_first_chunk()?;
        let expires_at = match rest {
            [] => None,
            rest => Some(i64::from_be_bytes(rest.try_into().ok()?)),
        };
        Some(Self { kind: u16::from_be_bytes(*kind), expires_at })
    }

    /// Whether the event has expired at `now` (unix seconds, NIP-40).
    pub(super) fn is_expired(self, now: i64) -> bool {
        self.expires_at.is_some_and(|at| at <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_are_read_back_and_nothing_else_is_taken_for_facts() {
        for facts in [
            Facts { kind: 0, expires_at: None },
            Facts { kind: u16::MAX, expires_at: Some(i64::MIN) },
        ] {
            let mut bytes = Vec::new();
            facts.write(&mut bytes);
            assert_eq!(Facts::read(&bytes), Some(facts));
            bytes.push(0);
            assert_eq!(Facts::read(&bytes), None);
        }
        for size in [0, 1, 3, 9, 11] {
            assert_eq!(Facts::read(&vec![0; size]), None, "{size} bytes");
        }
    }
}
