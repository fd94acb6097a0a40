//! Typed views of events: what an event of a kind says.
//!
//! [`ParsedKind::of`] reads an event into the view of its kind. A view borrows from the event and
//! is rebuilt from it at any time; nothing of it needs to be stored. Nothing is fetched, decrypted
//! or verified here.
//!
//! * A kind that has no view here **passes through** as [`ParsedKind::Other`].
//! * An event whose kind is known, but which lacks what it means nothing without, gives a
//!   [`KindError`] that names the place. The event itself is genuine all the same.
//! * In a list, an entry that cannot be read is passed over and counted in `skipped`: one bad
//!   contact does not cost the other thousand.
//! * Encrypted content stays encrypted; its outer form is checked before anybody decrypts it.
//!   Secrets are [`Secret`]s.
//! * Amounts are whole numbers, `u64`, with the unit in the name (`amount_msat`) or beside it
//!   (`unit`). They are never rounded.
//! * An event inside an event (reposts, zap requests) has had its id computed anew, **not its
//!   signature checked**.
//!
//! * [`References`] are what an event points at, and the filters that ask for it.
//! * [`view_json`] writes a view as JSON, for programs that are not written in Rust.
//!
//! One file per NIP. Sources: NIPs 01, 02, 04, 09, 10, 17, 18, 22, 23, 25, 30, 51, 53, 56, 57,
//! 58, 59, 60, 61, 65, 68, 71, 88, 92.
//!
//! ```
//! use nipworker_pipeline::kinds::{Feeling, ParsedKind};
//! # use nipworker_pipeline::protocol::*;
//! # let target = EventId::from_bytes([7; 32]).to_hex();
//! # let event = UnsignedEvent::new(
//! #     PublicKey::from_bytes([1; 32]), 0, 7, vec![Tag::new(["e", target.as_str()])], "+");
//! let ParsedKind::Reaction(reaction) = ParsedKind::of_rumor(&event)? else { unreachable!() };
//! assert_eq!(reaction.feeling, Feeling::Like);
//! # Ok::<(), nipworker_pipeline::kinds::KindError>(())
//! ```

mod addressable;
mod ciphertext;
mod flaw;
pub(crate) mod json;
mod nip01;
mod nip02;
mod nip04;
mod nip09;
mod nip10;
mod nip17;
mod nip18;
mod nip22;
mod nip23;
mod nip25;
mod nip51;
mod nip53;
mod nip56;
mod nip57;
mod nip58;
mod nip59;
mod nip60;
mod nip61;
mod nip65;
mod nip68;
mod nip71;
mod nip88;
mod references;
mod refs;
mod secret;
mod source;
pub(crate) mod tags;
#[cfg(test)]
mod tests;

use nipworker_protocol::{Event, UnsignedEvent};

pub use addressable::{Addressable, Participant};
pub use ciphertext::{Ciphertext, Nip04Text, Nip44Text};
pub use flaw::{Flaw, KindError};
pub use json::view_json;
pub use nip01::Metadata;
pub use nip02::Contacts;
pub use nip04::DirectMessage;
pub use nip09::Deletion;
pub use nip10::{TextNote, Thread};
pub use nip17::{ChatMessage, Conversation, FileMessage};
pub use nip18::Repost;
pub use nip22::{Comment, Subject};
pub use nip23::Article;
pub use nip25::{ExternalReaction, Feeling, Reaction};
pub use nip51::{List, ListEntries, PrivateTags};
pub use nip53::LiveChatMessage;
pub use nip56::{Report, ReportReason, Reported};
pub use nip57::{ZapDoubt, ZapReceipt, ZapRequest, ZapTarget, ZapVerdict};
pub use nip58::{BadgeAward, BadgeDefinition, ProfileBadges, WornBadge};
pub use nip59::{GiftWrap, Seal};
pub use nip60::{
    Direction, Dleq, HistoryContent, Proof, QuoteContent, TokenContent, WalletContent, WalletEvent,
};
pub use nip61::{Nutzap, NutzapInfo, TrustedMint};
pub use nip65::{RelayList, RelayUse};
pub use nip68::Picture;
pub use nip71::{Segment, Video};
pub use nip88::{Poll, PollOption, PollResponse};
pub use references::{MAX_REFERENCES, Reference, References};
pub use refs::{AddressRef, AnyRef, EventRef, ProfileRef, RelayHint};
pub use secret::Secret;
pub use source::Source;

/// A custom emoji (NIP-30).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
pub struct Emoji<'a> {
    /// Its name, without colons.
    pub shortcode: &'a str,
    /// Its picture.
    pub url: &'a str,
}

