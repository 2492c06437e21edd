//! An allocator behind whose memory nothing can be read: the page that follows is inaccessible, so that
//! reading past an allocation ends the process, where any other allocator has something there by chance.
//!
//! Not here: what is run under it. A binary that is guarded makes [`Guarded`] its global allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::c_void;
use std::ptr;

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use rustix::param::page_size;

/// Less than one input of a hash is left to the system: there are many, and the kernel bounds the number of
/// mappings.
const GUARDED_BYTES_MIN: usize = 64;

/// Guards allocations of at least 64 bytes; smaller ones are the system allocator's.
pub struct Guarded;

/// Returns whether an allocation ends where its last page ends: its end must be as aligned as its start.
fn is_guarded(layout: Layout) -> bool {
    layout.size() >= GUARDED_BYTES_MIN
        && layout.size().is_multiple_of(layout.align())
        && layout.align() <= page_size()
}

/// Returns the bytes of the pages that hold an allocation, without the inaccessible one.
fn held_bytes(layout: Layout) -> usize {
    layout.size().next_multiple_of(page_size())
}

fn map(layout: Layout) -> Option<*mut u8> {
    let held = held_bytes(layout);
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: the kernel chooses the place, so that nothing that is in use is mapped over.
    let pages = unsafe {
        mmap_anonymous(
            ptr::null_mut(),
            held + page_size(),
            access,
            MapFlags::PRIVATE,
        )
    };
    let pages = pages.ok()?.cast::<u8>();
    // SAFETY: the last of the pages that were just mapped; no one has a reference to it yet.
    unsafe {
        mprotect(
            pages.add(held).cast::<c_void>(),
            page_size(),
            MprotectFlags::empty(),
        )
        .ok()?;
        Some(pages.add(held - layout.size()))
    }
}

// SAFETY: what `map` gives is of that size alone and as aligned as its size is, which `is_guarded` asks of
// it; layouts that are not guarded go to the system's allocator, and come back to it.
unsafe impl GlobalAlloc for Guarded {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match is_guarded(layout) {
            true => map(layout).unwrap_or(ptr::null_mut()),
            // SAFETY: the caller's promise is the same.
            false => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        if !is_guarded(layout) {
            // SAFETY: the caller's promise is the same, and `alloc` had the pointer from there.
            return unsafe { System.dealloc(pointer, layout) };
        }
        let held = held_bytes(layout);
        // SAFETY: `map` mapped these pages for this allocation alone, which the caller promises is unused.
        let _ = unsafe {
            let pages = pointer.sub(held - layout.size());
            munmap(pages.cast::<c_void>(), held + page_size())
        };
    }
}
