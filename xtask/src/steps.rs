//! A command made of steps: each has a heading and a time, all run, the failed ones are named.

use std::time::{Duration, Instant};

use crate::tools::Outcome;

/// Runs steps and remembers how they went.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    done: Vec<Step>,
}

#[derive(Debug)]
struct Step {
    name: String,
    time: Duration,
    failure: Option<String>,
}

impl Steps {
    /// Runs one step. A failure does not keep later steps from running: one run shows all that
    /// is wrong.
    pub(crate) fn step(&mut self, name: impl Into<String>, work: impl FnOnce() -> Outcome) {
        let name = name.into();
        println!("\n=== {name}");
        let start = Instant::now();
        let failure = work().err();
        let time = start.elapsed();
        match &failure {
            None => println!("=== {name}: ok in {:.1} s", time.as_secs_f64()),
            Some(why) => {
                println!("=== {name}: FAILED after {:.1} s: {why}", time.as_secs_f64());
            }
        }
        self.done.push(Step { name, time, failure });
    }

    /// Prints the summary.
    ///
    /// # Errors
    /// When a step failed.
    pub(crate) fn finish(self) -> Outcome {
        print!("{}", self.summary());
        let failed: Vec<&str> = self
            .done
            .iter()
            .filter(|step| step.failure.is_some())
            .map(|step| step.name.as_str())
            .collect();
        match failed.as_slice() {
            [] => Ok(()),
            names => Err(format!("failed: {}", names.join(", "))),
        }
    }

    fn summary(&self) -> String {
        let mut text = "\nsteps:\n".to_owned();
        for step in &self.done {
            let word = if step.failure.is_some() { "FAILED" } else { "ok" };
            text += &format!("  {word:6} {:7.1} s  {}\n", step.time.as_secs_f64(), step.name);
        }
        let failed = self.done.iter().filter(|step| step.failure.is_some()).count();
        let total: Duration = self.done.iter().map(|step| step.time).sum();
        text += &format!(
            "{} passed, {failed} failed in {:.0} s\n",
            self.done.len() - failed,
            total.as_secs_f64()
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_does_not_stop_the_others_and_fails_the_whole() {
        let mut steps = Steps::default();
        let mut last_ran = false;
        steps.step("one", || Ok(()));
        steps.step("two", || Err("broken".to_owned()));
        steps.step("three", || {
            last_ran = true;
            Ok(())
        });
        assert!(last_ran);
        assert!(steps.summary().contains("2 passed, 1 failed"), "{}", steps.summary());
        assert_eq!(steps.finish(), Err("failed: two".to_owned()));
    }

    #[test]
    fn nothing_failed_is_a_success() {
        let mut steps = Steps::default();
        steps.step("one", || Ok(()));
        assert_eq!(steps.finish(), Ok(()));
    }
}
