//! Mining through the job book, and checking the work of events.
#![allow(clippy::unwrap_used)]

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use nipworker_hash::{Candidate, Midstates, Row, Seed};
use nipworker_mining::{JobBook, Outcome, PoolConfig, WorkloadFactory, conformance};
use nipworker_pow::{
    Pow, PowError, PowFactory, PowInput, SearchKernel, Uncommitted, check, check_with, kernels,
    mined, mined_event,
};
use nipworker_protocol::{Event, PublicKey, Signature, Tag, UnsignedEvent};
use serde_json::json;

const NOW: i64 = 1_700_000_000;

fn note(content: &str, tags: Vec<Tag>) -> UnsignedEvent {
    UnsignedEvent::new(PublicKey::from_bytes([7; 32]), NOW, 1, tags, content)
}

fn book(clock: impl Fn() -> i64 + Send + Sync + 'static) -> JobBook {
    let book = JobBook::new();
    book.register(Arc::new(PowFactory::new(Arc::new(clock))));
    book.start_pool(PoolConfig { threads: Some(3), ..JobBook::pool_config() }).unwrap();
    book
}

fn mine(book: &JobBook, input: PowInput) -> UnsignedEvent {
    let job = book.submit(input.into_request()).unwrap();
    let Outcome::Found(hit) = job.wait() else { panic!("{:?}", job.outcome()) };
    assert_eq!(job.progress(Instant::now()).bad_hits, 0);
    mined_event(&hit).unwrap()
}

/// A kernel that calls every first lane a hit.
#[derive(Debug)]
struct Liar;

impl SearchKernel for Liar {
    fn name(&self) -> &'static str {
        "liar"
    }

    fn fill(&self, seed: &Seed<'_>, lanes: Range<usize>, midstates: &mut Midstates) {
        kernels()[0].fill(seed, lanes, midstates);
    }

    fn scan(&self, row: &Row<'_>, lanes: Range<usize>, limit: u32, found: &mut Vec<Candidate>) {
        kernels()[0].scan(row, lanes.clone(), limit, found);
        found.insert(0, Candidate { lane: lanes.start, word: 0 });
    }
}

#[test]
fn a_wrong_kernel_yields_no_event_but_batches_that_are_given_up() {
    let book = JobBook::new();
    book.register(Arc::new(PowFactory::with_kernel(Arc::new(|| NOW), &Liar)));
    book.start_pool(PoolConfig { threads: Some(2), ..JobBook::pool_config() }).unwrap();
    let mut request = PowInput::new(note("gm", vec![]), 40).into_request();
    request.limits.max_attempts = Some(100);
    let job = book.submit(request).unwrap();
    let Outcome::Quarantined(spans) = job.wait() else { panic!("{:?}", job.outcome()) };
    assert_eq!(spans.iter().map(|span| span.len).sum::<u64>(), 100);
    assert_eq!(job.progress(Instant::now()).attempts, 0);
}

/// The checks here do not look at signatures.
fn signed(event: UnsignedEvent) -> Event {
    event.with_signature(Signature::from_bytes([0; 64]))
}

#[test]
fn the_workload_conforms() {
    let factory: Arc<dyn WorkloadFactory> = Arc::new(PowFactory::new(Arc::new(|| NOW)));
    let case = |event: UnsignedEvent, difficulty| {
        let input = PowInput { event, difficulty, refresh_created_at: false };
        conformance::Case { input: serde_json::to_value(input).unwrap(), within: 4_000 }
    };
    conformance::check(
        &factory,
        &[
            case(note("gm", vec![]), 8),
            case(note("\"quoted\"\n🦀", vec![Tag::new(["t", "pow"])]), 9),
            case(note(&"long ".repeat(400), vec![]), 6),
        ],
        &[
            json!({}),
            json!({ "event": note("gm", vec![]), "difficulty": 257 }),
            json!({ "event": note("gm", vec![]), "difficulty": -1 }),
            json!({ "event": note("gm", vec![]), "difficulty": 8, "speed": 9 }),
            json!({ "event": note(&"x".repeat(600_000), vec![]), "difficulty": 8 }),
            json!({ "event": signed(note("gm", vec![])), "difficulty": 8 }),
            json!([note("gm", vec![]), 8, true]),
        ],
    );
}

#[test]
fn a_mined_event_keeps_its_parts_and_carries_its_commitment_last() {
    let tags = vec![Tag::new(["e", "aa"]), Tag::new(["nonce", "5", "40"]), Tag::new(["t", "x"])];
    let mined = mine(&book(|| NOW), PowInput::new(note("hello\t\"you\"", tags), 12));
    assert_eq!(mined.content, "hello\t\"you\"");
    assert_eq!(mined.created_at, NOW);
    let [e, t, nonce] = &mined.tags[..] else { panic!("{:?}", mined.tags) };
    assert_eq!((e.value(), t.value()), (Some("aa"), Some("x")));
    assert_eq!((nonce.name(), nonce.get(2)), ("nonce", Some("12")));
    let pow = check(&signed(mined), 12).unwrap();
    assert_eq!(pow.committed(), 12);
    assert!(pow.actual >= 12);
}

