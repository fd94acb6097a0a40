//! Ten jobs of different priorities, and what a cancel does to the other nine.

use std::sync::Arc;
use std::time::Duration;

use nipworker_pool::{DispatchMode, JobSpec, JobTicket, Pool, Priority, Span};

use super::{Items, SPIN_US, pool, verdict};

/// Priorities of the ten jobs.
const JOBS: [(Priority, usize); 4] =
    [(Priority::Urgent, 1), (Priority::High, 2), (Priority::Normal, 3), (Priority::Bulk, 4)];

fn ten_jobs(pool: &Pool) -> Vec<(Priority, JobTicket)> {
    let each = JOBS.iter().flat_map(|(priority, count)| vec![*priority; *count]);
    let jobs: Vec<_> = each
        .map(|priority| {
            let mut spec = JobSpec::new("share", vec![Span::new(0, u64::MAX)]);
            spec.priority = priority;
            // Until all are there.
            spec.paused = true;
            let task = Arc::new(Items(nipworker_mining::spin_calibrated, SPIN_US));
            (priority, pool.submit(spec, task).unwrap())
        })
        .collect();
    for (_, ticket) in &jobs {
        ticket.resume();
    }
    jobs
}

/// Items that each job has done, per second of CPU time of them all, over `cpu` of it.
fn rates(jobs: &[(Priority, JobTicket)], cpu: Duration) -> Vec<f64> {
    let had = || -> (Vec<u64>, u64) {
        let stats: Vec<_> = jobs.iter().map(|(_, ticket)| ticket.stats()).collect();
        let cpu = stats.iter().map(|stats| stats.cpu_ns).sum();
        (stats.iter().map(|stats| stats.items).collect(), cpu)
    };
    let (before, from) = had();
    let (after, to) = loop {
        std::thread::sleep(Duration::from_millis(10));
        let (items, now) = had();
        if u128::from(now - from) >= cpu.as_nanos() {
            break (items, now);
        }
    };
    let seconds = (to - from) as f64 / 1e9;
    before.iter().zip(&after).map(|(before, after)| (after - before) as f64 / seconds).collect()
}

/// True if the shares follow the weights and a cancel changes none of the others among themselves
/// by more than 5 %.
pub(super) fn ten(threads: usize, cpu: Duration) -> bool {
    let pool = pool(threads, DispatchMode::Batched);
    let mut jobs = ten_jobs(&pool);
    rates(&jobs, cpu / 10);
    let before = rates(&jobs, cpu);
    let weights: f64 = jobs.iter().map(|(priority, _)| priority.weight() as f64).sum();
    let all: f64 = before.iter().sum();
    let (_, gone) = jobs.remove(1);
    gone.cancel();
    rates(&jobs, cpu / 10);
    let after = rates(&jobs, cpu);
    let mut kept = before.clone();
    kept.remove(1);
    let (sum_before, sum_after) = (kept.iter().sum::<f64>(), after.iter().sum::<f64>());
    println!(
        "\nten jobs on {threads} threads, then one of high priority is cancelled; {:.0} s of CPU time each",
        cpu.as_secs_f64()
    );
    println!("| priority | due share | had     | of the nine before | after   | change  |");
    println!("|---|---|---|---|---|---|");
    let (mut worst_share, mut worst_change) = (0.0f64, 0.0f64);
    for ((priority, _), (before, after)) in jobs.iter().zip(kept.iter().zip(&after)) {
        let due = priority.weight() as f64 / weights;
        let (had, was, is) = (before / all, before / sum_before, after / sum_after);
        let change = is / was - 1.0;
        worst_share = worst_share.max((had / due - 1.0).abs());
        worst_change = worst_change.max(change.abs());
        println!(
            "| {:<8} | {:>7.2} % | {:>5.2} % | {:>16.2} % | {:>5.2} % | {:>+5.2} % |",
            format!("{priority:?}").to_lowercase(),
            due * 100.0,
            had * 100.0,
            was * 100.0,
            is * 100.0,
            change * 100.0
        );
    }
    println!(
        "shares off their weights by at most {:.2} %, changed by the cancel by at most {:.2} %",
        worst_share * 100.0,
        worst_change * 100.0
    );
    verdict("shares follow the weights within 5 %", worst_share <= 0.05)
        & verdict("a cancel leaves the others' rates within 5 %", worst_change <= 0.05)
}
