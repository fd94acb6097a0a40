//! What does a supervised mailbox cost, against plain actix and against a tokio channel?
//!
//! All three are measured in one process, in turns, round by round; a row is the median over the
//! rounds of CPU time per message (all threads), and the ratio to plain actix is the median of the
//! ratios within each round. The consumer has a thread of its own; the handler adds a number.
#![allow(missing_docs, clippy::unwrap_used, clippy::print_stdout)]

use std::hint::black_box;
use std::time::Instant;

use actix::Addr;
use actix_rt::Arbiter;
use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use nipworker_benches::{median, process_cpu};
use nipworker_supervision::prelude::*;
use tokio::sync::{mpsc, oneshot};

const IN_FLIGHT: usize = 256;
const BATCH: usize = 256;

#[derive(Default)]
struct Adder {
    sum: u64,
}

impl Actor for Adder {
    type Context = Context<Self>;
}

#[derive(Message)]
#[rtype(result = "()")]
struct Add(u64);

#[derive(Message)]
#[rtype(result = "u64")]
struct AddAndTell(u64);

#[derive(Message)]
#[rtype(result = "()")]
struct AddBatch(Vec<Bytes>);

impl Handler<Add> for Adder {
    type Result = ();

    fn handle(&mut self, Add(n): Add, _: &mut Self::Context) {
        self.sum = black_box(self.sum.wrapping_add(n));
    }
}

impl Handler<AddAndTell> for Adder {
    type Result = u64;

    fn handle(&mut self, AddAndTell(n): AddAndTell, _: &mut Self::Context) -> u64 {
        self.sum = black_box(self.sum.wrapping_add(n));
        self.sum
    }
}

impl Handler<AddBatch> for Adder {
    type Result = ();

    fn handle(&mut self, AddBatch(events): AddBatch, _: &mut Self::Context) {
        for event in events {
            self.sum = black_box(self.sum.wrapping_add(event.len() as u64));
        }
    }
}

/// The same consumer behind a tokio channel.
enum Order {
    Add(u64),
    AddAndTell(u64, oneshot::Sender<u64>),
    AddBatch(Vec<Bytes>),
}

struct Channel {
    bounded: mpsc::Sender<Order>,
    unbounded: mpsc::UnboundedSender<Order>,
}

impl Channel {
    fn start() -> Self {
        let (bounded, mut bounded_rx) = mpsc::channel(1024);
        let (unbounded, mut unbounded_rx) = mpsc::unbounded_channel();
        let handle = |adder: &mut u64, order| match order {
            Order::Add(n) => *adder = black_box(adder.wrapping_add(n)),
            Order::AddAndTell(n, tell) => {
                *adder = black_box(adder.wrapping_add(n));
                tell.send(*adder).ok();
            }
            Order::AddBatch(events) => {
                for event in events {
                    *adder = black_box(adder.wrapping_add(event.len() as u64));
                }
            }
        };
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let tasks = tokio::task::LocalSet::new();
            tasks.spawn_local(async move {
                let mut sum = 0;
                while let Some(order) = bounded_rx.recv().await {
                    handle(&mut sum, order);
                }
            });
            tasks.spawn_local(async move {
                let mut sum = 0;
                while let Some(order) = unbounded_rx.recv().await {
                    handle(&mut sum, order);
                }
            });
            runtime.block_on(tasks);
        });
        Self { bounded, unbounded }
    }

    async fn ask(&self, n: u64) -> u64 {
        let (tx, rx) = oneshot::channel();
        self.bounded.send(Order::AddAndTell(n, tx)).await.unwrap();
        rx.await.unwrap()
    }

    async fn ask_unbounded(&self, n: u64) -> u64 {
        let (tx, rx) = oneshot::channel();
        self.unbounded.send(Order::AddAndTell(n, tx)).unwrap();
        rx.await.unwrap()
    }
}

struct Contenders {
    plain: Addr<Adder>,
    channel: Channel,
    /// With room for everything, as plain actix has it with `do_send`.
    roomy: Address<Adder>,
    /// With the default capacity.
    bounded: Address<Adder>,
}

async fn keep_in_flight<F: Future>(count: usize, mut ask: impl FnMut() -> F) {
    let mut flight = FuturesUnordered::new();
    for _ in 0..count {
        if flight.len() == IN_FLIGHT {
            flight.next().await;
        }
        flight.push(ask());
    }
    while flight.next().await.is_some() {}
}

