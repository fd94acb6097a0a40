//! What is counted about a relay. Written by its session, read by anybody.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed},
    },
};

use nipworker_protocol::RelayUrl;
use serde::{Deserialize, Serialize};

use crate::{AuthProblem, AuthState, ErrorKind};

/// Longest text of a relay that is kept or handed on, in bytes.
pub(crate) const MAX_RELAY_TEXT_BYTES: usize = 1024;

/// Whether there is a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[repr(u8)]
pub enum LinkState {
    /// Nothing needs the relay.
    #[default]
    Idle,
    /// An attempt is under way.
    Connecting,
    /// Connected.
    Connected,
    /// Waiting for the next attempt.
    Waiting,
}

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counters of one relay since the book was made.
        #[derive(Debug, Default)]
        pub(crate) struct RelayStats {
            state: AtomicU8,
            configured: AtomicBool,
            texts: Mutex<Texts>,
            $(pub(crate) $name: Counter,)*
        }

        /// What is known about one relay at one moment.
        #[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
        #[serde(default)]
        pub struct RelayReport {
            /// Address.
            pub url: String,
            /// Whether there is a connection.
            pub state: LinkState,
            /// Whether the relay is always wanted, not only by a request.
            pub configured: bool,
            /// Why the last attempt failed or the last connection ended.
            pub last_error: Option<String>,
            /// How often attempts failed or connections ended, by kind of error.
            pub errors: BTreeMap<ErrorKind, u64>,
            /// The last text for a person.
            pub last_notice: Option<String>,
            /// Whether the relay knows who we are (NIP-42).
            pub auth: AuthState,
            /// Why it does not.
            pub auth_problem: Option<AuthProblem>,
            $($(#[$doc])* pub $name: u64,)*
        }

        impl RelayStats {
            /// The same numbers in other hands: what the former ones still count is not seen.
            pub(crate) fn fork(&self) -> Self {
                let texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner).clone();
                Self {
                    state: AtomicU8::default(),
                    configured: AtomicBool::new(self.configured.load(Relaxed)),
                    texts: Mutex::new(texts),
                    $($name: Counter(AtomicU64::new(self.$name.get())),)*
                }
            }

            pub(crate) fn report(&self, url: &RelayUrl) -> RelayReport {
                let texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
                RelayReport {
                    url: url.to_string(),
                    state: match self.state.load(Relaxed) {
                        1 => LinkState::Connecting,
                        2 => LinkState::Connected,
                        3 => LinkState::Waiting,
                        _ => LinkState::Idle,
                    },
                    configured: self.configured.load(Relaxed),
                    last_error: texts.error.clone(),
                    errors: texts.errors.clone(),
                    last_notice: texts.notice.clone(),
                    auth: texts.auth,
                    auth_problem: texts.auth_problem,
                    $($name: self.$name.get(),)*
                }
            }
        }
    };
}

