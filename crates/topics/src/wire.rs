//! The Confluent wire format: a zero byte, the schema's id in four (big-endian), the Avro datum.

use std::fmt;
use std::io::BufRead;
use std::time::{Duration, Instant};

use commerce::avro::{self, Input};
use hashbrown::HashMap;
use serde::Deserialize;
use serde_avro_fast::Schema;
use serde_avro_fast::de::read::SliceRead;
use serde_avro_fast::de::{DeserializerConfig, DeserializerState};

use crate::registry::Topic;
use crate::schemas::{self, SchemaRegistry};

const HEADER: usize = 5;
/// An id that the registry doesn't know isn't asked for again so long: a run of poison records costs one question.
const UNKNOWN_FOR: Duration = Duration::from_secs(30);
/// So many unknown ids are remembered; more at a time are garbage, and the memory of them isn't worth more.
const UNKNOWN_IDS: usize = 1024;

/// Why a value wasn't written.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// The topic's values aren't Avro.
    #[error("the values of {0} have no Avro schema")]
    NoSchema(Topic),
    /// The value doesn't fit the topic's schema: a fault of this program.
    #[error("the values of {topic} are of the schema {schema}, and not {value}")]
    Unfit {
        /// The topic.
        topic: Topic,
        /// The name of its schema.
        schema: &'static str,
        /// That of the value.
        value: &'static str,
    },
}

/// Writes one topic's values.
pub struct Encoder {
    topic: Topic,
    header: [u8; HEADER],
    schema: &'static str,
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encoder").field("topic", &self.topic).field("id", &self.id()).finish()
    }
}

impl Encoder {
    pub(crate) fn new(topic: Topic, id: u32, schema: &'static str) -> Self {
        let [a, b, c, d] = id.to_be_bytes();
        Self { topic, header: [0, a, b, c, d], schema }
    }

    /// The schema's id.
    pub const fn id(&self) -> u32 {
        let [_, a, b, c, d] = self.header;
        u32::from_be_bytes([a, b, c, d])
    }

    /// Appends header and datum to `out`; after an error `out` is as it was.
    pub fn encode<T: avro::Write + avro::Record>(
        &self,
        value: &T,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        if T::NAME != self.schema {
            return Err(EncodeError::Unfit { topic: self.topic, schema: self.schema, value: T::NAME });
        }
        out.extend_from_slice(&self.header);
        value.write(out);
        Ok(())
    }
}

/// Why a record wasn't read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Too short, or it doesn't begin with a zero byte.
    #[error("the record isn't in the Confluent wire format")]
    NotWireFormat,
    /// The registry doesn't know the schema.
    #[error("schema id {0} is unknown to the schema registry")]
    UnknownSchema(u32),
    /// The registry couldn't be asked.
    #[error(transparent)]
    Registry(schemas::Error),
    /// The datum, or the schema of that id, can't be what it should.
    #[error("the record of schema id {id} can't be read: {message}")]
    Malformed {
        /// The id.
        id: u32,
        /// What the codec says.
        message: String,
    },
}

impl DecodeError {
    /// True when the record may be fine and the stage must wait; false when it is a dead letter.
    ///
    /// [`DecodeError::Registry`] with an error that isn't transient is neither: a wrong address or a missing right,
    /// for a person to mend.
    pub const fn is_transient(&self) -> bool {
        matches!(self, Self::Registry(error) if error.is_transient())
    }
}

enum Writer {
    /// This build's, by name: what is written with it is read field by field, without a look at the schema.
    Own(&'static str, &'static Schema),
    Fetched(Box<Schema>),
    /// The registry has it, but it is no Avro schema.
    Unusable(String),
}

/// Reads values with the schemas they were written with. Keep one per worker: it asks for each schema once.
pub struct Decoder {
    writers: HashMap<u32, Writer>,
    unknown: HashMap<u32, Instant>,
    registry: Option<SchemaRegistry>,
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Decoder").field("ids", &self.writers.keys()).finish_non_exhaustive()
    }
}

impl Decoder {
    pub(crate) fn new(
        own: impl Iterator<Item = (u32, &'static str, &'static Schema)>,
        registry: Option<SchemaRegistry>,
    ) -> Self {
        let writers = own.map(|(id, name, schema)| (id, Writer::Own(name, schema))).collect();
        Self { writers, unknown: HashMap::new(), registry }
    }

    /// Reads one value. Blocks when the schema must be fetched.
    pub fn decode<'a, T>(&mut self, bytes: &'a [u8]) -> Result<T, DecodeError>
    where
        T: avro::Read + avro::Record + Deserialize<'a>,
    {
        let Some(([0, a, b, c, d], datum)) = bytes.split_first_chunk::<HEADER>() else {
            return Err(DecodeError::NotWireFormat);
        };
        let id = u32::from_be_bytes([*a, *b, *c, *d]);
        if !self.writers.contains_key(&id) {
            self.fetch(id)?;
        }
        let malformed = |message: String| DecodeError::Malformed { id, message };
        let schema: &Schema = match self.writers.get(&id) {
            Some(Writer::Own(name, _)) if *name == T::NAME => {
                let mut input = Input::new(datum);
                let value = T::read(&mut input).map_err(|e| malformed(e.to_string()))?;
                return match input.rest() {
                    [] => Ok(value),
                    rest => Err(malformed(format!("{} bytes follow the value", rest.len()))),
                };
            }
            Some(Writer::Own(_, schema)) => schema,
            Some(Writer::Fetched(schema)) => schema,
            Some(Writer::Unusable(message)) => return Err(malformed(message.clone())),
            None => return Err(DecodeError::UnknownSchema(id)),
        };
        let mut config = DeserializerConfig::new(schema);
        // Our elements take a byte each at least; a damaged length must not keep the worker busy.
        config.max_seq_size = datum.len();
        let mut state = DeserializerState::with_config(SliceRead::new(datum), config);
        let value = T::deserialize(state.deserializer()).map_err(|e| malformed(e.to_string()))?;
        match state.into_reader().fill_buf() {
            Ok([]) => Ok(value),
            rest => Err(malformed(format!("{} bytes follow the value", rest.map_or(0, <[u8]>::len)))),
        }
    }

    fn fetch(&mut self, id: u32) -> Result<(), DecodeError> {
        if i32::try_from(id).is_err() || self.unknown.get(&id).is_some_and(|at| at.elapsed() < UNKNOWN_FOR) {
            return Err(DecodeError::UnknownSchema(id));
        }
        let Some(registry) = &self.registry else { return Err(DecodeError::UnknownSchema(id)) };
        match registry.schema_by_id(id) {
            Ok(text) => {
                self.unknown.remove(&id);
                let writer = text.parse().map_or_else(
                    |e: serde_avro_fast::schema::SchemaError| Writer::Unusable(e.to_string()),
                    |schema| Writer::Fetched(Box::new(schema)),
                );
                self.writers.insert(id, writer);
                Ok(())
            }
            Err(schemas::Error::UnknownSchema { .. }) => {
                if self.unknown.len() >= UNKNOWN_IDS {
                    self.unknown.clear();
                }
                self.unknown.insert(id, Instant::now());
                Err(DecodeError::UnknownSchema(id))
            }
            Err(error) => Err(DecodeError::Registry(error)),
        }
    }
}
