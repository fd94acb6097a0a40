//! The workspace's own commands: `cargo xtask help` lists them.
//!
//! What an outside tool does is left to it; this crate finds the tool, or says how to get it,
//! runs it and reports.
//!
//! * `codegen`: FlatBuffers code from the schemas;
//! * `peers`: installs the relays, clients and tools of others that the tests lean on;
//! * `postgres`: a command with a private database server beside it;
//! * `aarch64`: the hash kernels' tests on 64-bit ARM;
//! * `checks`: what is true of the tree without running the product;
//! * `suite`: the full test command;
//! * `fuzz`: the fuzz targets under libFuzzer;
//! * `bench`: mining rates beside those of others;
//! * `machine_paths`: no file names a folder of one particular machine;
//! * `steps`, `tools`: how a command runs and reports.

// A command-line program speaks through its output.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod aarch64;
mod bench;
mod checks;
mod codegen;
mod fuzz;
mod machine_paths;
mod peers;
mod postgres;
mod steps;
mod suite;
mod tools;

use std::process::ExitCode;

const HELP: &str = "\
usage: cargo xtask COMMAND

  test                the full test command: check, codegen --check, peers, every test of the
                      workspace, the model checker's run of the mailbox
  check               format, clippy, docs, licences and advisories, layers, machine paths
  codegen [--check]   writes crates/nipworker-schema/src/gen from schemas/*.fbs, or only compares
  peers               installs the independent relays, clients and tools of the tests
                      into target/peers
  with-postgres COMMAND...
                      runs a command with a private PostgreSQL server beside it, whose address is
                      in NIPWORKER_POSTGRES: cargo xtask with-postgres cargo test -p
                      nipworker-store-sql
  bench-pow [--quick] mining rates beside those of others: prints tables, writes them and a
                      plot to benches/records; with --quick it only prints
  fuzz [TARGET] [--seconds N]
                      runs one or all targets of tests/nipworker-fuzz under libFuzzer, 60 seconds
                      each unless told otherwise; needs a C++ compiler, installs cargo-fuzz
  aarch64 [--build-std RUSTC]
                      the tests of nipworker-hash on 64-bit ARM, under qemu on other machines;
                      installs nothing and says what is missing. With --build-std the standard
                      library is built from the sources that belong to that compiler. Not part
                      of test, which must not need an emulator and a cross compiler
  help                this text

test and peers need node, npm and python3 beside a Rust toolchain and a C compiler.
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        ["test"] => suite::run(),
        ["check"] => checks::run(),
        ["codegen"] => codegen::generate(),
        ["codegen", "--check"] => codegen::check(),
        ["peers"] => peers::run(),
        ["with-postgres", command @ ..] if !command.is_empty() => postgres::run(command),
        ["aarch64"] => aarch64::run(None),
        ["aarch64", "--build-std", rustc] => aarch64::run(Some(rustc)),
        ["fuzz", rest @ ..] => match fuzz::Request::parse(rest) {
            Some(request) => fuzz::run(&request),
            None => return usage(),
        },
        ["bench-pow"] => bench::pow(false),
        ["bench-pow", "--quick"] => bench::pow(true),
        ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            Ok(())
        }
        _ => return usage(),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("error: {message}");
            ExitCode::FAILURE
        }
    }
}

fn usage() -> ExitCode {
    eprint!("{HELP}");
    ExitCode::from(2)
}
