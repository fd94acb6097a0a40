//! From a rumor to the gift wraps that carry it.

use std::collections::BTreeSet;

use nipworker_protocol::{Event, PublicKey, Tag, UnsignedEvent};

use super::{GIFT_WRAP, SEAL};
use crate::{
    KeyError, Plaintext, PrivateKeySigner, Scheme, Signer, SignerError, key::random_bytes,
};

/// Seals and wraps bear a time up to so many seconds in the past, each its own: two days (NIP-59).
pub const MAX_AGE_SECS: i64 = 2 * 24 * 60 * 60;

/// Readers of one message at most, its author included. NIP-17 means small groups; each reader is
/// an event of its own and two requests to the signer.
pub const MAX_RECIPIENTS: usize = 100;

/// Why a rumor is not wrapped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WrapError {
    /// Nobody is named, or too many are.
    #[error("a private message is for 1 to {MAX_RECIPIENTS} keys, this one for {got}")]
    Recipients {
        /// Keys that are named.
        got: usize,
    },
    /// The signer does not sign, encrypt or agree.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// The key that is used once could not be made.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// A gift wrap and whom it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrapped {
    /// The only one who can open it.
    pub recipient: PublicKey,
    /// Kind 1059, to be published where the recipient reads.
    pub event: Event,
}

/// Wraps `rumor` for one reader. `now` is in unix seconds.
///
/// # Errors
/// See [`WrapError`].
pub async fn wrap(
    signer: &dyn Signer,
    rumor: &UnsignedEvent,
    recipient: PublicKey,
    now: i64,
) -> Result<Wrapped, WrapError> {
    let sealed = signer.encrypt(Scheme::Nip44, recipient, rumor_json(rumor)).await?;
    let seal = UnsignedEvent::new(rumor.pubkey, some_time_before(now)?, SEAL, vec![], sealed);
    let seal = signer.sign(seal).await?;
    // Nobody learns who sent it: not even the sender keeps this key.
    let once = PrivateKeySigner::generate()?;
    let content = once.encrypt(Scheme::Nip44, recipient, Plaintext::new(seal.to_json())).await?;
    let tags = vec![Tag::new(["p".to_owned(), recipient.to_hex()])];
    let template = UnsignedEvent::new(once.key(), some_time_before(now)?, GIFT_WRAP, tags, content);
    Ok(Wrapped { recipient, event: once.sign_now(template)? })
}

/// Wraps `rumor` for everybody whom its `p` tags name, and for its author, who would otherwise
/// not find it again. Each reader gets a wrap of its own.
///
/// # Errors
/// See [`WrapError`]; the first one ends it.
pub async fn wrap_for_all(
    signer: &dyn Signer,
    rumor: &UnsignedEvent,
    now: i64,
) -> Result<Vec<Wrapped>, WrapError> {
    let named = rumor.tags.iter().filter(|tag| tag.name() == "p").filter_map(|tag| tag.value());
    let mut readers: BTreeSet<PublicKey> =
        named.filter_map(|key| PublicKey::from_hex(key).ok()).collect();
    if readers.is_empty() {
        return Err(WrapError::Recipients { got: 0 });
    }
    readers.insert(rumor.pubkey);
    if readers.len() > MAX_RECIPIENTS {
        return Err(WrapError::Recipients { got: readers.len() });
    }
    let mut wraps = Vec::with_capacity(readers.len());
    for reader in readers {
        wraps.push(wrap(signer, rumor, reader, now).await?);
    }
    Ok(wraps)
}

/// The rumor with its id and no signature.
fn rumor_json(rumor: &UnsignedEvent) -> Plaintext {
    let UnsignedEvent { pubkey, created_at, kind, tags, content } = rumor;
    let value = serde_json::json!({
        "id": rumor.compute_id(),
        "pubkey": pubkey,
        "created_at": created_at,
        "kind": kind,
        "tags": tags,
        "content": content,
    });
    Plaintext::new(value.to_string())
}

/// A random time between `now` and [`MAX_AGE_SECS`] before it.
fn some_time_before(now: i64) -> Result<i64, KeyError> {
    let [a, b, c, d, ..] = random_bytes()?;
    let back = i64::from(u32::from_le_bytes([a, b, c, d])) % MAX_AGE_SECS;
    Ok(now.saturating_sub(back))
}
