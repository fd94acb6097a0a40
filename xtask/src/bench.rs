//! `cargo xtask bench-pow`: mining rates beside those of others, as tables and a plot.

use crate::{
    peers,
    tools::{self, Outcome},
};

/// Installs the peers of the bench, runs it, and lets it write `benches/records`. A quick run
/// only prints. Without Node its rows are missing; that is said and is no failure.
pub(crate) fn pow(quick: bool) -> Outcome {
    if let Err(missing) = peers::node() {
        println!("Node does not take part: {missing}");
    }
    let mut bench = tools::cargo();
    bench
        .args(["bench", "-p", "nipworker-benches", "--bench", "pow", "--"])
        .env("NIPWORKER_PEERS", peers::folder());
    if quick {
        bench.arg("--quick");
    } else {
        bench.arg("--out").arg(tools::root().join("benches/records"));
    }
    tools::run(&mut bench)
}
