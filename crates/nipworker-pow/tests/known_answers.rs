//! Events that were mined once, from 15 to 30 bits, and events that are mined here, up to 14: over
//! all lengths of content mod 64, with up to four tags, escapes and multi-byte text, on every kernel.
#![allow(clippy::unwrap_used)]

use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use nipworker_mining::{BatchContext, BatchResult, Hit, Span, Workload, WorkloadFactory};
use nipworker_pow::{PowFactory, PowInput, SearchKernel, check, kernels, mined};
use nipworker_protocol::{EventId, Signature};

#[path = "common/recipe.rs"]
mod recipe;
use recipe::Recipe;

const TABLE: &str = include_str!("data/known-answers.txt");

fn workload(recipe: Recipe, kernel: &'static dyn SearchKernel) -> Arc<dyn Workload> {
    let factory = PowFactory::with_kernel(Arc::new(|| recipe::CREATED_AT), kernel);
    let input =
        PowInput { event: recipe.event(), difficulty: recipe.bits, refresh_created_at: false };
    factory.prepare(&serde_json::to_value(input).unwrap()).unwrap()
}

fn run(workload: &dyn Workload, span: Span) -> BatchResult {
    let current = AtomicU64::new(0);
    workload.run(span, &BatchContext::new(0, &current, 0))
}

/// By three implementations: the workload's own check, the check of relays, and another library.
fn check_everywhere(workload: &dyn Workload, recipe: Recipe, hit: &Hit) -> EventId {
    workload.verify(hit).unwrap();
    let mined = mined(hit).unwrap();
    assert!(mined.nonce.parse::<u128>().is_ok());
    assert_eq!(u64::from(mined.bits), hit.score);
    let json = serde_json::to_string(&mined.event).unwrap();
    let mut peer: nostr::event::UnsignedEvent = serde_json::from_str(&json).unwrap();
    assert_eq!(peer.id().to_hex(), mined.id.to_hex(), "{recipe:?}");
    assert!(peer.id().check_pow(u8::try_from(recipe.bits).unwrap()));
    let pow = check(&mined.event.with_signature(Signature::from_bytes([0; 64])), recipe.bits);
    assert_eq!(pow.unwrap().committed(), recipe.bits);
    mined.id
}

#[test]
fn every_known_nonce_is_found_by_every_kernel_where_it_was() {
    let mut seen = Vec::new();
    for line in TABLE.lines() {
        let fields: Vec<&str> = line.split(' ').collect();
        let [bits, len, tags, text, index, id] = fields[..] else { panic!("{line}") };
        let number = |field: &str| field.parse::<usize>().unwrap();
        let (len, tags, text) = (number(len), number(tags), number(text));
        let recipe = Recipe { bits: bits.parse().unwrap(), len, tags, text };
        let index: u64 = index.parse().unwrap();
        seen.push(recipe);
        for kernel in kernels() {
            let workload = workload(recipe, kernel);
            // Up to a few of its neighbours, across the ends of rows.
            let before = index.min(seen.len() as u64 % 40);
            let result = run(workload.as_ref(), Span::new(index - before, before + 20));
            let [hit] = &result.hits[..] else { panic!("{}: {line}", kernel.name()) };
            assert_eq!((hit.index, result.attempts), (index, before + 1), "{line}");
            let found = check_everywhere(workload.as_ref(), recipe, hit);
            assert_eq!(found, EventId::from_str(id).unwrap(), "{}: {line}", kernel.name());
        }
    }
    let wanted: Vec<Recipe> = (15..=30).flat_map(Recipe::of).collect();
    assert!(seen == wanted, "the table has {} of {} recipes", seen.len(), wanted.len());
}

#[test]
fn low_difficulties_are_mined_by_every_kernel_alike() {
    for bits in 1..=14 {
        for recipe in Recipe::of(bits) {
            let mut first: Option<(u64, EventId)> = None;
            for kernel in kernels() {
                // The portable kernel takes its time, so it mines every eighth.
                if bits > 11 && kernel.name() == "portable" && recipe.len % 8 != 0 {
                    continue;
                }
                let workload = workload(recipe, kernel);
                let mut at = 0;
                let hit = loop {
                    let result = run(workload.as_ref(), Span::new(at, 30_000));
                    at += result.attempts;
                    if let Some(hit) = result.hits.into_iter().next() {
                        break hit;
                    }
                };
                let id = check_everywhere(workload.as_ref(), recipe, &hit);
                let found = (hit.index, id);
                assert_eq!(*first.get_or_insert(found), found, "{}: {recipe:?}", kernel.name());
            }
        }
    }
}
