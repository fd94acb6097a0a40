//! Pipes between the queue and the reader.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::{collections::HashMap, sync::Arc};

use futures::{StreamExt, executor::block_on};
use nipworker_pipeline::{
    CloseReason, DeliveryLimits, Hub, HubClock, Overflow, Plan, RelayNews, Source,
    SubscriptionEvent, SubscriptionSpec, SubscriptionStats, SubscriptionStream,
    kinds::ParsedKind,
    pipes::{
        AuthorLimit, ChatLimit, ChatLimiter, CountBy, CounterOptions, CustomPipe, Item, KeySets,
        KindRules, MAX_NOTES, MuteList, Notes, Pipe, PipeNote, PipeSpec, PipeStats, PipesConfig,
        SerialiseOptions, Step,
    },
};
use nipworker_protocol::{
    Attestation, Event, EventId, Filter, PublicKey, Signature, Tag, UnsignedEvent, Verified,
};
use proptest::prelude::*;

fn key(n: u8) -> PublicKey {
    PublicKey::from_bytes([n; 32])
}

fn event(author: u8, time: i64, kind: u16, tags: &[&[&str]], content: &str) -> Verified<Event> {
    let tags = tags.iter().map(|tag| Tag::new(tag.iter().copied())).collect();
    let event = UnsignedEvent::new(key(author), time, kind, tags, content)
        .with_signature(Signature::from_bytes([0; 64]));
    Verified::attest(event, Attestation::FromEdge)
}

fn note(content: &str) -> Verified<Event> {
    event(1, 0, 1, &[], content)
}

fn spec(pipes: Vec<PipeSpec>) -> SubscriptionSpec {
    let mut spec = SubscriptionSpec::new("s", vec![Filter::new()]);
    spec.plan = Plan { use_relays: false, ..Plan::default() };
    spec.pipes = pipes;
    spec
}

fn drain(stream: &mut SubscriptionStream) -> Vec<SubscriptionEvent> {
    std::iter::from_fn(|| stream.try_next()).collect()
}

fn contents(items: &[SubscriptionEvent]) -> Vec<String> {
    let content = |item: &SubscriptionEvent| match item {
        SubscriptionEvent::Event { event, .. } => Some(event.content.clone()),
        _ => None,
    };
    items.iter().filter_map(content).collect()
}

/// The first half comes from the cache, the rest live; the items and the statistics.
fn run(
    pipes: Vec<PipeSpec>,
    events: Vec<Verified<Event>>,
) -> (Vec<SubscriptionEvent>, SubscriptionStats) {
    let hub = Hub::default();
    let mut stream = hub.register(spec(pipes)).unwrap();
    let (claim, _) = hub.begin("s").unwrap();
    let half = events.len() / 2;
    let mut events = events.into_iter();
    hub.cache_page("s", claim, events.by_ref().take(half).collect::<Vec<_>>());
    hub.cache_done("s", claim);
    for event in events {
        hub.offer("s", &Arc::new(event), &Source::relay("wss://r"));
    }
    let items = drain(&mut stream);
    (items, stream.stats())
}

fn passed(pipe: PipeSpec, events: Vec<Verified<Event>>) -> (Vec<String>, PipeStats) {
    let all = events.len() as u64;
    let (items, mut stats) = run(vec![pipe], events);
    let contents = contents(&items);
    assert_eq!(stats.delivered, contents.len() as u64);
    assert_eq!(stats.delivered + stats.filtered, all);
    (contents, stats.pipes.remove(0))
}

fn reasons(stats: &PipeStats) -> HashMap<&str, u64> {
    stats.reasons.iter().map(|(reason, count)| (reason.as_str(), *count)).collect()
}

#[test]
fn kinds_are_filtered_in_the_cache_and_live_alike() {
    let all = || vec![event(1, 0, 1, &[], "a"), event(1, 0, 7, &[], "b")];
    let twice = || all().into_iter().chain([event(1, 1, 7, &[], "c"), event(1, 1, 1, &[], "d")]);
    let allow = KindRules { allow: [1].into(), ..KindRules::default() };
    let (kept, stats) = passed(PipeSpec::KindFilter(allow), twice().collect());
    assert_eq!(kept, ["a", "d"]);
    assert_eq!((stats.name.as_str(), stats.dropped), ("kind-filter", 2));
    let deny = KindRules { allow: [1, 7].into(), deny: [1].into() };
    assert_eq!(passed(PipeSpec::KindFilter(deny), twice().collect()).0, ["b", "c"]);
}

