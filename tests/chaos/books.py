"""What the answer must be: orders, people, facts and figures, computed from the accepted deliveries alone.

Written from the contracts and the topics' schemas, in the plainest way: a list of everything that was said, read again
from the start for every question. It shares no code with the services. Amounts are integers of minor units, times are
integers of microseconds since 1970; a float appears nowhere.
"""

import json
from collections import Counter, namedtuple
from datetime import datetime, timedelta, timezone
from decimal import Decimal

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
DIGITS = {"USD": 2, "EUR": 2, "JPY": 0}
BASE = "USD"
# Whose word counts where both speak of one order.
PRECEDENCE = ["shopify", "lifesight"]
# The lifecycle decides between two versions of one instant.
RANK = {None: 0, "pending": 1, "authorized": 2, "voided": 3, "partially_paid": 4, "paid": 5}
RANK.update({"partially_refunded": 6, "refunded": 7})
MEANS_PAID = {"paid", "partially_refunded", "refunded"}
FULFILLMENT = {None: "unfulfilled", "partial": "partially_fulfilled", "fulfilled": "fulfilled"}
EVENTS = {
    "orders/create": "order.placed",
    "orders/updated": "order.updated",
    "orders/paid": "order.paid",
    "refunds/create": "order.refunded",
    "orders_create": "order.placed",
    "orders_updated": "order.updated",
    "orders_paid": "order.paid",
    "orders_fulfilled": "order.fulfilled",
    "orders_partially_fulfilled": "order.partially_fulfilled",
    "orders_cancelled": "order.cancelled",
}
# The first of these that somebody has stands for them.
KINDS = ["email", "shopify_customer", "backend_customer"]
INSTANTS = ["placed_at", "paid_at", "partially_fulfilled_at", "fulfilled_at", "cancelled_at"]
AMOUNTS = ["total", "subtotal", "discount_total", "shipping_total", "tax_total"]

# A record of the raw topic: what the gateway accepted.
Raw = namedtuple("Raw", "partition offset source workspace received_at name webhook_id space body")
# Why a delivery can't become an event.
Refused = namedtuple("Refused", "reason")


