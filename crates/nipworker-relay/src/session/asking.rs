//! Giving places to subscriptions that wait: one REQ each while there are enough, several on one
//! when places are scarce.

use std::sync::Arc;

use nipworker_protocol::{ClientMessage, Filter};
use nipworker_transport::Outgoing;

use super::{
    Link, RelaySession,
    carrier::{Carrier, may_share},
    pages::Pages,
    subscriptions::Asked,
};
use crate::{Now, effect::Out};

/// Waiting subscriptions that are tried on the REQs that are open each time one is to be placed:
/// the first ones and the last one. Each costs a comparison with every open REQ.
const MAX_TRIED: usize = 32;

/// Subscriptions that are to be asked in one REQ, and what it asks for: equal questions once.
#[derive(Default)]
struct Group {
    riders: Vec<Arc<str>>,
    questions: Vec<Vec<Filter>>,
}

impl Group {
    fn asks(&self, question: &[Filter]) -> bool {
        self.questions.iter().any(|known| known == question)
    }

    fn push(&mut self, name: Arc<str>, question: Vec<Filter>) {
        if !self.asks(&question) {
            self.questions.push(question);
        }
        self.riders.push(name);
    }
}

impl RelaySession {
    /// Opens what waits as long as there are places.
    pub(super) fn fill(&mut self, now: Now, out: &mut Out) {
        if self.waiting.is_empty() || !matches!(self.link, Link::Up(_)) || self.is_held_back(now) {
            return;
        }
        loop {
            let (places, live_places) = (self.places(), self.live_places());
            let live = self.live_places_taken();
            if self.wire.len() >= places {
                break;
            }
            let Some(name) = self.waiting.next(live < live_places) else { break };
            let Some(subscription) = self.subscriptions.get(&name) else { continue };
            let is_query = subscription.close_on_eose;
            let free = places - self.wire.len();
            let free = if is_query { free } else { free.min(live_places - live) };
            let group = self.group(name, is_query, free);
            self.ask(now, group, out);
        }
        self.share_with_open(now, out);
    }

    fn question(&self, name: &str) -> Option<Vec<Filter>> {
        let subscription = self.subscriptions.get(name)?;
        Some(subscription.question(self.config.resubscribe_overlap_secs, self.auth.knows_us()))
    }

    /// Who rides with `first`: whoever asks the very same, and others of its kind when fewer places
    /// are free than wait.
    fn group(&mut self, first: Arc<str>, is_query: bool, free: usize) -> Group {
        let mut group = Group::default();
        if let Some(question) = self.question(&first) {
            group.push(Arc::clone(&first), question);
        }
        if self.is_alone(&first) {
            return group;
        }
        let others = self.waiting.of_kind(is_query);
        let share = (others.len() + 1).div_ceil(free.max(1));
        for name in others {
            if self.is_alone(name) {
                continue;
            }
            let Some(question) = self.question(name) else { continue };
            let has_room = group.questions.len() < share;
            if group.asks(&question) || (has_room && self.fits(&group, &question)) {
                group.push(Arc::clone(name), question);
            }
        }
        self.waiting.remove_all(&group.riders);
        group
    }

    fn is_alone(&self, name: &str) -> bool {
        self.subscriptions.get(name).is_none_or(|subscription| subscription.is_alone)
    }

    /// Whether `question` may stand in one REQ with those of `group`, within the relay's limits.
    fn fits(&self, group: &Group, question: &[Filter]) -> bool {
        let mut all = group.questions.concat();
        may_share(&all, question) && {
            all.extend(question.iter().cloned());
            self.is_short(&all)
        }
    }

    /// Whether one REQ with these filters is within the relay's limit.
    fn is_short(&self, filters: &[Filter]) -> bool {
        /// Room for the longest name of a REQ that is used.
        const NAME_BYTES: usize = 16;
        self.information
            .limits
            .max_message_length
            .is_none_or(|most| ClientMessage::req_frame("", filters).len() + NAME_BYTES <= most)
    }

