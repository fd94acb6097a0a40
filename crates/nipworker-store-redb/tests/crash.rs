//! kill -9: what was acknowledged is there, and every index agrees.

use nipworker_store::conformance::durable::crash;
use nipworker_store_redb::{RedbOptions, open_store};

fn main() {
    crash::main(|path| match open_store(path, RedbOptions::default()) {
        Ok(store) => Ok(Box::new(store)),
        Err(error) => Err(error.to_string()),
    });
}
