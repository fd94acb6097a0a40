//! Whether the ecash of a nutzap is signed by its mint (NIP-61, NUT-12).
//!
//! The mints' keys are given by the caller. **Nothing is fetched**: the address of a mint comes
//! from an event, and whoever asked it would let a stranger choose whom this machine talks to.
//! Whether ecash was spent before is known to its mint alone and not looked into here.

use std::{collections::HashMap, sync::Arc};

use nipworker_protocol::EventId;
use secp256k1::PublicKey;

use super::{DleqError, Item, Notes, Pipe, PipeNote, Step, dleq};
use crate::kinds::{Nutzap, ParsedKind, Proof};

/// Proofs of one event that are checked; an event with more is dropped. About 0.3 ms each.
pub const MAX_PROOFS: usize = 256;

/// Why key sets are refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeySetsError {
    /// A key is no point of the curve in hex.
    #[error("key for amount {amount} of key set {keyset:?} is no public key")]
    Key {
        /// The key set.
        keyset: String,
        /// The amount.
        amount: u64,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Mint {
    keys: HashMap<(String, u64), PublicKey>,
}

/// The public keys of mints: for each key set one key an amount.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KeySets {
    mints: HashMap<String, Mint>,
}

impl KeySets {
    /// No mint is known.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a key set of a mint, as the mint's `/v1/keys` gives it: amounts with keys in hex.
    ///
    /// # Errors
    /// [`KeySetsError`].
    pub fn add<'a>(
        &mut self,
        mint_url: &str,
        keyset: &str,
        keys: impl IntoIterator<Item = (u64, &'a str)>,
    ) -> Result<(), KeySetsError> {
        let mint = self.mints.entry(bare(mint_url)).or_default();
        for (amount, key) in keys {
            let wrong = |_| KeySetsError::Key { keyset: keyset.to_owned(), amount };
            mint.keys.insert((keyset.to_owned(), amount), key.parse().map_err(wrong)?);
        }
        Ok(())
    }

    fn mint(&self, url: &str) -> Option<&Mint> {
        self.mints.get(&bare(url))
    }
}

/// A URL without the slash at its end, which some write and some do not.
fn bare(url: &str) -> String {
    url.trim().trim_end_matches('/').to_owned()
}

/// What is wrong with proofs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofFault {
    /// No key of this mint was given.
    #[error("unknown mint")]
    UnknownMint,
    /// No key of this key set and amount was given.
    #[error("unknown key set or amount")]
    UnknownKey,
    /// A proof does not come with the mint's DLEQ proof.
    #[error("a proof has no dleq")]
    NoDleq,
    /// The DLEQ proof is wrong.
    #[error("{0}")]
    Dleq(#[from] DleqError),
    /// The same secret twice: the money is counted double.
    #[error("a secret stands in two proofs")]
    Twice,
    /// More than [`MAX_PROOFS`].
    #[error("more than {MAX_PROOFS} proofs")]
    TooMany,
}

impl ProofFault {
    fn reason(self) -> &'static str {
        match self {
            Self::UnknownMint => "unknown mint",
            Self::UnknownKey => "unknown key set or amount",
            Self::NoDleq => "no dleq",
            Self::Dleq(_) => "wrong dleq",
            Self::Twice => "secret twice",
            Self::TooMany => "too many proofs",
        }
    }
}

/// Checks that a mint has signed all of these proofs, those of a nutzap or of a decrypted token
/// (NIP-60).
///
/// # Errors
/// [`ProofFault`]: the first thing that is wrong.
pub fn check_proofs(keysets: &KeySets, mint: &str, proofs: &[Proof]) -> Result<(), ProofFault> {
    if proofs.len() > MAX_PROOFS {
        return Err(ProofFault::TooMany);
    }
    let mut secrets: Vec<_> = proofs.iter().map(|proof| proof.secret.expose()).collect();
    secrets.sort_unstable();
    if secrets.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(ProofFault::Twice);
    }
    let mint = keysets.mint(mint).ok_or(ProofFault::UnknownMint)?;
    for proof in proofs {
        let key = mint.keys.get(&(proof.keyset.clone(), proof.amount));
        let key = key.ok_or(ProofFault::UnknownKey)?;
        let dleq = proof.dleq.as_ref().ok_or(ProofFault::NoDleq)?;
        dleq::check(key, proof.secret.expose(), &proof.signature, dleq)?;
    }
    Ok(())
}

/// A nutzap whose proofs were checked. It comes right before the event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProofsReport {
    /// The nutzap.
    pub event: EventId,
    /// The mint that signed.
    pub mint: String,
    /// What the proofs are worth together, in `unit`.
    pub amount: u64,
    /// Unit of the amount.
    pub unit: String,
}

pub(super) struct Proofs(pub(super) Arc<KeySets>);

impl Pipe for Proofs {
    fn take(&mut self, item: &Item<'_>, notes: &mut Notes) -> Step {
        if item.event().kind != 9_321 {
            return Step::Pass;
        }
        let Ok(ParsedKind::Nutzap(nutzap)) = item.view() else {
            return Step::Drop("no nutzap of its form");
        };
        let Nutzap { mint, unit, proofs, amount, .. } = &**nutzap;
        if let Err(fault) = check_proofs(&self.0, mint, proofs) {
            return Step::Drop(fault.reason());
        }
        notes.tell(PipeNote::Proofs(ProofsReport {
            event: item.event().id,
            mint: (*mint).to_owned(),
            amount: *amount,
            unit: (*unit).to_owned(),
        }));
        Step::Pass
    }
}
