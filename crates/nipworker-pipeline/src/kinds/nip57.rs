//! Zaps: requests (kind 9734) and receipts (kind 9735; NIP-57).

use nipworker_protocol::{Coordinate, Event, EventId, EventLimits, PublicKey, RelayUrl, Tag};
use sha2::{Digest, Sha256};

use super::{AddressRef, EventRef, Flaw, ProfileRef, Source, refs, tags};
use crate::content::{Content, Invoice};

/// Kind of a zap request.
pub(super) const ZAP_REQUEST: u16 = 9734;

/// Whom and what a zap is for, as tags say it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ZapTarget {
    /// Who is paid.
    pub recipient: PublicKey,
    /// The event that is zapped.
    pub event: Option<EventId>,
    /// Its address.
    pub address: Option<Coordinate>,
}

impl ZapTarget {
    fn of(all: &[Tag]) -> Result<Self, Flaw> {
        Ok(Self {
            recipient: refs::required(all, "p", "a public key", ProfileRef::of)?.pubkey,
            event: optional(all, "e", "an event id", EventRef::of)?.map(|event| event.id),
            address: optional(all, "a", "an address", AddressRef::of)?.map(|it| it.address),
        })
    }
}

fn optional<'a, T>(
    all: &'a [Tag],
    name: &'static str,
    expected: &'static str,
    read: impl Fn(&'a Tag) -> Option<T>,
) -> Result<Option<T>, Flaw> {
    let tag = tags::named(all, name).next();
    tag.map(|tag| read(tag).ok_or(Flaw::Tag { name, expected })).transpose()
}

/// A request for a zap. It is sent to the recipient's payment server, not to relays.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ZapRequest<'a> {
    /// Who pays.
    pub sender: PublicKey,
    /// For whom and what.
    pub target: ZapTarget,
    /// How much, in millisatoshi, as stated.
    pub amount_msat: Option<u64>,
    /// Where the receipt is to be sent.
    pub relays: Vec<RelayUrl>,
    /// Words that go with it; cut into blocks when asked.
    pub comment: Content<'a>,
}

impl<'a> ZapRequest<'a> {
    pub(super) fn read(source: Source<'a>) -> Result<Self, Flaw> {
        let relays = tags::named(source.tags, "relays").flat_map(|tag| tag.0.iter().skip(1));
        Ok(Self {
            sender: source.pubkey,
            target: ZapTarget::of(source.tags)?,
            amount_msat: tags::amount(source.tags, "amount")?,
            relays: tags::unique(relays.filter_map(|url| RelayUrl::parse(url).ok())),
            comment: source.text(),
        })
    }
}

/// Why a receipt does not prove a zap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ZapDoubt {
    /// The invoice leaves the amount open, so nobody can say what was paid.
    #[error("the invoice states no amount")]
    NoAmount,
    /// The request asked for another amount than the invoice.
    #[error("the request states {requested_msat} msat, the invoice {invoiced_msat} msat")]
    OtherAmount {
        /// Millisatoshi that the request states.
        requested_msat: u64,
        /// Millisatoshi that the invoice states.
        invoiced_msat: u64,
    },
    /// The invoice was made for another request, or for none.
    #[error("the invoice was not made for this request")]
    OtherInvoice,
    /// Receipt and request name different people, events or addresses.
    #[error("receipt and request name different targets")]
    OtherTarget,
    /// The receipt names another payer than who signed the request.
    #[error("receipt and request name different senders")]
    OtherSender,
    /// The id of the request is not the hash of its content.
    #[error("the id of the request is not its hash")]
    RequestId,
    /// The preimage is not the one of the invoice.
    #[error("the preimage does not belong to the invoice")]
    OtherPreimage,
    /// The receipt is not signed by the recipient's payment server.
    #[error("the receipt is not from the recipient's payment server")]
    OtherProvider,
}