class Said:
    """What one accepted delivery says of an order."""

    def __init__(self, raw):
        self.place = (raw.partition, raw.offset)
        self.workspace, self.source, self.space = raw.workspace, raw.source, raw.space
        self.source_event, self.event = raw.name, EVENTS[raw.name]
        self.received_at = raw.received_at
        # The same delivery once more, and the same fact under another delivery id.
        same = (raw.source, raw.name, raw.body)
        self.transport = (raw.name, raw.webhook_id) if raw.webhook_id else same
        self.semantic = same
        self.values, self.instants, self.refunds = {}, {}, {}
        self.identifiers, self.contact, self.aliases = {}, {}, set()
        self.rest, self.test = None, False
        body = json.loads(raw.body, parse_float=Decimal)
        if self.event == "order.refunded":
            self.read_refund(body)
        else:
            self.read_order(body)

    def read_refund(self, body):
        """`refunds/create` names its order and says nothing else of it."""
        self.order_id = str(body["order_id"])
        self.version = self.occurred_at = time(body["created_at"])
        self.rank = 0
        self.rest = False
        self.add_refunds([body])

    def read_order(self, body):
        self.order_id = str(body["id"])
        created, cancelled = time(body["created_at"]), time(body["cancelled_at"])
        self.version = time(body["updated_at"])
        status = body["financial_status"]
        if self.event == "order.paid" and status not in MEANS_PAID:
            status = "paid"
        self.rank = RANK[status]
        self.occurred_at = {
            "order.placed": created,
            "order.paid": self.version if self.source == "shopify" else time(body.get("processed_at")) or created,
            "order.cancelled": cancelled,
        }.get(self.event, self.version)
        # A creation proves what it shows for the time of the order, everything else for its version.
        proven = created if self.event == "order.placed" else self.version
        fulfillment = FULFILLMENT[body["fulfillment_status"]]
        self.instants = {"placed_at": created, "cancelled_at": cancelled}
        if status in MEANS_PAID:
            self.instants["paid_at"] = self.occurred_at if self.event == "order.paid" else proven
        if fulfillment != "unfulfilled":
            self.instants[f"{fulfillment}_at"] = proven
        self.test = body["test"]
        self.read_values(body, status, fulfillment)
        self.read_aliases(body)
        self.read_person(body)
        self.add_refunds(body["refunds"])
        if self.refunds:
            self.rest = False
        elif status == "refunded":
            self.rest = True

    def read_values(self, body, status, fulfillment):
        currency = body["currency"]
        amount = lambda text: money(text, currency)
        shipping = body["total_shipping_price_set"]["shop_money"]["amount"]
        self.values = {
            "financial_status": status,
            "fulfillment_status": fulfillment,
            "total": amount(body["total_price"]),
            "subtotal": amount(body["subtotal_price"]),
            "discount_total": amount(body["total_discounts"]),
            "shipping_total": amount(shipping),
            "tax_total": amount(body["total_tax"]),
            "item_count": sum(line["quantity"] for line in body["line_items"]),
            "items": [item(line, amount) for line in body["line_items"]],
            "coupon_codes": [code["code"] for code in body["discount_codes"]],
            "tags": [tag.strip() for tag in body["tags"].split(",")] if body["tags"] else None,
            "campaign": campaign(body),
            "country": body["shipping_address"]["country_code"],
        }

    def read_aliases(self, body):
        self.aliases = {f"number:{body['name'].lstrip('#')}"}
        if self.source == "shopify":
            self.aliases |= {f"number:{body['order_number']}", body["admin_graphql_api_id"]}

    def read_person(self, body):
        customer = body.get("customer")
        if customer is None:
            return
        if body["email"]:
            self.identifiers["email", ""] = body["email"].strip().lower()
        kind = "shopify_customer" if self.source == "shopify" else "backend_customer"
        self.identifiers[kind, self.space] = str(customer["id"])
        self.contact = {
            "email": body["email"],
            "first_name": customer["first_name"],
            "last_name": customer["last_name"],
        }

    def content(self):
        return self.values, self.instants, self.refunds, self.identifiers

    def add_refunds(self, refunds):
        for refund in refunds:
            went = [t for t in refund["transactions"] if t["kind"] == "refund" and t["status"] == "success"]
            currency = went[0]["currency"]
            minor = sum(money(t["amount"], currency)["minor"] for t in went)
            self.refunds[str(refund["id"])] = (time(refund["created_at"]), minor, currency)


def read(raw):
    """What a raw record says, or why it says nothing."""
    try:
        if not isinstance(json.loads(raw.body), dict):
            return Refused("malformed_json")
    except ValueError:
        return Refused("malformed_json")
    return Said(raw) if raw.name in EVENTS else Refused("unsupported_event")


def time(text):
    if text is None:
        return None
    return (datetime.fromisoformat(text) - EPOCH) // timedelta(microseconds=1)


def money(text, currency):
    minor = Decimal(text).scaleb(DIGITS[currency])
    if minor != int(minor):
        raise ValueError(f"{text} {currency} has too many digits")
    return {"minor": int(minor), "currency": currency}


def item(line, amount):
    return {
        "product_id": str(line["product_id"]),
        "variant_id": str(line["variant_id"]),
        "sku": line["sku"],
        "title": line["title"],
        "variant_title": line["variant_title"],
        "quantity": line["quantity"],
        "price": amount(line["price"]),
        "discount": amount(line["total_discount"]),
        "category": None,
        "brand": line.get("vendor"),
        "allocations": [],
    }


def campaign(body):
    found = {"campaign": None, "source": None, "medium": None, "referrer": body["referring_site"]}
    query = body.get("landing_site", "").partition("?")[2]
    for pair in filter(None, query.split("&")):
        name, _, value = pair.partition("=")
        found[name.removeprefix("utm_")] = value
    return found


