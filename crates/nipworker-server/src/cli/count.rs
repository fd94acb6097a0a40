//! `nipworker count`.

use serde_json::json;

use super::{
    args::CountArgs,
    engine::{self, Engine},
    output::{Failure, json_line, line},
};

pub(super) fn run(args: &CountArgs) -> Result<(), Failure> {
    let filters = engine::filters(&args.filters)?;
    let engine = engine::open(&args.engine, false, engine::Access::Read)?.engine;
    let count = match engine {
        Engine::Remote(remote) => remote.count(&filters)?,
        Engine::Embedded(embedded) => {
            let count = embedded.block_on(embedded.client.count(filters));
            embedded.close();
            count.map_err(Failure::because)?
        }
    };
    if args.json { json_line(&json!({ "count": count })) } else { line(count) }
}
