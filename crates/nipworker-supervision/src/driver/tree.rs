//! Supervisors: actions of the policies, and what goes up and down the tree.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::behind::millis;
use crate::driver::workers::WorkerChild;
use crate::driver::{Driver, Place, node_policy};
use crate::events::SupervisorEvent;
use crate::failure::{AskError, Failure, StartError};
use crate::handle;
use crate::policy::{self, Action, Cause, Event, ExitKind, Intensity};
use crate::spec::{Spec, SupervisorBuilder};
use crate::status::{Cell, FailureReport, NodeCell, State, Vitals};
use crate::util::guarded;

pub(super) enum Child {
    Worker(Box<WorkerChild>),
    Node(usize),
}

pub(super) struct Node {
    pub(super) policy: policy::Node,
    pub(super) intensity: Intensity,
    pub(super) parent: Option<Place>,
    pub(super) cell: Arc<NodeCell>,
    pub(super) children: Vec<Child>,
    /// When the back-off of a child is over, in clock time.
    pub(super) timers: Vec<Option<Duration>>,
    /// The last failure of each child.
    pub(super) failures: Vec<Option<Failure>>,
}

/// Names lead to children in the status and in requests, so they must be unique.
pub(super) fn check_names(root: &SupervisorBuilder) -> Result<(), StartError> {
    fn visit<'a>(
        builder: &'a SupervisorBuilder,
        names: &mut HashSet<&'a str>,
        addresses: &mut HashSet<usize>,
    ) -> Result<(), StartError> {
        for child in &builder.children {
            let same_address = match child {
                Spec::Worker(worker) => !addresses.insert(worker.behind.id()),
                Spec::Node(_) => false,
            };
            if same_address || !names.insert(child.name()) {
                return Err(StartError::DuplicateName { name: child.name().to_owned() });
            }
            if let Spec::Node(nested) = child {
                visit(nested, names, addresses)?;
            }
        }
        Ok(())
    }
    visit(root, &mut HashSet::from([&*root.name]), &mut HashSet::new())
}

/// Makes the tree the one that serves the addresses of its workers.
pub(super) fn claim(builder: &mut SupervisorBuilder) -> Result<(), StartError> {
    for child in &mut builder.children {
        match child {
            Spec::Worker(worker) => {
                if !worker.claim() {
                    return Err(StartError::DuplicateName { name: worker.name().to_owned() });
                }
            }
            Spec::Node(nested) => claim(nested)?,
        }
    }
    Ok(())
}

/// Turns a builder into nodes; the builder's own one is put at the place that was free when called.
pub(super) fn grow(
    builder: SupervisorBuilder,
    parent: Option<Place>,
    nodes: &mut Vec<Node>,
) -> Arc<NodeCell> {
    let index = nodes.len();
    let policy = policy::Node::new(node_policy(&builder, index as u64));
    // Holds the place while the children take theirs behind it.
    let cell = |children| {
        Arc::new(NodeCell {
            name: Arc::clone(&builder.name),
            strategy: builder.strategy,
            vitals: Vitals::default(),
            children,
        })
    };
    let count = builder.children.len();
    nodes.push(Node {
        policy,
        intensity: builder.intensity,
        parent,
        cell: cell(Vec::new()),
        children: Vec::new(),
        timers: vec![None; count],
        failures: vec![None; count],
    });
    let (mut children, mut cells) = (Vec::with_capacity(count), Vec::with_capacity(count));
    for (child, spec) in builder.children.into_iter().enumerate() {
        match spec {
            Spec::Worker(spec) => {
                let worker = WorkerChild::new(spec);
                cells.push(Cell::Worker(Arc::clone(&worker.cell)));
                children.push(Child::Worker(Box::new(worker)));
            }
            Spec::Node(nested) => {
                children.push(Child::Node(nodes.len()));
                cells.push(Cell::Node(grow(nested, Some(Place { node: index, child }), nodes)));
            }
        }
    }
    let cell = cell(cells);
    nodes[index].children = children;
    nodes[index].cell = Arc::clone(&cell);
    cell
}

