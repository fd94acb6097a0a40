//! Who writes: key pairs derived from the seed, made when they are first needed.

use nipworker_protocol::{Event, PublicKey, Signature, UnsignedEvent};
use secp256k1::{Keypair, SECP256K1, SecretKey};

use super::random::Random;

/// What stands in place of a signature where none is asked for.
const UNSIGNED: [u8; Signature::LEN] = [0x5a; Signature::LEN];

#[derive(Debug)]
pub(super) struct Authors {
    seed: u64,
    keys: Vec<Option<(Keypair, PublicKey)>>,
    signed: bool,
}

impl Authors {
    pub(super) fn new(seed: u64, count: usize, signed: bool) -> Self {
        Self { seed, keys: vec![None; count], signed }
    }

    fn keys(&mut self, index: usize) -> (Keypair, PublicKey) {
        let seed = self.seed;
        *self.keys[index].get_or_insert_with(|| {
            let mut random =
                Random::new(seed ^ (index as u64 + 1).wrapping_mul(0x9e6c_63d0_876a_68ee));
            // Nearly every 32 bytes are a secret key; the loop is for the others.
            let secret = loop {
                if let Ok(secret) = SecretKey::from_slice(&random.bytes::<32>()) {
                    break secret;
                }
            };
            let pair = Keypair::from_secret_key(SECP256K1, &secret);
            let public = PublicKey::from_bytes(pair.x_only_public_key().0.serialize());
            (pair, public)
        })
    }

    pub(super) fn public_key(&mut self, index: usize) -> PublicKey {
        self.keys(index).1
    }

    /// Completes an event of author `index`.
    pub(super) fn sign(&mut self, index: usize, event: UnsignedEvent) -> Event {
        let mut event = event.with_signature(Signature::from_bytes(UNSIGNED));
        if self.signed {
            let pair = self.keys(index).0;
            let signature = SECP256K1.sign_schnorr_no_aux_rand(event.id.as_bytes(), &pair);
            event.sig = Signature::from_bytes(signature.to_byte_array());
        }
        event
    }
}
