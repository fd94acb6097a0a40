//! The workspace's own commands: `cargo xtask help` lists them.
//!
//! What an outside tool does is left to it; this crate finds the tool, or says how to get it,
//! runs it and reports.

// A command-line program speaks through its output.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod codegen;
mod tools;

use std::process::ExitCode;

use tools::Outcome;

const HELP: &str = "\
usage: cargo xtask COMMAND

  codegen [--check]   writes crates/nipworker-schema/src/gen from schemas/*.fbs, or only compares
  help                this text
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome: Outcome = match words.as_slice() {
        ["codegen"] => codegen::generate(),
        ["codegen", "--check"] => codegen::check(),
        ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(())
        }
        _ => {
            eprint!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}
