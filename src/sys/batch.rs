//! Datagrams of a listening socket, many in one system call (recvmmsg, sendmmsg).
//!
//! The kernel gets raw pointers. Those for sending are built and used within one call. Those for
//! receiving lead into buffers that [`Batch`] owns, and a buffer that was lent to the caller is
//! prepared again before the next call.

#![allow(unsafe_code, reason = "recvmmsg and sendmmsg have no safe binding")]

use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use crate::MAX_DATAGRAM;
use crate::address::{Control, SocketName, destination, set_source};

/// Datagrams per system call.
pub const BATCH: usize = 64;
/// Buffers of a batch until it was full once: an idle socket needs little memory.
const INITIAL: usize = 4;

fn zeroed_headers() -> Box<[libc::mmsghdr; BATCH]> {
    // SAFETY: null pointers and zero lengths are valid values of these C structs.
    Box::new(unsafe { mem::zeroed() })
}

fn zeroed_iov() -> Box<[libc::iovec; BATCH]> {
    // SAFETY: as above.
    Box::new(unsafe { mem::zeroed() })
}

/// The result of sending datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Datagrams sent.
    pub sent: usize,
    /// Datagrams that the kernel refused.
    pub dropped: usize,
    /// Whether the send buffer is full: the datagrams behind these are not sent yet.
    pub blocked: bool,
}

impl Sent {
    /// How many datagrams were sent or refused.
    #[inline]
    pub fn done(&self) -> usize {
        self.sent + self.dropped
    }
}

/// The headers of one sendmmsg.
struct Headers {
    iov: Box<[libc::iovec; BATCH]>,
    headers: Box<[libc::mmsghdr; BATCH]>,
    count: usize,
}

impl Headers {
    fn new() -> Self {
        Self { iov: zeroed_iov(), headers: zeroed_headers(), count: 0 }
    }

    #[inline]
    fn push(
        &mut self,
        bytes: &[u8],
        name: *mut SocketName,
        name_len: libc::socklen_t,
    ) -> &mut libc::msghdr {
        let iov = &mut self.iov[self.count];
        iov.iov_base = bytes.as_ptr().cast_mut().cast();
        iov.iov_len = bytes.len();
        let header = &mut self.headers[self.count].msg_hdr;
        header.msg_name = name.cast();
        header.msg_namelen = name_len;
        header.msg_iov = iov;
        header.msg_iovlen = 1;
        header.msg_control = ptr::null_mut();
        header.msg_controllen = 0;
        header.msg_flags = 0;
        self.count += 1;
        header
    }

    /// Sends all headers, as far as the send buffer has room, and clears the list.
    ///
    /// # Safety
    /// The messages, names and control messages of all headers are alive.
    unsafe fn send(&mut self, fd: BorrowedFd<'_>) -> Sent {
        let mut all = Sent::default();
        let count = mem::take(&mut self.count);
        while all.done() < count {
            let rest = &mut self.headers[all.done()..count];
            // SAFETY: there are `rest.len()` headers, which point to live memory as the caller
            // promises; the kernel only reads it.
            let sent = unsafe {
                libc::sendmmsg(
                    fd.as_raw_fd(),
                    rest.as_mut_ptr(),
                    rest.len() as _,
                    libc::MSG_DONTWAIT as _,
                )
            };
            if let Ok(sent) = usize::try_from(sent) {
                all.sent += sent;
                continue;
            }
            match io::Error::last_os_error().kind() {
                io::ErrorKind::WouldBlock => {
                    all.blocked = true;
                    return all;
                }
                io::ErrorKind::Interrupted => {}
                // The error belongs to the first datagram of the rest: too long, no route, a
                // filter, a full queue of the device. The next one may pass.
                _ => all.dropped += 1,
            }
        }
        all
    }
}

/// The datagrams of one recvmmsg.
pub struct Batch {
    buffers: Vec<Vec<u8>>,
    names: Box<[SocketName; BATCH]>,
    controls: Box<[Control; BATCH]>,
    iov: Box<[libc::iovec; BATCH]>,
    headers: Box<[libc::mmsghdr; BATCH]>,
    /// The headers from here to `armed` are ready to receive. Those before must be prepared.
    stale: usize,
    armed: usize,
    received: usize,
    replies: Headers,
    with_destination: bool,
}

// SAFETY: the raw pointers lead to memory that this struct owns and that moves with it, or are not
// used again; nothing is tied to a thread.
unsafe impl Send for Batch {}

