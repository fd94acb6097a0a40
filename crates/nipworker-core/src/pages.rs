//! Older and older events, page by page.

use std::{collections::HashSet, sync::Arc};

use futures::StreamExt;
use nipworker_pipeline::{
    Source,
    pipes::{Chain, Fate, Item, PipeNote},
};
use nipworker_protocol::{Event, EventId, Filter, Verified};

use crate::{ClientError, NostrClient, QueryOptions, SubscriptionEvent};

/// Default number of events of a page.
pub const DEFAULT_PAGE_EVENTS: usize = 100;

/// Events of one second that are told apart. Behind so many the reading goes on with the second
/// before, and [`Page::cut_second`] says so.
pub const MAX_SAME_SECOND: usize = 10_000;

/// How pages are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageOptions {
    /// Events of a page, at least 1; a page whose events a pipe holds back is shorter. Each filter
    /// is asked for so many, whatever its own `limit` says.
    pub page_events: usize,
    /// Whom to ask, and what to do to the events. The pipes see all pages as one sequence; the
    /// limits hold for each page.
    pub query: QueryOptions,
}

impl Default for PageOptions {
    fn default() -> Self {
        Self { page_events: DEFAULT_PAGE_EVENTS, query: QueryOptions::default() }
    }
}

/// Some events, newest first; those of one second by id.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Page {
    /// The events, each with where it came from first.
    pub events: Vec<(Arc<Verified<Event>>, Source)>,
    /// What pipes have to say.
    pub notes: Vec<(Arc<str>, PipeNote)>,
    /// A second of which some events may be missing, because it has more than
    /// [`MAX_SAME_SECOND`].
    pub cut_second: Option<i64>,
}

/// Reads older and older events. Made by [`NostrClient::pages`].
///
/// Each event comes once, and none is left out between two pages, however many share a second:
/// the next page begins at the second where the last one ended, asks for as many more as were
/// given of that second, and leaves those out. Events that are stored or sent meanwhile come if
/// they are older than what was read. Readers of pages share nothing with one another.
///
/// A relay that sends fewer events than it is asked for, though it has more, may leave a gap: NIP-01
/// has no means to tell. A page size below the relays' limit avoids it.
#[derive(Debug)]
pub struct Pages {
    client: NostrClient,
    filters: Vec<Filter>,
    options: PageOptions,
    pipes: Chain,
    /// The newest second of the next page; `None` at the beginning.
    until: Option<i64>,
    /// What was given of that second.
    given: HashSet<EventId>,
    is_done: bool,
}

type Row = (Arc<Verified<Event>>, Source);

impl NostrClient {
    /// Reads what matches from the newest on, page by page.
    ///
    /// # Errors
    /// [`ClientError::Invalid`] when a page is to have no events.
    pub fn pages(&self, filters: Vec<Filter>, options: PageOptions) -> Result<Pages, ClientError> {
        if options.page_events == 0 {
            return Err(ClientError::Invalid("a page of 0 events, the least is 1".to_owned()));
        }
        let pipes = Chain::new(&self.pipes_or_default(options.query.pipes.clone())?);
        Ok(Pages {
            client: self.clone(),
            filters,
            options,
            pipes,
            until: None,
            given: HashSet::new(),
            is_done: false,
        })
    }
}

impl Pages {
    /// The next page; `None` when there are no older events. An error costs nothing: the same page
    /// can be asked for again. Cancel safe.
    ///
    /// # Errors
    /// As [`NostrClient::query_with`], and [`ClientError::Worker`] when the query was cut short.
    pub async fn next(&mut self) -> Result<Option<Page>, ClientError> {
        while !self.is_done {
            let rows = self.fresh_rows().await?;
            let page = self.take(rows);
            if page != Page::default() {
                return Ok(Some(page));
            }
        }
        Ok(None)
    }

    /// Rows that were not given yet, in order, no more than a page.
    async fn fresh_rows(&self) -> Result<Vec<Row>, ClientError> {
        let filters = self.filters_of_next_page();
        if filters.is_empty() && !self.filters.is_empty() {
            return Ok(Vec::new());
        }
        // The pipes stand behind the cut into pages: else a page that they empty would be the end.
        let query = QueryOptions { pipes: Some(Vec::new()), ..self.options.query.clone() };
        let mut found = self.client.query_with(filters, query).await?;
        let mut rows = Vec::new();
        while let Some(item) = found.next().await {
            match item {
                SubscriptionEvent::Event { event, source } => rows.push((event, source)),
                SubscriptionEvent::EndOfStored => break,
                SubscriptionEvent::Lagged { missed } => {
                    let reason = format!("{missed} events of a page were missed");
                    return Err(ClientError::Worker { reason, transient: true });
                }
                SubscriptionEvent::Closed { reason } => {
                    return Err(ClientError::Worker { reason, transient: true });
                }
                _ => {}
            }
        }
        rows.retain(|(event, _)| !self.given.contains(&event.id));
        rows.sort_unstable_by(|(a, _), (b, _)| {
            b.created_at.cmp(&a.created_at).then_with(|| a.id.cmp(&b.id))
        });
        rows.truncate(self.options.page_events);
        Ok(rows)
    }

    fn filters_of_next_page(&self) -> Vec<Filter> {
        let limit = self.options.page_events.saturating_add(self.given.len());
        let asked = self.filters.iter().filter_map(|filter| {
            let until = match (filter.until, self.until) {
                (Some(own), Some(reached)) => Some(own.min(reached)),
                (own, reached) => own.or(reached),
            };
            let is_over = until.zip(filter.since).is_some_and(|(until, since)| since > until);
            let limit = Some(limit);
            (!is_over).then(|| Filter { until, limit, ..filter.clone() })
        });
        asked.collect()
    }

    /// Notes how far the reading has come, and sends the rows through the pipes.
    fn take(&mut self, rows: Vec<Row>) -> Page {
        let mut page = Page::default();
        match (rows.last(), self.until) {
            (Some((oldest, _)), _) => page.cut_second = self.reach(oldest.created_at, &rows),
            // That second is read to its end.
            (None, Some(until)) if !self.given.is_empty() => self.before(until),
            (None, _) => {
                self.is_done = true;
                self.pipes.end_of_stored();
            }
        }
        for (event, source) in rows {
            if self.pipes.take(&Item::new(&event, &source)) == Fate::Passed {
                page.events.push((event, source));
            }
        }
        page.notes.extend(std::iter::from_fn(|| self.pipes.next_note()));
        page
    }

    fn reach(&mut self, oldest: i64, rows: &[Row]) -> Option<i64> {
        if self.until != Some(oldest) {
            self.until = Some(oldest);
            self.given.clear();
        }
        let of_that_second = rows.iter().filter(|(event, _)| event.created_at == oldest);
        self.given.extend(of_that_second.map(|(event, _)| event.id));
        let is_cut = self.given.len() > MAX_SAME_SECOND;
        if is_cut {
            self.before(oldest);
        }
        is_cut.then_some(oldest)
    }

    fn before(&mut self, second: i64) {
        self.given.clear();
        match second.checked_sub(1) {
            Some(second) => self.until = Some(second),
            None => self.is_done = true,
        }
    }
}
