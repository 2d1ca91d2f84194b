//! The only unsafe code of the product: six calls of librdkafka that rdkafka 0.39 doesn't offer, or offers at a
//! price.
//!
//! `Producer::commit_transaction` of rdkafka polls for 100 ms whenever messages are un-acknowledged; the direct call
//! takes 1-3 ms. The generation of a consumer's membership isn't exposed at all, and an offset commit with a stale or
//! missing generation must be refused here because a broker takes it unchecked. And a topic that was made anew under
//! its old name is recognised by its id alone. And how many events a producer has to say it doesn't tell.
#![expect(unsafe_code, reason = "calls into librdkafka; each block says why it is sound")]

use std::ffi::{CStr, CString};
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::bindings as sys;
use rdkafka::client::{Client, ClientContext};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};

use crate::error::TransactionError;

/// Waits for ever: any other time-out risks a local state that disagrees with the coordinator's.
const NO_TIMEOUT: i32 = -1;

/// Commits the open transaction.
pub(crate) fn commit<C: ProducerContext + ClientContext + 'static>(
    producer: &BaseProducer<C>,
) -> Result<(), TransactionError> {
    // SAFETY: the pointer is valid as long as `producer` is borrowed, and the call is thread-safe.
    unsafe { take(sys::rd_kafka_commit_transaction(producer.client().native_ptr(), NO_TIMEOUT)) }
}

/// Aborts the open transaction.
pub(crate) fn abort<C: ProducerContext + ClientContext + 'static>(
    producer: &BaseProducer<C>,
) -> Result<(), TransactionError> {
    // SAFETY: as for `commit`.
    unsafe { take(sys::rd_kafka_abort_transaction(producer.client().native_ptr(), NO_TIMEOUT)) }
}

/// How many events of a producer wait to be polled.
pub(crate) fn waiting<C: ProducerContext + ClientContext>(producer: &BaseProducer<C>) -> usize {
    // SAFETY: the pointer is valid as long as `producer` is borrowed; the queue is a counted reference to its main one,
    // ours to give back, and its length may be asked for from any thread.
    unsafe {
        let queue = sys::rd_kafka_queue_get_main(producer.client().native_ptr());
        let waiting = sys::rd_kafka_queue_length(queue);
        sys::rd_kafka_queue_destroy(queue);
        waiting
    }
}

/// A consumer's membership in its group at one moment.
pub(crate) struct Membership(*mut sys::rd_kafka_consumer_group_metadata_t);

impl Membership {
    /// Reads it from the consumer; `None` before the first join. Call it on the polling thread, right before it is
    /// used: a generation that was read earlier may be over.
    pub(crate) fn of<C: rdkafka::consumer::ConsumerContext>(consumer: &BaseConsumer<C>) -> Option<Self> {
        // SAFETY: the consumer is alive as long as it is borrowed; the object that is returned is ours to free.
        let ptr = unsafe { sys::rd_kafka_consumer_group_metadata(consumer.client().native_ptr()) };
        (!ptr.is_null()).then_some(Self(ptr))
    }

    /// Nobody's: what a broker takes unchecked. For tests that prove that it matters.
    #[cfg(feature = "failpoints")]
    pub(crate) fn anonymous(group: &CStr) -> Self {
        // SAFETY: the group's name is a string that ends; the object that is returned is ours to free.
        Self(unsafe { sys::rd_kafka_consumer_group_metadata_new(group.as_ptr()) })
    }

    /// The member id within a generation; `None` outside of one: without it the broker would take offsets unchecked.
    pub(crate) fn member(&self) -> Option<String> {
        // SAFETY: the pointer is not null and owned by `self`; the returned member id points into it.
        unsafe {
            let member = sys::rd_kafka_consumer_group_metadata_member_id(self.0);
            if member.is_null() || sys::rd_kafka_consumer_group_metadata_generation_id(self.0) < 0 {
                return None;
            }
            let member = CStr::from_ptr(member).to_string_lossy().into_owned();
            (!member.is_empty()).then_some(member)
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        // SAFETY: owned by `self` and freed once.
        unsafe { sys::rd_kafka_consumer_group_metadata_destroy(self.0) }
    }
}

/// Adds the input offsets to the open transaction, on behalf of a member.
pub(crate) fn send_offsets<C: ProducerContext + ClientContext + 'static>(
    producer: &BaseProducer<C>,
    offsets: &TopicPartitionList,
    membership: &Membership,
) -> Result<(), TransactionError> {
    // SAFETY: all three are valid for the length of the call, which copies what it needs.
    unsafe {
        take(sys::rd_kafka_send_offsets_to_transaction(
            producer.client().native_ptr(),
            offsets.ptr(),
            membership.0,
            NO_TIMEOUT,
        ))
    }
}

