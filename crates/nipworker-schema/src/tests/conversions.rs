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
        let edge = CacheEdge::encode(CountStoredT { filters: vec![(&filter).into()] });
        let message = edge.decode().unwrap();
        let back = message.as_count_stored().unwrap().filters[0].clone();
        prop_assert_eq!(Filter::try_from(back), Ok(filter));
    }
}

#[test]
fn an_absent_list_and_an_empty_list_stay_apart() {
    let nothing = Filter { ids: Some(vec![]), kinds: Some(vec![]), ..Filter::default() };
    for filter in [Filter::default(), nothing] {
        let edge = ClientEdge::encode(CountT { filters: vec![filter.clone().into()] });
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
