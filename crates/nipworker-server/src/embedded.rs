//! The engine inside this process, on the data folder.

use std::sync::Arc;

use nipworker_core::{ClientConfig, FileSetting, NostrClient, PrivateKeySigner};

use crate::config::Config;

/// Starts the engine as configured.
///
/// # Errors
/// Why it cannot start, for a person.
pub(crate) async fn start(config: &Config, signers: Signers) -> Result<NostrClient, String> {
    let mut builder = NostrClient::builder().config(engine_config(config));
    if let Some(signer) = signers.default {
        builder = builder.signer(Arc::new(signer));
    }
    for signer in signers.further {
        builder = builder.key(signer.key(), Arc::new(signer));
    }
    builder.build().await.map_err(|error| error.to_string())
}

/// Who signs.
#[derive(Default)]
pub(crate) struct Signers {
    /// What no other key is named for.
    pub(crate) default: Option<PrivateKeySigner>,
    /// By their keys.
    pub(crate) further: Vec<PrivateKeySigner>,
}

/// The engine's configuration, with the places of its files filled in from the data folder.
pub(crate) fn engine_config(config: &Config) -> ClientConfig {
    let mut engine = config.engine.clone();
    engine.store.path = config.data_dir().join(engine.store.place());
    for file in [&mut engine.store.seal_key_file, &mut engine.store.password_file] {
        if !file.as_os_str().is_empty() {
            *file = config.data_dir().join(&*file);
        }
    }
    for file in [&mut engine.miner.checkpoint, &mut engine.outbox.file] {
        if let FileSetting::At(path) = file {
            *path = config.data_dir().join(&*path);
        }
    }
    engine
}
