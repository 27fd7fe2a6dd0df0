//! How long a client may be waited for. Whoever is silent, or sends or takes so little that it comes to the same, loses the connection:
//! what it holds is a socket, a task and a buffer, but not for ever.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep, sleep};

/// Bytes of a body in a second: a client that is slower for longer than the patience for bodies is no client.
const SLOWEST: f64 = 8192.0;
/// Bytes of a body that nobody wants and that are read all the same, to keep the connection.
const UNWANTED: u64 = 256 * 1024;

/// How long a client may be waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// For the head of a request, from when the connection is free for one. Longer than the 90 s for which the usual clients and proxies
    /// keep connections that are not in use: they are to close them, not we while a request is on its way.
    pub head: Duration,
    /// For the body, beyond the time that it takes at 8 KiB/s.
    pub body: Duration,
    /// For the client to take anything of an answer.
    pub answer: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            head: Duration::from_secs(100),
            body: Duration::from_secs(30),
            answer: Duration::from_secs(30),
        }
    }
}

/// Why a body ended before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("The body came too slowly: send it again over a better connection")]
pub struct TooSlow;

impl TooSlow {
    /// Whether this is what became of a body.
    pub fn caused(error: &(dyn Error + 'static)) -> bool {
        error.is::<Self>() || error.source().is_some_and(Self::caused)
    }
}

/// A request's body that has to come.
pub struct Arriving {
    body: Body,
    patience: Duration,
    end: Pin<Box<Sleep>>,
    /// There is nothing more to be read.
    over: bool,
}

impl Arriving {
    pub fn wrap(body: Body, patience: Duration) -> Body {
        if body.is_end_stream() {
            return body;
        }
        let end = Box::pin(sleep(patience));
        Body::new(Self {
            body,
            patience,
            end,
            over: false,
        })
    }

    /// What has come pays for its time, and never for more than the patience in advance.
    fn extend(&mut self, bytes: usize) {
        let paid = self.end.deadline() + Duration::from_secs_f64(bytes as f64 / SLOWEST);
        self.end.as_mut().reset(paid.min(Instant::now() + self.patience));
    }
}

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Pending => {
                ready!(self.end.as_mut().poll(context));
                self.over = true;
                Poll::Ready(Some(Err(axum::Error::new(TooSlow))))
            }
            Poll::Ready(frame) => {
                if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
                    let bytes = data.len();
                    self.extend(bytes);
                }
                self.over |= !matches!(&frame, Some(Ok(_)));
                Poll::Ready(frame)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Whoever answers without the body lets it go here. A body of which a part is still to come would take the connection with it, whose
/// client may be sending the next request already: so what is left is read, unless it is much.
impl Drop for Arriving {
    fn drop(&mut self) {
        let body = std::mem::take(&mut self.body);
        if self.over || body.is_end_stream() || body.size_hint().lower() > UNWANTED {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(tokio::time::timeout(self.patience, discard(body)));
        }
    }
}

async fn discard(mut body: Body) {
    let mut read = 0;
    while let Some(Ok(frame)) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        read += frame.data_ref().map_or(0, |data| data.len() as u64);
        if read > UNWANTED {
            return;
        }
    }
}

/// A connection whose client has to take what it is sent.
pub struct Taking<Io> {
    io: Io,
    patience: Duration,
    /// Runs while nothing can be written.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<Io> Taking<Io> {
    pub fn new(io: Io, patience: Duration) -> Self {
        Self { io, patience, stalled: None }
    }

    fn judge<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = None;
            return outcome;
        }
        let patience = self.patience;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not take its answer")))
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Taking<Io> {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(context, buffer)
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Taking<Io> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write(context, bytes);
        self.judge(context, outcome)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.io).poll_write_vectored(context, bytes);
        self.judge(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.io).poll_flush(context);
        self.judge(context, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.io).poll_shutdown(context);
        self.judge(context, outcome)
    }
}
