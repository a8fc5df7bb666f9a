//! An allocator in front of the system's: each worker keeps the memory that it freed, and reuses it.
//!
//! Waiting queries come and go in batches, each with a dozen allocations. glibc caches seven free
//! blocks of a size; with the eighth its slow path begins, and for blocks over a kilobyte it begins
//! with the first. That was a sixth of the cost of a forwarded query.
//!
//! Every block is the system allocator's own, of a size to which it would round up anyway, so any
//! thread may free it.

#![allow(unsafe_code, reason = "an allocator deals in raw memory")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::{Cell, UnsafeCell};
use std::ptr;

/// Pieces up to the last class's size are kept; larger ones are rare, or kept by whoever needs them.
const CLASSES: usize = 129;
/// Between one class and the next.
const STEP: usize = 16;
/// What the allocators of Linux need of a piece for themselves.
const HEAD: usize = 8;
/// A larger alignment is the system's business.
const ALIGN: usize = 16;
/// Pieces of a class that a worker keeps at most, and their octets.
const MOST: u32 = 256;
const MOST_OCTETS: usize = 256 << 10;

/// The system's allocator with a little memory at hand on each worker. For `#[global_allocator]`.
#[derive(Debug, Default)]
pub struct Allocator;

/// Pieces of one size, each of which begins with the address of the next.
#[derive(Clone, Copy)]
struct Shelf {
    first: *mut Link,
    count: u32,
}

struct Link {
    next: *mut Self,
}

thread_local! {
    /// Whether this thread keeps anything: other threads end, and would take it with them.
    static KEEPS: Cell<bool> = const { Cell::new(false) };
    static SHELVES: UnsafeCell<[Shelf; CLASSES]> =
        const { UnsafeCell::new([Shelf { first: ptr::null_mut(), count: 0 }; CLASSES]) };
}

/// Makes this thread keep memory at hand until the guard is dropped.
pub(crate) fn keep_at_hand() -> AtHand {
    KEEPS.set(true);
    AtHand
}

/// Gives all back when dropped.
pub(crate) struct AtHand;

impl Drop for AtHand {
    fn drop(&mut self) {
        KEEPS.set(false);
        for class in 1..CLASSES {
            while let Some(piece) = take(class) {
                // SAFETY: it came from the system's allocator, with this layout.
                unsafe { System.dealloc(piece, layout_of(class)) };
            }
        }
    }
}

/// The class of a piece, if it is one to keep.
#[inline]
fn class(layout: Layout) -> Option<usize> {
    // No piece is smaller than the first class: the system's allocators have none, either.
    let class = layout.size().saturating_add(STEP - 1 - HEAD) / STEP;
    (class < CLASSES && layout.align() <= ALIGN).then_some(class.max(1))
}

/// What is asked of the system for a piece of this class.
#[inline]
fn layout_of(class: usize) -> Layout {
    // SAFETY: the alignment is a power of two, and the size is at most a few kilobytes.
    unsafe { Layout::from_size_align_unchecked(class * STEP + HEAD, ALIGN) }
}

/// A piece that was kept.
#[inline]
fn take(class: usize) -> Option<*mut u8> {
    SHELVES.with(|shelves| {
        // SAFETY: only this thread has the shelves, and nothing in here or in `put` comes back to
        // them; `class` is below CLASSES wherever it is made.
        let shelf = unsafe { &mut (&mut *shelves.get())[class] };
        let piece = shelf.first;
        if piece.is_null() {
            return None;
        }
        // SAFETY: `put` wrote the link, and the piece has been nobody's since.
        shelf.first = unsafe { (*piece).next };
        shelf.count -= 1;
        Some(piece.cast())
    })
}

/// Keeps a piece, if there is room.
///
/// # Safety
/// The piece is of this class, and nobody's any more.
#[inline]
unsafe fn put(class: usize, piece: *mut u8) -> bool {
    if !KEEPS.get() {
        return false;
    }
    SHELVES.with(|shelves| {
        // SAFETY: as in `take`.
        let shelf = unsafe { &mut (&mut *shelves.get())[class] };
        if shelf.count >= MOST || shelf.count as usize * class * STEP >= MOST_OCTETS {
            return false;
        }
        let link = piece.cast::<Link>();
        // SAFETY: every piece is larger than a link, and aligned for one.
        unsafe { link.write(Link { next: shelf.first }) };
        *shelf = Shelf { first: link, count: shelf.count + 1 };
        true
    })
}

