//! `cargo xtask aarch64`: the tests of nipworker-hash on 64-bit ARM, under an emulator where the
//! machine is none. It installs nothing; what is missing is named with the way to get it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::tools::{self, Outcome};

const TARGET: &str = "aarch64-unknown-linux-gnu";
const PREFIX: &str = "CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU";

/// The kernels that must be among those tested: an emulator that lacked the instructions would
/// else pass with the portable kernel alone.
const KERNELS: &str = "portable,aarch64_sha2";

/// Runs the tests.
///
/// With `rustc`, that compiler is used, and the standard library is built from the sources that
/// belong to it: for a compiler from a distribution, which has no library for other processors.
pub(crate) fn run(rustc: Option<&str>) -> Outcome {
    if cfg!(all(target_arch = "aarch64", target_os = "linux")) {
        return tools::run(tests(&mut tools::cargo()));
    }
    let compiler = rustc
        .map(PathBuf::from)
        .unwrap_or_else(|| std::env::var_os("RUSTC").map_or_else(|| "rustc".into(), PathBuf::from));
    let found = Found {
        library: library(&compiler, rustc.is_some())?,
        linker: tools::find("aarch64-linux-gnu-gcc"),
        emulator: tools::find("qemu-aarch64").or_else(|| tools::find("qemu-aarch64-static")),
    };
    let Tools { linker, emulator } = found.complete()?;
    let mut cargo = tools::cargo();
    tests(&mut cargo)
        .args(["--target", TARGET, "--target-dir"])
        // Apart from the ordinary builds: they use another compiler if one was named.
        .arg(tools::target().join("aarch64"))
        .env(format!("{PREFIX}_LINKER"), linker)
        .env(format!("{PREFIX}_RUNNER"), format!("{} -cpu max", emulator.display()))
        // Without shared libraries the emulator need not be told where they are.
        .env(format!("{PREFIX}_RUSTFLAGS"), "-C target-feature=+crt-static")
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    if rustc.is_some() {
        cargo
            .args(["-Z", "build-std=std,panic_unwind,test"])
            .env("RUSTC", compiler)
            // Building the standard library is not yet a stable feature of cargo.
            .env("RUSTC_BOOTSTRAP", "1");
    }
    tools::run(&mut cargo)
}

fn tests(cargo: &mut Command) -> &mut Command {
    cargo
        .args(["test", "-p", "nipworker-hash", "--lib", "--tests"])
        .env("NIPWORKER_HASH_KERNELS", KERNELS)
}

/// Whether the standard library for the target is there, or its sources if it is to be built.
///
/// # Errors
/// The compiler does not run.
fn library(rustc: &Path, from_sources: bool) -> Outcome<bool> {
    let printed = |what: &str| {
        let mut command = Command::new(rustc);
        let printed = tools::output(command.args(["--print", what, "--target", TARGET]))?;
        Ok::<_, String>(PathBuf::from(printed.trim()))
    };
    if from_sources {
        Ok(printed("sysroot")?.join("lib/rustlib/src/rust/library/std/Cargo.toml").is_file())
    } else {
        Ok(printed("target-libdir")?.is_dir())
    }
}

/// What the machine has of what the tests need.
#[derive(Debug)]
struct Found {
    library: bool,
    linker: Option<PathBuf>,
    emulator: Option<PathBuf>,
}

/// What the tests need.
#[derive(Debug, PartialEq, Eq)]
struct Tools {
    linker: PathBuf,
    emulator: PathBuf,
}

impl Found {
    /// # Errors
    /// Something is missing: all of it is named at once.
    fn complete(self) -> Outcome<Tools> {
        match self {
            Self { library: true, linker: Some(linker), emulator: Some(emulator) } => {
                Ok(Tools { linker, emulator })
            }
            Self { library, linker, emulator } => {
                let missing = [
                    (library, LIBRARY_MISSING),
                    (linker.is_some(), LINKER_MISSING),
                    (emulator.is_some(), EMULATOR_MISSING),
                ];
                let lines = missing.iter().filter(|(there, _)| !there).map(|(_, line)| *line);
                Err(format!("missing:\n{}", lines.collect::<Vec<_>>().join("\n")))
            }
        }
    }
}

const LIBRARY_MISSING: &str =
    "  * Rust's standard library for 64-bit ARM: rustup target add aarch64-unknown-linux-gnu
    (Debian's compiler: apt-get install rustc-web rust-web-src, then
    cargo xtask aarch64 --build-std /usr/bin/rustc)";
const LINKER_MISSING: &str = "  * aarch64-linux-gnu-gcc with a C library:
    apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross";
const EMULATOR_MISSING: &str = "  * qemu-aarch64: apt-get install qemu-user-static";

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Found {
        Found { library: true, linker: Some("gcc".into()), emulator: Some("qemu".into()) }
    }

    #[test]
    fn with_everything_there_nothing_is_asked_for() {
        let tools = Tools { linker: "gcc".into(), emulator: "qemu".into() };
        assert_eq!(all().complete(), Ok(tools));
    }

    #[test]
    fn one_missing_tool_is_named_alone() {
        let error = Found { emulator: None, ..all() }.complete().unwrap_err();
        assert_eq!(error, format!("missing:\n{EMULATOR_MISSING}"));
        let error = Found { linker: None, ..all() }.complete().unwrap_err();
        assert_eq!(error, format!("missing:\n{LINKER_MISSING}"));
    }

    #[test]
    fn all_that_is_missing_is_named_at_once() {
        let nothing = Found { library: false, linker: None, emulator: None };
        let error = nothing.complete().unwrap_err();
        for (part, line) in [
            ("rustup target add", LIBRARY_MISSING),
            ("gcc-aarch64-linux-gnu", LINKER_MISSING),
            ("qemu-user-static", EMULATOR_MISSING),
        ] {
            assert!(line.contains(part), "{line}");
            assert!(error.contains(line), "{error}");
        }
    }
}
