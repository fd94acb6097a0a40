//! Who is asked for whom.
#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use nipworker_protocol::{Event, PublicKey, Signature, Tag};
use nipworker_relay::{
    EventId, Filter, RelayUrl,
    routing::{
        Candidates, HINTS_PER_AUTHOR_MAX, Heard, Places, RELAYS_PER_LIST_MAX, Route, Router,
        RoutingConfig, Wanted, cover,
    },
};
use proptest::prelude::*;

const NOW: Duration = Duration::from_secs(100);

fn key(number: u8) -> PublicKey {
    PublicKey::from_bytes([number; 32])
}

fn url(name: &str) -> RelayUrl {
    RelayUrl::parse(&format!("wss://{name}.example.com")).unwrap()
}

fn writes(router: &Router, author: u8, relays: &[&str]) {
    let relays: Vec<_> = relays.iter().map(|name| (url(name), false, true)).collect();
    router.learn(key(author), 1, &relays);
}

fn reads(router: &Router, author: u8, relays: &[&str]) {
    let relays: Vec<_> = relays.iter().map(|name| (url(name), true, false)).collect();
    router.learn(key(author), 1, &relays);
}

/// Whom each relay is asked for.
fn asked(routes: &[Route]) -> BTreeMap<String, BTreeSet<PublicKey>> {
    let authors = |route: &Route| {
        let authors = route.filters.iter().flat_map(|f| f.authors.clone().unwrap_or_default());
        authors.collect()
    };
    routes.iter().map(|route| (route.relay.to_string(), authors(route))).collect()
}

fn keys(numbers: &[u8]) -> BTreeSet<PublicKey> {
    numbers.iter().copied().map(key).collect()
}

fn read(router: &Router, filters: &[Filter], configured: &[RelayUrl]) -> Vec<Route> {
    router.read(NOW, filters, configured, |_| false, usize::MAX)
}

fn note(author: u8, kind: u16, mentions: &[u8]) -> Event {
    let tags = mentions.iter().map(|person| Tag::new(["p".to_owned(), key(*person).to_string()]));
    Event {
        id: EventId::from_bytes([9; 32]),
        pubkey: key(author),
        created_at: 1,
        kind,
        tags: tags.collect(),
        content: String::new(),
        sig: Signature::from_bytes([0; 64]),
    }
}

#[test]
fn each_relay_is_asked_for_the_authors_that_write_there_and_no_others() {
    let router = Router::new(RoutingConfig::default());
    writes(&router, 1, &["a"]);
    writes(&router, 2, &["a", "b"]);
    writes(&router, 3, &["c"]);
    let filter = Filter::new().kinds([1]).authors([1, 2, 3, 4].map(key)).limit(5);
    let routes = read(&router, &[filter], &[url("home")]);
    let expected = [
        (url("a"), keys(&[1, 2])),
        (url("b"), keys(&[2])),
        (url("c"), keys(&[3])),
        // Nobody knows where the fourth writes.
        (url("home"), keys(&[4])),
    ];
    assert_eq!(asked(&routes), expected.map(|(relay, people)| (relay.to_string(), people)).into());
    for route in &routes {
        assert_eq!(
            (route.filters[0].kinds.as_deref(), route.filters[0].limit),
            (Some(&[1][..]), Some(5))
        );
    }
}

#[test]
fn mentions_are_looked_for_where_people_read_and_what_names_nobody_at_the_configured_relays() {
    let router = Router::new(RoutingConfig::default());
    reads(&router, 1, &["inbox"]);
    let mentions = Filter::new().kinds([1]).tag('p', [key(1).to_string()]);
    let anybody = Filter::new().tag('t', ["nostr"]);
    let routes = read(&router, &[mentions.clone(), anybody.clone()], &[url("home")]);
    assert_eq!(
        routes,
        [
            Route { relay: url("home"), filters: vec![anybody] },
            Route { relay: url("inbox"), filters: vec![mentions] },
        ]
    );
}

#[test]
fn an_event_goes_to_its_authors_relays_and_to_where_the_mentioned_read() {
    let router = Router::new(RoutingConfig::default());
    let home = [url("home")];
    let to = |event: &Event| router.write(NOW, event, &home, |_| false, usize::MAX);
    assert_eq!(to(&note(1, 1, &[2])), home, "nothing is known");
    writes(&router, 1, &["mine", "also"]);
    reads(&router, 2, &["inbox"]);
    reads(&router, 3, &["mine"]);
    assert_eq!(to(&note(1, 1, &[2, 3])), [url("also"), url("inbox"), url("mine")]);
    assert_eq!(
        to(&note(1, 0, &[])),
        [url("also"), url("home"), url("mine")],
        "a profile is for all"
    );
}

