//! Mining an event anew for relays that refused it for too little work (NIP-13).
//!
//! The author's key must be the signer's: a nonce changes the id, so that the event has to be
//! signed again. What comes out is another event, which is stored beside the first and sent to
//! exactly those relays that refused for this reason and whose demand can be met. It is tried once:
//! a relay that refuses the mined event too has said so in its receipt.

use std::time::{Duration, Instant};

use futures::future::join_all;
use nipworker_pow::Pow;
use nipworker_protocol::{Event, RelayUrl, UnsignedEvent};
use nipworker_relay::{WorkDemand, min_pow_difficulty};
use nipworker_transport::InformationOptions;
use serde::{Deserialize, Serialize};

use crate::{
    ClientError, MineOptions, MiningOutcome, NostrClient, PutOutcome, Receipt, ReceiptStatus,
};

/// What was done for relays that refused an event for too little work.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remined {
    /// The relays that refused for that reason, and what they demand.
    pub demands: Vec<Demanded>,
    /// What came of it.
    pub result: RemineResult,
}

/// What one relay demands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demanded {
    /// The relay's normalised URL.
    pub relay: String,
    /// Leading zero bits of the id; `None` when nobody could say.
    pub bits: Option<u32>,
    /// Where that number is from.
    pub source: DemandSource,
    /// Why the mined event is not meant for this relay; `None` when it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<String>,
}

/// Where the number of bits is from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DemandSource {
    /// The relay's refusal.
    Refusal,
    /// The relay's information document (NIP-11): the refusal named no number.
    Information,
}

/// What came of mining anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "result")]
#[non_exhaustive]
pub enum RemineResult {
    /// The event was mined, signed, and published.
    Published {
        /// The event: the same author, time, kind, tags and content, a nonce, and an id and
        /// signature of its own.
        event: Box<Event>,
        /// Bits that its nonce commits to.
        bits: u32,
        /// Nonces tried.
        attempts: u64,
        /// What the store did with it.
        outcome: PutOutcome,
        /// One receipt for each relay that was not left out.
        receipts: Vec<Receipt>,
    },
    /// Nothing was mined.
    NotTried {
        /// Why.
        reason: String,
    },
    /// It was begun and not finished.
    Failed {
        /// Why.
        reason: String,
    },
}

/// Looks for refusals among the `receipts` of `event` and does what can be done.
pub(crate) async fn after(
    client: &NostrClient,
    event: &Event,
    receipts: &[Receipt],
    timeout: Duration,
) -> Option<Remined> {
    let refusals: Vec<_> = receipts
        .iter()
        .filter(|receipt| receipt.status == ReceiptStatus::Refused)
        .filter_map(|receipt| Some((receipt, WorkDemand::of(&receipt.message)?)))
        .collect();
    if refusals.is_empty() {
        return None;
    }
    let end = Instant::now() + client.config().miner.remine_timeout;
    let left = end.saturating_duration_since(Instant::now());
    let not_ours = tokio::time::timeout(left, not_ours(client, event))
        .await
        .unwrap_or_else(|_| Some("the signer did not name its key in time".to_owned()));
    let asked = refusals.into_iter().map(|(receipt, demand)| {
        // Nobody is asked for what will not be mined.
        let ask = not_ours.is_none();
        demanded(client, event, &receipt.relay, demand, ask, end)
    });
    let demands: Vec<Demanded> = join_all(asked).await;
    let result = match not_ours {
        Some(reason) => RemineResult::NotTried { reason },
        None => mine_and_publish(client, event, &demands, end, timeout).await,
    };
    match &result {
        RemineResult::Published { event: mined, bits, .. } => tracing::info!(
            id = %event.id, mined = %mined.id, bits, "an event was mined anew for relays that demand work"
        ),
        RemineResult::NotTried { reason } | RemineResult::Failed { reason } => tracing::info!(
            id = %event.id, %reason, "an event that relays refused for too little work stays as it is"
        ),
    }
    Some(Remined { demands, result })
}

/// Why the event cannot be signed again.
async fn not_ours(client: &NostrClient, event: &Event) -> Option<String> {
    match client.public_key().await {
        Ok(key) if key == event.pubkey => None,
        Ok(_) => Some("the signer's key is not the author's".to_owned()),
        Err(error) => Some(error.to_string()),
    }
}

