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

#[test]
fn generated_code_is_checked_in_and_not_made_by_a_build_script() {
    for package in workspace::packages() {
        assert!(!package.build_script, "{} has a build script", package.name);
    }
}
