//! Keys of authors that were read before.

use std::{
    collections::HashMap,
    mem,
    sync::{PoisonError, RwLock},
};

use nipworker_protocol::PublicKey;
use secp256k1::XOnlyPublicKey;

use crate::{SignedId, verify::verify_with};

/// Authors whose keys are kept at least; twice as many at most, which is 1 MB.
pub const KNOWN_KEYS: usize = 4_096;

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<PublicKey, XOnlyPublicKey>,
    old: HashMap<PublicKey, XOnlyPublicKey>,
}

/// Points of the curve by the text of the key. Finding the point takes a tenth of a check, and
/// most events are by authors of whom there were some before. Only authors of genuine events are
/// kept, so that keys that somebody makes up displace nobody.
#[derive(Debug, Default)]
pub(crate) struct KnownKeys(RwLock<Generations>);

impl KnownKeys {
    /// As [`verify_one`](crate::verify_one).
    pub(crate) fn verify(&self, item: &SignedId) -> bool {
        if let Some(key) = self.get(&item.pubkey) {
            return verify_with(&key, item);
        }
        let Ok(key) = XOnlyPublicKey::from_slice(item.pubkey.as_bytes()) else { return false };
        let is_valid = verify_with(&key, item);
        if is_valid {
            self.keep(item.pubkey, key);
        }
        is_valid
    }

    fn get(&self, author: &PublicKey) -> Option<XOnlyPublicKey> {
        let keys = self.0.read().unwrap_or_else(PoisonError::into_inner);
        keys.young.get(author).or_else(|| keys.old.get(author)).copied()
    }

    fn keep(&self, author: PublicKey, key: XOnlyPublicKey) {
        let mut keys = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if keys.young.len() >= KNOWN_KEYS {
            keys.old = mem::take(&mut keys.young);
        }
        keys.young.insert(author, key);
    }
}

#[cfg(test)]
mod tests {
    use nipworker_protocol::{EventId, Signature, UnsignedEvent};

    use super::*;
    use crate::{PrivateKeySigner, verify_one};

    fn kept(keys: &KnownKeys) -> usize {
        let keys = keys.0.read().unwrap();
        keys.young.len() + keys.old.len()
    }

    #[test]
    fn a_kept_key_judges_as_one_that_is_read_anew() {
        let keys = KnownKeys::default();
        let signer = PrivateKeySigner::generate().unwrap();
        let note = UnsignedEvent::new(signer.key(), 1, 1, vec![], "a");
        let good = SignedId::from(&signer.sign_now(note).unwrap());
        let other_sig = SignedId { sig: Signature::from_bytes([9; 64]), ..good };
        let other_id = SignedId { id: EventId::from_bytes([9; 32]), ..good };
        let no_point = SignedId { pubkey: PublicKey::from_bytes([0xff; 32]), ..good };
        for round in 0..3 {
            for item in [&other_sig, &other_id, &no_point, &good] {
                let is_valid = verify_one(&item.id, &item.pubkey, &item.sig);
                assert_eq!(keys.verify(item), is_valid, "{round}: {item:?}");
                assert_eq!(is_valid, item == &good);
            }
        }
    }

    #[test]
    fn only_authors_of_genuine_events_are_kept_and_not_too_many() {
        let keys = KnownKeys::default();
        let signer = PrivateKeySigner::generate().unwrap();
        let note = UnsignedEvent::new(signer.key(), 1, 1, vec![], "a");
        let good = SignedId::from(&signer.sign_now(note).unwrap());
        assert!(!keys.verify(&SignedId { sig: Signature::from_bytes([9; 64]), ..good }));
        assert_eq!(kept(&keys), 0);
        assert!(keys.verify(&good));
        let point = keys.get(&good.pubkey).unwrap();
        for n in 0..3 * KNOWN_KEYS as u32 {
            let mut author = [0; 32];
            author[..4].copy_from_slice(&n.to_le_bytes());
            keys.keep(PublicKey::from_bytes(author), point);
            assert!(kept(&keys) <= 2 * KNOWN_KEYS);
        }
        assert!(kept(&keys) >= KNOWN_KEYS);
    }
}
