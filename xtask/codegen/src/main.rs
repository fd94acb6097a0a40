//! Hands its arguments to the flatc that the build compiled; see `cargo xtask codegen`.

use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    let status = Command::new(flatc_fork::flatc()).args(std::env::args_os().skip(1)).status();
    match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}
