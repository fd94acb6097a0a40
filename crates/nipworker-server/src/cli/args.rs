//! The command line as types.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{
    Args, Parser, Subcommand,
    builder::{OsStringValueParser, TypedValueParser},
};
use nipworker_core::SyncDirection;
use nipworker_pool::Placement;
use nipworker_protocol::{PublicKey, RelayUrl};

use super::placement;
use crate::config::{Flags, parse_duration};

/// Shown at the end of `--help`.
const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  failed: the reason is on stderr
  2  wrong usage
  130, 143  ended at once by a second SIGINT or SIGTERM

Environment:
  NIPWORKER_CONFIG         as --config
  NIPWORKER_SECTION__KEY   sets one key of the configuration, for example
                           NIPWORKER_GATEWAY__LISTEN=127.0.0.1:8080
  NIPWORKER_SIGNER__KEY    the secret key that signs, as nsec1… or hex
  RUST_LOG                 as --log";

/// A verifying, caching Nostr relay gateway with a miner.
///
/// Without a command it runs the daemon, as `nipworker run` does.
#[derive(Debug, Parser)]
#[command(
    name = "nipworker",
    version,
    after_help = EXIT_CODES,
    args_conflicts_with_subcommands = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    #[command(flatten)]
    pub(crate) run: RunArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the daemon.
    #[command(after_help = EXIT_CODES)]
    Run(RunArgs),
    /// Check a configuration and print the effective one.
    CheckConfig(CheckConfigArgs),
    /// Show the running daemon's workers, restarts and last failures as a tree.
    Status(StatusArgs),
    /// Print the events that match, from the store and from relays, as JSON lines.
    Query(QueryArgs),
    /// Store events and send them to relays.
    Publish(PublishArgs),
    /// Print how many stored events match.
    Count(CountArgs),
    /// Bring the store and relays to the same events, transferring only what one side lacks.
    #[command(after_help = SYNC_HELP)]
    Sync(SyncArgs),
    /// Search the nonce that gives an event its proof of work (NIP-13).
    #[command(after_help = MINE_HELP)]
    Mine(MineArgs),
    /// Measure how fast this machine mines and how well its threads are fed.
    Bench(BenchArgs),
    /// Make or show keys.
    #[command(subcommand)]
    Key(KeyCommand),
    /// Store events from JSON lines.
    Import(ImportArgs),
    /// Print stored events as JSON lines, oldest first.
    Export(ExportArgs),
    /// Read the whole store and compare every index with the events.
    ///
    /// Events are left as they are; opening a store finishes what an interruption left undone. The
    /// daemon that uses the data folder must be stopped first. Exit code 1 means that something
    /// disagrees, or that the store cannot be opened.
    Check(StoreArgs),
    /// Give back the room on the disk that deleted and replaced events left.
    ///
    /// The daemon that uses the data folder must be stopped first. An interruption loses nothing.
    Compact(StoreArgs),
}

/// What every command that reads the configuration takes.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ConfigArgs {
    /// Configuration file (TOML); without one the embedded defaults hold.
    #[arg(long, short, value_name = "FILE", env = "NIPWORKER_CONFIG", value_parser = path())]
    pub(crate) config: Option<PathBuf>,

    /// Folder of the store; by default the user's own data folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,

    /// What is logged to stderr: error, warn, info, debug, trace, or a filter such as
    /// warn,nipworker_relay=debug.
    #[arg(long, value_name = "LEVEL", env = "RUST_LOG")]
    pub(crate) log: Option<String>,
}

/// A path that may be empty: a variable that is empty counts as one that is not set.
fn path() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().map(PathBuf::from)
}

impl ConfigArgs {
    pub(crate) fn flags(&self, relays: &[RelayUrl]) -> Flags {
        Flags {
            data: self.data.clone(),
            log: self.log.clone().filter(|log| !log.is_empty()),
            relays: relays.to_vec(),
            ..Flags::default()
        }
    }
}

