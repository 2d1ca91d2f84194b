//! What every client of Kafka has in common.

use rdkafka::ClientConfig;

use crate::Config;

/// Properties that the configuration must not set: exactly-once rests on them, and each service sets its own.
pub const RESERVED: [&str; 16] = [
    "acks",
    "allow.auto.create.topics",
    "auto.offset.reset",
    "bootstrap.servers",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "group.instance.id",
    "isolation.level",
    "metadata.broker.list",
    "partitioner",
    "request.required.acks",
    "transaction.timeout.ms",
    "transactional.id",
];

/// Brokers, `client.id` and the properties of the configuration; the caller adds what its role needs.
pub fn client_config(config: &Config) -> ClientConfig {
    let mut client = ClientConfig::new();
    for (name, value) in &config.kafka.properties {
        client.set(name, value);
    }
    client.set("bootstrap.servers", &config.kafka.bootstrap);
    client.set(
        "client.id",
        config.instance.as_deref().map_or_else(|| "tillstream".to_owned(), |i| format!("tillstream-{i}")),
    );
    client.set("allow.auto.create.topics", "false");
    client
}
