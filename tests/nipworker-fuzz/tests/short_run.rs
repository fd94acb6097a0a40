//! Seeds and mutations of them through every target: the same inputs each time, in seconds.

#![allow(clippy::unwrap_used)]

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use nipworker_fuzz::{Target, targets};
use rand::{Rng, SeedableRng, rngs::SmallRng, seq::IndexedRandom};

/// Mutations for each target.
const MUTATIONS: usize = 2_000;
/// Mutations for the target whose every input costs some agreements of keys.
const COSTLY_MUTATIONS: usize = 150;
/// Longest input in bytes.
const MAX_INPUT_BYTES: usize = 2_048;
/// Bytes of all seeds together.
const MAX_SEED_BYTES: u64 = 300_000;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds")
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = folder().join(target);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{target} has no seeds");
    files.iter().map(|file| std::fs::read(file).unwrap()).collect()
}

/// One to four small changes.
fn mutate(random: &mut SmallRng, seeds: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
    let mut bytes = seeds.choose(random).unwrap().clone();
    for _ in 0..random.random_range(1..5) {
        let at = random.random_range(0..=bytes.len());
        let end = random.random_range(at..=bytes.len().min(at + 32));
        match random.random_range(0..8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << random.random_range(0..8),
            1 if at < bytes.len() => bytes[at] = random.random(),
            2 => drop(bytes.drain(at..end)),
            3 => {
                let piece = bytes[at..end].to_vec();
                let place = random.random_range(0..=bytes.len());
                drop(bytes.splice(place..place, piece));
            }
            4 => {
                let other = seeds.choose(random).unwrap();
                let from = random.random_range(0..=other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            5 => bytes.truncate(at),
            _ => {
                let word: &[u8] = words.choose(random).map_or(&[0, 255], |word| word.as_bytes());
                drop(bytes.splice(at..at, word.iter().copied()));
            }
        }
    }
    bytes.truncate(MAX_INPUT_BYTES);
    bytes
}

fn feed(target: &Target, input: &[u8]) {
    let ran = catch_unwind(AssertUnwindSafe(|| (target.run)(input)));
    assert!(ran.is_ok(), "{} on {:?}", target.name, input.escape_ascii().to_string());
}

fn run(name: &str) {
    let target = targets::find(name).unwrap();
    let seeds = seeds(name);
    for seed in &seeds {
        feed(target, seed);
    }
    let mut random = SmallRng::seed_from_u64(20_26);
    let mutations = if name == "encrypted_text" { COSTLY_MUTATIONS } else { MUTATIONS };
    for _ in 0..mutations {
        feed(target, &mutate(&mut random, &seeds, target.words));
    }
}

macro_rules! short_runs {
    ($($name:ident),+ $(,)?) => {
        $(
            #[test]
            fn $name() {
                run(stringify!($name));
            }
        )+

        const TESTED: &[&str] = &[$(stringify!($name)),+];
    };
}

short_runs! {
    frame_scan,
    event_decode,
    content_blocks,
    nip19,
    bolt11,
    flatbuffers,
    packed_event,
    encrypted_text,
    filter_json,
    relay_url,
    kinds,
    relay_session,
    cashu,
    markdown,
}

#[test]
fn every_target_has_a_test_a_binary_and_seeds() {
    let names: Vec<&str> = targets::ALL.iter().map(|target| target.name).collect();
    assert_eq!(names, TESTED);
    let manifest = include_str!("../cargo-fuzz/Cargo.toml");
    for name in &names {
        assert!(manifest.contains(&format!("\"fuzz_targets/{name}.rs\"")), "{name} has no binary");
    }
    let mut folders: Vec<String> = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    folders.sort();
    let mut sorted = names;
    sorted.sort_unstable();
    assert_eq!(folders, sorted);
}

#[test]
fn the_seeds_stay_small() {
    let files = std::fs::read_dir(folder())
        .unwrap()
        .flat_map(|entry| std::fs::read_dir(entry.unwrap().path()).unwrap());
    let bytes: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!(bytes <= MAX_SEED_BYTES, "{bytes} bytes of seeds, more than {MAX_SEED_BYTES}");
}
