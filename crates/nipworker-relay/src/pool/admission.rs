//! Which relays a request goes to, and whether there is room for them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use nipworker_protocol::{Event, Filter, RelayUrl};

use super::RelayPool;
use crate::{Now, RequestError, effect::Out, routing::Router, session::RelaySession};

/// What each relay of a request is asked for where that was decided by routing.
pub(super) type Routed = BTreeMap<RelayUrl, Arc<[Filter]>>;

impl RelayPool {
    pub(super) fn targets(&self, named: Vec<RelayUrl>) -> Result<Vec<RelayUrl>, RequestError> {
        let named = match named.is_empty() {
            true => self.lease.book().desired().to_vec(),
            false => named,
        };
        let mut seen = BTreeSet::new();
        let relays: Vec<_> = named.into_iter().filter(|url| seen.insert(url.clone())).collect();
        if relays.is_empty() { Err(RequestError::NoRelay) } else { Ok(relays) }
    }

    /// Where a request goes, and what each relay is asked for where routing decides that.
    pub(super) fn routes(
        &self,
        now: Now,
        named: Vec<RelayUrl>,
        filters: &[Filter],
    ) -> Result<(Vec<RelayUrl>, Routed), RequestError> {
        let book = self.lease.book();
        let Some(router) = book.router().filter(|_| named.is_empty()) else {
            return Ok((self.targets(named)?, BTreeMap::new()));
        };
        let is_open = |relay: &RelayUrl| self.sessions.contains_key(relay);
        let room = self.room(router);
        let routes = router.read(now.monotonic, filters, book.desired(), is_open, room);
        let routed: Routed =
            routes.into_iter().map(|route| (route.relay, route.filters.into())).collect();
        match routed.is_empty() {
            true => Err(RequestError::NoRelay),
            false => Ok((routed.keys().cloned().collect(), routed)),
        }
    }

    /// Where an event goes.
    pub(super) fn targets_of(
        &self,
        now: Now,
        named: Vec<RelayUrl>,
        json: &str,
    ) -> Result<Vec<RelayUrl>, RequestError> {
        let book = self.lease.book();
        let router = book.router().filter(|_| named.is_empty());
        let (Some(router), Ok(event)) = (router, serde_json::from_str::<Event>(json)) else {
            return self.targets(named);
        };
        let is_open = |relay: &RelayUrl| self.sessions.contains_key(relay);
        let room = self.room(router);
        self.targets(router.write(now.monotonic, &event, book.desired(), is_open, room))
    }

    /// How many more relays routing may bring in: those that nothing needs make room.
    fn room(&self, router: &Router) -> usize {
        let strangers = self.sessions.values().filter(|session| session.is_stranger());
        let in_use = strangers.filter(|session| session.idle_since().is_none()).count();
        router.config().max_relays.saturating_sub(in_use)
    }

    /// Makes sure that there is a session, if there is room for one. `routed` says that no request
    /// names it, but somebody's list.
    pub(super) fn admit(
        &mut self,
        now: Now,
        relay: &RelayUrl,
        routed: bool,
        out: &mut Out,
    ) -> bool {
        if self.sessions.contains_key(relay) {
            return true;
        }
        let configured = self.lease.book().desired().contains(relay);
        let router = self.lease.book().router().filter(|_| routed && !configured);
        let bound = router.map(|router| (router.config().max_relays, router.dials_public_only()));
        if let Some((most, _)) = bound {
            let strangers = self.sessions.values().filter(|session| session.is_stranger()).count();
            if strangers >= most && !self.make_room(RelaySession::is_stranger, out) {
                return false;
            }
        }
        if self.sessions.len() >= self.config.max_relays && !self.make_room(|_| true, out) {
            return false;
        }
        let stats = self.lease.stats(relay);
        stats.set_configured(configured);
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let config = Arc::clone(&self.config);
        let mut session = RelaySession::new(relay.clone(), configured, config, stats, self.seed);
        if let Some((_, public_only)) = bound {
            session = session.stranger(public_only);
        }
        session.remember(now, self.lease.document(relay));
        session.start(now, out);
        self.sessions.insert(relay.clone(), session);
        true
    }

    /// Lets go of the relay that nothing has needed for longest, among those that `may` go.
    fn make_room(&mut self, may: impl Fn(&RelaySession) -> bool, out: &mut Out) -> bool {
        let sessions = self.sessions.iter().filter(|(_, session)| may(session));
        let idle =
            sessions.filter_map(|(url, session)| Some((session.idle_since()?, url.clone()))).min();
        let Some((_, url)) = idle else { return false };
        self.dismiss(&url, out);
        true
    }

    pub(super) fn dismiss(&mut self, relay: &RelayUrl, out: &mut Out) {
        if let Some(mut session) = self.sessions.remove(relay) {
            session.dismiss(out);
            self.lease.write(|pages| {
                pages.stats.remove(relay);
            });
        }
    }
}
