//! Transactions that Kafka itself would leave open, made with its own protocol: no client library can do wrong on purpose.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use bytes::{Bytes, BytesMut};
use kafka_protocol::{
    messages::{
        AddPartitionsToTxnRequest, BrokerId, CreateTopicsRequest, DescribeTransactionsRequest, EndTxnRequest,
        FetchRequest, FindCoordinatorRequest, IncrementalAlterConfigsRequest, InitProducerIdRequest,
        ProduceRequest, RequestHeader, ResponseHeader, TopicName, TransactionalId,
        add_partitions_to_txn_request::AddPartitionsToTxnTopic,
        create_topics_request::CreatableTopic,
        fetch_request::{FetchPartition, FetchTopic},
        fetch_response::PartitionData,
        incremental_alter_configs_request::{AlterConfigsResource, AlterableConfig},
        produce_request::{PartitionProduceData, TopicProduceData},
    },
    protocol::{Decodable as _, Encodable as _, HeaderVersion as _, Request, StrBytes},
    records::{Compression, Record, RecordBatchEncoder, RecordEncodeOptions, TimestampType},
};
use localkafka::{Cluster, Options};

use crate::{eventually, start};

const TOPIC: &str = "orders";

fn topic() -> TopicName {
    TopicName(StrBytes::from_static_str(TOPIC))
}

fn ask<R: Request>(cluster: &Cluster, version: i16, request: &R) -> R::Response {
    let header = RequestHeader::default().with_request_api_key(R::KEY).with_request_api_version(version);
    let mut frame = BytesMut::new();
    header.encode(&mut frame, R::header_version(version)).unwrap();
    request.encode(&mut frame, version).unwrap();
    let mut stream = TcpStream::connect(cluster.bootstrap()).unwrap();
    stream.write_all(&i32::try_from(frame.len()).unwrap().to_be_bytes()).unwrap();
    stream.write_all(&frame).unwrap();
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut answer = vec![0; usize::try_from(i32::from_be_bytes(length)).unwrap()];
    stream.read_exact(&mut answer).unwrap();
    let mut answer = Bytes::from(answer);
    ResponseHeader::decode(&mut answer, R::Response::header_version(version)).unwrap();
    R::Response::decode(&mut answer, version).unwrap()
}

/// A producer that writes to the partition of its number.
struct Producer<'c> {
    cluster: &'c Cluster,
    partition: i32,
    name: TransactionalId,
    id: i64,
    epoch: i16,
}

impl<'c> Producer<'c> {
    fn new(cluster: &'c Cluster, partition: i32) -> Self {
        let name = TransactionalId(StrBytes::from_string(format!("producer-{partition}")));
        let find = FindCoordinatorRequest::default().with_key(name.0.clone()).with_key_type(1);
        let init = InitProducerIdRequest::default()
            .with_transactional_id(Some(name.clone()))
            .with_transaction_timeout_ms(600_000);
        let mut id = None;
        eventually("a coordinator is there", || {
            ask(cluster, 3, &find);
            let answer = ask(cluster, 4, &init);
            id = (answer.error_code == 0).then_some((answer.producer_id.0, answer.producer_epoch));
            id.is_some()
        });
        let (id, epoch) = id.unwrap();
        Self { cluster, partition, name, id, epoch }
    }

    fn begin(&self) {
        let added =
            AddPartitionsToTxnTopic::default().with_name(topic()).with_partitions(vec![self.partition]);
        let request = AddPartitionsToTxnRequest::default()
            .with_v3_and_below_transactional_id(self.name.clone())
            .with_v3_and_below_producer_id(self.id.into())
            .with_v3_and_below_producer_epoch(self.epoch)
            .with_v3_and_below_topics(vec![added]);
        eventually("the transaction has begun", || {
            let answer = ask(self.cluster, 3, &request);
            answer.results_by_topic_v3_and_below[0].results_by_partition[0].partition_error_code == 0
        });
    }

    /// Writes its record of this number, of a transaction.
    fn write(&self, sequence: i32) {
        let record = Record {
            transactional: true,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: -1,
            producer_id: self.id,
            producer_epoch: self.epoch,
            timestamp_type: TimestampType::Creation,
            offset: 0, // the broker gives it another
            sequence,
            timestamp: 0,
            key: None,
            value: Some(Bytes::from_static(b"an order")),
            headers: Default::default(),
        };
        let mut records = BytesMut::new();
        let options = RecordEncodeOptions { version: 2, compression: Compression::None };
        RecordBatchEncoder::encode(&mut records, [&record], &options).unwrap();
        let partition =
            PartitionProduceData::default().with_index(self.partition).with_records(Some(records.freeze()));
        let written = TopicProduceData::default().with_name(topic()).with_partition_data(vec![partition]);
        let request = ProduceRequest::default()
            .with_transactional_id(Some(self.name.clone()))
            .with_acks(-1)
            .with_timeout_ms(10_000)
            .with_topic_data(vec![written]);
        let answer = ask(self.cluster, 9, &request);
        assert_eq!(answer.responses[0].partition_responses[0].error_code, 0);
    }

