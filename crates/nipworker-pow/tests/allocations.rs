//! A batch allocates nothing.
#![allow(clippy::unwrap_used)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use nipworker_mining::{BatchContext, Span, WorkloadFactory};
use nipworker_pow::{PowFactory, PowInput, kernels};
use nipworker_protocol::{PublicKey, UnsignedEvent};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator as it is; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promises are passed on.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn a_batch_without_a_hit_allocates_nothing() {
    for kernel in kernels() {
        for len in [0, 42, 280, 20_000] {
            let note = UnsignedEvent::new(
                PublicKey::from_bytes([7; 32]),
                1_700_000_000,
                1,
                vec![],
                "x".repeat(len),
            );
            let factory = PowFactory::with_kernel(Arc::new(|| 1_700_000_000), kernel);
            let input = serde_json::to_value(PowInput::new(note, 200)).unwrap();
            let workload = factory.prepare(&input).unwrap();
            let current = AtomicU64::new(0);
            let ctx = BatchContext::new(0, &current, 0);
            // The thread's scratch is made by its first batch.
            workload.run(Span::new(0, 10), &ctx);
            let before = ALLOCATIONS.get();
            for batch in 0..4 {
                workload.run(Span::new(batch * 7_001, if len > 1_000 { 50 } else { 7_001 }), &ctx);
            }
            assert_eq!(ALLOCATIONS.get() - before, 0, "{} at {len}", kernel.name());
        }
    }
}
