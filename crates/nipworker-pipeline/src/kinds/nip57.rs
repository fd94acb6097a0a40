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
    /// The signature of the request is not its sender's.
    #[error("the request is not signed by its sender")]
    RequestSignature,
    /// The preimage is not the one of the invoice.
    #[error("the preimage does not belong to the invoice")]
    OtherPreimage,
    /// The receipt is not signed by the recipient's payment server.
    #[error("the receipt is not from the recipient's payment server")]
    OtherProvider,
}

/// Whether a receipt proves a zap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ZapVerdict {
    /// Nothing speaks against it.
    Valid {
        /// What was paid: the amount of the invoice, in millisatoshi.
        amount_msat: u64,
    },
    /// It proves nothing.
    Invalid {
        /// Everything that speaks against it, at least one.
        doubts: Vec<ZapDoubt>,
    },
}

impl ZapVerdict {
    /// Whether nothing speaks against the receipt.
    pub fn is_valid(&self) -> bool {
        matches!(self, Self::Valid { .. })
    }
}

/// A receipt for a zap. Anybody can sign one: what it is worth says [`ZapReceipt::verdict`], which
/// takes what the receipt alone cannot say.
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
    /// The preimage as the receipt states it. It proves nothing by itself: payer and provider may
    /// be one.
    pub preimage: Option<&'a str>,
    /// Words that the payer wrote.
    pub comment: String,
    /// The request, which [`ParsedKind::of`](super::ParsedKind::of) reads; its signature was not checked.
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
        let preimage = tags::value(source.tags, "preimage");
        if let Some(preimage) = preimage {
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
            preimage,
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

    /// Whether the receipt proves a zap (NIP-57, appendix F). `provider` is the key that the
    /// recipient's payment server names, `nostrPubkey` in its LNURL answer; it is the caller's to
    /// know, nothing is fetched. `verify` says whether id and signature of an event are right; it
    /// is asked for the request, unless its id is wrong already. The receipt's own signature was
    /// checked when the event came in.
    pub fn verdict(&self, provider: &PublicKey, verify: impl FnOnce(&Event) -> bool) -> ZapVerdict {
        let mut doubts = self.doubts(provider);
        if !doubts.contains(&ZapDoubt::RequestId) && !verify(&self.request) {
            doubts.push(ZapDoubt::RequestSignature);
        }
        match self.amount_msat {
            Some(amount_msat) if doubts.is_empty() => ZapVerdict::Valid { amount_msat },
            _ => ZapVerdict::Invalid { doubts },
        }
    }
}
