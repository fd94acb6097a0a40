//! Encryption at rest: a backend whose rows of certain kinds are sealed before they reach the disk.

use std::{collections::BTreeSet, fmt, sync::Arc};

use chacha20poly1305::{
    AeadInPlace, KeyInit, XChaCha20Poly1305, XNonce, aead::generic_array::GenericArray,
};
use nipworker_protocol::packed::head_of;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::{
    Direction, KeyRange, KvCursor, KvEntry, KvError, KvSnapshot, KvStats, OrderedKv, WriteBatch,
};
use crate::engine::EVENT_KEY;

/// Bytes of a key.
pub const SEAL_KEY_BYTES: usize = 32;

/// What a sealed value begins with. No packed event does.
const MARK: u8 = 0xf5;

const NONCE_BYTES: usize = 24;

/// Which kinds are sealed, and by which key.
///
/// XChaCha20-Poly1305, bound to the place of the row. The nonce follows from the key, the place and the
/// content: the same row is sealed in the same way, and no two different ones with the same nonce.
///
/// What is sealed is the event: content, tags, signature. What it is found by is not: id, time, author,
/// kind, and the values of its one-letter tags stand in the indexes as they are, longer values as hashes.
#[derive(Clone)]
pub struct Seal(Arc<Inner>);

struct Inner {
    /// Wipes its key when it is dropped.
    cipher: XChaCha20Poly1305,
    nonce_key: Zeroizing<[u8; SEAL_KEY_BYTES]>,
    kinds: BTreeSet<u16>,
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seal").field("kinds", &self.0.kinds).finish_non_exhaustive()
    }
}

impl Seal {
    /// Seals events of these kinds.
    pub fn new(key: &[u8; SEAL_KEY_BYTES], kinds: impl IntoIterator<Item = u16>) -> Self {
        let derived = |purpose: &str| -> Zeroizing<[u8; SEAL_KEY_BYTES]> {
            Zeroizing::new(Sha256::new().chain_update(purpose).chain_update(key).finalize().into())
        };
        let key = derived("nipworker-store: rows at rest");
        Self(Arc::new(Inner {
            cipher: XChaCha20Poly1305::new(GenericArray::from_slice(&*key)),
            nonce_key: derived("nipworker-store: nonces at rest"),
            kinds: kinds.into_iter().collect(),
        }))
    }

    /// Whether this value of this key is to be sealed.
    fn concerns(&self, key: &[u8], value: &[u8]) -> bool {
        key.first() == Some(&EVENT_KEY)
            && head_of(value).is_ok_and(|(kind, _)| self.0.kinds.contains(&kind))
    }

    /// What stands on the disk instead of `value`.
    pub(crate) fn seal(&self, key: &[u8], value: &[u8]) -> Vec<u8> {
        let nonce = Sha256::new()
            .chain_update(*self.0.nonce_key)
            .chain_update((key.len() as u64).to_be_bytes())
            .chain_update(key)
            .chain_update(value)
            .finalize();
        let nonce = &nonce[..NONCE_BYTES];
        let mut content = value.to_vec();
        self.0
            .cipher
            .encrypt_in_place(XNonce::from_slice(nonce), key, &mut content)
            .expect("a row is far shorter than the cipher's limit");
        [&[MARK], nonce, &content].concat()
    }

    /// Opens what [`Seal::seal`] made; `None` where it is damaged, or of another key or place.
    pub(crate) fn open(&self, key: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, content) = sealed.strip_prefix(&[MARK])?.split_at_checked(NONCE_BYTES)?;
        let mut content = content.to_vec();
        self.0.cipher.decrypt_in_place(XNonce::from_slice(nonce), key, &mut content).ok()?;
        Some(content)
    }

    /// Opens a value of the backend; `None` where it is to be taken as it is. A sealed row that is damaged
    /// is one of these: whoever reads it finds that it is no event, and says which.
    fn opened(&self, key: &[u8], value: &[u8]) -> Option<Vec<u8>> {
        let is_sealed = key.first() == Some(&EVENT_KEY) && value.first() == Some(&MARK);
        is_sealed.then(|| self.open(key, value)).flatten()
    }
}

/// A backend that seals and opens on the way.
pub(crate) struct SealedKv {
    inner: Arc<dyn OrderedKv>,
    seal: Seal,
}

impl SealedKv {
    pub(crate) fn new(inner: Arc<dyn OrderedKv>, seal: Seal) -> Self {
        Self { inner, seal }
    }
}

