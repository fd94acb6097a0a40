//! What the figures were measured on.

use std::{fs, thread};

use serde::Serialize;

/// The processor as this process sees it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Machine {
    /// Its name, as far as the system tells it.
    pub(super) processor: String,
    /// Logical processors that this process may use.
    pub(super) cpus: usize,
    /// Instruction sets that matter here.
    pub(super) features: Vec<&'static str>,
    /// Operating system and architecture.
    pub(super) system: String,
}

impl Machine {
    /// Looks.
    pub(super) fn this() -> Self {
        Self {
            processor: processor().unwrap_or_else(|| "unknown processor".to_owned()),
            cpus: thread::available_parallelism().map_or(1, usize::from),
            features: features(),
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        }
    }
}

fn processor() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    name_in(&text)
}

/// The name in the text of `/proc/cpuinfo`; ARM writes none there, or the board's.
fn name_in(text: &str) -> Option<String> {
    ["model name", "Model", "Hardware"].iter().find_map(|key| {
        let value = text.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            (name.trim() == *key).then(|| value.split_whitespace().collect::<Vec<_>>().join(" "))
        });
        value.filter(|value| !value.is_empty())
    })
}

#[cfg(target_arch = "x86_64")]
fn features() -> Vec<&'static str> {
    use std::arch::is_x86_feature_detected as has;
    [
        ("sha", has!("sha")),
        ("avx2", has!("avx2")),
        ("avx512f", has!("avx512f")),
        ("avx512vl", has!("avx512vl")),
        ("avx512bw", has!("avx512bw")),
        ("avx512vbmi2", has!("avx512vbmi2")),
        ("bmi2", has!("bmi2")),
    ]
    .into_iter()
    .filter_map(|(name, has)| has.then_some(name))
    .collect()
}

#[cfg(target_arch = "aarch64")]
fn features() -> Vec<&'static str> {
    use std::arch::is_aarch64_feature_detected as has;
    [("sha2", has!("sha2")), ("neon", has!("neon"))]
        .into_iter()
        .filter_map(|(name, has)| has.then_some(name))
        .collect()
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
fn features() -> Vec<&'static str> {
    Vec::new()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_is_named_as_the_system_names_it() {
        let text = "processor\t: 0\nmodel name\t: Some  CPU @ 2.00GHz\nmodel name\t: other\n";
        assert_eq!(name_in(text).as_deref(), Some("Some CPU @ 2.00GHz"));
        assert_eq!(name_in("Model : A Board\n").as_deref(), Some("A Board"));
        assert_eq!(name_in("model name :\n"), None);
    }

    #[test]
    fn there_is_at_least_one_processor() {
        assert!(Machine::this().cpus >= 1);
    }
}
