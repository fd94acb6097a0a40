//! A Cashu wallet kept in events (kinds 7374, 7375, 7376 and 17375; NIP-60).
//!
//! The views hold ciphertext. What a signer decrypts is read by [`WalletContent::parse`],
//! [`QuoteContent::parse`], [`TokenContent::parse`] and [`HistoryContent::parse`]. None of them, and no error, shows a
//! secret in `Debug` or in its text. **Whoever decrypts first sees that the event is the owner's
//! own and verified**: anybody can address a wallet event to anybody.

use nipworker_protocol::{EventId, PublicKey};
use serde::Deserialize;

use super::{EventRef, Flaw, Nip44Text, PrivateTags, Secret, Source, tags};

/// Unit that amounts have where none is named.
pub(super) const DEFAULT_UNIT: &str = "sat";

/// An encrypted wallet event.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct WalletEvent<'a> {
    /// Whose wallet.
    pub owner: PublicKey,
    /// What is said about it, encrypted.
    pub ciphertext: Nip44Text<'a>,
    /// Mints that are named in clear (kind 7374, and older wallets). They are not to be asked
    /// without a guard: the URL comes from an event.
    pub mints: Vec<&'a str>,
    /// Nutzaps that were taken in (`e` tags marked `redeemed`, kind 7376).
    pub redeemed: Vec<EventRef<'a>>,
    /// When it may be forgotten, unix seconds (kind 7374).
    pub expiration: Option<i64>,
}

impl<'a> WalletEvent<'a> {
    pub(super) fn read(source: Source<'a>) -> Result<Self, Flaw> {
        let redeemed = tags::named(source.tags, "e").filter(|tag| tag.get(3) == Some("redeemed"));
        Ok(Self {
            owner: source.pubkey,
            ciphertext: Nip44Text::parse(source.content)?,
            mints: tags::values(source.tags, "mint").collect(),
            redeemed: redeemed.filter_map(EventRef::of).collect(),
            expiration: tags::time(source.tags, "expiration"),
        })
    }
}

fn json<'a, T: Deserialize<'a>>(text: &'a str, expected: &'static str) -> Result<T, Flaw> {
    let read = serde_json::from_str(text);
    read.map_err(|error| Flaw::json("decrypted content", expected, &error))
}

/// What a wallet is (kind 17375, decrypted).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WalletContent {
    /// The key that nutzaps are locked to. It is not the owner's Nostr key.
    pub private_key: Option<Secret>,
    /// Mints, each once.
    pub mints: Vec<String>,
}

impl WalletContent {
    /// Reads the decrypted text.
    ///
    /// # Errors
    /// [`Flaw::Json`].
    pub fn parse(decrypted: &str) -> Result<Self, Flaw> {
        let decrypted = PrivateTags::parse(decrypted)?;
        let all = decrypted.tags();
        Ok(Self {
            private_key: tags::value(all, "privkey").map(Secret::new),
            mints: tags::unique(tags::values(all, "mint").map(str::to_owned)),
        })
    }

    /// The public half of the key, compressed, in hex: what nutzaps to this wallet are locked to
    /// (NIP-61). `None` when there is no key, or it is none of secp256k1.
    pub fn lock_key(&self) -> Option<String> {
        let mut key: secp256k1::SecretKey = self.private_key.as_ref()?.expose().parse().ok()?;
        let public = secp256k1::PublicKey::from_secret_key_global(&key);
        key.non_secure_erase();
        Some(public.to_string())
    }
}

/// What a mint has promised to issue once it is paid (kind 7374, decrypted).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuoteContent {
    /// The mint's name for the quote. Whoever knows it may take what was paid for.
    pub quote_id: Secret,
}

impl QuoteContent {
    /// Reads the decrypted text.
    ///
    /// # Errors
    /// [`Flaw::Content`]: empty, or more than one word.
    pub fn parse(decrypted: &str) -> Result<Self, Flaw> {
        let quote_id = decrypted.trim();
        if quote_id.is_empty() || quote_id.contains(char::is_whitespace) {
            return Err(Flaw::Content { expected: "the name of a quote" });
        }
        Ok(Self { quote_id: Secret::new(quote_id) })
    }
}

/// A proof: ecash that whoever knows the secret can spend.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Proof {
    /// The key set of the mint.
    pub keyset: String,
    /// Worth, in the unit of what holds the proof.
    pub amount: u64,
    /// The secret.
    pub secret: Secret,
    /// The mint's signature over it, in hex.
    pub signature: String,
    /// The mint's proof of having signed (NUT-12), not checked: see
    /// [`check_proofs`](crate::pipes::check_proofs).
    pub dleq: Option<Dleq>,
}

/// A mint's proof that it signed with the key that it names (DLEQ, NUT-12).
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, serde::Serialize)]
pub struct Dleq {
    /// The challenge, in hex.
    pub e: String,
    /// The response, in hex.
    pub s: String,
    /// The blinding factor, in hex. Without it only who minted can check the proof.
    #[serde(rename = "r")]
    pub blinding: Option<Secret>,
}

