//! Opening a database: connections, their settings, and the tables.

use std::{path::PathBuf, str::FromStr, sync::Once, time::Duration};

use nipworker_store::{OpenError, SizeLimit};
use sqlx::{
    AnyConnection, AnyPool, ConnectOptions, Connection, Executor,
    any::{AnyConnectOptions, AnyPoolOptions},
};

use crate::{bridge::Bridge, dialect::Dialect, error::not_opened, schema};

/// Seconds after which a call gives up to wait for a connection.
pub const ACQUIRE_S: u64 = 5;

/// Seconds after which a call gives up altogether, but for those that read or write everything: checks,
/// exports, compactions, and making room when a store is opened. It is less than a cache waits for its
/// store.
pub const CALL_S: u64 = 20;

/// Seconds that SQLite waits for another process to end its writing.
pub const BUSY_S: u64 = 10;

/// Connections that are open at a time at most, unless told otherwise.
pub const CONNECTIONS_DEFAULT: u32 = 6;

/// Memory of SQLite's page caches, in bytes, unless told otherwise.
pub const CACHE_BYTES_DEFAULT: usize = 16 * 1024 * 1024;

/// Attempts to make the tables in a SQLite file: two processes that begin one at the same time get in
/// each other's way.
const ATTEMPTS: u32 = 10;
/// Between two of them.
const ATTEMPT_PAUSE: Duration = Duration::from_millis(50);

/// How a database is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlOptions {
    /// Connections that are open at a time at most, 2 or more: one writes, the others read.
    pub connections: u32,
    /// Memory that SQLite may use for its page caches, all connections together, in bytes. PostgreSQL
    /// has its own settings for that.
    pub cache_bytes: usize,
    /// The addresses by which requests to vanish (NIP-62) mean this store.
    pub own_urls: Vec<String>,
    /// How much it holds at most.
    pub limit: Option<SizeLimit>,
}

impl Default for SqlOptions {
    fn default() -> Self {
        Self {
            connections: CONNECTIONS_DEFAULT,
            cache_bytes: CACHE_BYTES_DEFAULT,
            own_urls: Vec::new(),
            limit: None,
        }
    }
}

impl SqlOptions {
    fn connections(&self) -> u32 {
        self.connections.max(2)
    }
}

/// Where a database is.
pub(crate) struct Place {
    pub(crate) dialect: Dialect,
    /// As sqlx wants it; it may hold a password.
    url: String,
    /// As it is told to people.
    pub(crate) shown: PathBuf,
    /// What each connection begins with.
    settings: Vec<String>,
}

