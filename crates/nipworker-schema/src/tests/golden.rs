//! Messages written by an earlier build are read by this one.
//!
//! `golden/NAME.hex` holds one message of each edge as the first release wrote it. When a schema
//! gains a field, these files stay: the new field has its default. Only a raised version replaces
//! them. A new file is made from the text that the failing test prints.

use bytes::Bytes;

use nipworker_protocol::{
    Event, EventId, Filter, PackedEvents, PublicKey, Signature, Tag, UnsignedEvent,
};

use crate::*;

fn event() -> Event {
    Event {
        id: EventId::from_bytes([0x11; 32]),
        pubkey: PublicKey::from_bytes([0x22; 32]),
        created_at: 1_700_000_000,
        kind: 30_023,
        tags: vec![Tag::new(["d", "slug"]), Tag::new(["t"]), Tag::default()],
        content: "grüße \u{1f600}\n".to_owned(),
        sig: Signature::from_bytes([0x33; 64]),
    }
}

fn filter() -> Filter {
    Filter::new()
        .ids([EventId::from_bytes([0x44; 32])])
        .authors([])
        .kinds([0, 1, 65_535])
        .tag('e', ["a", "b"])
        .tag('T', ["c"])
        .since(-5)
        .until(1_800_000_000)
        .limit(10)
}

fn receipt(status: ReceiptStatus) -> ReceiptT {
    ReceiptT {
        relay: "wss://relay.example".to_owned(),
        status,
        message: "blocked: no".to_owned(),
        elapsed_ms: 1234,
        ..ReceiptT::default()
    }
}

macro_rules! golden {
    ($name:literal, $edge:ident, $message:expr) => {{
        let message = $message;
        let text: String =
            include_str!(concat!("golden/", $name, ".hex")).split_ascii_whitespace().collect();
        let bytes = Bytes::from(hex::decode(&text).unwrap_or_default());
        assert_eq!(
            $edge::from_bytes(bytes).decode(),
            Ok(message.clone().into()),
            "golden/{}.hex no longer reads as it was written; today's bytes are {}",
            $name,
            hex::encode($edge::encode(message).as_bytes())
        );
    }};
}

#[test]
fn old_client_bytes_are_read() {
    golden!(
        "client",
        ClientEdge,
        SubscribeT {
            subscription: "feed".to_owned(),
            filters: vec![filter().into(), FilterT::default()],
            relays: vec!["wss://relay.example".to_owned()],
            use_cache: false,
            use_relays: true,
            close_on_eose: true,
        }
    );
}

#[test]
fn old_ingest_bytes_are_read() {
    golden!(
        "ingest",
        IngestEdge,
        EventBatchT {
            relay: "wss://relay.example".to_owned(),
            subscription: "feed".to_owned(),
            events: vec![event().to_json(), String::new()],
        }
    );
}

#[test]
fn old_crypto_bytes_are_read() {
    let event = event();
    let item =
        SignedIdT { id: event.id.into(), pubkey: event.pubkey.into(), sig: event.sig.into() };
    golden!("crypto", CryptoEdge, VerifyBatchT { items: vec![item, SignedIdT::default()] });
}

#[test]
fn old_cache_bytes_are_read() {
    let events: PackedEvents = [event(), event()].iter().collect();
    golden!("cache", CacheEdge, PersistT { events: events.into_bytes() });
}

/// Version 1 of the cache's edge carried events as tables.
#[test]
fn cache_bytes_of_version_1_are_refused_with_their_version() {
    let text = include_str!("golden/cache_1.hex");
    let text: String = text.split_ascii_whitespace().collect();
    let edge = CacheEdge::from_bytes(Bytes::from(hex::decode(text).unwrap_or_default()));
    assert_eq!(edge.decode(), Err(EdgeError::Version { expected: 2, got: 1 }));
}

#[test]
fn old_relay_bytes_are_read() {
    golden!(
        "relay",
        RelayEdge,
        EventReceiptsT {
            receipts: vec![
                receipt(ReceiptStatus::Accepted),
                receipt(ReceiptStatus::Refused),
                receipt(ReceiptStatus::NoAnswer),
                receipt(ReceiptStatus::NotConnected),
            ],
        }
    );
}

#[test]
fn old_questions_to_relays_are_read_and_set_no_time_of_their_own() {
    golden!(
        "ask",
        CacheEdge,
        AskRelaysT {
            subscription: "feed".to_owned(),
            filters: vec![filter().into()],
            relays: vec!["wss://relay.example".to_owned()],
            close_on_eose: true,
            relay_timeout_ms: 0,
        }
    );
    golden!(
        "open",
        RelayEdge,
        OpenReqT {
            subscription: "feed".to_owned(),
            filters: vec![filter().into()],
            relays: Vec::new(),
            close_on_eose: false,
            relay_timeout_ms: 0,
        }
    );
}

#[test]
fn old_miner_bytes_are_read() {
    let template = UnsignedEvent::from(event());
    golden!(
        "miner",
        MinerEdge,
        MineEventT {
            job: 9,
            template: template.into(),
            difficulty_bits: 21,
            max_threads: 0,
            timeout_ms: 30_000,
            max_attempts: 0,
            priority: 2,
            refresh_created_at: false,
            // Came later: what does not say so takes all the time there is.
            cpu_percent: 100,
            idle: false,
        }
    );
}

#[test]
fn old_miner_bytes_with_a_share_of_the_time_are_read() {
    golden!(
        "miner_share",
        MinerEdge,
        MineEventT {
            job: u64::MAX,
            template: UnsignedEvent::from(event()).into(),
            difficulty_bits: 256,
            max_threads: 3,
            timeout_ms: 0,
            max_attempts: 1 << 40,
            priority: 3,
            refresh_created_at: true,
            cpu_percent: 25,
            idle: true,
        }
    );
}

#[test]
fn old_failures_are_read() {
    golden!(
        "failed",
        CacheEdge,
        FailedT { code: FailureCode::Store, reason: "disk is full".to_owned(), transient: true }
    );
}
