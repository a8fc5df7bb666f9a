//! Frame Streams over a bidirectional connection: <https://farsightsec.github.io/fstrm/>. This side is
//! the writer.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// The content type of the frames.
const CONTENT: &[u8] = b"protobuf:dnstap.Dnstap";
/// The only field that control frames have.
const CONTENT_TYPE: u32 = 1;
/// The longest control frame.
const MAX_CONTROL: u32 = 512;

/// Control frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
enum Control {
    Accept = 1,
    Start = 2,
    Stop = 3,
    Ready = 4,
    Finish = 5,
}

/// The handshake: agrees with the reader on the content type.
///
/// # Errors
/// The reader wants something else, or does not speak this protocol.
pub(super) async fn begin(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
    stream.write_all(&control(Control::Ready, true)).await?;
    let accept = read(stream, Control::Accept).await?;
    if !accepts(&accept) {
        return Err(io::Error::other("the reader does not accept dnstap as content type"));
    }
    stream.write_all(&control(Control::Start, true)).await
}

/// Tells the reader that this was all, and waits until it knows.
///
/// # Errors
/// The reader went away.
pub(super) async fn end(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
    stream.write_all(&control(Control::Stop, false)).await?;
    read(stream, Control::Finish).await.map(drop)
}

/// Appends a data frame.
pub(super) fn push(out: &mut Vec<u8>, payload: &[u8]) {
    out.extend_from_slice(&(payload.len() as u32).to_be_bytes());
    out.extend_from_slice(payload);
}

fn control(kind: Control, with_content: bool) -> Vec<u8> {
    let mut body = (kind as u32).to_be_bytes().to_vec();
    if with_content {
        body.extend_from_slice(&CONTENT_TYPE.to_be_bytes());
        body.extend_from_slice(&(CONTENT.len() as u32).to_be_bytes());
        body.extend_from_slice(CONTENT);
    }
    // A data frame of length zero announces a control frame.
    let mut frame = vec![0; 4];
    push(&mut frame, &body);
    frame
}

/// Reads a control frame that has to be a `wanted`, and returns its fields.
async fn read(stream: &mut (impl AsyncRead + Unpin), wanted: Control) -> io::Result<Vec<u8>> {
    let escape = stream.read_u32().await?;
    let len = if escape == 0 { stream.read_u32().await? } else { 0 };
    if !(4..=MAX_CONTROL).contains(&len) {
        return Err(io::Error::other("the reader does not speak Frame Streams"));
    }
    let mut body = vec![0; len as usize];
    stream.read_exact(&mut body).await?;
    let fields = body.split_off(4);
    if body != (wanted as u32).to_be_bytes() {
        return Err(io::Error::other("the reader sent an unexpected control frame"));
    }
    Ok(fields)
}

/// Whether dnstap is among the content types, or there are none: then anything is welcome.
fn accepts(mut fields: &[u8]) -> bool {
    if fields.is_empty() {
        return true;
    }
    while let Some((head, rest)) = fields.split_first_chunk::<8>() {
        let [k0, k1, k2, k3, l0, l1, l2, l3] = *head;
        let len = u32::from_be_bytes([l0, l1, l2, l3]) as usize;
        let Some((value, rest)) = rest.split_at_checked(len) else { return false };
        if u32::from_be_bytes([k0, k1, k2, k3]) == CONTENT_TYPE && value == CONTENT {
            return true;
        }
        fields = rest;
    }
    false
}

#[cfg(test)]
pub(super) mod reader {
    use crate::dnstap::frames::*;

    /// The other side of [`begin`].
    pub(crate) async fn begin(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) {
        read(stream, Control::Ready).await.unwrap();
        stream.write_all(&control(Control::Accept, true)).await.unwrap();
        read(stream, Control::Start).await.unwrap();
    }

    /// The next data frame; `None` after the last one, which is acknowledged.
    pub(crate) async fn next(
        stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    ) -> Option<Vec<u8>> {
        let len = stream.read_u32().await.unwrap();
        if len == 0 {
            let mut stop = [0; 8];
            stream.read_exact(&mut stop).await.unwrap();
            assert_eq!(stop, [0, 0, 0, 4, 0, 0, 0, 3]);
            stream.write_all(&control(Control::Finish, false)).await.unwrap();
            return None;
        }
        let mut payload = vec![0; len as usize];
        stream.read_exact(&mut payload).await.unwrap();
        Some(payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The outcome of `begin` with a reader that sends `bytes`.
    async fn against(bytes: &[u8]) -> Result<(), String> {
        let (mut ours, mut theirs) = tokio::io::duplex(1024);
        theirs.write_all(bytes).await.unwrap();
        theirs.shutdown().await.unwrap();
        let begun = begin(&mut ours).await.map_err(|error| error.to_string());
        drop(theirs);
        begun
    }

    #[tokio::test]
    async fn readers_have_to_want_dnstap() {
        let with = |content: &[u8]| {
            let len = content.len() as u8;
            let head = [0, 0, 0, 0, 0, 0, 0, 12 + len, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, len];
            [&head[..], content].concat()
        };
        assert_eq!(against(&with(CONTENT)).await, Ok(()));
        assert_eq!(against(&[0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 1]).await, Ok(()), "anything");
        for bad in [
            &with(b"protobuf:other")[..],
            &with(CONTENT)[..20],
            b"",
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            &[0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 5],
            &[0, 0, 0, 0, 0, 0, 0, 2, 0, 0],
            &[0, 0, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 1],
            &[0, 0, 0, 0, 0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 99],
        ] {
            assert!(against(bad).await.is_err(), "{bad:?}");
        }
    }

    #[tokio::test]
    async fn a_reader_gets_all_frames_and_the_end() {
        let (mut ours, mut theirs) = tokio::io::duplex(1024);
        let read = tokio::spawn(async move {
            reader::begin(&mut theirs).await;
            let mut all = Vec::new();
            while let Some(payload) = reader::next(&mut theirs).await {
                all.push(payload);
            }
            all
        });
        begin(&mut ours).await.unwrap();
        let mut out = Vec::new();
        push(&mut out, b"one");
        push(&mut out, b"two");
        ours.write_all(&out).await.unwrap();
        end(&mut ours).await.unwrap();
        assert_eq!(read.await.unwrap(), [b"one", b"two"]);
    }
}