impl OrderedKv for SealedKv {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn snapshot(&self) -> Result<Box<dyn KvSnapshot>, KvError> {
        Ok(Box::new(Snapshot { inner: self.inner.snapshot()?, seal: self.seal.clone() }))
    }

    fn commit(&self, batch: &WriteBatch) -> Result<(), KvError> {
        let mut sealed = Vec::new();
        for (key, value) in batch.starting_with(EVENT_KEY) {
            if let Some(value) = value
                && self.seal.concerns(key, value)
            {
                sealed.push((key.to_vec(), self.seal.seal(key, value)));
            }
        }
        if sealed.is_empty() {
            return self.inner.commit(batch);
        }
        let mut batch = batch.clone();
        for (key, value) in sealed {
            batch.put(key, value);
        }
        self.inner.commit(&batch)
    }

    fn stats(&self) -> Result<KvStats, KvError> {
        self.inner.stats()
    }

    fn flush(&self) -> Result<(), KvError> {
        self.inner.flush()
    }

    fn compact(&self) -> Result<(), KvError> {
        self.inner.compact()
    }
}

struct Snapshot {
    inner: Box<dyn KvSnapshot>,
    seal: Seal,
}

impl KvSnapshot for Snapshot {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KvError> {
        let Some(value) = self.inner.get(key)? else { return Ok(None) };
        Ok(Some(self.seal.opened(key, &value).unwrap_or(value)))
    }

    fn scan(
        &self,
        range: KeyRange,
        direction: Direction,
    ) -> Result<Box<dyn KvCursor + '_>, KvError> {
        let inner = self.inner.scan(range, direction)?;
        Ok(Box::new(Cursor { inner, seal: &self.seal, opened: Vec::new() }))
    }
}

struct Cursor<'s> {
    inner: Box<dyn KvCursor + 's>,
    seal: &'s Seal,
    /// The entry's value, where it was sealed.
    opened: Vec<u8>,
}

impl KvCursor for Cursor<'_> {
    fn advance(&mut self) -> Result<Option<KvEntry<'_>>, KvError> {
        let Some((key, value)) = self.inner.advance()? else { return Ok(None) };
        match self.seal.opened(key, value) {
            Some(opened) => {
                self.opened = opened;
                Ok(Some((key, &self.opened)))
            }
            None => Ok(Some((key, value))),
        }
    }
}

#[cfg(test)]
mod tests {
    use nipworker_protocol::Filter;

    use super::*;
    use crate::{
        EventStore, KvStore, MemoryKv, PageRequest, StoreError,
        conformance::{
            agree_with_the_naive_store,
            samples::{NOW, event, note},
        },
    };

    fn seal(key: u8) -> Seal {
        Seal::new(&[key; SEAL_KEY_BYTES], [4, 1_059])
    }

    /// Everything that the backend holds, one value after another.
    fn raw(kv: &MemoryKv) -> Vec<u8> {
        let snapshot = kv.snapshot().unwrap();
        let everything = KeyRange { start: Vec::new(), end: vec![u8::MAX; 64] };
        let mut cursor = snapshot.scan(everything, Direction::Forward).unwrap();
        let mut all = Vec::new();
        while let Some((_, value)) = cursor.advance().unwrap() {
            all.extend_from_slice(value);
        }
        all
    }

    fn holds(haystack: &[u8], needle: &str) -> bool {
        haystack.windows(needle.len()).any(|window| window == needle.as_bytes())
    }

    #[test]
    fn what_is_sensitive_is_not_readable_at_rest_and_is_given_back_whole() {
        let kv = MemoryKv::new();
        let store = KvStore::open_sealed(kv.clone(), seal(1)).unwrap();
        let secret = event(1, NOW, 4, &[&["subject", "whispered tag"]], "whispered content");
        let public = note(1, NOW - 1, "said aloud");
        store.put_batch(&[secret.clone(), public.clone()], NOW).unwrap();
        let at_rest = raw(&kv);
        assert!(!holds(&at_rest, "whispered"));
        assert!(holds(&at_rest, "said aloud"));
        for recent in [0, 1024 * 1024] {
            let store =
                KvStore::open_sealed(kv.clone(), seal(1)).unwrap().with_recent_bytes(recent);
            let page = store.query(&[Filter::new()], &PageRequest::default(), NOW).unwrap();
            assert_eq!(page.unpack(), [secret.clone(), public.clone()]);
            assert_eq!(store.get(&secret.id, NOW).unwrap(), Some(secret.pack()));
            assert!(store.check().unwrap().is_clean());
        }
    }

