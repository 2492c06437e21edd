//! Loading cache lines before they are needed.
//!
//! A load that misses every cache takes a hundred times as long as one that does not. A prefetch starts it without
//! waiting, while a plain load holds up the instructions after it once the processor cannot queue more. Applying a
//! batch takes 0.84 of the time with it (280 instead of 333 ns a put, three rounds in turns, 2026-11-30).

#![allow(unsafe_code)]

/// Prefetches the cache line of a value. Does nothing on processors without such an instruction.
#[inline(always)]
pub(crate) fn prefetch<T>(value: &T) {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let line = core::ptr::from_ref(value).cast();
        // SAFETY: every x86-64 processor has the instruction, and it neither faults nor changes what a program sees.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line) }
    }
    #[cfg(not(all(target_arch = "x86_64", not(miri))))]
    let _ = value;
}
