//! A hint to the processor: these bytes will be read soon.
//!
//! The one place outside `src/sys` where `unsafe` pays: a batch of queries for a zone of a
//! million names is answered at the price of one of ten thousand, because the memory of all of them
//! is on its way before the first is looked at. A plain read instead of the hint stalls on each.
#![allow(unsafe_code, reason = "the prefetch instruction has no safe door; design.md section 3")]

/// Bytes of a cache line; where it is another size a hint more or less is given, no more.
const LINE: usize = 64;

/// How many cache lines `octets` from the address `from` on lie in.
pub fn lines(from: usize, octets: usize) -> usize {
    if octets == 0 { 0 } else { (from % LINE + octets).div_ceil(LINE) }
}

/// Starts to fetch the first cache lines of `value`, so many.
#[inline(always)]
pub fn fetch_lines<T: ?Sized>(value: &T, lines: usize) {
    let place: *const T = value;
    let place = place.cast::<u8>();
    let before = place.addr() % LINE;
    for line in 0..lines {
        hint(place.wrapping_add(line * LINE).wrapping_sub(before));
    }
}

/// Starts to fetch the cache lines from `place` on, so many. Nothing need be there.
#[inline(always)]
pub fn fetch_place<T>(place: *const T, lines: usize) {
    for line in 0..lines {
        hint(place.cast::<u8>().wrapping_add(line * LINE));
    }
}

/// [`fetch_once`] of what may be at `place`. Nothing need be there.
#[inline(always)]
pub fn fetch_place_once<T>(place: *const T) {
    hint_once(place.cast());
}

/// Starts to fetch the cache line that `value` begins in.
#[inline(always)]
pub fn fetch<T>(value: &T) {
    let place: *const T = value;
    hint(place.cast());
}

/// [`fetch`] of what is read for one query and then not for long: it shall not drive out of the
/// caches what every query needs, the kernel's packets among it.
#[inline(always)]
pub fn fetch_once<T>(value: &T) {
    let place: *const T = value;
    hint_once(place.cast());
}

#[inline(always)]
fn hint(place: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        // SAFETY: the instruction reads nothing and never faults, whatever the address; SSE, which
        // it belongs to, is part of every x86_64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

#[inline(always)]
fn hint_once(place: *const u8) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_NTA, _mm_prefetch};
        // SAFETY: as above.
        unsafe { _mm_prefetch::<_MM_HINT_NTA>(place.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}
