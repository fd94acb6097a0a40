//! Telling the relay who we are (NIP-42).
//!
//! ```text
//!             challenge            signature            OK true
//!  Waiting ──────────────▶ Signing ─────────▶ Sent ──────────────▶ Done
//!     ▲                       │                 │ OK false, silence   │
//!     │   another challenge   ▼ no signature    ▼                     │
//!     └──────────────────── Failed ◀────────────┘ ◀ another challenge ┘
//! ```
//!
//! Only the newest challenge is kept, and only one signature for each key is under way, however
//! many challenges come: a flood of them costs the relay its answer, not our memory or the
//! signer's patience.

use std::{sync::Arc, time::Duration};

use nipworker_protocol::{ClientMessage, Event, EventId, PublicKey, Tag};
use nipworker_transport::Outgoing;

use super::RelaySession;
use crate::{
    AuthProblem, AuthState, Effect, Now, SignFailure, SignId, SignTemplate, effect::Out, stats::cut,
};

/// Kind of the event that answers a challenge.
const AUTH_KIND: u16 = 22_242;
/// Longest challenge that is answered, in bytes. It is to be signed and sent back.
const MAX_CHALLENGE_BYTES: usize = 1024;
/// Challenges that are answered within [`CHALLENGE_WINDOW`]. Then the newest one waits.
const CHALLENGES_PER_WINDOW: u32 = 8;
/// Time over which challenges are counted.
const CHALLENGE_WINDOW: Duration = Duration::from_secs(60);
/// Signatures that are asked for one challenge while the signer fails for passing reasons.
const TRIES: u32 = 3;
/// Wait before the next of them.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Whose key; `None` is the default signer's.
pub(super) type Identity = Option<PublicKey>;

/// The authentication on the present connection.
#[derive(Default)]
pub(super) struct Auth {
    challenge: Option<Arc<str>>,
    identities: Vec<(Identity, Step)>,
    /// How often the relay has accepted who we are on this connection.
    successes: u32,
    /// No signature is asked for before.
    not_before: Duration,
    window_since: Duration,
    answered: u32,
    tries: u32,
    /// The relay has not answered what was sent for so long that it is taken for a yes.
    assumed: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Step {
    /// For a challenge.
    Waiting,
    Signing {
        request: SignId,
        challenge: Arc<str>,
        /// `None` once the time is over: nothing waits for it any more.
        until: Option<Duration>,
    },
    Sent {
        event: EventId,
        until: Duration,
    },
    Done,
    Failed(AuthProblem),
}

/// What follows from a refusal with `auth-required:`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Prospect {
    /// The relay has learned in the meantime who we are.
    Again,
    /// It may learn it.
    Wait,
    /// It will not, unless it sends another challenge.
    None(AuthProblem),
}

impl Auth {
    pub(super) fn new(identities: impl IntoIterator<Item = Identity>) -> Self {
        let identities = identities.into_iter().map(|identity| (identity, Step::Waiting));
        Self { identities: identities.collect(), ..Self::default() }
    }

    /// How often the relay has accepted who we are on this connection.
    pub(super) fn successes(&self) -> u32 {
        self.successes
    }

    /// Whether a challenge came and the relay's verdict on our answer is still to come.
    pub(super) fn is_under_way(&self) -> bool {
        self.challenge.is_some() && self.prospect(self.successes) == Prospect::Wait
    }

    /// Whether the relay knows us, as far as it ever will: at least one key was accepted, or is
    /// taken for accepted, and no answer is waited for.
    pub(super) fn knows_us(&self) -> bool {
        let is_yes = |step: &Step| match step {
            Step::Done => true,
            Step::Sent { .. } => self.assumed,
            _ => false,
        };
        let is_no =
            |step: &Step| matches!(step, Step::Failed(_) | Step::Signing { until: None, .. });
        self.identities.iter().any(|(_, step)| is_yes(step))
            && self.identities.iter().all(|(_, step)| is_yes(step) || is_no(step))
    }

    /// Whether every key that will be told to the relay was told.
    pub(super) fn is_told(&self) -> bool {
        !self
            .identities
            .iter()
            .any(|(_, step)| matches!(step, Step::Waiting | Step::Signing { until: Some(_), .. }))
    }

    /// No answer came for a while.
    pub(super) fn assume(&mut self) {
        self.assumed = true;
    }

    /// What becomes of something that was refused, and had been sent when the relay had accepted
    /// who we are `successes` times.
    pub(super) fn prospect(&self, successes: u32) -> Prospect {
        if successes < self.successes {
            return Prospect::Again;
        }
        let under_way = self.identities.iter().any(|(_, step)| match step {
            Step::Waiting | Step::Sent { .. } => true,
            Step::Signing { until, .. } => until.is_some(),
            Step::Done | Step::Failed(_) => false,
        });
        if under_way { Prospect::Wait } else { Prospect::None(self.problem()) }
    }

