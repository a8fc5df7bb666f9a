//! The memory of the process: huge pages, code that is not needed any more, and freed memory.
//!
//! The processor translates every access with its TLB, which has few entries. With thousands of server
//! blocks each query reads other pages, so huge pages pay.

#![allow(unsafe_code, reason = "madvise and malloc_trim have no safe binding")]

use std::ops::Range;

/// A smaller heap stays as it is: rounded up to whole huge pages it would only grow.
const LARGE: usize = 16 << 20;
/// Octets of a huge page.
const PAGE: usize = 2 << 20;

/// Moves the heap to huge pages, if it is large. Zones have mappings of their own and stay where they
/// are: they are prefetched and gain nothing. The move takes a few milliseconds, so call this when a
/// configuration is complete and does not serve yet. Without huge pages in the system it does nothing.
pub fn use_huge_pages() {
    // Other systems have other ways, or none.
    #[cfg(target_os = "linux")]
    if let Ok(maps) = std::fs::read_to_string("/proc/self/maps")
        && let Some(range) = maps.lines().find_map(large)
    {
        let (start, len) = (range.start as *mut libc::c_void, range.len());
        // SAFETY: neither advice changes the content of the memory or the access to it; if it is not
        // mapped any more, the call fails.
        unsafe {
            if libc::madvise(start, len, libc::MADV_HUGEPAGE) == 0 {
                // Linux before 6.1 does not know this one, and does the same bit by bit later.
                libc::madvise(start, len, libc::MADV_COLLAPSE);
            }
        }
    }
}

/// Drops the program's code from its page tables. The first queries bring back the code that serving
/// needs, from the page cache. The code that only the start needed, a few megabytes, stays out of
/// memory. Call it when a configuration serves. A debugger must set its breakpoints again.
pub fn release_code() {
    #[cfg(target_os = "linux")]
    if let Ok(maps) = std::fs::read_to_string("/proc/self/maps") {
        for code in maps.lines().filter_map(code) {
            // SAFETY: code is mapped from files, privately, and is never written: a page that is dropped
            // is read from the same file again at the next access.
            unsafe {
                libc::madvise(code.start as *mut libc::c_void, code.len(), libc::MADV_DONTNEED);
            }
        }
    }
}

/// The range of a mapping, if this line of `/proc/self/maps` describes code from a file.
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

/// Returns freed memory to the system (malloc_trim). It takes milliseconds if there is much, and other
/// threads that allocate meanwhile may wait. Allocators without this call do it on their own.
pub fn trim_heap() {
    // SAFETY: it takes no memory that is in use, and may be called at any time from any thread.
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// The huge pages within the heap, if this line of `/proc/self/maps` describes a large one.
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
    fn only_code_of_files_is_released() {
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
        release_code();
        assert_eq!(code(""), None, "the code runs on");
    }

    #[test]
    fn moved_memory_keeps_its_content() {
        // Small pieces, since large ones do not come from the heap.
        let heap: Vec<Box<[usize; 64]>> = (0..1 << 16).map(|at| Box::new([at; 64])).collect();
        use_huge_pages();
        assert!(heap.iter().enumerate().all(|(at, piece)| **piece == [at; 64]));
    }
}
