//! One connection with its channel and the declared topology.

use std::time::Duration;

use lapin::options::ConfirmSelectOptions;
use lapin::{Channel, Connection, ConnectionProperties};

use super::Error;
use super::topology::Topology;

const CONNECT: Duration = Duration::from_secs(10);

/// Dropping it closes the connection.
pub(super) struct Link {
    pub channel: Channel,
    _connection: Connection,
}

impl Link {
    pub async fn open(url: &str, name: &str, topology: &[Topology]) -> Result<Self, Error> {
        runtime::install_tls_provider();
        let attempt = async {
            let properties = ConnectionProperties::default().with_connection_name(name.into());
            let connection = Connection::connect(&with_heartbeat(url), properties).await?;
            let channel = connection.create_channel().await?;
            for part in topology {
                part.declare(&channel).await?;
            }
            Ok(Self {
                channel,
                _connection: connection,
            })
        };
        tokio::time::timeout(CONNECT, attempt).await.unwrap_or(Err(Error::Timeout))
    }

    /// From now on every publication is confirmed by the broker.
    pub async fn with_confirms(self) -> Result<Self, Error> {
        self.channel.confirm_select(ConfirmSelectOptions::default()).await?;
        Ok(self)
    }
}

/// A dead broker is noticed within a minute unless the URL says otherwise.
fn with_heartbeat(url: &str) -> String {
    match url.contains("heartbeat=") {
        true => url.to_owned(),
        false => format!("{url}{}heartbeat=30", if url.contains('?') { '&' } else { '?' }),
    }
}
