//! The messages between workers, of every edge.

use bytes::Bytes;
use nipworker_protocol::{EventView, Filter, PackedEvent, PackedEvents, UnsignedEvent};
use nipworker_schema::{
    CacheEdge, CacheMessageT, ClientEdge, ClientMessageT, CryptoEdge, CryptoMessageT, EdgeError,
    FilterT, IngestEdge, IngestMessageT, MinerEdge, MinerMessageT, RelayEdge, RelayEdgeMessageT,
    UnsignedEventT,
};

/// Where the file identifier stands.
const IDENTIFIER: std::ops::Range<usize> = 4..8;

macro_rules! edges {
    ($($edge:ident $message:pat => $look:expr),+ $(,)?) => {
        pub(super) fn run(bytes: &[u8]) {
            $(
                let mut named = bytes.to_vec();
                if let Some(place) = named.get_mut(IDENTIFIER) {
                    place.copy_from_slice($edge::IDENTIFIER.as_bytes());
                }
                let edge = $edge::from_bytes(Bytes::from(named));
                match edge.decode() {
                    Ok(message) => {
                        let again = $edge::encode(message.clone()).decode();
                        assert_eq!(again, Ok(message.clone()), "it says the same when read again");
                        match message {
                            $message => $look,
                            _ => {}
                        }
                    }
                    Err(error) => assert!(error.to_string().len() < 4_096, "{error}"),
                }
            )+
        }
    };
}

edges! {
    ClientEdge ClientMessageT::Subscribe(request) => request.filters.into_iter().for_each(filter),
    IngestEdge IngestMessageT::EventBatch(batch) => assert!(!format!("{batch:?}").is_empty()),
    CryptoEdge CryptoMessageT::Sign(request) => id_of(&request.template.into()),
    CacheEdge CacheMessageT::Persist(batch) => {
        PackedEvents::read(batch.events).flatten().for_each(|event| packed(&event.view()));
    },
    RelayEdge RelayEdgeMessageT::OpenReq(request) => request.filters.into_iter().for_each(filter),
    MinerEdge MinerMessageT::MineEvent(job) => assert!(!format!("{job:?}").is_empty()),
}

fn id_of(event: &UnsignedEvent) {
    let again = UnsignedEvent::from(UnsignedEventT::from(event));
    assert_eq!(again.compute_id(), event.compute_id());
}

fn packed(view: &EventView<'_>) {
    let event = view.to_event();
    assert_eq!(view.to_json(), event.to_json());
    assert_eq!(view.json_len(), view.to_json().len());
    assert_eq!(PackedEvent::new(&event).to_event(), event);
    id_of(&event.into());
}

fn filter(table: FilterT) {
    match Filter::try_from(table) {
        Ok(filter) => {
            let again = Filter::try_from(FilterT::from(&filter));
            assert_eq!(again, Ok(filter));
        }
        Err(
            EdgeError::NotALetter { .. }
            | EdgeError::RepeatedLetter { .. }
            | EdgeError::LimitTooLarge { .. },
        ) => {}
        Err(other) => panic!("a filter is refused by its own reasons: {other}"),
    }
}