fn events() -> Vec<Bytes> {
    static EVENT: [u8; 400] = [b'x'; 400];
    vec![Bytes::from_static(&EVENT); BATCH]
}

/// What one run of something cost, per item.
#[derive(Clone, Copy)]
struct Cost {
    cpu_ns: f64,
    wall_ns: f64,
}

impl Cost {
    fn of(items: usize, run: impl FnOnce()) -> Self {
        let (cpu, wall) = (process_cpu(), Instant::now());
        run();
        let per_item = |nanos: u128| nanos as f64 / items as f64;
        Self {
            cpu_ns: per_item((process_cpu() - cpu).as_nanos()),
            wall_ns: per_item(wall.elapsed().as_nanos()),
        }
    }
}

type Run<'a> = Box<dyn Fn(&tokio::runtime::Runtime) + 'a>;

struct Row<'a> {
    name: &'static str,
    items: usize,
    /// Highest acceptable ratio of the last contender to the first.
    target: Option<f64>,
    contenders: Vec<(&'static str, Run<'a>)>,
}

fn run<'a>(f: impl Fn(&tokio::runtime::Runtime) + 'a) -> Run<'a> {
    Box::new(f)
}

fn rows(c: &Contenders, scale: usize) -> Vec<Row<'_>> {
    let (sends, asks, flights, batches) =
        (20_000 * scale, 1000 * scale, 10_000 * scale, 400 * scale);
    vec![
        Row {
            name: "send",
            items: sends,
            target: Some(1.7),
            contenders: vec![
                (
                    "actix do_send",
                    run(move |rt| {
                        (0..sends).for_each(|n| c.plain.do_send(Add(n as u64)));
                        rt.block_on(c.plain.send(AddAndTell(0))).unwrap();
                    }),
                ),
                (
                    "tokio unbounded",
                    run(move |rt| {
                        (0..sends).for_each(|n| {
                            c.channel.unbounded.send(Order::Add(n as u64)).unwrap_or(())
                        });
                        rt.block_on(c.channel.ask_unbounded(0));
                    }),
                ),
                (
                    "supervised try_send",
                    run(move |rt| {
                        (0..sends).for_each(|n| c.roomy.try_send(Add(n as u64)).unwrap());
                        rt.block_on(c.roomy.ask(AddAndTell(0))).unwrap();
                    }),
                ),
            ],
        },
        Row {
            name: "send, at most 1024 queued",
            items: sends,
            target: None,
            contenders: vec![
                (
                    "tokio mpsc(1024)",
                    run(move |rt| {
                        rt.block_on(async {
                            for n in 0..sends {
                                c.channel.bounded.send(Order::Add(n as u64)).await.unwrap_or(());
                            }
                            c.channel.ask(0).await;
                        });
                    }),
                ),
                (
                    "supervised send",
                    run(move |rt| {
                        rt.block_on(async {
                            for n in 0..sends {
                                c.bounded.send(Add(n as u64)).await.unwrap();
                            }
                            c.bounded.ask(AddAndTell(0)).await.unwrap();
                        });
                    }),
                ),
            ],
        },
        Row {
            name: "ask, one at a time",
            items: asks,
            target: Some(1.4),
            contenders: vec![
                (
                    "actix send",
                    run(move |rt| {
                        rt.block_on(async {
                            for n in 0..asks {
                                c.plain.send(AddAndTell(n as u64)).await.unwrap();
                            }
                        })
                    }),
                ),
                (
                    "tokio mpsc(1024)",
                    run(move |rt| {
                        rt.block_on(async {
                            for n in 0..asks {
                                c.channel.ask(n as u64).await;
                            }
                        })
                    }),
                ),
                (
                    "supervised ask",
                    run(move |rt| {
                        rt.block_on(async {
                            for n in 0..asks {
                                c.bounded.ask(AddAndTell(n as u64)).await.unwrap();
                            }
                        })
                    }),
                ),
            ],
        },
        Row {
            name: "ask, 256 in flight",
            items: flights,
            target: Some(1.4),
            contenders: vec![
                (
                    "actix send",
                    run(move |rt| {
                        rt.block_on(keep_in_flight(flights, || c.plain.send(AddAndTell(1))));
                    }),
                ),
                (
                    "tokio mpsc(1024)",
                    run(move |rt| {
                        rt.block_on(keep_in_flight(flights, || c.channel.ask(1)));
                    }),
                ),
                (
                    "supervised ask",
                    run(move |rt| {
                        rt.block_on(keep_in_flight(flights, || c.bounded.ask(AddAndTell(1))));
                    }),
                ),
            ],
        },
        Row {
            name: "send 256 events per message, per event",
            items: batches * BATCH,
            target: Some(1.7),
            contenders: vec![
                (
                    "actix do_send",
                    run(move |rt| {
                        (0..batches).for_each(|_| c.plain.do_send(AddBatch(events())));
                        rt.block_on(c.plain.send(AddAndTell(0))).unwrap();
                    }),
                ),
                (
                    "tokio unbounded",
                    run(move |rt| {
                        (0..batches).for_each(|_| {
                            c.channel.unbounded.send(Order::AddBatch(events())).unwrap_or(())
                        });
                        rt.block_on(c.channel.ask_unbounded(0));
                    }),
                ),
                (
                    "supervised try_send",
                    run(move |rt| {
                        (0..batches).for_each(|_| c.roomy.try_send(AddBatch(events())).unwrap());
                        rt.block_on(c.roomy.ask(AddAndTell(0))).unwrap();
                    }),
                ),
            ],
        },
    ]
}

