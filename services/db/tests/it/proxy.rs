//! A TCP proxy that can be cut: how a test takes away a server that it shares with others.

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub struct Proxy {
    port: u16,
    up: watch::Sender<bool>,
}

impl Proxy {
    /// Stands before the server of `url`.
    pub async fn before(url: &str, up: bool) -> Self {
        let target = authority(url).rsplit('@').next().unwrap().to_owned();
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
        let authority = authority(url);
        let login = authority.rsplit_once('@').map(|(login, _)| format!("{login}@")).unwrap_or_default();
        url.replacen(authority, &format!("{login}127.0.0.1:{}", self.port), 1)
    }
}

fn authority(url: &str) -> &str {
    url.split_once("//").unwrap().1.split('/').next().unwrap()
}

async fn forward(mut client: TcpStream, target: &str, mut state: watch::Receiver<bool>) {
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => {}
        _ = state.changed() => {}
    }
}
