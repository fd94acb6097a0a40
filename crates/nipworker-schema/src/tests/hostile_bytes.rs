//! No bytes make `decode` panic, hang or believe what is not there.

use bytes::Bytes;
use proptest::{collection::vec, prelude::*, sample::Index};

use super::strategies;
use crate::*;

/// A change to bytes that keeps their number.
#[derive(Debug, Clone)]
enum Damage {
    Byte(Index, u8),
    /// Four bytes at a multiple of four: offsets and lengths stand there.
    Word(Index, u32),
}

fn damage() -> impl Strategy<Value = Vec<Damage>> {
    let word = prop_oneof![any::<u32>(), 0..64_u32, (u32::MAX - 64)..=u32::MAX, Just(1 << 31)];
    let one = prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Byte(at, byte)),
        (any::<Index>(), word).prop_map(|(at, word)| Damage::Word(at, word)),
    ];
    vec(one, 1..6)
}

fn damaged(bytes: &Bytes, damage: &[Damage]) -> Bytes {
    let mut bytes = bytes.to_vec();
    for change in damage {
        match change {
            Damage::Byte(at, byte) => {
                let at = at.index(bytes.len());
                bytes[at] = *byte;
            }
            Damage::Word(at, word) => {
                let at = at.index(bytes.len() / 4) * 4;
                bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
            }
        }
    }
    bytes.into()
}

macro_rules! hostile {
    ($($module:ident: $edge:ident),+ $(,)?) => {$(
        mod $module {
            use super::*;

            /// Whatever `decode` believes can be written and read again.
            fn holds_together(bytes: Bytes) {
                if let Ok(message) = $edge::from_bytes(bytes).decode() {
                    assert_eq!($edge::encode(message.clone()).decode(), Ok(message));
                }
            }

            proptest! {
                #![proptest_config(ProptestConfig::with_cases(1024))]

                #[test]
                fn damaged_messages_never_panic(
                    message in strategies::$module(),
                    damage in damage(),
                ) {
                    holds_together(damaged($edge::encode(message).as_bytes(), &damage));
                }

                #[test]
                fn random_bytes_behind_the_right_identifier_never_panic(
                    mut bytes in vec(any::<u8>(), 8..256),
                    root in 0_u32..64,
                ) {
                    bytes[..4].copy_from_slice(&root.to_le_bytes());
                    bytes[4..8].copy_from_slice($edge::IDENTIFIER.as_bytes());
                    holds_together(bytes.into());
                }

                #[test]
                fn random_bytes_never_panic(bytes in vec(any::<u8>(), 0..64)) {
                    holds_together(bytes.into());
                }
            }

            proptest! {
                #![proptest_config(ProptestConfig::with_cases(32))]

                #[test]
                fn truncated_messages_never_panic(message in strategies::$module()) {
                    let whole = $edge::encode(message).into_bytes();
                    for end in 0..whole.len() {
                        holds_together(whole.slice(..end));
                        holds_together(whole.slice(end..));
                    }
                }
            }
        }
    )+};
}

hostile! {
    client: ClientEdge,
    ingest: IngestEdge,
    crypto: CryptoEdge,
    cache: CacheEdge,
    relay: RelayEdge,
    miner: MinerEdge,
}

#[test]
fn too_few_bytes_are_refused_with_their_number() {
    for got in 0..8 {
        let edge = ClientEdge::from_bytes(vec![0; got].into());
        assert_eq!(edge.decode(), Err(EdgeError::TooShort { got, minimum: 8 }));
    }
}

#[test]
fn a_message_of_another_edge_is_refused_by_its_identifier() {
    let other = MinerEdge::encode(JobAcceptedT { job: 1 });
    let edge = ClientEdge::from_bytes(other.into_bytes());
    let error = edge.decode().unwrap_err();
    assert_eq!(error, EdgeError::Identifier { expected: "NWCL", got: "NWMI".to_owned() });
    assert_eq!(error.to_string(), "file identifier is \"NWMI\", not \"NWCL\"");
}

#[test]
fn each_edge_has_its_own_identifier() {
    let mut all = vec![
        ClientEdge::IDENTIFIER,
        IngestEdge::IDENTIFIER,
        CryptoEdge::IDENTIFIER,
        CacheEdge::IDENTIFIER,
        RelayEdge::IDENTIFIER,
        MinerEdge::IDENTIFIER,
    ];
    assert!(all.iter().all(|identifier| identifier.len() == 4));
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 6);
}

fn frame_of_version(version: u16) -> ClientEdge {
    let message = CountedT { count: 3, hll: None }.into();
    let frame = raw::ClientFrameT { version, message };
    let mut builder = flatbuffers::FlatBufferBuilder::new();
    let root = frame.pack(&mut builder);
    builder.finish(root, Some(ClientEdge::IDENTIFIER));
    ClientEdge::from_bytes(Bytes::copy_from_slice(builder.finished_data()))
}

#[test]
fn only_its_own_version_is_read() {
    let expected = ClientEdge::VERSION;
    assert!(frame_of_version(expected).decode().is_ok());
    for got in [0, expected + 1, u16::MAX] {
        let refused = EdgeError::Version { expected, got };
        assert_eq!(frame_of_version(got).decode(), Err(refused));
    }
}

#[test]
fn a_member_that_this_version_does_not_know_is_refused_with_its_number() {
    let mut builder = flatbuffers::FlatBufferBuilder::new();
    let table = CountedT { count: 3, hll: None }.pack(&mut builder).as_union_value();
    let frame = raw::ClientFrame::create(
        &mut builder,
        &raw::ClientFrameArgs {
            version: ClientEdge::VERSION,
            message_type: raw::ClientMessage(200),
            message: Some(table),
        },
    );
    builder.finish(frame, Some(ClientEdge::IDENTIFIER));
    let edge = ClientEdge::from_bytes(Bytes::copy_from_slice(builder.finished_data()));
    assert_eq!(edge.decode(), Err(EdgeError::UnknownMember { tag: 200 }));
}

#[test]
fn text_that_is_not_utf8_is_refused_in_one_line() {
    let edge = ClientEdge::encode(UnsubscribeT { subscription: "abcdefgh".to_owned() });
    let mut bytes = edge.as_bytes().to_vec();
    let at = bytes.windows(8).position(|window| window == b"abcdefgh").unwrap();
    bytes[at] = 0xff;
    match ClientEdge::from_bytes(bytes.into()).decode() {
        Err(EdgeError::Malformed(reason)) => {
            assert!(reason.contains("Utf8"), "{reason}");
            assert!(!reason.contains('\n'), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}
