//! The layers: defaults → file → environment → flags.

use std::{
    collections::BTreeMap,
    fmt, fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use nipworker_protocol::RelayUrl;
use serde::Deserialize;
use toml::{Table, Value};

use super::{
    Config, ConfigError, ConfigProblem, Place, Secret,
    locate::{key_at, position, span_of},
};

/// What an environment variable must begin with to be read: `NIPWORKER_GATEWAY__LISTEN` sets
/// `gateway.listen`. Variables without a double underscore are not read as keys.
pub const ENVIRONMENT_PREFIX: &str = "NIPWORKER_";

/// The one key that only the environment may give.
const SECRET_KEY: &str = "signer.key";

/// Largest file that is read as a configuration or as a key, in bytes.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

/// What the command line sets.
#[derive(Debug, Clone, Default)]
pub struct Flags {
    /// `gateway.listen`.
    pub listen: Option<SocketAddr>,
    /// `daemon.data`.
    pub data: Option<PathBuf>,
    /// `engine.relays`, when not empty.
    pub relays: Vec<RelayUrl>,
    /// `daemon.log`.
    pub log: Option<String>,
}

/// Where the layers come from.
#[derive(Clone, Default)]
pub struct Sources {
    /// The file, if one is named.
    pub file: Option<PathBuf>,
    /// The environment's variables; those that are not ours are skipped.
    pub environment: Vec<(String, String)>,
    /// The command line.
    pub flags: Flags,
}

impl fmt::Debug for Sources {
    /// Names the variables without their values: one may hold the secret key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.environment.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Sources")
            .field("file", &self.file)
            .field("environment", &names)
            .field("flags", &self.flags)
            .finish()
    }
}

impl Sources {
    /// Reads this process's environment. Variables that are no valid UTF-8 are skipped unless
    /// their name is ours: their value is then taken with replacement characters, which no key
    /// accepts.
    pub fn from_process(file: Option<PathBuf>, flags: Flags) -> Self {
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| {
                let name = name.into_string().ok()?;
                name.starts_with(ENVIRONMENT_PREFIX)
                    .then(|| (name, value.to_string_lossy().into_owned()))
            })
            .collect();
        Self { file, environment, flags }
    }
}

/// A configuration that passed every check.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The effective values.
    pub config: Config,
    /// The file that was read.
    pub file: Option<PathBuf>,
    /// The secret key, from its file or from the environment.
    pub secret_key: Option<Secret>,
    /// Further secret keys, from their files.
    pub further_keys: Vec<Secret>,
}

/// Reads and checks all layers.
///
/// # Errors
/// The first mistake, with its place.
pub fn load(sources: &Sources) -> Result<Loaded, ConfigError> {
    let text = sources.file.as_deref().map(read_file).transpose()?.unwrap_or_default();
    if let Some(file) = &sources.file {
        check_text(&text, file)?;
    }
    let file = sources.file.as_deref().unwrap_or(Path::new(""));
    let mut table = defaults()?;
    merge(&mut table, toml::from_str(&text).map_err(|error| in_file(&error, &text, file))?);
    let mut secret_key = None;
    let mut set_by_environment = BTreeMap::new();
    for (name, value) in &sources.environment {
        let Some(key) = key_of(name) else { continue };
        if key == SECRET_KEY {
            // A variable that is empty counts as one that is not set.
            if value.is_empty() {
                continue;
            }
            secret_key = Some(Secret::new(value.clone()));
            continue;
        }
        table = set_from_environment(&table, name, &key, value)?;
        set_by_environment.insert(key, name.clone());
    }
    let mut config = Config::deserialize(table).map_err(|error| ConfigError {
        place: sources.file.clone().map_or(Place::CommandLine, Place::File),
        key: None,
        problem: error.message().to_owned(),
    })?;
    let set_by_flags = apply_flags(&mut config, &sources.flags);
    config.validate().map_err(|ConfigProblem { key, problem }| {
        let place = if set_by_flags.contains(&key.as_str()) {
            Place::CommandLine
        } else if let Some(name) = set_by_environment.get(&key) {
            Place::Environment(name.clone())
        } else {
            place_in_file(sources.file.as_deref(), &text, &key)
        };
        ConfigError { place, key: Some(key), problem }
    })?;
    if secret_key.is_none() && !config.signer.key_file.as_os_str().is_empty() {
        secret_key = Some(read_secret(&config.signer.key_file, "signer.key_file")?);
    }
    let further = config.signer.further_key_files.iter();
    let further_keys = further
        .map(|file| read_secret(file, "signer.further_key_files"))
        .collect::<Result<_, _>>()?;
    Ok(Loaded { config, file: sources.file.clone(), secret_key, further_keys })
}

fn read_file(file: &Path) -> Result<String, ConfigError> {
    let refuse =
        |problem: String| ConfigError { place: Place::File(file.to_owned()), key: None, problem };
    let size = fs::metadata(file).map_err(|error| refuse(format!("cannot be read: {error}")))?;
    if size.len() > MAX_FILE_BYTES {
        return Err(refuse(format!(
            "{} bytes are more than the limit of {MAX_FILE_BYTES} bytes for such a file",
            size.len()
        )));
    }
    fs::read_to_string(file).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => refuse("is not valid UTF-8".to_owned()),
        _ => refuse(format!("cannot be read: {error}")),
    })
}

