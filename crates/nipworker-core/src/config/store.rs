//! Where events are kept.

use std::path::PathBuf;

use nipworker_protocol::{Filter, PublicKey, RelayUrl};
use nipworker_store::{RECENT_BYTES_DEFAULT, ROW_CACHE_BYTES_DEFAULT};
use serde::{Deserialize, Serialize};

/// Kinds of store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum StoreBackend {
    /// Forgotten when the client is closed.
    #[default]
    Memory,
    /// One durable file (needs the feature `redb`).
    Redb,
    /// A durable folder (needs the feature `sled`). For those who have one already: its page says what
    /// speaks against it.
    Sled,
    /// A durable file that can be looked at with SQL (needs the feature `sqlite`).
    Sqlite,
    /// Tables in a PostgreSQL database (needs the feature `postgres`), which other clients may use too.
    Postgres,
}

impl StoreBackend {
    /// As it is written in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Redb => "redb",
            Self::Sled => "sled",
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// Kinds whose content is for few: direct messages (NIP-04), seals and gift wraps (NIP-59), drafts
/// (NIP-37), wallets and their tokens (NIP-60), and data of applications (NIP-78).
pub const SEALED_KINDS: [u16; 8] = [4, 13, 1_059, 7_374, 7_375, 17_375, 30_078, 31_234];

/// Filters for which a store keeps ids and times in memory, at most.
pub const KEPT_FILTERS_MAX: usize = 64;

/// Least size limit of a store, in bytes: less would hold hardly a page of events.
pub const STORE_BYTES_MIN: u64 = 1024 * 1024;

/// Where events are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct StoreConfig {
    /// Kind of store.
    pub backend: StoreBackend,
    /// The store's file or folder; not used by `memory` and `postgres`. Empty means `events.` and the
    /// backend's name.
    pub path: PathBuf,
    /// Address of the database, `postgres://user@host:port/database`; used by `postgres` only. It holds
    /// no password.
    pub url: String,
    /// File that holds the password for `url`; empty where the server asks for none.
    pub password_file: PathBuf,
    /// File with the key (64 hexadecimal digits) by which events of `sealed_kinds` are encrypted at rest;
    /// empty encrypts nothing. Not offered by `sqlite` and `postgres`, whose tables are there to be read.
    pub seal_key_file: PathBuf,
    /// Kinds whose events are encrypted at rest, where there is a key. What they are found by (author,
    /// time, kind, values of one-letter tags) is not.
    pub sealed_kinds: Vec<u16>,
    /// Memory that the backend may use as its cache, in bytes. Not used by `postgres`.
    pub cache_bytes: usize,
    /// Memory for events that were read lately, in bytes; 0 keeps none. Not used by `sqlite` and
    /// `postgres`.
    pub row_cache_bytes: usize,
    /// Memory for the newest events, in bytes; 0 keeps none. Feeds, timelines and windows of time that
    /// lie within them are answered without the database. Not used by `sqlite` and `postgres`.
    pub recent_bytes: usize,
    /// Filters for whose events ids and times are kept in memory, so that a
    /// reconciliation (NIP-77) over one of them, or over a part of one in time, asks no index. Not used
    /// by `sqlite` and `postgres`.
    pub kept_filters: Vec<Filter>,
    /// Most bytes of events and their index entries; 0 sets no limit. On its disk a backend needs more
    /// than that. Beyond it the oldest regular events go first, then addressable ones, replaceable ones
    /// last.
    pub max_bytes: u64,
    /// Authors whose events stay whatever the limit says.
    pub pinned_authors: Vec<PublicKey>,
    /// Threads that answer queries, at most [`READERS_MAX`](nipworker_cache::READERS_MAX); 0 means
    /// as many as there are processors, within that.
    pub reader_threads: usize,
    /// Addresses under which clients know this store. A request to vanish (NIP-62) that names one
    /// of them is carried out, as is one that names all relays.
    pub own_urls: Vec<RelayUrl>,
    /// Whether a store that is damaged is set aside under another name and a fresh one begun,
    /// instead of refusing to start. It is never deleted.
    pub set_aside_damaged: bool,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            backend: StoreBackend::default(),
            path: PathBuf::new(),
            url: String::new(),
            password_file: PathBuf::new(),
            seal_key_file: PathBuf::new(),
            sealed_kinds: SEALED_KINDS.into(),
            cache_bytes: 16 * 1024 * 1024,
            row_cache_bytes: ROW_CACHE_BYTES_DEFAULT,
            recent_bytes: RECENT_BYTES_DEFAULT,
            kept_filters: Vec::new(),
            max_bytes: 0,
            pinned_authors: Vec::new(),
            reader_threads: 0,
            own_urls: Vec::new(),
            set_aside_damaged: true,
        }
    }
}

