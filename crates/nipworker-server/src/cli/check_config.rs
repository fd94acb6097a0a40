//! `nipworker check-config`.

use serde_json::json;

use super::{
    args::CheckConfigArgs,
    output::{Failure, json_line, line},
};
use crate::config::{self, Flags, Sources};

pub(super) fn run(args: &CheckConfigArgs) -> Result<(), Failure> {
    let file = args.file.clone().filter(|file| !file.as_os_str().is_empty());
    let sources = Sources::from_process(file, Flags::default());
    let loaded = config::load(&sources).map_err(Failure::because)?;
    if let Some(key) = &loaded.secret_key {
        crate::keys::public_key_of(key).map_err(Failure::because)?;
    }
    let mut config = loaded.config;
    config.daemon.data = config.data_dir();
    let signs = loaded.secret_key.is_some();
    if args.json {
        return json_line(&json!({ "config": config, "secret_key": signs.then_some("hidden") }));
    }
    let text = toml::to_string_pretty(&config).map_err(Failure::because)?;
    line(text.trim_end())?;
    if signs {
        line("\n# The secret key is set and can be read; it is hidden here.")?;
    }
    Ok(())
}
