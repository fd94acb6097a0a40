//! Which kernel a process searches with.

use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::hint::black_box;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::answers::{Search, right};
use crate::kernel::{SearchKernel, kernels};
use crate::midstates::LANES;
use crate::portable::Portable;

/// Times that each kernel is measured. The kernels take turns, so that a change of the clock's
/// rate meets all of them.
const ROUNDS: usize = 5;

/// How long one measurement lasts, roughly. Short beside the slice of time that an operating
/// system gives a thread, so that most measurements are not interrupted; the least counts.
const ROUND: Duration = Duration::from_micros(150);

/// The kernel for this process, and why.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Choice {
    /// The fastest of those that give the right bits.
    pub kernel: &'static dyn SearchKernel,
    /// What was measured, in the order of [`kernels`]. Empty where there was nothing to choose
    /// from.
    pub measured: Vec<Measured>,
    /// Names of the kernels that gave wrong bits on this processor: a fault of the processor, of
    /// an emulator or of ours. They are never chosen. Normally empty.
    pub rejected: Vec<&'static str>,
}

/// The speed of one kernel at start.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Measured {
    /// [`SearchKernel::name`].
    pub name: &'static str,
    /// Nanoseconds of one thread for one attempt of a single block with eight rounds hoisted: the
    /// least of several short measurements.
    pub ns_per_hash: f64,
}

/// The kernel to search with: of those that this processor runs, the fastest.
///
/// The first call tries every kernel on known answers and measures those that pass, which takes
/// 1 to 2 ms of one thread for each. Later calls return what the first one found; calls
/// that come while it is at work wait for it.
///
/// Where only the portable kernel exists nothing is measured, so no clock is read: this is what
/// lets the function run on `wasm32-unknown-unknown`.
///
/// ```
/// let choice = nipworker_hash::choose();
/// println!("{} of {:?}", choice.kernel.name(), choice.measured);
/// assert!(choice.rejected.is_empty());
/// ```
pub fn choose() -> &'static Choice {
    static CHOICE: OnceLock<Choice> = OnceLock::new();
    CHOICE.get_or_init(|| choose_among(kernels()))
}

/// The kernel of that name, for a process that is told which to use.
///
/// It is not tried on known answers.
///
/// # Errors
///
/// [`UnknownKernel`] if [`kernels`] has none of that name: it was misspelt, or this processor
/// cannot run it. There is no kernel called `auto`; callers that offer the word call [`choose`].
pub fn kernel_named(name: &str) -> Result<&'static dyn SearchKernel, UnknownKernel> {
    let kernels = kernels();
    kernels.iter().copied().find(|kernel| kernel.name() == name).ok_or_else(|| UnknownKernel {
        name: name.to_owned(),
        known: kernels.iter().map(|kernel| kernel.name()).collect(),
    })
}

/// No kernel of that name runs on this processor.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownKernel {
    /// The name that was asked for.
    pub name: String,
    /// The names that would do.
    pub known: Vec<&'static str>,
}

impl Display for UnknownKernel {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let known = self.known.join(", ");
        write!(f, "this processor has no kernel {:?}; it has {known}", self.name)
    }
}

impl Error for UnknownKernel {}

/// The fastest of `kernels` that is right; the portable one if none is.
fn choose_among(kernels: Vec<&'static dyn SearchKernel>) -> Choice {
    let (sound, wrong): (Vec<_>, Vec<_>) = kernels.into_iter().partition(|&kernel| right(kernel));
    let measured = if sound.len() > 1 { measure(&sound) } else { Vec::new() };
    let fastest = measured
        .iter()
        .zip(&sound)
        .min_by(|(a, _), (b, _)| a.ns_per_hash.total_cmp(&b.ns_per_hash))
        .map(|(_, kernel)| kernel)
        .or(sound.first());
    Choice {
        kernel: fastest.copied().unwrap_or(&Portable),
        measured,
        rejected: wrong.iter().map(|kernel| kernel.name()).collect(),
    }
}

/// Measures the kernels on a row as a short note has it.
fn measure(kernels: &[&'static dyn SearchKernel]) -> Vec<Measured> {
    let mut runs: Vec<_> = kernels
        .iter()
        .map(|&kernel| {
            let search = Search::new(kernel, 8, 0);
            let once = time(&search, 1).min(time(&search, 1));
            let rows = ROUND.as_nanos() / once.as_nanos().max(1);
            (search, rows.clamp(1, 100) as u32, Duration::MAX)
        })
        .collect();
    for _ in 0..ROUNDS {
        for (search, rows, least) in &mut runs {
            *least = time(search, *rows).min(*least);
        }
    }
    let ns = |rows: u32, least: Duration| least.as_nanos() as f64 / f64::from(rows) / LANES as f64;
    let measured = |(kernel, (_, rows, least)): (&&dyn SearchKernel, &(_, u32, Duration))| {
        Measured { name: kernel.name(), ns_per_hash: ns(*rows, *least) }
    };
    kernels.iter().zip(&runs).map(measured).collect()
}

/// How long it takes to scan the row that many times.
fn time(search: &Search<'_>, rows: u32) -> Duration {
    let start = Instant::now();
    for _ in 0..rows {
        black_box(search.scan(0..LANES, 0));
    }
    start.elapsed()
}

#[cfg(test)]
mod tests;