#[test]
fn what_is_muted_is_dropped_for_its_reason() {
    let muted = EventId::from_bytes([9; 32]);
    let hex = muted.to_hex();
    let list = MuteList {
        pubkeys: vec![key(2)],
        events: vec![muted],
        hashtags: vec!["NSFW".into()],
        words: vec!["ass".into(), "buy now".into()],
    };
    let (kept, stats) = passed(
        PipeSpec::Mute(Arc::new(list)),
        vec![
            event(2, 0, 1, &[], "by a muted author"),
            event(1, 0, 7, &[&["e", &hex]], "an answer"),
            event(1, 0, 1, &[&["q", &hex]], "a quote"),
            event(1, 0, 1, &[&["t", "#nsfw"]], "a topic"),
            note("what an ASS!"),
            note("You should BUY NOW."),
            event(1, 0, 1, &[&["subject", "buy now"]], "with a heading"),
            note("a class act, passing"),
            event(1, 0, 1, &[&["e", "no id"], &["t", "art"]], "harmless"),
        ],
    );
    assert_eq!(kept, ["a class act, passing", "harmless"]);
    let expected = [("author", 1), ("event", 2), ("hashtag", 1), ("word", 3)];
    assert_eq!(reasons(&stats), expected.into());
}

#[test]
fn a_mute_list_of_nip_51_is_taken_over() {
    let hex = EventId::from_bytes([9; 32]).to_hex();
    let author = key(2).to_hex();
    let long = "x".repeat(300);
    let list = event(
        1,
        0,
        10_000,
        &[&["p", &author], &["e", &hex], &["t", "a"], &["word", "b"], &["word", &long]],
        "",
    );
    let ParsedKind::List(view) = ParsedKind::of(&list).unwrap() else { panic!() };
    let mut mute = MuteList::default();
    assert_eq!(mute.add_list(&view.public), 1, "the long word is passed over");
    assert_eq!((mute.pubkeys.len(), mute.events.len()), (1, 1));
    assert_eq!(
        (&mute.hashtags[..], &mute.words[..]),
        (&["a".to_owned()][..], &["b".to_owned()][..])
    );
    mute.validate().unwrap();
}

#[test]
fn an_author_has_so_many_events_in_each_window() {
    let limit = AuthorLimit { max_events: 2, window_secs: 10, ..AuthorLimit::default() };
    let events = [(1, 0), (1, 5), (1, 9), (2, 9), (1, 10), (1, -1)];
    let events =
        events.iter().map(|(author, time)| event(*author, *time, 1, &[], &time.to_string()));
    let (kept, stats) = passed(PipeSpec::AuthorLimiter(limit), events.collect());
    assert_eq!(kept, ["0", "5", "9", "10", "-1"]);
    assert_eq!(reasons(&stats), [("limit", 1)].into());
}

#[test]
fn what_names_a_person_is_limited_by_that_person() {
    let limit = AuthorLimit { max_events: 1, by: CountBy::Recipient, ..AuthorLimit::default() };
    let (five, six) = (key(5).to_hex(), key(6).to_hex());
    let to = |author: u8, people: &[&[&str]], content| event(author, 0, 1, people, content);
    let (kept, _) = passed(
        PipeSpec::AuthorLimiter(limit),
        vec![
            to(1, &[&["p", &five]], "first to five"),
            to(2, &[&["p", &five]], "second to five"),
            to(3, &[&["p", &five], &["p", &six]], "six has room"),
            to(4, &[&["p", &six]], "six has none"),
            to(1, &[], "to nobody"),
        ],
    );
    assert_eq!(kept, ["first to five", "six has room", "to nobody"]);
}

