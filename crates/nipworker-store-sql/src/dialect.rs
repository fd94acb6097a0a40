//! What SQLite and PostgreSQL say differently.

use nipworker_protocol::KindClass;

/// One of the two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

impl Dialect {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }

    /// Begins a transaction that sees one moment and holds nobody up.
    pub(crate) fn begin_read(self) -> &'static str {
        match self {
            Self::Sqlite => "BEGIN DEFERRED",
            Self::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
        }
    }

    /// Begins a transaction that writes.
    pub(crate) fn begin_write(self) -> &'static str {
        match self {
            // Takes the lock at once: taking it later fails where somebody wrote in between.
            Self::Sqlite => "BEGIN IMMEDIATE",
            // Each statement sees what was committed before it, so also what the lock waited for.
            Self::Postgres => "BEGIN ISOLATION LEVEL READ COMMITTED",
        }
    }

    /// Makes writers of one database take turns, where beginning does not do so already.
    pub(crate) fn lock(self) -> Option<&'static str> {
        match self {
            Self::Sqlite => None,
            // The first number is this crate's own; the second tells schemas of one database apart.
            Self::Postgres => {
                Some("SELECT pg_advisory_xact_lock(1314213200, hashtext(current_schema()))")
            }
        }
    }

    /// `column` is among the bytes that stand as hexadecimal in a JSON list.
    pub(crate) fn is_among_bytes(self, column: &str, list: &str) -> String {
        match self {
            Self::Sqlite => format!("{column} IN (SELECT unhex(value) FROM json_each({list}))"),
            Self::Postgres => format!(
                "{column} = ANY(ARRAY(SELECT decode(value, 'hex') \
                 FROM json_array_elements_text({list}::json) AS value))"
            ),
        }
    }

    /// `column` is among the numbers of a JSON list.
    pub(crate) fn is_among_numbers(self, column: &str, list: &str) -> String {
        match self {
            Self::Sqlite => format!("{column} IN (SELECT value FROM json_each({list}))"),
            Self::Postgres => format!(
                "{column} = ANY(ARRAY(SELECT value::int \
                 FROM json_array_elements_text({list}::json) AS value))"
            ),
        }
    }

    /// `column` is among the texts of a JSON list.
    pub(crate) fn is_among_texts(self, column: &str, list: &str) -> String {
        match self {
            Self::Sqlite => format!("{column} IN (SELECT value FROM json_each({list}))"),
            Self::Postgres => format!(
                "{column} = ANY(ARRAY(SELECT value \
                 FROM json_array_elements_text({list}::json) AS value))"
            ),
        }
    }

    /// `(kind, pubkey, identifier)` is among the triples of a JSON list.
    pub(crate) fn is_among_addresses(self, list: &str) -> String {
        match self {
            Self::Sqlite => format!(
                "(kind, pubkey, identifier) IN (SELECT json_extract(value, '$[0]'), \
                 unhex(json_extract(value, '$[1]')), json_extract(value, '$[2]') \
                 FROM json_each({list}))"
            ),
            Self::Postgres => format!(
                "(kind, pubkey, identifier) IN (SELECT (value ->> 0)::int, \
                 decode(value ->> 1, 'hex'), value ->> 2 \
                 FROM json_array_elements({list}::json) AS value)"
            ),
        }
    }

    /// The bytes that the tables take on the disk, as the database says.
    pub(crate) fn disk_bytes(self) -> &'static str {
        match self {
            Self::Sqlite => {
                "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
            }
            Self::Postgres => {
                "SELECT (pg_total_relation_size('events') + pg_total_relation_size('tags') + \
                 pg_total_relation_size('deleted_ids') + \
                 pg_total_relation_size('deleted_addresses') + \
                 pg_total_relation_size('vanished'))::bigint"
            }
        }
    }

    /// Gives unused room back.
    pub(crate) fn compact(self) -> &'static [&'static str] {
        match self {
            Self::Sqlite => &["VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"],
            Self::Postgres => {
                &["SET statement_timeout = 0", "VACUUM FULL events", "VACUUM FULL tags"]
            }
        }
    }
}

/// Events of this class, by what their columns say.
pub(crate) fn is_of_class(class: KindClass) -> &'static str {
    match class {
        KindClass::Regular | KindClass::Ephemeral => "identifier IS NULL",
        KindClass::Addressable => "identifier IS NOT NULL AND kind BETWEEN 30000 AND 39999",
        KindClass::Replaceable => "identifier IS NOT NULL AND kind NOT BETWEEN 30000 AND 39999",
    }
}
