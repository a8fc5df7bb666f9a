//! A thread cache in front of the system's allocator: each worker reuses the blocks that it freed.
//!
//! Waiting queries come and go in batches, each with a dozen allocations. glibc caches seven free
//! blocks of a size; with the eighth its slow path begins, and for blocks over a kilobyte it begins
//! with the first. That was a sixth of the cost of a forwarded query.
//!
//! Every block comes from the system's allocator, in a size to which that rounds up anyway. Any thread
//! may therefore free it.

#![allow(unsafe_code, reason = "an allocator deals in raw memory")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};
use std::marker::PhantomData;
use std::ptr;

/// Size classes. Larger blocks are rare, or their owners reuse them.
const CLASSES: usize = 129;
/// Octets from one class to the next.
const STEP: usize = 16;
/// Octets of a block that Linux allocators use themselves.
const HEAD: usize = 8;
/// Blocks with a larger alignment are not cached.
const ALIGN: usize = 16;
/// Blocks of one class that a thread caches at most, and their octets.
const MAX_BLOCKS: u32 = 256;
const MAX_OCTETS: usize = 256 << 10;

/// The system's allocator with a bounded cache on each worker. For `#[global_allocator]`.
#[derive(Debug, Default)]
pub struct Allocator;

/// Free blocks of one class, each of which begins with the address of the next.
#[derive(Clone, Copy)]
struct FreeList {
    first: *mut Link,
    count: u32,
}

struct Link {
    next: *mut Self,
}

thread_local! {
    /// Whether this thread caches blocks. A thread that ended would leak them.
    static CACHES: Cell<bool> = const { Cell::new(false) };
    static FREE_LISTS: UnsafeCell<[FreeList; CLASSES]> =
        const { UnsafeCell::new([FreeList { first: ptr::null_mut(), count: 0 }; CLASSES]) };
}

/// Makes this thread cache the blocks that it frees, until the guard is dropped.
pub fn cache_freed_memory() -> ThreadCache {
    CACHES.set(true);
    ThreadCache { _local: PhantomData }
}

/// Returns the thread's cached blocks to the system's allocator when dropped.
#[derive(Debug)]
pub struct ThreadCache {
    /// It belongs to its thread.
    _local: PhantomData<*const ()>,
}

impl Drop for ThreadCache {
    fn drop(&mut self) {
        CACHES.set(false);
        for class in 1..CLASSES {
            while let Some(block) = take(class) {
                // SAFETY: it came from the system's allocator, with this layout.
                unsafe { System.dealloc(block, layout_of(class)) };
            }
        }
    }
}

/// The class of a block, if its kind is cached.
#[inline]
fn class(layout: Layout) -> Option<usize> {
    // The smallest block of the system's allocator is as large as the first class.
    let class = layout.size().saturating_add(STEP - 1 - HEAD) / STEP;
    (class < CLASSES && layout.align() <= ALIGN).then_some(class.max(1))
}

/// The layout that the system's allocator gets for a block of this class.
#[inline]
fn layout_of(class: usize) -> Layout {
    // SAFETY: the alignment is a power of two, and the size is at most a few kilobytes.
    unsafe { Layout::from_size_align_unchecked(class * STEP + HEAD, ALIGN) }
}

/// Takes a block from the cache.
#[inline]
fn take(class: usize) -> Option<*mut u8> {
    FREE_LISTS.with(|lists| {
        // SAFETY: the lists belong to this thread, and nothing in here or in `put` calls either
        // function again; `class` is below CLASSES wherever it is made.
        let list = unsafe { &mut (&mut *lists.get())[class] };
        let block = list.first;
        if block.is_null() {
            return None;
        }
        // SAFETY: `put` wrote the link, and nothing has owned the block since.
        list.first = unsafe { (*block).next };
        list.count -= 1;
        Some(block.cast())
    })
}

/// Caches a block, if there is room.
///
/// # Safety
/// The block is of this class, and nothing uses it any more.
#[inline]
unsafe fn put(class: usize, block: *mut u8) -> bool {
    if !CACHES.get() {
        return false;
    }
    FREE_LISTS.with(|lists| {
        // SAFETY: as in `take`.
        let list = unsafe { &mut (&mut *lists.get())[class] };
        if list.count >= MAX_BLOCKS || list.count as usize * class * STEP >= MAX_OCTETS {
            return false;
        }
        let link = block.cast::<Link>();
        // SAFETY: every block is larger than a link, and aligned for one.
        unsafe { link.write(Link { next: list.first }) };
        *list = FreeList { first: link, count: list.count + 1 };
        true
    })
}

