//! System calls for which std and socket2 have no safe interface: recvmmsg and sendmmsg on pooled
//! buffers, control messages with the destination address, and two socket options.
//!
//! The kernel sees raw pointers into buffers of this file's structs only. Every method that passes
//! them on rebuilds them first, or knows that nothing has moved since.

#![allow(unsafe_code, reason = "recvmmsg, sendmmsg and control messages have no safe binding")]

mod address;
pub(crate) mod connected;

use std::io;
use std::mem;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use wire::{MAX_MESSAGE, Moment, Transport};

use crate::pool::{self, Slots};
use exchange::{Exchange, Outcome};

use address::{Control, Name, arrival, leave_from};

/// Datagrams per system call.
pub(super) const BATCH: usize = 64;
/// Slots of a batch before it ever was full: an idle socket stays small.
const FIRST: usize = 4;

fn zeroed_headers() -> Box<[libc::mmsghdr; BATCH]> {
    // SAFETY: null pointers and zero lengths are valid values of these C structs.
    Box::new(unsafe { mem::zeroed() })
}

fn zeroed_iov() -> Box<[libc::iovec; BATCH]> {
    // SAFETY: as above.
    Box::new(unsafe { mem::zeroed() })
}

/// What a call to send came to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sent {
    /// Datagrams sent.
    pub(super) sent: u64,
    /// Datagrams that the kernel would not take.
    pub(super) dropped: u64,
    /// Whether the rest waits for room in the send buffer.
    pub(super) blocked: bool,
}

/// Datagrams to be sent.
struct Outgoing {
    iov: Box<[libc::iovec; BATCH]>,
    headers: Box<[libc::mmsghdr; BATCH]>,
    count: usize,
    done: usize,
}

impl Outgoing {
    fn new() -> Self {
        Self { iov: zeroed_iov(), headers: zeroed_headers(), count: 0, done: 0 }
    }

    fn clear(&mut self) {
        self.count = 0;
        self.done = 0;
    }

    /// Adds a datagram; the caller keeps what the pointers mean in place until it is sent.
    fn push(
        &mut self,
        bytes: &[u8],
        name: *mut Name,
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

    /// Sends what is left, as far as the send buffer has room.
    ///
    /// # Safety
    /// Everything pushed since the last `clear` must still be where it was.
    unsafe fn flush(&mut self, fd: BorrowedFd<'_>) -> Sent {
        let mut all = Sent::default();
        while self.done < self.count {
            let rest = &mut self.headers[self.done..self.count];
            // SAFETY: the headers are `rest.len()` many, and point to live memory as the caller
            // promises.
            let sent = unsafe {
                libc::sendmmsg(
                    fd.as_raw_fd(),
                    rest.as_mut_ptr(),
                    rest.len() as _,
                    libc::MSG_DONTWAIT as _,
                )
            };
            if let Ok(sent) = usize::try_from(sent) {
                self.done += sent;
                all.sent += sent as u64;
                continue;
            }
            match io::Error::last_os_error().kind() {
                io::ErrorKind::WouldBlock => {
                    all.blocked = true;
                    return all;
                }
                io::ErrorKind::Interrupted => {}
                // The error is that of the first datagram of the rest: too long, no route, a
                // filter, a full queue of the device. Go on with the next.
                _ => {
                    self.done += 1;
                    all.dropped += 1;
                }
            }
        }
        all
    }

    fn give_up(&mut self) -> u64 {
        let rest = self.count - self.done;
        self.done = self.count;
        rest as u64
    }
}

/// The queries of one recvmmsg and the replies to them.
pub(super) struct Batch {
    slots: Slots,
    names: Box<[Name; BATCH]>,
    controls: Box<[Control; BATCH]>,
    iov: Box<[libc::iovec; BATCH]>,
    headers: Box<[libc::mmsghdr; BATCH]>,
    /// Headers from here to `armed` are ready to receive; those before must be made so.
    stale: usize,
    armed: usize,
    received: usize,
    out: Outgoing,
    with_arrival: bool,
}

// SAFETY: the raw pointers lead to memory that this struct owns and that moves with it; nothing
// is tied to a thread.
unsafe impl Send for Batch {}

impl Batch {
    /// An empty batch; `with_arrival` for sockets that report where datagrams arrive.
    pub(super) fn new(with_arrival: bool) -> Self {
        Self {
            slots: (0..FIRST).map(|_| pool::take()).collect(),
            names: Box::new([Name::empty(); BATCH]),
            controls: Box::new([Control::empty(); BATCH]),
            iov: zeroed_iov(),
            headers: zeroed_headers(),
            stale: 0,
            armed: 0,
            received: 0,
            out: Outgoing::new(),
            with_arrival,
        }
    }

