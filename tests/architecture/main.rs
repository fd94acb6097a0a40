//! The layer table of ARCHITECTURE.md, held against what the manifests really say.
//!
//! * [`layers`]: the table, one row for each package, as data;
//! * [`rules`]: what a row forbids, as one function from packages to findings;
//! * [`workspace`]: the packages as `cargo metadata` sees them.
//!
//! Whoever adds a package adds a row. Whoever needs a new edge between packages changes the row,
//! in a commit of its own that says why.

#![allow(clippy::unwrap_used)]

mod layers;
mod rules;
mod workspace;

#[test]
fn every_package_stands_in_its_layer() {
    let packages = workspace::packages();
    assert!(packages.len() > 5, "only {} packages found", packages.len());
    let findings = rules::check(layers::TABLE, &packages);
    assert!(findings.is_empty(), "the layer table is broken:\n  {}", findings.join("\n  "));
}

/// Addresses that strangers write into events are shown, never fetched: what reads events could
/// not if it wanted.
#[test]
fn l17_what_reads_events_reaches_no_network_through_any_package() {
    const NETWORK: [&str; 12] = [
        "tokio",
        "mio",
        "socket2",
        "actix-rt",
        "async-io",
        "hyper",
        "reqwest",
        "ureq",
        "tungstenite",
        "tokio-tungstenite",
        "rustls",
        "nipworker-transport-ws",
    ];
    let packages = workspace::packages();
    let pipeline = packages.iter().find(|package| package.name == "nipworker-pipeline").unwrap();
    assert!(pipeline.reaches.contains("pulldown-cmark"), "{:?}", pipeline.reaches);
    for name in NETWORK {
        assert!(!pipeline.reaches.contains(name), "nipworker-pipeline reaches {name}");
    }
}

#[test]
fn generated_code_is_checked_in_and_not_made_by_a_build_script() {
    for package in workspace::packages() {
        assert!(!package.build_script, "{} has a build script", package.name);
    }
}
