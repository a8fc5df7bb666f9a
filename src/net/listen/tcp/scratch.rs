//! Buffers that the connections of a worker use in turn.

use std::cell::RefCell;
use std::mem;

use crate::listen::pool::Exchanges;

/// Octets per read.
const READ: usize = 64 << 10;
/// Octets of encrypted input at most: more than the longest message of a handshake.
const CIPHER: usize = 160 << 10;
/// An output buffer that grew beyond this is freed.
const KEPT: usize = 256 << 10;

#[derive(Default)]
struct Scratch {
    read: Vec<u8>,
    output: Vec<u8>,
    batch: Exchanges,
    /// What is read and decrypted.
    cipher_read: Vec<u8>,
    /// What is encrypted and written.
    cipher: Vec<u8>,
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

/// Calls `use_it` with a buffer for encrypted octets, while the one of [`with_read_buffer`] is in use.
pub(super) fn with_cipher_buffer<T>(use_it: impl FnOnce(&mut [u8]) -> T) -> T {
    let mut buffer = SCRATCH.with_borrow_mut(|scratch| mem::take(&mut scratch.cipher_read));
    buffer.resize(CIPHER, 0);
    let result = use_it(&mut buffer);
    SCRATCH.with_borrow_mut(|scratch| scratch.cipher_read = buffer);
    result
}

/// The buffer to encrypt into, or an empty one while another connection has it.
pub(super) fn take_cipher() -> Vec<u8> {
    SCRATCH.with_borrow_mut(|scratch| mem::take(&mut scratch.cipher))
}

/// Returns that buffer.
pub(super) fn give_cipher(buffer: Vec<u8>) {
    if buffer.capacity() > 0 && buffer.capacity() <= KEPT {
        SCRATCH.with_borrow_mut(|scratch| scratch.cipher = buffer);
    }
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