    /// Asks for a group in one REQ, or for a single subscription in as many as the relay's limit of
    /// a message demands.
    fn ask(&mut self, now: Now, group: Group, out: &mut Out) {
        let Group { riders: names, questions } = group;
        let Some(is_live) = names
            .first()
            .and_then(|name| self.subscriptions.get(name))
            .map(|subscription| !subscription.close_on_eose)
        else {
            return;
        };
        let is_mixed = questions.len() > 1;
        if names.len() > 1 {
            self.stats.shared_reqs.increment();
        }
        let filters = questions.concat();
        let Some(parts) = self.parts(filters) else {
            for name in names {
                self.refuse_too_long(&name, out);
            }
            return;
        };
        let mut subjects: Vec<Arc<[Filter]>> = Vec::new();
        for name in &names {
            if let Some(subscription) = self.subscriptions.get_mut(name) {
                subscription.begin(now, self.auth.successes(), self.auth.knows_us());
                if !subjects.contains(&subscription.filters) {
                    subjects.push(Arc::clone(&subscription.filters));
                }
            }
        }
        for filters in parts {
            let resumed = names.first().and_then(|name| self.subscriptions.get(name));
            let is_exhaustive = resumed.is_some_and(|it| it.close_on_eose || it.is_resumed());
            let pages = match is_mixed {
                true => None,
                false => Pages::new(&filters, &self.information.limits, is_exhaustive),
            };
            let carrier = Carrier {
                riders: names.clone(),
                subjects: subjects.clone(),
                is_live,
                is_mixed,
                is_left: false,
                is_complete: false,
                is_heard: false,
                pages,
                is_page: false,
            };
            self.send_req(carrier, &filters, out);
        }
    }

    /// The filters of the REQs that carry `filters`; `None` when one alone is too long.
    fn parts(&self, filters: Vec<Filter>) -> Option<Vec<Vec<Filter>>> {
        if self.is_short(&filters) {
            return Some(vec![filters]);
        }
        let mut parts: Vec<Vec<Filter>> = Vec::new();
        for filter in filters {
            if !self.is_short(std::slice::from_ref(&filter)) {
                return None;
            }
            match parts.last_mut() {
                Some(part) => {
                    part.push(filter);
                    if !self.is_short(part)
                        && let Some(filter) = part.pop()
                    {
                        parts.push(vec![filter]);
                    }
                }
                None => parts.push(vec![filter]),
            }
        }
        Some(parts)
    }

    /// Nothing that this relay takes can ask for it.
    fn refuse_too_long(&mut self, name: &Arc<str>, out: &mut Out) {
        let most = self.information.limits.max_message_length.unwrap_or(usize::MAX);
        self.stats.too_long.increment();
        self.ended(name, super::subscriptions::Ended::By { retry: None }, out);
        let reason = format!(
            "invalid: not asked: a filter is longer than the {most} bytes that this relay takes"
        );
        self.tell_closed(Arc::clone(name), &reason, None);
    }

    /// Opens a REQ for the riders of `carrier`.
    pub(super) fn send_req(&mut self, carrier: Carrier, filters: &[Filter], out: &mut Out) {
        let wire = self.next_wire();
        for name in &carrier.riders {
            if let Some(subscription) = self.subscriptions.get_mut(name) {
                subscription.rides_on(wire.clone());
            }
        }
        let frame = ClientMessage::req_frame(&wire, filters);
        self.wire.insert(wire, carrier);
        self.transmit(Outgoing::Text(frame), out);
    }

    /// A subscription leaves its REQs; those that nobody rides on any more are closed.
    pub(super) fn get_off(&mut self, name: &str, wires: &[String], out: &mut Out) {
        for wire in wires {
            let Some(carrier) = self.wire.get_mut(wire) else { continue };
            carrier.riders.retain(|rider| **rider != *name);
            carrier.is_left = true;
            if carrier.riders.is_empty() {
                self.wire.remove(wire);
                self.transmit(Outgoing::Text(ClientMessage::close_frame(wire)), out);
            }
        }
    }