#[test]
fn the_authors_that_are_remembered_are_bounded_and_the_one_not_seen_for_longest_goes_first() {
    let limit =
        AuthorLimit { max_events: 1, window_secs: 0, max_authors: 2, ..AuthorLimit::default() };
    // 1 stays known because it is seen again and again; 2 is forgotten.
    let authors = [1, 2, 1, 3, 1, 4, 1, 5, 1, 2, 1];
    let events = authors
        .iter()
        .enumerate()
        .map(|(n, author)| event(*author, n as i64, 1, &[], &author.to_string()));
    let (kept, _) = passed(PipeSpec::AuthorLimiter(limit), events.collect());
    assert_eq!(kept, ["1", "2", "3", "4", "5", "2"]);
}

#[test]
fn a_conversation_has_so_many_messages_then_newer_ones_only() {
    let text = format!("{}?iv={}==", "A".repeat(64), "B".repeat(22));
    let message = |from: u8, to: u8, time: i64| {
        let hex = key(to).to_hex();
        event(from, time, 4, &[&["p", &hex]], &text)
    };
    let limit = ChatLimit { max_messages: 2, me: Some(key(1)), ..ChatLimit::default() };
    let events = vec![
        message(1, 2, 100),
        message(2, 1, 90),
        message(1, 2, 95),
        message(2, 1, 101),
        message(3, 1, 1),
        message(2, 3, 500),
        event(4, 0, 4, &[], "no message"),
        note("no message at all"),
    ];
    let times: Vec<i64> = events.iter().map(|event| event.created_at).collect();
    let (items, stats) = run(vec![PipeSpec::ChatLimiter(limit.clone())], events);
    let got = items.iter().filter_map(|item| match item {
        SubscriptionEvent::Event { event, .. } => Some(event.created_at),
        _ => None,
    });
    assert_eq!(got.collect::<Vec<_>>(), [times[0], times[1], times[3], times[4], times[7]]);
    let expected = [("limit", 1), ("not a participant", 1), ("no message of its form", 1)];
    assert_eq!(reasons(&stats.pipes[0]), expected.into());

    // A message of NIP-17 comes out of a gift wrap, and is asked about by hand.
    let mut limiter = ChatLimiter::new(limit);
    let passes = |limiter: &mut ChatLimiter, time| {
        let tags = vec![Tag::new(["p", key(2).to_hex().as_str()])];
        let rumor = UnsignedEvent::new(key(1), time, 14, tags, "hi");
        let ParsedKind::ChatMessage(chat) = ParsedKind::of_rumor(&rumor).unwrap() else { panic!() };
        limiter.passes(&chat.conversation, time)
    };
    assert!(passes(&mut limiter, 10) && passes(&mut limiter, 5));
    assert!(!passes(&mut limiter, 7) && passes(&mut limiter, 11));
}

fn totals(items: &[SubscriptionEvent]) -> Vec<(u64, u64)> {
    let counts = items.iter().filter_map(|item| match item {
        SubscriptionEvent::Note { note: PipeNote::Counts(counts), .. } => Some(counts.total),
        _ => None,
    });
    counts.map(|count| (count.all, count.mine)).collect()
}

#[test]
fn counts_come_at_the_end_of_stored_events_once_and_then_at_each_change() {
    for only_counts in [false, true] {
        let hub = Hub::default();
        let options = CounterOptions { me: Some(key(1)), only_counts };
        let mut wanted = spec(vec![PipeSpec::Counter(options)]);
        wanted.plan = Plan::default();
        let mut stream = hub.register(wanted).unwrap();
        let (claim, _) = hub.begin("s").unwrap();
        hub.cache_page("s", claim, [event(1, 3, 1, &[], "a"), event(2, 2, 7, &[], "b")]);
        hub.cache_done("s", claim);
        hub.relays_asked("s", ["wss://r1", "wss://r2"]);
        assert_eq!(totals(&drain(&mut stream)), []);
        for relay in ["wss://r1", "wss://r2", "wss://r1"] {
            hub.relay("s", &relay.into(), RelayNews::EndOfStored);
        }
        let items = drain(&mut stream);
        assert_eq!(totals(&items), [(2, 1)], "once, though two relays were asked");
        let at = |wanted: &dyn Fn(&SubscriptionEvent) -> bool| items.iter().position(wanted);
        let counts = at(&|item| matches!(item, SubscriptionEvent::Note { .. }));
        assert!(counts < at(&|item| *item == SubscriptionEvent::EndOfStored));
        let live = Arc::new(event(1, 4, 1, &[], "c"));
        for relay in ["wss://r1", "wss://r2"] {
            hub.offer("s", &live, &Source::relay(relay));
        }
        let items = drain(&mut stream);
        assert_eq!(totals(&items), [(3, 2)], "the copy of the other relay does not count");
        assert_eq!(contents(&items).len(), usize::from(!only_counts));
        assert_eq!(stream.stats().filtered, if only_counts { 3 } else { 0 });
    }
}

