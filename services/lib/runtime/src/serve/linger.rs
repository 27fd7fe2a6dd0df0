//! A connection that is closed while its client still sends is reset by the kernel, and the client may lose what it was told last. Whoever
//! took a connection over from HTTP and said good-bye on it can have the rest read first.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::runtime::Handle;

/// How long, and how much of, what a client still sends is read.
const LONGEST: Duration = Duration::from_secs(5);
const MOST: u64 = 64 << 20;

/// An extension of requests that ask for an upgrade.
#[derive(Debug, Clone, Default)]
pub struct Linger(Arc<AtomicBool>);

impl Linger {
    /// When the connection is dropped, the client is told that nothing more comes, and what it still sends is read and discarded until it
    /// has closed its side, for at most 5 s or 64 MiB.
    pub fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A connection that ends as it was asked to.
pub struct Lingering<Io: Connection> {
    /// None only at the end.
    io: Option<Io>,
    linger: Linger,
}

/// What bytes go over.
pub trait Connection: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<Io: AsyncRead + AsyncWrite + Unpin + Send + 'static> Connection for Io {}

impl<Io: Connection> Lingering<Io> {
    pub fn new(io: Io, linger: Linger) -> Self {
        Self { io: Some(io), linger }
    }

    fn with<T>(&mut self, act: impl FnOnce(Pin<&mut Io>) -> Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match &mut self.io {
            Some(io) => act(Pin::new(io)),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl<Io: Connection> Drop for Lingering<Io> {
    fn drop(&mut self) {
        if !self.linger.0.load(Ordering::Relaxed) {
            return;
        }
        if let (Some(io), Ok(runtime)) = (self.io.take(), Handle::try_current()) {
            runtime.spawn(tokio::time::timeout(LONGEST, discard(io)));
        }
    }
}

async fn discard(mut io: impl Connection) -> io::Result<()> {
    io.shutdown().await?;
    tokio::io::copy(&mut io.take(MOST), &mut tokio::io::sink()).await?;
    Ok(())
}

impl<Io: Connection> AsyncRead for Lingering<Io> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.with(|io| io.poll_read(context, buffer))
    }
}

impl<Io: Connection> AsyncWrite for Lingering<Io> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.with(|io| io.poll_write(context, bytes))
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.with(|io| io.poll_write_vectored(context, bytes))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.as_ref().is_some_and(|io| io.is_write_vectored())
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|io| io.poll_flush(context))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|io| io.poll_shutdown(context))
    }
}
