//! Datagrams of connected sockets, many in one system call.

#![allow(unsafe_code, reason = "recvmmsg, sendmmsg and control messages have no safe binding")]

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::MAX_DATAGRAM;

/// Datagrams per system call: few are in flight on one socket.
pub const TOGETHER: usize = 16;

/// Buffers for the datagrams of one recvmmsg.
#[derive(Default)]
pub struct Inbound {
    buffers: [Vec<u8>; TOGETHER],
    received: usize,
}

impl Inbound {
    /// Receives the datagrams in the socket, in place of the previous ones. Returns whether there may
    /// be more.
    ///
    /// # Errors
    /// `WouldBlock` if there are none; else the error of the socket.
    pub fn receive(&mut self, fd: BorrowedFd<'_>) -> io::Result<bool> {
        self.received = 0;
        // SAFETY: null pointers and zero lengths are valid values of these C structs.
        let mut iov: [libc::iovec; TOGETHER] = unsafe { mem::zeroed() };
        // SAFETY: as above.
        let mut headers: [libc::mmsghdr; TOGETHER] = unsafe { mem::zeroed() };
        for ((buffer, iov), header) in self.buffers.iter_mut().zip(&mut iov).zip(&mut headers) {
            buffer.clear();
            buffer.reserve(MAX_DATAGRAM);
            iov.iov_base = buffer.as_mut_ptr().cast();
            iov.iov_len = MAX_DATAGRAM;
            header.msg_hdr.msg_iov = iov;
            header.msg_hdr.msg_iovlen = 1;
        }
        // SAFETY: each header points to the spare capacity of a buffer, MAX_DATAGRAM bytes, and to
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
            unsafe { buffer.set_len((header.msg_len as usize).min(MAX_DATAGRAM)) };
        }
        self.received = received;
        Ok(received == TOGETHER)
    }

    /// The datagrams that were received last.
    pub fn datagrams(&self) -> impl Iterator<Item = &[u8]> {
        self.buffers[..self.received].iter().map(Vec::as_slice)
    }
}

/// Datagrams to be sent, in one buffer.
#[derive(Default)]
pub struct Outbound {
    bytes: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<usize>,
    /// How many of them were sent.
    sent: usize,
}

impl Outbound {
    /// How many there are, sent or not.
    #[expect(clippy::len_without_is_empty, reason = "`is_done` is the question")]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether all were sent.
    pub fn is_done(&self) -> bool {
        self.sent == self.ends.len()
    }

    /// Adds a datagram.
    pub fn push(&mut self, message: &[u8]) {
        self.bytes.extend_from_slice(message);
        self.ends.push(self.bytes.len());
    }

    /// Removes all datagrams.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.sent = 0;
    }

    /// Sends datagrams that were not sent yet, as many as one system call takes.
    ///
    /// # Errors
    /// `WouldBlock` if the send buffer is full; else the error of the socket, such as an ICMP error
    /// that an earlier datagram caused.
    pub fn send(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        // SAFETY: null pointers and zero lengths are valid values of these C structs.
        let mut iov: [libc::iovec; TOGETHER] = unsafe { mem::zeroed() };
        // SAFETY: as above.
        let mut headers: [libc::mmsghdr; TOGETHER] = unsafe { mem::zeroed() };
        let mut cuts = [Cut::NONE; TOGETHER];
        // How many messages each header has.
        let mut runs = [0; TOGETHER];
        let cutting = Cut::works();
        let (mut next, mut count) = (self.sent, 0);
        while next < self.ends.len() && count < TOGETHER {
            let run = if cutting { self.run(next) } else { 1 };
            let (start, end) = (self.start(next), self.ends[next + run - 1]);
            let bytes = &self.bytes[start..end];
            iov[count].iov_base = bytes.as_ptr().cast_mut().cast();
            iov[count].iov_len = bytes.len();
            let header = &mut headers[count].msg_hdr;
            header.msg_iov = &raw mut iov[count];
            header.msg_iovlen = 1;
            if run > 1 {
                cuts[count] = Cut::every(self.ends[next] - start);
                header.msg_control = (&raw mut cuts[count]).cast();
                header.msg_controllen = size_of::<Cut>() as _;
            }
            runs[count] = run;
            next += run;
            count += 1;
        }
        // SAFETY: the first `count` headers point to messages and control messages that stay where
        // they are until the call returns; the system only reads them.
        let sent = unsafe {
            libc::sendmmsg(
                fd.as_raw_fd(),
                headers.as_mut_ptr(),
                count as _,
                libc::MSG_DONTWAIT as _,
            )
        };
        match usize::try_from(sent) {
            Ok(sent) => self.sent += runs[..sent].iter().sum::<usize>(),
            Err(_) => {
                let error = io::Error::last_os_error();
                if runs[0] == 1 || !Cut::is_refused(&error) {
                    return Err(error);
                }
                Cut::fails();
            }
        }
        Ok(())
    }

    fn start(&self, message: usize) -> usize {
        message.checked_sub(1).map_or(0, |before| self.ends[before])
    }

    /// How many messages from this one on are of one length; the last may be shorter.
    fn run(&self, first: usize) -> usize {
        let length = |message: usize| self.ends[message] - self.start(message);
        let whole = length(first);
        if whole > Cut::MOST {
            return 1;
        }
        let same = (first..self.ends.len().min(first + TOGETHER))
            .take_while(|&message| length(message) == whole)
            .count();
        let last = first + same;
        let shorter = same < TOGETHER && last < self.ends.len() && length(last) < whole;
        same + usize::from(shorter)
    }
}