    #[test]
    fn a_sealed_store_needs_its_key_and_no_other_will_do() {
        let kv = MemoryKv::new();
        let store = KvStore::open_sealed(kv.clone(), seal(1)).unwrap();
        store.put_batch(&[event(1, NOW, 4, &[], "whispered")], NOW).unwrap();
        for (opened, expected) in [
            (KvStore::open(kv.clone()), "needs its key"),
            (KvStore::open_sealed(kv.clone(), seal(2)), "another key"),
        ] {
            let error = opened.err().unwrap();
            assert!(matches!(error, StoreError::SealKey { .. }), "{error:?}");
            assert!(error.to_string().contains(expected), "{error}");
            assert!(!error.is_transient());
        }
        // What is sealed does not depend on which kinds are sealed from now on.
        let fewer = Seal::new(&[1; SEAL_KEY_BYTES], []);
        let store = KvStore::open_sealed(kv, fewer).unwrap();
        assert_eq!(store.count(&[Filter::new().kinds([4])], NOW).unwrap(), 1);
        assert!(store.check().unwrap().is_clean());
    }

    #[test]
    fn a_store_from_before_it_was_sealed_goes_on_with_both() {
        let kv = MemoryKv::new();
        let before = event(1, NOW - 1, 4, &[], "before");
        KvStore::open(kv.clone()).unwrap().put_batch(std::slice::from_ref(&before), NOW).unwrap();
        let store = KvStore::open_sealed(kv.clone(), seal(1)).unwrap();
        let after = event(1, NOW, 4, &[], "afterwards");
        store.put_batch(std::slice::from_ref(&after), NOW).unwrap();
        let page = store.query(&[Filter::new()], &PageRequest::default(), NOW).unwrap();
        assert_eq!(page.unpack(), [after, before]);
        assert!(holds(&raw(&kv), "before") && !holds(&raw(&kv), "afterwards"));
    }

    #[test]
    fn a_sealed_row_that_was_changed_or_moved_is_refused() {
        let seal = seal(1);
        let sealed = seal.seal(b"Eplace", b"content");
        assert_eq!(seal.open(b"Eplace", &sealed).as_deref(), Some(&b"content"[..]));
        assert_eq!(seal.open(b"Eother", &sealed), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(seal.open(b"Eplace", &changed), None, "byte {at}");
        }
        for length in 0..sealed.len() {
            assert_eq!(seal.open(b"Eplace", &sealed[..length]), None, "{length} bytes");
        }
    }

    #[test]
    fn a_damaged_sealed_row_is_named_and_the_others_are_served() {
        let kv = MemoryKv::new();
        let store = KvStore::open_sealed(kv.clone(), seal(1)).unwrap();
        let secret = event(1, NOW, 4, &[], "whispered");
        store.put_batch(&[secret.clone(), note(1, NOW - 1, "aloud")], NOW).unwrap();
        let snapshot = kv.snapshot().unwrap();
        let mut cursor = snapshot.scan(KeyRange::prefix(&[EVENT_KEY]), Direction::Forward).unwrap();
        let (key, mut value) =
            cursor.advance().unwrap().map(|(key, value)| (key.to_vec(), value.to_vec())).unwrap();
        value[40] ^= 1;
        let mut batch = WriteBatch::new();
        batch.put(key, value);
        kv.commit(&batch).unwrap();
        let store = KvStore::open_sealed(kv.clone(), seal(1)).unwrap();
        let error = store.get(&secret.id, NOW).unwrap_err();
        assert!(error.to_string().contains(&secret.id.to_hex()), "{error}");
        assert!(!error.is_fatal());
        assert_eq!(store.count(&[Filter::new().kinds([1])], NOW).unwrap(), 1);
        let report = store.check().unwrap();
        assert!(report.problems.iter().any(|it| it.contains(&secret.id.to_hex())), "{report:?}");
    }

    #[test]
    fn a_sealed_store_agrees_with_its_naive_twin() {
        agree_with_the_naive_store(
            &|| -> Box<dyn EventStore> {
                let all = Seal::new(&[3; SEAL_KEY_BYTES], 0..=u16::MAX);
                Box::new(KvStore::open_sealed(MemoryKv::new(), all).unwrap())
            },
            60_000..60_300,
        );
    }
}