#[test]
fn events_become_json_lines_and_what_is_too_long_is_dropped() {
    let small = note("a");
    let line = small.to_json();
    let options = SerialiseOptions { max_bytes: line.len() };
    let (items, stats) = run(vec![PipeSpec::Serialise(options)], vec![small, note("longer")]);
    let lines: Vec<_> = items
        .into_iter()
        .filter_map(|item| match item {
            SubscriptionEvent::Note { note: PipeNote::Line(line), .. } => Some(line),
            _ => None,
        })
        .collect();
    assert_eq!(lines, [line]);
    assert_eq!((stats.pipes[0].taken, stats.pipes[0].dropped, stats.delivered), (1, 1, 0));
}

const MINT: &str = "https://mint.example";
const MINT_KEY: &str = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";
/// The official vector of NUT-12.
const PROOF: &str = r#"{"amount":1,"id":"00882760bfa2eb41","secret":"daf4dd00a2b68a0858a80450f52c8a7d2ccf87d375e43e216e0c571f089f63e9","C":"024369d2d22a80ecf78f3937da9d5f30c1b9f74f0c32684d583cca0fa6a61cdcfc","dleq":{"e":"b31e58ac6527f34975ffab13e70a48b6d2b0d35abc4b03f0151f09ee1a9763d4","s":"8fbae004c59e754d71df67e392b6ae4e29293113ddc2ec86592a0431d16306d8","r":"a6d13fcd7a18442e6076f5e1e7c887ad5de40a019824bdfa9fe740d302e8d861"}}"#;

/// Keys come from the caller only. `l10`, `l17`: no mint is asked whatever an event says.
#[test]
fn l17_a_nutzap_passes_only_if_a_known_mint_has_signed_every_proof() {
    let mut keysets = KeySets::new();
    keysets.add(&format!("{MINT}/"), "00882760bfa2eb41", [(1, MINT_KEY)]).unwrap();
    let recipient = key(2).to_hex();
    let nutzap = |mint: &str, proofs: &[&str]| {
        let mut tags = vec![vec!["p", recipient.as_str()], vec!["u", mint]];
        tags.extend(proofs.iter().map(|proof| vec!["proof", proof]));
        let tags: Vec<&[&str]> = tags.iter().map(Vec::as_slice).collect();
        event(1, 0, 9_321, &tags, mint)
    };
    let without_dleq = format!("{}}}", PROOF.split_once(",\"dleq\"").unwrap().0);
    let without_r = format!("{}}}}}", PROOF.split_once(",\"r\"").unwrap().0);
    let forged = PROOF.replace("63d4", "63d5");
    let larger = PROOF.replace("\"amount\":1", "\"amount\":1000");
    let other_secret = PROOF.replace("daf4", "daf5");
    let events = vec![
        nutzap(MINT, &[PROOF]),
        nutzap("https://evil.example", &[PROOF]),
        nutzap(MINT, &[&without_dleq]),
        nutzap(MINT, &[&without_r]),
        nutzap(MINT, &[&forged]),
        nutzap(MINT, &[&larger]),
        nutzap(MINT, &[&other_secret]),
        nutzap(MINT, &[PROOF, PROOF]),
        nutzap(MINT, &["{}"]),
        note("no nutzap"),
    ];
    let (items, stats) = run(vec![PipeSpec::Proofs(Arc::new(keysets))], events);
    assert_eq!(contents(&items), [MINT, "no nutzap"]);
    let SubscriptionEvent::Note { note: PipeNote::Proofs(report), .. } = &items[0] else {
        panic!()
    };
    assert_eq!((report.amount, report.unit.as_str(), report.mint.as_str()), (1, "sat", MINT));
    let expected = [
        ("unknown mint", 1),
        ("no dleq", 1),
        ("wrong dleq", 3),
        ("unknown key set or amount", 1),
        ("secret twice", 1),
        ("no nutzap of its form", 1),
    ];
    assert_eq!(reasons(&stats.pipes[0]), expected.into());
}

