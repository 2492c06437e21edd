//! An allocator with an inaccessible page after each allocation, so that reading past an allocation ends the process.
//! With other allocators such a read may succeed by chance.
//!
//! A guarded binary makes [`Guarded`] its global allocator.

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::c_void;
use std::ptr;

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};
use rustix::param::page_size;

/// Least size that is guarded, less than any input of a hash. Smaller allocations are left to the system: there are
/// many, and the kernel bounds the number of mappings.
const GUARDED_BYTES_MIN: usize = 64;

/// An allocator that guards allocations of at least 64 bytes. Smaller ones come from the system's allocator.
pub struct Guarded;

/// Returns whether an allocation can end at the end of its last page: its end must be as aligned as its start.
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
    // SAFETY: the kernel chooses the place, so that no memory in use is mapped over.
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

// SAFETY: memory from `map` has only that size, and is as aligned as its size, which `is_guarded` requires; layouts
// that are not guarded are allocated and freed by the system's allocator.
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
        // SAFETY: `map` mapped these pages only for this allocation, which the caller promises is unused.
        let _ = unsafe {
            let pages = pointer.sub(held - layout.size());
            munmap(pages.cast::<c_void>(), held + page_size())
        };
    }
}