def representative(identifiers):
    """The identifier that stands for a person, of {(kind, space): value}; nobody: None."""
    ranked = sorted((KINDS.index(kind), space, value) for (kind, space), value in identifiers.items())
    return (KINDS[ranked[0][0]], *ranked[0][1:]) if ranked else None


def latest(said, get):
    """The value of the greatest version that has one: absent never overwrites known."""
    known = [(each.version, each.rank, get(each)) for each in said if get(each) is not None]
    return max(known, key=lambda entry: entry[:2])[2] if known else None


def order_of(said):
    """The order that a list of deliveries tells of, as its topic must have it. `person_id` is the identifier that
    stands for the person: how it is hashed is the services' affair."""
    sources = sorted({each.source for each in said}, key=PRECEDENCE.index)
    by_source = [[each for each in said if each.source == source] for source in sources]

    def best(get):
        return next((value for each in by_source if (value := latest(each, get)) is not None), None)

    def earliest(name):
        return min((each.instants[name] for each in said if each.instants.get(name) is not None), default=None)

    order = {"id": said[0].order_id, "source": sources[0], "sources": sources}
    order["aliases"] = sorted(set().union(*(each.aliases for each in said)))
    order["updated_at"] = max(each.version for each in by_source[0])
    for name in ["financial_status", "fulfillment_status", *AMOUNTS, "campaign", "country"]:
        order[name] = best(lambda each: each.values.get(name))
    for name in ["items", "coupon_codes", "tags"]:
        order[name] = best(lambda each: each.values.get(name)) or []
    order["item_count"] = best(lambda each: each.values.get("item_count")) or 0
    for name in INSTANTS:
        order[name] = earliest(name)
    order["qa"] = any(each.test for each in said)
    order["counted_at"] = order["paid_at"]
    order["counted"] = order["paid_at"] is not None and not order["qa"]
    order["person_id"] = person_of(by_source)
    order["context"] = None
    order["carts"] = []
    order["flags"] = []
    settle(order, by_source)
    # No rates are published in these runs: what isn't in the base currency waits for one.
    order["base"] = None
    if (order["total"] or order["refunded_total"] or {}).get("currency", BASE) != BASE:
        order["flags"].append("fx_missing")
    return order


def person_of(by_source):
    identifiers = []
    for said in by_source:
        for key in {key for each in said for key in each.identifiers}:
            identifiers.append((*key, latest(said, lambda each: each.identifiers.get(key))))
    ranked = sorted((KINDS.index(kind), space, value) for kind, space, value in identifiers)
    return (KINDS[ranked[0][0]], *ranked[0][1:]) if ranked else None


def settle(order, by_source):
    """Refunds of the best source that speaks of any, by time, never more than the total."""
    order["refunds"], order["refund_times"] = {}, {}
    total = order["total"]
    left = total["minor"] if total else None
    currency = total["currency"] if total else None
    for said in by_source:
        ids = {refund for each in said for refund in each.refunds}
        rest = latest(said, lambda each: each.rest)
        if not ids and not rest:
            continue
        listed = sorted((*latest(said, lambda each: each.refunds.get(refund)), refund) for refund in ids)
        for at, minor, currency, refund in sorted(listed, key=lambda entry: (entry[0], entry[3])):
            if left is not None:
                if minor > left and "refund_exceeds_order" not in order["flags"]:
                    order["flags"].append("refund_exceeds_order")
                minor = min(minor, left)
                left -= minor
            order["refunds"][refund] = {"minor": minor, "currency": currency}
            order["refund_times"][refund] = at
        if rest and left:
            order["flags"].append("refunded_rest")
            order["refunds"]["rest"] = {"minor": left, "currency": currency}
            order["refund_times"]["rest"] = min(each.version for each in said if each.rest)
        break
    back = sum(refund["minor"] for refund in order["refunds"].values())
    order["refunded_total"] = {"minor": back, "currency": currency} if currency else None
    order["net"] = {"minor": total["minor"] - back, "currency": currency} if total else None


