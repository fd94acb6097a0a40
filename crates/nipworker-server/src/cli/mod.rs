//! The command line: parses it, runs one command, turns the result into an exit code.

mod args;
mod bench;
mod check_config;
mod count;
mod engine;
mod export;
mod import;
mod input;
mod key;
mod mine;
mod output;
mod placement;
mod publish;
mod query;
mod rates;
mod remote;
mod run;
mod status;
mod store;
mod sync;

use std::process::ExitCode;

use clap::Parser;

use self::{
    args::{Cli, Command, ConfigArgs},
    output::{Failure, note},
};
use crate::{
    config::{self, Flags, Loaded, Place, Sources},
    logging,
};

/// The environment's way to give `--log`.
const LOG_VARIABLE: &str = "RUST_LOG";
/// The command failed.
const EXIT_FAILED: u8 = 1;
/// The command line is wrong.
const EXIT_USAGE: u8 = 2;

/// Runs the command that the process's arguments name.
///
/// Exit codes: 0 done, 1 failed (the reason is on stderr), 2 wrong usage.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command.unwrap_or(Command::Run(cli.run)) {
        Command::Run(args) => run::run(&args),
        Command::CheckConfig(args) => check_config::run(&args),
        Command::Status(args) => status::run(&args),
        Command::Query(args) => query::run(&args),
        Command::Publish(args) => publish::run(&args),
        Command::Count(args) => count::run(&args),
        Command::Sync(args) => sync::run(&args),
        Command::Mine(args) => mine::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Key(command) => key::run(&command),
        Command::Import(args) => import::run(&args),
        Command::Export(args) => export::run(&args),
        Command::Check(args) => store::check(&args),
        Command::Compact(args) => store::compact(&args),
    };
    match result {
        Ok(()) | Err(Failure::OutputClosed) => ExitCode::SUCCESS,
        Err(Failure::Told) => ExitCode::from(EXIT_FAILED),
        Err(Failure::Because(reason)) => {
            note(format_args!("nipworker: {reason}"));
            ExitCode::from(EXIT_FAILED)
        }
        Err(Failure::Usage(reason)) => {
            note(format_args!("nipworker: {reason}\n\nFor more information, try '--help'."));
            ExitCode::from(EXIT_USAGE)
        }
    }
}

/// Tells on stderr that the daemon is ready. Written in any case, whatever is logged.
pub(crate) fn announce(text: &str) {
    note(text);
}

/// Reads the configuration of a one-shot command and starts logging: warnings only, unless the
/// command line or `RUST_LOG` ask for more.
fn one_shot(args: &ConfigArgs, flags: Flags) -> Result<Loaded, Failure> {
    let loaded = load(args, flags)?;
    logging::start(args.log.as_deref().unwrap_or(logging::ONE_SHOT_LEVEL))
        .map_err(Failure::because)?;
    Ok(loaded)
}

fn load(args: &ConfigArgs, flags: Flags) -> Result<Loaded, Failure> {
    let file = args.config.clone().filter(|file| !file.as_os_str().is_empty());
    config::load(&Sources::from_process(file, flags)).map_err(|mut error| {
        let is_log = error.key.as_deref() == Some("daemon.log");
        if is_log
            && error.place == Place::CommandLine
            && args.log == std::env::var(LOG_VARIABLE).ok()
        {
            error.place = Place::Environment(LOG_VARIABLE.to_owned());
        }
        Failure::because(error)
    })
}
