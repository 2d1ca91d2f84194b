//! What the brokers say of a topic, beyond its offsets.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, ResourceSpecifier};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

use crate::patience::{CALL, Patience};
use crate::{Error, native};

/// What distinguishes a topic from others of its name, and how long its tombstones are there.
pub(crate) struct Topic {
    /// `None` when the brokers don't tell.
    pub(crate) id: Option<String>,
    /// `delete.retention.ms`; `None` when the brokers don't tell, as without the permission to ask.
    pub(crate) tombstones: Option<Duration>,
}

/// Asks the brokers until they answer.
pub(crate) fn describe(client: &ClientConfig, topic: &str, patience: &Patience<'_>) -> Result<Topic, Error> {
    let admin: AdminClient<DefaultClientContext> =
        client.create().map_err(|source| Error::Client { what: "admin", source })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(|source| {
        Error::System { what: "the runtime of the admin client couldn't start", detail: source.to_string() }
    })?;
    let options = AdminOptions::new().request_timeout(Some(CALL)).operation_timeout(Some(CALL));
    let resource = ResourceSpecifier::Topic(topic);
    let tombstones = patience.insist(&format!("read the configuration of {topic}"), || {
        let results = runtime.block_on(admin.describe_configs([&resource], &options))?;
        let answer = results.into_iter().next().unwrap_or(Err(Code::Unknown));
        let Some(config) = told(topic, answer)? else { return Ok(None) };
        let value = || config.get("delete.retention.ms")?.value.as_deref()?.parse().ok();
        Ok(value().map(Duration::from_millis))
    })?;
    let id = patience.insist(&format!("read the id of {topic}"), || {
        Ok(told(topic, native::topic_id(admin.inner(), topic, CALL))?.flatten())
    })?;
    Ok(Topic { id, tombstones })
}

/// `None` when the brokers won't tell however often they are asked. Whatever else they say passes: taken for an
/// answer, it would cost a good store.
fn told<T>(topic: &str, answer: Result<T, Code>) -> Result<Option<T>, KafkaError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(
            code @ (Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::UnsupportedFeature
            | Code::UnsupportedVersion),
        ) => {
            tracing::warn!(topic, error = %code, "the brokers don't tell about the topic");
            Ok(None)
        }
        Err(code) => Err(KafkaError::AdminOp(code)),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::patience::passes;

    #[test]
    fn a_cluster_that_is_away_is_waited_for_until_it_has_to_end() {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", "127.0.0.1:1");
        // One look before each pause: the second is after the first attempt.
        let looks = Cell::new(0);
        let stop = || looks.replace(looks.get() + 1) > 0;
        let end = describe(&client, "t", &Patience { stop: &stop, observer: None });
        assert!(matches!(end, Err(Error::Stopped)));
    }

    #[test]
    fn only_what_no_repetition_changes_counts_as_not_told() {
        assert_eq!(told("t", Ok(7)), Ok(Some(7)));
        for code in [Code::TopicAuthorizationFailed, Code::ClusterAuthorizationFailed] {
            assert_eq!(told::<()>("t", Err(code)), Ok(None));
        }
        for code in [Code::RequestTimedOut, Code::NotController, Code::OperationTimedOut, Code::Unknown] {
            assert!(passes(&told::<()>("t", Err(code)).unwrap_err()), "{code} is asked again");
        }
    }
}