#[test]
fn another_implementation_agrees_on_id_and_difficulty() {
    use nostr::event::UnsignedEvent as PeerEvent;
    let book = book(|| NOW);
    for (content, difficulty) in [("gm", 10), ("emoji 🦀 and \\ \" \u{8}\u{c}\r\n\t", 13), ("", 1)]
    {
        let mined = mine(&book, PowInput::new(note(content, vec![]), difficulty));
        let json = serde_json::to_string(&mined).unwrap();
        let mut peer: PeerEvent = serde_json::from_str(&json).unwrap();
        let id = peer.id();
        assert_eq!(id.to_hex(), mined.compute_id().to_hex());
        assert!(id.check_pow(u8::try_from(difficulty).unwrap()));
    }
}

#[test]
fn created_at_follows_the_clock_and_never_goes_back() {
    // Each look at the clock is another second, and now and then it jumps back.
    let ticks = Arc::new(AtomicI64::new(0));
    let looks = Arc::clone(&ticks);
    let book = book(move || {
        let tick = looks.fetch_add(1, SeqCst);
        if tick % 3 == 2 { NOW - 1_000 } else { NOW + tick }
    });
    let input = PowInput::new(note("tick", vec![]), 18);
    let mined = mine(&book, input.clone());
    assert!(mined.created_at >= NOW, "{}", mined.created_at);
    assert!(mined.created_at <= NOW + ticks.load(SeqCst));
    check(&signed(mined), 18).unwrap();
    let mut late = input.clone();
    late.event.created_at = NOW + 1_000_000;
    assert_eq!(mine(&book, late).created_at, NOW + 1_000_000);
    let fixed = PowInput { refresh_created_at: false, ..input };
    assert_eq!(mine(&book, fixed).created_at, NOW);
}

#[test]
fn an_impossible_target_is_cancelled_at_once_and_shows_its_best() {
    let book = book(|| NOW);
    let job = book.submit(PowInput::new(note("never", vec![]), 256).into_request()).unwrap();
    let start = Instant::now();
    while job.progress(start).best.is_none_or(|best| best.score < 8) {
        assert!(start.elapsed() < Duration::from_secs(30));
        std::thread::yield_now();
    }
    let progress = job.progress(Instant::now());
    assert!(progress.expected_p50_left.is_none(), "longer than any clock counts");
    job.cancel();
    assert_eq!(job.wait(), Outcome::Cancelled);
}

#[test]
fn a_large_event_is_still_left_soon_after_a_cancel() {
    let book = book(|| NOW);
    let event = note(&"x".repeat(130_000), vec![]);
    let job = book.submit(PowInput::new(event, 200).into_request()).unwrap();
    let start = Instant::now();
    while job.progress(start).attempts < 3 {
        assert!(start.elapsed() < Duration::from_secs(30));
        std::thread::yield_now();
    }
    job.cancel();
    assert_eq!(job.wait(), Outcome::Cancelled);
}

#[test]
fn a_signed_event_is_refused_and_an_empty_signature_is_none() {
    let event = signed(note("gm", vec![]));
    assert_eq!(PowInput::from_json(event.to_json().as_bytes(), 8), Err(PowError::Signed));
    let mut fields = serde_json::to_value(&event).unwrap();
    let unsigned = PowInput::new(note("gm", vec![]), 8);
    for no_signature in [json!(null), json!("")] {
        fields["sig"] = no_signature;
        let json = fields.to_string();
        assert_eq!(PowInput::from_json(json.as_bytes(), 8), Ok(unsigned.clone()));
        assert_eq!(
            PowInput::from_json(json.as_bytes(), 257),
            Err(PowError::Difficulty { bits: 257 })
        );
    }
    for text in ["", "gm", "[]", "{}", "{\"sig\":\"00\"}"] {
        let refused = PowInput::from_json(text.as_bytes(), 8);
        assert!(matches!(refused, Err(PowError::Event(_))), "{refused:?}");
    }
    let large = serde_json::to_string(&note(&"x".repeat(131_072), vec![])).unwrap();
    let refused = PowInput::from_json(large.as_bytes(), 8);
    assert!(matches!(refused, Err(PowError::TooLarge { .. } | PowError::Event(_))), "{refused:?}");
}

