//! Finding and running the programs that the commands lean on.

use std::{
    env,
    ffi::OsString,
    path::{Path, PathBuf},
    process::Command,
};

/// What a command comes to: an error is one message for a human.
pub(crate) type Outcome<T = ()> = Result<T, String>;

/// The folder of the workspace's `Cargo.toml`: of the one in which cargo runs this program. Where
/// two working trees share a target folder, the program may have been compiled in the other.
pub(crate) fn root() -> PathBuf {
    let manifest = env::var_os("CARGO_MANIFEST_DIR")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    manifest.parent().unwrap_or(&manifest).to_path_buf()
}

/// Where builds and installed tools go: `CARGO_TARGET_DIR`, or `target` in the workspace.
pub(crate) fn target() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(folder) => root().join(folder),
        None => root().join("target"),
    }
}

/// The cargo that runs this program.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(root());
    command
}

/// Full path of a program on `PATH`.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    env::split_paths(&path)
        .map(|folder| folder.join(format!("{program}{}", env::consts::EXE_SUFFIX)))
        .find(|file| file.is_file())
}

/// `PATH` with `folder` in front.
///
/// # Errors
/// A folder whose name holds the separator of `PATH`.
pub(crate) fn path_with(folder: &Path) -> Outcome<OsString> {
    let old = env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(folder.to_path_buf()).chain(env::split_paths(&old));
    env::join_paths(all).map_err(|error| format!("{}: {error}", folder.display()))
}

/// Runs a command and waits for it; its output goes to ours.
///
/// # Errors
/// The command cannot be started or ends with another code than 0.
pub(crate) fn run(command: &mut Command) -> Outcome {
    let text = text_of(command);
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{text}` ended with {status}")),
        Err(error) => Err(format!("`{text}` cannot be started: {error}")),
    }
}

/// Runs a command and returns what it printed on standard output.
///
/// # Errors
/// As [`run`].
pub(crate) fn output(command: &mut Command) -> Outcome<String> {
    let text = text_of(command);
    match command.output() {
        Ok(output) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Ok(output) => Err(format!(
            "`{text}` ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        )),
        Err(error) => Err(format!("`{text}` cannot be started: {error}")),
    }
}

fn text_of(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
    let words = command.get_args().map(|word| word.to_string_lossy().into_owned());
    std::iter::once(name).chain(words).collect::<Vec<_>>().join(" ")
}

/// A Python environment under `target/tools/NAME` with `packages` in it; its `bin` folder.
/// Installs only what is not there yet.
///
/// # Errors
/// No Python 3 with `venv` on `PATH`, or `pip` fails.
pub(crate) fn python_environment(folder: &Path, packages: &[&str]) -> Outcome<PathBuf> {
    let bin = folder.join(if cfg!(windows) { "Scripts" } else { "bin" });
    let stamp = folder.join("installed.txt");
    let wanted = packages.join("\n");
    if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(bin);
    }
    let python = find("python3")
        .or_else(|| find("python"))
        .ok_or("Python 3 is needed: install python3 with its venv module")?;
    run(Command::new(python).args(["-m", "venv"]).arg(folder)).map_err(|error| {
        format!("{error}\na Python 3 with the venv module is needed (Debian: python3-venv)")
    })?;
    run(Command::new(bin.join("python"))
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"])
        .args(packages))?;
    write(&stamp, wanted.as_bytes())?;
    Ok(bin)
}

/// Writes a file and the folders that lead to it.
///
/// # Errors
/// Names the file.
pub(crate) fn write(file: &Path, bytes: &[u8]) -> Outcome {
    if let Some(folder) = file.parent() {
        std::fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    }
    std::fs::write(file, bytes).map_err(|error| format!("{}: {error}", file.display()))
}

/// Reads a text file.
///
/// # Errors
/// Names the file.
pub(crate) fn read(file: &Path) -> Outcome<String> {
    std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))
}

/// Names of the plain files in a folder, sorted.
///
/// # Errors
/// Names the folder.
pub(crate) fn files_in(folder: &Path) -> Outcome<Vec<String>> {
    names_in(folder, std::fs::FileType::is_file)
}

/// Names of the folders in a folder, sorted.
///
/// # Errors
/// Names the folder.
pub(crate) fn folders_in(folder: &Path) -> Outcome<Vec<String>> {
    names_in(folder, std::fs::FileType::is_dir)
}

fn names_in(folder: &Path, wanted: fn(&std::fs::FileType) -> bool) -> Outcome<Vec<String>> {
    let failed = |error: std::io::Error| format!("{}: {error}", folder.display());
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if wanted(&entry.file_type().map_err(failed)?) {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    names.sort();
    Ok(names)
}
