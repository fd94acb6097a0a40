//! `cargo xtask peers`: relays, clients and tools of others, installed below the build folder.
//!
//! ```text
//! target/peers/venv   Python with nostr-sdk (rust-nostr: a relay and a client)
//! target/peers/node   nostr-tools and a WebSocket for it; PostgreSQL, for a private server
//! target/peers/bin    nostr-rs-relay; cargo-deny unless it is on PATH
//! ```
//! Each part is installed once and again when its version here changes. Whatever is missing on
//! the machine is an error that names it: a test that does not run proves nothing.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    steps::Steps,
    tools::{self, Outcome},
};

/// rust-nostr's Python package.
const NOSTR_SDK: &str = "nostr-sdk==0.45.1";
/// What the Node client imports.
const NODE_PACKAGES: [(&str, &str); 2] = [("nostr-tools", "2.25.2"), ("ws", "8.23.0")];
/// PostgreSQL 17 as a package of programs: the same on every machine, and no administrator needed.
const POSTGRES: &str = "17.10.0-beta.17";
/// Oldest Node that the packages run on.
const NODE_MAJOR_MINIMUM: u32 = 20;
/// The second relay.
const NOSTR_RS_RELAY: &str = "0.8.12";
/// The licence checker, where it is not on `PATH`.
const CARGO_DENY: &str = "0.20.2";
/// Builds the fuzz targets.
const CARGO_FUZZ: &str = "0.13.2";
/// Carries a `protoc` for machines without one.
const GRPCIO_TOOLS: &str = "grpcio-tools==1.85.1";

/// Where everything goes; the tests learn it as `NIPWORKER_PEERS`.
pub(crate) fn folder() -> PathBuf {
    tools::target().join("peers")
}

/// Installs with headings and times.
pub(crate) fn run() -> Outcome {
    let mut steps = Steps::default();
    steps.step("Python: nostr-sdk", python);
    steps.step("Node: nostr-tools, PostgreSQL", node);
    steps.step("nostr-rs-relay", nostr_rs_relay);
    steps.step("cargo-deny", || cargo_deny().map(drop));
    steps.finish()
}

/// Installs what the tests need as one step of a longer command. Everything that is missing is
/// named at once.
pub(crate) fn install() -> Outcome {
    let failures: Vec<String> =
        [python(), node(), nostr_rs_relay()].into_iter().filter_map(Result::err).collect();
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}

fn python() -> Outcome {
    tools::python_environment(&folder().join("venv"), &[NOSTR_SDK]).map(drop)
}

/// Node's packages; they are all that the mining bench needs.
pub(crate) fn node() -> Outcome {
    let needed = format!("Node {NODE_MAJOR_MINIMUM} or later with npm is needed");
    let node = tools::find("node").ok_or_else(|| format!("{needed}: node is not on PATH"))?;
    let npm = tools::find("npm").ok_or_else(|| format!("{needed}: npm is not on PATH"))?;
    let version = tools::output(Command::new(node).arg("--version"))?;
    if major(&version).is_none_or(|major| major < NODE_MAJOR_MINIMUM) {
        return Err(format!("{needed}, found {}", version.trim()));
    }

    let folder = folder().join("node");
    let manifest = node_manifest();
    let stamp = folder.join("installed.txt");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == manifest) {
        return Ok(());
    }
    tools::write(&folder.join("package.json"), manifest.as_bytes())?;
    tools::run(Command::new(npm).current_dir(&folder).args([
        "install",
        "--no-audit",
        "--no-fund",
        "--no-package-lock",
        "--loglevel=error",
    ]))?;
    tools::write(&stamp, manifest.as_bytes())
}

/// Major version of a text like `v20.1.0`.
fn major(version: &str) -> Option<u32> {
    version.trim().trim_start_matches('v').split('.').next()?.parse().ok()
}

fn node_manifest() -> String {
    let postgres = postgres_package();
    let packages: Vec<String> = NODE_PACKAGES
        .into_iter()
        .chain([(postgres.as_str(), POSTGRES)])
        .map(|(name, version)| format!("    \"{name}\": \"{version}\""))
        .collect();
    format!(
        "{{\n  \"private\": true,\n  \"dependencies\": {{\n{}\n  }}\n}}\n",
        packages.join(",\n")
    )
}

/// The package for this machine, by the names that Node gives systems and processors.
fn postgres_package() -> String {
    let system = match std::env::consts::OS {
        "macos" => "darwin",
        other => other,
    };
    let processor = match std::env::consts::ARCH {
        "x86_64" => "x64",
        "aarch64" => "arm64",
        other => other,
    };
    format!("@embedded-postgres/{system}-{processor}")
}

