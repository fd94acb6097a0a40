//! kill -9: what was acknowledged is there, and every row agrees with its event.

#![allow(clippy::unwrap_used)]

mod place;

use nipworker_store::conformance::durable::crash;

fn main() {
    crash::main(|path| match place::sqlite(path) {
        Ok(store) => Ok(Box::new(store)),
        Err(error) => Err(error.to_string()),
    });
}
