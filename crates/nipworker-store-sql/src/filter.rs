//! A filter as the end of a `SELECT`.

use nipworker_protocol::Filter;
use nipworker_store::Position;

use crate::{dialect::Dialect, statement::Statement, text::encoded};

/// Which part of the order of answers is looked at.
#[derive(Clone, Copy, Default)]
pub(crate) struct Part {
    /// Only what stands behind this.
    pub(crate) behind: Option<Position>,
    /// Only what stands no later than this.
    pub(crate) up_to: Option<Position>,
}

/// A filter, and which of the two databases is asked.
#[derive(Clone, Copy)]
pub(crate) struct Matching<'f> {
    pub(crate) dialect: Dialect,
    pub(crate) filter: &'f Filter,
    /// Unix seconds; what has expired by then does not answer.
    pub(crate) now: i64,
    pub(crate) part: Part,
}

impl Matching<'_> {
    /// Whether nothing can answer.
    pub(crate) fn is_empty(&self) -> bool {
        let Filter { ids, authors, kinds, tags, since, until, .. } = self.filter;
        ids.as_ref().is_some_and(Vec::is_empty)
            || authors.as_ref().is_some_and(Vec::is_empty)
            || kinds.as_ref().is_some_and(Vec::is_empty)
            || tags.values().any(Vec::is_empty)
            || matches!((since, until), (Some(since), Some(until)) if since > until)
    }

    /// The order of answers.
    pub(crate) fn order(&self) -> &'static str {
        // By the columns of the table that leads, so that its index gives the order.
        if self.leading_tag().is_some() {
            " ORDER BY t.created_at DESC, t.event_id"
        } else {
            " ORDER BY e.created_at DESC, e.id"
        }
    }

    /// The only value of a tag that the filter asks for: the index of tags then holds the answers in
    /// their order, each once.
    fn leading_tag(&self) -> Option<(char, &str)> {
        self.filter
            .tags
            .iter()
            .find(|(_, values)| values.len() == 1)
            .map(|(letter, values)| (letter.as_char(), values[0].as_str()))
    }

    /// Appends `FROM` and `WHERE`; the events are called `e`.
    pub(crate) fn append(&self, to: &mut Statement) {
        let (dialect, filter) = (self.dialect, self.filter);
        let leading = self.leading_tag();
        let time = if let Some((letter, value)) = leading {
            to.push(" FROM tags t JOIN events e ON e.id = t.event_id WHERE t.letter = ");
            to.push_bind(letter.to_string()).push(" AND t.value = ").push_bind(encoded(value));
            "t.created_at"
        } else {
            to.push(" FROM events e WHERE true");
            "e.created_at"
        };
        if let Some(ids) = &filter.ids {
            and_among_bytes(to, dialect, "e.id", ids.iter().map(|id| id.as_bytes()));
        }
        if let Some(authors) = &filter.authors {
            and_among_bytes(to, dialect, "e.pubkey", authors.iter().map(|key| key.as_bytes()));
        }
        match filter.kinds.as_deref() {
            None => {}
            Some([kind]) => {
                to.push(" AND e.kind = ").push_bind(i64::from(*kind));
            }
            Some(kinds) => {
                let list = to.bind(json(kinds));
                to.push(" AND ").push(&dialect.is_among_numbers("e.kind", &list));
            }
        }
        for (letter, values) in &filter.tags {
            if leading.is_some_and(|(leading, _)| leading == letter.as_char()) {
                continue;
            }
            to.push(" AND e.id IN (SELECT event_id FROM tags WHERE letter = ");
            to.push_bind(letter.as_char().to_string()).push(" AND ");
            let values: Vec<String> = values.iter().map(|value| encoded(value)).collect();
            let list = to.bind(json(&values));
            to.push(&dialect.is_among_texts("value", &list)).push(")");
        }
        if let Some(since) = filter.since {
            to.push(" AND ").push(time).push(" >= ").push_bind(since);
        }
        if let Some(until) = filter.until {
            to.push(" AND ").push(time).push(" <= ").push_bind(until);
        }
        to.push(" AND (e.expires_at IS NULL OR e.expires_at > ").push_bind(self.now).push(")");
        if let Some(behind) = self.part.behind {
            and_against(to, time, "<", ">", behind);
        }
        if let Some(up_to) = self.part.up_to {
            and_against(to, time, ">", "<=", up_to);
        }
    }
}

/// `time` is beyond that of `position`, or the same with an id beyond.
fn and_against(to: &mut Statement, time: &str, by_time: &str, by_id: &str, position: Position) {
    let at = to.bind(position.created_at);
    let id = to.bind(position.id.as_bytes().to_vec());
    // The first condition follows from the second, and an index can use it.
    to.push(&format!(
        " AND {time} {by_time}= {at} AND ({time} {by_time} {at} OR e.id {by_id} {id})"
    ));
}

fn and_among_bytes<'b>(
    to: &mut Statement,
    dialect: Dialect,
    column: &str,
    values: impl ExactSizeIterator<Item = &'b [u8; 32]>,
) {
    let mut values: Vec<&[u8; 32]> = values.collect();
    to.push(" AND ");
    if let [value] = values[..] {
        to.push(column).push(" = ").push_bind(value.to_vec());
    } else {
        values.sort_unstable();
        values.dedup();
        let list = hex_list(to, values);
        to.push(&dialect.is_among_bytes(column, &list));
    }
}

/// Binds `values` as a list and says what its placeholder is.
pub(crate) fn hex_list<'b>(
    to: &mut Statement,
    values: impl IntoIterator<Item = &'b [u8; 32]>,
) -> String {
    let values: Vec<String> = values.into_iter().map(hex::encode).collect();
    to.bind(json(&values))
}

/// A list for a placeholder.
pub(crate) fn json<T: serde::Serialize + ?Sized>(values: &T) -> String {
    serde_json::to_string(values).expect("numbers and texts become JSON")
}
