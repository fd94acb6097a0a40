//! Between the base types and the tables.

use proptest::prelude::*;

use nipworker_protocol::{Event, Filter, Tag, UnsignedEvent};

use super::strategies;
use crate::*;

proptest! {
    #[test]
    fn an_event_survives_the_edge(event in strategies::event()) {
        let edge = CryptoEdge::encode(SignedT { event: (&event).into() });
        let message = edge.decode().unwrap();
        let back = message.as_signed().unwrap().event.clone();
        prop_assert_eq!(Event::from(back), event);
    }

    #[test]
    fn an_unsigned_event_survives_the_edge(template in strategies::unsigned_event()) {
        let edge = CryptoEdge::encode(SignT { template: (&template).into() });
        let message = edge.decode().unwrap();
        let back = message.as_sign().unwrap().template.clone();
        prop_assert_eq!(UnsignedEvent::from(back), template);
    }

    #[test]
    fn a_filter_survives_the_edge(filter in strategies::filter()) {
        let edge = CacheEdge::encode(CountStoredT { filters: vec![(&filter).into()], hll: false });
        let message = edge.decode().unwrap();
        let back = message.as_count_stored().unwrap().filters[0].clone();
        prop_assert_eq!(Filter::try_from(back), Ok(filter));
    }
}

#[test]
fn an_absent_list_and_an_empty_list_stay_apart() {
    let nothing = Filter { ids: Some(vec![]), kinds: Some(vec![]), ..Filter::default() };
    for filter in [Filter::default(), nothing] {
        let edge = ClientEdge::encode(CountT { filters: vec![filter.clone().into()], hll: false });
        let message = edge.decode().unwrap();
        let back = message.as_count().unwrap().filters[0].clone();
        assert_eq!(Filter::try_from(back), Ok(filter));
    }
}

#[test]
fn an_empty_tag_stays_an_empty_tag() {
    assert_eq!(Tag::from(TagT::from(Tag::default())), Tag::default());
}

fn with_tag_letters(letters: &[u8]) -> FilterT {
    let tags = letters.iter().map(|&letter| TagFilterT { letter, values: vec![] }).collect();
    FilterT { tags: Some(tags), ..FilterT::default() }
}

#[test]
fn a_tag_filter_is_named_by_one_ascii_letter_or_refused() {
    for byte in 0..=u8::MAX {
        let result = Filter::try_from(with_tag_letters(&[byte]));
        if byte.is_ascii_alphabetic() {
            assert_eq!(result.map(|filter| filter.tags.len()), Ok(1));
        } else {
            assert_eq!(result, Err(EdgeError::NotALetter { byte }));
        }
    }
}

#[test]
fn a_letter_that_comes_twice_is_refused_and_not_merged() {
    let result = Filter::try_from(with_tag_letters(b"ete"));
    assert_eq!(result, Err(EdgeError::RepeatedLetter { letter: 'e' }));
}

/// RUSTSEC-2026-0225: `Debug` printed secrets.
#[test]
fn private_texts_are_shown_neither_by_messages_nor_by_their_readers() {
    const TEXT: &str = "nobody-shall-see";
    let peer = Bytes32T { bytes: [1; 32] };
    let (plaintext, payload) = (TEXT.to_owned(), TEXT.to_owned());
    let messages: [CryptoMessageT; 4] = [
        EncryptT { plaintext: plaintext.clone(), peer: peer.clone(), ..EncryptT::default() }.into(),
        EncryptedT { payload: payload.clone() }.into(),
        DecryptT { payload, peer, ..DecryptT::default() }.into(),
        DecryptedT { plaintext }.into(),
    ];
    for message in messages {
        let edge = CryptoEdge::encode(message.clone());
        let reader = raw::root_as_crypto_frame(edge.as_bytes()).unwrap();
        for shown in [format!("{message:?}"), format!("{edge:?}"), format!("{reader:?}")] {
            assert!(!shown.contains(TEXT), "{shown}");
        }
        assert_eq!(edge.decode(), Ok(message));
    }
}