impl Driver {
    pub(super) fn act(&mut self, node: usize, action: Action) {
        match action {
            Action::Start(child) => {
                self.nodes[node].timers[child] = None;
                self.vitals(Place { node, child }).starts.fetch_add(1, Ordering::Relaxed);
                match self.nodes[node].children[child] {
                    Child::Worker(_) => self.start_worker(Place { node, child }),
                    Child::Node(nested) => {
                        self.set_state(Place { node, child }, State::Starting);
                        self.feed(nested, Event::Start);
                    }
                }
            }
            Action::Stop(child, mode) => match self.nodes[node].children[child] {
                Child::Worker(_) => self.stop_worker(Place { node, child }, mode),
                Child::Node(nested) => {
                    self.set_state(Place { node, child }, State::Stopping);
                    self.feed(nested, Event::Stop(mode));
                }
            },
            Action::Timer(child, delay) => {
                self.nodes[node].timers[child] = Some(self.clock.now().saturating_add(delay));
            }
            Action::Finished(child) => {
                let reason = "the worker has ended and is not started again";
                self.close_child(Place { node, child }, reason);
            }
            Action::NodeUp => self.node_up(node),
            Action::NodeDown(cause) => self.node_down(node, cause),
        }
    }

    fn node_up(&mut self, node: usize) {
        self.nodes[node].cell.vitals.set_state(State::Running, self.clock.now());
        match self.nodes[node].parent {
            Some(parent) => {
                self.nodes[parent.node].failures[parent.child] = None;
                self.feed(parent.node, Event::Up(parent.child));
            }
            None => {
                guarded(|| self.shared.started.send_replace(Some(Ok(()))));
            }
        }
    }

    fn node_down(&mut self, node: usize, cause: Cause) {
        self.nodes[node].timers.fill(None);
        let now = self.clock.now();
        self.nodes[node].cell.vitals.set_state(State::Stopped, now);
        let failed = match cause {
            Cause::Stopped => None,
            Cause::StartFailed(child) | Cause::Escalated(child) => {
                let failure = self.nodes[node].failures[child].clone();
                let failure = failure.unwrap_or(Failure::Ended);
                Some((self.child_name(Place { node, child }), failure))
            }
        };
        if let Some((child, failure)) = &failed
            && matches!(cause, Cause::Escalated(_))
        {
            let supervisor = self.nodes[node].cell.name.to_string();
            tracing::error!(supervisor, child, %failure, "a supervisor gives up");
            let report = self.nodes[node].cell.vitals.note(failure, self.clock.unix_ms());
            let child = child.clone();
            self.emit(SupervisorEvent::Escalated { supervisor, child, failure: report });
        }
        let Some(parent) = self.nodes[node].parent else {
            self.end = Some(match (cause, failed) {
                (Cause::Escalated(_), Some((child, failure))) => {
                    handle::Exit::Escalated { child, failure }
                }
                (Cause::StartFailed(_), Some((child, failure))) => {
                    let error =
                        StartError::Child { child: child.clone(), failure: failure.clone() };
                    guarded(|| self.shared.started.send_replace(Some(Err(error))));
                    handle::Exit::Escalated { child, failure }
                }
                _ => handle::Exit::Stopped,
            });
            return;
        };
        let kind = match failed {
            None => ExitKind::Normal,
            Some((child, failure)) => {
                let failure = Failure::Escalated { child, failure: Box::new(failure) };
                self.note_failure(parent, failure);
                ExitKind::Failed
            }
        };
        self.feed(parent.node, Event::Down(parent.child, kind));
    }

