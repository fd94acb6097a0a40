//! The engine inside this process, on the data folder.

use nipworker_core::{ClientConfig, FileSetting, NostrClient};

use crate::config::Config;

/// Starts the engine as configured.
///
/// # Errors
/// Why it cannot start, for a person.
pub(crate) async fn start(config: &Config) -> Result<NostrClient, String> {
    NostrClient::new(engine_config(config)).await.map_err(|error| error.to_string())
}

/// The engine's configuration, with the places of its files filled in from the data folder.
fn engine_config(config: &Config) -> ClientConfig {
    let mut engine = config.engine.clone();
    engine.store.path = config.data_dir().join(&engine.store.path);
    for file in [&mut engine.miner.checkpoint, &mut engine.outbox.file] {
        if let FileSetting::At(path) = file {
            *path = config.data_dir().join(&*path);
        }
    }
    engine
}