/// A receipt for a zap.
///
/// Its doubts are found from the receipt alone. **Two checks are left to the caller**: the
/// signature of [`ZapReceipt::request`], and that [`ZapReceipt::provider`] is the key that the
/// recipient's payment server names (`nostrPubkey` in its LNURL answer), for which there is
/// [`ZapReceipt::doubts`] with that key. Anybody can sign a receipt.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ZapReceipt<'a> {
    /// Who signed the receipt.
    pub provider: PublicKey,
    /// Who paid, as the request says.
    pub sender: PublicKey,
    /// For whom and what, as the receipt says.
    pub target: ZapTarget,
    /// What the invoice asked for, in millisatoshi.
    pub amount_msat: Option<u64>,
    /// The invoice.
    pub invoice: Invoice,
    /// Its text.
    pub bolt11: &'a str,
    /// Words that the payer wrote.
    pub comment: String,
    /// The request; its signature was not checked.
    pub request: Box<Event>,
    /// Everything that speaks against the receipt.
    #[serde(serialize_with = "super::json::texts")]
    doubts: Vec<ZapDoubt>,
}

impl<'a> ZapReceipt<'a> {
    pub(super) fn read(source: Source<'a>) -> Result<Self, Flaw> {
        let target = ZapTarget::of(source.tags)?;
        let bolt11 = tags::required(source.tags, "bolt11")?.trim();
        let invoice = Invoice::parse(bolt11)
            .map_err(|_| Flaw::Tag { name: "bolt11", expected: "an invoice" })?;
        let description = tags::required(source.tags, "description")?;
        let expected = "a zap request in JSON";
        let no_request = Flaw::Tag { name: "description", expected };
        let request = Event::from_json(description.as_bytes(), &EventLimits::default())
            .ok()
            .filter(|request| request.kind == ZAP_REQUEST)
            .ok_or(no_request)?;
        let asked = ZapRequest::read(Source::from(&request))?;
        let mut doubts = Vec::new();
        let mut doubt = |is_doubtful: bool, doubt| {
            if is_doubtful {
                doubts.push(doubt);
            }
        };
        match (asked.amount_msat, invoice.amount_msat) {
            (_, None) => doubt(true, ZapDoubt::NoAmount),
            (Some(requested_msat), Some(invoiced_msat)) => doubt(
                requested_msat != invoiced_msat,
                ZapDoubt::OtherAmount { requested_msat, invoiced_msat },
            ),
            (None, Some(_)) => {}
        }
        let hash: [u8; 32] = Sha256::digest(description.as_bytes()).into();
        doubt(invoice.description_hash != Some(hash), ZapDoubt::OtherInvoice);
        doubt(asked.target != target, ZapDoubt::OtherTarget);
        let stated = optional(source.tags, "P", "a public key", ProfileRef::of)?;
        let is_other = stated.is_some_and(|stated| stated.pubkey != request.pubkey);
        doubt(is_other, ZapDoubt::OtherSender);
        doubt(request.check_id().is_err(), ZapDoubt::RequestId);
        if let Some(preimage) = tags::value(source.tags, "preimage") {
            let hash = tags::sha256(preimage).map(|it| <[u8; 32]>::from(Sha256::digest(it)));
            doubt(hash.is_none() || hash != invoice.payment_hash, ZapDoubt::OtherPreimage);
        }
        Ok(Self {
            provider: source.pubkey,
            sender: request.pubkey,
            target,
            amount_msat: invoice.amount_msat,
            invoice,
            bolt11,
            comment: request.content.clone(),
            request: Box::new(request),
            doubts,
        })
    }

    /// What speaks against the receipt when `provider` is the key of the recipient's payment
    /// server. None left and the request's signature checked: the zap is proven.
    pub fn doubts(&self, provider: &PublicKey) -> Vec<ZapDoubt> {
        let mut doubts = self.doubts.clone();
        if self.provider != *provider {
            doubts.push(ZapDoubt::OtherProvider);
        }
        doubts
    }
}
