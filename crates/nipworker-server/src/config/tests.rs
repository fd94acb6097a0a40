use std::{fs, path::PathBuf};

use tempfile::TempDir;

use super::*;

struct Case {
    folder: TempDir,
    environment: Vec<(String, String)>,
    flags: Flags,
}

impl Case {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, environment: Vec::new(), flags: Flags::default() }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("nipworker.toml")
    }

    fn with_file(self, text: impl AsRef<[u8]>) -> Self {
        fs::write(self.file(), text).unwrap();
        self
    }

    fn with_variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    fn load(&self) -> Result<Loaded, ConfigError> {
        let file = self.file();
        load(&Sources {
            file: file.exists().then_some(file),
            environment: self.environment.clone(),
            flags: self.flags.clone(),
        })
    }

    fn config(&self) -> Config {
        self.load().unwrap().config
    }

    /// The error with the folder's name left out.
    fn error(&self) -> String {
        let error = self.load().map(|_| ()).unwrap_err().to_string();
        error.replace(&format!("{}/", self.folder.path().display()), "")
    }
}

#[test]
fn each_layer_goes_over_the_one_before() {
    let case = Case::new();
    assert_eq!(case.config().gateway.listen.to_string(), "127.0.0.1:7447");
    let case = case.with_file("[gateway]\nlisten = \"127.0.0.1:1\"\nthreads = 3\n");
    assert_eq!(case.config().gateway.listen.port(), 1);
    let mut case = case.with_variable("NIPWORKER_GATEWAY__LISTEN", "127.0.0.1:2");
    assert_eq!(case.config().gateway.listen.port(), 2);
    case.flags.listen = Some("127.0.0.1:3".parse().unwrap());
    let config = case.config();
    assert_eq!(config.gateway.listen.port(), 3);
    assert_eq!(config.gateway.threads, 3, "a layer only replaces what it names");
}

