//! FlatBuffers offsets may share what they point to. A small message that unfolds to a huge one is
//! refused before anything is unfolded; the largest honest ones are not.

use bytes::Bytes;
use flatbuffers::FlatBufferBuilder;

use nipworker_protocol::{Event, EventId, PublicKey, Signature, Tag};

use crate::*;

#[test]
fn a_few_kilobytes_that_stand_for_a_million_strings_are_refused() {
    const WIDTH: usize = 1000;
    let mut builder = FlatBufferBuilder::new();
    let text = builder.create_string("shared");
    let values = builder.create_vector(&[text; WIDTH]);
    let tag = raw::Tag::create(&mut builder, &raw::TagArgs { values: Some(values) });
    let tags = builder.create_vector(&[tag; WIDTH]);
    let content = builder.create_string("");
    let (id, sig) = (raw::Bytes32::default(), raw::Bytes64::default());
    let event = raw::Event::create(
        &mut builder,
        &raw::EventArgs {
            id: Some(&id),
            pubkey: Some(&id),
            tags: Some(tags),
            content: Some(content),
            sig: Some(&sig),
            ..Default::default()
        },
    );
    let signed = raw::Signed::create(&mut builder, &raw::SignedArgs { event: Some(event) });
    let frame = raw::CryptoFrame::create(
        &mut builder,
        &raw::CryptoFrameArgs {
            message_type: raw::CryptoMessage::Signed,
            message: Some(signed.as_union_value()),
            ..Default::default()
        },
    );
    builder.finish(frame, Some(CryptoEdge::IDENTIFIER));
    let bytes = Bytes::copy_from_slice(builder.finished_data());
    assert!(bytes.len() < 16 * 1024);
    match CryptoEdge::from_bytes(bytes).decode() {
        Err(EdgeError::Malformed(reason)) => assert!(reason.contains("size"), "{reason}"),
        other => panic!("{:?}", other.map(|_| "decoded")),
    }
}

fn event(tags: Vec<Tag>) -> EventT {
    Event {
        id: EventId::from_bytes([1; 32]),
        pubkey: PublicKey::from_bytes([2; 32]),
        created_at: 0,
        kind: 0,
        tags,
        content: String::new(),
        sig: Signature::from_bytes([3; 64]),
    }
    .into()
}

/// Messages with as much structure and as little content as possible: their field layouts count
/// the most against their size.
fn honest_extremes() -> Vec<CacheMessageT> {
    let send = |event: EventT| -> CacheMessageT {
        StoreAndSendT { event: event.into(), ..StoreAndSendT::default() }.into()
    };
    let receipt = ReceiptT::default();
    let outcome = PutOutcomeT::default();
    let tag_filters = (b'a'..=b'z').map(|letter| TagFilterT { letter, values: vec![] }).collect();
    let filter = FilterT { tags: Some(tag_filters), ..FilterT::default() };
    vec![
        send(event(vec![Tag::default(); 10_000])),
        send(event(vec![Tag::new([""]); 10_000])),
        send(event(vec![Tag::new([""; 5]); 10_000])),
        PersistT { events: vec![0; 10_000] }.into(),
        PersistedT { outcomes: vec![outcome.clone(); 10_000] }.into(),
        SentT { outcome: outcome.into(), receipts: vec![receipt; 10_000] }.into(),
        CountStoredT { filters: vec![filter; 1000], hll: false }.into(),
        CountStoredT { filters: vec![FilterT::default(); 10_000], hll: false }.into(),
        RelaysAskedT { relays: vec![String::new(); 10_000] }.into(),
        SweptT { removed: 0 }.into(),
    ]
}

#[test]
fn honest_messages_with_the_most_structure_are_read() {
    for message in honest_extremes() {
        let edge = CacheEdge::encode(message.clone());
        assert_eq!(edge.decode(), Ok(message), "of {} bytes", edge.as_bytes().len());
    }
}

/// The bound in `edge.rs` is four times the size; this shows what honest messages need.
#[test]
fn apparent_size_of_honest_messages() {
    for message in honest_extremes() {
        let bytes = CacheEdge::encode(message).into_bytes();
        let passes = |max_apparent_size| {
            let options = flatbuffers::VerifierOptions {
                max_apparent_size,
                max_tables: usize::MAX,
                ..Default::default()
            };
            flatbuffers::root_with_opts::<raw::CacheFrame<'_>>(&options, &bytes).is_ok()
        };
        let three_times = 3 * bytes.len() + 64;
        assert!(passes(three_times), "{} bytes need more than {three_times}", bytes.len());
    }
}