    /// Live subscriptions for which no place is left ride with others that are open: their REQ is
    /// closed, and asked again from the last seen time with all of them. REQs whose stored events
    /// are still coming are left alone.
    fn share_with_open(&mut self, now: Now, out: &mut Out) {
        if self.live_places_taken() < self.live_places() && self.wire.len() < self.places() {
            return;
        }
        let waiting = self.waiting.of_kind(false);
        if waiting.is_empty() {
            return;
        }
        let share = waiting.len();
        let mut tried: Vec<Arc<str>> = waiting.iter().take(MAX_TRIED - 1).cloned().collect();
        tried.extend(waiting.iter().skip(MAX_TRIED - 1).next_back().cloned());
        tried.retain(|name| !self.is_alone(name));
        let mut open: Vec<String> = self
            .wire
            .iter()
            .filter(|(_, carrier)| carrier.is_live && carrier.is_complete)
            .map(|(wire, _)| wire.clone())
            .collect();
        // The fewest riders first, and an order that does not depend on chance.
        open.sort_by_key(|wire| {
            (self.wire.get(wire).map_or(0, |it| it.riders.len()), wire.clone())
        });
        let share = share.div_ceil(open.len().max(1));
        for wire in open {
            if tried.is_empty() {
                break;
            }
            let Some(carrier) = self.wire.get(&wire) else { continue };
            if !tried.iter().any(|name| self.may_join(carrier, name))
                || !carrier.riders.iter().all(|name| self.may_move(name, &wire))
            {
                continue;
            }
            let mut group = Group::default();
            for name in &carrier.riders {
                if let Some(question) = self.question(name) {
                    group.push(Arc::clone(name), question);
                }
            }
            let before = group.riders.len();
            tried.retain(|name| {
                if group.riders.len() - before >= share {
                    return true;
                }
                let Some(question) = self.question(name) else { return false };
                let joins = group.asks(&question) || self.fits(&group, &question);
                if joins {
                    group.push(Arc::clone(name), question);
                }
                !joins
            });
            if group.riders.len() > before {
                self.waiting.remove_all(&group.riders[before..]);
                self.wire.remove(&wire);
                self.transmit(Outgoing::Text(ClientMessage::close_frame(&wire)), out);
                self.ask(now, group, out);
            }
        }
    }

    /// Whether it is worth a closer look whether a subscription could ride on an open REQ.
    fn may_join(&self, carrier: &Carrier, name: &str) -> bool {
        self.subscriptions.get(name).is_some_and(|subscription| {
            carrier.subjects.contains(&subscription.filters)
                || carrier.has_room_for(subscription.filters.len())
        })
    }

    fn may_move(&self, name: &str, wire: &str) -> bool {
        self.subscriptions.get(name).is_some_and(|subscription| {
            let only = matches!(&subscription.asked, Asked::Open { wires, missing: 0, .. } if *wires == [wire]);
            only && !subscription.is_alone
        })
    }

    /// A REQ is over by the relay's will, and it shared: it may be one rider's filters that it does
    /// not like, so that each is asked alone.
    pub(super) fn part(&mut self, now: Now, riders: Vec<Arc<str>>, out: &mut Out) {
        for name in riders {
            let Some(subscription) = self.subscriptions.get_mut(&name) else { continue };
            subscription.is_alone = true;
            subscription.asked = Asked::No;
            self.enqueue(now, name, out);
        }
    }

    /// The relay said in a NOTICE that there are too many REQs. It refused the newest that it has
    /// not answered in any way; that one waits for a place again.
    pub(super) fn refused_by_notice(&mut self, now: Now, out: &mut Out) {
        let newest = self
            .wire
            .iter()
            .filter(|(_, carrier)| !carrier.is_heard && !carrier.is_complete)
            .max_by_key(|(wire, _)| (wire.len(), (*wire).clone()))
            .map(|(wire, _)| wire.clone());
        let Some(wire) = newest else { return };
        let Some(carrier) = self.wire.remove(&wire) else { return };
        // Should it not have been that one, it must not stay open unseen.
        self.transmit(Outgoing::Text(ClientMessage::close_frame(&wire)), out);
        self.lower_places(self.wire.len());
        self.wait_again(now, carrier.riders, out);
    }

    /// Subscriptions whose REQ found no place at the relay wait for their turn.
    pub(super) fn wait_again(&mut self, now: Now, riders: Vec<Arc<str>>, out: &mut Out) {
        for name in riders {
            let Some(subscription) = self.subscriptions.get_mut(&name) else { continue };
            if let Asked::Open { wires, .. } = std::mem::replace(&mut subscription.asked, Asked::No)
            {
                self.get_off(&name, &wires, out);
            }
            self.enqueue(now, name, out);
        }
    }
}