    fn arm(&mut self, n: usize) {
        let buffer = self.slots[n].query.buffer_mut();
        buffer.clear();
        buffer.reserve(MAX_MESSAGE);
        let iov = &mut self.iov[n];
        iov.iov_base = buffer.as_mut_ptr().cast();
        iov.iov_len = MAX_MESSAGE;
        let header = &mut self.headers[n].msg_hdr;
        header.msg_name = ptr::from_mut(&mut self.names[n]).cast();
        header.msg_namelen = size_of::<Name>() as libc::socklen_t;
        header.msg_iov = iov;
        header.msg_iovlen = 1;
        if self.with_arrival {
            header.msg_control = ptr::from_mut(&mut self.controls[n]).cast();
            header.msg_controllen = size_of::<Control>() as _;
        }
    }

    /// Whether the last receive filled the batch: there may be more.
    pub(super) fn is_full(&self) -> bool {
        self.received == self.slots.len()
    }

    /// Receives what is there, at most a batch.
    pub(super) fn receive(&mut self, fd: BorrowedFd<'_>) -> io::Result<usize> {
        if self.received > 0 && self.is_full() && self.slots.len() < BATCH {
            let more = self.slots.len();
            self.slots.extend((0..more).map(|_| pool::take()));
        }
        for n in (0..self.stale).chain(self.armed..self.slots.len()) {
            self.arm(n);
        }
        self.stale = 0;
        self.armed = self.slots.len();
        self.received = 0;
        // SAFETY: the first `armed` headers point to a name, a control and the spare capacity of
        // a slot's buffer, MAX_MESSAGE bytes each; `arm` made them so, and slots that anyone
        // touched since are armed anew above.
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
        for (slot, header) in self.slots.iter_mut().zip(self.headers.iter()).take(received) {
            let len = (header.msg_len as usize).min(MAX_MESSAGE);
            // SAFETY: the kernel has written this many bytes, and that much was reserved.
            unsafe { slot.query.buffer_mut().set_len(len) };
        }
        self.stale = received;
        self.received = received;
        Ok(received)
    }

    /// Notes with each query where it came from and when.
    pub(super) fn address(&mut self, local: SocketAddr, worker: usize, now: Moment) {
        for n in 0..self.received {
            let slot = &mut *self.slots[n];
            slot.outcome = Outcome::Silent;
            let query = &mut slot.query;
            query.client.peer = match self.names[n].read() {
                Some(peer) => peer,
                None => SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0),
            };
            query.client.local = local;
            if self.with_arrival
                && let Some(ip) = arrival(&mut self.headers[n].msg_hdr)
            {
                query.client.local = SocketAddr::new(ip, local.port());
            }
            query.client.transport = Transport::Udp;
            query.client.worker = worker;
            query.client.received = now;
        }
    }

    /// The queries received.
    pub(super) fn slots(&mut self) -> &mut [Box<Exchange>] {
        // Whoever holds the slots may change replies that are on their way out.
        self.out.clear();
        &mut self.slots[..self.received]
    }

    /// Gathers the replies that are to be sent.
    pub(super) fn gather(&mut self) {
        self.out.clear();
        for n in 0..self.received {
            let slot = &*self.slots[n];
            // Nobody has port 0: such a sender's address is forged.
            if !slot.outcome.is_send() || slot.query.client.peer.port() == 0 {
                continue;
            }
            let came = &self.headers[n].msg_hdr;
            let (len, control, control_len) =
                (came.msg_namelen, came.msg_control, came.msg_controllen);
            let header = self.out.push(slot.reply.bytes(), &raw mut self.names[n], len);
            if self.with_arrival && control_len > 0 {
                header.msg_control = control;
                header.msg_controllen = control_len;
            }
        }
    }

    /// Sends what was gathered and is not sent yet.
    pub(super) fn flush(&mut self, fd: BorrowedFd<'_>) -> Sent {
        // SAFETY: `slots` and `gather` clear the list, `receive` is called after one of them has
        // emptied it or it was sent to the end; so the slots' replies, names and controls are as
        // they were gathered.
        unsafe { self.out.flush(fd) }
    }

    /// Forgets what was gathered and is not sent yet; how many that were.
    pub(super) fn give_up(&mut self) -> u64 {
        self.out.give_up()
    }
}

