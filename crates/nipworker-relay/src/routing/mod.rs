//! Which relays are asked for whom, and which get an event, when a request names none (NIP-65).
//!
//! [`Router`] knows relay lists (kind 10002), hints, and how relays behaved; [`Router::read`] and
//! [`Router::write`] decide. It reads nothing itself: whoever owns it tells it what was learned.
//!
//! * **Reading from authors** goes to the relays that they write to; of the events that *mention*
//!   somebody (`#p`), to those that these read from. Each relay is asked for its own authors only.
//! * **Publishing** goes to the author's write relays and to the read relays of those that are
//!   tagged (`p`).
//! * **Who has no usable list** is looked for at hinted relays, and at the configured ones in any
//!   case; so is everything that names no author. A filter that names nobody stays whole.
//! * **Few relays cover all**: up to [`RoutingConfig::relays_per_author`] of an author's relays
//!   are wanted, chosen greedily so that few serve many; better ones ([`Router::heard`]) first. Each
//!   author with a usable relay gets at least one as long as the bounds allow.
//! * **Bounded**: [`RoutingConfig::max_relays_per_request`], and [`RoutingConfig::max_relays`]
//!   brought in at once over all requests, whatever lists say. An author that has no place in
//!   them is asked for at the configured relays.
//! * **Junk is refused and counted by reason**: see [`Junk`]. Names are checked once more when they
//!   are dialled, since whoever owns a name decides what it means
//!   ([`ConnectOptions::public_only`](crate::transport::ConnectOptions::public_only)).
//!
//! | what | limit |
//! |---|---|
//! | relays of one list, for reading and for writing | [`RELAYS_PER_LIST_MAX`], the first ones |
//! | lists that are known | [`LISTS_MAX`], those that were not used for longest go first |
//! | hints for one author | [`HINTS_PER_AUTHOR_MAX`], the newest |
//! | authors with hints | [`HINTED_AUTHORS_MAX`], the oldest go first |
//! | relays whose behaviour is known | [`SCORES_MAX`], the oldest go first |

mod cover;
mod junk;
mod known;
mod router;
mod score;

pub use cover::{Candidates, Places, cover};
pub use junk::{Junk, JunkPolicy, MAX_ROUTED_URL_BYTES};
pub use router::{Route, Router, RouterCounts, RoutingConfig, Wanted};
pub use score::Heard;

/// Relays of one list that are kept, for reading and for writing each.
pub const RELAYS_PER_LIST_MAX: usize = 10;
/// Lists that are kept.
pub const LISTS_MAX: usize = 20_000;
/// Hinted relays of one author that are kept.
pub const HINTS_PER_AUTHOR_MAX: usize = 3;
/// Authors of whom hints are kept.
pub const HINTED_AUTHORS_MAX: usize = 5_000;
/// Relays whose behaviour is kept.
pub const SCORES_MAX: usize = 2_000;