#[derive(Deserialize)]
struct RawProof {
    id: String,
    amount: u64,
    secret: String,
    #[serde(rename = "C")]
    c: String,
    dleq: Option<Dleq>,
}

impl From<RawProof> for Proof {
    fn from(raw: RawProof) -> Self {
        Self {
            keyset: raw.id,
            amount: raw.amount,
            secret: Secret::new(raw.secret),
            signature: raw.c,
            dleq: raw.dleq,
        }
    }
}

impl Proof {
    /// Reads one proof in JSON, as it stands in a tag.
    pub(super) fn parse(text: &str) -> Result<Self, Flaw> {
        serde_json::from_str::<RawProof>(text)
            .map(Self::from)
            .map_err(|error| Flaw::json("tag \"proof\"", "a Cashu proof", &error))
    }

    /// The key that the proof is locked to (NUT-11), in hex; `None` when it is locked to none.
    /// The secret has to be such a lock, not merely to hold its name.
    pub fn locked_to(&self) -> Option<String> {
        #[derive(Deserialize)]
        struct Lock {
            data: String,
        }
        let (sort, lock): (String, Lock) = serde_json::from_str(self.secret.expose()).ok()?;
        (sort == "P2PK").then_some(lock.data)
    }
}

/// The exact sum of some proofs.
///
/// # Errors
/// [`Flaw::Amount`]: over 2^64 - 1.
pub(super) fn sum(proofs: &[Proof]) -> Result<u64, Flaw> {
    let total = proofs.iter().try_fold(0_u64, |sum, proof| sum.checked_add(proof.amount));
    total.ok_or(Flaw::Amount { place: "the sum of the proofs" })
}

/// Unspent proofs (kind 7375, decrypted).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenContent {
    /// The mint that keeps its word for them.
    pub mint: String,
    /// Unit of the amounts, `sat` where none is named.
    pub unit: String,
    /// The proofs.
    pub proofs: Vec<Proof>,
    /// Exact sum of the proofs, in `unit`.
    pub amount: u64,
    /// Token events that this one replaces.
    pub deleted: Vec<EventId>,
}

impl TokenContent {
    /// Reads the decrypted text.
    ///
    /// # Errors
    /// [`Flaw::Json`], [`Flaw::Amount`].
    pub fn parse(decrypted: &str) -> Result<Self, Flaw> {
        #[derive(Deserialize)]
        struct Raw {
            mint: String,
            unit: Option<String>,
            proofs: Vec<RawProof>,
            #[serde(default)]
            del: Vec<EventId>,
        }
        let raw: Raw = json(decrypted, "a token")?;
        let proofs: Vec<_> = raw.proofs.into_iter().map(Proof::from).collect();
        Ok(Self {
            mint: raw.mint,
            unit: raw.unit.unwrap_or_else(|| DEFAULT_UNIT.to_owned()),
            amount: sum(&proofs)?,
            proofs,
            deleted: raw.del,
        })
    }
}

/// Which way money went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// It came in.
    In,
    /// It went out.
    Out,
}

/// A move of money (kind 7376, decrypted).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistoryContent {
    /// Which way.
    pub direction: Direction,
    /// How much, in `unit`.
    pub amount: u64,
    /// Unit of the amount, `sat` where none is named.
    pub unit: String,
    /// Token events that came to be.
    pub created: Vec<EventId>,
    /// Token events that are no more.
    pub destroyed: Vec<EventId>,
    /// Nutzaps that were taken in.
    pub redeemed: Vec<EventId>,
}

impl HistoryContent {
    /// Reads the decrypted text.
    ///
    /// # Errors
    /// [`Flaw::Json`], [`Flaw::MissingTag`], [`Flaw::Tag`], [`Flaw::Amount`].
    pub fn parse(decrypted: &str) -> Result<Self, Flaw> {
        let decrypted = PrivateTags::parse(decrypted)?;
        let all = decrypted.tags();
        let marked = |marker| {
            let events = tags::named(all, "e").filter(|tag| tag.get(3) == Some(marker));
            events.filter_map(EventRef::of).map(|event| event.id).collect()
        };
        let direction = match tags::required(all, "direction")? {
            "in" => Direction::In,
            "out" => Direction::Out,
            _ => return Err(Flaw::Tag { name: "direction", expected: "in or out" }),
        };
        Ok(Self {
            direction,
            amount: tags::amount(all, "amount")?.ok_or(Flaw::MissingTag("amount"))?,
            unit: tags::value(all, "unit").unwrap_or(DEFAULT_UNIT).to_owned(),
            created: marked("created"),
            destroyed: marked("destroyed"),
            redeemed: marked("redeemed"),
        })
    }
}
