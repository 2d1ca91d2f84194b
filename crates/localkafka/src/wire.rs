//! The few requests, in Kafka's own protocol, that this crate asks of a broker.
//!
//! Versions are fixed to some that Kafka 4 speaks, because the broker is our own: there is nothing to negotiate.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::Duration,
};

use bytes::{Buf as _, Bytes, BytesMut};
use kafka_protocol::{
    messages::{
        BrokerId, DescribeProducersRequest, FetchRequest, ListOffsetsRequest, MetadataRequest,
        MetadataResponse, RequestHeader, ResponseHeader, TopicName, WriteTxnMarkersRequest,
        describe_producers_request::TopicRequest,
        fetch_request::{FetchPartition, FetchTopic},
        list_offsets_request::{ListOffsetsPartition, ListOffsetsTopic},
        write_txn_markers_request::{WritableTxnMarker, WritableTxnMarkerTopic},
    },
    protocol::{Decodable as _, Encodable as _, HeaderVersion as _, Request, StrBytes},
    records::{Record, RecordBatchDecoder},
};

use crate::transactions::{Marker, Open};

const CORRELATION: i32 = 0x7469_6C6C;
const MAX_ANSWER: usize = 64 << 20;
/// Of one read of a log; a batch that is larger comes whole.
const READ: i32 = 8 << 20;
/// Of a record batch: where its length is, and what comes before the bytes that are counted.
const BATCH_LENGTH: std::ops::Range<usize> = 8..12;

/// What one broker tells its clients.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Metadata {
    /// The live brokers: node id and port.
    pub(crate) brokers: Vec<(i32, u16)>,
    /// The controller's node id; -1 while there is none.
    pub(crate) controller: i32,
    /// What was asked for.
    pub(crate) partitions: Vec<Partition>,
}

/// A partition and who leads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Partition {
    pub(crate) topic: String,
    pub(crate) index: i32,
    /// A node id; -1 for nobody.
    pub(crate) leader: i32,
}

impl Metadata {
    /// Where a partition's leader listens, while it lives.
    pub(crate) fn leader(&self, partition: &Partition) -> Option<u16> {
        self.brokers.iter().find(|(id, _)| *id == partition.leader).map(|(_, port)| *port)
    }
}

/// Which brokers clients are told of.
///
/// A broker accepts connections well before it has joined its cluster; until then its answer lists no live broker.
pub(crate) fn brokers(port: u16, timeout: Duration) -> io::Result<Metadata> {
    // No topics; none at all would mean all of them.
    let request = MetadataRequest::default().with_topics(Some(Vec::new()));
    call(port, timeout, 12, &request).and_then(metadata)
}

/// The same, and all partitions of the cluster, Kafka's own among them.
pub(crate) fn partitions(port: u16, timeout: Duration) -> io::Result<Metadata> {
    call(port, timeout, 12, &MetadataRequest::default().with_topics(None)).and_then(metadata)
}

fn metadata(answer: MetadataResponse) -> io::Result<Metadata> {
    let mut partitions = Vec::new();
    for topic in &answer.topics {
        refused(topic.error_code)?;
        let Some(name) = &topic.name else { continue };
        // A partition's own error says that nobody leads it, and so does its leader.
        partitions.extend(topic.partitions.iter().map(|p| Partition {
            topic: name.to_string(),
            index: p.partition_index,
            leader: p.leader_id.0,
        }));
    }
    let brokers = answer
        .brokers
        .iter()
        .map(|broker| Ok((broker.node_id.0, u16::try_from(broker.port).map_err(io::Error::other)?)))
        .collect::<io::Result<_>>()?;
    Ok(Metadata { brokers, controller: answer.controller_id.0, partitions })
}

/// The transactions that are open in these partitions, of which the asked broker is the leader.
pub(crate) fn open_transactions(
    port: u16,
    timeout: Duration,
    partitions: &[&Partition],
) -> io::Result<Vec<Open>> {
    let topics = partitions.iter().map(|partition| {
        TopicRequest::default()
            .with_name(name(&partition.topic))
            .with_partition_indexes(vec![partition.index])
    });
    let request = DescribeProducersRequest::default().with_topics(topics.collect());
    let answer = call(port, timeout, 0, &request)?;
    let mut open = Vec::new();
    for topic in &answer.topics {
        for partition in &topic.partitions {
            refused(partition.error_code)?;
            for producer in partition.active_producers.iter().filter(|p| p.current_txn_start_offset >= 0) {
                open.push(Open {
                    topic: topic.name.to_string(),
                    partition: partition.partition_index,
                    producer: producer.producer_id.0,
                    epoch: i16::try_from(producer.producer_epoch).map_err(io::Error::other)?,
                    coordinator_epoch: producer.coordinator_epoch,
                    start: producer.current_txn_start_offset,
                });
            }
        }
    }
    Ok(open)
}

