"""Reads the facts with Confluent's client and fastavro, and writes them down as rows of tables.

What a fact is, is said by its schema in the registry. What became of an order is the last view that any fact says; who a
person is now, is where the merges lead.
"""

import csv
import io
import json
import struct
import time
import urllib.request
from datetime import datetime, timedelta, timezone
from fractions import Fraction
from zoneinfo import ZoneInfo

import fastavro
from confluent_kafka import Consumer, KafkaError, TopicPartition

DAY = 86_400_000_000
# From this severity on an event of a fraud rule counts nowhere.
BLOCKED = 2


class Topic:
    """A topic that is read anew each time it is asked for: the end of a partition is told once per reading."""

    def __init__(self, kafka, registry, name):
        self.kafka, self.registry, self.name, self.schemas = kafka, registry, name, {}

    def read(self):
        """Every committed record, to the present end of each partition."""
        consumer = Consumer(
            {
                "bootstrap.servers": self.kafka,
                "group.id": "differential",
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                "auto.offset.reset": "error",
            }
        )
        left = set(consumer.list_topics(self.name, timeout=30).topics[self.name].partitions)
        consumer.assign([TopicPartition(self.name, partition, 0) for partition in left])
        records = []
        deadline = time.monotonic() + 60
        while left:
            message = consumer.poll(0.2)
            if message is None:
                if time.monotonic() > deadline:
                    raise TimeoutError(f"no end of {self.name}")
                continue
            if message.error():
                if message.error().code() != KafkaError._PARTITION_EOF:
                    raise RuntimeError(str(message.error()))
                left.discard(message.partition())
                continue
            place = (message.partition(), message.offset())
            records.append((place, self.decode(message.value())))
        consumer.close()
        return [value for _, value in sorted(records, key=lambda record: record[0])]

    def decode(self, value):
        magic, number = struct.unpack(">bI", value[:5])
        if magic != 0:
            raise ValueError(f"not the wire format: {value[:5]}")
        if number not in self.schemas:
            with urllib.request.urlopen(f"{self.registry}/schemas/ids/{number}", timeout=30) as answer:
                schema = json.loads(json.load(answer)["schema"])
            self.schemas[number] = fastavro.parse_schema(plain(schema))
        return fastavro.schemaless_reader(io.BytesIO(value[5:]), self.schemas[number])


def plain(schema):
    """The schema without logical types: times stay numbers of microseconds."""
    if isinstance(schema, list):
        return [plain(part) for part in schema]
    if isinstance(schema, dict):
        return {name: plain(part) for name, part in schema.items() if name not in ("logicalType", "doc")}
    return schema


DIGITS = {"JPY": 0, "KRW": 0, "KWD": 3}
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Rates:
    """Rates into US dollars by currency and hour, from the file that was published."""

    BASE = "USD"

    def __init__(self, path=None):
        self.rates = {}
        if path:
            with open(path, encoding="utf-8", newline="") as file:
                for row in csv.DictReader(file):
                    self.rates[row["currency"], row["hour"]] = Fraction(row["rate"])

    def of(self, view):
        """That of the hour in which an order counts, else was placed, else was refunded first."""
        currency = (view["total"] or next(iter(view["refunds"].values()), None) or {}).get("currency")
        at = view["counted_at"]
        at = view["placed_at"] if at is None else at
        at = min(view["refund_times"].values(), default=None) if at is None else at
        if at is None or currency in (None, self.BASE):
            return None
        hour = (EPOCH + timedelta(microseconds=at)).strftime("%Y-%m-%dT%H")
        rate = self.rates.get((currency, hour))
        return rate and rate * 10 ** DIGITS.get(self.BASE, 2) / 10 ** DIGITS.get(currency, 2)


def converted(minor, rate):
    """To the nearest cent, half away from zero."""
    exact = abs(minor * rate)
    return int(exact + Fraction(1, 2)) * (1 if minor >= 0 else -1)


