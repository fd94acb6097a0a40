//! `nipworker run`.

use super::{args::RunArgs, load, output::Failure};
use crate::{config::Flags, daemon, logging};

pub(super) fn run(args: &RunArgs) -> Result<(), Failure> {
    let flags = Flags { listen: args.listen, ..args.config.flags(&args.relays) };
    let loaded = load(&args.config, flags)?;
    logging::start(&loaded.config.daemon.log).map_err(Failure::because)?;
    daemon::run(loaded).map_err(Failure::because)
}
