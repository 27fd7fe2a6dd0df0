//! WebSockets as cheap as they can be read: frames are counted, or handed over unparsed, because the load shares the cores with the service.

use std::net::SocketAddr;

use contract_tests::client::token;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

use crate::Outcome;

const ROOM: usize = 2 << 10;

pub struct Socket {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Socket {
    /// Connects as a user, who need not exist.
    pub async fn connect(address: SocketAddr, user: Uuid) -> Outcome<Self> {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let head = format!(
            "GET /ws?token={} HTTP/1.1\r\nhost: {address}\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            token(user)
        );
        stream.write_all(head.as_bytes()).await?;
        let mut socket = Self {
            stream,
            buffer: Vec::with_capacity(ROOM),
        };
        loop {
            socket.read().await?;
            if let Some(end) = socket.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                if !socket.buffer.starts_with(b"HTTP/1.1 101") {
                    return Err(format!("no upgrade: {}", String::from_utf8_lossy(&socket.buffer)).into());
                }
                socket.buffer.drain(..end + 4);
                return Ok(socket);
            }
        }
    }

    /// Sends a request and waits for the first frame, which must say that it succeeded.
    pub async fn ask(&mut self, request: &Value) -> Outcome<()> {
        let text = request.to_string();
        let length = u16::try_from(text.len())?.to_be_bytes();
        // A client masks what it sends; a mask of zeros leaves the text as it is.
        let mut frame = vec![0x81, 0x80 | 126];
        frame.extend(length);
        frame.extend([0; 4]);
        frame.extend(text.as_bytes());
        self.stream.write_all(&frame).await?;
        let mut reply = None;
        while reply.is_none() {
            self.frames(|frame| reply = Some(String::from_utf8_lossy(frame).into_owned())).await?;
        }
        match reply {
            Some(reply) if reply.contains(r#""success":true"#) => Ok(()),
            reply => Err(format!("{request} was answered with {reply:?}").into()),
        }
    }

    /// Waits for bytes and hands over every text frame that is there as a whole.
    pub async fn frames(&mut self, mut each: impl FnMut(&[u8])) -> Outcome<()> {
        self.read().await?;
        let mut start = 0;
        while let Some((opcode, from, to)) = next(self.buffer.get(start..).unwrap_or_default()) {
            match opcode {
                0x1 => each(self.buffer.get(start + from..start + to).unwrap_or_default()),
                0x8 => return Err("the service closed a socket".into()),
                _ => {}
            }
            start += to;
        }
        self.buffer.drain(..start);
        Ok(())
    }

    async fn read(&mut self) -> Outcome<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err("the service closed a socket".into()),
            _ => Ok(()),
        }
    }
}

/// The first frame: its opcode, and where its payload lies. A server does not mask.
fn next(bytes: &[u8]) -> Option<(u8, usize, usize)> {
    let opcode = bytes.first()? & 0x0f;
    let (from, length) = match bytes.get(1)? {
        126 => (4, usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?))),
        127 => (10, usize::try_from(u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?)).ok()?),
        short => (2, usize::from(*short)),
    };
    (bytes.len() >= from + length).then_some((opcode, from, from + length))
}

#[cfg(test)]
mod tests {
    use super::next;

    #[test]
    fn frames_are_found_by_their_length() {
        assert_eq!(next(&[0x81, 2, b'o', b'k', 0x81]), Some((1, 2, 4)));
        assert_eq!(next(&[0x81, 2, b'o']), None);
        let long = [&[0x81, 126, 1, 0][..], &[b'x'; 256]].concat();
        assert_eq!(next(&long), Some((1, 4, 260)));
    }
}
