use std::cell::RefCell;

use tokio::time::Instant;

use super::*;

/// Takes messages as `answer` says and keeps the events of those that it took.
async fn deliver_to(
    events: &[&str],
    answer: impl Fn(usize, &[String]) -> Result<(), DeliveryError>,
) -> (Vec<Vec<String>>, Vec<Loss>, usize) {
    let relay = RelayUrl::parse("ws://relay.test").unwrap();
    let (taken, asked) = (RefCell::new(Vec::new()), RefCell::new(0));
    let ask = async |message: IngestEdge| {
        let Ok(IngestMessageT::EventBatch(batch)) = message.decode() else { panic!("no batch") };
        let attempt = *asked.borrow();
        *asked.borrow_mut() += 1;
        answer(attempt, &batch.events)?;
        taken.borrow_mut().push(batch.events);
        Ok(())
    };
    let events = events.iter().map(|&event| event.to_owned()).collect();
    let deliveries = vec![Delivery::Events { subscription: "s".into(), events }];
    let losses = deliver_by(ask, &relay, deliveries).await;
    (taken.into_inner(), losses, asked.into_inner())
}

fn told(code: FailureCode, transient: bool) -> Result<(), DeliveryError> {
    Err(DeliveryError::Failed(FailedT { code, reason: "no".to_owned(), transient }))
}

fn panicked() -> Result<(), DeliveryError> {
    Err(AskError::Panicked { message: "boo".to_owned(), place: None }.into())
}

fn loss(events: usize) -> Vec<Loss> {
    vec![Loss { subscription: "s".into(), events }]
}

const THREE: [&str; 3] = ["a", "b", "c"];

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_waited_out_however_long_it_stays_full() {
    let start = Instant::now();
    let answer = |attempt, _: &[String]| match attempt {
        0..3_000 => told(FailureCode::Store, true),
        _ => Ok(()),
    };
    let (taken, losses, asked) = deliver_to(&THREE, answer).await;
    assert_eq!((taken, losses, asked), (vec![THREE.map(String::from).to_vec()], vec![], 3_001));
    let waited = start.elapsed();
    assert!(waited > 2_900 * LONGEST_PAUSE && waited < 3_001 * LONGEST_PAUSE, "{waited:?}");
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_was_there_when_the_parser_failed_is_offered_again_as_a_whole() {
    let start = Instant::now();
    for failure in
        [panicked, || told(FailureCode::Worker, true), || Err(AskError::ThreadLost.into())]
    {
        let answer = |attempt, _: &[String]| if attempt < 2 { failure() } else { Ok(()) };
        let (taken, losses, _) = deliver_to(&THREE, answer).await;
        assert_eq!((taken.len(), losses), (1, vec![]));
    }
    assert_eq!(start.elapsed(), 3 * (FIRST_PAUSE + 2 * FIRST_PAUSE), "not at once");
}

#[tokio::test(start_paused = true)]
async fn an_event_that_the_parser_fails_over_is_the_only_one_lost() {
    let answer = |_, events: &[String]| match events.iter().any(|event| event == "b") {
        true => panicked(),
        false => Ok(()),
    };
    let (taken, losses, asked) = deliver_to(&THREE, answer).await;
    assert_eq!((taken, losses), (vec![vec!["a".to_owned()], vec!["c".to_owned()]], loss(1)));
    assert_eq!(asked, 2 * SUSPECT_ATTEMPTS as usize + 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_for_good_is_not_offered_twice() {
    let start = Instant::now();
    let refuse = |_, _: &[String]| told(FailureCode::Invalid, false);
    let (taken, losses, asked) = deliver_to(&THREE, refuse).await;
    assert_eq!((taken.len(), losses, asked), (0, loss(3), 4));
    for closed in [|| Err(AskError::Closed.into()), || told(FailureCode::Closed, false)] {
        let (taken, losses, asked) = deliver_to(&THREE, |_, _| closed()).await;
        assert_eq!((taken.len(), losses, asked), (0, loss(3), 1));
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
}
