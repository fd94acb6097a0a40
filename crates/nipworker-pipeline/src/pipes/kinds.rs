//! Which kinds pass.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Item, Notes, Pipe, Step};

/// Kinds that pass and kinds that do not.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KindRules {
    /// Kinds that pass; empty: all.
    pub allow: BTreeSet<u16>,
    /// Kinds that do not pass, whatever `allow` says.
    pub deny: BTreeSet<u16>,
}

impl KindRules {
    /// Whether a kind passes.
    pub fn passes(&self, kind: u16) -> bool {
        !self.deny.contains(&kind) && (self.allow.is_empty() || self.allow.contains(&kind))
    }
}

pub(super) struct KindFilter(pub(super) KindRules);

impl Pipe for KindFilter {
    fn take(&mut self, item: &Item<'_>, _: &mut Notes) -> Step {
        if self.0.passes(item.event().kind) { Step::Pass } else { Step::Drop("kind") }
    }
}
