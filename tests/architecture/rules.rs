//! What the layer table forbids. A finding is one sentence that names the package and the row.

use crate::{
    layers::{Layer, Row},
    workspace::{Kind, Package},
};

/// Holds packages against the table; empty when all is well.
pub(crate) fn check(table: &[Row], packages: &[Package]) -> Vec<String> {
    packages.iter().flat_map(|package| check_one(table, packages, package)).collect()
}

/// A literal name, or a beginning followed by `*`.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => pattern == name,
    }
}

fn any_fits(patterns: &[&str], name: &str) -> bool {
    patterns.iter().any(|pattern| fits(pattern, name))
}

fn row_of<'a>(table: &'a [Row], name: &str) -> Option<&'a Row> {
    table.iter().find(|row| fits(row.name, name))
}

fn check_one(table: &[Row], packages: &[Package], package: &Package) -> Vec<String> {
    let name = &package.name;
    let Some(row) = row_of(table, name) else {
        return vec![format!("{name} has no row in the layer table")];
    };
    let mut findings = Vec::new();
    if !stands_in(row, package) {
        findings.push(format!("{name} lies in {:?}", package.folder));
    }
    let ours = |name: &str| packages.iter().any(|package| package.name == name);

    let mut choices: Vec<&str> = Vec::new();
    for dependency in &package.dependencies {
        let other = dependency.name.as_str();
        if other == name {
            // Its own tests may switch on its own features.
            if dependency.kind == Kind::Normal {
                findings.push(format!("{name} depends on itself"));
            }
        } else if dependency.kind == Kind::Dev {
            // Tests are free in all but one: whoever names an actor would build a second core.
            let actor = row_of(table, other).is_some_and(|row| row.layer == Layer::Actor);
            if actor && row.layer != Layer::Composition {
                findings.push(format!("{name} names the actor {other} in its tests"));
            }
        } else if ours(other) || row_of(table, other).is_some() {
            let layer = row_of(table, other).map(|row| row.layer);
            let allowed = any_fits(row.may, other)
                || layer.is_some_and(|layer| row.may_layers.contains(&layer));
            if !allowed {
                findings.push(format!("{name} ({:?}) must not depend on {other}", row.layer));
            }
            if row.one_of.contains(&other) && !choices.contains(&other) {
                choices.push(other);
            }
        } else if any_fits(row.banned, other) {
            findings.push(format!("{name} ({:?}) must not know {other}", row.layer));
        }
    }
    if choices.len() > 1 {
        findings.push(format!("{name} may name one of {}", choices.join(", ")));
    }
    for other in &package.reaches {
        if any_fits(row.unreachable, other) {
            findings.push(format!("{name} ({:?}) reaches {other} through others", row.layer));
        }
    }
    findings
}

/// `crates/NAME` or `actors/NAME`; the few packages in the root drop the common prefix.
fn stands_in(row: &Row, package: &Package) -> bool {
    let name = package.name.as_str();
    if row.folder.is_empty() {
        package.folder == name.strip_prefix("nipworker-").unwrap_or(name)
    } else {
        package.folder == format!("{}/{name}", row.folder)
    }
}

mod tests {
    use super::check;
    use crate::{
        layers::TABLE,
        workspace::{Dependency, Kind, Package},
    };

    fn package(folder: &str, name: &str, dependencies: &[&str]) -> Package {
        Package {
            name: name.to_owned(),
            folder: format!("{folder}/{name}"),
            dependencies: dependencies
                .iter()
                .map(|name| Dependency { name: (*name).to_owned(), kind: Kind::Normal })
                .collect(),
            reaches: dependencies.iter().map(|name| (*name).to_owned()).collect(),
            build_script: false,
        }
    }

    fn findings(package: Package) -> Vec<String> {
        check(TABLE, &[package])
    }

    #[test]
    fn what_the_table_allows_has_no_findings() {
        for package in [
            package("crates", "nipworker-protocol", &["serde"]),
            package("crates", "nipworker-schema", &["nipworker-protocol", "actix"]),
            package("crates", "nipworker-relay", &["nipworker-protocol", "nipworker-transport"]),
            package("crates", "nipworker-store-redb", &["nipworker-store", "redb", "tokio"]),
            package(
                "actors",
                "nipworker-cache",
                &["nipworker-store", "nipworker-schema", "nipworker-supervision", "actix"],
            ),
            package("crates", "nipworker-core", &["nipworker-cache", "nipworker-store-redb"]),
            package("crates", "nipworker-server", &["nipworker-core", "clap", "toml"]),
        ] {
            assert_eq!(findings(package), Vec::<String>::new());
        }
    }

