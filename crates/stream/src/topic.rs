//! What the brokers say of a topic, beyond its offsets.

use std::thread;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::KafkaError;

use crate::{Error, native};

const CALL: Duration = Duration::from_secs(10);
const PATIENCE: Duration = Duration::from_secs(60);

/// What distinguishes a topic from others of its name, and how long its tombstones are there.
pub(crate) struct Topic {
    /// `None` when the brokers don't tell.
    pub(crate) id: Option<String>,
    /// `delete.retention.ms`; `None` when the brokers don't tell, as without the permission to ask.
    pub(crate) tombstones: Option<Duration>,
}

/// Asks the brokers.
pub(crate) fn describe(client: &ClientConfig, topic: &str) -> Result<Topic, Error> {
    let admin: AdminClient<DefaultClientContext> =
        client.create().map_err(|source| Error::Client { what: "admin", source })?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|e| Error::Processor(format!("the runtime of the admin client couldn't start: {e}")))?;
    let options = AdminOptions::new().request_timeout(Some(CALL)).operation_timeout(Some(CALL));
    let resource = ResourceSpecifier::Topic(topic);
    let deadline = Instant::now() + PATIENCE;
    loop {
        match runtime.block_on(admin.describe_configs([&resource], &options)) {
            Ok(results) => {
                let config = match results.into_iter().next() {
                    Some(Ok(config)) => Some(config),
                    Some(Err(error)) => {
                        tracing::warn!(topic, error = %error, "the brokers don't tell the topic's configuration");
                        None
                    }
                    None => None,
                };
                let tombstones = config.and_then(|config| {
                    let value = config.get("delete.retention.ms")?.value.as_deref()?.parse().ok()?;
                    Some(Duration::from_millis(value))
                });
                return Ok(Topic { id: native::topic_id(admin.inner(), topic, CALL), tombstones });
            }
            Err(source) if Instant::now() >= deadline => return Err(failed(topic, source)),
            Err(error) => {
                tracing::debug!(topic, error = %error, "asking for the topic's configuration, trying again");
                thread::sleep(Duration::from_millis(200));
            }
        }
    }
}

fn failed(topic: &str, source: KafkaError) -> Error {
    Error::Kafka { what: format!("read the configuration of {topic}"), source }
}
