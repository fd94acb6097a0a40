//! Between the base types of `nipworker_protocol` and the tables of the schemas.

use std::fmt;

use nipworker_protocol::{
    AuthProblem, Event, EventId, Filter, PublicKey, Signature, SingleLetterTag, StoredHint, Tag,
    UnsignedEvent,
};

use crate::{
    AuthProblem as WireProblem, Bytes32T, Bytes64T, DecryptT, DecryptedT, EdgeError, EncryptT,
    EncryptedT, EventT, FailedT, FilterT, Stored, TagFilterT, TagT, UnsignedEventT,
};

macro_rules! fixed_bytes {
    ($($base:ident <=> $table:ident),+) => {$(
        impl From<$base> for $table {
            fn from(value: $base) -> Self {
                Self { bytes: *value.as_bytes() }
            }
        }

        impl From<&$base> for $table {
            fn from(value: &$base) -> Self {
                Self { bytes: *value.as_bytes() }
            }
        }

        impl From<$table> for $base {
            fn from(table: $table) -> Self {
                Self::from_bytes(table.bytes)
            }
        }

        impl From<&$table> for $base {
            fn from(table: &$table) -> Self {
                Self::from_bytes(table.bytes)
            }
        }
    )+};
}

fixed_bytes!(EventId <=> Bytes32T, PublicKey <=> Bytes32T, Signature <=> Bytes64T);

impl Default for Bytes64T {
    /// All zero.
    fn default() -> Self {
        Self { bytes: [0; 64] }
    }
}

impl From<Option<AuthProblem>> for WireProblem {
    fn from(problem: Option<AuthProblem>) -> Self {
        match problem {
            None => Self::None,
            Some(AuthProblem::NoConsent) => Self::NoConsent,
            Some(AuthProblem::NoChallenge) => Self::NoChallenge,
            Some(AuthProblem::NoSigner) => Self::NoSigner,
            Some(AuthProblem::SignerRefused) => Self::SignerRefused,
            Some(AuthProblem::SignerTooSlow) => Self::SignerTooSlow,
            Some(AuthProblem::Rejected) => Self::Rejected,
            Some(AuthProblem::NoAnswer) => Self::NoAnswer,
            Some(AuthProblem::StillRefused) => Self::StillRefused,
            // Those of the future too.
            Some(_) => Self::SignerFailed,
        }
    }
}

impl From<WireProblem> for Option<AuthProblem> {
    fn from(problem: WireProblem) -> Self {
        Some(match problem {
            WireProblem::None => return None,
            WireProblem::NoConsent => AuthProblem::NoConsent,
            WireProblem::NoChallenge => AuthProblem::NoChallenge,
            WireProblem::NoSigner => AuthProblem::NoSigner,
            WireProblem::SignerRefused => AuthProblem::SignerRefused,
            WireProblem::SignerTooSlow => AuthProblem::SignerTooSlow,
            WireProblem::Rejected => AuthProblem::Rejected,
            WireProblem::NoAnswer => AuthProblem::NoAnswer,
            WireProblem::StillRefused => AuthProblem::StillRefused,
            _ => AuthProblem::SignerFailed,
        })
    }
}

impl From<StoredHint> for Stored {
    fn from(hint: StoredHint) -> Self {
        match hint {
            StoredHint::Unsaid => Self::Unsaid,
            StoredHint::Finish => Self::Finish,
            StoredHint::More => Self::More,
        }
    }
}

impl From<Stored> for StoredHint {
    fn from(hint: Stored) -> Self {
        match hint {
            Stored::Finish => Self::Finish,
            Stored::More => Self::More,
            _ => Self::Unsaid,
        }
    }
}

impl From<Tag> for TagT {
    fn from(tag: Tag) -> Self {
        Self { values: tag.0 }
    }
}

impl From<TagT> for Tag {
    fn from(table: TagT) -> Self {
        Self(table.values)
    }
}

fn all<A, B: From<A>>(values: impl IntoIterator<Item = A>) -> Vec<B> {
    values.into_iter().map(B::from).collect()
}

impl From<Event> for EventT {
    fn from(event: Event) -> Self {
        let Event { id, pubkey, created_at, kind, tags, content, sig } = event;
        Self {
            id: id.into(),
            pubkey: pubkey.into(),
            created_at,
            kind,
            tags: all(tags),
            content,
            sig: sig.into(),
        }
    }
}

impl From<&Event> for EventT {
    fn from(event: &Event) -> Self {
        event.clone().into()
    }
}

