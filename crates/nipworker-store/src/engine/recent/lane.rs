//! The entries that answer one filter, in the order of answers.

use std::{cmp::Reverse, collections::BinaryHeap};

use nipworker_protocol::{Filter, PublicKey};

use crate::Position;

use super::{
    super::matcher::Matcher,
    {Entry, Floor, Inner, List},
};

/// Lists that one filter merges at most; a filter that would need more is answered by looking at all
/// entries of its kinds, or at all.
const MERGED_MAX: usize = 512;

/// What a lane has next.
#[derive(Clone, Copy)]
pub(super) enum Head<'r> {
    /// The next answer.
    Entry(&'r Entry),
    /// There are no more.
    Done,
    /// What follows is not here.
    Elsewhere,
}

/// A list, and how much of it is still to come.
struct Source<'r> {
    list: &'r List,
    left: usize,
}

impl<'r> Source<'r> {
    fn next(&mut self) -> Option<&'r Entry> {
        self.left = self.left.checked_sub(1)?;
        self.list.get(self.left).map(|entry| &**entry)
    }
}

enum Sources<'r> {
    One(Source<'r>),
    Several {
        sources: Vec<Source<'r>>,
        /// The next entry of each, by position and number of the source.
        heads: BinaryHeap<Reverse<(Position, usize)>>,
    },
}

/// One filter on its way through the entries.
pub(super) struct Lane<'r> {
    sources: Sources<'r>,
    matcher: Matcher<'r>,
    /// Authors are compared where the lists are not those of authors.
    compares: bool,
    since: Option<i64>,
    floor: Floor,
    now: i64,
    /// Answers that the filter's limit still allows.
    left: u64,
    pub(super) matched: u64,
    pub(super) head: Head<'r>,
}

impl<'r> Lane<'r> {
    /// Begins behind `after`, where `matched` events had answered; `None` for a filter that is not
    /// answered from here.
    pub(super) fn begin(
        inner: &'r Inner,
        filter: &'r Filter,
        after: Option<Position>,
        matched: u64,
        now: i64,
    ) -> Option<Self> {
        if filter.ids.is_some() || !filter.tags.is_empty() || filter.search.is_some() {
            return None;
        }
        let limit = filter.limit.map_or(u64::MAX, |limit| limit as u64);
        let left = limit.saturating_sub(matched);
        let begin = |list: &'r List| {
            let is_ahead = |entry: &Entry| {
                after.is_none_or(|after| entry.position > after)
                    && filter.until.is_none_or(|until| entry.position.created_at <= until)
            };
            let is_all = list.back().is_none_or(|newest| is_ahead(newest));
            let left = match is_all {
                true => list.len(),
                false => list.partition_point(|entry| is_ahead(entry)),
            };
            Source { list, left }
        };
        let (sources, compares) = match lists(inner, filter) {
            Lists::All => (Sources::One(begin(&inner.all)), true),
            Lists::Of { mut lists, compares } => match lists.pop() {
                Some(only) if lists.is_empty() => (Sources::One(begin(only)), compares),
                last => {
                    lists.extend(last);
                    let mut sources: Vec<_> = lists.into_iter().map(begin).collect();
                    let heads = sources
                        .iter_mut()
                        .enumerate()
                        .filter_map(|(number, source)| Some((source.next()?.position, number)))
                        .map(Reverse)
                        .collect();
                    (Sources::Several { sources, heads }, compares)
                }
            },
        };
        let mut lane = Self {
            sources,
            matcher: Matcher::new(filter),
            compares,
            since: filter.since,
            floor: inner.floor,
            now,
            left,
            matched,
            head: Head::Done,
        };
        lane.find();
        Some(lane)
    }

    /// Counts the head as an answer and goes on.
    pub(super) fn advance(&mut self) {
        self.matched += 1;
        self.left = self.left.saturating_sub(1);
        self.find();
    }

    fn find(&mut self) {
        self.head = loop {
            if self.left == 0 {
                break Head::Done;
            }
            let Some(entry) = self.sources.next() else {
                let is_whole = match (self.floor, self.since) {
                    (Floor::None, _) => true,
                    (Floor::At(floor), Some(since)) => since > floor.created_at,
                    _ => false,
                };
                break if is_whole { Head::Done } else { Head::Elsewhere };
            };
            if self.since.is_some_and(|since| entry.position.created_at < since) {
                break Head::Done;
            }
            let is_over = entry.expires_at.is_some_and(|at| at <= self.now);
            if !is_over && self.matcher.allows(entry.kind) && self.is_by_whom_it_should(entry) {
                break Head::Entry(entry);
            }
        };
    }

    fn is_by_whom_it_should(&self, entry: &Entry) -> bool {
        !self.compares || self.matcher.allows_author(&entry.author)
    }
}

impl<'r> Sources<'r> {
    fn next(&mut self) -> Option<&'r Entry> {
        match self {
            Self::One(source) => source.next(),
            Self::Several { sources, heads } => {
                let mut head = heads.peek_mut()?;
                let Reverse((_, number)) = *head;
                let source = &mut sources[number];
                let entry = source.list.get(source.left).map(|entry| &**entry);
                match source.next() {
                    Some(next) => *head = Reverse((next.position, number)),
                    None => drop(std::collections::binary_heap::PeekMut::pop(head)),
                }
                entry
            }
        }
    }
}

enum Lists<'r> {
    All,
    Of {
        lists: Vec<&'r List>,
        /// Whether authors are still to be compared.
        compares: bool,
    },
}

/// Where the answers of `filter` are among few others.
fn lists<'r>(inner: &'r Inner, filter: &Filter) -> Lists<'r> {
    match (&filter.authors, &filter.kinds) {
        (Some(authors), _) if authors.len() <= MERGED_MAX => {
            let mut authors: Vec<&PublicKey> = authors.iter().collect();
            authors.sort_unstable();
            authors.dedup();
            let lists = authors.into_iter().filter_map(|author| inner.by_author.get(author));
            Lists::Of { lists: lists.collect(), compares: false }
        }
        (authors, Some(kinds)) if kinds.len() <= MERGED_MAX => {
            let mut kinds = kinds.clone();
            kinds.sort_unstable();
            kinds.dedup();
            let lists = kinds.iter().filter_map(|kind| inner.by_kind.get(kind));
            Lists::Of { lists: lists.collect(), compares: authors.is_some() }
        }
        _ => Lists::All,
    }
}
