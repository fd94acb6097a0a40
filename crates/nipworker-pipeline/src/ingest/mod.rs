//! From raw texts to events that may be stored and delivered.

mod claims;
mod ids;
mod kept;
mod known;
mod pipeline;
mod refusal;
mod stats;

pub use claims::{Checks, Elsewhere};
pub use kept::Kept;
pub use pipeline::{
    Accepted, Candidate, Genuine, Ingest, Pipeline, PipelineConfig, Refused, Seen, Verdict,
    VerdictCountError,
};
pub use refusal::{Refusal, RefusalKind};
pub use stats::{IngestStats, MAX_RELAYS_COUNTED, SourceStats};