    /// Why the relay does not know, or does not know enough.
    pub(super) fn problem(&self) -> AuthProblem {
        let problem = |step: &Step| match step {
            Step::Failed(problem) => *problem,
            Step::Waiting => AuthProblem::NoChallenge,
            Step::Signing { .. } => AuthProblem::SignerTooSlow,
            Step::Sent { .. } => AuthProblem::NoAnswer,
            Step::Done => AuthProblem::StillRefused,
        };
        let worst = self.identities.iter().find(|(_, step)| !matches!(step, Step::Done));
        worst.map_or(AuthProblem::StillRefused, |(_, step)| problem(step))
    }

    fn state(&self) -> AuthState {
        let any = |wanted: fn(&Step) -> bool| self.identities.iter().any(|(_, step)| wanted(step));
        if self.challenge.is_none() {
            AuthState::NotAsked
        } else if any(|step| matches!(step, Step::Failed(_))) {
            AuthState::Failed
        } else if self.identities.iter().all(|(_, step)| *step == Step::Done) {
            AuthState::Authenticated
        } else {
            AuthState::UnderWay
        }
    }

    pub(super) fn next_deadline(&self) -> Option<Duration> {
        let steps = self.identities.iter().filter_map(|(_, step)| match step {
            Step::Waiting => self.challenge.as_ref().map(|_| self.not_before),
            Step::Signing { until, .. } => *until,
            Step::Sent { until, .. } => Some(*until),
            Step::Done | Step::Failed(_) => None,
        });
        steps.min()
    }
}

impl RelaySession {
    pub(super) fn fresh_auth(&self) -> Auth {
        if !self.may_authenticate() {
            return Auth::default();
        }
        match self.config.auth.keys.get(&self.url) {
            Some(keys) if !keys.is_empty() => Auth::new(keys.iter().copied().map(Some)),
            _ => Auth::new([None]),
        }
    }

    pub(super) fn may_authenticate(&self) -> bool {
        self.config.auth.consent.allows(&self.url, self.configured)
    }

    /// The relay asks who we are: for the first time, or anew.
    pub(super) fn challenged(&mut self, now: Now, challenge: &str, out: &mut Out) {
        self.stats.auth_challenges.increment();
        if !self.may_authenticate() {
            self.stats.set_auth(AuthState::Declined, Some(AuthProblem::NoConsent));
            return;
        }
        if challenge.len() > MAX_CHALLENGE_BYTES {
            self.stats.bad_frames.increment();
            return;
        }
        let is_known = self.auth.challenge.as_deref() == Some(challenge);
        if is_known {
            return;
        }
        self.auth.challenge = Some(challenge.into());
        self.auth.tries = 0;
        self.auth.assumed = false;
        for (_, step) in &mut self.auth.identities {
            // A signature that is under way is waited for: its answer finds the new challenge.
            if !matches!(step, Step::Signing { .. }) {
                *step = Step::Waiting;
            }
        }
        self.authenticate(now, out);
        self.put_off_private(now, out);
    }

    /// Asks for the signatures that are due.
    pub(super) fn authenticate(&mut self, now: Now, out: &mut Out) {
        let time = now.monotonic;
        let Some(connection) = self.connection() else { return };
        let Some(challenge) = self.auth.challenge.clone() else { return };
        let is_due = self.auth.identities.iter().any(|(_, step)| *step == Step::Waiting);
        if !is_due || time < self.auth.not_before {
            return;
        }
        if self.auth.window_since + CHALLENGE_WINDOW <= time {
            self.auth.window_since = time;
            self.auth.answered = 0;
        }
        if self.auth.answered >= CHALLENGES_PER_WINDOW {
            self.auth.not_before = self.auth.window_since + CHALLENGE_WINDOW;
            return;
        }
        self.auth.answered += 1;
        for (identity, step) in &mut self.auth.identities {
            if *step != Step::Waiting {
                continue;
            }
            let request = SignId(out.next_id());
            let challenge = Arc::clone(&challenge);
            let tag = |name: &str, value: &str| Tag(vec![name.to_owned(), value.to_owned()]);
            out.effects.push(Effect::Sign {
                relay: self.url.clone(),
                connection,
                request,
                key: *identity,
                template: SignTemplate {
                    created_at: now.unix,
                    kind: AUTH_KIND,
                    tags: vec![tag("relay", self.url.as_str()), tag("challenge", &challenge)],
                    content: String::new(),
                },
            });
            let until = Some(time + self.config.auth.deadline);
            *step = Step::Signing { request, challenge, until };
        }
        self.note_auth();
    }