#[test]
fn work_for_somebody_else_comes_back_as_id_nonce_and_time() {
    let theirs = note("for somebody else", vec![Tag::new(["t", "pow"])]);
    let json = serde_json::to_string(&theirs).unwrap();
    let book = book(|| NOW + 7);
    let job =
        book.submit(PowInput::from_json(json.as_bytes(), 12).unwrap().into_request()).unwrap();
    let Outcome::Found(hit) = job.wait() else { panic!("{:?}", job.outcome()) };
    let work = mined(&hit).unwrap();
    assert_eq!(u64::from(work.bits), hit.score);
    // They put the two into the event they have.
    let mut event = theirs;
    event.created_at = work.created_at;
    event.tags.push(Tag::new(["nonce", &work.nonce, "12"]));
    assert_eq!(event, work.event);
    let event = signed(event);
    assert_eq!(event.id, work.id);
    assert_eq!(check(&event, 12).unwrap().committed(), 12);
}

#[test]
fn a_solution_without_a_nonce_is_none() {
    let solution = |event: UnsignedEvent| nipworker_mining::Hit {
        index: 0,
        score: 0,
        solution: serde_json::to_value(event).unwrap(),
    };
    for tags in [vec![], vec![Tag::new(["nonce"])], vec![Tag::new(["nonce", "1"]), Tag::new(["t"])]]
    {
        let refused = mined(&solution(note("gm", tags)));
        assert!(matches!(refused, Err(PowError::Solution { .. })), "{refused:?}");
    }
}

#[test]
fn every_kernel_mines_the_same_events_through_the_book() {
    for kernel in kernels() {
        let book = JobBook::new();
        let factory = PowFactory::with_kernel(Arc::new(|| NOW), kernel);
        assert_eq!(factory.kernel().name(), kernel.name());
        book.register(Arc::new(factory));
        book.start_pool(PoolConfig { threads: Some(2), ..JobBook::pool_config() }).unwrap();
        for len in [0, 9, 35, 41, 42, 43, 280] {
            let input = PowInput::new(note(&"y".repeat(len), vec![]), 15);
            let event = mine(&book, input);
            assert!(check(&signed(event), 15).is_ok(), "{} at {len}", kernel.name());
        }
    }
}

fn with_bits(tag: Option<Tag>, bits: u32) -> Event {
    for nonce in 0u32.. {
        let mut event = note(&format!("try {nonce}"), vec![]);
        event.tags.extend(tag.clone());
        if event.compute_id().leading_zero_bits() == bits {
            return signed(event);
        }
    }
    unreachable!()
}

#[test]
fn only_committed_work_counts() {
    let tag = |target: &str| Some(Tag::new(["nonce", "1", target]));
    // Luck beyond the target does not count.
    assert_eq!(
        check(&with_bits(tag("4"), 6), 6),
        Err(PowError::TooLittle { counted: 4, required: 6 })
    );
    assert_eq!(check(&with_bits(tag("4"), 6), 4), Ok(Pow { actual: 6, target: Some(4) }));
    // A target that is not reached counts nothing.
    assert_eq!(
        check(&with_bits(tag("9"), 6), 1),
        Err(PowError::TooLittle { counted: 0, required: 1 })
    );
    for uncommitted in [None, Some(Tag::new(["nonce", "1"])), tag("+3"), tag("257"), tag("many")] {
        let event = with_bits(uncommitted, 5);
        assert_eq!(check(&event, 3), Err(PowError::Uncommitted { required: 3 }));
        // Unless the policy says otherwise.
        let lenient = |required| check_with(&event, required, Uncommitted::CountsActual);
        assert_eq!(lenient(5), Ok(Pow { actual: 5, target: None }));
        assert_eq!(lenient(6), Err(PowError::TooLittle { counted: 5, required: 6 }));
        assert!(check(&event, 0).is_ok());
    }
    // The policy is for events without a target: what was aimed low stays low.
    let low = with_bits(tag("4"), 6);
    assert_eq!(
        check_with(&low, 6, Uncommitted::CountsActual),
        Err(PowError::TooLittle { counted: 4, required: 6 })
    );
    assert_eq!(check(&with_bits(tag("4"), 4), 257), Err(PowError::Difficulty { bits: 257 }));
    let mut forged = with_bits(tag("3"), 5);
    forged.content.push('!');
    assert!(matches!(check(&forged, 3), Err(PowError::Id { .. })));
}

#[test]
fn zero_bits_are_counted_exactly_up_to_all_256() {
    use nipworker_protocol::EventId;
    assert_eq!(Pow::of(&EventId::from_bytes([0; 32]), &[]).actual, 256);
    for bit in 0..256usize {
        let mut bytes = [0u8; 32];
        bytes[bit / 8] = 0x80 >> (bit % 8);
        assert_eq!(Pow::of(&EventId::from_bytes(bytes), &[]).actual, bit as u32);
    }
}
