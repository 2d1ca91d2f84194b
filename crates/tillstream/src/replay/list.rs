//! The list of versions as the cluster has it.
//!
//! It is changed under one transactional id: whoever takes it over ends what a predecessor left open and is the only one
//! who can write, so what is read afterwards is still so when the change is written.

use anyhow::{Context as _, anyhow};
use service::Config;
use stream::{Followed, Outgoing, Writer, read_decided};
use topics::{Topic, Versions, version};

use crate::Stop;

/// The one name under which the list is changed.
const TRANSACTIONAL_ID: &str = "tillstream-replay";

/// Which versions there are.
pub fn read(config: &Config) -> anyhow::Result<Versions> {
    let client = service::kafka::client_config(config);
    let mut last = None;
    let whole = read_decided(&client, Topic::Versions.name(), &|| false, &mut |met| {
        if let Followed::Record { key: version::KEY, value: Some(value), .. } = met {
            last = Some(value.to_vec());
        }
        Ok(())
    });
    match whole {
        Ok(_) => {}
        // A cluster from before there were versions.
        Err(stream::Error::MissingTopic { .. }) => return Ok(Versions::default()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", Topic::Versions)),
    }
    last.map_or_else(|| Ok(Versions::default()), |value| Versions::read(&value).map_err(|e| anyhow!(e)))
}

/// Whoever has it alone may change the list.
pub struct Hand<'a> {
    config: &'a Config,
    writer: Writer,
}

impl<'a> Hand<'a> {
    /// Takes the list over.
    pub fn take(config: &'a Config) -> Result<Self, Stop> {
        let client = service::kafka::client_config(config);
        let largest = usize::try_from(Topic::AggregatorChangelog.spec().max_message.0).unwrap_or(usize::MAX);
        Ok(Self { config, writer: Writer::start(&client, TRANSACTIONAL_ID, largest, &|| false)? })
    }

    /// The list as it is.
    pub fn read(&self) -> anyhow::Result<Versions> {
        read(self.config)
    }

    /// Writes other records.
    pub fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Writes the list.
    pub fn write(&self, versions: &Versions) -> Result<(), Stop> {
        let value = versions.to_bytes();
        let record = Outgoing {
            topic: Topic::Versions.name(),
            partition: None,
            key: version::KEY,
            value: Some(&value),
            timestamp_millis: 0,
            headers: &[],
        };
        Ok(self.writer.write(&[record])?)
    }
}
