//! How a job is run.

use std::time::Duration;

use nipworker_mining::Priority;
use nipworker_protocol::UnsignedEvent;
use nipworker_schema::MineEventT;

use crate::ClientError;

/// How a job is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MineOptions {
    /// Threads at once, 1 or more; `None` takes all.
    pub threads: Option<u32>,
    /// Time after which it ends without a result, more than zero; `None` gives it all the time
    /// there is. Less than a millisecond is taken as a millisecond.
    pub timeout: Option<Duration>,
    /// Attempts after which it ends without a result, 1 or more.
    pub max_attempts: Option<u64>,
    /// Share of the threads among several jobs.
    pub priority: Priority,
    /// Whether `created_at` follows the clock while it is mined (NIP-13 recommends it). Switch it
    /// off for what was scheduled.
    pub refresh_created_at: bool,
    /// Whether the job only gets time that no other program of this machine wants.
    pub idle: bool,
    /// Share of its time that each thread may spend on the job, 1 to 100 percent; `None` is 100.
    pub cpu_percent: Option<u8>,
}

impl Default for MineOptions {
    fn default() -> Self {
        Self {
            threads: None,
            timeout: None,
            max_attempts: None,
            priority: Priority::Normal,
            refresh_created_at: true,
            idle: false,
            cpu_percent: None,
        }
    }
}

impl MineOptions {
    /// The request for a job under these options.
    ///
    /// # Errors
    /// [`ClientError::Invalid`] for a limit of zero: on the edge to the miner zero stands for no
    /// limit, which is not what such a caller asked for.
    pub(crate) fn request(
        &self,
        job: u64,
        template: UnsignedEvent,
        difficulty_bits: u16,
    ) -> Result<MineEventT, ClientError> {
        let zero = |name| Err(ClientError::Invalid(format!("{name} is 0, the least is 1")));
        if self.threads == Some(0) {
            return zero("threads");
        }
        if self.max_attempts == Some(0) {
            return zero("max_attempts");
        }
        if self.timeout == Some(Duration::ZERO) {
            return Err(ClientError::Invalid(
                "timeout is 0, which is over before it begins".to_owned(),
            ));
        }
        let timeout_ms = self
            .timeout
            .map_or(0, |timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX).max(1));
        Ok(MineEventT {
            job,
            template: Box::new(template.into()),
            difficulty_bits,
            max_threads: self.threads.unwrap_or(0),
            timeout_ms,
            max_attempts: self.max_attempts.unwrap_or(0),
            priority: match self.priority {
                Priority::Bulk => 0,
                Priority::Normal => 1,
                Priority::High => 2,
                Priority::Urgent => 3,
            },
            refresh_created_at: self.refresh_created_at,
            // What is out of range is refused where the limits are known.
            cpu_percent: self.cpu_percent.unwrap_or(100),
            idle: self.idle,
        })
    }
}