counters! {
    /// Attempts to connect.
    dials,
    /// Attempts that failed.
    dial_failures,
    /// Connections that came about.
    connects,
    /// Connections that ended.
    disconnects,
    /// Connections given up because nothing came for too long.
    stale,
    /// Unix seconds at which the present connection came about; 0 without one.
    connected_since,
    /// Failures since the last healthy connection.
    failures_in_a_row,
    /// Messages that came.
    frames_in,
    /// Bytes of text that came.
    bytes_in,
    /// Messages that were sent.
    frames_out,
    /// Bytes of text that were sent.
    bytes_out,
    /// Events that came for an open subscription.
    events,
    /// Events for a subscription that is not open, or no longer.
    unasked_events,
    /// Messages that are malformed, binary, too large or not UTF-8.
    bad_frames,
    /// Messages of a type that is not used.
    unknown_frames,
    /// Texts for a person.
    notices,
    /// Ends of stored events.
    eoses,
    /// Ends of stored events that came again for the same REQ.
    repeated_eoses,
    /// Milliseconds from the last answered REQ to its end of stored events.
    eose_latency_ms,
    /// Subscriptions that were not answered before the deadline or the first failed attempt, or
    /// that found no place.
    eose_missed,
    /// Subscriptions that the relay ended.
    closed,
    /// REQs that are open now.
    open_subscriptions,
    /// Subscriptions that wait for a free place now.
    queued_subscriptions,
    /// Published events that the relay took.
    accepted,
    /// Published events that the relay refused.
    refused,
    /// Published events that the relay did not answer in time.
    no_answer,
    /// Published events for which there was no connection in time.
    not_connected,
    /// Answers to events that nobody waited for any more.
    late_oks,
    /// Challenges that came (NIP-42).
    auth_challenges,
    /// Signed answers to challenges that were sent.
    auths_sent,
    /// Signed answers that the relay accepted.
    auths_accepted,
    /// Authentications that failed or were not done in time.
    auth_failures,
    /// REQs and events that were sent again after an authentication.
    auth_resent,
    /// Information documents that were fetched (NIP-11).
    documents,
    /// Attempts to fetch one that failed.
    document_failures,
    /// Unix seconds at which the document that counts was fetched; 0 without one.
    document_since,
    /// REQs that may be open at once.
    places,
    /// How often a refusal showed that the relay takes fewer REQs than was thought.
    places_lowered,
    /// REQs that carried several subscriptions.
    shared_reqs,
    /// Further pages of stored events that were asked for.
    pages,
    /// Subscriptions and events that were not sent because they are longer than the relay takes.
    too_long,
    /// Milliseconds that the last connection took to come about.
    connect_latency_ms,
    /// Milliseconds from the last answered event to its OK.
    ok_latency_ms,
    /// Events that were given up because handing them on failed again and again.
    lost_events,
    /// Reconciliations (NIP-77) that were asked for.
    reconciliations,
    /// Reconciliations that did not come to a complete end.
    reconciliations_failed,
}

/// One number.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Relaxed);
    }

    pub(crate) fn increment(&self) {
        self.add(1);
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

#[derive(Debug, Clone, Default)]
struct Texts {
    error: Option<String>,
    errors: BTreeMap<ErrorKind, u64>,
    notice: Option<String>,
    auth: AuthState,
    auth_problem: Option<AuthProblem>,
}

impl RelayStats {
    pub(crate) fn set_state(&self, state: LinkState) {
        self.state.store(state as u8, Relaxed);
    }

    pub(crate) fn set_configured(&self, configured: bool) {
        self.configured.store(configured, Relaxed);
    }

    pub(crate) fn set_error(&self, error: &str) {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner).error = Some(cut(error));
    }

    /// An attempt failed or a connection ended.
    pub(crate) fn failed(&self, kind: ErrorKind, reason: &str) {
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        *texts.errors.entry(kind).or_default() += 1;
        texts.error = Some(cut(reason));
    }

    pub(crate) fn set_auth(&self, state: AuthState, problem: Option<AuthProblem>) {
        let mut texts = self.texts.lock().unwrap_or_else(PoisonError::into_inner);
        texts.auth = state;
        texts.auth_problem = problem;
    }

    pub(crate) fn set_notice(&self, notice: &str) {
        self.texts.lock().unwrap_or_else(PoisonError::into_inner).notice = Some(cut(notice));
    }
}

/// At most [`MAX_RELAY_TEXT_BYTES`], cut at a character boundary.
pub(crate) fn cut(text: &str) -> String {
    let mut end = text.len().min(MAX_RELAY_TEXT_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_at_a_character_boundary() {
        assert_eq!(cut(&"€".repeat(1000)).len(), 1023);
        assert_eq!(cut("short"), "short");
    }

    #[test]
    fn a_report_survives_json_and_lacks_nothing_in_older_ones() {
        let url = RelayUrl::parse("ws://relay.test").unwrap();
        let stats = RelayStats::default();
        stats.set_state(LinkState::Waiting);
        stats.failed(ErrorKind::Refused, "refused");
        stats.events.add(7);
        let report = stats.report(&url);
        let json = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<RelayReport>(&json).unwrap(), report);
        assert!(json.contains(r#""state":"waiting""#), "{json}");
        assert!(json.contains(r#""errors":{"refused":1}"#), "{json}");
        let older: RelayReport = serde_json::from_str(r#"{"url":"ws://relay.test"}"#).unwrap();
        assert_eq!(older.events, 0);
    }
}
