"""The checker checked: a few orders whose answer is written by hand, and anomalies that are planted.

    python3 -m unittest test_checker
"""

import copy
import json
import unittest
from collections import Counter

import books
import checker
import compare

DAY = 86_400_000_000
NOON = books.time("2025-09-10T12:00:00+00:00")


def shopify(name="orders/create", offset=0, webhook="w1", **changes):
    body = {
        "id": 9_007_199_254_740_993,
        "name": "#1001",
        "order_number": 1001,
        "admin_graphql_api_id": "gid://shopify/Order/9007199254740993",
        "created_at": "2025-09-10T07:00:00-05:00",
        "updated_at": "2025-09-10T07:00:00-05:00",
        "cancelled_at": None,
        "currency": "USD",
        "total_price": "30.49",
        "subtotal_price": "25.00",
        "total_discounts": "1.50",
        "total_tax": "0.49",
        "total_shipping_price_set": {"shop_money": {"amount": "5.00", "currency_code": "USD"}},
        "financial_status": "paid",
        "fulfillment_status": None,
        "tags": "vip, first",
        "test": False,
        "line_items": [
            {
                "product_id": 8001,
                "variant_id": 80010,
                "title": "Mug",
                "variant_title": "blue",
                "sku": "MUG-B",
                "quantity": 2,
                "price": "12.50",
                "total_discount": "0.00",
            }
        ],
        "discount_codes": [{"code": "WELCOME"}],
        "refunds": [],
        "shipping_address": {"country_code": "FR"},
        "referring_site": "https://search.example/",
        "landing_site": "/?utm_source=letter&utm_campaign=spring",
        "email": "Jane@Shop.example",
        "customer": {"id": 5, "email": "Jane@Shop.example", "first_name": "Jane", "last_name": "Doe"},
        **changes,
    }
    return raw("shopify", "orchard.myshopify.com", name, offset, webhook, body)


def yen(**changes):
    none = dict.fromkeys(["subtotal_price", "total_discounts", "total_tax"], "0")
    shipping = {"shop_money": {"amount": "0", "currency_code": "JPY"}}
    return shopify(currency="JPY", total_price="500", total_shipping_price_set=shipping, line_items=[], **none, **changes)


def backend(name="orders_create", offset=0, **changes):
    order = json.loads(shopify().body)
    for absent in ["admin_graphql_api_id", "order_number"]:
        del order[absent]
    return raw("lifesight", "tills", name, offset, None, {**order, "name": "B-1001", **changes})


def raw(source, space, name, offset, webhook, body):
    return books.Raw(0, offset, source, "orchard", NOON + 100 * DAY + offset, name, webhook, space, json.dumps(body))


def refund(number, amounts, status="success", at="2025-09-11T00:00:00+00:00"):
    transactions = [{"kind": "refund", "status": status, "amount": text, "currency": "USD"} for text in amounts]
    return {"id": number, "created_at": at, "transactions": transactions}


def order(*raws):
    return books.order_of([books.read(each) for each in raws])


def usd(minor):
    return {"minor": minor, "currency": "USD"}


LATER = {"updated_at": "2025-09-11T00:00:00+00:00"}


