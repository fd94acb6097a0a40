//! The `nipworker` binary; everything is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    nipworker_server::cli::main()
}
