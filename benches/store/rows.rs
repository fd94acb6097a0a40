//! The questions of a client, from what the corpus holds.

use nipworker_protocol::{EventId, Filter, PublicKey};

use crate::{Options, contenders::Asked, survey::Survey};

/// One question.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) asked: Asked,
    /// Only the number of answers is asked for.
    pub(crate) counts: bool,
    pub(crate) now: i64,
    /// Microseconds that an earlier engine published for 10,000 events.
    pub(crate) published_us: Option<f64>,
}

/// All that the command line asks for.
pub(crate) fn rows(survey: &Survey, options: &Options) -> Vec<Row> {
    let authors = survey.authors();
    let spread = |count: usize| -> Vec<PublicKey> {
        let step = (authors.len() / count).max(1);
        authors.iter().step_by(step).take(count).copied().collect()
    };
    let pick = |ranked: Vec<String>, rank: usize| -> Vec<String> {
        ranked.get(rank.min(ranked.len().saturating_sub(1))).cloned().into_iter().collect()
    };
    let ids: Vec<EventId> = {
        let step = (survey.ids.len() / 100).max(1);
        survey.ids.iter().step_by(step).take(100).copied().collect()
    };
    let hour = survey.now - 3 * 3_600;
    let any = Filter::new;
    let author = authors.get(authors.len() / 20).copied();
    [
        ("nothing", any().ids([EventId::from_bytes([0xee; 32])]), None),
        ("feed 20", any().kinds([1]).limit(20), Some(99.0)),
        ("feed 100", any().kinds([1]).limit(100), Some(114.0)),
        ("feed 1000", any().kinds([1]).limit(1_000), Some(166.0)),
        ("profiles of 100", any().kinds([0]).authors(spread(100)), None),
        ("home of 150, 500", any().kinds([1, 6]).authors(spread(150)).limit(500), None),
        ("thread", any().kinds([1]).tag('e', pick(survey.threads(), 0)), None),
        (
            "notifications 100",
            any().kinds([1, 6, 7, 9_735]).tag('p', pick(survey.named(), 10)).limit(100),
            None,
        ),
        ("hashtag 100", any().kinds([1]).tag('t', pick(survey.hashtags(), 3)).limit(100), None),
        ("rare hashtag", any().kinds([1]).tag('t', pick(survey.hashtags(), 400)).limit(100), None),
        ("100 ids", any().ids(ids), None),
        ("one hour", any().since(hour).until(hour + 3_600), Some(20.0)),
        ("one author 20", any().authors(author).limit(20), Some(1.39)),
        ("ten authors 20", any().authors(spread(10)).limit(20), Some(13.7)),
        ("count reactions", any().kinds([7]), None),
        ("count notifications", any().tag('p', pick(survey.named(), 0)), None),
    ]
    .into_iter()
    .filter(|(name, ..)| options.wants_row(name))
    .map(|(name, filter, published_us)| Row {
        name,
        asked: Asked::new(filter),
        counts: name.starts_with("count"),
        now: survey.now,
        published_us: published_us.filter(|_| survey.events == 10_000),
    })
    .collect()
}
