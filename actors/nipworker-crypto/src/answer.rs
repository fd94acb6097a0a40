//! The domain's answers in the words of the edge.

use std::{fmt::Display, time::Duration};

use nipworker_schema::{
    CryptoEdge, DecryptedT, EncryptedT, FailureCode, PublicKeyIsT, SignAsT, SignedT, VerdictsT,
};
use nipworker_signer::{
    BatchError, Plaintext, SignerError,
    protocol::{Event, PublicKey, Tag, UnsignedEvent},
};

pub(crate) fn failed(code: FailureCode, reason: impl Display, transient: bool) -> CryptoEdge {
    CryptoEdge::failed(code, reason.to_string(), transient)
}

pub(crate) fn busy(what: &str, limit: usize) -> CryptoEdge {
    failed(FailureCode::Busy, format_args!("{limit} {what}, which is the limit"), true)
}

pub(crate) fn signer_too_slow(deadline: Duration) -> CryptoEdge {
    let seconds = deadline.as_secs_f64();
    failed(FailureCode::Timeout, format_args!("no answer of the signer in {seconds} s"), true)
}

pub(crate) fn verdicts(result: Result<Vec<bool>, BatchError>) -> CryptoEdge {
    match result {
        Ok(valid) => CryptoEdge::encode(VerdictsT { valid }),
        Err(error @ BatchError::TooManyJobs { .. }) => failed(FailureCode::Busy, error, true),
        Err(error @ BatchError::Closed) => failed(FailureCode::Closed, error, false),
        Err(error) => failed(FailureCode::Worker, error, true),
    }
}

fn signer_failed(error: SignerError) -> CryptoEdge {
    let transient = error.is_transient();
    failed(FailureCode::Signer, error, transient)
}

pub(crate) fn signed(result: Result<Event, SignerError>) -> CryptoEdge {
    match result {
        Ok(event) => CryptoEdge::encode(SignedT { event: event.into() }),
        Err(error) => signer_failed(error),
    }
}

/// What is to be signed, by `author`.
pub(crate) fn template(author: PublicKey, request: SignAsT) -> UnsignedEvent {
    let tags = request.tags.into_iter().map(|tag| Tag(tag.values)).collect();
    UnsignedEvent::new(author, request.created_at, request.kind, tags, request.content)
}

/// As [`signed`], but with codes that tell apart why there is no signature.
pub(crate) fn signed_as(result: Result<Event, SignerError>) -> CryptoEdge {
    let error = match result {
        Ok(event) => return CryptoEdge::encode(SignedT { event: event.into() }),
        Err(error) => error,
    };
    let code = match &error {
        SignerError::NoSigner | SignerError::WrongAuthor { .. } => FailureCode::NotFound,
        SignerError::Refused { .. } => FailureCode::Denied,
        _ => FailureCode::Signer,
    };
    let transient = error.is_transient();
    failed(code, error, transient)
}

pub(crate) fn public_key(result: Result<PublicKey, SignerError>) -> CryptoEdge {
    match result {
        Ok(key) => CryptoEdge::encode(PublicKeyIsT { pubkey: key.into() }),
        Err(error) => signer_failed(error),
    }
}

pub(crate) fn encrypted(result: Result<String, SignerError>) -> CryptoEdge {
    match result {
        Ok(payload) => CryptoEdge::encode(EncryptedT { payload }),
        Err(error) => signer_failed(error),
    }
}

pub(crate) fn decrypted(result: Result<Plaintext, SignerError>) -> CryptoEdge {
    match result {
        Ok(text) => CryptoEdge::encode(DecryptedT { plaintext: text.expose().to_owned() }),
        Err(error) => signer_failed(error),
    }
}

pub(crate) fn unknown_scheme() -> CryptoEdge {
    failed(FailureCode::Unsupported, "unknown way of encryption", false)
}
