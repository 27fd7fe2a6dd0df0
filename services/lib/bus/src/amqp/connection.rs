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
            let connection = Connection::connect(&tuned(url), properties).await?;
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

/// A dead broker is noticed within a minute. Frames are small: the client holds two buffers of 32 frames for each connection, 8 MiB with the
/// broker's 128 KiB; a larger message is sent in several frames. What the URL says itself goes before.
fn tuned(url: &str) -> String {
    let mut tuned = url.to_owned();
    for (name, value) in [("heartbeat", 30), ("frame_max", 16 * 1024)] {
        if !url.contains(&format!("{name}=")) {
            tuned.push(if tuned.contains('?') { '&' } else { '?' });
            tuned.push_str(&format!("{name}={value}"));
        }
    }
    tuned
}

#[cfg(test)]
mod tests {
    use super::tuned;

    #[test]
    fn what_the_url_says_goes_before() {
        assert_eq!(tuned("amqp://h/v"), "amqp://h/v?heartbeat=30&frame_max=16384");
        assert_eq!(tuned("amqp://h?heartbeat=5"), "amqp://h?heartbeat=5&frame_max=16384");
        assert_eq!(tuned("amqp://h?frame_max=4096&heartbeat=5"), "amqp://h?frame_max=4096&heartbeat=5");
    }
}
