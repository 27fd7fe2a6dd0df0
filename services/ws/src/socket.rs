//! One connection: reads requests, writes replies and events, ends in an orderly way.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, close_code};
use runtime::Shutdown;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::frame::{self, Refusal, Request};
use crate::outbox::Queue;
use crate::session::Session;

/// Requests that wait while one is carried out; more are not read yet.
const MAX_WAITING: usize = 64;
/// A connection that stays silent is asked for a sign of life, and closed when none comes.
const PING_EVERY: Duration = Duration::from_secs(20);
const SILENCE: Duration = Duration::from_secs(60);
/// How long one frame may take to be written.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a connection ends.
enum End {
    /// The peer is gone, or said that it goes.
    Gone,
    Close(u16, &'static str),
}

type Answering = Pin<Box<dyn Future<Output = (Session, Option<Utf8Bytes>)> + Send>>;

/// The contract's code for a token that is not valid, or no longer.
const INVALID_TOKEN: u16 = 4003;

/// Serves a connection until it ends, its token expires or the shutdown comes.
pub async fn serve(mut socket: WebSocket, session: Session, mut queue: Queue, expires: Option<Instant>, shutdown: Shutdown) {
    let expired = async {
        match expires {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    };
    let end = tokio::select! {
        end = converse(&mut socket, session, &mut queue, &shutdown) => end,
        () = expired => End::Close(INVALID_TOKEN, "the token has expired"),
    };
    if let End::Close(code, reason) = end {
        let close = Message::Close(Some(CloseFrame {
            code,
            reason: Utf8Bytes::from_static(reason),
        }));
        let _ = tokio::time::timeout(Duration::from_secs(1), socket.send(close)).await;
    }
}

async fn converse(socket: &mut WebSocket, session: Session, queue: &mut Queue, shutdown: &Shutdown) -> End {
    let mut waiting: VecDeque<Request> = VecDeque::new();
    let mut idle = Some(session);
    let mut answering: Option<Answering> = None;
    let mut heard = Instant::now();
    let mut ping = interval_at(heard + PING_EVERY, PING_EVERY);
    ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        if let Some(session) = idle.take() {
            match waiting.pop_front() {
                Some(request) => answering = Some(answer(session, request)),
                None => idle = Some(session),
            }
        }
        let outcome = tokio::select! {
            () = shutdown.cancelled() => return End::Close(close_code::AWAY, "the server is going away"),
            (session, reply) = finished(&mut answering) => {
                answering = None;
                idle = Some(session);
                match reply {
                    Some(reply) => write(socket, Message::Text(reply)).await,
                    None => Ok(()),
                }
            }
            frame = queue.next() => match frame {
                Some(frame) => write(socket, Message::Text(frame)).await,
                None => return End::Close(close_code::AGAIN, "too slow: events were dropped"),
            },
            received = socket.recv(), if waiting.len() < MAX_WAITING => {
                heard = Instant::now();
                match read(received) {
                    Ok(Some(request)) => {
                        if let Some(reply) = at_once(request, &mut waiting) {
                            write(socket, Message::Text(reply)).await
                        } else {
                            Ok(())
                        }
                    }
                    Ok(None) => Ok(()),
                    Err(end) => return end,
                }
            }
            _ = ping.tick() => {
                if heard.elapsed() > SILENCE {
                    return End::Gone;
                }
                write(socket, Message::Ping(Default::default())).await
            }
        };
        if let Err(end) = outcome {
            return end;
        }
    }
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
        Some(Ok(Message::Close(_)) | Err(_)) | None => Err(End::Gone),
    }
}

async fn write(socket: &mut WebSocket, message: Message) -> Result<(), End> {
    match tokio::time::timeout(WRITE_TIMEOUT, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(End::Gone),
    }
}
