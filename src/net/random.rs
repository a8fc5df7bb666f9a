//! Random numbers from the system, taken in stock: not a system call for each query.

use std::cell::RefCell;
use std::io;

use ring::rand::{SecureRandom, SystemRandom};

/// Bytes fetched at once.
const STOCK: usize = 1024;

struct Stock {
    bytes: [u8; STOCK],
    used: usize,
}

thread_local! {
    // Each worker is a thread of its own: no lock, and no two of them get the same bytes.
    static SYSTEM: RefCell<Stock> = const { RefCell::new(Stock { bytes: [0; STOCK], used: STOCK }) };
}

/// `N` bytes that nobody can guess and that are handed out once.
///
/// # Errors
/// The system has no random numbers, so nothing may be asked.
pub fn bytes<const N: usize>() -> io::Result<[u8; N]> {
    const { assert!(N <= STOCK) };
    SYSTEM.with_borrow_mut(|stock| {
        if stock.used + N > STOCK {
            SystemRandom::new()
                .fill(&mut stock.bytes)
                .map_err(|_| io::Error::other("the system has no random numbers"))?;
            stock.used = 0;
        }
        let mut taken = [0; N];
        let from = &mut stock.bytes[stock.used..stock.used + N];
        taken.copy_from_slice(from);
        // What was handed out does not lie about in memory.
        from.fill(0);
        stock.used += N;
        Ok(taken)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_spread_and_not_repeated() {
        let mut counts = [0u32; 16];
        for _ in 0..16_000 {
            counts[usize::from(u16::from_le_bytes(bytes().unwrap()) >> 12)] += 1;
        }
        assert!(counts.iter().all(|count| (800..1200).contains(count)), "{counts:?}");
        assert_ne!(bytes::<32>().unwrap(), bytes::<32>().unwrap());
    }
}