#[derive(Debug, Clone, Default, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,

    /// Address and port of the gateway; port 0 takes a free one.
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,

    /// Upstream relay; give it again for more. Replaces those of the configuration.
    #[arg(long = "relay", value_name = "URL")]
    pub(crate) relays: Vec<RelayUrl>,
}

#[derive(Debug, Args)]
pub(crate) struct CheckConfigArgs {
    /// The file; without one the defaults and the environment are checked.
    #[arg(value_name = "FILE", env = "NIPWORKER_CONFIG", value_parser = path())]
    pub(crate) file: Option<PathBuf>,

    /// Print as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,

    /// The daemon's address; by default the one that uses the data folder.
    #[arg(long, value_name = "URL")]
    pub(crate) daemon: Option<String>,

    /// Print again every second until interrupted.
    #[arg(long)]
    pub(crate) watch: bool,

    /// Print as JSON, one line for each look.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which engine answers, and which relays are asked.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct EngineArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,

    /// Relay to use; give it again for more. Replaces those of the configuration.
    #[arg(long = "relay", value_name = "URL", conflicts_with = "no_relays")]
    pub(crate) relays: Vec<RelayUrl>,

    /// Use no relay, only the store.
    #[arg(long)]
    pub(crate) no_relays: bool,

    /// Ask the daemon at this address instead of opening the data folder. Without it, a daemon
    /// that uses the data folder is found and asked by itself.
    #[arg(long, value_name = "URL")]
    pub(crate) daemon: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    #[command(flatten)]
    pub(crate) engine: EngineArgs,

    /// A filter of NIP-01 as JSON, for example '{"kinds":[1],"limit":10}'.
    #[arg(required = true, value_name = "FILTER")]
    pub(crate) filters: Vec<String>,

    /// Longest wait for relays; a daemon takes its own gateway.http.query_timeout instead.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_duration)]
    pub(crate) timeout: Duration,

    /// Print with each event what it says, as the member `view`.
    #[arg(long)]
    pub(crate) view: bool,

    /// Events are printed as JSON lines in any case; accepted so that scripts can always say it.
    #[arg(long)]
    pub(crate) json: bool,
}

const SYNC_HELP: &str = "\
What differs is found by NIP-77 where the relay speaks it; where it does not, the relay is read page
by page. What comes is checked like every event of a relay. Progress goes to stderr, one report for
each relay and filter to stdout.

Exit codes:
  0  every relay came to its end: nothing is missing, and it took what it was sent
  1  at least one did not; its report says why
  2  wrong usage";

#[derive(Debug, Args)]
pub(crate) struct SyncArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,

    /// Relay to sync with; give it again for more. Without one, those of the configuration.
    #[arg(long = "relay", value_name = "URL")]
    pub(crate) relays: Vec<RelayUrl>,

    /// Ask the daemon at this address instead of opening the data folder. Without it, a daemon
    /// that uses the data folder is found and asked by itself.
    #[arg(long, value_name = "URL")]
    pub(crate) daemon: Option<String>,

    /// A filter of NIP-01 as JSON, for example '{"authors":["…"]}'; one after another. A limit is
    /// only allowed downwards.
    #[arg(required = true, value_name = "FILTER")]
    pub(crate) filters: Vec<String>,

    /// Which side gets what it lacks: down (the store), up (relays), both.
    #[arg(long, value_name = "WAY", default_value = "down", value_parser = direction)]
    pub(crate) direction: SyncDirection,

    /// Longest time for one relay and filter.
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = parse_duration)]
    pub(crate) timeout: Duration,

    /// Longest wait for one step of a relay, after which it is read page by page.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub(crate) idle: Duration,

    /// Do not try NIP-77: read relays page by page.
    #[arg(long)]
    pub(crate) paged: bool,

    /// Print each report as a line of JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

