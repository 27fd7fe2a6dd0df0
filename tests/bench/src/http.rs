//! Load over HTTP/1.1: connections that stay open and send one ready-made request again and again. Answers are read as cheaply as possible,
//! because the load shares the cores with what it measures.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::Outcome;
use crate::stats::ms;

/// A request, and the status that it must be answered with.
#[derive(Clone)]
pub struct Target {
    address: SocketAddr,
    bytes: Arc<[u8]>,
    status: u16,
}

/// What came of asking for a while.
pub struct Load {
    /// Of every answer: from the request to the answer's last byte; in an open loop from the moment at which the request was due.
    pub latencies: Vec<f64>,
    seconds: f64,
}

impl Load {
    pub fn answers(&self) -> f64 {
        self.latencies.len() as f64
    }

    pub fn rate(&self) -> f64 {
        self.answers() / self.seconds.max(f64::MIN_POSITIVE)
    }
}

impl Target {
    /// `GET path` of the service at `base` (`http://127.0.0.1:port`).
    pub fn get(base: &str, path: &str, headers: &[(&str, &str)], status: u16) -> Outcome<Self> {
        let authority = base.strip_prefix("http://").ok_or("the load speaks plain HTTP only")?;
        let headers: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        Ok(Self {
            address: authority.parse()?,
            bytes: format!("GET {path} HTTP/1.1\r\nhost: {authority}\r\n{headers}\r\n").into_bytes().into(),
            status,
        })
    }

    /// Closed loop: every connection asks again as soon as it has been answered.
    pub async fn closed(&self, connections: usize, duration: Duration) -> Outcome<Load> {
        let until = Instant::now() + duration;
        self.load(connections, move |_, _| (Instant::now() < until).then(Instant::now)).await
    }

    /// Open loop: `rate` requests a second in all, each due at its time whether or not the ones before have been answered.
    pub async fn open(&self, connections: usize, rate: f64, duration: Duration) -> Outcome<Load> {
        let start = Instant::now();
        let due = move |connection: usize, number: usize| {
            let place = (number * connections + connection) as f64;
            let after = Duration::from_secs_f64(place / rate.max(1.0));
            (after < duration).then_some(start + after)
        };
        self.load(connections, due).await
    }

    /// `due(connection, number)` says when a connection sends its next request; none ends it.
    async fn load(&self, connections: usize, due: impl Fn(usize, usize) -> Option<Instant> + Clone + Send + 'static) -> Outcome<Load> {
        let mut asking = JoinSet::new();
        let started = Instant::now();
        for index in 0..connections {
            let (target, due) = (self.clone(), due.clone());
            asking.spawn(async move {
                let mut connection = Connection::open(&target).await?;
                let mut latencies = Vec::new();
                while let Some(at) = due(index, latencies.len()) {
                    if at > Instant::now() {
                        tokio::time::sleep_until(at.into()).await;
                    }
                    connection.exchange(&target).await?;
                    latencies.push(ms(at.elapsed()));
                }
                Outcome::Ok(latencies)
            });
        }
        let mut latencies = Vec::new();
        while let Some(done) = asking.join_next().await {
            latencies.append(&mut done??);
        }
        Ok(Load {
            latencies,
            seconds: started.elapsed().as_secs_f64(),
        })
    }

    /// The head of one answer.
    pub async fn head(&self) -> Outcome<String> {
        let mut connection = Connection::open(self).await?;
        let head = connection.exchange(self).await?;
        Ok(String::from_utf8_lossy(connection.buffer.get(..head).unwrap_or_default()).into_owned())
    }
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    async fn open(target: &Target) -> Outcome<Self> {
        let stream = TcpStream::connect(target.address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            buffer: Vec::with_capacity(16 << 10),
        })
    }

    /// Sends the request and reads the whole answer; the length of its head.
    async fn exchange(&mut self, target: &Target) -> Outcome<usize> {
        self.stream.write_all(&target.bytes).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Err("the service closed the connection".into());
            }
            if let Some(answer) = answer(&self.buffer)?
                && self.buffer.len() >= answer.head + answer.body
            {
                if answer.status != target.status {
                    let text = String::from_utf8_lossy(&self.buffer);
                    return Err(format!(
                        "{} instead of {}: {}",
                        answer.status,
                        target.status,
                        text.chars().take(500).collect::<String>()
                    )
                    .into());
                }
                return Ok(answer.head);
            }
        }
    }
}

struct Answer {
    status: u16,
    head: usize,
    body: usize,
}

/// None while the head is not there as a whole.
fn answer(bytes: &[u8]) -> Outcome<Option<Answer>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(bytes)? else {
        return Ok(None);
    };
    let status = response.code.unwrap_or_default();
    let length = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let body = match length {
        Some(length) => std::str::from_utf8(length.value)?.parse()?,
        None if matches!(status, 204 | 304) => 0,
        None => return Err("an answer without its length".into()),
    };
    Ok(Some(Answer { status, head, body }))
}
