//! Private content: encryption by the signer, gift wraps, chat messages.
//!
//! Every request goes to the crypto worker, which gives the signer a deadline for each. What is
//! decrypted travels between the workers in memory only and is never stored.

use nipworker_protocol::{Event, PublicKey, UnsignedEvent};
use nipworker_schema::{CipherScheme, CryptoEdge, CryptoMessageT, DecryptT, EncryptT};
use nipworker_signer::{
    Plaintext, Scheme, Signer, SignerError, SignerFuture,
    private::{self, Opened, Wrapped},
};

use crate::{
    ClientError, NostrClient,
    wire::{ask_crypto, expect_answer},
};

impl NostrClient {
    /// Encrypts a text by the signer, for the owner of `peer`.
    ///
    /// # Errors
    /// [`ClientError::Signer`] when there is no signer, it refuses, or the text cannot be
    /// encrypted; [`ClientError::Timeout`] when it does not answer in time.
    pub async fn encrypt(
        &self,
        scheme: Scheme,
        peer: PublicKey,
        plaintext: Plaintext,
    ) -> Result<String, ClientError> {
        let request = CryptoEdge::encode(EncryptT {
            scheme: wire(scheme),
            peer: peer.into(),
            plaintext: plaintext.expose().to_owned(),
        });
        let answer = ask_crypto(self.crypto(), request).await?;
        Ok(expect_answer!(answer, CryptoMessageT::Encrypted)?.payload)
    }

    /// Decrypts by the signer what the owner of `peer` encrypted for its key, or it for `peer`.
    ///
    /// # Errors
    /// As [`encrypt`](Self::encrypt).
    pub async fn decrypt(
        &self,
        scheme: Scheme,
        peer: PublicKey,
        payload: &str,
    ) -> Result<Plaintext, ClientError> {
        let request = CryptoEdge::encode(DecryptT {
            scheme: wire(scheme),
            peer: peer.into(),
            payload: payload.to_owned(),
        });
        let answer = ask_crypto(self.crypto(), request).await?;
        Ok(Plaintext::new(expect_answer!(answer, CryptoMessageT::Decrypted)?.plaintext))
    }

    /// Wraps a rumor for everybody whom its `p` tags name and for its author (NIP-17, NIP-59). Each
    /// wrap is to be published at the relays where its recipient reads. `now` is in unix seconds.
    ///
    /// ```no_run
    /// # async fn run(client: nipworker_core::NostrClient, bob: nipworker_core::protocol::PublicKey)
    /// # -> Result<(), Box<dyn std::error::Error>> {
    /// use nipworker_core::signer::private;
    ///
    /// let now = 1_700_000_000;
    /// let rumor = private::chat_message(client.public_key().await?, &[bob], "hello", now);
    /// for wrap in client.wrap(&rumor, now).await? {
    ///     client.publish(wrap.event).await?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientError::Wrap`].
    pub async fn wrap(&self, rumor: &UnsignedEvent, now: i64) -> Result<Vec<Wrapped>, ClientError> {
        Ok(private::wrap_for_all(&ByWorker(self.clone()), rumor, now).await?)
    }

    /// Opens a gift wrap that is for the signer's key (NIP-59). The author of what is inside is
    /// proven by the seal's signature.
    ///
    /// # Errors
    /// [`ClientError::Open`], with what is wrong with the wrap, the seal or the rumor.
    pub async fn open_wrap(&self, wrap: Event) -> Result<Opened, ClientError> {
        Ok(private::open(&ByWorker(self.clone()), wrap).await?)
    }
}

fn wire(scheme: Scheme) -> CipherScheme {
    match scheme {
        Scheme::Nip44 => CipherScheme::Nip44,
        Scheme::Nip04 => CipherScheme::Nip04,
    }
}

/// The signer as the crypto worker answers for it.
struct ByWorker(NostrClient);

/// What the worker says about the signer, in the signer's words.
fn by_worker<T>(answer: Result<T, ClientError>) -> Result<T, SignerError> {
    answer.map_err(|error| {
        let reason = error.to_string();
        if error.is_transient() {
            SignerError::Unavailable { reason }
        } else {
            SignerError::Refused { reason }
        }
    })
}

impl Signer for ByWorker {
    fn public_key(&self) -> SignerFuture<'_, PublicKey> {
        Box::pin(async { by_worker(self.0.public_key().await) })
    }

    fn sign(&self, template: UnsignedEvent) -> SignerFuture<'_, Event> {
        Box::pin(async { by_worker(self.0.sign(template).await) })
    }

    fn encrypt(
        &self,
        scheme: Scheme,
        peer: PublicKey,
        plaintext: Plaintext,
    ) -> SignerFuture<'_, String> {
        Box::pin(async move { by_worker(self.0.encrypt(scheme, peer, plaintext).await) })
    }

    fn decrypt(
        &self,
        scheme: Scheme,
        peer: PublicKey,
        payload: String,
    ) -> SignerFuture<'_, Plaintext> {
        Box::pin(async move { by_worker(self.0.decrypt(scheme, peer, &payload).await) })
    }
}