fn direction(text: &str) -> Result<SyncDirection, String> {
    match text {
        "down" => Ok(SyncDirection::Down),
        "up" => Ok(SyncDirection::Up),
        "both" => Ok(SyncDirection::Both),
        _ => Err("it is down, up or both".to_owned()),
    }
}

#[derive(Debug, Args)]
pub(crate) struct PublishArgs {
    #[command(flatten)]
    pub(crate) engine: EngineArgs,

    /// A signed event as JSON (it begins with {), the name of a file of such events, or - for
    /// stdin. Several events follow each other, each on one line or on several.
    #[arg(value_name = "EVENT", default_value = "-")]
    pub(crate) event: String,

    /// Longest wait for the receipts of relays; a daemon takes its own gateway.publish_timeout
    /// instead.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_duration)]
    pub(crate) timeout: Duration,

    /// Return when the running daemon has the event in its outbox; it sends it until each relay
    /// has decided, over restarts. GET /api/v1/outbox/{id} tells how far it is.
    #[arg(long, conflicts_with_all = ["timeout", "no_relays"])]
    pub(crate) durable: bool,

    /// Print the outcome and the receipts as JSON lines.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct CountArgs {
    #[command(flatten)]
    pub(crate) engine: EngineArgs,

    /// A filter of NIP-01 as JSON; an event that matches several is counted once.
    #[arg(required = true, value_name = "FILTER")]
    pub(crate) filters: Vec<String>,

    /// Print as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Shown at the end of `nipworker mine --help`.
const MINE_HELP: &str = "\
What is mined:
  --text TEXT      a new text note (kind 1) with this content
  '{…}'            an unsigned event as JSON, of any author
  FILE             a file that holds such an event
  - (or nothing)   stdin: an event if it begins with { or [, else the content of a text note

Progress goes to stderr: a bar on a terminal, else a line every 5 seconds. The mined event goes to
stdout. Ctrl-C ends the search in order and tells how good the best id so far is.

Exit codes:
  0  found; with --publish, at least one relay accepted the event
  1  not found (time, attempts, interrupted), no relay accepted it, or the search could not start:
     the reason is on stderr
  2  wrong usage, such as a difficulty above 256 bits, no threads, no time, or a CPU or a kernel
     that is not there";

#[derive(Debug, Args)]
pub(crate) struct MineArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,

    /// An unsigned event as JSON (it begins with {), the name of a file that holds one, or - for
    /// stdin, where text that does not begin with { or [ is the content of a text note.
    #[arg(value_name = "EVENT", default_value = "-", conflicts_with = "text")]
    pub(crate) event: String,

    /// Leading zero bits that the id must have, 0 to 256.
    #[arg(long, short, value_name = "BITS", value_parser = clap::value_parser!(u16).range(0..=256))]
    pub(crate) difficulty: u16,

    /// Give up after this time, in seconds or with a unit; more than 0.
    #[arg(long, value_name = "TIME", value_parser = parse_some_time)]
    pub(crate) timeout: Option<Duration>,

    /// Give up after so many attempts.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) max_attempts: Option<u64>,

    /// Share of its time that each thread may spend, 1 to 100 percent.
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(1..=100))]
    pub(crate) cpu_percent: Option<u8>,

    /// Take only time that no other program of this machine wants.
    #[arg(long)]
    pub(crate) idle: bool,

    #[command(flatten)]
    pub(crate) pool: PoolArgs,

    /// Mine a new text note (kind 1) with this content instead of an event.
    #[arg(long, value_name = "TEXT")]
    pub(crate) text: Option<String>,

    /// Author of the text note, as 64 hex characters; by default the signing key's.
    #[arg(long, value_name = "HEX")]
    pub(crate) pubkey: Option<PublicKey>,

    /// Sign the mined event with the configured key (signer.key_file or NIPWORKER_SIGNER__KEY).
    #[arg(long)]
    pub(crate) sign: bool,

    /// Sign the mined event and send it to the relays; the receipts go to stderr. The data folder
    /// and its daemon are not touched.
    #[arg(long)]
    pub(crate) publish: bool,

