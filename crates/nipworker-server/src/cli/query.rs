//! `nipworker query`.

use futures::StreamExt;
use nipworker_core::{QueryOptions, SubscriptionEvent};

use crate::lines::with_view;

use super::{
    args::QueryArgs,
    engine::{self, Engine, Opened},
    output::{Failure, line},
};

pub(super) fn run(args: &QueryArgs) -> Result<(), Failure> {
    let filters = engine::filters(&args.filters)?;
    let Opened { engine, use_relays, .. } = engine::open(&args.engine, true, engine::Access::Read)?;
    let embedded = match engine {
        Engine::Remote(remote) => {
            let options = format!("relays={use_relays}&view={}", args.view);
            return remote.query(&filters, &options, |event| line(event));
        }
        Engine::Embedded(embedded) => embedded,
    };
    let printed = embedded.block_on(async {
        let options =
            QueryOptions { use_relays, timeout: Some(args.timeout), ..QueryOptions::default() };
        let mut found =
            embedded.client.query_with(filters, options).await.map_err(Failure::because)?;
        while let Some(said) = found.next().await {
            match said {
                SubscriptionEvent::Event { event, .. } if args.view => line(with_view(&event))?,
                SubscriptionEvent::Event { event, .. } => line(event.to_json())?,
                SubscriptionEvent::EndOfStored => break,
                SubscriptionEvent::Closed { reason } => {
                    return Err(Failure::because(format_args!("cut short: {reason}")));
                }
                SubscriptionEvent::Lagged { missed } => {
                    return Err(Failure::because(format_args!("{missed} events were missed")));
                }
                _ => {}
            }
        }
        Ok(())
    });
    embedded.close();
    printed
}
