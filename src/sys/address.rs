//! Addresses as the kernel writes them: socket names, and control messages with the destination of
//! a received datagram or the source of a datagram to send.

#![allow(unsafe_code, reason = "unions and control messages of the kernel")]

use std::mem;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::ptr;

/// A socket address as the kernel writes it.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) union SocketName {
    family: libc::sa_family_t,
    v4: libc::sockaddr_in,
    v6: libc::sockaddr_in6,
}

impl SocketName {
    pub(super) fn empty() -> Self {
        // SAFETY: all-zero is a valid value of each field.
        unsafe { mem::zeroed() }
    }

    /// The address, IPv4 inside IPv6 as IPv4.
    pub(super) fn read(&self) -> Option<SocketAddr> {
        // SAFETY: every byte is initialised, and the family says which field was written.
        unsafe {
            match i32::from(self.family) {
                libc::AF_INET => Some(SocketAddr::V4(SocketAddrV4::new(
                    Ipv4Addr::from(self.v4.sin_addr.s_addr.to_ne_bytes()),
                    u16::from_be(self.v4.sin_port),
                ))),
                libc::AF_INET6 => {
                    let ip = Ipv6Addr::from(self.v6.sin6_addr.s6_addr);
                    let port = u16::from_be(self.v6.sin6_port);
                    Some(match ip.to_ipv4_mapped() {
                        Some(ip) => SocketAddr::V4(SocketAddrV4::new(ip, port)),
                        None => {
                            SocketAddr::V6(SocketAddrV6::new(ip, port, 0, self.v6.sin6_scope_id))
                        }
                    })
                }
                _ => None,
            }
        }
    }

    /// Writes the address for a socket of this family; returns its length.
    pub(super) fn write(&mut self, addr: SocketAddr, v6: bool) -> libc::socklen_t {
        *self = Self::empty();
        match addr {
            SocketAddr::V4(addr) if !v6 => {
                self.v4 = libc::sockaddr_in {
                    sin_family: libc::AF_INET as libc::sa_family_t,
                    sin_port: addr.port().to_be(),
                    sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(addr.ip().octets()) },
                    sin_zero: [0; 8],
                };
                size_of::<libc::sockaddr_in>() as libc::socklen_t
            }
            _ => {
                let scope = if let SocketAddr::V6(addr) = addr { addr.scope_id() } else { 0 };
                self.v6 = libc::sockaddr_in6 {
                    sin6_family: libc::AF_INET6 as libc::sa_family_t,
                    sin6_port: addr.port().to_be(),
                    sin6_flowinfo: 0,
                    sin6_addr: in6(addr.ip()),
                    sin6_scope_id: scope,
                };
                size_of::<libc::sockaddr_in6>() as libc::socklen_t
            }
        }
    }
}

fn in6(ip: IpAddr) -> libc::in6_addr {
    let ip = match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    libc::in6_addr { s6_addr: ip.octets() }
}

/// Room for one control message with an address.
#[derive(Clone, Copy)]
#[repr(C, align(16))]
pub(super) struct Control([u8; 64]);

impl Control {
    pub(super) fn empty() -> Self {
        Self([0; 64])
    }
}

/// The destination address of a received datagram. The control message is changed so that a reply
/// that is sent with it leaves from that address.
///
/// # Safety
/// `msg_control` and `msg_controllen` describe a `Control` that the kernel has filled.
pub(super) unsafe fn destination(header: &mut libc::msghdr) -> Option<IpAddr> {
    // SAFETY: a `Control` is aligned; the macros stay inside it, and each message is read as what
    // its level and type say.
    unsafe {
        let message = libc::CMSG_FIRSTHDR(header);
        if message.is_null() {
            return None;
        }
        match ((*message).cmsg_level, (*message).cmsg_type) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => {
                let info = libc::CMSG_DATA(message).cast::<libc::in_pktinfo>();
                // The route decides which interface the reply leaves by.
                (*info).ipi_ifindex = 0;
                Some(IpAddr::V4(Ipv4Addr::from((*info).ipi_spec_dst.s_addr.to_ne_bytes())))
            }
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => {
                let info = libc::CMSG_DATA(message).cast::<libc::in6_pktinfo>();
                let ip = Ipv6Addr::from((*info).ipi6_addr.s6_addr);
                if !ip.is_unicast_link_local() {
                    (*info).ipi6_ifindex = 0;
                }
                if ip.is_multicast() {
                    header.msg_controllen = 0;
                }
                Some(IpAddr::V6(ip).to_canonical())
            }
            _ => None,
        }
    }
}

/// Sets the source address of the datagram with this header. The header points to `control` then.
pub(super) fn set_source(
    header: &mut libc::msghdr,
    control: &mut Control,
    from: SocketAddr,
    v6: bool,
) {
    header.msg_control = ptr::from_mut(control).cast();
    // SAFETY: `control` is an aligned `Control` with room for either message; the header points
    // to it with that room.
    unsafe {
        let (level, kind, len) = if v6 {
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, size_of::<libc::in6_pktinfo>())
        } else {
            (libc::IPPROTO_IP, libc::IP_PKTINFO, size_of::<libc::in_pktinfo>())
        };
        header.msg_controllen = libc::CMSG_SPACE(len as u32) as _;
        let message = libc::CMSG_FIRSTHDR(header);
        (*message).cmsg_level = level;
        (*message).cmsg_type = kind;
        (*message).cmsg_len = libc::CMSG_LEN(len as u32) as _;
        match from.ip() {
            IpAddr::V4(ip) if !v6 => {
                let info = libc::CMSG_DATA(message).cast::<libc::in_pktinfo>();
                let none = libc::in_addr { s_addr: 0 };
                let source = libc::in_addr { s_addr: u32::from_ne_bytes(ip.octets()) };
                info.write(libc::in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: source,
                    ipi_addr: none,
                });
            }
            ip => {
                let info = libc::CMSG_DATA(message).cast::<libc::in6_pktinfo>();
                let scope = if let SocketAddr::V6(from) = from { from.scope_id() } else { 0 };
                info.write(libc::in6_pktinfo { ipi6_addr: in6(ip), ipi6_ifindex: scope as _ });
            }
        }
    }
}
