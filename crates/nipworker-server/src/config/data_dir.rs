//! Where a user's own data lies on this system.

use std::{env, path::PathBuf};

const FOLDER: &str = "nipworker";

/// The user's own data folder: `$XDG_DATA_HOME/nipworker`, or `~/.local/share/nipworker`; on
/// macOS `~/Library/Application Support/nipworker`; on Windows `%LOCALAPPDATA%\nipworker`.
/// Without a home folder: `nipworker-data` in the current one.
pub(crate) fn default_data_dir() -> PathBuf {
    let folder =
        |variable: &str| env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = if cfg!(windows) {
        folder("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        folder("HOME").map(|home| home.join("Library/Application Support"))
    } else {
        folder("XDG_DATA_HOME").or_else(|| folder("HOME").map(|home| home.join(".local/share")))
    };
    base.map_or_else(|| PathBuf::from("nipworker-data"), |base| base.join(FOLDER))
}
