//! Settings of mining.

use std::{fmt, path::PathBuf, time::Duration};

use nipworker_mining::{DispatchMode, JobBook, Placement, PoolConfig, PoolError};
use nipworker_pool::MAX_THREADS;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{FileSetting, duration};
use crate::StartError;

/// How work reaches the mining threads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Dispatch {
    /// Batches ahead of need, and threads that refill themselves.
    #[default]
    Batched,
    /// One item at a time, waiting for its result: a baseline to compare with.
    Sequential,
}

/// Whether an event that a relay refused for too little work (NIP-13) is mined anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Remine {
    /// Never: the refusal stands in the report, and that is all.
    #[default]
    Off,
    /// If the signer has the author's key: with the work that was demanded, as an event with an id
    /// of its own, for the relays that refused and no others.
    Refused,
}

/// CPUs that mining leaves free. As text: `"auto"`; or a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reserve {
    /// One where there are four or more and the number of threads is not given.
    #[default]
    Auto,
    /// So many.
    Cpus(usize),
}

const AUTO: &str = "auto";
/// Largest nice value.
const MAX_NICE: u8 = 19;

impl Serialize for Reserve {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Auto => serializer.serialize_str(AUTO),
            Self::Cpus(cpus) => cpus.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Reserve {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Reserve;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of CPUs, or \"auto\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Reserve, E> {
                match text {
                    AUTO => Ok(Reserve::Auto),
                    // What comes from the environment is text.
                    text => text
                        .parse()
                        .map(Reserve::Cpus)
                        .map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_u64<E: de::Error>(self, cpus: u64) -> Result<Reserve, E> {
                let too_many = |_| E::invalid_value(de::Unexpected::Unsigned(cpus), &self);
                usize::try_from(cpus).map(Reserve::Cpus).map_err(too_many)
            }

            fn visit_i64<E: de::Error>(self, cpus: i64) -> Result<Reserve, E> {
                let negative = |_| E::invalid_value(de::Unexpected::Signed(cpus), &self);
                usize::try_from(cpus).map(Reserve::Cpus).map_err(negative)
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// Mining.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MinerConfig {
    /// Mining threads; 0 takes one for each CPU that is not left free.
    pub threads: usize,
    /// Which CPU each thread is bound to: `"off"`, `"spread"` (one physical core each first),
    /// `"pack"` (hardware threads of one core first), or a list of CPU numbers.
    pub placement: Placement,
    /// CPUs left free.
    pub reserve: Reserve,
    /// Nice value of the threads, 0 (that of the process) to 19 (what nobody else wants); Linux
    /// and Android only.
    pub nice: u8,
    /// Code that searches for nonces: `"auto"` for the fastest on this processor, or the name of
    /// one.
    pub kernel: String,
    /// How work reaches the threads.
    pub dispatch: Dispatch,
    /// Where jobs are kept that nobody owns, so that they go on after a restart of the process.
    pub checkpoint: FileSetting,
    /// Whether an event that a relay refused for too little work is mined anew when it is
    /// published.
    pub remine: Remine,
    /// Most bits that are mined for then, 1 to 256; a relay that demands more is left alone.
    pub remine_max_bits: u16,
    /// Longest time from the refusal to the mined event, the question for the relay's demand
    /// included.
    #[serde(with = "duration")]
    pub remine_timeout: Duration,
}

impl Default for MinerConfig {
    fn default() -> Self {
        Self {
            threads: 0,
            placement: Placement::default(),
            reserve: Reserve::default(),
            nice: 0,
            kernel: AUTO.to_owned(),
            dispatch: Dispatch::default(),
            checkpoint: FileSetting::default(),
            remine: Remine::default(),
            remine_max_bits: 28,
            remine_timeout: Duration::from_secs(60),
        }
    }
}

impl MinerConfig {
    /// The key that makes no sense, and why.
    pub(super) fn validate(&self) -> Result<(), (&'static str, String)> {
        let Self { threads, remine_max_bits: bits, .. } = *self;
        if threads > MAX_THREADS {
            let problem = format!("{threads} is out of range, the most is {MAX_THREADS}");
            return Err(("threads", problem));
        }
        if self.placement == Placement::Explicit(Vec::new()) {
            return Err(("placement", "lists no cpu".to_owned()));
        }
        if let (Placement::Explicit(_), Reserve::Cpus(1..)) = (&self.placement, self.reserve) {
            let problem = "must be 0 where miner.placement lists its CPUs".to_owned();
            return Err(("reserve", problem));
        }
        if self.nice > MAX_NICE {
            let problem = format!("{} is out of range, allowed are 0 to {MAX_NICE}", self.nice);
            return Err(("nice", problem));
        }
        if let Some(name) = self.forced_kernel() {
            nipworker_pow::kernel_named(name).map_err(|error| ("kernel", error.to_string()))?;
        }
        if self.checkpoint == FileSetting::At(PathBuf::new()) {
            return Err(("checkpoint", "is an empty path".to_owned()));
        }
        let most = nipworker_relay::MAX_DEMANDED_BITS;
        if !(1..=most).contains(&bits) {
            let problem = format!("{bits} is out of range, allowed are 1 to {most} bits");
            return Err(("remine_max_bits", problem));
        }
        if self.remine_timeout.is_zero() || self.remine_timeout > duration::LONGEST {
            let problem = "must be more than 0 and no more than a year".to_owned();
            return Err(("remine_timeout", problem));
        }
        Ok(())
    }

    /// The kernel that is to be used whatever is fastest.
    pub(crate) fn forced_kernel(&self) -> Option<&str> {
        (self.kernel != AUTO).then_some(self.kernel.as_str())
    }

    /// What the pool refuses, by the key that is to blame.
    pub(crate) fn refused(error: &PoolError) -> StartError {
        let key = match error {
            PoolError::Threads { .. } => "threads",
            PoolError::NoSuchCpu { .. }
            | PoolError::CpuNotAllowed { .. }
            | PoolError::NoCpu
            | PoolError::Bind { .. }
            | PoolError::Unsupported { what: "a placement" } => "placement",
            PoolError::Reserve { .. } => "reserve",
            // Nothing else of a pool's settings can be missing from a system.
            PoolError::Nice { .. } | PoolError::Unsupported { .. } => "nice",
            _ => return StartError::Pool(error.to_string()),
        };
        StartError::Config { key: format!("miner.{key}"), problem: error.to_string() }
    }

    pub(crate) fn pool(&self) -> PoolConfig {
        PoolConfig {
            threads: (self.threads > 0).then_some(self.threads),
            placement: self.placement.clone(),
            reserve: match self.reserve {
                Reserve::Auto => None,
                Reserve::Cpus(cpus) => Some(cpus),
            },
            nice: (self.nice > 0).then_some(self.nice),
            dispatch: match self.dispatch {
                Dispatch::Batched => DispatchMode::Batched,
                Dispatch::Sequential => DispatchMode::Sequential,
            },
            ..JobBook::pool_config()
        }
    }
}