    /// Relay to publish to; give it again for more. Replaces those of the configuration.
    #[arg(long = "relay", value_name = "URL", requires = "publish")]
    pub(crate) relays: Vec<RelayUrl>,

    /// Longest wait for the receipts of relays.
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_some_time)]
    pub(crate) publish_timeout: Duration,

    /// Keep the event's created_at instead of renewing it while the search goes on.
    #[arg(long)]
    pub(crate) keep_time: bool,

    /// Print the event together with bits, attempts, time and the threads' figures, as JSON; also
    /// how a search without a result ended.
    #[arg(long)]
    pub(crate) json: bool,
}

/// How the searching threads are set up; each goes over `engine.miner` of the configuration.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct PoolArgs {
    /// Threads that search; by default all but one of four or more cores.
    #[arg(long, short, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) threads: Option<u16>,

    /// Code that hashes: auto for the fastest on this processor, or the name of one, as
    /// nipworker bench shows them.
    #[arg(long, value_name = "NAME")]
    pub(crate) kernel: Option<String>,

    /// Where the threads go: off, spread (each on a core of its own first), pack (neighbours
    /// first), or a list of CPUs such as 0,2,4-7.
    #[arg(long, value_name = "WHERE", value_parser = placement::parse)]
    pub(crate) placement: Option<Placement>,

    /// Nice value of the threads, 0 to 19: at 19 they leave the CPU to nearly everybody.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=19))]
    pub(crate) nice: Option<u8>,
}

#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,

    /// Time that the measurement takes, about; 2 to 600.
    #[arg(long, value_name = "S", default_value = "10",
          value_parser = clap::value_parser!(u16).range(2..=600))]
    pub(crate) seconds: u16,

    #[command(flatten)]
    pub(crate) pool: PoolArgs,

    /// Print as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// As [`parse_duration`], but more than nothing.
fn parse_some_time(text: &str) -> Result<Duration, String> {
    match parse_duration(text)? {
        Duration::ZERO => Err("0 is over before it begins; more than 0 is needed".to_owned()),
        time => Ok(time),
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a new key from the system's randomness.
    Generate(KeyGenerateArgs),
    /// Show what belongs to a key that is read from a file or from stdin.
    ///
    /// A secret key is never taken from the command line, where other users and the shell's
    /// history would see it. A public key may be given there.
    Show(KeyShowArgs),
}

#[derive(Debug, Args)]
pub(crate) struct KeyGenerateArgs {
    /// Print as JSON.
    #[arg(long)]
    pub(crate) json: bool,

    /// Write the secret key to this new file, readable by its owner only, and print only what is
    /// public.
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct KeyShowArgs {
    /// A public key (npub1… or hex), a file that holds a key, or - for stdin.
    #[arg(value_name = "NPUB|FILE|-", default_value = "-")]
    pub(crate) key: String,

    /// Also print the secret key.
    #[arg(long)]
    pub(crate) secret: bool,

    /// Print as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,

    /// The daemon's address; by default the one that uses the data folder, if there is one.
    #[arg(long, value_name = "URL")]
    pub(crate) daemon: Option<String>,

    /// File of events, one JSON object a line, or - for stdin.
    #[arg(value_name = "FILE|-")]
    pub(crate) file: String,

    /// Print one JSON line for each line read, and one for the summary.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,

    /// The daemon's address; by default the one that uses the data folder, if there is one.
    #[arg(long, value_name = "URL")]
    pub(crate) daemon: Option<String>,

    /// Only events that match one of these filters (NIP-01, as JSON).
    #[arg(value_name = "FILTER")]
    pub(crate) filters: Vec<String>,

    /// Events are printed as JSON lines in any case; accepted so that scripts can always say it.
    #[arg(long)]
    pub(crate) json: bool,
}

/// A command on the store's own file.
#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    #[command(flatten)]
    pub(crate) config: ConfigArgs,

    /// Print as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}