impl Batch {
    /// An empty batch; `with_destination` for sockets for which [`crate::request_destination`]
    /// was called.
    pub fn new(with_destination: bool) -> Self {
        Self {
            buffers: vec![Vec::new(); INITIAL],
            names: Box::new([SocketName::empty(); BATCH]),
            controls: Box::new([Control::empty(); BATCH]),
            iov: zeroed_iov(),
            headers: zeroed_headers(),
            stale: 0,
            armed: 0,
            received: 0,
            replies: Headers::new(),
            with_destination,
        }
    }

    fn arm(&mut self, n: usize) {
        let buffer = &mut self.buffers[n];
        buffer.clear();
        buffer.reserve(MAX_DATAGRAM);
        let iov = &mut self.iov[n];
        iov.iov_base = buffer.as_mut_ptr().cast();
        iov.iov_len = MAX_DATAGRAM;
        let header = &mut self.headers[n].msg_hdr;
        header.msg_name = ptr::from_mut(&mut self.names[n]).cast();
        header.msg_namelen = size_of::<SocketName>() as libc::socklen_t;
        header.msg_iov = iov;
        header.msg_iovlen = 1;
        if self.with_destination {
            header.msg_control = ptr::from_mut(&mut self.controls[n]).cast();
            header.msg_controllen = size_of::<Control>() as _;
        }
    }

    /// Whether the last receive filled the batch: more datagrams may be in the socket.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.received == self.buffers.len()
    }

    /// Receives the datagrams in the socket, at most a batch.
    ///
    /// # Errors
    /// `WouldBlock` if there are none; else the error of the socket.
    pub fn receive(&mut self, fd: BorrowedFd<'_>) -> io::Result<usize> {
        if self.received > 0 && self.is_full() && self.buffers.len() < BATCH {
            self.buffers.resize_with((2 * self.buffers.len()).min(BATCH), Vec::new);
        }
        for n in (0..self.stale).chain(self.armed..self.buffers.len()) {
            self.arm(n);
        }
        self.stale = 0;
        self.armed = self.buffers.len();
        self.received = 0;
        // SAFETY: the first `armed` headers point to a name, a control message and the spare
        // capacity of a buffer, MAX_DATAGRAM bytes each: `arm` made them so, and buffers that the
        // caller may have touched since are prepared anew above.
        let received = unsafe {
            libc::recvmmsg(
                fd.as_raw_fd(),
                self.headers.as_mut_ptr(),
                self.armed as _,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        let Ok(received) = usize::try_from(received) else {
            return Err(io::Error::last_os_error());
        };
        for (buffer, header) in self.buffers.iter_mut().zip(self.headers.iter()).take(received) {
            let len = (header.msg_len as usize).min(MAX_DATAGRAM);
            // SAFETY: the kernel has written this many bytes, and that much was reserved.
            unsafe { buffer.set_len(len) };
        }
        self.stale = received;
        self.received = received;
        Ok(received)
    }

    /// The messages that were received last. The caller may swap them for other buffers, and saves
    /// an allocation if it swaps them back before the next receive.
    #[inline]
    pub fn messages_mut(&mut self) -> &mut [Vec<u8>] {
        // Before the next receive, `arm` runs for these and for no others.
        &mut self.buffers[..self.received]
    }

    /// The source address of a datagram, and the destination if the socket reports it. A reply can
    /// leave from the right address only after this call.
    #[inline]
    pub fn addresses(&mut self, n: usize) -> (SocketAddr, Option<IpAddr>) {
        assert!(n < self.received, "only what was received has addresses");
        let nobody = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
        let source = self.names[n].read().unwrap_or(nobody);
        let to = if self.with_destination {
            // SAFETY: `arm` gave this header its control message, and the kernel has filled it.
            unsafe { destination(&mut self.headers[n].msg_hdr) }
        } else {
            None
        };
        (source, to)
    }

    /// Sends replies to datagrams of this batch. Each reply has the number of its datagram. At most
    /// [`BATCH`] are sent.
    #[inline]
    pub fn reply<'a>(
        &mut self,
        fd: BorrowedFd<'_>,
        replies: impl Iterator<Item = (usize, &'a [u8])>,
    ) -> Sent {
        self.replies.count = 0;
        for (n, bytes) in replies.take(BATCH) {
            assert!(n < self.received, "only what was received is replied to");
            let received = &self.headers[n].msg_hdr;
            let (len, control, control_len) =
                (received.msg_namelen, received.msg_control, received.msg_controllen);
            let header = self.replies.push(bytes, &raw mut self.names[n], len);
            if self.with_destination && control_len > 0 {
                header.msg_control = control;
                header.msg_controllen = control_len;
            }
        }
        // SAFETY: the messages are borrowed until this call returns; names and control messages are
        // this struct's.
        unsafe { self.replies.send(fd) }
    }
}

/// A datagram to be sent.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    /// The message.
    pub bytes: &'a [u8],
    /// The receiver.
    pub to: SocketAddr,
    /// The source address; none: the kernel chooses one.
    pub from: Option<SocketAddr>,
}

