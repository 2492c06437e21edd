//! Shows that the verifier links and runs in a program without std.
//!
//! It has its own panic handler. If any crate below it used std, there would be two, which the compiler refuses: so a
//! successful build is the proof. When it runs, it verifies with an allocator that uses only a static array. Targets
//! without an operating system have their own ways to get proofs.

#![no_std]
#![no_main]

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;
use core::hint::black_box;
use core::panic::PanicInfo;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicUsize, Ordering};

use trunkline_core::kzg::{G1Bytes, Opening, verify_openings};
use trunkline_core::proof::{Expected, Proof, verify};

/// Memory for one run: the line coefficients of a pairing are most of it.
const ARENA_BYTES: usize = 4 * 1024 * 1024;

/// An allocator that hands out an array from its start and takes nothing back.
struct Arena {
    bytes: UnsafeCell<[u8; ARENA_BYTES]>,
    used: AtomicUsize,
}

// SAFETY: `used` only grows, in one atomic step for each allocation, so no byte is handed out twice.
unsafe impl Sync for Arena {}

// SAFETY: what is handed out lies in the array, aligned as asked, and overlaps nothing handed out
// before; what does not fit is answered with null.
unsafe impl GlobalAlloc for Arena {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let first = self.bytes.get().cast::<u8>();
        let place = |used: usize| -> Option<(usize, usize)> {
            let address = first as usize + used;
            let start = used + address.next_multiple_of(layout.align()) - address;
            let end = start.checked_add(layout.size())?;
            (end <= ARENA_BYTES).then_some((start, end))
        };
        let next = |used| place(used).map(|(_, end)| end);
        match self
            .used
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
        {
            // SAFETY: `place` gave this for the same `used`, so the start lies within the array.
            Ok(used) => place(used).map_or(null_mut(), |(start, _)| unsafe { first.add(start) }),
            Err(_) => null_mut(),
        }
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static ARENA: Arena = Arena {
    bytes: UnsafeCell::new([0; ARENA_BYTES]),
    used: AtomicUsize::new(0),
};

// Only the C library: start-up and memcpy. The check is about Rust's std.
#[link(name = "c")]
unsafe extern "C" {
    fn abort() -> !;
}

#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    // SAFETY: takes nothing and does not return.
    unsafe { abort() }
}

/// Named by the unwinding tables of the prebuilt `alloc`, and never called: a panic aborts.
// SAFETY: std, which normally provides it, is not in this program.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// Returns 0 if everything is as expected.
// SAFETY: the only `main` of the program, with the type that C gives it.
#[unsafe(no_mangle)]
extern "C" fn main() -> i32 {
    let identity = G1Bytes::IDENTITY;
    let opening = Opening {
        commitment: identity,
        z: [3; 32],
        y: [0; 32],
        proof: identity,
    };
    let false_opening = Opening {
        y: [1; 32],
        ..opening
    };
    if verify_openings(&[opening, opening]) != Ok(true) {
        return 1;
    }
    if verify_openings(&[opening, false_opening]) != Ok(false) {
        return 2;
    }
    match Proof::decode(black_box(b"no proof")) {
        Ok(proof) if verify(&proof, &Expected::Carried).is_ok() => 3,
        Ok(_) => 4,
        Err(_) => 0,
    }
}