impl From<EventT> for Event {
    /// The event as it was written; nothing is verified here.
    fn from(table: EventT) -> Self {
        let EventT { id, pubkey, created_at, kind, tags, content, sig } = table;
        Self {
            id: id.into(),
            pubkey: pubkey.into(),
            created_at,
            kind,
            tags: all(tags),
            content,
            sig: sig.into(),
        }
    }
}

impl From<UnsignedEvent> for UnsignedEventT {
    fn from(event: UnsignedEvent) -> Self {
        let UnsignedEvent { pubkey, created_at, kind, tags, content } = event;
        Self { pubkey: pubkey.into(), created_at, kind, tags: all(tags), content }
    }
}

impl From<&UnsignedEvent> for UnsignedEventT {
    fn from(event: &UnsignedEvent) -> Self {
        event.clone().into()
    }
}

impl From<UnsignedEventT> for UnsignedEvent {
    fn from(table: UnsignedEventT) -> Self {
        let UnsignedEventT { pubkey, created_at, kind, tags, content } = table;
        Self { pubkey: pubkey.into(), created_at, kind, tags: all(tags), content }
    }
}

/// A table inside a table is boxed.
macro_rules! boxed {
    ($($base:ident <=> $table:ident),+) => {$(
        impl From<$base> for Box<$table> {
            fn from(value: $base) -> Self {
                Box::new(value.into())
            }
        }

        impl From<&$base> for Box<$table> {
            fn from(value: &$base) -> Self {
                Box::new(value.into())
            }
        }

        impl From<Box<$table>> for $base {
            fn from(table: Box<$table>) -> Self {
                (*table).into()
            }
        }
    )+};
}

boxed!(Event <=> EventT, UnsignedEvent <=> UnsignedEventT);

impl From<Filter> for FilterT {
    fn from(filter: Filter) -> Self {
        let Filter { ids, authors, kinds, tags, since, until, limit, search } = filter;
        let tags: Vec<TagFilterT> = tags
            .into_iter()
            .map(|(letter, values)| TagFilterT { letter: letter.as_byte(), values })
            .collect();
        Self {
            ids: ids.map(all),
            authors: authors.map(all),
            kinds,
            tags: (!tags.is_empty()).then_some(tags),
            since,
            until,
            // No machine has a usize of more than 64 bits.
            limit: limit.map(|limit| u64::try_from(limit).unwrap_or(u64::MAX)),
            search,
        }
    }
}

impl From<&Filter> for FilterT {
    fn from(filter: &Filter) -> Self {
        filter.clone().into()
    }
}

impl TryFrom<FilterT> for Filter {
    type Error = EdgeError;

    /// # Errors
    /// [`EdgeError::NotALetter`], [`EdgeError::RepeatedLetter`], [`EdgeError::LimitTooLarge`]:
    /// a condition that is dropped would match too much.
    fn try_from(table: FilterT) -> Result<Self, EdgeError> {
        let FilterT { ids, authors, kinds, tags, since, until, limit, search } = table;
        let mut filter = Self {
            ids: ids.map(all),
            authors: authors.map(all),
            kinds,
            since,
            until,
            search,
            ..Self::default()
        };
        for TagFilterT { letter: byte, values } in tags.unwrap_or_default() {
            let letter =
                SingleLetterTag::new(char::from(byte)).ok_or(EdgeError::NotALetter { byte })?;
            if filter.tags.insert(letter, values).is_some() {
                return Err(EdgeError::RepeatedLetter { letter: letter.as_char() });
            }
        }
        filter.limit = limit
            .map(|got| {
                usize::try_from(got).map_err(|_| EdgeError::LimitTooLarge { got, max: usize::MAX })
            })
            .transpose()?;
        Ok(filter)
    }
}

impl fmt::Display for FailedT {
    /// The reason, with the code in front and a hint when asking again may help.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.variant_name().unwrap_or("unknown").to_ascii_lowercase();
        let hint = if self.transient { " (transient)" } else { "" };
        write!(f, "{code}: {}{hint}", self.reason)
    }
}

impl std::error::Error for FailedT {}

/// What these tables carry is private, so it has no text form.
macro_rules! hidden {
    ($($table:ident),+) => {$(
        impl fmt::Debug for $table {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($table), "(hidden)"))
            }
        }
    )+};
}

hidden!(EncryptT, EncryptedT, DecryptT, DecryptedT);