#[test]
fn hints_are_used_while_there_is_no_list_and_are_bounded() {
    let router = Router::new(RoutingConfig { relays_per_author: 10, ..RoutingConfig::default() });
    for number in 0..20 {
        router.hint(key(1), &url(&format!("h{number}")));
    }
    let filter = [Filter::new().authors([key(1)])];
    let routes = asked(&read(&router, &filter, &[url("home")]));
    assert_eq!(routes.len(), HINTS_PER_AUTHOR_MAX + 1, "and the configured relay: {routes:?}");
    writes(&router, 1, &["real"]);
    let routes = asked(&read(&router, &filter, &[url("home")]));
    assert_eq!(routes.into_keys().collect::<Vec<_>>(), [url("real").to_string()]);
}

#[test]
fn a_list_of_hundreds_of_junk_relays_brings_in_a_handful_and_the_refusals_are_counted() {
    let router = Router::new(RoutingConfig::default());
    let mut list: Vec<(RelayUrl, bool, bool)> = (0..600)
        .map(|n| {
            (RelayUrl::parse(&format!("ws://10.0.{}.{}:80", n / 250, n % 250)).unwrap(), true, true)
        })
        .collect();
    list.push((RelayUrl::parse("wss://localhost").unwrap(), true, true));
    list.extend((0..600).map(|n| (url(&format!("junk{n}")), true, true)));
    router.learn(key(1), 1, &list);
    for author in 2..=200 {
        let own: Vec<_> =
            (0..600).map(|n| (url(&format!("own{author}-{n}")), true, true)).collect();
        router.learn(key(author), 1, &own);
    }
    let config = router.config().clone();
    let all = [Filter::new().authors((1..=200).map(key))];
    let routes = read(&router, &all, &[url("home")]);
    assert_eq!(routes.len(), config.max_relays_per_request + 1);
    let people: BTreeSet<_> = asked(&routes).into_values().flatten().collect();
    assert_eq!(people.len(), 200, "nobody is lost");
    let one = read(&router, &[Filter::new().authors([key(1)])], &[url("home")]);
    assert_eq!(one.len(), config.relays_per_author);
    let counts = router.counts();
    assert_eq!((counts.refused["not_secure"], counts.refused["local_name"]), (600, 1));
    assert!(counts.without_place > 0);
    const { assert!(RELAYS_PER_LIST_MAX < 600) };
    // No room at all: the configured relays, for all.
    let routes = router.read(NOW, &all, &[url("home")], |_| false, 0);
    assert_eq!(asked(&routes)[&url("home").to_string()].len(), 200);
}

#[test]
fn a_relay_that_fails_is_chosen_last_and_an_older_list_changes_nothing() {
    let router = Router::new(RoutingConfig { relays_per_author: 1, ..RoutingConfig::default() });
    router.learn(key(1), 5, &[(url("a"), true, true), (url("b"), true, true)]);
    router.learn(key(1), 4, &[(url("old"), true, true)]);
    let filter = [Filter::new().authors([key(1)])];
    assert_eq!(read(&router, &filter, &[])[0].relay, url("a"));
    router.heard(NOW, &url("a"), Heard::Failed);
    assert_eq!(read(&router, &filter, &[])[0].relay, url("b"));
    router.learn(key(1), 6, &[(url("new"), true, true)]);
    assert_eq!(read(&router, &filter, &[])[0].relay, url("new"));
}

#[test]
fn who_is_unknown_is_looked_for_once_in_a_while() {
    let router = Router::new(RoutingConfig::default());
    writes(&router, 1, &["a"]);
    let filter = [Filter::new().authors([1, 2].map(key))];
    let wanted = |now| router.wanted_for(now, &filter);
    let both = Wanted { unknown: vec![key(2)], stale: vec![key(1)] };
    assert_eq!(wanted(NOW), both);
    router.looked_for(NOW, [1, 2].map(key));
    assert_eq!(wanted(NOW), Wanted::default());
    let later = NOW + router.config().look_again;
    assert_eq!(wanted(later), Wanted { unknown: vec![key(2)], stale: vec![] });
    assert_eq!(wanted(NOW + router.config().list_age), both);
}

fn candidates() -> impl Strategy<Value = Candidates> {
    let relays = prop::collection::btree_set(0..12_u8, 0..6);
    prop::collection::btree_map(0..30_u8, relays, 0..30).prop_map(|people| {
        let relays = |relays: BTreeSet<u8>| relays.iter().map(|r| url(&format!("r{r}"))).collect();
        people.into_iter().map(|(person, of)| (key(person), relays(of))).collect()
    })
}

/// Room for so many relays.
struct Room(usize);

