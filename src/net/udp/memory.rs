//! What the allocator and the system agree on: large pages, and memory that is given back.
//!
//! Large pages: every piece of memory is looked up in the processor's table of pages before it is
//! read, and that table is short. With thousands of server blocks each query reads other pages.

#![allow(unsafe_code, reason = "madvise and malloc_trim have no safe binding")]

use std::ops::Range;

/// A heap below this size stays as it is: rounded up to whole pages it would only grow.
const LARGE: usize = 16 << 20;
/// The size of a large page, where large pages are of any use.
const PAGE: usize = 2 << 20;

/// Asks the system to move the heap to large pages, if it is large. What is larger than a few pages has
/// mappings of its own (zones: they are prefetched and gain nothing) and stays where it is. To be called
/// where a configuration is complete and does not serve yet: moving takes a few milliseconds. Does
/// nothing where the system has no large pages, or keeps them to itself.
pub fn use_large_pages() {
    // Other systems have other ways, or none.
    #[cfg(target_os = "linux")]
    if let Ok(maps) = std::fs::read_to_string("/proc/self/maps")
        && let Some(range) = maps.lines().find_map(large)
    {
        let (start, len) = (range.start as *mut libc::c_void, range.len());
        // SAFETY: neither advice changes what the memory holds, nor whether it may be read or
        // written; if it is not mapped any more the call fails.
        unsafe {
            if libc::madvise(start, len, libc::MADV_HUGEPAGE) == 0 {
                // Linux before 6.1 does not know this one, and does the same bit by bit later.
                libc::madvise(start, len, libc::MADV_COLLAPSE);
            }
        }
    }
}

/// Gives memory that the allocator keeps for later back to the system. Takes milliseconds if that is
/// much, and who allocates meanwhile may wait for it. Does nothing where the allocator does so by
/// itself.
pub fn give_memory_back() {
    // SAFETY: it takes no memory that is in use, and may be called at any time from any thread.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// The large pages that fit into the heap, if this line of `/proc/self/maps` is about it and it is large.
fn large(line: &str) -> Option<Range<usize>> {
    // `55d0c0a00000-55d0c2800000 rw-p 00000000 00:00 0    [heap]`
    let addresses = line.strip_suffix("[heap]")?.split(' ').next()?;
    let (start, end) = addresses.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    let (start, end) = (address(start)?.next_multiple_of(PAGE), address(end)? / PAGE * PAGE);
    (end.checked_sub(start)? >= LARGE).then_some(start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_large_heap_is_moved() {
        for (line, expected) in [
            (
                "55d0c0a01000-55d0c2801000 rw-p 00000000 00:00 0                          [heap]",
                Some(0x55d0_c0c0_0000..0x55d0_c280_0000),
            ),
            (
                "55d0c0a00000-55d0c1900000 rw-p 00000000 00:00 0                          [heap]",
                None,
            ),
            ("7f1000000000-7f1002000000 rw-p 00000000 00:00 0", None),
            ("7ffc00000000-7ffc02000000 rw-p 00000000 00:00 0    [stack]", None),
            ("[heap]", None),
        ] {
            assert_eq!(large(line), expected, "{line}");
        }
    }

    #[test]
    fn what_is_moved_stays_what_it_is() {
        // Small pieces, since large ones do not come from the heap.
        let much: Vec<Box<[usize; 64]>> = (0..1 << 16).map(|at| Box::new([at; 64])).collect();
        use_large_pages();
        assert!(much.iter().enumerate().all(|(at, piece)| **piece == [at; 64]));
    }
}