/// Panics where it is told to, and remembers what it saw.
struct Moody(Vec<String>);

impl Pipe for Moody {
    fn take(&mut self, item: &Item<'_>, notes: &mut Notes) -> Step {
        let text = &item.event().content;
        self.0.push(text.clone());
        assert!(!text.starts_with("panic"), "no mood for {text}");
        if text.starts_with("talk") {
            (0..MAX_NOTES as u64 + 3).for_each(|n| notes.tell(PipeNote::Value(n.into())));
        }
        if text.starts_with("drop") { Step::Drop("mood") } else { Step::Pass }
    }

    fn end_of_stored(&mut self, notes: &mut Notes) {
        notes.tell(PipeNote::Value(self.0.len().into()));
        panic!("at the end");
    }
}

#[test]
fn a_panic_in_a_pipe_costs_that_event_and_is_counted_under_its_name() {
    let custom = PipeSpec::Custom(CustomPipe::new("moody", || Moody(Vec::new())));
    let events = ["a", "panic 1", "drop", "b", "panic 2", "talk"].map(note).to_vec();
    let (items, stats) = run(vec![custom], events);
    assert_eq!(contents(&items), ["a", "b", "talk"]);
    assert!(items.contains(&SubscriptionEvent::EndOfStored));
    let moody = &stats.pipes[0];
    assert_eq!((moody.name.as_str(), moody.panics, moody.dropped), ("moody", 2, 1));
    assert_eq!((moody.notes_dropped, moody.end_panics), (3, 1));
    let notes = items.iter().filter(|item| matches!(item, SubscriptionEvent::Note { .. }));
    assert_eq!(notes.count(), MAX_NOTES + 1);
}

#[test]
fn pipes_run_in_the_order_in_which_they_are_written() {
    let moody = || PipeSpec::Custom(CustomPipe::new("moody", || Moody(Vec::new())));
    let count = || PipeSpec::Counter(CounterOptions::default());
    let events = || ["a", "drop", "drop 2", "b"].map(note).to_vec();
    let last = |pipes| *totals(&run(pipes, events()).0).last().unwrap();
    assert_eq!(last(vec![count(), moody()]).0, 4);
    assert_eq!(last(vec![moody(), count()]).0, 2);
}

#[test]
fn a_stream_whose_pipes_hold_everything_back_ends_all_the_same() {
    let none = KindRules { deny: [1].into(), ..KindRules::default() };
    let hub = Hub::default();
    let mut wanted = spec(vec![PipeSpec::KindFilter(none)]);
    wanted.plan.close_on_eose = true;
    let stream = hub.register(wanted).unwrap();
    let (claim, _) = hub.begin("s").unwrap();
    hub.cache_page("s", claim, (0..1_000).map(|n| note(&n.to_string())));
    hub.cache_done("s", claim);
    let items: Vec<_> = block_on(stream.collect());
    let end = SubscriptionEvent::Closed(CloseReason::Complete);
    assert_eq!(items, [SubscriptionEvent::EndOfStored, end]);
}

#[test]
fn a_reader_that_is_waited_for_makes_room_although_its_pipes_hold_everything_back() {
    let none = KindRules { deny: [1].into(), ..KindRules::default() };
    let hub = Hub::default();
    let mut wanted = spec(vec![PipeSpec::KindFilter(none)]);
    wanted.plan.use_cache = false;
    (wanted.overflow, wanted.queue_events) = (Overflow::Wait, Some(2));
    let mut stream = hub.register(wanted).unwrap();
    hub.begin("s").unwrap();
    for n in 0..2 {
        hub.offer("s", &Arc::new(note(&n.to_string())), &Source::Local);
    }
    let room = hub.room("s", 1);
    assert_eq!(drain(&mut stream), [SubscriptionEvent::EndOfStored]);
    assert!(block_on(room));
}