// SAFETY: all blocks come from the system's allocator, and go back to it with the layout they were asked
// for with: `layout_of` their class if they have one, else their own. A block on a list has no other
// owner until it is taken.
unsafe impl GlobalAlloc for Allocator {
    #[inline]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match class(layout) {
            Some(class) => take(class).unwrap_or_else(|| {
                // SAFETY: the size is not zero.
                unsafe { System.alloc(layout_of(class)) }
            }),
            // SAFETY: the caller's promise is the same.
            None => unsafe { System.alloc(layout) },
        }
    }

    #[inline]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match class(layout) {
            Some(class) => {
                // SAFETY: it was allocated with this layout, so it is of this class.
                if !unsafe { put(class, block) } {
                    // SAFETY: `alloc` asked for it with this layout.
                    unsafe { System.dealloc(block, layout_of(class)) };
                }
            }
            // SAFETY: the caller's promise is the same.
            None => unsafe { System.dealloc(block, layout) },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if class(layout).is_none() {
            // SAFETY: the caller's promise is the same.
            return unsafe { System.alloc_zeroed(layout) };
        }
        // SAFETY: as above.
        let block = unsafe { self.alloc(layout) };
        if !block.is_null() {
            // SAFETY: it has this many octets.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that the size, rounded up, is no more than isize::MAX.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (class(layout), class(wanted)) {
            // SAFETY: the caller's promise is the same.
            (None, None) => unsafe { System.realloc(block, layout, size) },
            (Some(old), Some(new)) if old == new => block,
            _ => {
                // SAFETY: the size is not zero, as the caller promises.
                let moved = unsafe { self.alloc(wanted) };
                if !moved.is_null() {
                    // SAFETY: both have the octets of the smaller one, and are two blocks.
                    unsafe {
                        ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
                        self.dealloc(block, layout);
                    }
                }
                moved
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block of memory with a pattern in it.
    struct Block {
        at: *mut u8,
        layout: Layout,
        mark: u8,
    }

    impl Block {
        fn new(size: usize, align: usize, mark: u8) -> Self {
            let layout = Layout::from_size_align(size, align).unwrap();
            // SAFETY: the size is not zero.
            let at = unsafe { Allocator.alloc(layout) };
            assert!(!at.is_null() && at.addr().is_multiple_of(align));
            // SAFETY: it is as large as that.
            unsafe { at.write_bytes(mark, size) };
            Self { at, layout, mark }
        }

        fn holds(&self, octets: usize) -> bool {
            // SAFETY: `new` wrote to all of it, and `resized` keeps as much as both have.
            let bytes = unsafe { std::slice::from_raw_parts(self.at, octets) };
            bytes.iter().all(|&byte| byte == self.mark)
        }

        fn resized(self, size: usize) -> Self {
            let (layout, mark) = (self.layout, self.mark);
            // SAFETY: it was allocated with this layout, and is not used any more.
            let at = unsafe { Allocator.realloc(self.at, layout, size) };
            std::mem::forget(self);
            let layout = Layout::from_size_align(size, layout.align()).unwrap();
            Self { at, layout, mark }
        }
    }

    impl Drop for Block {
        fn drop(&mut self) {
            // SAFETY: it was allocated with this layout, and nobody uses it after this.
            unsafe { Allocator.dealloc(self.at, self.layout) };
        }
    }

    fn cached(class: usize) -> u32 {
        // SAFETY: only this thread has the lists, and nothing else looks at them meanwhile.
        FREE_LISTS.with(|lists| unsafe { (&*lists.get())[class].count })
    }

    /// Blocks of a round: fewer where miri interprets each access.
    const BLOCKS: usize = if cfg!(miri) { 60 } else { 400 };
    /// A block that glibc maps by itself.
    const LARGEST: usize = if cfg!(miri) { 6_000 } else { 300_000 };
    const SIZES: [usize; 14] =
        [1, 8, 24, 25, 40, 41, 200, 1000, 1040, 2055, 2056, 2057, 5000, LARGEST];

    #[test]
    fn pieces_hold_what_is_put_into_them() {
        for keeps in [true, false] {
            let cache = keeps.then(cache_freed_memory);
            for round in 0..3 {
                let mut blocks = Vec::new();
                for (mark, size) in SIZES.iter().cycle().take(BLOCKS).enumerate() {
                    let align = [1, 8, 16, 64][mark % 4];
                    blocks.push(Block::new(*size, align, (mark + round) as u8));
                }
                assert!(blocks.iter().all(|block| block.holds(block.layout.size())));
                for (at, block) in blocks.into_iter().enumerate() {
                    let (was, size) = (block.layout.size(), SIZES[at * 5 % SIZES.len()]);
                    assert!(block.resized(size).holds(was.min(size)));
                }
            }
            drop(cache);
            assert!((1..CLASSES).all(|class| cached(class) == 0));
        }
    }

    #[test]
    fn what_was_kept_is_taken_again_and_bounded() {
        let _cache = cache_freed_memory();
        let first = Block::new(100, 8, 1).at;
        let again = Block::new(104, 1, 2);
        assert_eq!(again.at, first, "as large in the end");
        let layout = Layout::from_size_align(600, 8).unwrap();
        drop(Block::new(600, 8, 3));
        // SAFETY: the size is not zero; it is given back with the same layout.
        unsafe {
            let zeroed = Allocator.alloc_zeroed(layout);
            assert!(std::slice::from_raw_parts(zeroed, 600).iter().all(|&byte| byte == 0));
            Allocator.dealloc(zeroed, layout);
        }
        for (size, most) in [(24, MAX_BLOCKS), (2056, 128)] {
            drop((0..1000).map(|_| Block::new(size, 8, 4)).collect::<Vec<_>>());
            let layout = Layout::from_size_align(size, 8).unwrap();
            assert_eq!(cached(class(layout).unwrap()), most);
        }
        let other = std::thread::spawn(|| drop(Block::new(24, 8, 5)));
        other.join().unwrap();
    }
}