impl Places for Room {
    fn has_room_for(&self, _: &RelayUrl) -> bool {
        self.0 > 0
    }

    fn take(&mut self, _: &RelayUrl) {
        self.0 -= 1;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Each author that has a usable relay has as many as are wanted, or all there are; relays
    /// are asked for nobody whom they do not serve.
    #[test]
    fn a_cover_loses_nobody(candidates in candidates(), wanted in 1..4_usize) {
        let chosen = cover(&candidates, wanted, |_| 0.5, &mut Room(usize::MAX));
        for (person, relays) in &candidates {
            let at = chosen.values().filter(|people| people.contains(person)).count();
            prop_assert_eq!(at, wanted.min(relays.len()));
        }
        for (relay, people) in &chosen {
            prop_assert!(!people.is_empty());
            for person in people {
                prop_assert!(candidates[person].contains(relay));
            }
        }
        // With one relay each it is no larger than one relay for each author, and the greedy way
        // is within its known factor of the best.
        let one = cover(&candidates, 1, |_| 0.5, &mut Room(usize::MAX));
        let best = smallest_cover(&candidates);
        let most = (1..=candidates.len()).map(|n| 1.0 / n as f64).sum::<f64>();
        prop_assert!(one.len() as f64 <= best as f64 * most.max(1.0) + 1e-9);
    }

    /// Whatever the bound is, it holds, and nobody is left out while it has room.
    #[test]
    fn a_bounded_cover_keeps_its_bound(candidates in candidates(), most in 0..6_usize) {
        let chosen = cover(&candidates, 3, |_| 0.5, &mut Room(most));
        prop_assert!(chosen.len() <= most);
        let placed: BTreeSet<_> = chosen.values().flatten().collect();
        let lost = candidates.iter().any(|(who, of)| !of.is_empty() && !placed.contains(who));
        prop_assert!(!lost || chosen.len() == most, "somebody was left out with room left");
        let one = cover(&candidates, 1, |_| 0.5, &mut Room(usize::MAX));
        prop_assert!(!lost || most < one.len());
    }

    /// Whatever is known, every author of a filter is asked for somewhere, and the bounds hold.
    #[test]
    fn a_request_loses_nobody(
        lists in candidates(),
        hints in candidates(),
        per_request in 0..6_usize,
        room in 0..6_usize,
        open in prop::collection::btree_set(0..12_u8, 0..4),
    ) {
        let router = Router::new(RoutingConfig {
            max_relays_per_request: per_request,
            ..RoutingConfig::default()
        });
        for (person, relays) in &lists {
            let list: Vec<_> = relays.iter().map(|relay| (relay.clone(), true, true)).collect();
            router.learn(*person, 1, &list);
        }
        for (person, relays) in &hints {
            relays.iter().for_each(|relay| router.hint(*person, relay));
        }
        let open: BTreeSet<RelayUrl> = open.iter().map(|r| url(&format!("r{r}"))).collect();
        let everybody: Vec<PublicKey> = (0..30).map(key).collect();
        let filters = [
            Filter::new().kinds([1]).authors(everybody.clone()),
            Filter::new().kinds([7]).tag('p', everybody.iter().map(ToString::to_string)),
        ];
        let configured = [url("home"), url("r3")];
        let routes = router.read(NOW, &filters, &configured, |relay| open.contains(relay), room);
        let more: Vec<_> = routes.iter().filter(|r| !configured.contains(&r.relay)).collect();
        prop_assert!(more.len() <= per_request);
        prop_assert!(more.iter().filter(|r| !open.contains(&r.relay)).count() <= room);
        let all = routes.iter().flat_map(|route| &route.filters);
        let mut authors = BTreeSet::new();
        let mut mentioned = BTreeSet::new();
        for filter in all {
            match &filter.authors {
                Some(some) => authors.extend(some.iter().copied()),
                None => mentioned.extend(filter.tags.values().flatten().cloned()),
            }
        }
        prop_assert_eq!(authors.len(), 30);
        prop_assert_eq!(mentioned.len(), 30);
    }
}

/// How few relays serve all authors that have one: tried by brute force.
fn smallest_cover(candidates: &Candidates) -> usize {
    let relays: Vec<&RelayUrl> =
        candidates.values().flatten().collect::<BTreeSet<_>>().into_iter().collect();
    (0..1_u32 << relays.len())
        .filter(|chosen| {
            let has = |relay: &RelayUrl| {
                relays.iter().position(|r| *r == relay).is_some_and(|at| chosen & (1 << at) != 0)
            };
            candidates.values().all(|list| list.is_empty() || list.iter().any(has))
        })
        .map(u32::count_ones)
        .min()
        .unwrap_or(0) as usize
}
