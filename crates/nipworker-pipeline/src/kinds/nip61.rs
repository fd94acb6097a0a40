//! Ecash sent in the open: nutzaps (kind 9321) and where they are taken (kind 10019; NIP-61).

use nipworker_protocol::{PublicKey, RelayUrl};

use super::{
    EventRef, Flaw, ProfileRef, Proof, Source,
    nip60::{DEFAULT_UNIT, sum},
    refs, tags,
};

/// Ecash sent to somebody in the open, locked to their key (kind 9321).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Nutzap<'a> {
    /// Who sent it.
    pub sender: PublicKey,
    /// Whom it is for.
    pub recipient: PublicKey,
    /// What it is for.
    pub event: Option<EventRef<'a>>,
    /// The mint. It is not to be asked without a guard: the URL comes from an event.
    pub mint: &'a str,
    /// Unit of the amounts, `sat` where none is named.
    pub unit: &'a str,
    /// The proofs. That the mint signed them (DLEQ) and that they are unspent is not known.
    pub proofs: Vec<Proof>,
    /// Exact sum of the proofs, in `unit`.
    pub amount: u64,
    /// Words that go with it; may be empty.
    pub comment: &'a str,
}

impl<'a> Nutzap<'a> {
    pub(super) fn read(source: Source<'a>) -> Result<Self, Flaw> {
        let proofs = tags::values(source.tags, "proof").map(Proof::parse);
        let proofs = proofs.collect::<Result<Vec<_>, _>>()?;
        if proofs.is_empty() {
            return Err(Flaw::MissingTag("proof"));
        }
        let recipient = refs::required(source.tags, "p", "a public key", ProfileRef::of)?.pubkey;
        Ok(Self {
            sender: source.pubkey,
            recipient,
            event: tags::named(source.tags, "e").find_map(EventRef::of),
            mint: tags::required(source.tags, "u")?,
            unit: tags::value(source.tags, "unit").unwrap_or(DEFAULT_UNIT),
            amount: sum(&proofs)?,
            proofs,
            comment: source.content,
        })
    }

    /// The one key that every proof is locked to, in hex; `None` when one is not locked or they
    /// differ: then the money may be gone before the recipient takes it.
    pub fn locked_to(&self) -> Option<String> {
        let mut keys = self.proofs.iter().map(Proof::locked_to);
        let first = keys.next()??;
        keys.all(|key| key.as_ref() == Some(&first)).then_some(first)
    }
}

/// A mint that somebody takes nutzaps from.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct TrustedMint<'a> {
    /// Its URL.
    pub url: &'a str,
    /// Units that are taken; none named means any.
    pub units: Vec<&'a str>,
}

/// How somebody takes nutzaps.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct NutzapInfo<'a> {
    /// Mints that are trusted, at least one.
    pub mints: Vec<TrustedMint<'a>>,
    /// The key to lock proofs to, in hex: never the author's Nostr key.
    pub lock_key: &'a str,
    /// Where nutzaps are looked for.
    pub relays: Vec<RelayUrl>,
}

impl<'a> NutzapInfo<'a> {
    pub(super) fn read(source: Source<'a>) -> Result<Self, Flaw> {
        let mints: Vec<_> = tags::named(source.tags, "mint")
            .filter_map(|tag| {
                let url = tag.value().filter(|url| !url.is_empty())?;
                let units = tag.0.iter().skip(2).map(String::as_str).collect();
                Some(TrustedMint { url, units })
            })
            .collect();
        if mints.is_empty() {
            return Err(Flaw::MissingTag("mint"));
        }
        let lock_key = tags::required(source.tags, "pubkey")?;
        let is_hex = lock_key.bytes().all(|c| c.is_ascii_hexdigit());
        if !is_hex || !matches!(lock_key.len(), 64 | 66) {
            return Err(Flaw::Tag { name: "pubkey", expected: "a public key" });
        }
        Ok(Self { mints, lock_key, relays: tags::relay_urls(source.tags, "relay") })
    }
}
