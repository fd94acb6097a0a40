//! `cargo xtask codegen`: FlatBuffers code from `schemas/*.fbs`, checked in and compared.
//!
//! flatc comes from `xtask/codegen`, a package that pins the one release that fits the
//! `flatbuffers` crate. flatc writes one file for each type and, per schema, a module list that
//! forgets the other schemas; so the types are taken from all schemas into one flat folder and
//! the list is written here.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use sha2::{Digest, Sha256};

use crate::tools::{self, Outcome};

/// Files by name, with their content.
type Files = BTreeMap<String, String>;

const DIGESTS: &str = "SHA256SUMS";

fn generated_folder() -> PathBuf {
    tools::root().join("crates/nipworker-schema/src/gen")
}

/// Writes the generated code anew.
pub(crate) fn generate() -> Outcome {
    let files = build()?;
    let folder = generated_folder();
    if folder.is_dir() {
        for name in tools::files_in(&folder)? {
            if !files.contains_key(&name) {
                std::fs::remove_file(folder.join(&name)).map_err(|e| format!("{name}: {e}"))?;
            }
        }
    }
    for (name, text) in &files {
        tools::write(&folder.join(name), text.as_bytes())?;
    }
    println!("wrote {} files to {}", files.len(), shown(&folder));
    Ok(())
}

/// Generates anew under `target` and compares byte by byte. Without a C++ compiler flatc cannot
/// be built; then the digests that stand beside the code are compared, and the output says so.
pub(crate) fn check() -> Outcome {
    let found = read_folder(&generated_folder())?;
    if has_cxx() {
        let files = build()?;
        compare(&files, &found)?;
        println!("{} generated files are current", files.len());
        Ok(())
    } else {
        println!("no C++ compiler for flatc: comparing the recorded digests instead");
        let recorded = found.get(DIGESTS).ok_or_else(|| format!("{DIGESTS} is missing"))?;
        let now = digests(&schemas()?, &found);
        compare(
            &Files::from([(DIGESTS.to_owned(), now)]),
            &Files::from([(DIGESTS.to_owned(), recorded.clone())]),
        )
    }
}

fn has_cxx() -> bool {
    std::env::var_os("CXX").is_some()
        || ["c++", "g++", "clang++", "cl"].iter().any(|name| tools::find(name).is_some())
}

/// Names the first file that differs.
fn compare(wanted: &Files, found: &Files) -> Outcome {
    let stale = |name: &str, what: &str| {
        Err(format!(
            "{}/{name} {what}; run `cargo xtask codegen` and commit the result",
            shown(&generated_folder())
        ))
    };
    for (name, text) in wanted {
        match found.get(name) {
            None => return stale(name, "is missing"),
            Some(there) if there != text => return stale(name, "is stale"),
            Some(_) => {}
        }
    }
    match found.keys().find(|name| !wanted.contains_key(*name)) {
        Some(name) => stale(name, "is not generated from any schema"),
        None => Ok(()),
    }
}

fn schemas() -> Outcome<Files> {
    let mut files = read_folder(&tools::root().join("schemas"))?;
    files.retain(|name, _| name.ends_with(".fbs"));
    if files.is_empty() {
        return Err("there are no schemas/*.fbs".to_owned());
    }
    Ok(files)
}

fn read_folder(folder: &Path) -> Outcome<Files> {
    tools::files_in(folder)?
        .into_iter()
        .map(|name| tools::read(&folder.join(&name)).map(|text| (name, text)))
        .collect()
}

/// All generated files, made in `target/codegen/out`.
fn build() -> Outcome<Files> {
    let schemas = schemas()?;
    let out = tools::target().join("codegen/out");
    if out.is_dir() {
        std::fs::remove_dir_all(&out).map_err(|e| format!("{}: {e}", out.display()))?;
    }
    let mut files = Files::new();
    for name in schemas.keys() {
        let folder = out.join(name);
        run_flatc(&tools::root().join("schemas").join(name), &folder)?;
        for (name, text) in read_folder(&folder.join("nipworker/schema"))? {
            let name = name.replace("_generated.rs", ".rs");
            if files.insert(name.clone(), adapt(&text)).is_some() {
                return Err(format!("two schemas define the type of {name}"));
            }
        }
    }
    files.insert("mod.rs".to_owned(), module_list(&files));
    let digests = digests(&schemas, &files);
    files.insert(DIGESTS.to_owned(), digests);
    Ok(files)
}

fn run_flatc(schema: &Path, out: &Path) -> Outcome {
    let mut command = tools::cargo();
    command.args(["run", "--quiet", "--locked", "--manifest-path", "xtask/codegen/Cargo.toml"]);
    command.arg("--target-dir").arg(tools::target().join("codegen"));
    // The package leaves cmake no other way to be told not to build flatc's own tests.
    command.env("CMAKE_TOOLCHAIN_FILE", tools::root().join("xtask/codegen/flatc_alone.cmake"));
    if tools::find("cmake").is_none() {
        let folder = tools::target().join("tools/cmake");
        let bin = tools::python_environment(&folder, &["cmake"])?;
        command.env("PATH", tools::path_with(&bin)?);
    }
    command.args(["--", "--rust", "--gen-object-api", "--rust-module-root-file", "-o"]);
    tools::run(command.arg(out).arg(schema))
}

