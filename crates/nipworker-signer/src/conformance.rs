//! What every [`Signer`] must do. An implementation calls [`run`] in its tests.

use std::sync::Arc;

use nipworker_protocol::{PublicKey, Tag, UnsignedEvent};

use crate::{Plaintext, PrivateKeySigner, Scheme, Signer, SignerError, verify_event};

/// Runs the suite against `signer`, which must be willing and able to sign.
///
/// # Panics
/// When the signer does not conform; the message says in what.
pub async fn run(signer: Arc<dyn Signer>) {
    says_the_same_key_each_time(&*signer).await;
    signs_the_template_as_it_stands(&*signer).await;
    refuses_to_sign_for_another_key(&*signer).await;
    bears_dropped_requests(&*signer).await;
    answers_many_requests_at_once(&*signer).await;
    talks_to_another_signer_in_both_directions(&*signer).await;
}

async fn key_of(signer: &dyn Signer) -> PublicKey {
    match signer.public_key().await {
        Ok(key) => key,
        Err(error) => panic!("a signer says its public key, it said: {error}"),
    }
}

fn templates(author: PublicKey) -> Vec<UnsignedEvent> {
    let odd = "quote \" backslash \\ newline \n tab \t bell \u{7} delete \u{7f} é 漢字 😀 \u{2028}";
    vec![
        UnsignedEvent::new(author, 0, 0, vec![], ""),
        UnsignedEvent::new(author, 1_700_000_000, 1, vec![], "plain"),
        UnsignedEvent::new(author, -1, u16::MAX, vec![Tag::new([odd, "", odd])], odd),
        UnsignedEvent::new(author, i64::MAX, 30_023, vec![Tag::default()], "x".repeat(100_000)),
    ]
}

async fn says_the_same_key_each_time(signer: &dyn Signer) {
    assert_eq!(key_of(signer).await, key_of(signer).await, "the key must not change");
}

async fn signs_the_template_as_it_stands(signer: &dyn Signer) {
    for template in templates(key_of(signer).await) {
        let event = match signer.sign(template.clone()).await {
            Ok(event) => event,
            Err(error) => panic!("a template of its own key is signed, it said: {error}"),
        };
        assert_eq!(UnsignedEvent::from(event.clone()), template, "the template must not change");
        assert!(verify_event(event).is_ok(), "id and signature must be right");
    }
}

async fn refuses_to_sign_for_another_key(signer: &dyn Signer) {
    let mut other = *key_of(signer).await.as_bytes();
    other[31] ^= 1;
    let template = UnsignedEvent::new(PublicKey::from_bytes(other), 1, 1, vec![], "");
    match signer.sign(template).await {
        Err(SignerError::WrongAuthor { .. } | SignerError::Refused { .. }) => {}
        answer => panic!("a template of another key is refused, it answered: {answer:?}"),
    }
}

async fn bears_dropped_requests(signer: &dyn Signer) {
    let author = key_of(signer).await;
    for _ in 0..8 {
        drop(signer.public_key());
        drop(signer.sign(UnsignedEvent::new(author, 1, 1, vec![], "dropped")));
    }
    assert_eq!(key_of(signer).await, author, "it answers after requests were dropped");
}

async fn answers_many_requests_at_once(signer: &dyn Signer) {
    let author = key_of(signer).await;
    let wanted: Vec<_> =
        (0..32).map(|n| UnsignedEvent::new(author, n, 1, vec![], format!("number {n}"))).collect();
    let signed =
        futures::future::join_all(wanted.iter().cloned().map(|template| signer.sign(template)))
            .await;
    for (template, event) in wanted.into_iter().zip(signed) {
        match event {
            Ok(event) => assert_eq!(UnsignedEvent::from(event), template, "answers are mixed up"),
            Err(error) => panic!("concurrent requests are all answered, one said: {error}"),
        }
    }
}

/// A signer that encrypts does so as the one in memory does; one that does not says so each time.
async fn talks_to_another_signer_in_both_directions(signer: &dyn Signer) {
    let mine = key_of(signer).await;
    let other = match PrivateKeySigner::generate() {
        Ok(other) => other,
        Err(error) => panic!("the system has random bytes, it said: {error}"),
    };
    let text = || Plaintext::new("text \" \n é 漢字 😀");
    for scheme in [Scheme::Nip44, Scheme::Nip04] {
        let payload = match signer.encrypt(scheme, other.key(), text()).await {
            Ok(payload) => payload,
            Err(SignerError::Unsupported) => {
                let answer = signer.decrypt(scheme, other.key(), String::new()).await;
                assert_eq!(answer, Err(SignerError::Unsupported), "{scheme:?}");
                continue;
            }
            Err(error) => panic!("a text is encrypted, it said: {error}"),
        };
        assert_ne!(payload, text().expose());
        assert_eq!(other.decrypt(scheme, mine, payload.clone()).await, Ok(text()), "{scheme:?}");
        let own = signer.decrypt(scheme, other.key(), payload).await;
        assert_eq!(own, Ok(text()), "the sender reads its own text, {scheme:?}");
        let Ok(payload) = other.encrypt(scheme, mine, text()).await else {
            panic!("the signer in memory encrypts");
        };
        assert_eq!(signer.decrypt(scheme, other.key(), payload).await, Ok(text()), "{scheme:?}");
        let garbage = signer.decrypt(scheme, other.key(), "garbage".to_owned()).await;
        assert!(matches!(garbage, Err(SignerError::Cipher(_))), "{garbage:?}");
    }
}