class Books(unittest.TestCase):
    def test_an_order_is_read_to_the_cent_and_the_digit(self):
        view = order(shopify())
        self.assertEqual(view["id"], "9007199254740993")
        self.assertEqual((view["total"], view["shipping_total"], view["net"]), (usd(3049), usd(500), usd(3049)))
        self.assertEqual((view["placed_at"], view["paid_at"], view["counted"]), (NOON, NOON, True))
        self.assertEqual((view["item_count"], view["tags"]), (2, ["vip", "first"]))
        self.assertEqual(view["person_id"], ("email", "", "jane@shop.example"))
        self.assertEqual(view["campaign"]["campaign"], "spring")

    def test_yen_have_no_digits(self):
        self.assertEqual(books.money("3049", "JPY")["minor"], 3049)
        with self.assertRaises(ValueError):
            books.money("30.491", "USD")

    def test_arrival_order_decides_nothing(self):
        paid = shopify("orders/updated", 1, "w2", total_price="40.00", **LATER)
        pending = shopify(financial_status="pending")
        self.assertEqual(order(pending, paid), order(paid, pending))
        self.assertEqual(order(paid, pending)["total"], usd(4000))
        self.assertEqual(order(paid, pending)["paid_at"], NOON + DAY // 2)

    def test_the_shop_is_believed_before_the_backend(self):
        view = order(backend(total_price="30.56"), shopify(offset=1))
        self.assertEqual((view["total"], view["sources"]), (usd(3049), ["shopify", "lifesight"]))

    def test_refunds_are_what_succeeded_and_never_more_than_the_total(self):
        view = order(shopify(refunds=[refund(1, ["10.00", "5.00"]), refund(2, ["99.00"], at="2025-09-12T00:00:00+00:00")]))
        self.assertEqual(view["refunds"], {"1": usd(1500), "2": usd(1549)})
        self.assertEqual((view["net"], view["flags"]), (usd(0), ["refund_exceeds_order"]))

    def test_refunded_without_amounts_is_the_rest(self):
        view = order(shopify(), shopify("orders/updated", 1, "w2", financial_status="refunded", **LATER))
        self.assertEqual(view["refunds"], {"rest": usd(3049)})
        self.assertEqual(view["refund_times"], {"rest": NOON + DAY // 2})

    def test_a_refund_before_its_order_waits_for_it(self):
        early = raw("shopify", "orchard.myshopify.com", "refunds/create", 0, "w0", {"order_id": 9_007_199_254_740_993, **refund(1, ["4.00"])})
        steps = books.history([books.read(early), books.read(shopify(offset=1, refunds=[refund(1, ["4.00"])]))])
        self.assertEqual([step.names for step in steps], [[("order.refunded", "1")], [("order.placed", None), ("order.paid", None)]])
        self.assertEqual(steps[-1].after["net"], usd(2649))

    def test_each_outcome_has_its_case(self):
        update = shopify("orders/updated", 1, "w2", tags="checked", **LATER)
        raws = [update, shopify(offset=2), update._replace(offset=3), update._replace(offset=4, webhook_id="w9")]
        raws.append(update._replace(offset=5, name="orders/paid", webhook_id="w10"))
        steps = books.history([books.read(each) for each in raws])
        outcomes = [("published", ""), ("stale", ""), ("duplicate", "transport"), ("duplicate", "semantic"), ("duplicate", "entity")]
        self.assertEqual([step.outcome for step in steps], outcomes)

    def test_a_profile_nets_refunds_and_forgets_cancelled_orders(self):
        said = [
            books.read(shopify(refunds=[refund(1, ["10.49"])])),
            books.read(shopify(offset=1, id=7, total_price="10.02", cancelled_at="2025-09-12T00:00:00+00:00")),
            books.read(yen(offset=2, id=8)),
        ]
        orders = {("orchard", each.order_id): books.order_of([each]) for each in said}
        profile = books.profiles_of(said, orders)["orchard", ("email", "", "jane@shop.example")]
        self.assertEqual((profile["orders_count"], profile["total_spent"], profile["lifetime_value"]), (3, usd(4051), usd(2000)))
        self.assertEqual(profile["total_spent_by_currency"], {"JPY": 500, "USD": 4051})
        self.assertEqual((profile["aov"], profile["flags"]), (usd(2026), ["fx_missing"]))

    def test_a_refund_stands_on_its_own_day(self):
        cells = books.figures({("orchard", "1"): order(shopify(refunds=[refund(1, ["4.00"])]))})
        self.assertEqual(cells["orchard", "2025-09-10", "USD"]["gross"], 3049)
        self.assertEqual(cells["orchard", "2025-09-11", "USD"]["refund_amount"], 400)


class World:
    """Topics as they must be for three deliveries, one of them repeated."""

    def __init__(self):
        first, update = shopify(), shopify("orders/updated", 1, "w2", refunds=[refund(1, ["4.00"])], **LATER)
        broken = raw("shopify", "orchard.myshopify.com", "orders/create", 3, "w3", {})._replace(body="{broken")
        self.raw = [first, update, first._replace(offset=2, received_at=first.received_at + 2), broken]
        self.sent = {compare.identity(r.workspace, r.name, r.webhook_id, r.body): compare.Sent(200, 2, 1) for r in self.raw}
        said = [books.read(each) for each in self.raw[:3]]
        self.topics = {name: [] for name in checker.TOPICS}
        for offset, each in enumerate(said):
            self.put("events", offset, self.event(each))
        steps = books.history(said)
        before = None
        for step in steps:
            before = self.facts(step, before)
        final = {("orchard", said[0].order_id): steps[-1].after}
        self.put("orders", 0, self.published(steps[-1].after))
        for (_, who), profile in books.profiles_of(said, final).items():
            self.put("profiles", 0, self.profile(who, profile), f"orchard:{self.person(who)}")
        self.figures(final)
        self.outcomes(steps)
        letter = {"stage": "normalizer", "reason": "malformed_json", "origin_partition": 0, "origin_offset": 3}
        self.put("dead-letters", 0, {**letter, "body": "{broken", "message": ""})
        for topic in ("events", "facts"):
            self.put(topic, 100, {"event": compare.POLICY, "workspace": "orchard", "event_id": "policy"}, "orchard:policy/1")

    def put(self, topic, offset, value, key="orchard:9007199254740993"):
        self.topics[topic].append(compare.Record(0, offset, key, value))

    def person(self, who):
        return "p_" + "-".join(who)

    def event(self, said):
        event = {"raw_partition": said.place[0], "raw_offset": said.place[1]}
        for path, value in compare.envelope(said).items():
            *parents, name = path.split(".")
            inner = event
            for parent in parents:
                inner = inner.setdefault(parent, {})
            inner[name] = value
        return event

    def published(self, view):
        return copy.deepcopy({**view, "person_id": self.person(view["person_id"])})

    def facts(self, step, before):
        """All but the last fact of a step stand for what no name is asked of: their order is the last one's."""
        for event, refund_id in step.names:
            after = self.published(step.after)
            fact = {
                "event_id": f"{event} {refund_id} {step.said.received_at if event == 'order.updated' else ''}",
                "event": event,
                "workspace": "orchard",
                "order_id": step.said.order_id,
                "received_at": step.said.received_at,
                "source": step.said.source,
                "source_event": step.said.source_event,
                "before": before,
                "after": after,
                "refund": refund_id and {"id": refund_id, "amount": after["refunds"][refund_id]},
            }
            self.put("facts", len(self.topics["facts"]), fact)
            before = after
        return before

    def profile(self, who, profile):
        contact = dict(profile["contact"])
        contact["identifiers"] = [dict(zip(["kind", "space", "value"], each)) for each in contact["identifiers"]]
        return {**copy.deepcopy(profile), "contact": contact, "person_id": self.person(who), "as_of": 1}

    def figures(self, orders):
        moved = compare.moves(self.topics["facts"])
        for (workspace, day, currency), values in books.figures(orders).items():
            cell = {"metric": "revenue", "workspace": workspace, "window_start": day, "dimensions": {"currency": currency}}
            place = (workspace, day, currency)
            self.put("metrics", 0, {**cell, "values": values, "revision": moved[place], "corrected": True}, f"revenue {place}")

    def outcomes(self, steps):
        for (outcome, detail), count in Counter(step.outcome for step in steps).items():
            names = {"source": "shopify", "outcome": outcome, "detail": detail}
            value = {"metric": "outcomes", "workspace": "orchard", "dimensions": names, "values": {"count": count}}
            self.put("metrics", 0, value, f"outcomes {outcome} {detail}")

    def found(self):
        findings = compare.compare(self.sent, self.raw, self.topics)
        return set(findings.anomalies)


class Planted(unittest.TestCase):
    def setUp(self):
        self.world = World()

    def plant(self, topic, place=0, **changes):
        record = self.world.topics[topic][place]
        self.world.topics[topic][place] = record._replace(value={**record.value, **changes})

    def test_nothing_is_found_where_nothing_is_planted(self):
        self.assertEqual(self.world.found(), set())

    def test_a_lost_delivery(self):
        self.world.raw.pop(1)
        self.assertIn(("raw", "lost"), self.world.found())

    def test_a_delivery_that_nobody_sent(self):
        self.world.raw.append(shopify(offset=9, webhook="w8", tags="forged"))
        self.assertIn(("raw", "wrong"), self.world.found())

    def test_a_delivery_stored_more_often_than_it_was_tried(self):
        self.world.raw += [self.world.raw[0]._replace(offset=offset) for offset in (7, 8)]
        self.assertIn(("raw", "doubled"), self.world.found())

    def test_a_lost_a_doubled_and_a_misplaced_event(self):
        events = self.world.topics["events"]
        lost = events.pop()
        self.assertIn(("events", "lost"), self.world.found())
        events += [lost, lost._replace(offset=9)]
        self.assertEqual(self.world.found(), {("events", "doubled")})
        events[:] = [events[1]._replace(offset=0), events[0]._replace(offset=1), lost]
        self.assertIn(("events", "out of order"), self.world.found())

    def test_a_lost_and_a_doubled_policy(self):
        facts = self.world.topics["facts"]
        facts.append(facts[-1])
        self.assertEqual(self.world.found(), {("facts", "doubled")})
        del facts[-2:]
        self.assertEqual(self.world.found(), {("facts", "lost")})

    def test_a_doubled_fact(self):
        facts = self.world.topics["facts"]
        facts.append(facts[-1]._replace(offset=9))
        self.assertIn(("facts", "doubled"), self.world.found())

    def test_a_lost_fact(self):
        self.world.topics["facts"].pop(-2)
        self.assertIn(("facts", "lost"), self.world.found())

    def test_a_broken_chain(self):
        before = {**self.world.topics["facts"][-2].value["before"], "tags": []}
        self.plant("facts", -2, before=before)
        self.assertIn(("facts", "wrong"), self.world.found())

    def test_a_missing_order(self):
        self.world.topics["orders"].clear()
        self.assertEqual(self.world.found(), {("orders", "lost")})

    def test_an_order_that_is_a_cent_off(self):
        self.plant("orders", total=usd(3048))
        self.assertEqual(self.world.found(), {("orders", "wrong")})

    def test_an_order_that_fell_back_to_an_older_record(self):
        orders = self.world.topics["orders"]
        older = {**orders[0].value, "updated_at": NOON}
        orders.append(orders[0]._replace(offset=9, value=older))
        self.assertEqual(self.world.found(), {("orders", "wrong")})

    def test_another_person(self):
        self.plant("orders", person_id="p_somebody")
        self.assertIn(("orders", "wrong"), self.world.found())

    def test_a_profile_that_is_a_cent_off_and_one_that_is_missing(self):
        self.plant("profiles", lifetime_value=usd(1))
        self.assertEqual(self.world.found(), {("profiles", "wrong")})
        self.world.topics["profiles"].clear()
        self.assertEqual(self.world.found(), {("profiles", "lost")})

    def test_a_figure_that_is_a_cent_off_and_one_that_moved_too_often(self):
        values = {**self.world.topics["metrics"][0].value["values"], "gross": 3050}
        self.plant("metrics", values=values)
        self.assertEqual(self.world.found(), {("metrics", "wrong")})
        self.world = World()
        self.plant("metrics", revision=9)
        self.assertEqual(self.world.found(), {("metrics", "doubled")})

    def test_an_outcome_that_is_counted_twice(self):
        self.plant("metrics", -1, values={"count": 2})
        self.assertEqual(self.world.found(), {("outcomes", "doubled")})

    def test_a_lost_and_a_doubled_dead_letter(self):
        letters = self.world.topics["dead-letters"]
        letters.append(letters[0])
        self.assertEqual(self.world.found(), {("dead-letters", "doubled")})
        letters.clear()
        self.assertEqual(self.world.found(), {("dead-letters", "lost")})


if __name__ == "__main__":
    unittest.main()
