//! Reads and writes C's buffers, which may be unaligned and may overlap.
//!
//! Their content is not interpreted here.

use std::ffi::c_char;

/// Returns the bytes of a buffer; `None` if it is null but not empty, or longer than any buffer can be.
///
/// # Safety
///
/// Unless null, the pointer points to as many bytes, and they do not change while they are borrowed.
pub(crate) unsafe fn borrow_bytes<'a>(bytes: *const u8, count: usize) -> Option<&'a [u8]> {
    if bytes.is_null() {
        return (count == 0).then_some(&[]);
    }
    isize::try_from(count).ok()?;
    // SAFETY: not null, not longer than `isize::MAX`, and the caller's promise; bytes need no alignment.
    Some(unsafe { std::slice::from_raw_parts(bytes, count) })
}

/// Works like [`borrow_bytes`], and copies the bytes.
///
/// # Safety
///
/// Unless null, the pointer points to as many bytes.
pub(crate) unsafe fn read_bytes(bytes: *const u8, count: usize) -> Option<Vec<u8>> {
    // SAFETY: the caller's promise; the borrow ends here.
    unsafe { borrow_bytes(bytes, count) }.map(<[u8]>::to_vec)
}

/// Returns as many bytes as the array has; `None` if the pointer is null.
///
/// # Safety
///
/// Unless null, the pointer points to `N` bytes.
pub(crate) unsafe fn read_array<const N: usize>(bytes: *const u8) -> Option<[u8; N]> {
    // SAFETY: an array of bytes is bytes.
    unsafe { read_struct(bytes.cast()) }
}

/// Returns a struct for which any bytes are a valid value; `None` if the pointer is null.
///
/// # Safety
///
/// Unless null, the pointer points to a `T`, aligned or not.
pub(crate) unsafe fn read_struct<T: Copy>(source: *const T) -> Option<T> {
    // SAFETY: not null, and the caller's promise.
    (!source.is_null()).then(|| unsafe { source.read_unaligned() })
}

/// Writes a value, unless the pointer is null.
///
/// # Safety
///
/// Unless null, the pointer points to memory for a `T`, aligned or not.
pub(crate) unsafe fn write_struct<T>(value: T, target: *mut T) {
    if !target.is_null() {
        // SAFETY: not null, and the caller's promise.
        unsafe { target.write_unaligned(value) };
    }
}

/// Writes a text and a terminating zero. The text is cut between characters to fit the buffer.
///
/// # Safety
///
/// Unless null, the pointer points to memory for as many bytes.
pub(crate) unsafe fn write_text(text: &str, target: *mut c_char, room: usize) {
    let Some(most) = room.checked_sub(1).filter(|_| !target.is_null()) else {
        return;
    };
    let cut = &text[..text.floor_char_boundary(most)];
    // SAFETY: `cut` and a zero take at most `room` bytes; text that Rust made overlaps no buffer of C.
    unsafe {
        target
            .cast::<u8>()
            .copy_from_nonoverlapping(cut.as_ptr(), cut.len());
        target.add(cut.len()).write(0);
    }
}
