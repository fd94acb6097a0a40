//! Private events: gift wraps (NIP-59) and chat messages (NIP-17).
//!
//! A *rumor* is an event without signature. Its author encrypts it into a *seal*, which the author
//! signs, and the seal into a *gift wrap*, which a key signs that is used once. Outside stands only
//! whom the wrap is for.
//!
//! [`open`] believes nothing before it is checked: the wrap's signature, then the seal's, and that
//! the rumor is the sealer's own. A rumor proves nothing by itself, the seal's signature is the
//! only one there is.
//!
//! ```
//! # use nipworker_signer::{PrivateKeySigner, private};
//! # futures::executor::block_on(async {
//! let (alice, bob) = (PrivateKeySigner::generate()?, PrivateKeySigner::generate()?);
//! let now = 1_700_000_000;
//! let rumor = private::chat_message(alice.key(), &[bob.key()], "hello", now);
//! for wrap in private::wrap_for_all(&alice, &rumor, now).await? {
//!     if wrap.recipient == bob.key() {
//!         let opened = private::open(&bob, wrap.event).await?;
//!         assert_eq!(opened.sender(), alice.key());
//!         assert_eq!(opened.rumor().content, "hello");
//!     }
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod chat;
mod open;
#[cfg(test)]
mod tests;
mod wrap;

pub use chat::{ChatDraft, chat_message};
pub use open::{OpenError, Opened, open};
pub use wrap::{MAX_AGE_SECS, MAX_RECIPIENTS, WrapError, Wrapped, wrap, wrap_for_all};

/// Kind of a seal.
pub(crate) const SEAL: u16 = 13;
/// Kind of a chat message.
pub(crate) const CHAT_MESSAGE: u16 = 14;
/// Kind of a gift wrap.
pub(crate) const GIFT_WRAP: u16 = 1_059;
/// Kind of a gift wrap that relays do not keep.
pub(crate) const EPHEMERAL_GIFT_WRAP: u16 = 21_059;
