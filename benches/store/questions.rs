//! Asking, and what it took.

use std::{
    hint::black_box,
    time::{Duration, Instant},
};

use nipworker_benches::{median, process_cpu};

use crate::{contenders::Contender, rows::Row};

/// Rounds that count.
const ROUNDS: usize = 11;
/// Wall time of one contender's part of a round, about.
const PART: Duration = Duration::from_millis(15);

/// Microseconds per question.
#[derive(Clone, Copy)]
struct Cost {
    cpu_us: f64,
    wall_us: f64,
}

fn ask(contender: &dyn Contender, row: &Row) -> u64 {
    if row.counts {
        black_box(contender.count(&row.asked, row.now))
    } else {
        black_box(contender.query(&row.asked, row.now) as u64)
    }
}

fn cost(contender: &dyn Contender, row: &Row, times: u32) -> Cost {
    let (start, cpu) = (Instant::now(), process_cpu());
    for _ in 0..times {
        ask(contender, row);
    }
    let (wall, cpu) = (start.elapsed(), process_cpu() - cpu);
    let per_question = |time: Duration| time.as_secs_f64() * 1e6 / f64::from(times);
    Cost { cpu_us: per_question(cpu), wall_us: per_question(wall) }
}

/// Asks every row of every contender and prints the medians.
pub(crate) fn run(rows: &[Row], contenders: &[Box<dyn Contender>], quick: bool) {
    println!("## Queries, µs: CPU / wall, medians\n");
    let names: Vec<&str> = contenders.iter().map(|contender| contender.name()).collect();
    println!("| question | answers | {} | published |", names.join(" | "));
    println!("|---|---:|{}---:|", "---:|".repeat(names.len()));
    let mut differing = Vec::new();
    for row in rows {
        let found = ask(&*contenders[0], row);
        compare(row, contenders, &mut differing);
        let costs = medians(row, contenders, if quick { 1 } else { ROUNDS });
        let cells: Vec<String> = costs
            .iter()
            .map(|cost| format!("{} / {}", digits(cost.cpu_us), digits(cost.wall_us)))
            .collect();
        let published = row.published_us.map_or_else(String::new, digits);
        println!("| {} | {found} | {} | {published} |", row.name, cells.join(" | "));
    }
    println!();
    differing.iter().for_each(|line| println!("{line}"));
}

/// Three digits that say something.
fn digits(value: f64) -> String {
    match value {
        ..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

/// Asks all in turn, round by round.
fn medians(row: &Row, contenders: &[Box<dyn Contender>], rounds: usize) -> Vec<Cost> {
    let times: Vec<u32> = contenders
        .iter()
        .map(|contender| {
            let once = cost(&**contender, row, 2).wall_us.max(0.1);
            (PART.as_secs_f64() * 1e6 / once).clamp(1.0, 10_000.0) as u32
        })
        .collect();
    let mut costs = vec![Vec::with_capacity(rounds); contenders.len()];
    for round in 0..rounds {
        let mut order: Vec<usize> = (0..contenders.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for index in order {
            costs[index].push(cost(&*contenders[index], row, times[index]));
        }
    }
    let of = |costs: &[Cost], field: fn(&Cost) -> f64| {
        median(&costs.iter().map(field).collect::<Vec<_>>())
    };
    costs
        .iter()
        .map(|costs| Cost {
            cpu_us: of(costs, |cost| cost.cpu_us),
            wall_us: of(costs, |cost| cost.wall_us),
        })
        .collect()
}

/// Notes whose answer is not that of the first.
fn compare(row: &Row, contenders: &[Box<dyn Contender>], differing: &mut Vec<String>) {
    if row.counts {
        let counts: Vec<u64> =
            contenders.iter().map(|contender| contender.count(&row.asked, row.now)).collect();
        if counts.iter().any(|count| *count != counts[0]) {
            differing.push(format!("{}: the counts are {counts:?}", row.name));
        }
        return;
    }
    let expected = contenders[0].answer(&row.asked, row.now);
    for contender in &contenders[1..] {
        let answer = contender.answer(&row.asked, row.now);
        if answer != expected {
            let missing = expected.iter().filter(|event| !answer.contains(event)).count();
            let more = answer.iter().filter(|event| !expected.contains(event)).count();
            differing.push(format!(
                "{}: {} has {} events, {missing} of {}'s are missing, {more} are not among them",
                row.name,
                contender.name(),
                answer.len(),
                contenders[0].name(),
            ));
        }
    }
}

/// Asks each row of each contender for a while, for a profiler to look at.
pub(crate) fn spin(rows: &[Row], contenders: &[Box<dyn Contender>], time: Duration) {
    for row in rows {
        for contender in contenders {
            let start = Instant::now();
            let mut asked: u32 = 0;
            while start.elapsed() < time {
                ask(&**contender, row);
                asked += 1;
            }
            let each = start.elapsed().as_secs_f64() * 1e6 / f64::from(asked.max(1));
            println!("{} of {}: {asked} times, {each:.2} µs each", row.name, contender.name());
        }
    }
}