    /// Shows what became of a child after it has ended.
    pub(super) fn show_rest(&mut self, place: Place) {
        let policy = &self.nodes[place.node].policy;
        let again = policy.is_alive(place.child);
        if !again && !policy.is_restarting(place.child) {
            self.set_state(place, State::Stopped);
            return;
        }
        if !again {
            self.set_state(place, State::Restarting);
        }
        let due = self.nodes[place.node].timers[place.child];
        let after = due.map_or(Duration::ZERO, |due| due.saturating_sub(self.clock.now()));
        let (supervisor, child) = self.names(place);
        let after_ms = millis(after);
        self.emit(SupervisorEvent::ChildRestarting { supervisor, child, after_ms });
    }

    /// Records why a child failed, for the status, the policy's verdict and the subscribers.
    pub(super) fn note_failure(&mut self, place: Place, failure: Failure) {
        let report: FailureReport = self.vitals(place).note(&failure, self.clock.unix_ms());
        let (supervisor, child) = self.names(place);
        tracing::error!(supervisor, child, %failure, "a child failed");
        self.nodes[place.node].failures[place.child] = Some(failure);
        self.emit(SupervisorEvent::ChildFailed { supervisor, child, failure: report });
    }

    /// Closes the mailboxes of a child and of everything below it. Everybody waiting is answered.
    pub(super) fn close_child(&mut self, place: Place, reason: &str) {
        match &mut self.nodes[place.node].children[place.child] {
            Child::Node(nested) => {
                let nested = *nested;
                self.close_node(nested, reason);
            }
            Child::Worker(worker) => {
                let error = AskError::Dropped { reason: reason.to_owned() };
                let behind = &worker.cell.behind;
                let queued = behind.close(error.clone());
                let pending = behind.fail_pending(&error);
                let thread = worker.thread.take().and_then(|(_, thread)| thread.release());
                self.report.dropped_messages += (queued.count + pending) as u64;
                self.retired.extend(thread);
                self.retired.extend(queued.drop_elsewhere());
            }
        }
        self.set_state(place, State::Stopped);
    }

    pub(super) fn close_node(&mut self, node: usize, reason: &str) {
        for child in (0..self.nodes[node].children.len()).rev() {
            self.close_child(Place { node, child }, reason);
        }
    }

    pub(super) fn vitals(&self, place: Place) -> &Vitals {
        let node = &self.nodes[place.node];
        match &node.children[place.child] {
            Child::Worker(worker) => &worker.cell.vitals,
            Child::Node(nested) => &self.nodes[*nested].cell.vitals,
        }
    }

    pub(super) fn set_state(&self, place: Place, state: State) {
        self.vitals(place).set_state(state, self.clock.now());
    }

    pub(super) fn child_name(&self, place: Place) -> String {
        match &self.nodes[place.node].children[place.child] {
            Child::Worker(worker) => worker.cell.behind.ledger().name.to_string(),
            Child::Node(nested) => self.nodes[*nested].cell.name.to_string(),
        }
    }

    /// The names of a child's supervisor and of the child.
    pub(super) fn names(&self, place: Place) -> (String, String) {
        (self.nodes[place.node].cell.name.to_string(), self.child_name(place))
    }

    pub(super) fn find_worker(&self, name: &str) -> Option<Place> {
        self.places().into_iter().find(|&place| self.child_name(place) == name)
    }

    /// The places of all workers.
    pub(super) fn places(&self) -> Vec<Place> {
        let mut places = Vec::new();
        for (node, it) in self.nodes.iter().enumerate() {
            for (child, kind) in it.children.iter().enumerate() {
                if matches!(kind, Child::Worker(_)) {
                    places.push(Place { node, child });
                }
            }
        }
        places
    }

    pub(super) fn worker(&mut self, place: Place) -> Option<&mut WorkerChild> {
        match self.nodes.get_mut(place.node)?.children.get_mut(place.child)? {
            Child::Worker(worker) => Some(worker),
            Child::Node(_) => None,
        }
    }

    pub(super) fn emit(&self, event: SupervisorEvent) {
        // An error says that nobody subscribed.
        guarded(|| drop(self.shared.events.send(event)));
    }
}
