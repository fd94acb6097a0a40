//! `cargo xtask test`: everything, in the order in which a failure is cheapest to learn.

use crate::{
    checks, codegen, peers, postgres,
    steps::Steps,
    tools::{self, Outcome},
};

/// The daemon's file.
const DAEMON: &str = if cfg!(windows) { "nipworker.exe" } else { "nipworker" };

/// All checks and all tests.
pub(crate) fn run() -> Outcome {
    let mut steps = Steps::default();
    checks::all(&mut steps);
    steps.step("generated code is current", codegen::check);
    steps.step("peers", peers::install);
    steps.step("tests of the workspace", || {
        // Unit, integration, documentation and system tests; they find the relays, clients and the
        // database server of others through the environment.
        postgres::with(
            tools::cargo()
                .args(["test", "--workspace", "--no-fail-fast"])
                .env("NIPWORKER_PEERS", peers::folder())
                // This very command builds the daemon before it runs a test.
                .env("NIPWORKER_BIN", tools::target().join("debug").join(DAEMON)),
        )
    });
    steps.step("model checker on the mailbox", || {
        let flags = std::env::var("RUSTFLAGS").unwrap_or_default();
        tools::run(
            tools::cargo()
                .args(["test", "-p", "nipworker-mailbox", "--test", "loom", "--release"])
                .arg("--target-dir")
                .arg(tools::target().join("loom"))
                .env("RUSTFLAGS", format!("{flags} --cfg loom").trim_start()),
        )
    });
    steps.finish()
}