    /// The signer answered.
    pub(crate) fn signed(
        &mut self,
        now: Now,
        request: SignId,
        result: Result<&Event, SignFailure>,
        out: &mut Out,
    ) {
        let auth = &mut self.auth;
        let found = auth.identities.iter_mut().find(
            |(_, step)| matches!(step, Step::Signing { request: asked, .. } if *asked == request),
        );
        let Some((identity, step)) = found else { return };
        let Step::Signing { challenge, .. } = &*step else { return };
        let is_current = auth.challenge.as_ref() == Some(challenge);
        let answers = |event: &Event| {
            event.kind == AUTH_KIND
                && identity.is_none_or(|key| key == event.pubkey)
                && event.tags.iter().any(|tag| tag.0 == ["challenge", challenge])
        };
        let result = match result {
            _ if !is_current => {
                *step = Step::Waiting;
                self.authenticate(now, out);
                self.settle(now, out);
                return;
            }
            Ok(event) if answers(event) => Ok(event),
            Ok(_) => Err(SignFailure::lasting(AuthProblem::SignerFailed)),
            Err(failure) => Err(failure),
        };
        match result {
            Ok(event) => {
                *step = Step::Sent {
                    event: event.id,
                    until: now.monotonic + self.config.auth.deadline,
                };
                self.stats.auths_sent.increment();
                self.transmit(Outgoing::Text(ClientMessage::auth_frame(event)), out);
                self.auth_was_sent(now);
            }
            Err(SignFailure { is_transient: true, .. }) if auth.tries < TRIES => {
                auth.tries += 1;
                auth.not_before = now.monotonic + RETRY_PAUSE;
                *step = Step::Waiting;
            }
            Err(SignFailure { problem, .. }) => {
                *step = Step::Failed(problem);
                self.auth_failed(now, out);
            }
        }
        self.note_auth();
        self.settle(now, out);
    }

    /// What follows from a refusal of something that was sent when the relay had accepted who we
    /// are `successes` times.
    fn refusal_prospect(&self, successes: u32) -> Prospect {
        match self.may_authenticate() {
            true => self.auth.prospect(successes),
            false => Prospect::None(AuthProblem::NoConsent),
        }
    }

    /// The same, for a refusal that has just come: a signer that was not there may be by now.
    pub(super) fn refused_for_auth(&mut self, now: Now, successes: u32, out: &mut Out) -> Prospect {
        for (_, step) in &mut self.auth.identities {
            if *step == Step::Failed(AuthProblem::NoSigner) {
                *step = Step::Waiting;
            }
        }
        self.authenticate(now, out);
        self.refusal_prospect(successes)
    }

    /// Why the refusal stands.
    pub(super) fn refusal_problem(&self, successes: u32) -> Option<AuthProblem> {
        Some(match self.refusal_prospect(successes) {
            Prospect::None(problem) => problem,
            Prospect::Again | Prospect::Wait => self.auth.problem(),
        })
    }

    /// Whether an `OK` answers an authentication; it is never taken for that of a publish then.
    pub(super) fn auth_answered(
        &mut self,
        now: Now,
        event: EventId,
        accepted: bool,
        message: &str,
        out: &mut Out,
    ) -> bool {
        let sent = |step: &Step| matches!(step, Step::Sent { event: sent, .. } if *sent == event);
        let found = self.auth.identities.iter_mut().find(|(_, step)| sent(step));
        let Some((_, step)) = found else { return false };
        if accepted {
            *step = Step::Done;
            self.auth.successes += 1;
            self.stats.auths_accepted.increment();
            self.note_auth();
            self.go_on_authenticated(now, out);
        } else {
            *step = Step::Failed(AuthProblem::Rejected);
            self.stats.set_error(&format!("authentication refused: {}", cut(message)));
            self.auth_failed(now, out);
        }
        true
    }

    /// What takes too long.
    pub(super) fn expire_auth(&mut self, now: Now, out: &mut Out) {
        let mut over = false;
        for (_, step) in &mut self.auth.identities {
            match step {
                Step::Signing { until, .. } if until.is_some_and(|at| at <= now.monotonic) => {
                    *until = None;
                    over = true;
                }
                Step::Sent { until, .. } if *until <= now.monotonic => {
                    *step = Step::Failed(AuthProblem::NoAnswer);
                    over = true;
                }
                _ => {}
            }
        }
        if over {
            self.auth_failed(now, out);
        }
        self.authenticate(now, out);
    }

    /// What was refused is sent again, and what was held back is sent.
    fn go_on_authenticated(&mut self, now: Now, out: &mut Out) {
        self.let_go(now, out);
        self.ask_refused_again(now, out);
        self.ask_private_again(now, out);
        self.send_refused_again(out);
    }

    /// Nothing waits for an authentication that will not come.
    fn auth_failed(&mut self, now: Now, out: &mut Out) {
        self.stats.auth_failures.increment();
        self.note_auth();
        if let Prospect::None(problem) = self.auth.prospect(self.auth.successes()) {
            self.let_go(now, out);
            self.ask_private_again(now, out);
            self.give_up_refused_subscriptions(now, problem, out);
            self.give_up_refused_publishes(now, problem, out);
        }
    }

    fn note_auth(&self) {
        let state = self.auth.state();
        let problem = (state == AuthState::Failed).then(|| self.auth.problem());
        self.stats.set_auth(state, problem);
    }
}
