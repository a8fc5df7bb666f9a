//! Socket options, the registration with a runtime, and receiving into spare capacity.

#![allow(unsafe_code, reason = "setsockopt and recv have no safe binding for these uses")]

use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::MAX_DATAGRAM;

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

/// Sets the size of the socket's receive and send buffers; the kernel may permit less.
pub fn set_buffers(fd: BorrowedFd<'_>, bytes: usize) {
    let bytes = libc::c_int::try_from(bytes).unwrap_or(libc::c_int::MAX);
    for (force, ask) in
        [(libc::SO_RCVBUFFORCE, libc::SO_RCVBUF), (libc::SO_SNDBUFFORCE, libc::SO_SNDBUF)]
    {
        if set_option(fd, libc::SOL_SOCKET, force, bytes).is_err() {
            // Smaller buffers only lose more datagrams in bursts.
            let _ = set_option(fd, libc::SOL_SOCKET, ask, bytes);
        }
    }
}

/// Makes the kernel report the destination address of each datagram.
///
/// # Errors
/// The kernel has no such option for this socket.
pub fn request_destination(fd: BorrowedFd<'_>, v6: bool) -> io::Result<()> {
    if v6 {
        set_option(fd, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO, 1)
    } else {
        set_option(fd, libc::IPPROTO_IP, libc::IP_PKTINFO, 1)
    }
}

/// Registers a socket with the runtime of the current context, for this interest only.
///
/// # Errors
/// The runtime cannot watch the socket.
pub fn register(socket: UdpSocket, interest: Interest) -> io::Result<AsyncFd<UdpSocket>> {
    // SAFETY: a std socket owns one descriptor and keeps it open as long as it lives.
    unsafe { AsyncFd::register_with_interest(socket, interest) }.map_err(io::Error::from)
}

/// Receives one datagram from a connected socket; it replaces the content of `into`.
///
/// # Errors
/// `WouldBlock` if there is none; else the error of the socket.
pub fn receive_into(fd: BorrowedFd<'_>, into: &mut Vec<u8>) -> io::Result<()> {
    into.clear();
    into.reserve(MAX_DATAGRAM);
    // SAFETY: MAX_DATAGRAM bytes of spare capacity were reserved.
    let len = unsafe {
        libc::recv(fd.as_raw_fd(), into.as_mut_ptr().cast(), MAX_DATAGRAM, libc::MSG_DONTWAIT)
    };
    let Ok(len) = usize::try_from(len) else {
        return Err(io::Error::last_os_error());
    };
    // SAFETY: the kernel has written this many bytes.
    unsafe { into.set_len(len.min(MAX_DATAGRAM)) };
    Ok(())
}
