"""Revenue per currency from tillstream's topics: summed from facts, from profiles, and from the figures.

Usage: consume.py ENDPOINTS_JSON [WORKSPACE]

Prints one JSON document and ends at the present end of the topics. Amounts are integers of minor units.
"""

import json
import sys
from collections import Counter

from confluent_kafka import Consumer, KafkaError, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext


def records(endpoints, topic):
    """Key and value of every committed record, up to the present end; the value of a tombstone is None."""
    deserialize = AvroDeserializer(SchemaRegistryClient({"url": endpoints["registry"]}))
    context = SerializationContext(topic, MessageField.VALUE)
    consumer = Consumer(
        {
            "bootstrap.servers": endpoints["kafka"],
            "group.id": "example-python",
            "enable.auto.commit": False,
            # What a transaction has taken back is never seen.
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
    )
    open_partitions = set(consumer.list_topics(topic, timeout=30).topics[topic].partitions)
    consumer.assign([TopicPartition(topic, partition, 0) for partition in open_partitions])
    while open_partitions:
        message = consumer.poll(1)
        if message is None:
            continue
        if message.error():
            if message.error().code() != KafkaError._PARTITION_EOF:
                raise RuntimeError(message.error())
            open_partitions.discard(message.partition())
            continue
        yield message.key().decode(), deserialize(message.value(), context)
    consumer.close()


def table(endpoints, topic):
    """A compacted topic: the last value of each key."""
    rows = {}
    for key, value in records(endpoints, topic):
        if value is None:
            rows.pop(key, None)
        else:
            rows[key] = value
    return rows


def counted(view):
    """What an order adds to the revenue: its total while it counts and is no test."""
    if view and view["counted"] and not view["qa"] and view["total"]:
        yield view["total"]["currency"], view["total"]["minor"]


def from_facts(endpoints, workspace):
    revenue = Counter()
    for _, fact in records(endpoints, "commerce.facts.v1"):
        if fact["workspace"] == workspace:
            for currency, minor in counted(fact["before"]):
                revenue[currency] -= minor
            for currency, minor in counted(fact["after"]):
                revenue[currency] += minor
    return revenue


def from_metrics(endpoints, workspace):
    revenue = Counter()
    for cell in table(endpoints, "commerce.metrics.v1").values():
        # A cell with the dimension `base` is the same money once more, converted.
        if (cell["workspace"], cell["metric"]) == (workspace, "revenue") and "base" not in cell["dimensions"]:
            revenue[cell["dimensions"]["currency"]] += cell["values"]["gross"]
    return revenue


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        endpoints = json.load(file)
    workspace = sys.argv[2] if len(sys.argv) > 2 else "demo"
    profiles = [
        profile
        for key, profile in table(endpoints, "commerce.profiles.v1").items()
        # A person who turned out to be another one leads there.
        if key.startswith(f"{workspace}:") and not profile["merged_into"]
    ]
    said = {
        "facts": {currency: minor for currency, minor in sorted(from_facts(endpoints, workspace).items()) if minor},
        "metrics": {currency: minor for currency, minor in sorted(from_metrics(endpoints, workspace).items()) if minor},
        "people": len(profiles),
        "buyers": sum(profile["orders_count"] > 0 for profile in profiles),
    }
    print(json.dumps(said))


if __name__ == "__main__":
    main()
