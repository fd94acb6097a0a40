//! `cargo xtask with-postgres COMMAND`: a command with a private PostgreSQL server beside it.

use std::process::Command;

use nipworker_postgres::Server;

use crate::{
    peers,
    tools::{self, Outcome},
};

/// Where the tests find the server's address.
pub(crate) const ADDRESS: &str = "NIPWORKER_POSTGRES";
/// Where they find the programs, to start servers of their own that they may kill.
pub(crate) const PROGRAMS: &str = "NIPWORKER_POSTGRES_PROGRAMS";

/// Installs the programs, starts a server, and runs the command; the server ends with it.
pub(crate) fn run(command: &[&str]) -> Outcome {
    peers::node()?;
    let [program, arguments @ ..] = command else {
        return Err("with-postgres needs a command".to_owned());
    };
    with(Command::new(program).args(arguments))
}

/// Runs a command with a server beside it.
pub(crate) fn with(command: &mut Command) -> Outcome {
    let programs = peers::postgres();
    let server = Server::start(&programs)?;
    tools::run(command.env(ADDRESS, server.url()).env(PROGRAMS, programs))
}
