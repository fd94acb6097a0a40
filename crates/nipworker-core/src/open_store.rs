//! Opening the store that the configuration names.

use std::{path::Path, sync::Arc};

use nipworker_store::{EventStore, KvStore, MemoryKv, OpenError, SizeLimit, set_aside};

use crate::{StartError, StoreBackend, StoreConfig};

type Opened = Result<Arc<dyn EventStore>, StartError>;

/// Opens a store as a client does, without a client: to check it, to compact it, to read it. Nobody
/// else can have an embedded one open meanwhile.
///
/// # Errors
/// [`StartError::Store`]: it is in use, cannot be read, written or reached, is damaged, or is of a kind
/// that this build does not have. With `set_aside_damaged` a damaged one is renamed, and a fresh one
/// begun. [`StartError::Config`]: the file of its password or key cannot be read.
pub fn open_store(config: &StoreConfig) -> Opened {
    match config.backend {
        StoreBackend::Memory => key_value(config, KvStore::open(MemoryKv::new()).map_err(told)?),
        StoreBackend::Redb => open_redb(config),
        StoreBackend::Sled => open_sled(config),
        StoreBackend::Sqlite => open_sqlite(config),
        StoreBackend::Postgres => open_postgres(config),
    }
}

/// What the configuration says of every store of this family.
fn key_value(config: &StoreConfig, store: KvStore) -> Opened {
    let store = store
        .with_row_cache_bytes(config.row_cache_bytes)
        .with_recent_bytes(config.recent_bytes)
        .with_own_urls(own_urls(config));
    let store = match config.kept_filters.is_empty() {
        true => store,
        false => store.with_kept_sets(config.kept_filters.clone()).map_err(told)?,
    };
    Ok(Arc::new(match size_limit(config) {
        Some(limit) => store.with_size_limit(limit).map_err(told)?,
        None => store,
    }))
}

fn own_urls(config: &StoreConfig) -> Vec<String> {
    config.own_urls.iter().map(ToString::to_string).collect()
}

fn size_limit(config: &StoreConfig) -> Option<SizeLimit> {
    let pinned = config.pinned_authors.iter().copied().collect();
    (config.max_bytes > 0).then_some(SizeLimit { max_bytes: config.max_bytes, pinned })
}

#[cfg(feature = "redb")]
fn open_redb(config: &StoreConfig) -> Opened {
    use nipworker_store_redb::{RedbKv, RedbOptions};

    let seal = seal(config)?;
    let open = |path: &Path| {
        let kv = RedbKv::open(path, RedbOptions { cache_bytes: config.cache_bytes })?;
        over(path, kv, seal.clone())
    };
    key_value(config, on_disk(config, open)?)
}

#[cfg(feature = "sled")]
fn open_sled(config: &StoreConfig) -> Opened {
    use nipworker_store_sled::{SledKv, SledOptions};

    let seal = seal(config)?;
    let cache_bytes = config.cache_bytes as u64;
    let open = |path: &Path| {
        let kv = SledKv::open(path, SledOptions { cache_bytes, ..SledOptions::default() })?;
        over(path, kv, seal.clone())
    };
    key_value(config, on_disk(config, open)?)
}

/// The store in a backend that is open.
#[cfg(any(feature = "redb", feature = "sled"))]
fn over(
    path: &Path,
    kv: impl nipworker_store::OrderedKv + 'static,
    seal: Option<nipworker_store::Seal>,
) -> Result<KvStore, OpenError> {
    let store = match seal {
        Some(seal) => KvStore::open_sealed(kv, seal),
        None => KvStore::open(kv),
    };
    store.map_err(|error| OpenError::from_store(path, error))
}

/// What is encrypted at rest, and by which key; its file is read here.
#[cfg(any(feature = "redb", feature = "sled"))]
fn seal(config: &StoreConfig) -> Result<Option<nipworker_store::Seal>, StartError> {
    use nipworker_store::{SEAL_KEY_BYTES, Seal};
    use zeroize::Zeroizing;

    let file = &config.seal_key_file;
    if file.as_os_str().is_empty() {
        return Ok(None);
    }
    let wrong = |problem: String| StartError::Config {
        key: "store.seal_key_file".to_owned(),
        problem: format!("{}: {problem}", file.display()),
    };
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    let text = Zeroizing::new(text);
    let mut key = Zeroizing::new([0; SEAL_KEY_BYTES]);
    if hex::decode_to_slice(text.trim(), &mut *key).is_err() {
        return Err(wrong(format!("is not {} hexadecimal digits", 2 * SEAL_KEY_BYTES)));
    }
    Ok(Some(Seal::new(&key, config.sealed_kinds.iter().copied())))
}

#[cfg(feature = "sqlite")]
fn open_sqlite(config: &StoreConfig) -> Opened {
    use nipworker_store_sql::SqlStore;

    let options = sql_options(config);
    Ok(Arc::new(on_disk(config, |path| SqlStore::open_sqlite(path, options.clone()))?))
}

#[cfg(feature = "postgres")]
fn open_postgres(config: &StoreConfig) -> Opened {
    use nipworker_store_sql::SqlStore;
    use zeroize::Zeroizing;

    let password = match config.password_file.as_os_str().is_empty() {
        true => None,
        false => Some(Zeroizing::new(std::fs::read_to_string(&config.password_file).map_err(
            |error| StartError::Config {
                key: "store.password_file".to_owned(),
                problem: format!("{}: {error}", config.password_file.display()),
            },
        )?)),
    };
    let password = password.as_ref().map(|text| text.trim_end_matches(['\r', '\n']));
    let store = SqlStore::open_postgres(&config.url, password, sql_options(config));
    Ok(Arc::new(store.map_err(told)?))
}

#[cfg(any(feature = "sqlite", feature = "postgres"))]
fn sql_options(config: &StoreConfig) -> nipworker_store_sql::SqlOptions {
    nipworker_store_sql::SqlOptions {
        // One for each reader, one that writes, and one for the figures of a status.
        connections: config.readers() as u32 + 2,
        cache_bytes: config.cache_bytes,
        own_urls: own_urls(config),
        limit: size_limit(config),
    }
}

/// Sets a damaged store aside if that is wanted.
#[cfg(any(feature = "redb", feature = "sled", feature = "sqlite"))]
fn on_disk<S>(
    config: &StoreConfig,
    open: impl Fn(&Path) -> Result<S, OpenError>,
) -> Result<S, StartError> {
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
fn open_redb(_: &StoreConfig) -> Opened {
    not_in_this_build(StoreBackend::Redb)
}

#[cfg(not(feature = "sled"))]
fn open_sled(_: &StoreConfig) -> Opened {
    not_in_this_build(StoreBackend::Sled)
}

#[cfg(not(feature = "sqlite"))]
fn open_sqlite(_: &StoreConfig) -> Opened {
    not_in_this_build(StoreBackend::Sqlite)
}

#[cfg(not(feature = "postgres"))]
fn open_postgres(_: &StoreConfig) -> Opened {
    not_in_this_build(StoreBackend::Postgres)
}

#[cfg(not(all(feature = "redb", feature = "sled", feature = "sqlite", feature = "postgres")))]
fn not_in_this_build(backend: StoreBackend) -> Opened {
    let name = backend.name();
    Err(StartError::Store(format!("this build has no {name} store (feature `{name}`)")))
}

fn told(error: impl std::fmt::Display) -> StartError {
    StartError::Store(error.to_string())
}
