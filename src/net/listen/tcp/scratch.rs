//! Buffers that the connections of a worker use in turn.

use std::cell::RefCell;
use std::mem;

use crate::listen::pool::Exchanges;

/// Octets per read.
const READ: usize = 64 << 10;
/// An output buffer that grew beyond this is freed.
const KEPT: usize = 256 << 10;

#[derive(Default)]
struct Scratch {
    read: Vec<u8>,
    output: Vec<u8>,
    batch: Exchanges,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

/// Calls `use_it` with a buffer to read into.
pub(super) fn with_read_buffer<T>(use_it: impl FnOnce(&mut [u8]) -> T) -> T {
    let mut buffer = SCRATCH.with_borrow_mut(|scratch| mem::take(&mut scratch.read));
    buffer.resize(READ, 0);
    let result = use_it(&mut buffer);
    SCRATCH.with_borrow_mut(|scratch| scratch.read = buffer);
    result
}

/// Calls `use_it` with an empty batch, which it leaves empty.
pub(super) fn with_batch<T>(use_it: impl FnOnce(&mut Exchanges) -> T) -> T {
    let mut batch = SCRATCH.with_borrow_mut(|scratch| mem::take(&mut scratch.batch));
    let result = use_it(&mut batch);
    SCRATCH.with_borrow_mut(|scratch| scratch.batch = batch);
    result
}

/// The output buffer, or an empty one while another connection has it.
pub(super) fn take_output() -> Vec<u8> {
    SCRATCH.with_borrow_mut(|scratch| mem::take(&mut scratch.output))
}

/// Returns the output buffer.
pub(super) fn give_output(buffer: Vec<u8>) {
    if buffer.capacity() <= KEPT {
        SCRATCH.with_borrow_mut(|scratch| scratch.output = buffer);
    }
}
