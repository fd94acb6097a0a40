//! Private content through the whole engine: what is opened, what is refused, and that nothing of
//! it is ever written down.
#![allow(clippy::unwrap_used)]

mod common;

use std::{
    io,
    sync::{Arc, Mutex},
};

use common::{TIME, sign_in};
use futures::StreamExt;
use nipworker_core::{
    ClientConfig, ClientError, NostrClient, PrivateKeySigner, Signer, SignerFuture, StoreBackend,
    SubscriptionEvent,
    protocol::{Event, Filter, PublicKey, Signature, UnsignedEvent},
    signer::{
        Plaintext, Scheme,
        private::{self, OpenError},
    },
};

/// What the engine writes, from its first line on. The other tests of this file write into it too.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn catch() -> Self {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
        log
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

/// RUSTSEC-2026-0225: secrets stood in `Debug` texts. An earlier engine logged decrypted wallets
/// and whole ciphertexts when they could not be read.
#[tokio::test]
async fn neither_logs_nor_debug_texts_nor_errors_hold_a_key_a_text_or_a_ciphertext() {
    const TEXT: &str = "the-words-that-nobody-shall-see";
    let log = Log::catch();
    tracing::info!("the log is caught");
    let client = NostrClient::builder().build().await.unwrap();
    let nsec_free = PrivateKeySigner::generate().unwrap();
    let shown = format!("{nsec_free:?}");
    client.set_signer(Some(Arc::new(nsec_free.clone())));
    let bob = PrivateKeySigner::generate().unwrap();

    let mut ciphertexts = Vec::new();
    let mut debug = shown;
    for scheme in [Scheme::Nip44, Scheme::Nip04] {
        let plaintext = Plaintext::new(TEXT);
        debug += &format!("{plaintext:?}");
        let payload = client.encrypt(scheme, bob.key(), plaintext).await.unwrap();
        let read = client.decrypt(scheme, bob.key(), &payload).await.unwrap();
        assert_eq!(read.expose(), TEXT);
        debug += &format!("{read:?}");

        // Garbage of each sort: of another pair of keys, cut, changed, and no payload at all.
        let stranger = PrivateKeySigner::generate().unwrap().key();
        let cut = &payload[..payload.len() - 4];
        let changed = payload.replacen(&payload[40..44], "AAAA", 1);
        for (peer, payload) in [
            (stranger, payload.as_str()),
            (bob.key(), cut),
            (bob.key(), &changed),
            (bob.key(), TEXT),
        ] {
            if let Err(error) = client.decrypt(scheme, peer, payload).await {
                assert!(matches!(error, ClientError::Signer(_)), "{error:?}");
                debug += &format!("{error:?} {error}");
            }
        }
        ciphertexts.push(payload);
    }

    let me = client.public_key().await.unwrap();
    let rumor = private::chat_message(me, &[bob.key()], TEXT, TIME);
    for wrap in client.wrap(&rumor, TIME).await.unwrap() {
        ciphertexts.push(wrap.event.content.clone());
        let mut forged = wrap.event.clone();
        forged.sig = Signature::from_bytes([1; 64]);
        match client.open_wrap(wrap.event).await {
            Ok(opened) => {
                assert_eq!(opened.rumor().content, TEXT);
                debug += &format!("{opened:?}");
            }
            Err(error) => {
                assert_eq!(error, ClientError::Open(OpenError::NotForUs));
                debug += &format!("{error:?} {error}");
            }
        }
        debug += &format!("{:?}", client.open_wrap(forged).await.unwrap_err());
    }
    debug += &format!("{client:?}{:?}", client.status());
    client.close().await;

    let log = log.text();
    assert!(log.contains("the log is caught"), "nothing was caught");
    for (where_, text) in [("log", &log), ("debug text", &debug)] {
        assert!(!text.contains(TEXT), "the {where_} holds a text");
        for ciphertext in &ciphertexts {
            // The first bytes of all are the same; the middle is not.
            let middle = &ciphertext[20..44];
            assert!(!text.contains(middle), "the {where_} holds a ciphertext");
        }
    }
}