    #[test]
    fn each_forbidden_edge_is_found_and_named() {
        for (folder, name, dependency) in [
            ("crates", "nipworker-protocol", "nipworker-hash"),
            ("crates", "nipworker-protocol", "futures"),
            ("crates", "nipworker-mailbox", "serde"),
            ("crates", "nipworker-pool", "nipworker-protocol"),
            ("crates", "nipworker-supervision", "nostr"),
            ("crates", "nipworker-schema", "nipworker-store"),
            ("crates", "nipworker-store", "actix"),
            ("crates", "nipworker-store", "tokio"),
            ("crates", "nipworker-store", "tokio-util"),
            ("crates", "nipworker-store", "toml"),
            ("crates", "nipworker-store", "nipworker-schema"),
            ("crates", "nipworker-store", "nipworker-supervision"),
            ("crates", "nipworker-relay", "nipworker-pipeline"),
            ("crates", "nipworker-store-redb", "nipworker-transport"),
            ("crates", "nipworker-store-redb", "nipworker-store-sled"),
            ("crates", "nipworker-store-redb", "nipworker-cache"),
            ("crates", "nipworker-transport-ws", "actix"),
            ("actors", "nipworker-cache", "nipworker-parser"),
            ("actors", "nipworker-cache", "nipworker-store-redb"),
            ("actors", "nipworker-cache", "redb"),
            ("crates", "nipworker-core", "nipworker-server"),
            ("crates", "nipworker-core", "clap"),
            ("crates", "nipworker-server", "nipworker-cache"),
            ("crates", "nipworker-wasm", "nipworker-server"),
        ] {
            let found = findings(package(folder, name, &[dependency]));
            assert!(
                found.iter().any(|text| text.contains(name) && text.contains(dependency)),
                "{name} -> {dependency}: {found:?}"
            );
        }
    }

    #[test]
    fn a_package_without_a_row_is_found() {
        let found = findings(package("crates", "nipworker-surprise", &[]));
        assert_eq!(found, ["nipworker-surprise has no row in the layer table"]);
    }

    #[test]
    fn a_package_in_the_wrong_folder_is_found() {
        let found = findings(package("crates", "nipworker-cache", &[]));
        assert_eq!(found, ["nipworker-cache lies in \"crates/nipworker-cache\""]);
    }

    #[test]
    fn a_second_domain_of_an_actor_is_found() {
        let found =
            findings(package("actors", "nipworker-cache", &["nipworker-store", "nipworker-pow"]));
        assert_eq!(found, ["nipworker-cache may name one of nipworker-store, nipworker-pow"]);
    }

    #[test]
    fn a_second_port_of_a_domain_is_found() {
        let ports = ["nipworker-store", "nipworker-signer"];
        let found = findings(package("crates", "nipworker-pipeline", &ports));
        assert_eq!(found, ["nipworker-pipeline may name one of nipworker-store, nipworker-signer"]);
    }

    #[test]
    fn a_runtime_that_hides_behind_another_package_is_found() {
        let mut domain = package("crates", "nipworker-store", &["harmless"]);
        domain.reaches.insert("tokio".to_owned());
        assert_eq!(findings(domain), ["nipworker-store (Domain) reaches tokio through others"]);
    }

    #[test]
    fn tests_are_free_but_for_the_actors() {
        let dev = |folder: &str, name: &str, other: &str| {
            let mut package = package(folder, name, &[]);
            package.dependencies.push(Dependency { name: other.to_owned(), kind: Kind::Dev });
            findings(package)
        };
        assert!(dev("crates", "nipworker-store", "tokio").is_empty());
        assert!(dev("crates", "nipworker-store", "nipworker-signer").is_empty());
        assert!(dev("crates", "nipworker-store", "nipworker-store").is_empty());
        assert!(dev("crates", "nipworker-core", "nipworker-cache").is_empty());
        for (folder, name) in [("actors", "nipworker-cache"), ("crates", "nipworker-server")] {
            let found = dev(folder, name, "nipworker-parser");
            assert_eq!(found, [format!("{name} names the actor nipworker-parser in its tests")]);
        }
    }
}
