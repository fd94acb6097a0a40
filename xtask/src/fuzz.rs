//! `cargo xtask fuzz`: the targets of `tests/nipworker-fuzz` under libFuzzer.
//!
//! ```text
//! target/fuzz/corpus/TARGET     what the fuzzer found worth keeping, from run to run
//! target/fuzz/artifacts/TARGET  inputs that broke a promise
//! ```

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    peers,
    steps::Steps,
    tools::{self, Outcome},
};

/// Seconds for each target when nothing else is asked.
const DEFAULT_SECONDS: u32 = 60;
/// Longest input in bytes: more than the longest seed several times.
const MAX_INPUT_BYTES: u32 = 8_192;
/// Memory after which a target counts as failed, in MiB; the sanitizer itself takes some.
const MAX_MEMORY_MIB: u32 = 2_048;

/// What is to be run.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    target: Option<String>,
    seconds: u32,
}

impl Request {
    /// Reads `[TARGET] [--seconds N]`; `None` when it is something else.
    pub(crate) fn parse(words: &[&str]) -> Option<Self> {
        let (target, options) = match words {
            [name, rest @ ..] if !name.starts_with('-') => (Some((*name).to_owned()), rest),
            rest => (None, rest),
        };
        let seconds = match options {
            [] => DEFAULT_SECONDS,
            ["--seconds", seconds] => seconds.parse().ok().filter(|seconds| *seconds > 0)?,
            _ => return None,
        };
        Some(Self { target, seconds })
    }
}

/// Installs cargo-fuzz, builds the targets and runs one or all of them. Every target runs, also
/// after one has failed.
///
/// # Errors
/// An unknown target, a failed build, or a finding: then the last lines say where its input lies.
pub(crate) fn run(request: &Request) -> Outcome {
    let all = tools::folders_in(&package().join("seeds"))?;
    let chosen: Vec<&String> = match &request.target {
        None => all.iter().collect(),
        Some(name) => all.iter().filter(|known| *known == name).collect(),
    };
    if chosen.is_empty() {
        return Err(format!("no such target; there are {}", all.join(", ")));
    }
    build(request.target.as_deref())?;
    let binaries = folder().join(host()?).join("release");
    let mut steps = Steps::default();
    for name in chosen {
        steps.step(name.clone(), || fuzz(&binaries.join(name), name, request.seconds));
    }
    steps.finish()
}

fn package() -> PathBuf {
    tools::root().join("tests/nipworker-fuzz")
}

fn folder() -> PathBuf {
    tools::target().join("fuzz")
}

fn build(target: Option<&str>) -> Outcome {
    let program = peers::cargo_fuzz()?;
    let mut command = Command::new(program);
    command.current_dir(tools::root()).args(["fuzz", "build"]).args(target);
    command.arg("--fuzz-dir").arg(package().join("cargo-fuzz"));
    command.arg("--target-dir").arg(folder());
    // Coverage and sanitizers are not yet stable features of the compiler.
    tools::run(command.env("RUSTC_BOOTSTRAP", "1").env_remove("RUSTFLAGS"))
}

fn fuzz(binary: &Path, name: &str, seconds: u32) -> Outcome {
    let corpus = folder().join("corpus").join(name);
    let artifacts = folder().join("artifacts").join(name);
    for folder in [&corpus, &artifacts] {
        std::fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    }
    // New inputs go to the first folder only.
    tools::run(
        Command::new(binary)
            .arg(&corpus)
            .arg(package().join("seeds").join(name))
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-max_len={MAX_INPUT_BYTES}"))
            .arg(format!("-rss_limit_mb={MAX_MEMORY_MIB}"))
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .args(["-timeout=10", "-print_final_stats=1"]),
    )
}

/// The triple of this machine, which names the folder of the binaries.
fn host() -> Outcome<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = tools::output(Command::new(rustc).arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).ok_or_else(|| "rustc -vV names no host".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn target_and_seconds_may_both_be_left_out() {
        let request = |target: Option<&str>, seconds| {
            Some(Request { target: target.map(str::to_owned), seconds })
        };
        assert_eq!(Request::parse(&[]), request(None, DEFAULT_SECONDS));
        assert_eq!(Request::parse(&["nip19"]), request(Some("nip19"), DEFAULT_SECONDS));
        assert_eq!(Request::parse(&["--seconds", "5"]), request(None, 5));
        assert_eq!(Request::parse(&["nip19", "--seconds", "600"]), request(Some("nip19"), 600));
    }

    #[test]
    fn anything_else_is_no_request() {
        for words in [
            ["nip19", "kinds"].as_slice(),
            &["--seconds"],
            &["--seconds", "0"],
            &["--seconds", "ten"],
            &["--help"],
        ] {
            assert_eq!(Request::parse(words), None, "{words:?}");
        }
    }
}