#[tokio::test]
async fn a_chat_message_goes_from_one_engine_to_another() {
    let [alice, bob] = [NostrClient::builder(), NostrClient::builder()];
    let (alice, bob) = (alice.build().await.unwrap(), bob.build().await.unwrap());
    let (alice_key, bob_key) = (sign_in(&alice).await, sign_in(&bob).await);
    let rumor = private::chat_message(alice_key, &[bob_key], "hello", TIME);
    let wraps = alice.wrap(&rumor, TIME).await.unwrap();
    assert_eq!(wraps.len(), 2);
    for wrap in wraps {
        let reader = if wrap.recipient == bob_key { &bob } else { &alice };
        let opened = reader.open_wrap(wrap.event).await.unwrap();
        assert_eq!((opened.sender(), opened.rumor()), (alice_key, &rumor));
    }
    alice.close().await;
    bob.close().await;
}

/// An earlier engine remembered a decryption that failed in passing as an empty text, and kept no
/// ciphertext to try again with. Here the signed event is kept as it came and nothing else.
#[tokio::test]
async fn a_decryption_that_failed_once_succeeds_later_and_the_store_holds_the_ciphertext_only() {
    const TEXT: &str = "words-for-bob-alone";
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.redb");
    let mut config = ClientConfig::default();
    config.store.backend = StoreBackend::Redb;
    config.store.path = path.clone();
    let client = NostrClient::new(config).await.unwrap();
    let [alice, bob] = [0; 2].map(|_| PrivateKeySigner::generate().unwrap());

    client.set_signer(Some(Arc::new(alice.clone())));
    let rumor = private::chat_message(alice.key(), &[bob.key()], TEXT, TIME);
    let wraps = client.wrap(&rumor, TIME).await.unwrap();
    let wrap = wraps.into_iter().find(|wrap| wrap.recipient == bob.key()).unwrap().event;
    assert!(client.publish(wrap.clone()).await.unwrap().outcome.status.is_accepted());

    for signer in [None, Some(Arc::new(alice) as Arc<dyn Signer>)] {
        client.set_signer(signer);
        assert!(matches!(client.open_wrap(wrap.clone()).await, Err(ClientError::Open(_))));
    }
    client.set_signer(Some(Arc::new(bob)));
    let stored = vec![Filter::new().ids([wrap.id])];
    let mut found = client.query(stored).await.unwrap();
    let event = loop {
        match found.next().await.unwrap() {
            SubscriptionEvent::Event { event, .. } => break event,
            _ => continue,
        }
    };
    assert_eq!(Event::clone(&event), wrap);
    let opened = client.open_wrap(Event::clone(&event)).await.unwrap();
    assert_eq!(opened.rumor().content, TEXT);

    client.close().await;
    let file = std::fs::read(path).unwrap();
    let holds = |text: &str| file.windows(text.len()).any(|bytes| bytes == text.as_bytes());
    assert!(holds(&wrap.content), "the ciphertext is stored");
    assert!(!holds(TEXT), "the text is not");
}

#[tokio::test]
async fn without_a_signer_or_with_one_that_only_signs_private_requests_fail_with_the_reason() {
    /// Signs, and knows no more.
    struct OnlySigns(PrivateKeySigner);

    impl Signer for OnlySigns {
        fn public_key(&self) -> SignerFuture<'_, PublicKey> {
            self.0.public_key()
        }

        fn sign(&self, template: UnsignedEvent) -> SignerFuture<'_, Event> {
            self.0.sign(template)
        }
    }

    let client = NostrClient::builder().build().await.unwrap();
    let bob = PrivateKeySigner::generate().unwrap().key();
    let ask = || client.encrypt(Scheme::Nip44, bob, Plaintext::new("x"));
    let error = ask().await.unwrap_err();
    assert_eq!(error, ClientError::Signer("there is no signer".to_owned()));
    let signer = PrivateKeySigner::generate().unwrap();
    let rumor = private::chat_message(signer.key(), &[bob], "x", TIME);
    client.set_signer(Some(Arc::new(OnlySigns(signer))));
    let error = ask().await.unwrap_err();
    let words = "the signer does not encrypt or decrypt";
    assert_eq!(error, ClientError::Signer(words.to_owned()));
    let error = client.wrap(&rumor, TIME).await.unwrap_err();
    assert!(matches!(error, ClientError::Wrap(_)), "{error:?}");
    assert!(error.to_string().contains(words), "{error}");
    client.close().await;
}
