//! Secret keys that come in as text.

use nipworker_core::protocol::PublicKey;
use nipworker_signer::{KeyError, PrivateKeySigner};

use crate::config::Secret;

/// The signer of a configured key.
pub(crate) fn signer(secret: &Secret) -> Result<PrivateKeySigner, String> {
    PrivateKeySigner::parse(secret.reveal()).map_err(|error| explain(&error))
}

/// The signer of a configured further key.
pub(crate) fn further_signer(secret: &Secret) -> Result<PrivateKeySigner, String> {
    PrivateKeySigner::parse(secret.reveal())
        .map_err(|error| format!("a key of signer.further_key_files cannot be used: {error}"))
}

/// The public half of a configured key.
pub(crate) fn public_key_of(secret: &Secret) -> Result<PublicKey, String> {
    signer(secret).map(|signer| signer.key())
}

fn explain(error: &KeyError) -> String {
    format!("the secret key (signer.key_file or NIPWORKER_SIGNER__KEY) cannot be used: {error}")
}