/// The table of kinds: a variant with its view, and the kinds that it is for.
macro_rules! views {
    ($life:lifetime; $($(#[$doc:meta])* $variant:ident($view:ty) = $kinds:pat,)+) => {
        /// What an event says, by its kind.
        #[derive(Debug, Clone, serde::Serialize)]
        #[serde(tag = "type", rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum ParsedKind<$life> {
            $($(#[$doc])* $variant(Box<$view>),)+
            /// A kind that has no view: all of the event, as it is.
            Other(Source<$life>),
        }

        fn read<$life>(source: Source<$life>) -> Result<ParsedKind<$life>, Flaw> {
            Ok(match source.kind {
                $($kinds => ParsedKind::$variant(Box::new(<$view>::read(source)?)),)+
                _ => ParsedKind::Other(source),
            })
        }
    };
}

// The first line that fits a kind decides: lists and addressable events come last.
views! { 'a;
    /// Kind 0: a profile (NIP-01).
    Metadata(Metadata<'a>) = 0,
    /// Kind 1: a short note (NIP-10).
    TextNote(TextNote<'a>) = 1,
    /// Kind 3: a follow list (NIP-02).
    Contacts(Contacts<'a>) = 3,
    /// Kind 4: an encrypted message of the old form (NIP-04).
    DirectMessage(DirectMessage<'a>) = 4,
    /// Kind 5: a request to delete (NIP-09).
    Deletion(Deletion<'a>) = 5,
    /// Kinds 6 and 16: an event shown again (NIP-18).
    Repost(Repost<'a>) = nip18::REPOST | 16,
    /// Kind 7: a reaction to an event (NIP-25).
    Reaction(Reaction<'a>) = 7,
    /// Kind 8: a badge given to people (NIP-58).
    BadgeAward(BadgeAward<'a>) = 8,
    /// Kind 13: a seal (NIP-59).
    Seal(Seal<'a>) = 13,
    /// Kind 14: a private message, a rumor (NIP-17).
    ChatMessage(ChatMessage<'a>) = 14,
    /// Kind 15: an encrypted file, a rumor (NIP-17).
    FileMessage(FileMessage<'a>) = 15,
    /// Kind 17: a reaction to something outside Nostr (NIP-25).
    ExternalReaction(ExternalReaction<'a>) = 17,
    /// Kind 20: pictures (NIP-68).
    Picture(Picture<'a>) = 20,
    /// Kinds 21, 22, 34235 and 34236: a film (NIP-71).
    Video(Video<'a>) = 21 | 22 | 34_235 | 34_236,
    /// Kind 1018: an answer to a poll (NIP-88).
    PollResponse(PollResponse<'a>) = 1_018,
    /// Kinds 1059 and 21059: a gift wrap (NIP-59).
    GiftWrap(GiftWrap<'a>) = 1_059 | 21_059,
    /// Kind 1068: a poll (NIP-88).
    Poll(Poll<'a>) = 1_068,
    /// Kind 1111: a comment (NIP-22).
    Comment(Comment<'a>) = 1_111,
    /// Kind 1311: a message beside a live activity (NIP-53).
    LiveChatMessage(LiveChatMessage<'a>) = 1_311,
    /// Kind 1984: a report (NIP-56).
    Report(Report<'a>) = 1_984,
    /// Kinds 7374, 7375, 7376 and 17375: a wallet's encrypted events (NIP-60).
    WalletEvent(WalletEvent<'a>) = 7_374 | 7_375 | 7_376 | 17_375,
    /// Kind 9321: ecash sent in the open (NIP-61).
    Nutzap(Nutzap<'a>) = 9_321,
    /// Kind 9734: a request for a zap (NIP-57).
    ZapRequest(ZapRequest<'a>) = nip57::ZAP_REQUEST,
    /// Kind 9735: a receipt for a zap (NIP-57).
    ZapReceipt(ZapReceipt<'a>) = 9_735,
    /// Kind 10002: where somebody reads and writes (NIP-65).
    RelayList(RelayList) = 10_002,
    /// Kinds 10008 and 30008: the badges that somebody wears (NIP-58).
    ProfileBadges(ProfileBadges<'a>) = 10_008 | 30_008,
    /// Kind 10019: how somebody takes nutzaps (NIP-61).
    NutzapInfo(NutzapInfo<'a>) = 10_019,
    /// Kind 30009: what a badge is (NIP-58).
    BadgeDefinition(BadgeDefinition<'a>) = 30_009,
    /// Kinds 30023 and 30024: a long text and its draft (NIP-23).
    Article(Article<'a>) = 30_023 | nip23::DRAFT,
    /// Every other kind from 10000 to 19999, and the sets: lists (NIP-51).
    List(List<'a>) = 10_000..=19_999
        | 30_000..=30_007 | 30_015 | 30_030 | 30_063 | 30_267 | 31_924 | 39_089 | 39_092,
    /// Every other kind from 30000 to 39999.
    Addressable(Addressable<'a>) = 30_000..=39_999,
}

impl<'a> ParsedKind<'a> {
    /// Reads an event. It may be one that nobody has verified yet: nothing in it is believed.
    ///
    /// # Errors
    /// [`KindError`]: the kind is known, but the event is not of its form.
    pub fn of(event: &'a Event) -> Result<Self, KindError> {
        Self::of_source(event.into())
    }

    /// Reads an event without signature: what was found inside a seal (NIP-59), or what is about
    /// to be signed.
    ///
    /// # Errors
    /// As [`ParsedKind::of`].
    pub fn of_rumor(rumor: &'a UnsignedEvent) -> Result<Self, KindError> {
        Self::of_source(rumor.into())
    }

    fn of_source(source: Source<'a>) -> Result<Self, KindError> {
        read(source).map_err(|flaw| KindError { kind: source.kind, flaw })
    }
}