/// Writes the marker that ends a transaction in one partition, of which the asked broker is the leader.
pub(crate) fn write_marker(port: u16, timeout: Duration, open: &Open, marker: Marker) -> io::Result<()> {
    let topic = WritableTxnMarkerTopic::default()
        .with_name(name(&open.topic))
        .with_partition_indexes(vec![open.partition]);
    let marker = WritableTxnMarker::default()
        .with_producer_id(open.producer.into())
        .with_producer_epoch(open.epoch)
        // A marker of an epoch below the last one's is refused, and one above would shut the coordinator's own markers
        // out; before the first it is -1, for which Kafka's own tool writes 0.
        .with_coordinator_epoch(open.coordinator_epoch.max(0))
        .with_transaction_result(marker == Marker::Commit)
        .with_topics(vec![topic]);
    let answer = call(port, timeout, 1, &WriteTxnMarkersRequest::default().with_markers(vec![marker]))?;
    let results = answer.markers.iter().flat_map(|marker| &marker.topics).flat_map(|topic| &topic.partitions);
    results.map(|result| result.error_code).try_for_each(refused)
}

/// Gives all records of a partition, from its start to its present end, to `each`.
///
/// An error if not all of them can be read yet: a leader that has just been made one shows its clients the log up to
/// what it had written down before it was killed, and the rest a moment later.
pub(crate) fn read_log(
    port: u16,
    timeout: Duration,
    partition: &Partition,
    mut each: impl FnMut(&Record) -> io::Result<()>,
) -> io::Result<()> {
    let end = end_of_log(port, timeout, partition)?;
    let mut next = 0;
    while next < end {
        let fetched = FetchPartition::default()
            .with_partition(partition.index)
            .with_fetch_offset(next)
            .with_partition_max_bytes(READ);
        let topic = FetchTopic::default().with_topic(name(&partition.topic)).with_partitions(vec![fetched]);
        let request = FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_bytes(READ)
            .with_topics(vec![topic]);
        let answer = call(port, timeout, 12, &request)?;
        refused(answer.error_code)?;
        let data = answer.responses.first().and_then(|topic| topic.partitions.first());
        let data = data.ok_or_else(|| io::Error::other("an answer without the partition"))?;
        refused(data.error_code)?;
        let before = next;
        for record in &records(data.records.clone().unwrap_or_default())? {
            each(record)?;
            next = next.max(record.offset + 1);
        }
        if next == before {
            return Err(io::Error::other("a log cannot be read to its end yet"));
        }
    }
    Ok(())
}

/// The offset after the last record, whether clients are shown that one yet or not.
fn end_of_log(port: u16, timeout: Duration, partition: &Partition) -> io::Result<i64> {
    const DEBUGGER: BrokerId = BrokerId(-2); // a consumer would be told the high watermark
    const LATEST: i64 = -1;
    let asked = ListOffsetsPartition::default().with_partition_index(partition.index).with_timestamp(LATEST);
    let topic = ListOffsetsTopic::default().with_name(name(&partition.topic)).with_partitions(vec![asked]);
    let request = ListOffsetsRequest::default().with_replica_id(DEBUGGER).with_topics(vec![topic]);
    let answer = call(port, timeout, 6, &request)?;
    let told = answer.topics.first().and_then(|topic| topic.partitions.first());
    let told = told.ok_or_else(|| io::Error::other("an answer without the partition"))?;
    refused(told.error_code)?;
    Ok(told.offset)
}

/// The records of all whole batches; the last batch of an answer may be cut short.
fn records(mut bytes: Bytes) -> io::Result<Vec<Record>> {
    let mut records = Vec::new();
    while let Some(mut length) = bytes.get(BATCH_LENGTH) {
        let length = usize::try_from(length.get_i32()).map_err(io::Error::other)?;
        if bytes.len() < BATCH_LENGTH.end + length {
            break;
        }
        records.extend(RecordBatchDecoder::decode(&mut bytes).map_err(io::Error::other)?.records);
    }
    Ok(records)
}