async fn demanded(
    client: &NostrClient,
    event: &Event,
    relay: &str,
    demand: WorkDemand,
    ask: bool,
    end: Instant,
) -> Demanded {
    let relay = relay.to_owned();
    let (bits, source, unknown) = match demand {
        WorkDemand::Bits(bits) => (Some(u32::from(bits)), DemandSource::Refusal, None),
        WorkDemand::OfKey => {
            let reason = "it demands work on the author's key".to_owned();
            (None, DemandSource::Refusal, Some(reason))
        }
        _ if !ask => (None, DemandSource::Refusal, Some("it names no number".to_owned())),
        _ => match told(client, &relay, end).await {
            Ok(bits) => (Some(bits), DemandSource::Information, None),
            Err(reason) => (None, DemandSource::Information, Some(reason)),
        },
    };
    let most = u32::from(client.config().miner.remine_max_bits);
    let has = Pow::of(&event.id, &event.tags).committed();
    let left_out = match bits {
        None => unknown,
        Some(bits) if bits > most => {
            Some(format!("it demands {bits} bits, the most that is mined for is {most}"))
        }
        Some(bits) if bits <= has => {
            Some(format!("it demands {bits} bits, which the event has: it commits to {has}"))
        }
        Some(_) => None,
    };
    Demanded { relay, bits, source, left_out }
}

/// What the relay's information document demands, or why that is not known.
async fn told(client: &NostrClient, relay: &str, end: Instant) -> Result<u32, String> {
    const NO_NUMBER: &str = "its refusal names no number";
    let information = client
        .information()
        .ok_or_else(|| format!("{NO_NUMBER}, and there is nobody to ask for its information"))?;
    let url = RelayUrl::parse(relay).map_err(|error| error.to_string())?;
    let timeout = client
        .config()
        .connections
        .connect_timeout
        .min(end.saturating_duration_since(Instant::now()));
    let options = InformationOptions { timeout, ..InformationOptions::default() };
    // An implementation without a clock leaves the limit to us.
    let document = match tokio::time::timeout(timeout, information.fetch(url, options)).await {
        Ok(Ok(document)) => document,
        Ok(Err(error)) => return Err(format!("{NO_NUMBER}, and its information: {error}")),
        Err(_) => {
            let after = timeout.as_millis();
            return Err(format!("{NO_NUMBER}, and its information did not come within {after} ms"));
        }
    };
    match min_pow_difficulty(&document) {
        Ok(Some(bits)) => Ok(bits),
        Ok(None) => Err(format!("{NO_NUMBER}, nor does its information")),
        Err(error) => Err(format!("{NO_NUMBER}, and its information is no JSON: {error}")),
    }
}

async fn mine_and_publish(
    client: &NostrClient,
    event: &Event,
    demands: &[Demanded],
    end: Instant,
    timeout: Duration,
) -> RemineResult {
    let met = || demands.iter().filter(|demand| demand.left_out.is_none());
    let Some(bits) = met().filter_map(|demand| demand.bits).max() else {
        let reason = "no relay's demand can be met".to_owned();
        return RemineResult::NotTried { reason };
    };
    let failed = |reason: String| RemineResult::Failed { reason };
    let (mined, attempts) = match mine(client, event, bits, end).await {
        Ok(mined) => mined,
        Err(reason) => return failed(reason),
    };
    let signed = match client.sign(mined).await {
        Ok(signed) => signed,
        Err(error) => return failed(error.to_string()),
    };
    let relays = met().map(|demand| demand.relay.clone()).collect();
    match client.send(signed.clone(), relays, true, timeout).await {
        Ok((outcome, receipts)) => {
            let event = Box::new(signed);
            RemineResult::Published { event, bits, attempts, outcome, receipts }
        }
        Err(error) => failed(format!("{} was mined and may have been sent: {error}", signed.id)),
    }
}

/// The event with a nonce that commits to `bits`, or why there is none.
async fn mine(
    client: &NostrClient,
    event: &Event,
    bits: u32,
    end: Instant,
) -> Result<(UnsignedEvent, u64), String> {
    let difficulty = u16::try_from(bits).map_err(|_| format!("{bits} bits are out of range"))?;
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(format!("no time was left to mine {bits} bits"));
    }
    let options = MineOptions {
        timeout: Some(left),
        // The author's words keep their date: what is mined stands for what was published.
        refresh_created_at: false,
        ..MineOptions::default()
    };
    let told = |error: ClientError| error.to_string();
    let template = UnsignedEvent::from(event.clone());
    let job = client.mine_with(template, difficulty, options).await.map_err(told)?;
    match job.solved().await.map_err(told)? {
        MiningOutcome::Found { event, attempts, .. } => Ok((event, attempts)),
        MiningOutcome::TimedOut { attempts } => {
            Err(format!("{bits} bits were not found in time, by {attempts} attempts"))
        }
        MiningOutcome::Cancelled { .. } => Err("the mining was cancelled".to_owned()),
        other => Err(format!("the mining ended without a result: {other:?}")),
    }
}