// SAFETY: all pieces are the system allocator's, and go back to it with the layout they were asked
// for with: `layout_of` their class if they have one, else their own. A piece on a shelf is nobody's
// until it is taken down.
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
    unsafe fn dealloc(&self, piece: *mut u8, layout: Layout) {
        match class(layout) {
            Some(class) => {
                // SAFETY: it was allocated with this layout, so it is of this class.
                if !unsafe { put(class, piece) } {
                    // SAFETY: `alloc` asked for it with this layout.
                    unsafe { System.dealloc(piece, layout_of(class)) };
                }
            }
            // SAFETY: the caller's promise is the same.
            None => unsafe { System.dealloc(piece, layout) },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if class(layout).is_none() {
            // SAFETY: the caller's promise is the same.
            return unsafe { System.alloc_zeroed(layout) };
        }
        // SAFETY: as above.
        let piece = unsafe { self.alloc(layout) };
        if !piece.is_null() {
            // SAFETY: it has this many octets.
            unsafe { piece.write_bytes(0, layout.size()) };
        }
        piece
    }

    unsafe fn realloc(&self, piece: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that the size, rounded up, is no more than isize::MAX.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (class(layout), class(wanted)) {
            // SAFETY: the caller's promise is the same.
            (None, None) => unsafe { System.realloc(piece, layout, size) },
            (Some(old), Some(new)) if old == new => piece,
            _ => {
                // SAFETY: the size is not zero, as the caller promises.
                let moved = unsafe { self.alloc(wanted) };
                if !moved.is_null() {
                    // SAFETY: both have the octets of the smaller one, and are two pieces.
                    unsafe {
                        ptr::copy_nonoverlapping(piece, moved, layout.size().min(size));
                        self.dealloc(piece, layout);
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

    /// A piece of memory with a pattern in it.
    struct Piece {
        at: *mut u8,
        layout: Layout,
        mark: u8,
    }

    impl Piece {
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

    impl Drop for Piece {
        fn drop(&mut self) {
            // SAFETY: it was allocated with this layout, and nobody uses it after this.
            unsafe { Allocator.dealloc(self.at, self.layout) };
        }
    }

    fn on_the_shelf(class: usize) -> u32 {
        // SAFETY: only this thread has the shelves, and nothing else looks at them meanwhile.
        SHELVES.with(|shelves| unsafe { (&*shelves.get())[class].count })
    }

    const SIZES: [usize; 14] =
        [1, 8, 24, 25, 40, 41, 200, 1000, 1040, 2055, 2056, 2057, 5000, 300_000];

    #[test]
    fn pieces_hold_what_is_put_into_them() {
        for keeps in [true, false] {
            let at_hand = keeps.then(keep_at_hand);
            for round in 0..3 {
                let mut pieces = Vec::new();
                for (mark, size) in SIZES.iter().cycle().take(400).enumerate() {
                    let align = [1, 8, 16, 64][mark % 4];
                    pieces.push(Piece::new(*size, align, (mark + round) as u8));
                }
                assert!(pieces.iter().all(|piece| piece.holds(piece.layout.size())));
                for (at, piece) in pieces.into_iter().enumerate() {
                    let (was, size) = (piece.layout.size(), SIZES[at * 5 % SIZES.len()]);
                    assert!(piece.resized(size).holds(was.min(size)));
                }
            }
            drop(at_hand);
            assert!((1..CLASSES).all(|class| on_the_shelf(class) == 0));
        }
    }

    #[test]
    fn what_was_kept_is_taken_again_and_bounded() {
        let _at_hand = keep_at_hand();
        let first = Piece::new(100, 8, 1).at;
        let again = Piece::new(104, 1, 2);
        assert_eq!(again.at, first, "as large in the end");
        let layout = Layout::from_size_align(600, 8).unwrap();
        drop(Piece::new(600, 8, 3));
        // SAFETY: the size is not zero; it is given back with the same layout.
        unsafe {
            let zeroed = Allocator.alloc_zeroed(layout);
            assert!(std::slice::from_raw_parts(zeroed, 600).iter().all(|&byte| byte == 0));
            Allocator.dealloc(zeroed, layout);
        }
        for (size, most) in [(24, MOST), (2056, 128)] {
            drop((0..1000).map(|_| Piece::new(size, 8, 4)).collect::<Vec<_>>());
            let layout = Layout::from_size_align(size, 8).unwrap();
            assert_eq!(on_the_shelf(class(layout).unwrap()), most);
        }
        let other = std::thread::spawn(|| drop(Piece::new(24, 8, 5)));
        other.join().unwrap();
    }
}
