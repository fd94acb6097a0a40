//! What every edge promises: what goes in comes out, and no bytes are dangerous.

mod conversions;
mod golden;
mod hostile_bytes;
mod round_trip;
mod strategies;
mod unfolding;
