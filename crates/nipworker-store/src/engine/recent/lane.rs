//! The entries that answer one filter, in the order of answers.

use std::{cmp::Reverse, collections::BinaryHeap};

use nipworker_protocol::Filter;

use crate::Position;

use super::{super::matcher::Matcher, Entry, Floor, Inner, List, Miss};

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
    /// Begins behind `after`, where `matched` events had answered, for a page of `max_events` at most.
    ///
    /// # Errors
    /// Why the filter is not answered from here.
    pub(super) fn begin(
        inner: &'r Inner,
        filter: &'r Filter,
        after: Option<Position>,
        matched: u64,
        max_events: usize,
        now: i64,
    ) -> Result<Self, Miss> {
        if filter.ids.is_some() || !filter.tags.is_empty() || filter.search.is_some() {
            return Err(Miss::Never);
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
        let lists = Lists::of(inner, filter);
        let can_suffice = lists.len() as u64 >= left.min(max_events as u64);
        let sources = match &lists.lists[..] {
            [only] => Sources::One(begin(only)),
            several => {
                let mut sources: Vec<_> = several.iter().copied().map(begin).collect();
                let heads = sources
                    .iter_mut()
                    .enumerate()
                    .filter_map(|(number, source)| Some((source.next()?.position, number)))
                    .map(Reverse)
                    .collect();
                Sources::Several { sources, heads }
            }
        };
        let mut lane = Self {
            sources,
            matcher: Matcher::new(filter),
            compares: lists.compares,
            since: filter.since,
            floor: inner.floor,
            now,
            left,
            matched,
            head: Head::Done,
        };
        if !can_suffice && !lane.is_whole() {
            // It would end so, after a look at every entry.
            return Err(Miss::NotHere);
        }
        lane.find();
        Ok(lane)
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
                break if self.is_whole() { Head::Done } else { Head::Elsewhere };
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

    /// Whether whatever answers is here.
    fn is_whole(&self) -> bool {
        match (self.floor, self.since) {
            (Floor::None, _) => true,
            (Floor::At(floor), Some(since)) => since > floor.created_at,
            _ => false,
        }
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

/// Where the answers of a filter are.
struct Lists<'r> {
    lists: Vec<&'r List>,
    /// Whether authors are still to be compared.
    compares: bool,
}

impl<'r> Lists<'r> {
    /// Those with the fewest entries that hold all answers.
    fn of(inner: &'r Inner, filter: &Filter) -> Self {
        let mut best = Self { lists: vec![&inner.all], compares: filter.authors.is_some() };
        let mut offer = |lists: Vec<&'r List>, compares| {
            let offered = Self { lists, compares };
            if offered.len() < best.len() {
                best = offered;
            }
        };
        if let Some(authors) = few(filter.authors.as_deref()) {
            let lists = authors.into_iter().filter_map(|author| inner.by_author.get(author));
            offer(lists.collect(), false);
        }
        if let Some(kinds) = few(filter.kinds.as_deref()) {
            let lists = kinds.into_iter().filter_map(|kind| inner.by_kind.get(kind));
            offer(lists.collect(), filter.authors.is_some());
        }
        best
    }

    /// Entries of all together.
    fn len(&self) -> usize {
        self.lists.iter().map(|list| list.len()).sum()
    }
}

/// Each value once, where these are not too many to merge their lists.
fn few<T: Ord>(values: Option<&[T]>) -> Option<Vec<&T>> {
    let mut values: Vec<&T> = values.filter(|it| it.len() <= MERGED_MAX)?.iter().collect();
    values.sort_unstable();
    values.dedup();
    Some(values)
}
