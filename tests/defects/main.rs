//! Holds `DEFECTS.md` against the sources: every row that must be there is, and every test that
//! it names exists. A table of promises that names no test proves nothing.

#![allow(clippy::unwrap_used)]

use std::{collections::BTreeSet, path::Path};

/// What an earlier engine got wrong: L1 to L17, and what its own history tells, H1 to H13.
const DEFECTS: [(char, u32); 2] = [('L', 17), ('H', 13)];

const ADVISORIES: [&str; 12] = [
    "RUSTSEC-2026-0216",
    "RUSTSEC-2026-0219",
    "RUSTSEC-2026-0224",
    "RUSTSEC-2026-0225",
    "RUSTSEC-2026-0226",
    "RUSTSEC-2026-0227",
    "RUSTSEC-2026-0228",
    "RUSTSEC-2026-0229",
    "RUSTSEC-2026-0230",
    "RUSTSEC-2026-0231",
    "RUSTSEC-2026-0232",
    "RUSTSEC-2025-0024",
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The rows of the tables: id, and the tests as `path::name`.
fn rows() -> Vec<(String, Vec<(String, String)>)> {
    let text = include_str!("../DEFECTS.md");
    let is_row =
        |line: &&str| line.starts_with("| L") || line.starts_with("| H") || line.starts_with("| R");
    text.lines().filter(is_row).map(row).collect()
}

fn row(line: &str) -> (String, Vec<(String, String)>) {
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let [id, _, tests] = cells[..] else { panic!("three cells expected: {line}") };
    let named = tests.split('`').skip(1).step_by(2).map(|test| {
        let (path, name) = test.rsplit_once("::").unwrap_or_else(|| panic!("{id}: {test}"));
        (path.to_owned(), name.to_owned())
    });
    (id.to_owned(), named.collect())
}

/// Names of the functions that are marked as tests, those of proptest among them.
fn tests_in(source: &str) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    let mut is_test = false;
    for line in source.lines().map(str::trim) {
        if line.starts_with("#[") {
            is_test |= line.ends_with("test]") || line.contains("::test(");
        } else if let Some(rest) = line.strip_prefix("async fn ").or(line.strip_prefix("fn ")) {
            if is_test {
                names.insert(rest.split(['(', '<']).next().unwrap());
            }
            is_test = false;
        }
    }
    names
}

#[test]
fn every_defect_and_every_advisory_has_a_row_with_a_test() {
    let rows = rows();
    let ids: BTreeSet<&str> = rows.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(ids.len(), rows.len(), "an id stands twice");
    for (letter, last) in DEFECTS {
        for number in 1..=last {
            let id = format!("{letter}{number}");
            assert!(ids.contains(id.as_str()), "{id} has no row");
        }
    }
    for id in ADVISORIES {
        assert!(ids.contains(id), "{id} has no row");
    }
    for (id, tests) in &rows {
        assert!(!tests.is_empty(), "{id} names no test");
    }
}

#[test]
fn every_test_that_the_table_names_exists() {
    let mut missing = Vec::new();
    for (id, tests) in rows() {
        for (path, name) in tests {
            let source = std::fs::read_to_string(root().join(&path)).unwrap_or_default();
            if !tests_in(&source).contains(name.as_str()) {
                missing.push(format!("{id}: {path}::{name}"));
            }
        }
    }
    assert!(missing.is_empty(), "no such test:\n  {}", missing.join("\n  "));
}

#[test]
fn a_function_counts_as_a_test_only_with_its_mark() {
    let source = "#[test]\nfn one() {}\nfn two() {}\n#[tokio::test]\n#[ignore]\nasync fn three() {}\n\
        #[cfg(test)]\nfn four<T>() {}\nproptest! {\n    #[test]\n    fn five(x in 0..1) {}\n}";
    assert_eq!(tests_in(source), BTreeSet::from(["one", "three", "five"]));
}

/// RUSTSEC-2025-0024: a channel that was dropped freed its memory twice.
#[test]
fn no_crossbeam_channel_older_than_the_mended_one_is_locked() {
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).unwrap();
    let versions: Vec<Vec<u32>> = lock
        .split("[[package]]")
        .filter(|package| package.contains("\nname = \"crossbeam-channel\"\n"))
        .map(|package| {
            let version = package.split("version = \"").nth(1).unwrap().split('"').next().unwrap();
            version.split('.').map(|number| number.parse().unwrap()).collect()
        })
        .collect();
    assert!(!versions.is_empty(), "the pool's channel is not locked at all");
    for version in versions {
        assert!(version >= vec![0, 5, 15], "{version:?}");
    }
}
