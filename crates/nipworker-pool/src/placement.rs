//! Which CPU each thread is bound to.

use std::fmt;

use serde::de::{self, SeqAccess, Visitor};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::config::MAX_THREADS;
use crate::cpus::{self, Cpu};
use crate::error::PoolError;

/// How the threads of a pool are bound to CPUs.
///
/// In a config it is written `"off"`, `"spread"`, `"pack"`, or as a list of CPU numbers.
/// More threads than CPUs are allowed: the CPUs are then given out in turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// No thread is bound; the system moves them as it likes.
    Off,
    /// One thread per physical core first, then the second hardware thread of each: for work
    /// that fills a core's arithmetic.
    Spread,
    /// Hardware threads of one core first, then the next core: leaves whole cores to others.
    Pack,
    /// Exactly these CPUs, in this order; a CPU may be named more than once.
    Explicit(Vec<usize>),
}

impl Default for Placement {
    /// [`Placement::Spread`] where the system binds threads, [`Placement::Off`] elsewhere.
    fn default() -> Self {
        if cpus::CAN_BIND { Self::Spread } else { Self::Off }
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::Spread => f.write_str("spread"),
            Self::Pack => f.write_str("pack"),
            Self::Explicit(cpus) => write!(f, "cpus {}", cpus::ranges(cpus)),
        }
    }
}

impl Serialize for Placement {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Off => serializer.serialize_str("off"),
            Self::Spread => serializer.serialize_str("spread"),
            Self::Pack => serializer.serialize_str("pack"),
            Self::Explicit(cpus) => {
                let mut list = serializer.serialize_seq(Some(cpus.len()))?;
                for cpu in cpus {
                    list.serialize_element(cpu)?;
                }
                list.end()
            }
        }
    }
}

struct PlacementVisitor;

impl<'de> Visitor<'de> for PlacementVisitor {
    type Value = Placement;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"off\", \"spread\", \"pack\" or a list of CPU numbers")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Placement, E> {
        match text {
            "off" => Ok(Placement::Off),
            "spread" => Ok(Placement::Spread),
            "pack" => Ok(Placement::Pack),
            _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Placement, A::Error> {
        let mut cpus = Vec::new();
        while let Some(cpu) = list.next_element()? {
            if cpus.len() == MAX_THREADS {
                return Err(de::Error::invalid_length(MAX_THREADS + 1, &"at most 1024 CPUs"));
            }
            cpus.push(cpu);
        }
        Ok(Placement::Explicit(cpus))
    }
}

impl<'de> Deserialize<'de> for Placement {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PlacementVisitor)
    }
}

/// How many threads there are and where they go.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// Number of threads.
    pub(crate) threads: usize,
    /// The CPUs that are given out in turn; empty if the threads are not bound.
    pub(crate) cpus: Vec<usize>,
}

/// The reserve where none is given.
pub(crate) fn default_reserve(cpus: usize) -> usize {
    usize::from(cpus >= 4)
}

/// Makes the plan on a machine of `usable` CPUs, of which the system lets `parallel` run at once.
pub(crate) fn plan(
    placement: &Placement,
    reserve: Option<usize>,
    threads: Option<usize>,
    usable: &[Cpu],
    parallel: usize,
) -> Result<Plan, PoolError> {
    if let Placement::Explicit(cpus) = placement {
        return plan_explicit(cpus, reserve, threads, usable);
    }
    let count = if usable.is_empty() { parallel } else { usable.len() };
    // A number of threads that is given wins over a reserve that is not.
    let free = reserve.unwrap_or(if threads.is_some() { 0 } else { default_reserve(parallel) });
    if free >= count {
        return Err(PoolError::Reserve { reserve: free, cpus: count });
    }
    let threads = threads.unwrap_or_else(|| parallel.min(count).saturating_sub(free).max(1));
    let cpus = match placement {
        Placement::Off => Vec::new(),
        _ if usable.is_empty() => return Err(PoolError::Unsupported { what: "a placement" }),
        _ => {
            let packed = packed(usable);
            let (reserved, rest) = packed.split_at(free);
            let reserved: Vec<usize> = reserved.iter().map(|cpu| cpu.id).collect();
            let ordered =
                if *placement == Placement::Pack { rest.to_vec() } else { spread(&packed) };
            ordered.iter().map(|cpu| cpu.id).filter(|id| !reserved.contains(id)).collect()
        }
    };
    Ok(Plan { threads, cpus })
}

fn plan_explicit(
    cpus: &[usize],
    reserve: Option<usize>,
    threads: Option<usize>,
    usable: &[Cpu],
) -> Result<Plan, PoolError> {
    if let Some(reserve) = reserve.filter(|reserve| *reserve > 0) {
        return Err(PoolError::Setting {
            name: "reserve",
            value: reserve as u64,
            allowed: "0 where the placement lists its CPUs",
        });
    }
    if cpus.is_empty() {
        return Err(PoolError::NoCpu);
    }
    if usable.is_empty() {
        return Err(PoolError::Unsupported { what: "a placement" });
    }
    for cpu in cpus {
        if !usable.iter().any(|other| other.id == *cpu) {
            let ids: Vec<usize> = usable.iter().map(|cpu| cpu.id).collect();
            let allowed = cpus::ranges(&ids);
            return Err(if cpus::is_online(*cpu) {
                PoolError::CpuNotAllowed { cpu: *cpu, allowed }
            } else {
                PoolError::NoSuchCpu { cpu: *cpu, allowed }
            });
        }
    }
    Ok(Plan { threads: threads.unwrap_or(cpus.len()), cpus: cpus.to_vec() })
}