#[test]
fn a_subscription_ends_at_its_limits_and_relays_are_told() {
    let limited = |limits| {
        let hub = Hub::default();
        let mut wanted = spec(vec![]);
        (wanted.plan.use_relays, wanted.limits) = (true, limits);
        let stream = hub.register(wanted).unwrap();
        let (claim, _) = hub.begin("s").unwrap();
        hub.cache_page("s", claim, ["aa", "bb", "cc"].map(note));
        hub.cache_done("s", claim);
        let items: Vec<_> = block_on(stream.collect());
        assert!(hub.is_empty());
        let told = block_on(hub.abandoned(hub.claim_abandoned())).unwrap();
        assert_eq!(told.len(), 1);
        (contents(&items), items.last().cloned())
    };
    let closed = |reason| Some(SubscriptionEvent::Closed(reason));
    let texts = |texts: &[&str]| texts.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
    let events = |n| DeliveryLimits { max_events: Some(n), ..DeliveryLimits::default() };
    let bytes = |n| DeliveryLimits { max_bytes: Some(n), ..DeliveryLimits::default() };
    let each = DeliveryLimits::EVENT_BYTES + 2;
    assert_eq!(limited(events(2)), (texts(&["aa", "bb"]), closed(CloseReason::MaxEvents)));
    assert_eq!(limited(events(0)), (texts(&[]), closed(CloseReason::MaxEvents)));
    assert_eq!(limited(bytes(2 * each)), (texts(&["aa", "bb"]), closed(CloseReason::MaxBytes)));
    assert_eq!(limited(bytes(2 * each - 1)), (texts(&["aa"]), closed(CloseReason::MaxBytes)));
}

#[test]
fn it_is_measured_how_long_a_subscription_waited() {
    let now = Arc::new(std::sync::atomic::AtomicU64::new(1_000));
    let clock = {
        let now = Arc::clone(&now);
        HubClock::new(move || {
            std::time::Duration::from_millis(now.load(std::sync::atomic::Ordering::Relaxed))
        })
    };
    let at = |time: u64| now.store(1_000 + time, std::sync::atomic::Ordering::Relaxed);
    let hub = Hub::with_clock(nipworker_pipeline::HubConfig::default(), clock);
    let mut wanted = spec(vec![]);
    wanted.plan.use_relays = true;
    let stream = hub.register(wanted).unwrap();
    let (claim, _) = hub.begin("s").unwrap();
    at(7);
    hub.cache_page("s", claim, [note("a")]);
    hub.cache_done("s", claim);
    at(10);
    hub.relays_asked("s", ["wss://r1", "wss://r2"]);
    at(30);
    hub.relay("s", &"wss://r1".into(), RelayNews::EndOfStored);
    at(50);
    hub.relay("s", &"wss://r1".into(), RelayNews::EndOfStored);
    hub.relay("s", &"wss://r2".into(), RelayNews::Unavailable("x".into()));
    let stats = stream.stats();
    assert_eq!((stats.first_event_ms, stats.complete_ms), (Some(7), Some(50)));
    assert_eq!(stats.eose_ms, [("wss://r1".to_owned(), 20)].into());
}

#[test]
fn names_that_are_no_pipes_are_refused_with_those_that_are() {
    let named = |names: &[&str]| PipesConfig {
        pipes: names.iter().map(|name| (*name).to_owned()).collect(),
        ..PipesConfig::default()
    };
    let problem = |names: &[&str]| named(names).specs().unwrap_err().to_string();
    assert_eq!(
        problem(&["mutes"]),
        "\"mutes\" is no pipe; there are kind-filter, mute, author-limiter, chat-limiter, counter, \
         serialise"
    );
    for fixed in ["filter", "parse", "verify", "save"] {
        assert!(problem(&[fixed]).contains("cannot be configured"), "{fixed}");
    }
    assert_eq!(problem(&["mute", "mute"]), "\"mute\" stands twice");
    let names = ["serialise", "mute", "kind-filter", "counter", "chat-limiter", "author-limiter"];
    let specs = named(&names).specs().unwrap();
    assert_eq!(specs.iter().map(PipeSpec::name).collect::<Vec<_>>(), names);
    let mut config = named(&[]);
    config.mute.words = vec![" ".into()];
    assert_eq!(config.specs().unwrap_err().key, "mute");
}

