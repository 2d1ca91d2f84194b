//! The only unsafe code of the product: four calls of librdkafka that rdkafka 0.39 doesn't offer, or offers at a
//! price.
//!
//! `Producer::commit_transaction` of rdkafka polls for 100 ms whenever messages are un-acknowledged; the direct call
//! takes 1-3 ms. The generation of a consumer's membership isn't exposed at all, and an offset commit with a stale or
//! missing generation must be refused here because a broker takes it unchecked.
#![expect(unsafe_code, reason = "calls into librdkafka; each block says why it is sound")]

use std::ffi::CStr;

use rdkafka::TopicPartitionList;
use rdkafka::bindings as sys;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::producer::{Producer, ProducerContext, ThreadedProducer};

use crate::error::TransactionError;

/// Waits for ever: any other time-out risks a local state that disagrees with the coordinator's.
const NO_TIMEOUT: i32 = -1;

/// Commits the open transaction.
pub(crate) fn commit<C: ProducerContext + ClientContext + 'static>(
    producer: &ThreadedProducer<C>,
) -> Result<(), TransactionError> {
    // SAFETY: the pointer is valid as long as `producer` is borrowed, and the call is thread-safe.
    unsafe { take(sys::rd_kafka_commit_transaction(producer.client().native_ptr(), NO_TIMEOUT)) }
}

/// Aborts the open transaction.
pub(crate) fn abort<C: ProducerContext + ClientContext + 'static>(
    producer: &ThreadedProducer<C>,
) -> Result<(), TransactionError> {
    // SAFETY: as for `commit`.
    unsafe { take(sys::rd_kafka_abort_transaction(producer.client().native_ptr(), NO_TIMEOUT)) }
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
    producer: &ThreadedProducer<C>,
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