impl StoreConfig {
    /// The store's file or folder, named or not.
    pub fn place(&self) -> PathBuf {
        if self.path.as_os_str().is_empty() {
            PathBuf::from(format!("events.{}", self.backend.name()))
        } else {
            self.path.clone()
        }
    }

    pub(super) fn validate(&self) -> Result<(), (&'static str, String)> {
        if self.backend == StoreBackend::Postgres
            && let Some(problem) = url_problem(&self.url)
        {
            return Err(("url", problem));
        }
        let most = nipworker_cache::READERS_MAX;
        if self.reader_threads > most {
            let problem = format!("{} is out of range, the most is {most}", self.reader_threads);
            return Err(("reader_threads", problem));
        }
        let has_tables = matches!(self.backend, StoreBackend::Sqlite | StoreBackend::Postgres);
        if has_tables && !self.seal_key_file.as_os_str().is_empty() {
            let problem = format!("\"{}\" encrypts nothing", self.backend.name());
            return Err(("seal_key_file", problem));
        }
        if self.kept_filters.len() > KEPT_FILTERS_MAX {
            let problem =
                format!("{} filters, the most is {KEPT_FILTERS_MAX}", self.kept_filters.len());
            return Err(("kept_filters", problem));
        }
        if let Some(filter) =
            self.kept_filters.iter().find(|it| it.search.is_some() || it.limit.is_some())
        {
            let filter = serde_json::to_string(filter).unwrap_or_default();
            return Err(("kept_filters", format!("{filter}: neither search nor limit is kept")));
        }
        if (1..STORE_BYTES_MIN).contains(&self.max_bytes) {
            let problem = format!(
                "{} is out of range, the least is {STORE_BYTES_MIN}; 0 sets no limit",
                self.max_bytes
            );
            return Err(("max_bytes", problem));
        }
        Ok(())
    }

    pub(crate) fn readers(&self) -> usize {
        match self.reader_threads {
            0 => nipworker_cache::readers_default(),
            threads => threads,
        }
    }
}

/// Parameters that the address of a database may have: those of PostgreSQL's own clients that name no
/// secret. Others are refused rather than passed over, since a password may stand in a misspelt one.
const URL_PARAMETERS: [&str; 11] = [
    "application_name",
    "dbname",
    "host",
    "hostaddr",
    "options",
    "port",
    "sslcert",
    "sslkey",
    "sslmode",
    "sslrootcert",
    "user",
];

/// What is wrong with the address of a database. Whether anybody answers there is found out later.
fn url_problem(url: &str) -> Option<String> {
    let Some(rest) = ["postgres://", "postgresql://"].iter().find_map(|it| url.strip_prefix(it))
    else {
        return Some("is no address like postgres://user@host:port/database".to_owned());
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let user = authority.rsplit_once('@').map_or("", |(user, _)| user);
    if user.contains(':') {
        return Some(
            "holds a password: put that into a file, and name it by password_file".to_owned(),
        );
    }
    let query = rest.split_once('?').map_or("", |(_, query)| query);
    let is_known = |parameter: &str| {
        let name = parameter.split('=').next().unwrap_or_default();
        URL_PARAMETERS.contains(&name) || name.starts_with("options[")
    };
    (!query.split('&').all(|parameter| parameter.is_empty() || is_known(parameter))).then(|| {
        format!(
            "has a parameter that is none of {}; a password belongs into password_file",
            URL_PARAMETERS.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_of_a_database_is_one_and_holds_no_password() {
        let problem = |url: &str| {
            let store = StoreConfig {
                backend: StoreBackend::Postgres,
                url: url.to_owned(),
                ..StoreConfig::default()
            };
            store.validate().err().map(|(key, problem)| format!("{key} {problem}"))
        };
        for url in [
            "postgres://host/events",
            "postgresql://nip@host:5433/events?sslmode=require",
            "postgres://nip@/events?host=%2Frun%2Fpostgresql",
        ] {
            assert_eq!(problem(url), None, "{url}");
        }
        for url in ["", "host/events", "mysql://host/events"] {
            assert!(problem(url).unwrap().starts_with("url is no address"), "{url}");
        }
        for url in ["postgres://nip:secret@host/events", "postgres://nip:se@cret@host/events"] {
            assert!(problem(url).unwrap().starts_with("url holds a password"), "{url}");
        }
        for parameter in ["user=nip&password=secret", "passwd=secret", "pass%77ord=secret", "x"] {
            let told = problem(&format!("postgres://host/events?{parameter}")).unwrap();
            assert!(told.starts_with("url has a parameter") && !told.contains("secret"), "{told}");
        }
        // Nobody looks at it where it is not used.
        assert_eq!(StoreConfig::default().validate(), Ok(()));
    }
}
