//! The limit: a server that receives batches, flips a bit, appends one fixed record and sends.
//!
//! No name is read and nothing is looked up: what this costs is the kernel's.

use std::io::{IoSlice, IoSliceMut};
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrIn, recvmmsg, sendmmsg};

const BATCH: usize = 64;
const RECORD: [u8; 16] = [0xC0, 0x0C, 0, 1, 0, 1, 0, 0, 0x0E, 0x10, 0, 4, 192, 0, 2, 1];

/// Echoes on `port` of loopback until killed.
pub(crate) fn run(port: u16) -> ! {
    use nix::sys::socket::{setsockopt, sockopt};
    let socket = UdpSocket::bind(("127.0.0.1", port)).expect("the port is free");
    let _ = setsockopt(&socket, sockopt::RcvBuf, &(4 << 20));
    let _ = setsockopt(&socket, sockopt::SndBuf, &(4 << 20));
    let fd = socket.as_raw_fd();
    let mut buffers: Vec<[u8; 2048]> = vec![[0; 2048]; BATCH];
    let mut into = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    let mut out = MultiHeaders::<SockaddrIn>::preallocate(BATCH, None);
    let mut lengths = [0usize; BATCH];
    let mut peers: [Option<SockaddrIn>; BATCH] = [None; BATCH];
    loop {
        let mut count = 0;
        {
            let mut slices: Vec<[IoSliceMut<'_>; 1]> =
                buffers.iter_mut().map(|buffer| [IoSliceMut::new(&mut buffer[..2000])]).collect();
            let flags = MsgFlags::MSG_WAITFORONE;
            let Ok(received) = recvmmsg(fd, &mut into, slices.iter_mut(), flags, None) else {
                continue;
            };
            for message in received {
                lengths[count] = message.bytes;
                peers[count] = message.address;
                count += 1;
            }
        }
        for (buffer, length) in buffers[..count].iter_mut().zip(&mut lengths) {
            if *length >= 17 {
                buffer[2] |= 0x84;
                buffer[3] = 0;
                buffer[6..8].copy_from_slice(&[0, 1]);
                buffer[*length..*length + 16].copy_from_slice(&RECORD);
                *length += 16;
            }
        }
        let slices: Vec<[IoSlice<'_>; 1]> = buffers[..count]
            .iter()
            .zip(&lengths)
            .map(|(buffer, length)| [IoSlice::new(&buffer[..*length])])
            .collect();
        let _ = sendmmsg(fd, &mut out, &slices, &peers[..count], [], MsgFlags::empty());
    }
}