#[test]
fn a_mistake_in_the_file_is_named_by_line_column_and_key() {
    for (text, error) in [
        (
            "[gateway]\nlisten = \"here\"\n",
            "nipworker.toml:2:10: gateway.listen: invalid socket address syntax",
        ),
        (
            "[gateway]\n\n  listn = \"127.0.0.1:1\"\n",
            "nipworker.toml:3:3: gateway.listn: unknown field `listn`, expected one of `listen`",
        ),
        (
            "[gateway]\nthreads = \"two\"\n",
            "nipworker.toml:2:11: gateway.threads: invalid type: string \"two\", expected usize",
        ),
        (
            "[gateway.websocket]\nping_interval = 30\n",
            "nipworker.toml:2:17: gateway.websocket.ping_interval: invalid type: integer `30`, \
             expected a duration as text with a unit",
        ),
        (
            "[gateway.websocket]\nping_interval = \"30 parsecs\"\n",
            "nipworker.toml:2:17: gateway.websocket.ping_interval: \"30 parsecs\" is no duration",
        ),
        (
            "[gateway.websocket]\nmax_limit = 0\n",
            "nipworker.toml:2:13: gateway.websocket.max_limit: 0 is out of range, allowed are 1 \
             to 1000000",
        ),
        (
            "[gateway.websocket]\nmax_limit = -1\n",
            "nipworker.toml:2:13: gateway.websocket.max_limit: invalid value: integer `-1`",
        ),
        (
            "[gateway.websocket]\nidle_timeout = \"10s\"\n",
            "nipworker.toml:2:16: gateway.websocket.idle_timeout: must be longer than \
             gateway.websocket.ping_interval (30s)",
        ),
        (
            "[engine]\nrelays = [\"wss://a.example\", \"http://b.example\"]\n",
            "nipworker.toml:2:10: engine.relays: a relay URL begins with ws:// or wss://",
        ),
        ("[daemon]\nlog = \"loud=very\"\n", "nipworker.toml:2:7: daemon.log: "),
        ("[signer]\nkey = \"nsec1\"\n", "nipworker.toml:2:1: signer.key: unknown field `key`"),
        ("[nothing]\n", "nipworker.toml:1:2: nothing: unknown field `nothing`"),
        ("[gateway]\nlisten = \n", "nipworker.toml:2:10: "),
        ("[gateway\n", "nipworker.toml:1:9: "),
        ("[gateway]\nthreads = 1\nthreads = 2\n", "nipworker.toml:3:1: "),
    ] {
        let got = Case::new().with_file(text).error();
        assert!(got.starts_with(error), "{text:?}\n gave {got}\nwanted {error}");
        assert!(!got.contains('\n'), "{got:?} is one line");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let error = Case::new().with_file(b"[gateway]\nname = \"\xff\"\n").error();
    assert_eq!(error, "nipworker.toml: is not valid UTF-8");
    let error = Case::new().with_file(vec![b'#'; 2 * 1024 * 1024]).error();
    assert!(error.contains("2097152 bytes are more than the limit of 1048576"), "{error}");
    let missing = Sources { file: Some("/no/such/file.toml".into()), ..Sources::default() };
    let error = load(&missing).unwrap_err().to_string();
    assert!(error.starts_with("/no/such/file.toml: cannot be read: "), "{error}");
}

#[test]
fn the_environment_sets_keys_of_every_type() {
    let config = Case::new()
        .with_variable("NIPWORKER_GATEWAY__NAME", "7")
        .with_variable("NIPWORKER_GATEWAY__THREADS", "7")
        .with_variable("NIPWORKER_GATEWAY__WEBSOCKET__PING_INTERVAL", "7s")
        .with_variable("NIPWORKER_ENGINE__RELAYS", "wss://a.example, ws://b.example")
        .config();
    assert_eq!(config.gateway.name, "7");
    assert_eq!(config.gateway.threads, 7);
    assert_eq!(config.gateway.websocket.ping_interval, Duration::from_secs(7));
    let relays: Vec<_> = config.engine.relays.iter().map(ToString::to_string).collect();
    assert_eq!(relays, ["wss://a.example", "ws://b.example"]);
    let one = Case::new().with_variable("NIPWORKER_ENGINE__RELAYS", "wss://a.example").config();
    assert_eq!(one.engine.relays.len(), 1);
    let none = Case::new().with_variable("NIPWORKER_ENGINE__RELAYS", "").config();
    assert!(none.engine.relays.is_empty());
}

#[test]
fn a_mistake_in_the_environment_is_named_by_variable_and_key() {
    for (name, value, error) in [
        ("NIPWORKER_GATEWAY__LISTEN", "x", "gateway.listen: invalid socket address syntax"),
        ("NIPWORKER_GATEWAY__LISTN", "x", "gateway.listn: unknown field `listn`"),
        ("NIPWORKER_GATEWAY__THREADS", "x", "gateway.threads: invalid type: string \"x\""),
        ("NIPWORKER_GATEWAY__THREADS", "0", "gateway.threads: 0 is out of range"),
        ("NIPWORKER_GATEWAY__NAME__X", "0", "gateway.name.x: name is no section"),
        ("NIPWORKER_ENGINE__RELAYS", "http://a", "engine.relays: a relay URL begins with ws://"),
    ] {
        let got = Case::new().with_variable(name, value).error();
        let wanted = format!("environment variable {name}: {error}");
        assert!(got.starts_with(&wanted), "{got}\nwanted {wanted}");
    }
}

#[test]
fn variables_that_are_no_keys_are_left_alone() {
    Case::new()
        .with_variable("NIPWORKER_PEERS", "x")
        .with_variable("NIPWORKER_CONFIG", "x")
        .with_variable("HOME__X", "x")
        .config();
}

#[test]
fn a_mistake_on_the_command_line_is_named_as_such() {
    let mut case = Case::new();
    case.flags.log = Some("x=y=z".to_owned());
    assert!(case.error().starts_with("command line: daemon.log: "), "{}", case.error());
}

#[test]
fn a_secret_key_comes_from_its_file_or_the_environment_and_is_never_shown() {
    let case = Case::new();
    let key_file = case.folder.path().join("key");
    fs::write(&key_file, "5e5e\n").unwrap();
    let case = case.with_file(format!("[signer]\nkey_file = {key_file:?}\n"));
    let loaded = case.load().unwrap();
    assert_eq!(loaded.secret_key.as_ref().unwrap().reveal(), "5e5e");
    assert!(!format!("{loaded:?}").contains("5e5e"));
    let loaded = case.with_variable("NIPWORKER_SIGNER__KEY", "7f7f").load().unwrap();
    assert_eq!(loaded.secret_key.as_ref().unwrap().reveal(), "7f7f", "the environment wins");
    let text = format!("{loaded:?} {}", toml::to_string(&loaded.config).unwrap());
    assert!(!text.contains("7f7f"), "{text}");
    let environment = vec![("NIPWORKER_SIGNER__KEY".to_owned(), "7f7f".to_owned())];
    let sources = Sources { environment, ..Sources::default() };
    assert!(!format!("{sources:?}").contains("7f7f"));
}

#[test]
fn a_key_file_that_is_missing_or_empty_is_named() {
    let case = Case::new().with_file("[signer]\nkey_file = \"/no/such/key\"\n");
    assert!(case.error().starts_with("/no/such/key: signer.key_file: cannot be read: "));
    let case = Case::new();
    let key_file = case.folder.path().join("key");
    fs::write(&key_file, " \n").unwrap();
    let case = case.with_file(format!("[signer]\nkey_file = {key_file:?}\n"));
    assert_eq!(case.error(), "key: signer.key_file: holds no key");
}

#[test]
fn what_is_printed_can_be_read_again() {
    let config = Case::new().with_variable("NIPWORKER_GATEWAY__THREADS", "9").config();
    let text = toml::to_string_pretty(&config).unwrap();
    let again = Case::new().with_file(&text).config();
    assert_eq!(toml::to_string_pretty(&again).unwrap(), text);
    assert_eq!(again.gateway.threads, 9);
}

/// The file that shows every key, with prose and section heads.
fn shown() -> String {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/nipworker.toml");
    fs::read_to_string(file).unwrap()
}

/// The same with every key switched on. A key is `#` without a space behind it.
fn switched_on() -> String {
    let mut text = String::new();
    for line in shown().lines() {
        let key =
            line.strip_prefix('#').filter(|rest| rest.starts_with(|c: char| c.is_alphabetic()));
        text.push_str(key.unwrap_or(line));
        text.push('\n');
    }
    text
}

fn flatten(section: &str, table: &toml::Table, lines: &mut Vec<String>) {
    for (key, value) in table {
        match value {
            toml::Value::Table(inner) => flatten(&format!("{section}{key}."), inner, lines),
            value => lines.push(format!("{section}{key} = {value}")),
        }
    }
}

#[test]
fn the_shown_file_equals_the_defaults_key_by_key() {
    let lines = |table: &toml::Table| {
        let mut lines = Vec::new();
        flatten("", table, &mut lines);
        lines
    };
    let shown = lines(&toml::from_str(&switched_on()).unwrap());
    let defaults = lines(&toml::Table::try_from(Config::default()).unwrap());
    let missing: Vec<_> = defaults.iter().filter(|line| !shown.contains(line)).collect();
    let wrong: Vec<_> = shown.iter().filter(|line| !defaults.contains(line)).collect();
    assert!(missing.is_empty() && wrong.is_empty(), "missing {missing:?}, wrong {wrong:?}");
}

#[test]
fn the_shown_file_with_all_keys_on_is_the_default_configuration() {
    let on = Case::new().with_file(switched_on()).config();
    let defaults = Case::new().config();
    assert_eq!(toml::to_string(&on).unwrap(), toml::to_string(&defaults).unwrap());
    assert_eq!(
        toml::to_string(&Case::new().with_file(shown()).config()).unwrap(),
        toml::to_string(&defaults).unwrap()
    );
}

#[test]
fn every_shown_key_says_whether_a_change_needs_a_restart() {
    let mut prose = String::new();
    for line in shown().lines() {
        if let Some(text) = line.strip_prefix("# ") {
            prose.push_str(text);
        } else if line.starts_with('#') && line.len() > 1 {
            assert!(prose.ends_with("[restart]"), "{line}: {prose}");
            prose.clear();
        } else {
            prose.clear();
        }
    }
}

#[test]
fn naming_one_key_of_a_section_leaves_the_others_at_the_daemons_defaults() {
    let config = Case::new().with_file("[engine.store]\ncache_bytes = 1048576\n").config();
    assert_eq!(config.engine.store.backend, nipworker_core::StoreBackend::Redb);
    let config = Case::new().with_file("[engine]\nrelays = []\n").config();
    assert_eq!(config.engine.store.backend, nipworker_core::StoreBackend::Redb);
}

#[test]
fn a_mistake_that_the_engine_finds_is_named_by_its_key_and_line() {
    for (text, error) in [
        (
            "[engine.limits]\nqueue_events = 0\n",
            "nipworker.toml:2:16: engine.limits.queue_events: ",
        ),
        (
            "[engine.pipeline]\npipes = [\"mutes\"]\n",
            "nipworker.toml:2:9: engine.pipeline.pipes: \"mutes\" is no pipe; there are kind-filter, ",
        ),
        (
            "[engine.connections]\nmax_message_bytes = 5\n",
            "nipworker.toml:2:21: engine.connections.max_message_bytes: ",
        ),
        (
            "[engine.supervision]\nwithin = \"0s\"\n",
            "nipworker.toml:2:10: engine.supervision.within: ",
        ),
        (
            "[engine.proxy]\naddress = \"127.0.0.1\"\n",
            "nipworker.toml:2:11: engine.proxy.address: ",
        ),
        (
            "[engine.proxy]\nuse = \"all\"\naddress = \"\"\n",
            "nipworker.toml:3:11: engine.proxy.address: is empty, and",
        ),
        (
            "[engine.connections]\nreconnect_min = \"40s\"\n",
            "nipworker.toml:2:17: engine.connections.reconnect_min: ",
        ),
    ] {
        let got = Case::new().with_file(text).error();
        assert!(got.starts_with(error), "{text:?}\n gave {got}\nwanted {error}");
    }
}
