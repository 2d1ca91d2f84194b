//! An input record, borrowed from the consumer or built by a test.

use rdkafka::message::{BorrowedMessage, Headers, Message};
use smallvec::SmallVec;

/// One record of the input topic.
#[derive(Debug, Clone)]
pub struct Record<'a> {
    /// Topic.
    pub topic: &'a str,
    /// Partition, which is the task.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// The record's timestamp: milliseconds since 1970, carried from stage to stage so that the latency from
    /// arrival to result can be read at the end.
    pub timestamp_millis: i64,
    /// Key, empty when there is none.
    pub key: &'a [u8],
    /// Value; `None` is a tombstone.
    pub value: Option<&'a [u8]>,
    headers: SmallVec<[(&'a str, &'a [u8]); 12]>,
    is_cut: bool,
}

impl<'a> Record<'a> {
    /// A record from parts, for tests and audits.
    pub fn new(topic: &'a str, partition: i32, offset: i64, key: &'a [u8], value: &'a [u8]) -> Self {
        Self {
            topic,
            partition,
            offset,
            timestamp_millis: 0,
            key,
            value: Some(value),
            headers: SmallVec::new(),
            is_cut: false,
        }
    }

    /// The same record with a header more.
    #[must_use]
    pub fn with_header(mut self, name: &'a str, value: &'a [u8]) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The same record with a timestamp.
    #[must_use]
    pub fn with_timestamp(mut self, millis: i64) -> Self {
        self.timestamp_millis = millis;
        self
    }

    /// The same record with the first bytes of its value only, and without headers where nothing of it is kept: for a
    /// dead letter that its topic can't take whole.
    pub(crate) fn cut_to(&self, length: usize) -> Self {
        let mut cut = self.clone();
        cut.value = cut.value.map(|value| &value[..length.min(value.len())]);
        cut.is_cut = true;
        if length == 0 {
            cut.headers.clear();
        }
        cut
    }

    pub(crate) fn from_message(message: &'a BorrowedMessage<'_>) -> Self {
        let mut headers = SmallVec::new();
        if let Some(all) = message.headers() {
            for header in all.iter() {
                headers.push((header.key, header.value.unwrap_or_default()));
            }
        }
        Self {
            topic: message.topic(),
            partition: message.partition(),
            offset: message.offset(),
            timestamp_millis: message.timestamp().to_millis().unwrap_or(0),
            key: message.key().unwrap_or_default(),
            value: message.payload(),
            headers,
            is_cut: false,
        }
    }

    /// True where the value is only the beginning of the record's, because its dead letter can't hold all of it.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// All headers, in order.
    pub fn headers(&self) -> &[(&'a str, &'a [u8])] {
        &self.headers
    }

    /// The first header of that name, if it is text.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        let (_, value) = self.headers.iter().find(|(n, _)| *n == name)?;
        std::str::from_utf8(value).ok()
    }
}
