//! Receives, calls the domain, answers.

use std::{convert::Infallible, time::Duration};

use nipworker_schema::{
    CipherScheme, CryptoEdge, CryptoMessageT, DecryptT, EncryptT, FailureCode, SignAsT, SignT,
    VerifyBatchT,
};
use nipworker_signer::{Plaintext, Scheme, SignedId, Signer, SignerSlot, Verifier};
use nipworker_supervision::prelude::*;
use tokio::time::timeout;

use crate::{answer, limit::Limit};

/// Messages that wait for the worker; who sends more waits.
pub const MAILBOX_CAPACITY: usize = 1_024;
/// How long one message may hold the worker's thread. Nothing in it computes there.
pub const HANG_LIMIT: Duration = Duration::from_secs(5);
/// Batches that are verified at once.
pub const MAX_VERIFY_BATCHES: usize = 256;
/// Requests that wait for the signer at once.
pub const MAX_SIGNER_REQUESTS: usize = 64;
/// Default time that a signer has for an answer.
pub const DEFAULT_SIGNER_DEADLINE: Duration = Duration::from_secs(30);

/// What the worker is given. It outlives every incarnation.
#[derive(Clone, Debug)]
pub struct CryptoParts {
    /// Threads that verify.
    pub verifier: Verifier,
    /// The signer in use.
    pub signer: SignerSlot,
    /// How long a signer may take for one answer.
    pub signer_deadline: Duration,
}

impl CryptoParts {
    /// Parts with the default deadline.
    pub fn new(verifier: Verifier, signer: SignerSlot) -> Self {
        Self { verifier, signer, signer_deadline: DEFAULT_SIGNER_DEADLINE }
    }
}

/// The worker that verifies, signs, encrypts and decrypts. It keeps nothing of its own.
pub struct CryptoActor {
    parts: CryptoParts,
    batches: Limit,
    requests: Limit,
}

impl CryptoActor {
    /// An incarnation of the worker.
    pub fn new(parts: CryptoParts) -> Self {
        Self {
            parts,
            batches: Limit::new(MAX_VERIFY_BATCHES),
            requests: Limit::new(MAX_SIGNER_REQUESTS),
        }
    }

    /// An address with this worker's mailbox.
    pub fn address() -> Address<Self> {
        let config = MailboxConfig { capacity: MAILBOX_CAPACITY, ..MailboxConfig::default() };
        Address::new("crypto", config)
    }

    /// The worker as a child of a supervisor: started again whenever it ends.
    pub fn child(address: Address<Self>, parts: CryptoParts) -> ChildSpec {
        ChildSpec::new(address, move |_: &StartContext| {
            Ok::<_, Infallible>(Self::new(parts.clone()))
        })
        .hang_limit(HANG_LIMIT)
    }

    fn verify(&self, batch: VerifyBatchT) -> ResponseFuture<CryptoEdge> {
        let Some(permit) = self.batches.enter() else {
            return now(answer::busy("batches are being verified", MAX_VERIFY_BATCHES));
        };
        let items = batch.items.into_iter().map(|item| SignedId {
            id: item.id.into(),
            pubkey: item.pubkey.into(),
            sig: item.sig.into(),
        });
        let verdicts = self.parts.verifier.verify(items.collect());
        Box::pin(async move {
            let answer = answer::verdicts(verdicts.await);
            drop(permit);
            answer
        })
    }

    fn sign(&self, request: SignT) -> ResponseFuture<CryptoEdge> {
        self.ask_signer(|signer| async move {
            answer::signed(signer.sign(request.template.into()).await)
        })
    }

    /// By the key that is named, or by the default signer's.
    fn sign_as(&self, request: SignAsT) -> ResponseFuture<CryptoEdge> {
        self.ask_signer(|signer| async move {
            let key = request.pubkey.as_ref().map(Into::into);
            let key = match key {
                Some(key) => Ok(key),
                None => signer.public_key().await,
            };
            match key {
                Ok(key) => answer::signed_as(signer.sign(answer::template(key, request)).await),
                Err(error) => answer::signed_as(Err(error)),
            }
        })
    }

    fn public_key(&self) -> ResponseFuture<CryptoEdge> {
        self.ask_signer(|signer| async move { answer::public_key(signer.public_key().await) })
    }

    fn encrypt(&self, request: EncryptT) -> ResponseFuture<CryptoEdge> {
        let EncryptT { scheme, peer, plaintext } = request;
        let plaintext = Plaintext::new(plaintext);
        let Some(scheme) = scheme_of(scheme) else { return now(answer::unknown_scheme()) };
        self.ask_signer(move |signer| async move {
            answer::encrypted(signer.encrypt(scheme, peer.into(), plaintext).await)
        })
    }

    fn decrypt(&self, request: DecryptT) -> ResponseFuture<CryptoEdge> {
        let DecryptT { scheme, peer, payload } = request;
        let Some(scheme) = scheme_of(scheme) else { return now(answer::unknown_scheme()) };
        self.ask_signer(move |signer| async move {
            answer::decrypted(signer.decrypt(scheme, peer.into(), payload).await)
        })
    }

    fn ask_signer<F>(&self, ask: impl FnOnce(SignerSlot) -> F) -> ResponseFuture<CryptoEdge>
    where
        F: Future<Output = CryptoEdge> + 'static,
    {
        let Some(permit) = self.requests.enter() else {
            return now(answer::busy("requests wait for the signer", MAX_SIGNER_REQUESTS));
        };
        let deadline = self.parts.signer_deadline;
        let asked = timeout(deadline, ask(self.parts.signer.clone()));
        Box::pin(async move {
            let answer = asked.await.unwrap_or_else(|_| answer::signer_too_slow(deadline));
            drop(permit);
            answer
        })
    }
}

fn scheme_of(scheme: CipherScheme) -> Option<Scheme> {
    match scheme {
        CipherScheme::Nip44 => Some(Scheme::Nip44),
        CipherScheme::Nip04 => Some(Scheme::Nip04),
        _ => None,
    }
}

fn now(answer: CryptoEdge) -> ResponseFuture<CryptoEdge> {
    Box::pin(std::future::ready(answer))
}

impl Actor for CryptoActor {
    type Context = Context<Self>;
}

impl Handler<CryptoEdge> for CryptoActor {
    type Result = ResponseFuture<CryptoEdge>;

    fn handle(&mut self, message: CryptoEdge, _: &mut Context<Self>) -> Self::Result {
        match message.decode() {
            Ok(CryptoMessageT::VerifyBatch(batch)) => self.verify(*batch),
            Ok(CryptoMessageT::Sign(request)) => self.sign(*request),
            Ok(CryptoMessageT::SignAs(request)) => self.sign_as(*request),
            Ok(CryptoMessageT::GetPublicKey(_)) => self.public_key(),
            Ok(CryptoMessageT::Encrypt(request)) => self.encrypt(*request),
            Ok(CryptoMessageT::Decrypt(request)) => self.decrypt(*request),
            Ok(_) => now(answer::failed(FailureCode::Unsupported, "not a request", false)),
            Err(error) => now(answer::failed(FailureCode::Invalid, error, false)),
        }
    }
}
