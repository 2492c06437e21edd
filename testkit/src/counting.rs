//! An allocator that counts what each thread and all of them hold, and the bound that decoding and verifying keep.
//!
//! A binary that counts makes [`Counting`] its global allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicIsize, Ordering};

/// Bytes of memory per byte of a proof: an entry of no bytes takes 2 on the wire and 56 decoded, in a list that
/// doubles.
pub const PROOF_MEMORY_FACTOR: usize = 128;
/// Additional memory in bytes: the line coefficients of a pairing and the buckets of two multiplications.
pub const PROOF_MEMORY_BYTES: usize = 1 << 20;

/// Returns the number of bytes that decoding and verifying a proof of `proof_bytes` bytes may hold at a time.
pub fn proof_memory_max(proof_bytes: usize) -> usize {
    PROOF_MEMORY_FACTOR * proof_bytes + PROOF_MEMORY_BYTES
}

/// Bytes that all threads hold.
static HELD_BY_ALL: AtomicIsize = AtomicIsize::new(0);

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

/// An allocator that counts the allocations of the system's allocator.
pub struct Counting;

/// Runs a function. Returns its result, and the most bytes that its thread held meanwhile, beyond those that it held
/// before.
pub fn peak_of<T>(function: impl FnOnce() -> T) -> (T, usize) {
    let before = HELD.get();
    PEAK.set(before);
    let given = function();
    (given, PEAK.get().saturating_sub(before).unsigned_abs())
}

/// Returns the bytes that all threads of the process hold now.
pub fn held_by_all() -> usize {
    HELD_BY_ALL.load(Ordering::Relaxed).max(0).unsigned_abs()
}

fn count(change: isize) {
    HELD_BY_ALL.fetch_add(change, Ordering::Relaxed);
    // A thread that ends no longer has a count.
    let _ = HELD.try_with(|held| {
        held.set(held.get() + change);
        let _ = PEAK.try_with(|peak| peak.set(peak.get().max(held.get())));
    });
}

// SAFETY: every call is passed unchanged to the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promise is the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(-(layout.size() as isize));
        // SAFETY: the caller's promise is the same, and `alloc` had the pointer from there.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        count(layout.size() as isize);
        // SAFETY: the caller's promise is the same.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        // Old and new memory exist at the same time while one is copied to the other.
        count(bytes as isize);
        count(-(layout.size() as isize));
        // SAFETY: the caller's promise is the same, and `alloc` had the pointer from there.
        unsafe { System.realloc(pointer, layout, bytes) }
    }
}