fn read_secret(file: &Path, key: &str) -> Result<Secret, ConfigError> {
    let secret = read_file(file).map(Secret::new);
    let secret = secret.map_err(|error| ConfigError { key: Some(key.to_owned()), ..error })?;
    if secret.reveal().is_empty() {
        return Err(ConfigError {
            place: Place::File(file.to_owned()),
            key: Some(key.to_owned()),
            problem: "holds no key".to_owned(),
        });
    }
    Ok(secret)
}

/// Checks the file on its own, while a mistake still has a place in its text.
fn check_text(text: &str, file: &Path) -> Result<(), ConfigError> {
    toml::from_str::<Config>(text).map(drop).map_err(|error| in_file(&error, text, file))
}

fn in_file(error: &toml::de::Error, text: &str, file: &Path) -> ConfigError {
    let Some(span) = error.span() else {
        return ConfigError {
            place: Place::File(file.to_owned()),
            key: None,
            problem: error.message().to_owned(),
        };
    };
    let position = position(text, span.start);
    ConfigError {
        place: Place::Line { file: file.to_owned(), line: position.line, column: position.column },
        key: key_at(text, &span),
        problem: error.message().replace('\n', ", "),
    }
}

fn place_in_file(file: Option<&Path>, text: &str, key: &str) -> Place {
    let Some(file) = file else { return Place::CommandLine };
    match span_of(text, key) {
        Some(span) => {
            let position = position(text, span.start);
            Place::Line { file: file.to_owned(), line: position.line, column: position.column }
        }
        None => Place::File(file.to_owned()),
    }
}

/// The defaults as a table. Layers go over these rather than over the defaults of each part: the
/// daemon's differ from those of the engine alone.
fn defaults() -> Result<Table, ConfigError> {
    Table::try_from(Config::default()).map_err(|error| ConfigError {
        place: Place::CommandLine,
        key: None,
        problem: error.to_string(),
    })
}

/// Puts `over` over `under`, section by section; a list is replaced as a whole.
fn merge(under: &mut Table, over: Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Table(under)), Value::Table(over)) => merge(under, over),
            (_, value) => drop(under.insert(key, value)),
        }
    }
}

/// `NIPWORKER_GATEWAY__LISTEN` → `gateway.listen`.
fn key_of(name: &str) -> Option<String> {
    let rest = name.strip_prefix(ENVIRONMENT_PREFIX)?;
    rest.contains("__").then(|| rest.to_ascii_lowercase().replace("__", "."))
}

/// A variable has no type of its own, so it is tried as a TOML value, as text, and as a list of
/// texts with commas between; the first that the key accepts counts.
fn set_from_environment(
    table: &Table,
    name: &str,
    key: &str,
    text: &str,
) -> Result<Table, ConfigError> {
    let literal = toml::from_str::<Table>(&format!("x = {text}"))
        .ok()
        .filter(|parsed| parsed.len() == 1)
        .and_then(|mut parsed| parsed.remove("x"));
    let list = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let list = Value::Array(list.map(|part| Value::String(part.to_owned())).collect());
    let mut problem: Option<String> = None;
    for value in literal.into_iter().chain([Value::String(text.to_owned()), list]) {
        let is_list = value.is_array();
        let attempt = with_value(table.clone(), key, value).and_then(|attempt| {
            match Config::deserialize(attempt.clone()) {
                Ok(_) => Ok(attempt),
                Err(error) => Err(error.message().to_owned()),
            }
        });
        match attempt {
            Ok(table) => return Ok(table),
            Err(why) => {
                // The list's complaint matters only where a list was asked for.
                let replace = match &problem {
                    None => true,
                    Some(earlier) => is_list && earlier.contains("expected a sequence"),
                };
                if replace {
                    problem = Some(why);
                }
            }
        }
    }
    Err(ConfigError {
        place: Place::Environment(name.to_owned()),
        key: Some(key.to_owned()),
        problem: problem.unwrap_or_default(),
    })
}

fn with_value(mut table: Table, key: &str, value: Value) -> Result<Table, String> {
    let mut at = &mut table;
    let mut segments = key.split('.').peekable();
    while let Some(segment) = segments.next() {
        if segments.peek().is_none() {
            at.insert(segment.to_owned(), value);
            break;
        }
        let inner = at.entry(segment).or_insert_with(|| Value::Table(Table::new()));
        at = inner.as_table_mut().ok_or_else(|| format!("{segment} is no section"))?;
    }
    Ok(table)
}

/// Returns the keys that were set.
fn apply_flags(config: &mut Config, flags: &Flags) -> Vec<&'static str> {
    let mut set = Vec::new();
    if let Some(listen) = flags.listen {
        config.gateway.listen = listen;
        set.push("gateway.listen");
    }
    if let Some(data) = &flags.data {
        config.daemon.data.clone_from(data);
        set.push("daemon.data");
    }
    if !flags.relays.is_empty() {
        config.engine.relays.clone_from(&flags.relays);
        set.push("engine.relays");
    }
    if let Some(log) = &flags.log {
        config.daemon.log.clone_from(log);
        set.push("daemon.log");
    }
    set
}
