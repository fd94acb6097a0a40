//! What the relay says about itself (NIP-11), and what follows from it.

use std::{sync::Arc, time::Duration};

use nipworker_transport::InformationOptions;

use super::{Link, RelaySession};
use crate::{
    Effect, Now, RelayLimits,
    effect::{Document, Out},
};

/// No document is asked for within so long after the last attempt, however often it is dialled.
const PAUSE: Duration = Duration::from_secs(60);

/// What is known of a relay's document.
#[derive(Default)]
pub(super) struct Information {
    /// Those that count; without a document, none.
    pub(super) limits: Arc<RelayLimits>,
    /// When the document was fetched.
    at: Option<Duration>,
    /// When it was last asked for.
    asked: Option<Duration>,
}

impl RelaySession {
    /// Goes on with a document that was fetched before this session began.
    pub(crate) fn remember(&mut self, now: Now, document: Option<Document>) {
        if let Some(Document { limits, at }) = document.filter(|_| self.config.information) {
            self.information = Information { limits, at: Some(at), asked: Some(at) };
            self.note_document(now, at);
        }
    }

    /// With each attempt to connect, unless what is known still counts.
    pub(super) fn ask_for_information(&mut self, now: Now, out: &mut Out) {
        let time = now.monotonic;
        let is_fresh = |at: Option<Duration>, lasts| at.is_some_and(|at| time < at + lasts);
        // The question goes its own way to the address, so that nobody could hold it to public ones.
        if !self.config.information
            || self.public_only
            || is_fresh(self.information.at, self.config.information_ttl)
            || is_fresh(self.information.asked, PAUSE)
        {
            return;
        }
        self.information.asked = Some(time);
        // What the relay showed by refusing may be over as well.
        self.shown_places = None;
        let timeout = self.config.connect_timeout;
        let options = InformationOptions { timeout, ..InformationOptions::default() };
        out.effects.push(Effect::FetchInformation { relay: self.url.clone(), options });
    }

    pub(crate) fn informed(&mut self, now: Now, document: Option<&str>, out: &mut Out) {
        match document.map(RelayLimits::of) {
            Some(Ok(limits)) => {
                let limits = Arc::new(limits);
                let at = now.monotonic;
                self.stats.documents.increment();
                self.information.limits = Arc::clone(&limits);
                self.information.at = Some(at);
                self.note_document(now, at);
                out.documents.push((self.url.clone(), Document { limits, at }));
            }
            Some(Err(_)) | None => self.stats.document_failures.increment(),
        }
        self.fill(now, out);
        self.settle(now, out);
    }

    fn note_document(&self, now: Now, at: Duration) {
        let age = now.monotonic.saturating_sub(at).as_secs();
        let since = u64::try_from(now.unix).unwrap_or_default().saturating_sub(age);
        self.stats.document_since.set(since);
    }

    /// Whether requests wait until the relay knows who we are: its document says that nothing goes
    /// without, and it may know.
    pub(super) fn is_held_back(&self, now: Now) -> bool {
        let Link::Up(up) = &self.link else { return false };
        up.held_until.is_some_and(|until| now.monotonic < until)
    }

    /// On a new connection.
    pub(super) fn hold_back(&mut self, now: Now) {
        let holds = self.information.limits.auth_required && self.may_authenticate();
        let until = holds.then(|| now.monotonic + self.config.auth.deadline);
        if let Link::Up(up) = &mut self.link {
            up.held_until = until;
        }
    }

    /// The relay knows, or will not.
    pub(super) fn let_go(&mut self, now: Now, out: &mut Out) {
        if let Link::Up(up) = &mut self.link
            && up.held_until.take().is_some()
        {
            self.fill(now, out);
            self.send_all(now, out);
        }
    }
}
