//! The layer table as data. A row names what may be depended on; all else is forbidden.

/// Where a package stands. A lower layer never names a higher one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layer {
    /// Types and kernels that everything may use.
    Base,
    /// Generic machinery and the messages between workers.
    Runtime,
    /// What nipworker knows of Nostr and of work: no IO, no runtime, no clock.
    Domain,
    /// A heavy dependency behind a port.
    Adapter,
    /// One worker each.
    Actor,
    /// The only package that names the actors.
    Composition,
    /// What faces the outside, and what tests and measures the whole.
    Edge,
    /// The workspace's own commands.
    Tool,
}

/// One package, or all whose name begins with what stands before the `*`.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) layer: Layer,
    /// Folder that holds the package; the package's own folder has the package's name.
    pub(crate) folder: &'static str,
    /// Ours that it may depend on.
    pub(crate) may: &'static [&'static str],
    /// Layers of ours that it may depend on, each package of them.
    pub(crate) may_layers: &'static [Layer],
    /// Of these it may name one at most.
    pub(crate) one_of: &'static [&'static str],
    /// Packages of others that it must not name. `*` stands for any rest of a name.
    pub(crate) banned: &'static [&'static str],
    /// Packages of others that it must not reach through others either.
    pub(crate) unreachable: &'static [&'static str],
}

const RUNTIMES: &[&str] = &["tokio", "tokio-*", "actix", "actix-*", "async-std", "smol", "glommio"];
const ASYNC: &[&str] = &[
    "tokio",
    "tokio-*",
    "actix",
    "actix-*",
    "async-std",
    "smol",
    "glommio",
    "futures",
    "futures-*",
    "async-*",
];
/// Runtimes, sockets, stores, command lines and configuration: each has a layer of its own.
const OUTSIDE: &[&str] = &[
    "tokio",
    "tokio-*",
    "actix",
    "actix-*",
    "async-std",
    "smol",
    "glommio",
    "tungstenite",
    "rustls",
    "hyper",
    "reqwest",
    "ureq",
    "sled",
    "redb",
    "sqlx",
    "rusqlite",
    "libsqlite3-sys",
    "clap",
    "toml",
    "config",
    "figment",
    "flatbuffers",
];
/// Whoever brings a port to life may use the runtime, but neither actors nor the command line.
const NOT_FOR_ADAPTERS: &[&str] = &["actix", "actix-*", "clap", "toml", "config", "figment"];
/// What adapters are there to hide, and what belongs to the edges.
const NOT_FOR_ACTORS: &[&str] = &[
    "tokio-tungstenite",
    "tungstenite",
    "rustls",
    "tokio-rustls",
    "hyper",
    "reqwest",
    "ureq",
    "sled",
    "redb",
    "sqlx",
    "rusqlite",
    "libsqlite3-sys",
    "secp256k1",
    "flatbuffers",
    "clap",
    "toml",
    "config",
    "figment",
    "actix-web",
    "actix-ws",
];
const NOT_FOR_COMPOSITION: &[&str] =
    &["clap", "toml", "config", "figment", "actix-web", "actix-ws", "hyper", "reqwest", "ureq"];
/// A generic crate knows no Nostr.
const NOSTR: &[&str] = &["nostr", "nostr-*", "secp256k1", "flatbuffers", "bech32", "negentropy"];

const PORTS: &[&str] =
    &["nipworker-store", "nipworker-signer", "nipworker-mining", "nipworker-transport"];
const FOR_DOMAINS: &[&str] = &[
    "nipworker-protocol",
    "nipworker-hash",
    "nipworker-pool",
    "nipworker-store",
    "nipworker-signer",
    "nipworker-mining",
    "nipworker-transport",
];
const DOMAINS: &[&str] = &[
    "nipworker-relay",
    "nipworker-pipeline",
    "nipworker-store",
    "nipworker-signer",
    "nipworker-mining",
    "nipworker-pow",
    "nipworker-spacetime",
    "nipworker-transport",
];
const FOR_ACTORS: &[&str] = &[
    "nipworker-schema",
    "nipworker-supervision",
    "nipworker-relay",
    "nipworker-pipeline",
    "nipworker-store",
    "nipworker-signer",
    "nipworker-mining",
    "nipworker-pow",
    "nipworker-spacetime",
    "nipworker-transport",
];
const BELOW_COMPOSITION: &[Layer] =
    &[Layer::Base, Layer::Runtime, Layer::Domain, Layer::Adapter, Layer::Actor];
