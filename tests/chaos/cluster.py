"""Reads a cluster with Confluent's client: topics, places of groups, and transactions that are still open."""

import io
import json
import struct
import time
import urllib.request
from datetime import datetime, timezone

import fastavro
from confluent_kafka import Consumer, ConsumerGroupTopicPartitions, IsolationLevel, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient, OffsetSpec

import books
import compare

# What each group reads.
GROUPS = {
    "tillstream-normalizer": "commerce.raw.v1",
    "tillstream-state": "commerce.events.v1",
    "tillstream-aggregator": "commerce.facts.v1",
}


class Cluster:
    def __init__(self, bootstrap, registry):
        self.bootstrap, self.registry = bootstrap, registry
        self.admin = AdminClient({"bootstrap.servers": bootstrap})
        self.schemas = {}

    def consumer(self):
        return Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "group.id": "chaos-checker",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
            }
        )

    def partitions(self, topic):
        return sorted(self.admin.list_topics(topic, timeout=30).topics[topic].partitions)

    def messages(self, starts, patience=60):
        """All committed messages from {(topic, partition): offset} on, to the end of each partition."""
        consumer = self.consumer()
        consumer.assign([TopicPartition(topic, partition, offset) for (topic, partition), offset in starts.items()])
        left = set(starts)
        deadline = time.monotonic() + patience
        while left:
            message = consumer.poll(1)
            if message is None:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"no end of {sorted(left)} within {patience} s")
                continue
            deadline = time.monotonic() + patience
            if message.error():
                if message.error().code() == KafkaError._PARTITION_EOF:
                    left.discard((message.topic(), message.partition()))
                    continue
                raise RuntimeError(str(message.error()))
            yield message
        consumer.close()

    def topic(self, name):
        """All committed records of a topic."""
        starts = {(name, partition): 0 for partition in self.partitions(name)}
        return [
            compare.Record(m.partition(), m.offset(), m.key().decode(), self.decode(m.value()))
            for m in self.messages(starts)
        ]

    def raw(self):
        starts = {("commerce.raw.v1", partition): 0 for partition in self.partitions("commerce.raw.v1")}
        return [raw_of(message) for message in self.messages(starts)]

    def decode(self, value):
        if value is None:
            return None
        magic, number = struct.unpack(">bI", value[:5])
        assert magic == 0, value[:5]
        if number not in self.schemas:
            with urllib.request.urlopen(f"{self.registry}/schemas/ids/{number}", timeout=30) as answer:
                schema = json.loads(json.load(answer)["schema"])
            self.schemas[number] = fastavro.parse_schema(plain(schema))
        return fastavro.schemaless_reader(io.BytesIO(value[5:]), self.schemas[number])

    def ends(self, topics, isolation):
        request = {
            TopicPartition(topic, partition): OffsetSpec.latest()
            for topic in topics
            for partition in self.partitions(topic)
        }
        answers = self.admin.list_offsets(request, isolation_level=isolation, request_timeout=30)
        return {(each.topic, each.partition): answer.result().offset for each, answer in answers.items()}

    def open_transactions(self, topics):
        """Partitions whose last stable offset stands before their end: (topic, partition, stable, end)."""
        ends = self.ends(topics, IsolationLevel.READ_UNCOMMITTED)
        stable = self.ends(topics, IsolationLevel.READ_COMMITTED)
        return [(*place, stable[place], end) for place, end in sorted(ends.items()) if stable[place] < end]

    def every_topic(self):
        return sorted(self.admin.list_topics(timeout=30).topics)

    def committed(self, group, topic):
        request = [ConsumerGroupTopicPartitions(group, [TopicPartition(topic, p) for p in self.partitions(topic)])]
        answer = self.admin.list_consumer_group_offsets(request)[group].result()
        return {(topic, each.partition): max(each.offset, 0) for each in answer.topic_partitions}

    def behind(self, groups):
        """The first topic that has committed records which its group has not finished, or None."""
        for group in groups:
            topic = GROUPS[group]
            if self.open_transactions([topic]):
                return f"{topic} has an open transaction"
            left = sum(1 for _ in self.messages(self.committed(group, topic)))
            if left:
                return f"{group} is {left} records behind"
        return None


def plain(schema):
    """The schema without logical types: times stay numbers."""
    if isinstance(schema, list):
        return [plain(part) for part in schema]
    if isinstance(schema, dict):
        return {name: plain(part) for name, part in schema.items() if name not in ("logicalType", "doc")}
    return schema


def raw_of(message):
    headers = {name: value.decode() for name, value in message.headers() or []}
    shopify = headers["source"] == "shopify"
    name = headers["http.x-shopify-topic"] if shopify else headers["query.event_name"]
    return books.Raw(
        message.partition(),
        message.offset(),
        headers["source"],
        headers["workspace"],
        stamp(headers["received_at"]),
        name,
        headers.get("http.x-shopify-webhook-id"),
        headers["http.x-shopify-shop-domain"] if shopify else headers["query.source"],
        message.value().decode(),
    )


def stamp(text):
    """RFC 3339 with up to six digits of a second."""
    whole, _, fraction = text.removesuffix("Z").partition(".")
    at = datetime.fromisoformat(whole).replace(tzinfo=timezone.utc)
    return books.time(at.isoformat()) + int(fraction.ljust(6, "0") or 0)
