//! Events as JSON lines.

use serde::{Deserialize, Serialize};

use super::{Item, Notes, Pipe, PipeNote, Step};

/// Default of the longest line, in bytes: that of the largest event which is let in.
pub const DEFAULT_MAX_LINE_BYTES: usize = 512 * 1024;

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SerialiseOptions {
    /// Longest line in bytes. An event that is longer is dropped.
    pub max_bytes: usize,
}

impl Default for SerialiseOptions {
    fn default() -> Self {
        Self { max_bytes: DEFAULT_MAX_LINE_BYTES }
    }
}

pub(super) struct Serialise(pub(super) SerialiseOptions);

impl Pipe for Serialise {
    fn take(&mut self, item: &Item<'_>, notes: &mut Notes) -> Step {
        let line = item.event().to_json();
        if line.len() > self.0.max_bytes {
            return Step::Drop("too long");
        }
        notes.tell(PipeNote::Line(line));
        Step::Taken
    }
}
