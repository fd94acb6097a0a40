//! Mines the table of known answers and prints it:
//!
//! ```text
//! cargo run --release -p nipworker-pow --example known_answers -- 15 30 \
//!     > crates/nipworker-pow/tests/data/known-answers.txt
//! ```
//!
//! The arguments are the lowest and the highest difficulty in bits. Each line holds the difficulty,
//! the serialised length of the content, the number of tags, the kind of text, the index, and the
//! id. With AVX-512 all of them take five minutes of one core.
#![allow(clippy::print_stdout, missing_docs)]

use std::sync::Arc;

use nipworker_mining::{JobBook, Outcome};
use nipworker_pow::{PowFactory, PowInput, mined};

#[path = "../tests/common/recipe.rs"]
mod recipe;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let bits: Vec<u32> =
        std::env::args().skip(1).map(|bits| bits.parse()).collect::<Result<_, _>>()?;
    let [from, to] = bits[..] else { return Err("usage: known_answers FROM TO".into()) };
    let book = JobBook::new();
    book.register(Arc::new(PowFactory::new(Arc::new(|| recipe::CREATED_AT))));
    book.start_pool(JobBook::pool_config())?;
    for recipe in (from..=to).flat_map(recipe::Recipe::of) {
        let input =
            PowInput { event: recipe.event(), difficulty: recipe.bits, refresh_created_at: false };
        let job = book.submit(input.into_request())?;
        let Outcome::Found(hit) = job.wait() else { return Err("the job ended early".into()) };
        let recipe::Recipe { bits, len, tags, text } = recipe;
        println!("{bits} {len} {tags} {text} {} {}", hit.index, mined(&hit)?.id);
    }
    Ok(())
}
