//! Opening the store that the configuration names.

use std::{path::Path, sync::Arc};

use nipworker_store::{EventStore, KvStore, MemoryKv, OpenError, SizeLimit, set_aside};

use crate::{StartError, StoreBackend, StoreConfig};

/// Opens a store as a client does, without a client: to check it, to compact it, to read it. Nobody
/// else can have it open meanwhile.
///
/// # Errors
/// [`StartError::Store`]: it is in use, cannot be read or written, is damaged, or is of a kind that
/// this build does not have. With `set_aside_damaged` a damaged one is renamed, and a fresh one
/// begun.
pub fn open_store(config: &StoreConfig) -> Result<Arc<dyn EventStore>, StartError> {
    let store = match config.backend {
        StoreBackend::Memory => KvStore::open(MemoryKv::new()).map_err(told)?,
        StoreBackend::Redb => open_redb(config)?,
        StoreBackend::Sled => open_sled(config)?,
    };
    let own_urls = config.own_urls.iter().map(ToString::to_string).collect();
    let mut store = store.with_row_cache_bytes(config.row_cache_bytes).with_own_urls(own_urls);
    if config.max_bytes > 0 {
        let pinned = config.pinned_authors.iter().copied().collect();
        let limit = SizeLimit { max_bytes: config.max_bytes, pinned };
        store = store.with_size_limit(limit).map_err(told)?;
    }
    Ok(Arc::new(store))
}

#[cfg(feature = "redb")]
fn open_redb(config: &StoreConfig) -> Result<KvStore, StartError> {
    use nipworker_store_redb::{RedbOptions, open_store};

    on_disk(config, |path| open_store(path, RedbOptions { cache_bytes: config.cache_bytes }))
}

#[cfg(feature = "sled")]
fn open_sled(config: &StoreConfig) -> Result<KvStore, StartError> {
    use nipworker_store_sled::{SledOptions, open_store};

    on_disk(config, |path| {
        open_store(
            path,
            SledOptions { cache_bytes: config.cache_bytes as u64, ..SledOptions::default() },
        )
    })
}

/// Sets a damaged store aside if that is wanted.
#[cfg(any(feature = "redb", feature = "sled"))]
fn on_disk(
    config: &StoreConfig,
    open: impl Fn(&Path) -> Result<KvStore, OpenError>,
) -> Result<KvStore, StartError> {
    let path = config.place();
    match open(&path) {
        Err(error) if config.set_aside_damaged && error.may_be_set_aside() => {
            let moved = set_aside(&path, crate::clock::system()()).map_err(told)?;
            tracing::error!(
                cause = %error,
                moved_to = %moved.to.display(),
                "the store was damaged and has been set aside; a fresh one is begun"
            );
            open(&path).map_err(told)
        }
        opened => opened.map_err(told),
    }
}

#[cfg(not(feature = "redb"))]
fn open_redb(_: &StoreConfig) -> Result<KvStore, StartError> {
    Err(not_in_this_build(StoreBackend::Redb))
}

#[cfg(not(feature = "sled"))]
fn open_sled(_: &StoreConfig) -> Result<KvStore, StartError> {
    Err(not_in_this_build(StoreBackend::Sled))
}

#[cfg(not(all(feature = "redb", feature = "sled")))]
fn not_in_this_build(backend: StoreBackend) -> StartError {
    let name = backend.name();
    StartError::Store(format!("this build has no {name} store (feature `{name}`)"))
}

fn told(error: impl std::fmt::Display) -> StartError {
    StartError::Store(error.to_string())
}