impl Place {
    #[cfg(feature = "sqlite")]
    pub(crate) fn sqlite(path: &std::path::Path, options: &SqlOptions) -> Result<Self, OpenError> {
        let text = path.to_str().ok_or_else(|| OpenError::Format {
            path: path.to_owned(),
            detail: "the path is not UTF-8".to_owned(),
        })?;
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(|error| OpenError::from_io(path, error))?;
        }
        refuse_what_is_no_database(path)?;
        let cache_kib = options.cache_bytes / 1024 / options.connections() as usize;
        let settings = [
            format!("PRAGMA busy_timeout = {}", BUSY_S * 1_000),
            "PRAGMA journal_mode = WAL".to_owned(),
            // Each commit is on the disk when it returns, not only each checkpoint.
            "PRAGMA synchronous = FULL".to_owned(),
            "PRAGMA foreign_keys = ON".to_owned(),
            // Negative: KiB instead of pages.
            format!("PRAGMA cache_size = -{}", cache_kib.max(64)),
            // What a long transaction made of the log does not stay on the disk.
            "PRAGMA journal_size_limit = 67108864".to_owned(),
        ];
        Ok(Self {
            dialect: Dialect::Sqlite,
            url: format!(
                "sqlite://{}?mode=rwc",
                percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC)
            ),
            shown: path.to_owned(),
            settings: settings.into(),
        })
    }

    #[cfg(feature = "postgres")]
    pub(crate) fn postgres(url: &str, password: Option<&str>) -> Result<Self, OpenError> {
        let refused = |detail: String| OpenError::Format { path: "postgres".into(), detail };
        let mut full =
            url::Url::parse(url).map_err(|error| refused(format!("the URL: {error}")))?;
        if !matches!(full.scheme(), "postgres" | "postgresql") {
            return Err(refused(format!(
                "the URL begins with {}: instead of postgres:",
                full.scheme()
            )));
        }
        let mut shown = full.clone();
        if password.is_some() && full.set_password(password).is_err() {
            return Err(refused("a URL without a host has no place for a password".to_owned()));
        }
        // Parameters may hold a password too.
        shown.set_query(None);
        // A URL without a host cannot have a password.
        shown.set_password(None).ok();
        Ok(Self {
            dialect: Dialect::Postgres,
            url: full.into(),
            shown: PathBuf::from(shown.as_str()),
            settings: vec![
                "SET application_name = 'nipworker'".to_owned(),
                // The server gives up where we do: a connection may be gone without a word.
                format!("SET statement_timeout = '{CALL_S}s'"),
                format!("SET lock_timeout = '{CALL_S}s'"),
                // What a process that is stopped holds is let go of.
                format!("SET idle_in_transaction_session_timeout = '{}s'", 3 * CALL_S),
            ],
        })
    }

    /// Connects, and makes or checks the tables.
    pub(crate) fn open(&self, options: &SqlOptions) -> Result<(Bridge, AnyPool), OpenError> {
        static DRIVERS: Once = Once::new();
        DRIVERS.call_once(sqlx::any::install_default_drivers);

        let bridge = Bridge::new().map_err(|error| OpenError::from_io(&self.shown, error))?;
        let connect = AnyConnectOptions::from_str(&self.url)
            .map_err(|error| OpenError::Format {
                path: self.shown.clone(),
                detail: error.to_string(),
            })?
            .disable_statement_logging();
        let pool = bridge.wait(async {
            let mut attempt = 1;
            loop {
                match self.look(&connect).await {
                    Err(error) if attempt < ATTEMPTS && self.may_be_contended(&error) => {
                        attempt += 1;
                        tokio::time::sleep(ATTEMPT_PAUSE).await;
                    }
                    looked => break looked?,
                }
            }
            let settings = self.settings.clone();
            let pool = AnyPoolOptions::new()
                .max_connections(options.connections())
                .acquire_timeout(Duration::from_secs(ACQUIRE_S))
                .after_connect(move |connection, _| {
                    let settings = settings.clone();
                    Box::pin(async move {
                        for setting in settings {
                            connection.execute(sqlx::AssertSqlSafe(setting)).await?;
                        }
                        Ok(())
                    })
                })
                .connect_lazy_with(connect);
            let mut attempt = 1;
            loop {
                match schema::prepare(self.dialect, &pool, &self.shown).await {
                    Err(error) if attempt < ATTEMPTS && self.may_be_contended(&error) => {
                        attempt += 1;
                        tokio::time::sleep(ATTEMPT_PAUSE).await;
                    }
                    prepared => break prepared.map(|()| pool),
                }
            }
        })?;
        Ok((bridge, pool))
    }

    /// Finds out whether the database is one of ours, and takes our settings: a pool would try again and
    /// again, and would not say why it does not come to an end.
    async fn look(&self, connect: &AnyConnectOptions) -> Result<(), OpenError> {
        let told = |error| not_opened(self.dialect, &self.shown, error);
        let mut first = AnyConnection::connect_with(connect).await.map_err(told)?;
        // Before the settings, which change a file.
        schema::refuse_what_is_not_ours(self.dialect, &mut first, &self.shown).await?;
        for setting in &self.settings {
            first.execute(sqlx::AssertSqlSafe(setting.clone())).await.map_err(told)?;
        }
        first.close().await.map_err(told)
    }

    /// Whether an error of making the tables may come of another process that makes them too.
    fn may_be_contended(&self, error: &OpenError) -> bool {
        self.dialect == Dialect::Sqlite
            && matches!(
                error,
                OpenError::Store {
                    source: nipworker_store::StoreError::Kv(
                        nipworker_store::KvError::Unavailable { .. }
                    ),
                    ..
                }
            )
    }
}

/// What a SQLite file begins with.
#[cfg(feature = "sqlite")]
const MAGIC: &[u8] = b"SQLite format 3\0";

/// Bytes of the smallest page, and so of the shortest database.
#[cfg(feature = "sqlite")]
const SHORTEST_BYTES: u64 = 512;

/// SQLite itself takes a short file of something else for an empty database, and writes over it.
#[cfg(feature = "sqlite")]
fn refuse_what_is_no_database(path: &std::path::Path) -> Result<(), OpenError> {
    use std::io::Read;

    match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(OpenError::from_io(path, error)),
        // An empty file is what a process leaves that was killed while it made one. A long one is left to
        // SQLite: whoever opens and closes the file beside it takes its locks away (POSIX).
        Ok(about) if about.len() == 0 || about.len() >= SHORTEST_BYTES => return Ok(()),
        Ok(_) => {}
    }
    let mut begin = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(MAGIC.len() as u64).read_to_end(&mut begin))
        .map_err(|error| OpenError::from_io(path, error))?;
    Err(OpenError::Corrupt {
        path: path.to_owned(),
        detail: if begin == MAGIC {
            "it ends within its first page".to_owned()
        } else {
            "it does not begin as SQLite files do".to_owned()
        },
    })
}
