//! Datagrams of connected sockets: those to upstreams. Many in one system call.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use wire::MAX_MESSAGE;

/// Datagrams per system call: few are under way on one socket.
pub(crate) const TOGETHER: usize = 16;

/// Room for the datagrams of one recvmmsg.
pub(crate) struct Inbound {
    buffers: [Vec<u8>; TOGETHER],
    received: usize,
}

impl Inbound {
    pub(crate) fn new() -> Self {
        Self { buffers: [const { Vec::new() }; TOGETHER], received: 0 }
    }

    /// Receives what is there, in place of what was; whether there may be more.
    pub(crate) fn receive(&mut self, fd: BorrowedFd<'_>) -> io::Result<bool> {
        self.received = 0;
        // SAFETY: null pointers and zero lengths are valid values of these C structs.
        let mut iov: [libc::iovec; TOGETHER] = unsafe { mem::zeroed() };
        // SAFETY: as above.
        let mut headers: [libc::mmsghdr; TOGETHER] = unsafe { mem::zeroed() };
        for ((buffer, iov), header) in self.buffers.iter_mut().zip(&mut iov).zip(&mut headers) {
            buffer.clear();
            buffer.reserve(MAX_MESSAGE);
            iov.iov_base = buffer.as_mut_ptr().cast();
            iov.iov_len = MAX_MESSAGE;
            header.msg_hdr.msg_iov = iov;
            header.msg_hdr.msg_iovlen = 1;
        }
        // SAFETY: each header points to the spare capacity of a buffer, MAX_MESSAGE bytes, and to
        // nothing else; all of it outlives the call.
        let received = unsafe {
            libc::recvmmsg(
                fd.as_raw_fd(),
                headers.as_mut_ptr(),
                TOGETHER as _,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        let Ok(received) = usize::try_from(received) else {
            return Err(io::Error::last_os_error());
        };
        for (buffer, header) in self.buffers.iter_mut().zip(&headers).take(received) {
            // SAFETY: the kernel has written this many bytes, and that much was reserved.
            unsafe { buffer.set_len((header.msg_len as usize).min(MAX_MESSAGE)) };
        }
        self.received = received;
        Ok(received == TOGETHER)
    }

    /// What was received last.
    pub(crate) fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        self.buffers[..self.received].iter().map(Vec::as_slice)
    }
}

/// Datagrams to be sent, one behind the other.
#[derive(Default)]
pub(crate) struct Outbound {
    bytes: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
    /// How many of them were sent.
    sent: usize,
}

impl Outbound {
    /// How many there are, sent or not.
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether all were sent.
    pub(crate) fn is_done(&self) -> bool {
        self.sent == self.ends.len()
    }

    pub(crate) fn push(&mut self, message: &[u8]) {
        self.bytes.extend_from_slice(message);
        self.ends.push(self.bytes.len());
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.sent = 0;
    }

    /// Sends the first of those that were not sent, as many as the system takes at once.
    ///
    /// # Errors
    /// `WouldBlock` if the send buffer is full; else what the system says of the socket, such as
    /// that an earlier datagram found nobody.
    pub(crate) fn send(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        // SAFETY: null pointers and zero lengths are valid values of these C structs.
        let mut iov: [libc::iovec; TOGETHER] = unsafe { mem::zeroed() };
        // SAFETY: as above.
        let mut headers: [libc::mmsghdr; TOGETHER] = unsafe { mem::zeroed() };
        let mut start = self.sent.checked_sub(1).map_or(0, |last| self.ends[last]);
        let mut count = 0;
        for ((&end, iov), header) in self.ends[self.sent..].iter().zip(&mut iov).zip(&mut headers) {
            let message = &self.bytes[start..end];
            iov.iov_base = message.as_ptr().cast_mut().cast();
            iov.iov_len = message.len();
            header.msg_hdr.msg_iov = iov;
            header.msg_hdr.msg_iovlen = 1;
            start = end;
            count += 1;
        }
        // SAFETY: the first `count` headers point to messages that are borrowed until the call
        // returns; the system only reads them.
        let sent = unsafe {
            libc::sendmmsg(fd.as_raw_fd(), headers.as_mut_ptr(), count, libc::MSG_DONTWAIT as _)
        };
        self.sent += usize::try_from(sent).map_err(|_| io::Error::last_os_error())?;
        Ok(())
    }
}