def names_between(before, after, is_new_version):
    """The facts that a delivery brings to light, and of `order.refunded` the refund: (name, refund id or None)."""
    before = before or {"refunds": {}, **dict.fromkeys(INSTANTS)}
    new = lambda name: before[name] is None and after[name] is not None
    names = []
    if new("placed_at"):
        names.append(("order.placed", None))
    elif is_new_version:
        names.append(("order.updated", None))
    for event in ["paid", "partially_fulfilled", "fulfilled", "cancelled"]:
        if new(f"{event}_at"):
            names.append((f"order.{event}", None))
    refunds = set(after["refunds"]) - set(before["refunds"])
    names += [("order.refunded", refund) for refund in sorted(refunds, key=lambda r: (after["refund_times"][r], r))]
    if not names and any(before.get(field) != after[field] for field in after):
        names.append(("order.updated", None))
    return names


class Step:
    """What one delivery did to its order: the order before and after, the facts, and the outcome."""

    def __init__(self, said, before, after, names, outcome):
        self.said, self.before, self.after, self.names, self.outcome = said, before, after, names, outcome


def history(said):
    """The steps of one order for its deliveries in the order in which they were processed."""
    steps, known, before = [], [], None
    for each in said:
        outcome = outcome_of(each, known)
        known.append(each)
        after = order_of(known)
        is_new_version = outcome[0] != "duplicate" and each.event == "order.updated"
        steps.append(Step(each, before, after, names_between(before, after, is_new_version), outcome))
        before = after
    return steps


def outcome_of(each, known):
    """How a delivery ends after `known` of the same order: (outcome, level of a duplicate)."""
    if any(other.transport == each.transport for other in known):
        return "duplicate", "transport"
    if any(other.semantic == each.semantic for other in known):
        return "duplicate", "semantic"
    age = lambda said: (said.version, said.rank)
    of_source = [other for other in known if other.source == each.source]
    if any(age(other) > age(each) for other in of_source):
        return "stale", ""
    # One version under two names: the state itself has nothing to learn.
    if any(age(other) == age(each) and other.content() == each.content() for other in of_source):
        return "duplicate", "entity"
    return "published", ""


def profiles_of(said, orders):
    """{(workspace, identifier): profile} from all deliveries and {(workspace, id): order}."""
    people = {}
    for each in said:
        who = representative(each.identifiers)
        if who:
            people.setdefault((each.workspace, who), []).append(each)
    bought = {}
    for (workspace, _), order in orders.items():
        if order["person_id"] and order["counted"]:
            bought.setdefault((workspace, order["person_id"]), []).append(order)
    return {key: profile(key[0], people.get(key, []), bought.get(key, [])) for key in people.keys() | bought.keys()}


def profile(workspace, said, bought):
    def last(name):
        return max(((each.occurred_at, each.contact[name]) for each in said if each.contact.get(name)), default=(0, None))[1]

    spent, kept, back = Counter(), Counter(), Counter()
    for order in bought:
        currency = order["total"]["currency"]
        spent[currency] += order["total"]["minor"]
        back[currency] += order["refunded_total"]["minor"]
        kept[currency] += 0 if order["cancelled_at"] is not None else order["net"]["minor"]
    in_base = [order for order in bought if order["total"]["currency"] == BASE]
    placed = [order["placed_at"] for order in bought]
    identifiers = {(kind, space, value) for each in said for (kind, space), value in each.identifiers.items()}
    return {
        "workspace": workspace,
        "merged_into": None,
        "contact": {
            "identifiers": sorted(identifiers),
            "email": last("email"),
            "phone": None,
            "first_name": last("first_name"),
            "last_name": last("last_name"),
        },
        "orders_count": len(bought),
        "total_spent": {"minor": spent[BASE], "currency": BASE},
        "total_spent_by_currency": by_currency(bought, spent),
        "lifetime_value": {"minor": kept[BASE], "currency": BASE},
        "lifetime_value_by_currency": by_currency(bought, kept),
        "refunded_total": {"minor": back[BASE], "currency": BASE},
        "refunded_total_by_currency": by_currency(bought, back),
        "aov": mean(spent[BASE], len(in_base)),
        "first_order_at": min(placed, default=None),
        "last_order_at": max(placed, default=None),
        # The shops of this test report no totals, payments, consent or attributes.
        "reported": dict.fromkeys(
            ["orders_count", "orders_count_at", "total_spent", "total_spent_at", "last_order_at"]
        ),
        "payment_status": None,
        "last_payment_at": None,
        "payments_total": None,
        "payments_total_by_currency": {},
        "payments_in_lifetime_value_by_currency": {},
        "payment_failed_at": None,
        "created_at": None,
        "attributes": {},
        "consent": [],
        "tags": [],
        "audiences": audiences(bought),
        "flags": ["fx_missing"] if len(in_base) < len(bought) else [],
    }


