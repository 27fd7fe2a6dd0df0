//! A TCP proxy that can be cut: how a test takes a server away without touching the shared one.

#![allow(clippy::unwrap_used, dead_code)]

use std::time::Duration;

use runtime::Settings;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub struct Proxy {
    pub port: u16,
    up: watch::Sender<bool>,
}

impl Proxy {
    /// Forwards to `host:port` of `url`; begins up or down.
    pub async fn to(url: &str, up: bool) -> Self {
        let target = url
            .split("//")
            .nth(1)
            .unwrap()
            .rsplit('@')
            .next()
            .unwrap()
            .split('/')
            .next()
            .unwrap()
            .to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (sender, state) = watch::channel(up);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let mut state = state.clone();
                let target = target.clone();
                if *state.borrow_and_update() {
                    tokio::spawn(async move { forward(client, &target, state).await });
                }
            }
        });
        Self { port, up: sender }
    }

    pub fn cut(&self) {
        self.up.send_replace(false);
    }

    pub fn heal(&self) {
        self.up.send_replace(true);
    }

    /// `url` with this proxy in place of its server.
    pub fn instead(&self, url: &str) -> String {
        let (scheme, rest) = url.split_once("//").unwrap();
        let (authority, path) = rest.split_once('/').unwrap();
        let login = authority.rsplit_once('@').map(|(login, _)| format!("{login}@")).unwrap_or_default();
        format!("{scheme}//{login}127.0.0.1:{}/{path}", self.port)
    }
}

async fn forward(mut client: TcpStream, target: &str, mut state: watch::Receiver<bool>) {
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
        _ = state.wait_for(|up| !*up) => {}
    }
}

pub fn settings(pairs: &[(&str, &str)]) -> Settings {
    Settings::from_pairs(pairs.iter().copied()).unwrap()
}

/// Repeats `probe` for at most ten seconds.
pub async fn eventually<T, Fut: Future<Output = Option<T>>>(what: &str, mut probe: impl FnMut() -> Fut) -> T {
    for _ in 0..200 {
        if let Some(value) = probe().await {
            return value;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what} did not happen within ten seconds");
}