/// Replies to queries that had to wait.
pub(super) struct Late {
    slots: Slots,
    names: Box<[Name; BATCH]>,
    controls: Box<[Control; BATCH]>,
    out: Outgoing,
    with_arrival: bool,
    v6: bool,
}

// SAFETY: as for `Batch`.
unsafe impl Send for Late {}

impl Late {
    /// For replies that leave by a socket of this family.
    pub(super) fn new(with_arrival: bool, v6: bool) -> Self {
        Self {
            slots: Vec::with_capacity(BATCH),
            names: Box::new([Name::empty(); BATCH]),
            controls: Box::new([Control::empty(); BATCH]),
            out: Outgoing::new(),
            with_arrival,
            v6,
        }
    }

    /// Whether no more fit.
    pub(super) fn is_full(&self) -> bool {
        self.slots.len() == BATCH
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Adds a reply, if it is one to be sent and there is room.
    pub(super) fn push(&mut self, slot: Box<Exchange>) {
        if !slot.outcome.is_send() || slot.query.client.peer.port() == 0 || self.is_full() {
            pool::give(slot);
            return;
        }
        let n = self.slots.len();
        let name_len = self.names[n].write(slot.query.client.peer, self.v6);
        let header = self.out.push(slot.reply.bytes(), &raw mut self.names[n], name_len);
        if self.with_arrival && !slot.query.client.local.ip().is_multicast() {
            let mut from = slot.query.client.local;
            if let (SocketAddr::V6(from), SocketAddr::V6(peer)) =
                (&mut from, slot.query.client.peer)
                && from.ip().is_unicast_link_local()
            {
                from.set_scope_id(peer.scope_id());
            }
            leave_from(header, &raw mut self.controls[n], from, self.v6);
        }
        self.slots.push(slot);
    }

    /// Sends what is not sent yet.
    pub(super) fn flush(&mut self, fd: BorrowedFd<'_>) -> Sent {
        // SAFETY: the slots stay in `self.slots`, untouched, until `clear` empties both lists.
        unsafe { self.out.flush(fd) }
    }

    /// Gives the slots back; how many replies were not sent.
    pub(super) fn clear(&mut self) -> u64 {
        let unsent = self.out.give_up();
        self.out.clear();
        self.slots.drain(..).for_each(pool::give);
        unsent
    }
}

fn set_option(
    fd: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    // SAFETY: the option value is one int, and its size says so.
    let result = unsafe {
        libc::setsockopt(
            fd.as_raw_fd(),
            level,
            name,
            ptr::from_ref(&value).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Makes the socket's buffers this big, or as big as is permitted.
pub(crate) fn set_buffers(fd: BorrowedFd<'_>, bytes: usize) {
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    for (force, ask) in
        [(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF), (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)]
    {
        if set_option(fd, libc::SOL_SOCKET, force, bytes).is_err() {
            // Smaller buffers lose more under bursts, and that is all.
            let _ = set_option(fd, libc::SOL_SOCKET, ask, bytes);
        }
    }
}

/// Asks for the address that each datagram came to.
pub(crate) fn want_arrival(fd: BorrowedFd<'_>, v6: bool) -> io::Result<()> {
    if v6 {
        set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)
    } else {
        set_option(fd, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)
    }
}

/// Registers a socket with the runtime of the current context, for this interest only.
pub(crate) fn register(socket: UdpSocket, interest: Interest) -> io::Result<AsyncFd<UdpSocket>> {
    // SAFETY: a std socket owns its descriptor and keeps it open, and the same, all its life.
    unsafe { AsyncFd::register_with_interest(socket, interest) }.map_err(io::Error::from)
}

/// Receives one datagram from a connected socket in place of what `into` held.
pub(crate) fn receive_into(fd: BorrowedFd<'_>, into: &mut Vec<u8>) -> io::Result<()> {
    into.clear();
    into.reserve(MAX_MESSAGE);
    // SAFETY: MAX_MESSAGE bytes of spare capacity were reserved.
    let len = unsafe {
        libc::recv(fd.as_raw_fd(), into.as_mut_ptr().cast(), MAX_MESSAGE, libc::MSG_DONTWAIT)
    };
    let Ok(len) = usize::try_from(len) else {
        return Err(io::Error::last_os_error());
    };
    // SAFETY: the kernel has written this many bytes.
    unsafe { into.set_len(len.min(MAX_MESSAGE)) };
    Ok(())
}
