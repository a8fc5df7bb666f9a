//! A hint to the processor: these bytes will be read soon.
//!
//! The one place outside the socket code where `unsafe` pays: a batch of queries for a zone of a
//! million names is answered at the price of one of ten thousand, because the memory of all of them
//! is on its way before the first is looked at. A plain read instead of the hint stalls on each.
#![allow(unsafe_code, reason = "the prefetch instruction has no safe door; design.md section 3")]

/// Starts to fetch the cache line that `value` begins in.
#[inline(always)]
pub fn fetch<T>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let place: *const T = value;
        // SAFETY: the instruction reads nothing and never faults, whatever the address; SSE, which
        // it belongs to, is part of every x86_64.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}
