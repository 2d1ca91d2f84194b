"""Reads events and facts with Confluent's own deserializer, as a subscriber would, and checks claims against them.

Usage: cat CLAIMS | subscriber.py ENDPOINTS

An event is there once for each delivery, a fact exactly once: of the ids that are claimed nothing else may be there.
"""

import json
import sys
import time
import uuid
from collections import Counter

import requests
from confluent_kafka import Consumer, TopicPartition
from confluent_kafka.schema_registry import SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer
from confluent_kafka.serialization import MessageField, SerializationContext

from claim import endpoints, same

PATIENCE = 90


class Reader:
    """All committed records of a topic, from the first."""

    def __init__(self, addresses, topic):
        self.topic, self.records = topic, []
        self.deserialize = AvroDeserializer(SchemaRegistryClient({"url": addresses["registry"]}))
        self.context = SerializationContext(topic, MessageField.VALUE)
        self.consumer = Consumer(
            {
                "bootstrap.servers": addresses["kafka"],
                "group.id": "clients",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
            }
        )
        partitions = self.consumer.list_topics(topic, timeout=30).topics[topic].partitions
        self.consumer.assign([TopicPartition(topic, partition, 0) for partition in partitions])

    def until(self, enough, tell):
        """Reads on until `enough` says so."""
        deadline = time.monotonic() + PATIENCE
        while not enough():
            if time.monotonic() > deadline:
                sys.exit(f"{self.topic}: not there after {PATIENCE} s:\n{tell()}")
            message = self.consumer.poll(0.2)
            if message is None:
                continue
            if message.error():
                sys.exit(str(message.error()))
            self.records.append(self.deserialize(message.value(), self.context))


def ids_of(entity, activity):
    """What a record is about: its entity, and the products of what a shopper did."""
    return {entity, *(item["product_id"] for item in (activity or {}).get("items") or [])}


def difference(found, expected):
    """Line by line, for people."""
    rows = sorted(key for key in {*found, *expected} if found[key] != expected[key])
    return "\n".join(f"  {event} {id}: {found[event, id]}, expected {expected[event, id]}" for event, id in rows)


def main():
    addresses = endpoints()
    claims = [json.loads(line) for line in sys.stdin]
    same("claims", bool(claims), True)
    ids = {claim["id"] for claim in claims}
    delivered = Counter({(claim["event"], claim["id"]): claim["deliveries"] for claim in claims})
    proven = Counter({(claim["event"], claim["id"]): claim["facts"] for claim in claims})

    events, facts = Reader(addresses, "commerce.events.v1"), Reader(addresses, "commerce.facts.v1")

    def of_events():
        return Counter(
            (event["event"], id)
            for event in events.records
            for id in ids_of(event["entity"]["id"], event["payload"]["activity"]) & ids
        )

    def of_facts():
        return Counter(
            (fact["event"], id)
            for fact in facts.records
            # An order whose person is joined with another one, or erased, is told again. Whether it was there before that
            # depends on which of the two deliveries was read first.
            if not {"person_moved", "person_erased"} & set(fact["flags"])
            for id in ids_of(fact["entity_id"], fact["activity"]) & ids
        )

    events.until(lambda: delivered <= of_events(), lambda: difference(of_events(), delivered))
    # All events of a workspace are in one partition, and so are its facts: when the fact of an event after all others
    # is there, there can be no second fact of these.
    last = f"last-{uuid.uuid4()}"
    track = f"{addresses['gateway']}/api/v1/customers/subscriber/events"
    requests.post(track, json={"name": last}, auth=("dev-site", "dev-track-key"), timeout=20).raise_for_status()
    is_last = lambda record: record["source_event"] == last
    for topic in (events, facts):
        topic.until(lambda: any(map(is_last, topic.records)), lambda: last)
    for what, found, expected in (("events", of_events(), delivered), ("facts", of_facts(), proven)):
        if found != expected:
            sys.exit(f"{what} are not as claimed:\n{difference(found, expected)}")
    print(f"{len(claims)} claims hold over {len(events.records)} events and {len(facts.records)} facts")


if __name__ == "__main__":
    main()
