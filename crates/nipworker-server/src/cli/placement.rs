//! What is given on the command line about the threads that search.

use nipworker_core::{ClientConfig, FileSetting, NostrClient, StartError, StoreBackend};
use nipworker_pool::{MAX_THREADS, Placement};

use super::{args::PoolArgs, output::Failure};

/// Reads `off`, `spread`, `pack`, or CPUs such as `0,2,4-7`.
pub(super) fn parse(text: &str) -> Result<Placement, String> {
    match text {
        "off" => return Ok(Placement::Off),
        "spread" => return Ok(Placement::Spread),
        "pack" => return Ok(Placement::Pack),
        _ => {}
    }
    let number = |text: &str| {
        text.parse::<usize>().map_err(|_| {
            format!("{text:?} is no CPU; give off, spread, pack, or CPUs such as 0,2,4-7")
        })
    };
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first.trim())?, number(last.trim())?);
        if last < first {
            return Err(format!("{part:?} ends before it begins"));
        }
        if last - first >= MAX_THREADS || cpus.len() + (last - first) >= MAX_THREADS {
            return Err(format!("more than {MAX_THREADS} CPUs"));
        }
        cpus.extend(first..=last);
    }
    Ok(Placement::Explicit(cpus))
}

/// An engine for searching only: nothing is stored, nobody is connected, and the jobs and the outbox of
/// a daemon are left to it.
pub(super) async fn engine(
    mut config: ClientConfig,
    args: &PoolArgs,
) -> Result<NostrClient, Failure> {
    config.store.backend = StoreBackend::Memory;
    config.relays.clear();
    config.miner.checkpoint = FileSetting::Off;
    config.outbox.file = FileSetting::Off;
    apply(&mut config, args);
    NostrClient::new(config).await.map_err(|error| refused(&error, args))
}

fn apply(config: &mut ClientConfig, args: &PoolArgs) {
    let PoolArgs { threads, kernel, placement, nice } = args.clone();
    let miner = &mut config.miner;
    if let Some(threads) = threads {
        miner.threads = threads.into();
    }
    if let Some(kernel) = kernel {
        miner.kernel = kernel;
    }
    if let Some(placement) = placement {
        if matches!(placement, Placement::Explicit(_)) {
            // It says itself which CPUs are left free.
            miner.reserve = nipworker_core::Reserve::Auto;
        }
        miner.placement = placement;
    }
    if let Some(nice) = nice {
        miner.nice = nice;
    }
}

/// What was given on the command line and cannot be had is wrong usage.
fn refused(error: &StartError, args: &PoolArgs) -> Failure {
    let StartError::Config { key, problem } = error else { return Failure::because(error) };
    let flag = match key.as_str() {
        "miner.threads" => args.threads.map(|_| "--threads"),
        "miner.kernel" => args.kernel.as_ref().map(|_| "--kernel"),
        "miner.placement" => args.placement.as_ref().map(|_| "--placement"),
        "miner.nice" => args.nice.map(|_| "--nice"),
        _ => None,
    };
    match flag {
        Some(flag) => Failure::usage(format_args!("{flag}: {problem}")),
        None => Failure::because(format_args!("engine.{key}: {problem}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_words_or_lists_of_cpus() {
        for (text, wanted) in [
            ("off", Placement::Off),
            ("spread", Placement::Spread),
            ("pack", Placement::Pack),
            ("3", Placement::Explicit(vec![3])),
            ("0,2, 4-6", Placement::Explicit(vec![0, 2, 4, 5, 6])),
        ] {
            assert_eq!(parse(text), Ok(wanted), "{text}");
        }
    }

    #[test]
    fn what_is_no_place_is_refused_with_what_would_do() {
        for text in ["", "all", "1,", "-1", "1-", "3-1", "0-99999", "0-18446744073709551615"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse("all").is_err_and(|why| why.contains("0,2,4-7")));
    }
}