fn main() {
    let quick = std::env::args().any(|arg| arg == "--quick" || arg == "--test");
    let (rounds, scale) = if quick { (3, 2) } else { (25, 10) };

    let system = actix_rt::System::new();
    let arbiter = Arbiter::new();
    let plain = system.block_on(async {
        let (tx, rx) = oneshot::channel();
        arbiter.spawn_fn(move || drop(tx.send(Adder::default().start())));
        rx.await.unwrap()
    });
    let roomy = Address::new("roomy", MailboxConfig { capacity: 10_000_000, control_capacity: 1 });
    let bounded = Address::new("bounded", MailboxConfig::default());
    let spec = |address: &Address<Adder>| {
        ChildSpec::new(address.clone(), |_: &StartContext| Ok::<_, String>(Adder::default()))
    };
    let tree = Supervisor::builder("bench")
        .child(spec(&roomy))
        .child(spec(&bounded))
        .start_blocking()
        .unwrap();

    let contenders = Contenders { plain, channel: Channel::start(), roomy, bounded };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    println!("{cores} cores, {rounds} rounds, median");
    println!("{:<40} {:<22} {:>9} {:>9} {:>7}", "", "", "cpu ns", "wall ns", "ratio");
    let mut missed = false;
    for row in rows(&contenders, scale) {
        let mut costs = vec![Vec::new(); row.contenders.len()];
        // One round to warm up, not counted.
        for round in 0..=rounds {
            for (at, (_, run)) in row.contenders.iter().enumerate() {
                let cost = Cost::of(row.items, || run(&runtime));
                if round > 0 {
                    costs[at].push(cost);
                }
            }
        }
        for (at, (name, _)) in row.contenders.iter().enumerate() {
            let ratios =
                costs[at].iter().zip(&costs[0]).map(|(own, base)| own.cpu_ns / base.cpu_ns);
            let ratio = median(&ratios.collect::<Vec<f64>>());
            let own = &costs[at];
            let verdict = match row.target {
                Some(target) if at + 1 == row.contenders.len() => {
                    missed |= ratio > target;
                    format!("(target {target}{})", if ratio > target { ", MISSED" } else { "" })
                }
                _ => String::new(),
            };
            println!(
                "{:<40} {name:<22} {:>9.1} {:>9.1} {ratio:>7.2} {verdict}",
                if at == 0 { row.name } else { "" },
                median(&own.iter().map(|cost| cost.cpu_ns).collect::<Vec<f64>>()),
                median(&own.iter().map(|cost| cost.wall_ns).collect::<Vec<f64>>()),
            );
        }
    }
    drop(contenders);
    tree.stop_blocking();
    arbiter.stop();
    arbiter.join().ok();
    // A quick run says that the bench works, not how fast anything is.
    if missed && !quick {
        std::process::exit(1);
    }
}
