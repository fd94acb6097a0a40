//! The measurement as text.

use super::{KernelFigures, Report, count};
use crate::cli::rates::rate;

/// One screen that can be posted.
pub(super) fn text(report: &Report) -> String {
    let machine = &report.machine;
    let mut lines = vec![
        format!("nipworker {} bench, about {} s", report.version, report.seconds),
        format!(
            "processor: {}, {} here ({}), {}",
            machine.processor,
            count(machine.cpus, "CPU"),
            machine.features.join(" "),
            machine.system
        ),
    ];
    let [short, long] = report.content_bytes;
    lines.push(format!(
        "kernels, per second of thread CPU time, at {short} and {long} bytes of content:"
    ));
    lines.push(format!(
        "  {:<14} {:>14} {:>14} {:>14} {:>14} {:>16}",
        "",
        format!("alone {short}"),
        format!("mining {short}"),
        format!("alone {long}"),
        format!("mining {long}"),
        "ns/hash alone"
    ));
    lines.extend(report.kernels.iter().map(kernel_line));
    lines.push("  (* is taken unless told otherwise)".to_owned());
    lines.push("threads together:".to_owned());
    for scale in &report.scaling {
        lines.push(format!(
            "  {:<12} {:>14}, {:.2} times one thread, {} per thread CPU second",
            count(scale.threads, "thread"),
            rate(scale.per_second),
            scale.speedup,
            rate(scale.per_cpu_second)
        ));
    }
    for thread in &report.feed.threads {
        let core = thread.core.map_or_else(String::new, |core| format!(" on CPU {core}"));
        lines.push(format!(
            "  thread {}{core}: {} per CPU second, busy {:.2} %, had the CPU {:.1} %, starved \
             {:.3} ms, {} self-refills",
            thread.thread,
            rate(thread.per_cpu_second),
            thread.busy_percent,
            thread.cpu_percent,
            thread.starved_ns as f64 / 1e6,
            thread.self_refills
        ));
    }
    let feed = &report.feed;
    lines.push(format!(
        "feed: the least busy thread was busy {:.2} %, starved {:.3} ms in {:.1} s, fairness {:.3}, \
         dispatch p50 {:.1} us p99 {:.1} us, {:.0} attempts a batch",
        feed.least_busy_percent(),
        feed.starved_ns() as f64 / 1e6,
        feed.seconds,
        feed.fairness_min_max,
        feed.dispatch_p50_ns as f64 / 1e3,
        feed.dispatch_p99_ns as f64 / 1e3,
        feed.mean_batch
    ));
    if feed.disturbed {
        lines.push(
            "note: other programs used the processors meanwhile; rates per CPU second hold, those \
             of threads together and the latencies are worse than on an idle machine"
                .to_owned(),
        );
    }
    let latency = &report.latency;
    let found: Vec<String> = latency
        .found_ms
        .iter()
        .map(|(bits, ms)| format!("{bits} bits found in {ms:.2} ms"))
        .collect();
    lines.push(format!(
        "latency: cancelled in {:.3} ms (p50), {:.3} ms (p99); {} (medians)",
        latency.cancel_p50_ms,
        latency.cancel_p99_ms,
        found.join(", ")
    ));
    lines.join("\n")
}

fn kernel_line(kernel: &KernelFigures) -> String {
    let mark = if kernel.chosen { "*" } else { " " };
    let mut line = format!("{mark} {:<14}", kernel.name);
    for (raw, mined) in kernel.raw_per_cpu_second.iter().zip(&kernel.mined_per_cpu_second) {
        line.push_str(&format!(" {:>14} {:>14}", rate(*raw), rate(*mined)));
    }
    let ns: Vec<String> = kernel.raw_ns_per_hash.iter().map(|ns| format!("{ns:.2}")).collect();
    line.push_str(&format!(" {:>16}", ns.join(" / ")));
    line
}
