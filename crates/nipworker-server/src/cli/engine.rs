//! Who answers a one-shot command: the engine in this process, or the daemon that has the store.

use std::{future::Future, path::Path};

use nipworker_core::{
    FileSetting, NostrClient, Remine,
    protocol::{EventLimits, Filter, RelayUrl},
};

use super::{
    args::{ConfigArgs, EngineArgs},
    one_shot,
    output::Failure,
    remote::Remote,
};
use crate::{
    config::Loaded,
    daemon::Beacon,
    embedded::{self, Signers},
};

/// The engine of this process with the runtime that drives it.
pub(super) struct Embedded {
    runtime: tokio::runtime::Runtime,
    pub(super) client: NostrClient,
}

/// Who answers.
pub(super) enum Engine {
    /// The engine of this process.
    Embedded(Embedded),
    /// The running daemon.
    Remote(Remote),
}

/// Who answers, and under which terms.
pub(super) struct Opened {
    pub(super) engine: Engine,
    /// Whether relays are used.
    pub(super) use_relays: bool,
    /// What one event may be at most.
    pub(super) event_limits: EventLimits,
}

/// What a command does with the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// Only asks.
    Read,
    /// Has events to store.
    Write,
}

/// A question must not rename a file that cannot be opened: an empty answer from a fresh store
/// would be taken for the truth. Nor must it make room in one.
fn damage_matters(loaded: &mut Loaded, access: Access) {
    if access == Access::Read {
        loaded.config.engine.store.set_aside_damaged = false;
        loaded.config.engine.store.max_bytes = 0;
    }
}

/// Finds out who answers. Relays are used only when `use_relays` says so.
pub(super) fn open(args: &EngineArgs, use_relays: bool, access: Access) -> Result<Opened, Failure> {
    let opened = open_with(args, use_relays, access)?;
    if let Engine::Remote(remote) = &opened.engine {
        refuse_other_relays(&args.relays, remote.url())?;
    }
    Ok(opened)
}

/// As [`open`], for a command that tells the daemon which relays to use.
pub(super) fn open_with(
    args: &EngineArgs,
    use_relays: bool,
    access: Access,
) -> Result<Opened, Failure> {
    let mut loaded = one_shot(&args.config, args.config.flags(&args.relays))?;
    damage_matters(&mut loaded, access);
    if args.no_relays || !use_relays {
        loaded.config.engine.relays.clear();
    }
    if let Some(remote) = running(&loaded, args.daemon.as_deref())? {
        return Ok(Opened {
            engine: Engine::Remote(remote),
            use_relays: use_relays && !args.no_relays,
            event_limits: loaded.config.event_limits(),
        });
    }
    Ok(Opened {
        use_relays: !loaded.config.engine.relays.is_empty(),
        event_limits: loaded.config.event_limits(),
        engine: Engine::Embedded(Embedded::start(loaded)?),
    })
}

/// As [`open`] for a command that never uses relays.
pub(super) fn open_store(
    args: &ConfigArgs,
    daemon: Option<&str>,
    access: Access,
) -> Result<Opened, Failure> {
    let mut loaded = one_shot(args, args.flags(&[]))?;
    damage_matters(&mut loaded, access);
    loaded.config.engine.relays.clear();
    let event_limits = loaded.config.event_limits();
    let engine = match running(&loaded, daemon)? {
        Some(remote) => Engine::Remote(remote),
        None => Engine::Embedded(Embedded::start(loaded)?),
    };
    Ok(Opened { engine, use_relays: false, event_limits })
}

impl Engine {
    /// Stops the engine of this process in order: everything that was accepted is on disk after
    /// this. A daemon goes on.
    pub(super) fn close(self) {
        if let Self::Embedded(embedded) = self {
            embedded.close();
        }
    }
}

/// The named daemon, or the one that uses the data folder.
fn running(loaded: &Loaded, named: Option<&str>) -> Result<Option<Remote>, Failure> {
    if let Some(url) = named {
        let remote = Remote::at(url)?;
        remote.status()?;
        return Ok(Some(remote));
    }
    Ok(find(&loaded.config.data_dir()))
}

/// The daemon that uses this data folder, if it answers.
pub(super) fn find(data: &Path) -> Option<Remote> {
    let remote = Remote::at(&Beacon::seen(data)?).ok()?;
    // Another program may have got the port of a daemon that died.
    let status = remote.status().ok()?;
    same_folder(&status.about.data, data).then_some(remote)
}

pub(super) fn same_folder(a: &Path, b: &Path) -> bool {
    match (a.canonicalize(), b.canonicalize()) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}

fn refuse_other_relays(relays: &[RelayUrl], url: &str) -> Result<(), Failure> {
    if relays.is_empty() {
        return Ok(());
    }
    Err(Failure::usage(format_args!(
        "the daemon at {url} has the data folder and uses its own relays; leave --relay out, or \
         name another folder with --data"
    )))
}

impl Embedded {
    fn start(loaded: Loaded) -> Result<Self, Failure> {
        let Loaded { mut config, .. } = loaded;
        // What is in them is the daemon's to go on with.
        config.engine.miner.checkpoint = FileSetting::Off;
        config.engine.outbox.file = FileSetting::Off;
        let mines = config.engine.miner.remine != Remine::Off && !config.engine.relays.is_empty();
        if !mines && config.engine.miner.kernel == "auto" {
            // To measure the kernels takes longer than most questions.
            config.engine.miner.kernel = "portable".to_owned();
        }
        let data = config.data_dir();
        std::fs::create_dir_all(&data).map_err(|error| {
            Failure::because(format_args!(
                "data folder {}: cannot be made: {error} (daemon.data, --data)",
                data.display()
            ))
        })?;
        let runtime = runtime()?;
        let client = runtime
            .block_on(embedded::start(&config, Signers::default()))
            .map_err(Failure::because)?;
        Ok(Self { runtime, client })
    }

    /// Drives a future to its end.
    pub(super) fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    pub(super) fn close(self) {
        self.runtime.block_on(self.client.close());
    }
}

/// A runtime for one command.
pub(super) fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::because(format_args!("cannot start: {error}")))
}

/// Reads filters of the command line.
pub(super) fn filters(texts: &[String]) -> Result<Vec<Filter>, Failure> {
    let read = |text: &String| {
        serde_json::from_str::<Filter>(text)
            .map_err(|error| Failure::usage(format_args!("filter {text}: {error}")))
    };
    let filters: Vec<Filter> = texts.iter().map(read).collect::<Result<_, _>>()?;
    if filters.iter().any(|filter| filter.search.is_some()) {
        return Err(Failure::usage("search (NIP-50) is not offered"));
    }
    Ok(filters)
}