DAY = 86_400_000_000
# Amounts above it are of high value.
HIGH = 500_00


def audiences(bought):
    """Which of the built-in audiences a person with these counted orders is in now. The services' clock is the last
    arrival, minutes ago; no order of this test stands so near to the end of a span."""
    now = int(datetime.now(timezone.utc).timestamp()) * 1_000_000
    kept = [order for order in bought if order["cancelled_at"] is None]
    refunds = [at for order in bought for name, at in order["refund_times"].items() if order["refunds"][name]["minor"] > 0]
    high = [
        order
        for order in bought
        if order["total"]["currency"] == BASE
        and order["total"]["minor"] > HIGH
        and order["financial_status"] == "paid"
        and not order["refunds"]
    ]
    found = {
        "frequent_90d": sum(now - order["placed_at"] < 90 * DAY for order in kept) > 3,
        "high_value_paid": bool(high),
        "recent_refund_30d": any(now - at < 30 * DAY for at in refunds),
        "lapsed_90d": bool(bought) and now - max(order["placed_at"] for order in bought) >= 90 * DAY,
    }
    return [name for name, holds in found.items() if holds]


def by_currency(bought, sums):
    return {currency: sums[currency] for currency in sorted({order["total"]["currency"] for order in bought})}


def mean(total, count):
    """Rounded half up: nothing here is negative."""
    return {"minor": (2 * total + count) // (2 * count), "currency": BASE} if count else None


FIGURES = ["gross", "orders", "items", "discount", "shipping", "tax", "refund_amount", "refunds"]


def figures_of(order):
    """{(day, currency): Counter of figures} of one order; an order stands on the day of its payment, a refund on its
    own."""
    cells = {}
    if order is None or order["qa"]:
        return cells
    if order["counted"] and order["total"]:
        cell = cells.setdefault((day(order["counted_at"]), order["total"]["currency"]), Counter())
        cell["orders"] += 1
        cell["items"] += order["item_count"]
        sums = ["total", "discount_total", "shipping_total", "tax_total"]
        for figure, name in zip(["gross", "discount", "shipping", "tax"], sums):
            cell[figure] += order[name]["minor"] if order[name] else 0
    for refund, amount in order["refunds"].items():
        cell = cells.setdefault((day(order["refund_times"][refund]), amount["currency"]), Counter())
        cell["refund_amount"] += amount["minor"]
        cell["refunds"] += 1
    return cells


def day(at):
    return (EPOCH + timedelta(microseconds=at)).date().isoformat()


def figures(orders):
    """{(workspace, day, currency): {figure: sum}} over {(workspace, id): order}."""
    sums = {}
    for (workspace, _), order in orders.items():
        for (at, currency), cell in figures_of(order).items():
            sums.setdefault((workspace, at, currency), Counter()).update(cell)
    return {place: {name: cell[name] for name in FIGURES} for place, cell in sums.items()}