/// PostgreSQL's programs: a folder with `bin`, `lib` and `share`.
pub(crate) fn postgres() -> PathBuf {
    folder().join("node/node_modules").join(postgres_package()).join("native")
}

fn nostr_rs_relay() -> Outcome {
    cargo_install("nostr-rs-relay", NOSTR_RS_RELAY, &[], |command| {
        if std::env::var_os("PROTOC").is_none() && tools::find("protoc").is_none() {
            command.env("PROTOC", protoc_from_python()?);
        }
        Ok(())
    })
    .map(drop)
}

/// A `protoc` by way of the Python package that carries one: a script that hands its arguments on.
fn protoc_from_python() -> Outcome<PathBuf> {
    let folder = tools::target().join("tools/protoc");
    let python = tools::python_environment(&folder, &[GRPCIO_TOOLS])?.join("python");
    let script = folder.join("protoc");
    let text = format!("#!/bin/sh\nexec '{}' -m grpc_tools.protoc \"$@\"\n", python.display());
    tools::write(&script, text.as_bytes())?;
    make_executable(&script)?;
    Ok(script)
}

#[cfg(unix)]
fn make_executable(file: &Path) -> Outcome {
    use std::os::unix::fs::PermissionsExt;

    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755))
        .map_err(|error| format!("{}: {error}", file.display()))
}

#[cfg(not(unix))]
fn make_executable(_: &Path) -> Outcome {
    Err("protoc is needed: install the protocol buffers compiler and put it on PATH".to_owned())
}

/// The licence checker: the one on `PATH`, or one of our own.
pub(crate) fn cargo_deny() -> Outcome<PathBuf> {
    match tools::find("cargo-deny") {
        Some(found) => Ok(found),
        None => cargo_install("cargo-deny", CARGO_DENY, &["--locked"], |_| Ok(())),
    }
}

/// The builder of the fuzz targets, which `peers` does not install: only `fuzz` needs it.
pub(crate) fn cargo_fuzz() -> Outcome<PathBuf> {
    cargo_install("cargo-fuzz", CARGO_FUZZ, &["--locked"], |_| Ok(()))
}

/// Settings with which a build takes less time. What checks signatures, and the database below
/// nostr-rs-relay, are optimised: they decide how long the tests wait for that relay.
const QUICK_BUILD: [&str; 6] = [
    "profile.release.opt-level=0",
    "profile.release.lto='off'",
    "profile.release.codegen-units=16",
    "profile.release.debug=0",
    "profile.release.package.secp256k1-sys.opt-level=2",
    "profile.release.package.libsqlite3-sys.opt-level=1",
];

/// Installs a crate's program into `target/peers/bin`, unless that version is there.
fn cargo_install(
    name: &str,
    version: &str,
    options: &[&str],
    prepare: impl FnOnce(&mut Command) -> Outcome,
) -> Outcome<PathBuf> {
    let root = folder();
    let program = root.join("bin").join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    let stamp = root.join(format!("{name}.txt"));
    if program.is_file() && std::fs::read_to_string(&stamp).is_ok_and(|there| there == version) {
        return Ok(program);
    }
    let build = root.join("build").join(name);
    let mut command = tools::cargo();
    command.args(["install", name, "--version", version, "--force", "--quiet"]).args(options);
    command.arg("--root").arg(&root).arg("--target-dir").arg(&build);
    // None of them is measured: what matters is how soon it is there.
    for setting in QUICK_BUILD {
        command.args(["--config", setting]);
    }
    prepare(&mut command)?;
    println!("building {name} {version}, which takes a few minutes");
    tools::run(&mut command)?;
    tools::write(&stamp, version.as_bytes())?;
    // Some hundred megabytes that nobody asks for again.
    std::fs::remove_dir_all(&build).map_err(|error| format!("{}: {error}", build.display()))?;
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_of_node_is_read() {
        assert_eq!(major("v20.20.2\n"), Some(20));
        assert_eq!(major("18.0.0"), Some(18));
        assert_eq!(major("nightly"), None);
    }

    #[test]
    fn the_node_manifest_pins_each_package() {
        let manifest = node_manifest();
        let postgres = postgres_package();
        for (name, version) in NODE_PACKAGES.into_iter().chain([(postgres.as_str(), POSTGRES)]) {
            assert!(manifest.contains(&format!("\"{name}\": \"{version}\"")), "{manifest}");
        }
    }
}
