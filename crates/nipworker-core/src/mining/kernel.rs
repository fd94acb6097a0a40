//! Which code hashes.

use nipworker_pow::{Clock, PowFactory, choose, kernel_named};

use crate::{
    MinerConfig, StartError,
    status::{KernelSpeed, KernelStatus},
};

/// The factory of jobs on the configured kernel, or on the fastest.
///
/// # Errors
/// [`StartError::Config`] for a kernel that this processor does not have.
pub(crate) fn kernel(
    config: &MinerConfig,
    clock: Clock,
) -> Result<(PowFactory, KernelStatus), StartError> {
    let (kernel, status) = match config.forced_kernel() {
        Some(name) => {
            let kernel = kernel_named(name).map_err(|error| StartError::Config {
                key: "miner.kernel".to_owned(),
                problem: error.to_string(),
            })?;
            let name = kernel.name().to_owned();
            (kernel, KernelStatus { name, forced: true, ..KernelStatus::default() })
        }
        None => {
            let choice = choose();
            let measured = choice.measured.iter().map(|measured| KernelSpeed {
                name: measured.name.to_owned(),
                ns_per_hash: measured.ns_per_hash,
            });
            let status = KernelStatus {
                name: choice.kernel.name().to_owned(),
                forced: false,
                measured: measured.collect(),
                rejected: choice.rejected.iter().map(|name| (*name).to_owned()).collect(),
            };
            (choice.kernel, status)
        }
    };
    tell(&status);
    Ok((PowFactory::with_kernel(clock, kernel), status))
}

fn tell(status: &KernelStatus) {
    let KernelStatus { name, forced, measured, rejected } = status;
    let speeds: Vec<String> = measured
        .iter()
        .map(|speed| format!("{} {:.2} ns", speed.name, speed.ns_per_hash))
        .collect();
    tracing::info!(kernel = %name, forced, measured = %speeds.join(", "), "mining kernel");
    if !rejected.is_empty() {
        tracing::error!(
            rejected = %rejected.join(", "),
            "these kernels give wrong results on this processor and are not used"
        );
    }
}
