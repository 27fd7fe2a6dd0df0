//! One connection: reads requests, writes replies and events, ends in an orderly way.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use runtime::Shutdown;
use runtime::serve::Linger;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};
use tungstenite::error::ProtocolError;

use crate::frame::{self, Refusal, Request};
use crate::outbox::Queue;
use crate::session::Session;

/// Requests that wait while one is carried out; more are not read yet.
const MAX_WAITING: usize = 64;
/// How long one frame may take to be written.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a connection may be silent: every so often it is asked for a sign of life, and let go when none comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    pub ping_every: Duration,
    pub silence: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            ping_every: Duration::from_secs(20),
            silence: Duration::from_secs(60),
        }
    }
}

/// What ends a connection from outside.
pub struct Bounds {
    pub patience: Patience,
    /// When the token does.
    pub expires: Option<Instant>,
    pub shutdown: Shutdown,
    /// For the end, so that the peer reads why.
    pub linger: Linger,
}

/// Why a connection ends.
enum End {
    /// The peer is gone, or said that it goes.
    Gone,
    Close(u16, &'static str),
}

type Answering = Pin<Box<dyn Future<Output = (Session, Option<Utf8Bytes>)> + Send>>;

/// The contract's code for a token that is not valid, or no longer.
const INVALID_TOKEN: u16 = 4003;

/// A connection and what it has to do with. In a box: what a future is given lies in it twice, and there are thousands.
pub struct Conversation<H> {
    socket: WebSocket,
    /// None while it answers.
    idle: Option<Session>,
    answering: Option<Answering>,
    waiting: VecDeque<Request>,
    queue: Queue,
    /// The last sign of life.
    heard: Instant,
    bounds: Bounds,
    _held: H,
}

impl<H> Conversation<H> {
    /// `held` is dropped with the connection.
    pub fn new(socket: WebSocket, session: Session, queue: Queue, bounds: Bounds, held: H) -> Box<Self> {
        Box::new(Self {
            socket,
            idle: None,
            answering: Some(open(session)),
            waiting: VecDeque::new(),
            queue,
            heard: Instant::now(),
            bounds,
            _held: held,
        })
    }

    /// What is to be written next, if anything.
    async fn turn(&mut self, ping: &mut Interval) -> Result<Option<Message>, End> {
        // A reply comes before the events that it announces, so the queue waits while a request is answered, and the next request for the queue.
        if self.queue.is_empty()
            && let Some(session) = self.idle.take()
        {
            match self.waiting.pop_front() {
                Some(request) => self.answering = Some(answer(session, request)),
                None => self.idle = Some(session),
            }
        }
        tokio::select! {
            () = self.bounds.shutdown.cancelled() => Err(End::Close(close_code::AWAY, "the server is going away")),
            (mut session, reply) = finished(&mut self.answering) => {
                self.answering = None;
                if let Some(missed) = session.missed() {
                    self.queue.put_first(missed);
                }
                self.idle = Some(session);
                Ok(reply.map(Message::Text))
            }
            frame = self.queue.next(), if self.answering.is_none() => match frame {
                Some(frame) => Ok(Some(Message::Text(frame))),
                None => Err(End::Close(close_code::AGAIN, "too slow: events were dropped")),
            },
            received = self.socket.recv(), if self.waiting.len() < MAX_WAITING => {
                self.heard = Instant::now();
                let reply = read(received)?.and_then(|request| at_once(request, &mut self.waiting));
                Ok(reply.map(Message::Text))
            }
            _ = ping.tick() => {
                if self.heard.elapsed() > self.bounds.patience.silence {
                    return Err(End::Gone);
                }
                Ok(Some(Message::Ping(Default::default())))
            }
        }
    }

    async fn converse(&mut self) -> End {
        let every = self.bounds.patience.ping_every;
        let mut ping = interval_at(self.heard + every, every);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let outcome = match self.turn(&mut ping).await {
                Ok(Some(message)) => write(&mut self.socket, message).await,
                Ok(None) => Ok(()),
                Err(end) => Err(end),
            };
            if let Err(end) = outcome {
                return end;
            }
        }
    }
}

/// Serves a connection until it ends, its token expires or the shutdown comes.
pub async fn serve<H: Send>(mut conversation: Box<Conversation<H>>) {
    let end = match conversation.bounds.expires {
        None => conversation.converse().await,
        Some(at) => {
            let converse = tokio::time::timeout_at(at, conversation.converse());
            converse.await.unwrap_or(End::Close(INVALID_TOKEN, "the token has expired"))
        }
    };
    if let End::Close(code, reason) = end {
        let close = Message::Close(Some(CloseFrame {
            code,
            reason: Utf8Bytes::from_static(reason),
        }));
        let _ = tokio::time::timeout(Duration::from_secs(1), conversation.socket.send(close)).await;
        conversation.bounds.linger.ask();
    }
}

fn open(mut session: Session) -> Answering {
    Box::pin(async move {
        session.open().await;
        (session, None)
    })
}

fn answer(mut session: Session, request: Request) -> Answering {
    Box::pin(async move {
        let reply = session.answer(request).await;
        (session, reply)
    })
}

async fn finished(answering: &mut Option<Answering>) -> (Session, Option<Utf8Bytes>) {
    match answering {
        Some(answering) => answering.await,
        None => std::future::pending().await,
    }
}

/// Heartbeats and refusals need no waiting in line; everything else does, so that replies keep the order of requests.
fn at_once(request: Result<Request, Refusal>, waiting: &mut VecDeque<Request>) -> Option<Utf8Bytes> {
    match request {
        Ok(Request::Heartbeat) => Some(frame::PONG),
        Ok(request) => {
            waiting.push_back(request);
            None
        }
        Err(refusal) => Some(frame::refused(&refusal.to_string())),
    }
}

/// The request in a message; none for the messages of the protocol underneath.
fn read(received: Option<Result<Message, axum::Error>>) -> Result<Option<Result<Request, Refusal>>, End> {
    match received {
        Some(Ok(Message::Text(text))) => Ok(Some(frame::parse(&text))),
        Some(Ok(Message::Binary(_))) => Ok(Some(Err(Refusal::Format))),
        Some(Ok(Message::Ping(_) | Message::Pong(_))) => Ok(None),
        Some(Ok(Message::Close(_))) | None => Err(End::Gone),
        Some(Err(error)) => Err(unreadable(error)),
    }
}

/// What a peer is told that sends what is no message (RFC 6455, section 7.4.1).
fn unreadable(error: axum::Error) -> End {
    use tungstenite::Error;
    match error.into_inner().downcast_ref::<Error>() {
        Some(Error::Capacity(_)) => End::Close(close_code::SIZE, "a message may have at most 1 MiB"),
        Some(Error::Utf8(_)) => End::Close(close_code::INVALID, "a text message must be UTF-8"),
        Some(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => End::Gone,
        Some(Error::Protocol(_)) => End::Close(close_code::PROTOCOL, "a frame breaks the rules of the protocol"),
        _ => End::Gone,
    }
}

async fn write(socket: &mut WebSocket, message: Message) -> Result<(), End> {
    match tokio::time::timeout(WRITE_TIMEOUT, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(End::Gone),
    }
}