    fn end(&self, commit: bool) {
        let request = EndTxnRequest::default()
            .with_transactional_id(self.name.clone())
            .with_producer_id(self.id.into())
            .with_producer_epoch(self.epoch)
            .with_committed(commit);
        assert_eq!(ask(self.cluster, 3, &request).error_code, 0);
        let request = DescribeTransactionsRequest::default().with_transactional_ids(vec![self.name.clone()]);
        eventually("the transaction has ended", || {
            ask(self.cluster, 0, &request).transaction_states[0].transaction_state.starts_with("Complete")
        });
    }
}

/// What a reader of committed records is told of a partition from an offset on.
fn committed(cluster: &Cluster, partition: i32, from: i64) -> PartitionData {
    let fetched = FetchPartition::default()
        .with_partition(partition)
        .with_fetch_offset(from)
        .with_partition_max_bytes(1 << 20);
    let fetched = FetchTopic::default().with_topic(topic()).with_partitions(vec![fetched]);
    let request = FetchRequest::default()
        .with_replica_id(BrokerId(-1))
        .with_isolation_level(1)
        .with_topics(vec![fetched]);
    ask(cluster, 12, &request).responses[0].partitions[0].clone()
}

/// The aborted transactions' first offsets.
fn aborted(data: &PartitionData) -> Vec<i64> {
    data.aborted_transactions.iter().flatten().map(|aborted| aborted.first_offset).collect()
}

#[test]
fn a_transaction_without_its_marker_ends_at_the_next_start_as_its_coordinator_had_decided() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = start(Options::ephemeral(dir.path()));
    cluster.wait_kafka().unwrap();
    let created =
        CreatableTopic::default().with_name(topic()).with_num_partitions(3).with_replication_factor(1);
    let answer =
        ask(&cluster, 5, &CreateTopicsRequest::default().with_topics(vec![created]).with_timeout_ms(10_000));
    assert_eq!(answer.topics[0].error_code, 0);
    // Partitions would ask the coordinator, and refuse records of a transaction that it knows nothing of.
    let setting = AlterableConfig::default()
        .with_name(StrBytes::from_static_str("transaction.partition.verification.enable"))
        .with_value(Some(StrBytes::from_static_str("false")));
    let all_brokers = AlterConfigsResource::default().with_resource_type(4).with_configs(vec![setting]);
    let request = IncrementalAlterConfigsRequest::default().with_resources(vec![all_brokers]);
    assert_eq!(ask(&cluster, 1, &request).responses[0].error_code, 0);

    // The coordinator has ended two transactions, and a partition of each is as if its marker had never come.
    let [commits, aborts, goes_on] = [0, 1, 2].map(|partition| Producer::new(&cluster, partition));
    for (producer, commit) in [(&commits, true), (&aborts, false)] {
        producer.begin();
        producer.write(0);
        producer.end(commit);
        producer.write(1);
    }
    goes_on.begin();
    goes_on.write(0);
    for (partition, stable, end) in [(0, 2, 3), (1, 2, 3), (2, 0, 1)] {
        let told = committed(&cluster, partition, 0);
        assert_eq!((told.last_stable_offset, told.high_watermark), (stable, end), "partition {partition}");
    }

    cluster.kill(1).unwrap();
    cluster.restart(1).unwrap();
    cluster.wait_kafka().unwrap();
    for (partition, from, stable, end, undone) in
        [(0, 2, 4, 4, vec![]), (1, 2, 4, 4, vec![2]), (2, 0, 0, 1, vec![])]
    {
        // From the record on that had no marker.
        let told = committed(&cluster, partition, from);
        assert_eq!((told.last_stable_offset, told.high_watermark), (stable, end), "partition {partition}");
        assert_eq!(aborted(&told), undone, "partition {partition}");
    }
    // Its own producer can still end the third.
    goes_on.end(true);
    eventually("the third is committed", || committed(&cluster, 2, 0).last_stable_offset == 2);
    assert!(aborted(&committed(&cluster, 2, 0)).is_empty());
}
