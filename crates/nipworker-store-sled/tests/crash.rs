//! kill -9: what was acknowledged is there, and every index agrees.

use nipworker_store::conformance::durable::crash;
use nipworker_store_sled::{SledOptions, open_store};

fn main() {
    crash::main(|path| open_store(path, SledOptions::default()).map_err(|error| error.to_string()));
}
