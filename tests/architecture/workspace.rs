//! The packages of this workspace as `cargo metadata` sees them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
};

use serde_json::Value;

/// In which part of a manifest a dependency stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `[dependencies]` or `[build-dependencies]`: what users get.
    Normal,
    /// `[dev-dependencies]`: tests only.
    Dev,
}

/// One line of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Dependency {
    pub(crate) name: String,
    pub(crate) kind: Kind,
}

/// One package with what the rules look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// Folder below the repository's root, with `/`.
    pub(crate) folder: String,
    pub(crate) dependencies: Vec<Dependency>,
    /// What it reaches without development dependencies, itself excluded.
    pub(crate) reaches: BTreeSet<String>,
    pub(crate) build_script: bool,
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("cargo metadata has no {key} in {value}"))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn host() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().find_map(|line| line.strip_prefix("host: ")).unwrap().to_owned()
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["metadata", "--format-version", "1", "--filter-platform", &host()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// All members of the workspace.
pub(crate) fn packages() -> Vec<Package> {
    let metadata = metadata();
    let root = Path::new(text(&metadata, "workspace_root"));
    let members: BTreeSet<&str> =
        list(&metadata["workspace_members"]).filter_map(Value::as_str).collect();
    let names: BTreeMap<&str, &str> = list(&metadata["packages"])
        .map(|package| (text(package, "id"), text(package, "name")))
        .collect();
    let graph: BTreeMap<&str, Vec<&str>> = list(&metadata["resolve"]["nodes"])
        .map(|node| {
            let next = list(&node["deps"])
                .filter(|dependency| {
                    list(&dependency["dep_kinds"]).any(|kind| kind["kind"] != "dev")
                })
                .map(|dependency| text(dependency, "pkg"));
            (text(node, "id"), next.collect())
        })
        .collect();
    list(&metadata["packages"])
        .filter(|package| members.contains(text(package, "id")))
        .map(|package| {
            let manifest = Path::new(text(package, "manifest_path"));
            let folder = manifest.parent().unwrap().strip_prefix(root).unwrap();
            Package {
                name: text(package, "name").to_owned(),
                folder: folder.to_string_lossy().replace('\\', "/"),
                dependencies: list(&package["dependencies"])
                    // Model checkers stand in for the standard library in their own builds only.
                    .filter(|dependency| dependency["target"] != "cfg(loom)")
                    .map(|dependency| Dependency {
                        name: text(dependency, "name").to_owned(),
                        kind: match dependency["kind"].as_str() {
                            Some("dev") => Kind::Dev,
                            _ => Kind::Normal,
                        },
                    })
                    .collect(),
                reaches: reachable(&graph, text(package, "id"))
                    .into_iter()
                    .map(|id| names[id].to_owned())
                    .collect(),
                build_script: list(&package["targets"])
                    .any(|target| list(&target["kind"]).any(|kind| kind == "custom-build")),
            }
        })
        .collect()
}

fn reachable<'a>(graph: &BTreeMap<&'a str, Vec<&'a str>>, from: &'a str) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    let mut next = graph.get(from).cloned().unwrap_or_default();
    while let Some(id) = next.pop() {
        if seen.insert(id) {
            next.extend(graph.get(id).into_iter().flatten());
        }
    }
    seen
}