class Books:
    """The facts of one workspace as rows, on the days of its zone.

    `clean`: without the orders that a fraud rule has marked. `rates`: orders are in base where their rate is there.
    """

    def __init__(self, facts, clean=False, zone="UTC", rates=None):
        self.facts, self.clean, self.zone, self.rates = facts, clean, zone, rates
        self.merged, self.erased = {}, {}
        for number, fact in enumerate(facts):
            if fact["event"] == "customer.merged" and fact["from_person_id"] and fact["person_id"]:
                old, new = self.now(fact["from_person_id"]), self.now(fact["person_id"])
                if old != new:
                    self.merged[old] = new
            if fact["event"] == "customer.deleted" and fact["person_id"]:
                self.erased[self.now(fact["person_id"])] = number
        self.clock = max((fact["received_at"] for fact in facts), default=0)

    def day(self, instant):
        """The calendar day, counted since 1970."""
        local = (EPOCH + timedelta(microseconds=instant)).astimezone(ZoneInfo(self.zone))
        return local.date().toordinal() - EPOCH.date().toordinal()

    def hour(self, instant):
        """What the clock on the wall shows then."""
        return (EPOCH + timedelta(microseconds=instant)).astimezone(ZoneInfo(self.zone)).hour

    def now(self, person):
        while person in self.merged:
            person = self.merged[person]
        return person

    def orders(self):
        """The last view of every order."""
        last = {}
        for fact in self.facts:
            if fact["order_id"]:
                last[fact["order_id"]] = fact["after"]
        return {order_id: view for order_id, view in last.items() if view}

    def marked(self):
        """How many counted orders are marked."""
        return sum(view["counted"] and "flagged" in view["flags"] for view in self.orders().values())

    def rows(self):
        """Tables as lists of rows, by name."""
        tables = {name: [] for name in ("purchases", "lines", "coupons", "carts", "refunds", "moments", "items")}
        for order_id, view in self.orders().items():
            if not view["qa"] and not (self.clean and "flagged" in view["flags"]):
                self.order(order_id, view, tables)
        for number, fact in enumerate(self.facts):
            if fact["activity"] and self.counts(fact, number):
                self.moment(number, fact, tables)
        return tables

    def counts(self, fact, number):
        blocked = fact["fraud"] and fact["fraud"]["severity"] >= BLOCKED
        erased = fact["person_id"] and number < self.erased.get(self.now(fact["person_id"]), -1)
        return not (fact["qa"] or blocked or erased or "shadow" in fact["flags"])

    def order(self, order_id, view, tables):
        person = view["person_id"] and self.now(view["person_id"])
        rate = self.rates.of(view) if self.rates else None
        refunds = view["refunds"]
        if rate:
            # Each is what the sum up to it is worth less what the sum before it is, so that a full refund nets to zero.
            order = sorted(refunds, key=lambda id: (view["refund_times"].get(id, -(2**63)), id))
            back, parts = 0, {}
            for id in order:
                parts[id] = {"minor": converted(back + refunds[id]["minor"], rate) - converted(back, rate)}
                parts[id]["currency"] = self.rates.BASE
                back += refunds[id]["minor"]
            refunds = parts
        for refund, amount in refunds.items():
            if refund in view["refund_times"]:
                tables["refunds"].append(
                    {
                        "order_id": order_id,
                        "refund_id": refund,
                        "person": person,
                        "source": view["source"],
                        "instant": view["refund_times"][refund],
                        "day": self.day(view["refund_times"][refund]),
                        **money(amount),
                    }
                )
        if not (view["counted"] and view["counted_at"] is not None and view["total"]):
            return
        own, total, discount = view["total"]["currency"], view["total"], (view["discount_total"] or {}).get("minor", 0)
        if rate:
            total = {"minor": converted(total["minor"], rate), "currency": self.rates.BASE}
            discount = converted(discount, rate)
        cart = view["carts"][0] if view["carts"] else None
        context = view["context"] or {}
        tables["purchases"].append(
            {
                "order_id": order_id,
                "person": person,
                "actor": f"p:{person}" if person else f"c:{cart}" if cart else f"o:{order_id}",
                "instant": view["counted_at"],
                "day": self.day(view["counted_at"]),
                "source": view["source"] or "unknown",
                **money(total),
                "items": view["item_count"],
                "discount": discount,
                "device": text(context.get("device")) or "unknown",
                "platform": text(context.get("platform")) or "unknown",
                "country": text(context.get("country") if view["country"] is None else view["country"]) or "unknown",
                **channel(view["campaign"]),
            }
        )
        for number, line in enumerate(view["items"]):
            price, discount = line["price"] or {}, line["discount"] or {}
            worth = 0
            if price.get("currency") == own:
                off = discount["minor"] if discount.get("currency") == own else 0
                worth = price["minor"] * line["quantity"] - off
            tables["lines"].append(
                {
                    "order_id": order_id,
                    "number": number,
                    "item_id": text(line["product_id"]) or text(line["sku"]),
                    "shown_id": line["product_id"] if line["product_id"] is not None else line["sku"],
                    "title": text(line["title"]),
                    "shown_title": line["title"],
                    "quantity": line["quantity"],
                    "price": price.get("minor"),
                    "price_currency": price.get("currency"),
                    "worth": converted(worth, rate) if rate else worth,
                }
            )
        for code in {text(code).upper() for code in view["coupon_codes"] if text(code)}:
            tables["coupons"].append({"order_id": order_id, "code": code})
        for cart in view["carts"]:
            tables["carts"].append({"order_id": order_id, "cart": cart})

    def moment(self, number, fact, tables):
        activity = fact["activity"]
        person = fact["person_id"] and self.now(fact["person_id"])
        cart, future = activity["cart_id"], fact["occurred_at"] - fact["received_at"] > DAY
        shopper = f"p:{person}" if person else f"c:{cart}" if cart else f"e:{fact['group'] or fact['event_id']}"
        value = activity["value"] or {}
        instant = fact["received_at"] if future else fact["occurred_at"]
        tables["moments"].append(
            {
                "number": number,
                "name": fact["group"] or fact["event_id"],
                "person": person,
                "actor": shopper,
                "event": fact["event"],
                "source_event": fact["source_event"],
                "source": fact["source"],
                "instant": instant,
                "day": self.day(instant),
                "received_at": fact["received_at"],
                "cart": cart,
                "checkout": activity["checkout_id"],
                "search_term": activity["search_term"],
                "minor": value.get("minor"),
                "currency": value.get("currency"),
                **channel(activity["campaign"]),
            }
        )
        for place, item in enumerate(activity["items"] or []):
            price = item["price"] or {}
            tables["items"].append(
                {
                    "number": number,
                    "place": place,
                    "shown_id": item["product_id"] if item["product_id"] is not None else item["sku"],
                    "shown_title": item["title"],
                    "quantity": item["quantity"],
                    "price": price.get("minor"),
                    "price_currency": price.get("currency"),
                }
            )


def text(value):
    """Without blanks around it; nothing left is nothing said."""
    return (value or "").strip() or None


def money(amount):
    return {"minor": amount["minor"], "currency": amount["currency"]}


def channel(campaign):
    """Campaign, source and medium as figures are cut by them, and as they were said."""
    said = {part: (campaign or {}).get(part) for part in ("campaign", "source", "medium")}
    cut = {"campaign": text(said["campaign"]), "utm": text(said["source"]), "medium": text(said["medium"])}
    return cut | {f"said_{part}": word for part, word in said.items()}