/// A control message that makes the kernel cut a buffer into datagrams of one length (UDP_SEGMENT).
///
/// The datagrams of one buffer pass through the network stack together. Queries of one length are
/// common under load: a flood of random names under one zone.
#[derive(Clone, Copy)]
#[repr(C)]
struct Cut {
    header: libc::cmsghdr,
    length: u16,
}

/// Whether the system once said that it does not cut.
static REFUSED: AtomicBool = AtomicBool::new(false);

impl Cut {
    /// Longer messages go alone: they may not fit the path.
    const MOST: usize = 1200;
    /// Linux's number; its kernels know it since 4.18.
    const UDP_SEGMENT: libc::c_int = 103;
    const NONE: Self = Self::every(0);

    const fn every(length: usize) -> Self {
        // SAFETY: zero is a valid value of every field.
        let mut cut: Self = unsafe { mem::zeroed() };
        cut.header.cmsg_level = libc::SOL_UDP;
        cut.header.cmsg_type = Self::UDP_SEGMENT;
        // SAFETY: it computes a length.
        cut.header.cmsg_len = unsafe { libc::CMSG_LEN(size_of::<u16>() as libc::c_uint) } as _;
        cut.length = length as u16;
        cut
    }

    fn works() -> bool {
        cfg!(target_os = "linux") && !REFUSED.load(Ordering::Relaxed)
    }

    fn fails() {
        REFUSED.store(true, Ordering::Relaxed);
    }

    /// Whether this is how systems and devices say that they cannot.
    fn is_refused(error: &io::Error) -> bool {
        matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL | libc::EOPNOTSUPP))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    #[test]
    fn messages_of_all_lengths_arrive_as_they_left() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        sender.connect(receiver.local_addr().unwrap()).unwrap();
        let alike = [40; TOGETHER + 3];
        let lengths = [&[30, 30, 30, 20, 50, 1300, 1300, 7, 9, 9, 1200, 1200, 1][..], &alike];
        let mut out = Outbound::default();
        for (number, &length) in lengths.concat().iter().enumerate() {
            out.push(&vec![number as u8; length]);
        }
        assert_eq!((out.run(0), out.run(1), out.run(3), out.run(4)), (4, 3, 1, 1));
        assert_eq!((out.run(5), out.run(8), out.run(10), out.run(13)), (1, 2, 3, TOGETHER));
        let mut calls = 0;
        while !out.is_done() {
            out.send(sender.as_fd()).unwrap();
            calls += 1;
        }
        assert!(calls <= 2, "{calls}");
        let mut buffer = [0; 2000];
        for (number, &length) in lengths.concat().iter().enumerate() {
            let received = receiver.recv(&mut buffer).unwrap();
            assert_eq!(buffer[..received], vec![number as u8; length]);
        }
        out.clear();
        assert!(out.is_done() && out.len() == 0);
    }
}