const FOR_EDGES: &[Layer] =
    &[Layer::Base, Layer::Runtime, Layer::Domain, Layer::Adapter, Layer::Composition];

const fn row(name: &'static str, layer: Layer, folder: &'static str) -> Row {
    Row {
        name,
        layer,
        folder,
        may: &[],
        may_layers: &[],
        one_of: &[],
        banned: &[],
        unreachable: &[],
    }
}

const fn domain(name: &'static str) -> Row {
    Row {
        may: FOR_DOMAINS,
        one_of: PORTS,
        banned: OUTSIDE,
        unreachable: RUNTIMES,
        ..row(name, Layer::Domain, "crates")
    }
}

const fn adapter(name: &'static str, port_and_base: &'static [&'static str]) -> Row {
    Row { may: port_and_base, banned: NOT_FOR_ADAPTERS, ..row(name, Layer::Adapter, "crates") }
}

const fn actor(name: &'static str) -> Row {
    Row {
        may: FOR_ACTORS,
        one_of: DOMAINS,
        banned: NOT_FOR_ACTORS,
        ..row(name, Layer::Actor, "actors")
    }
}

const fn edge(name: &'static str, folder: &'static str) -> Row {
    Row { may_layers: FOR_EDGES, ..row(name, Layer::Edge, folder) }
}

/// From the bottom to the top.
pub(crate) const TABLE: &[Row] = &[
    Row { banned: ASYNC, unreachable: ASYNC, ..row("nipworker-protocol", Layer::Base, "crates") },
    Row { banned: ASYNC, unreachable: ASYNC, ..row("nipworker-hash", Layer::Base, "crates") },
    // The standard library only: its proofs must not rest on anybody else's code.
    Row { banned: &["*"], ..row("nipworker-mailbox", Layer::Runtime, "crates") },
    Row {
        may: &["nipworker-mailbox"],
        banned: NOSTR,
        ..row("nipworker-supervision", Layer::Runtime, "crates")
    },
    Row { banned: NOSTR, unreachable: RUNTIMES, ..row("nipworker-pool", Layer::Runtime, "crates") },
    Row { may: &["nipworker-protocol"], ..row("nipworker-schema", Layer::Runtime, "crates") },
    domain("nipworker-transport"),
    domain("nipworker-store"),
    domain("nipworker-signer"),
    domain("nipworker-mining"),
    domain("nipworker-relay"),
    domain("nipworker-pipeline"),
    domain("nipworker-pow"),
    domain("nipworker-spacetime"),
    domain("nipworker-tip5"),
    adapter("nipworker-store-*", &["nipworker-store", "nipworker-protocol", "nipworker-hash"]),
    adapter(
        "nipworker-transport-*",
        &["nipworker-transport", "nipworker-protocol", "nipworker-hash"],
    ),
    adapter("nipworker-signer-*", &["nipworker-signer", "nipworker-protocol", "nipworker-hash"]),
    adapter("nipworker-pow-gpu", &["nipworker-mining", "nipworker-protocol", "nipworker-hash"]),
    actor("nipworker-connections"),
    actor("nipworker-cache"),
    actor("nipworker-parser"),
    actor("nipworker-crypto"),
    actor("nipworker-miner"),
    Row {
        may_layers: BELOW_COMPOSITION,
        banned: NOT_FOR_COMPOSITION,
        ..row("nipworker-core", Layer::Composition, "crates")
    },
    edge("nipworker-server", "crates"),
    edge("nipworker-ffi", "crates"),
    edge("nipworker-node", "crates"),
    edge("nipworker-wasm", "crates"),
    edge("nipworker-tests", ""),
    edge("nipworker-fuzz", "tests"),
    edge("nipworker-benches", ""),
    Row { banned: NOSTR, ..row("nipworker-postgres", Layer::Tool, "tests") },
    Row { may: &["nipworker-postgres"], ..row("xtask", Layer::Tool, "") },
];
