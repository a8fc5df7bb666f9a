//! Agreements between the allocator and the system: huge pages, and returned memory.
//!
//! Every memory access is translated with the processor's page table cache (TLB), which has few
//! entries. With thousands of server blocks each query reads other pages, so huge pages pay.

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

/// Lets go of the program's code in memory: what serving needs of it comes back with the first queries,
/// from the system's cache; what only starting needed, a few megabytes, does not. To be called where a
/// configuration serves. A debugger must set its breakpoints again.
pub fn forget_start() {
    #[cfg(target_os = "linux")]
    if let Ok(maps) = std::fs::read_to_string("/proc/self/maps") {
        for code in maps.lines().filter_map(code) {
            // SAFETY: code is mapped from files, privately, and nobody writes to it: what is dropped is read
            // from the same file again when it is needed next.
            unsafe {
                libc::madvise(code.start as *mut libc::c_void, code.len(), libc::MADV_DONTNEED);
            }
        }
    }
}

/// The place of code that comes from a file, if this line of `/proc/self/maps` is about such.
fn code(line: &str) -> Option<Range<usize>> {
    // `564d9337d000-564d93382000 r-xp 00002000 fe:00 247026   /usr/bin/cat`
    let mut words = line.split_whitespace();
    let (addresses, access) = (words.next()?, words.next()?);
    let file = words.nth(2)? != "0";
    (access == "r-xp" && file).then(|| addresses_of(addresses))?
}

fn addresses_of(range: &str) -> Option<Range<usize>> {
    let (start, end) = range.split_once('-')?;
    let address = |text| usize::from_str_radix(text, 16).ok();
    Some(address(start)?..address(end)?)
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
    let Range { start, end } = addresses_of(line.strip_suffix("[heap]")?.split(' ').next()?)?;
    let (start, end) = (start.next_multiple_of(PAGE), end / PAGE * PAGE);
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
    fn only_code_of_files_is_let_go() {
        for (line, expected) in [
            (
                "564d9337d000-564d93382000 r-xp 00002000 fe:00 247026       /usr/bin/cat",
                Some(0x564d_9337_d000..0x564d_9338_2000),
            ),
            ("564d93382000-564d93385000 r--p 00007000 fe:00 247026       /usr/bin/cat", None),
            ("7fff5d9f2000-7fff5d9f4000 r-xp 00000000 00:00 0            [vdso]", None),
            ("7f1000000000-7f1002000000 rwxp 00002000 fe:00 247026       /tmp/strange", None),
            ("", None),
        ] {
            assert_eq!(code(line), expected, "{line}");
        }
        forget_start();
        assert_eq!(code(""), None, "and it goes on");
    }

    #[test]
    fn what_is_moved_stays_what_it_is() {
        // Small pieces, since large ones do not come from the heap.
        let much: Vec<Box<[usize; 64]>> = (0..1 << 16).map(|at| Box::new([at; 64])).collect();
        use_large_pages();
        assert!(much.iter().enumerate().all(|(at, piece)| **piece == [at; 64]));
    }
}
