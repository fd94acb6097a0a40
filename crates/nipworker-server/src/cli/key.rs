//! `nipworker key`.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read, Write},
    path::Path,
};

use nipworker_core::protocol::PublicKey;
use nipworker_signer::{SecretKey, npub, parse_public_key};
use serde_json::json;
use zeroize::Zeroizing;

use super::{
    args::{KeyCommand, KeyGenerateArgs, KeyShowArgs},
    output::{Failure, json_line, line},
};

/// Largest file that is read as a key, in bytes.
const MAX_KEY_BYTES: u64 = 4_096;

pub(super) fn run(command: &KeyCommand) -> Result<(), Failure> {
    match command {
        KeyCommand::Generate(args) => generate(args),
        KeyCommand::Show(args) => show(args),
    }
}

fn generate(args: &KeyGenerateArgs) -> Result<(), Failure> {
    let secret = SecretKey::generate().map_err(Failure::because)?;
    let Some(file) = &args.out else {
        return print(args.json, &secret.public_key(), Some(&secret));
    };
    write_key(file, &secret)
        .map_err(|error| Failure::because(format_args!("{}: {error}", file.display())))?;
    print(args.json, &secret.public_key(), None)
}

/// Never replaces a file: it could hold another key.
fn write_key(file: &Path, secret: &SecretKey) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(file)?;
    file.write_all(secret.to_nsec().as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()
}

fn show(args: &KeyShowArgs) -> Result<(), Failure> {
    if let Ok(public) = parse_public_key(&args.key) {
        // 64 hex characters could be a secret key just as well; that is for the reader to know.
        return print(args.json, &public, None);
    }
    if args.key.trim_start().to_ascii_lowercase().starts_with("nsec1") {
        return Err(Failure::usage(
            "a secret key on the command line is seen by other users and kept in the shell's \
             history, so it is not taken from there; use a file, or - for stdin. Consider this \
             key as known to others",
        ));
    }
    let text = read(&args.key)?;
    if let Ok(public) = parse_npub(&text) {
        return print(args.json, &public, None);
    }
    let secret = SecretKey::parse(text.trim())
        .map_err(|error| Failure::because(format_args!("{}: {error}", name_of(&args.key))))?;
    print(args.json, &secret.public_key(), args.secret.then_some(&secret))
}

/// In a file or on stdin, hex is a secret key; a public key must say so.
fn parse_npub(text: &str) -> Result<PublicKey, ()> {
    let text = text.trim();
    if !text.starts_with("npub1") {
        return Err(());
    }
    parse_public_key(text).map_err(drop)
}

fn read(file: &str) -> Result<Zeroizing<String>, Failure> {
    let mut text = Zeroizing::new(String::new());
    let read = if file == "-" {
        io::stdin().lock().take(MAX_KEY_BYTES).read_to_string(&mut text)
    } else {
        fs::File::open(file).and_then(|file| file.take(MAX_KEY_BYTES).read_to_string(&mut text))
    };
    let name = name_of(file);
    read.map_err(|error| Failure::because(format_args!("{name}: cannot be read: {error}")))?;
    Ok(text)
}

fn name_of(file: &str) -> &str {
    if file == "-" { "stdin" } else { file }
}

fn print(as_json: bool, public: &PublicKey, secret: Option<&SecretKey>) -> Result<(), Failure> {
    let npub = npub(public);
    if as_json {
        let mut key = json!({ "npub": npub, "public_key": public });
        if let Some(secret) = secret {
            key["nsec"] = secret.to_nsec().as_str().into();
            key["secret_key"] = secret.to_hex().as_str().into();
        }
        return json_line(&key);
    }
    line(format_args!("npub        {npub}\npublic key  {public}"))?;
    if let Some(secret) = secret {
        line(format_args!(
            "nsec        {}\nsecret key  {}",
            secret.to_nsec().as_str(),
            secret.to_hex().as_str()
        ))?;
    }
    Ok(())
}