/// Neighbours first: by core, and within a core by number.
fn packed(cpus: &[Cpu]) -> Vec<Cpu> {
    let mut sorted = cpus.to_vec();
    sorted.sort_by_key(|cpu| (cpu.core, cpu.id));
    sorted
}

/// From the packed order: the first hardware thread of each core, then the second of each, ….
fn spread(packed: &[Cpu]) -> Vec<Cpu> {
    let mut ranked: Vec<(usize, Cpu)> = Vec::with_capacity(packed.len());
    for cpu in packed {
        let rank = match ranked.last() {
            Some((rank, last)) if last.core == cpu.core => rank + 1,
            _ => 0,
        };
        ranked.push((rank, *cpu));
    }
    // Stable: within a rank the cores stay in order.
    ranked.sort_by_key(|(rank, _)| *rank);
    ranked.into_iter().map(|(_, cpu)| cpu).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four cores of two hardware threads, numbered as on most PCs: 0 to 3, and 4 to 7 beside.
    fn eight() -> Vec<Cpu> {
        (0..8).map(|id| Cpu { id, core: (0, id % 4) }).collect()
    }

    fn cpus(placement: Placement, reserve: Option<usize>, threads: Option<usize>) -> Plan {
        plan(&placement, reserve, threads, &eight(), 8).unwrap()
    }

    #[test]
    fn spread_takes_every_core_before_any_second_hardware_thread() {
        assert_eq!(cpus(Placement::Spread, Some(0), None).cpus, [0, 1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(cpus(Placement::Spread, Some(0), None).threads, 8);
    }

    #[test]
    fn pack_fills_a_core_before_the_next() {
        assert_eq!(cpus(Placement::Pack, Some(0), None).cpus, [0, 4, 1, 5, 2, 6, 3, 7]);
    }

    #[test]
    fn the_reserve_leaves_whole_cores_free_where_it_can() {
        let plan = cpus(Placement::Spread, Some(2), None);
        assert_eq!((plan.threads, plan.cpus), (6, vec![1, 2, 3, 5, 6, 7]));
        let plan = cpus(Placement::Pack, Some(2), Some(3));
        assert_eq!((plan.threads, plan.cpus), (3, vec![1, 5, 2, 6, 3, 7]));
        let plan = cpus(Placement::Off, Some(3), None);
        assert_eq!((plan.threads, plan.cpus), (5, vec![]));
    }

    #[test]
    fn without_a_reserve_one_cpu_of_four_or_more_is_left_unless_threads_are_given() {
        assert_eq!(cpus(Placement::Spread, None, None).threads, 7);
        assert_eq!(cpus(Placement::Spread, None, None).cpus, [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(cpus(Placement::Spread, None, Some(8)).cpus.len(), 8);
    }

    #[test]
    fn a_quota_below_the_number_of_cpus_bounds_the_default_number_of_threads() {
        let plan = plan(&Placement::Spread, None, None, &eight(), 2).unwrap();
        assert_eq!((plan.threads, plan.cpus.len()), (2, 8));
    }

    #[test]
    fn a_list_of_cpus_is_taken_as_it_is() {
        let plan = cpus(Placement::Explicit(vec![5, 1, 5]), None, None);
        assert_eq!((plan.threads, plan.cpus), (3, vec![5, 1, 5]));
        assert_eq!(cpus(Placement::Explicit(vec![2]), Some(0), Some(4)).threads, 4);
    }

    #[test]
    fn cpus_that_cannot_be_had_are_named() {
        let refused = |placement, reserve, usable: &[Cpu]| {
            plan(&placement, reserve, None, usable, 2).unwrap_err().to_string()
        };
        let text = refused(Placement::Explicit(vec![0, 99_999]), None, &eight());
        assert_eq!(text, "cpu 99999 does not exist, this process may use 0-7");
        let text = refused(Placement::Explicit(vec![0]), None, &eight()[1..]);
        assert_eq!(text, "this process may not use cpu 0, it may use 1-7");
        assert_eq!(
            refused(Placement::Explicit(vec![]), None, &eight()),
            "the placement lists no cpu"
        );
        let text = refused(Placement::Spread, Some(8), &eight());
        assert_eq!(text, "a reserve of 8 leaves none of the 8 cpus of this process");
        let text = refused(Placement::Explicit(vec![1]), Some(1), &eight());
        assert_eq!(text, "reserve is 1, allowed is 0 where the placement lists its CPUs");
        let text = refused(Placement::Spread, None, &[]);
        assert_eq!(text, "this system does not offer a placement");
    }
}