/// Connects to `127.0.0.1:port` and asks once.
fn call<R: Request>(port: u16, timeout: Duration, version: i16, request: &R) -> io::Result<R::Response> {
    let header = RequestHeader::default()
        .with_request_api_key(R::KEY)
        .with_request_api_version(version)
        .with_correlation_id(CORRELATION)
        .with_client_id(Some(StrBytes::from_static_str("localkafka")));
    let mut frame = BytesMut::new();
    header.encode(&mut frame, R::header_version(version)).map_err(io::Error::other)?;
    request.encode(&mut frame, version).map_err(io::Error::other)?;
    let length = i32::try_from(frame.len()).map_err(io::Error::other)?;

    let mut stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    stream.write_all(&[&length.to_be_bytes(), &frame[..]].concat())?;

    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(i32::from_be_bytes(length)).map_err(io::Error::other)?;
    if length > MAX_ANSWER {
        return Err(not_kafka());
    }
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    let mut answer = Bytes::from(answer);
    let header = ResponseHeader::decode(&mut answer, R::Response::header_version(version));
    if header.map_err(io::Error::other)?.correlation_id != CORRELATION {
        return Err(not_kafka());
    }
    R::Response::decode(&mut answer, version).map_err(io::Error::other)
}

fn not_kafka() -> io::Error {
    io::Error::other("the answer is not that of a Kafka broker")
}

fn refused(code: i16) -> io::Result<()> {
    if code == 0 { Ok(()) } else { Err(io::Error::other(format!("the broker answered with error {code}"))) }
}

fn name(topic: &str) -> TopicName {
    TopicName(StrBytes::from_string(topic.to_owned()))
}

#[cfg(test)]
mod tests {
    use bytes::BufMut as _;
    use kafka_protocol::{
        messages::metadata_response::{
            MetadataResponseBroker, MetadataResponsePartition, MetadataResponseTopic,
        },
        records::{Compression, RecordBatchEncoder, RecordEncodeOptions, TimestampType},
    };

    use super::*;

    #[test]
    fn live_brokers_and_leaders_are_read_from_an_answer_and_a_partition_without_one_has_none() {
        let broker = |id| MetadataResponseBroker::default().with_node_id(BrokerId(id)).with_port(9000 + id);
        let led = |index, leader| {
            MetadataResponsePartition::default().with_partition_index(index).with_leader_id(BrokerId(leader))
        };
        let topic = MetadataResponseTopic::default()
            .with_name(Some(name("orders")))
            .with_partitions(vec![led(0, 3), led(1, -1).with_error_code(5)]);
        let answer = MetadataResponse::default()
            .with_brokers(vec![broker(1), broker(3)])
            .with_controller_id(BrokerId(3))
            .with_topics(vec![topic]);
        let metadata = metadata(answer).unwrap();
        assert_eq!((metadata.brokers.as_slice(), metadata.controller), (&[(1, 9001), (3, 9003)][..], 3));
        let leaders: Vec<_> = metadata.partitions.iter().map(|p| metadata.leader(p)).collect();
        assert_eq!(leaders, [Some(9003), None]);
    }

    #[test]
    fn a_batch_that_is_cut_short_is_left_for_the_next_read() {
        let record = |offset| Record {
            transactional: false,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: 0,
            producer_id: -1,
            producer_epoch: -1,
            timestamp_type: TimestampType::Creation,
            offset,
            sequence: -1,
            timestamp: 0,
            key: Some(Bytes::from_static(b"key")),
            value: None,
            headers: Default::default(),
        };
        let options = RecordEncodeOptions { version: 2, compression: Compression::None };
        let batch = |offset| {
            let mut bytes = BytesMut::new();
            RecordBatchEncoder::encode(&mut bytes, [&record(offset)], &options).unwrap();
            bytes
        };
        let (first, second) = (batch(7), batch(8));
        for cut in 0..second.len() {
            let mut bytes = first.clone();
            bytes.put_slice(&second[..cut]);
            let offsets: Vec<i64> = records(bytes.freeze()).unwrap().iter().map(|r| r.offset).collect();
            assert_eq!(offsets, [7], "{cut} bytes of the second");
        }
    }
}
