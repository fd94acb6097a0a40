//! The daemon: the engine and the gateway, from the first check to the last flush.

mod beacon;

use std::{fs, io, net::TcpListener, path::Path, time::Instant};

use nipworker_core::{Exit, NostrClient, StoreBackend};

pub(crate) use self::beacon::Beacon;
use crate::{
    config::{Config, Loaded},
    embedded::{self, Signers},
    gateway::{GatewayParts, RunningGateway},
    keys,
    signals::{self, Signals},
};

/// Runs until a signal or a failure ends it.
///
/// # Errors
/// Why it could not start, or why it had to end, for a person.
pub(crate) fn run(loaded: Loaded) -> Result<(), String> {
    // Signals are taken first: one that comes during a slow start is not lost.
    let signals = signals::listen().map_err(|error| format!("cannot take signals: {error}"))?;
    actix_web::rt::System::new().block_on(serve(loaded, signals))
}

async fn serve(loaded: Loaded, mut signals: Signals) -> Result<(), String> {
    let started = Instant::now();
    let Loaded { config, secret_key, further_keys, .. } = loaded;
    // Relays may ask who we are as soon as they are connected.
    let signers = Signers {
        default: secret_key.as_ref().map(keys::signer).transpose()?,
        further: further_keys.iter().map(keys::further_signer).collect::<Result<_, _>>()?,
    };
    let data = config.data_dir();
    prepare_data(&data)?;
    let listener = bind(&config)?;
    let client = tokio::select! {
        client = embedded::start(&config, signers) => client?,
        name = signals.first() => {
            tracing::info!(signal = name, "stopped while starting");
            return Ok(());
        }
    };
    let mut gateway = RunningGateway::start(GatewayParts {
        client: client.clone(),
        event_limits: config.event_limits(),
        relays: config.engine.relays.iter().map(ToString::to_string).collect(),
        data: data.clone(),
        listener,
        shutdown_timeout: config.daemon.shutdown_timeout,
        config: config.gateway.clone(),
    })
    .map_err(|error| format!("the gateway cannot start: {error}"))?;
    let beacon = Beacon::light(&data, gateway.address());
    crate::cli::announce(&ready_line(&config, &data, &client, &gateway, started));
    let failure = tokio::select! {
        name = signals.first() => {
            tracing::info!(signal = name, "stopping; a second signal ends the process at once");
            None
        }
        exit = client.wait() => match exit {
            Exit::Stopped => Some("the engine stopped by itself".to_owned()),
            Exit::Escalated { child, failure } => {
                Some(format!("the engine gave up: {child} failed too often, last: {failure}"))
            }
            other => Some(format!("the engine ended: {other:?}")),
        },
        reason = gateway.failed() => Some(format!("the gateway failed: {reason}")),
    };
    gateway.stop().await;
    let report = client.close().await;
    tracing::info!(?report, "stopped");
    drop(beacon);
    failure.map_or(Ok(()), Err)
}

fn prepare_data(data: &Path) -> Result<(), String> {
    let refuse = |what: &str, error: io::Error| {
        format!("data folder {}: {what}: {error} (daemon.data, --data)", data.display())
    };
    fs::create_dir_all(data).map_err(|error| refuse("cannot be made", error))?;
    // Found out now and by name, not at the first write.
    let probe = data.join(".nipworker-write-test");
    fs::write(&probe, b"").map_err(|error| refuse("cannot be written", error))?;
    fs::remove_file(&probe).map_err(|error| refuse("cannot be written", error))
}

fn bind(config: &Config) -> Result<TcpListener, String> {
    let address = config.gateway.listen;
    TcpListener::bind(address).map_err(|error| {
        let hint = match error.kind() {
            io::ErrorKind::AddrInUse => {
                " (another program has this port; perhaps nipworker runs already: see `nipworker \
                 status`)"
            }
            io::ErrorKind::PermissionDenied => " (ports below 1024 need a privilege)",
            io::ErrorKind::AddrNotAvailable => " (this machine has no such address)",
            _ => "",
        };
        format!("cannot listen on {address}: {error}{hint} (gateway.listen, --listen)")
    })
}

/// One line that says what runs and where.
fn ready_line(
    config: &Config,
    data: &Path,
    client: &NostrClient,
    gateway: &RunningGateway,
    started: Instant,
) -> String {
    let address = gateway.address();
    let tree = client.status().supervisor;
    let workers: Vec<&str> = tree.workers().iter().map(|worker| worker.name.as_str()).collect();
    let relays = match config.engine.relays.as_slice() {
        [] => "no relays (no network)".to_owned(),
        [one] => format!("relay {one}"),
        many => format!("{} relays", many.len()),
    };
    format!(
        "nipworker {} ready in {} ms: relay ws://{address}, api http://{address}/api/v1, \
         data {} ({}), {relays}, workers {}",
        env!("CARGO_PKG_VERSION"),
        started.elapsed().as_millis(),
        data.display(),
        backend_name(config.engine.store.backend),
        workers.join(" "),
    )
}

fn backend_name(backend: StoreBackend) -> &'static str {
    match backend {
        StoreBackend::Memory => "in memory only",
        backend => backend.name(),
    }
}