/// The id that the cluster gave a topic when it was made; `None` when the brokers know no ids.
pub(crate) fn topic_id<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    patience: Duration,
) -> Result<Option<String>, RDKafkaErrorCode> {
    let name = CString::new(topic).map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
    let mut names = [name.as_ptr()];
    let patience = i32::try_from(patience.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the client is alive as long as it is borrowed. The request copies the names, and holds the queue by
    // itself as long as it needs it, so collection and queue are ours to free right after. The event is ours to free,
    // and everything that is taken out of it is copied before.
    unsafe {
        let queue = sys::rd_kafka_queue_new(client.native_ptr());
        let topics = sys::rd_kafka_TopicCollection_of_topic_names(names.as_mut_ptr(), names.len());
        sys::rd_kafka_DescribeTopics(client.native_ptr(), topics, std::ptr::null(), queue);
        sys::rd_kafka_TopicCollection_destroy(topics);
        let event = sys::rd_kafka_queue_poll(queue, patience);
        sys::rd_kafka_queue_destroy(queue);
        if event.is_null() {
            return Err(RDKafkaErrorCode::OperationTimedOut);
        }
        let id = described_id(event);
        sys::rd_kafka_event_destroy(event);
        id
    }
}

/// The id in the answer about one topic.
///
/// # Safety
/// `event` is a living event.
unsafe fn described_id(event: *mut sys::rd_kafka_event_t) -> Result<Option<String>, RDKafkaErrorCode> {
    // SAFETY: each call takes what the one before gave, checked for null; all of it lives as long as the event.
    unsafe {
        let failure = sys::rd_kafka_event_error(event);
        if failure as i32 != 0 {
            return Err(failure.into());
        }
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return Err(RDKafkaErrorCode::Unknown);
        }
        let mut count = 0;
        let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        if topics.is_null() || count != 1 {
            return Err(RDKafkaErrorCode::Unknown);
        }
        let error = sys::rd_kafka_TopicDescription_error(*topics);
        if !error.is_null() && sys::rd_kafka_error_code(error) as i32 != 0 {
            return Err(sys::rd_kafka_error_code(error).into());
        }
        let id = sys::rd_kafka_TopicDescription_topic_id(*topics);
        if id.is_null() {
            return Ok(None);
        }
        let (high, low) =
            (sys::rd_kafka_Uuid_most_significant_bits(id), sys::rd_kafka_Uuid_least_significant_bits(id));
        // Brokers that don't know ids say zero.
        Ok((high != 0 || low != 0).then(|| format!("{high:016x}{low:016x}")))
    }
}

/// Turns an error object into a value and frees it.
///
/// # Safety
/// `error` is null or an error object that nobody else frees.
unsafe fn take(error: *mut sys::rd_kafka_error_t) -> Result<(), TransactionError> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: not null, and owned by us until it is destroyed below.
    let (code, retriable, abortable, fatal, message) = unsafe {
        let result = (
            RDKafkaErrorCode::from(sys::rd_kafka_error_code(error)),
            sys::rd_kafka_error_is_retriable(error) != 0,
            sys::rd_kafka_error_txn_requires_abort(error) != 0,
            sys::rd_kafka_error_is_fatal(error) != 0,
            CStr::from_ptr(sys::rd_kafka_error_string(error)).to_string_lossy().into_owned(),
        );
        sys::rd_kafka_error_destroy(error);
        result
    };
    Err(TransactionError::new(code, retriable, abortable, fatal, message))
}