/// Takes away `#[non_exhaustive]`: the crates that read the messages live in this workspace, are
/// compiled together with them, and shall be told by the compiler when a message is added.
/// Trailing blanks go too.
///
/// `Debug` is taken from the tables with private texts, see [`PRIVATE`].
///
/// flatc derives `Default` for a struct with an array of any length, which the standard library
/// has only up to 32; the crate implements it for the longer one itself.
fn adapt(generated: &str) -> String {
    let mut text = String::with_capacity(generated.len());
    for line in generated.lines().filter(|line| line.trim() != "#[non_exhaustive]") {
        text.push_str(line.trim_end());
        text.push('\n');
    }
    let text = text.replace(
        "PartialEq, Default)]\npub struct Bytes64T {",
        "PartialEq)]\npub struct Bytes64T {",
    );
    PRIVATE.iter().fold(text, |text, (table, field)| hide(&text, table, field))
}

/// Tables with a text that nobody shall see, and its field. Their `Debug` stands in
/// `nipworker-schema`, by hand and without the text.
const PRIVATE: [(&str, &str); 4] = [
    ("Encrypt", "plaintext"),
    ("Encrypted", "payload"),
    ("Decrypt", "payload"),
    ("Decrypted", "plaintext"),
];

fn hide(generated: &str, table: &str, field: &str) -> String {
    let derived = format!("#[derive(Debug, Clone, PartialEq)]\npub struct {table}T {{");
    if !generated.contains(&derived) {
        return generated.to_owned();
    }
    generated
        .replace(&derived, &format!("#[derive(Clone, PartialEq)]\npub struct {table}T {{"))
        .replace(
            &format!("ds.field(\"{field}\", &self.{field}());"),
            &format!("ds.field(\"{field}\", &\"hidden\");"),
        )
}

fn module_list(files: &Files) -> String {
    let mut text =
        "// Written by `cargo xtask codegen`, do not modify.\n// @generated\n".to_owned();
    for module in files.keys().filter_map(|name| name.strip_suffix(".rs")) {
        text += &format!("mod {module};\npub use self::{module}::*;\n");
    }
    text
}

fn digests(schemas: &Files, generated: &Files) -> String {
    let generated = generated.iter().filter(|(name, _)| *name != DIGESTS);
    let mut text = String::new();
    for (folder, (name, content)) in
        schemas.iter().map(|file| ("schemas/", file)).chain(generated.map(|file| ("", file)))
    {
        let digest = hex::encode(Sha256::digest(content.as_bytes()));
        text += &format!("{digest}  {folder}{name}\n");
    }
    text
}

fn shown(folder: &Path) -> String {
    folder.strip_prefix(tools::root()).unwrap_or(folder).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(all: &[(&str, &str)]) -> Files {
        all.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn the_first_file_that_differs_is_named() {
        let wanted = files(&[("a.rs", "one"), ("b.rs", "two")]);
        assert_eq!(compare(&wanted, &wanted), Ok(()));
        for (found, name, what) in [
            (files(&[("a.rs", "one")]), "b.rs", "is missing"),
            (files(&[("a.rs", "one"), ("b.rs", "2")]), "b.rs", "is stale"),
            (files(&[("a.rs", "one"), ("b.rs", "two"), ("c.rs", "")]), "c.rs", "is not generated"),
        ] {
            let message = compare(&wanted, &found).unwrap_err();
            assert!(message.contains(&format!("gen/{name} {what}")), "{message}");
        }
    }

    #[test]
    fn messages_can_be_built_and_matched_without_a_rest() {
        let generated = "#[non_exhaustive]\n#[derive(Debug, Clone, PartialEq, Default)]\n\
                         pub struct Bytes64T {  \n}\n";
        let adapted = "#[derive(Debug, Clone, PartialEq)]\npub struct Bytes64T {\n}\n";
        assert_eq!(adapt(generated), adapted);
    }

    #[test]
    fn the_recorded_digests_tell_a_changed_schema_and_a_changed_file() {
        let schemas = files(&[("a.fbs", "table A {}")]);
        let generated = files(&[("a.rs", "struct A;"), (DIGESTS, "what stood there before")]);
        let recorded = digests(&schemas, &generated);
        assert_eq!(recorded.lines().count(), 2, "{recorded}");
        assert_ne!(recorded, digests(&files(&[("a.fbs", "table B {}")]), &generated));
        assert_ne!(recorded, digests(&schemas, &files(&[("a.rs", "struct B;")])));
    }

    #[test]
    fn what_is_checked_in_was_made_from_these_schemas() {
        let found = read_folder(&generated_folder()).unwrap();
        assert_eq!(found.get(DIGESTS), Some(&digests(&schemas().unwrap(), &found)));
    }
}