/// Sends datagrams to any address.
pub struct Sender {
    names: Box<[SocketName; BATCH]>,
    controls: Box<[Control; BATCH]>,
    headers: Headers,
    v6: bool,
}

// SAFETY: the raw pointers are used only by the call that stores them.
unsafe impl Send for Sender {}

impl Sender {
    /// For a socket of this address family.
    pub fn new(v6: bool) -> Self {
        Self {
            names: Box::new([SocketName::empty(); BATCH]),
            controls: Box::new([Control::empty(); BATCH]),
            headers: Headers::new(),
            v6,
        }
    }

    /// Sends the first [`BATCH`] of these datagrams.
    #[inline]
    pub fn send<'a>(
        &mut self,
        fd: BorrowedFd<'_>,
        datagrams: impl Iterator<Item = Datagram<'a>>,
    ) -> Sent {
        self.headers.count = 0;
        for (n, Datagram { bytes, to, from }) in datagrams.take(BATCH).enumerate() {
            let name_len = self.names[n].write(to, self.v6);
            let header = self.headers.push(bytes, &raw mut self.names[n], name_len);
            if let Some(from) = from {
                set_source(header, &mut self.controls[n], from, self.v6);
            }
        }
        // SAFETY: the messages are borrowed until this call returns; names and control messages are
        // this struct's.
        unsafe { self.headers.send(fd) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::net::UdpSocket;
    use std::os::fd::AsFd;
    use std::time::Duration;

    fn socket() -> UdpSocket {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket
    }

    #[test]
    fn buffers_may_be_swapped_and_replies_find_their_datagrams() {
        let (server, client) = (socket(), socket());
        client.connect(server.local_addr().unwrap()).unwrap();
        let mut batch = Batch::new(false);
        let mut total = 0;
        for round in 0..6_u8 {
            for n in 0..40_u8 {
                client.send(&[round, n]).unwrap();
            }
            let mut left = 40;
            while left > 0 {
                let received = batch.receive(server.as_fd()).unwrap();
                let mut own = vec![Vec::new(); received];
                for (message, own) in batch.messages_mut().iter_mut().zip(&mut own) {
                    mem::swap(message, own);
                }
                let expected = client.local_addr().unwrap();
                assert!((0..received).all(|n| batch.addresses(n) == (expected, None)));
                let replies = own.iter().map(Vec::as_slice).enumerate().skip(1);
                let sent = batch.reply(server.as_fd(), replies);
                assert_eq!(sent, Sent { sent: received - 1, dropped: 0, blocked: false });
                left -= received;
                total += received - 1;
                // Every second batch gets its buffers back.
                if left % 2 == 0 {
                    batch.messages_mut().swap_with_slice(&mut own);
                }
            }
            let mut buffer = [0; 8];
            (0..mem::take(&mut total)).for_each(|_| {
                assert_eq!(client.recv(&mut buffer).unwrap(), 2);
                assert_eq!(buffer[0], round);
            });
        }
    }

    #[test]
    fn what_cannot_be_sent_is_dropped_alone() {
        let (server, client) = (socket(), socket());
        let to = client.local_addr().unwrap();
        let long = vec![0; 1 << 17];
        let datagrams = [&b"one"[..], &long, b"two"];
        let mut sender = Sender::new(false);
        let datagrams = datagrams.iter().map(|bytes| Datagram { bytes, to, from: None });
        let sent = sender.send(server.as_fd(), datagrams);
        assert_eq!((sent.sent, sent.dropped, sent.blocked), (2, 1, false));
        let mut buffer = [0; 8];
        assert_eq!(client.recv(&mut buffer).unwrap(), 3);
        assert_eq!(client.recv(&mut buffer).unwrap(), 3);
    }
}