/// L16: nothing stays behind of subscriptions that were dropped.
#[test]
fn l16_a_thousand_subscriptions_leave_nothing_behind() {
    let hub = Hub::default();
    let claim = hub.claim_abandoned();
    for n in 0..1_000 {
        let mut wanted = SubscriptionSpec::new(format!("s{n}"), vec![Filter::new()]);
        wanted.pipes = vec![PipeSpec::Counter(CounterOptions::default())];
        let mut stream = hub.register(wanted).unwrap();
        let (claim, _) = hub.begin(&format!("s{n}")).unwrap();
        hub.cache_page(&format!("s{n}"), claim, [note("a")]);
        drain(&mut stream);
    }
    assert!(hub.is_empty() && hub.stats().is_empty() && hub.unfinished().is_empty());
    let told = block_on(hub.abandoned(claim)).unwrap();
    assert_eq!(told.len(), 1_000);
    told.iter().for_each(|id| hub.released(id));
    let limits = nipworker_pipeline::HubConfig::default().max_subscriptions;
    let streams: Vec<_> = (0..limits)
        .map(|n| hub.register(SubscriptionSpec::new(format!("s{n}"), vec![Filter::new()])).unwrap())
        .collect();
    assert_eq!(hub.len(), streams.len(), "every place is free again");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// However events are split between cache and live, read in bits or at once, the reader gets
    /// what the same pipes let through in a plain loop.
    #[test]
    fn pipes_do_the_same_to_cached_and_live_events(
        events in proptest::collection::vec((1..5_u8, 0..40_i64, 0..4_u16, 0..4_u8), 0..60),
        cached in 0..60_usize,
        read in proptest::collection::vec(0..5_usize, 0..40),
    ) {
        let all: Vec<_> = events
            .into_iter()
            .enumerate()
            .map(|(n, (author, time, kind, word))| {
                let word = ["spam", "ham", "spams", "SPAM"][usize::from(word)];
                event(author, time, kind, &[], &format!("{word} {n}"))
            })
            .collect();
        let expected: Vec<String> = {
            let mut counts = HashMap::new();
            let passes = |event: &&Verified<Event>| {
                if event.kind == 3 || event.content.to_lowercase().starts_with("spam ") {
                    return false;
                }
                let count = counts.entry((event.pubkey, event.created_at.div_euclid(10))).or_insert(0);
                *count += 1;
                *count <= 2
            };
            all.iter().filter(passes).map(|event| event.content.clone()).collect()
        };
        let pipes = vec![
            PipeSpec::KindFilter(KindRules { deny: [3].into(), ..KindRules::default() }),
            PipeSpec::Mute(Arc::new(MuteList { words: vec!["spam".into()], ..MuteList::default() })),
            PipeSpec::AuthorLimiter(AuthorLimit { max_events: 2, window_secs: 10, ..AuthorLimit::default() }),
        ];
        let hub = Hub::default();
        let mut stream = hub.register(spec(pipes)).unwrap();
        let (claim, _) = hub.begin("s").unwrap();
        let cached = cached.min(all.len());
        let total = all.len() as u64;
        let mut items = Vec::new();
        let mut reads = read.into_iter();
        for (n, event) in all.into_iter().enumerate() {
            if n == cached {
                hub.cache_done("s", claim);
            }
            if n < cached {
                hub.cache_page("s", claim, [event]);
            } else {
                hub.offer("s", &Arc::new(event), &Source::Local);
            }
            let most = reads.next().unwrap_or(0);
            items.extend((0..most).map_while(|_| stream.try_next()));
        }
        hub.cache_done("s", claim);
        items.extend(drain(&mut stream));
        prop_assert_eq!(contents(&items), expected);
        let stats = stream.stats();
        prop_assert_eq!(stats.delivered + stats.filtered, total);
        prop_assert_eq!(stats.lagged + stats.queued, 0);
    }
}
