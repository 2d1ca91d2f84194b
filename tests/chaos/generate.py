"""Makes shops and everything they send: signed Shopify webhooks and calls of custom backends, in the order of sending.

Usage: generate.py FOLDER --orders N --seed S

Writes `deliveries.jsonl`, one request a line, and `workspaces.toml`, the tenants that they are for. The same seed makes
the same files. It shares no code with the services; what it knows of them is their contract.
"""

import argparse
import base64
import hashlib
import hmac
import json
import pathlib
import random
import urllib.parse
from datetime import datetime, timedelta, timezone

# Each lands in another partition of the topics that are partitioned by workspace.
WORKSPACES = ["orchard", "harbour", "east", "island"]
DIGITS = {"USD": 2, "EUR": 2, "JPY": 0}
# Everything is long ago, so that no window is open and no claim is from the future.
START = datetime(2025, 9, 1, tzinfo=timezone.utc)
DAYS = 60
PRODUCTS = [
    (8001, "Mug", "blue", "MUG-B", 1290),
    (8002, "Linen shirt", "M", "SHIRT-M", 4900),
    (8003, "Candle", "cedar", "CANDLE-C", 1875),
    (8004, "Notebook", "dotted", "NOTE-D", 699),
    (8005, "Umbrella", "black", "UMB-K", 3333),
]
PLACES = [
    {"city": "Lyon", "zip": "69001", "province": "Rhône", "country": "France", "country_code": "FR"},
    {"city": "Salem", "zip": "01970", "province": "Massachusetts", "country": "United States", "country_code": "US"},
    {"city": "Kyoto", "zip": "600-8216", "province": "Kyoto", "country": "Japan", "country_code": "JP"},
]
FIRST = ["Ada", "Ben", "Chloë", "Dai", "Eva", "Finn", "Gus", "Hana", "Ivo", "June"]
LAST = ["Abe", "Brown", "Costa", "Dunn", "Evans", "Fischer", "Goto", "Haas", "Ito", "Jansen"]


class Shopper:
    """Somebody who buys, perhaps often."""

    def __init__(self, rng, workspace, number):
        self.first = rng.choice(FIRST)
        self.last = rng.choice(LAST)
        self.number = number
        self.email = f"{self.first}.{self.last}.{number}@{workspace}.example".lower().replace("ë", "e")
        # Some a backend knows by their number alone.
        self.has_email = rng.random() < 0.9
        self.place = rng.choice(PLACES)

    def typed(self, rng):
        """The address as typed this time."""
        return self.email.title() if rng.random() < 0.2 else self.email


class Order:
    """An order as it stands at one instant, for one source."""

    def __init__(self, source, number, order_id, shopper, rng):
        self.source = source
        self.id = order_id
        self.number = number
        self.shopper = shopper
        # Both sources of one purchase draw the same, so that they tell one life.
        guest, typed = rng.random() < 0.03, shopper.typed(rng)
        self.guest = source == "shopify" and guest
        self.email = typed if shopper.has_email or source == "shopify" else None
        self.currency = rng.choices(["USD", "EUR", "JPY"], [80, 12, 8])[0]
        self.lines = [[product, rng.randint(1, 3)] for product in rng.sample(PRODUCTS, rng.randint(1, 2))]
        self.discount = rng.choice([0, 0, 0, 137, 500])
        self.shipping = rng.choice([0, 490, 995])
        self.tax = rng.randint(0, 400)
        # The two of one purchase disagree by this.
        self.surplus = 0
        self.coupon = "WELCOME" if self.discount else None
        self.test = rng.random() < 0.01
        self.campaign = rng.choice(["spring", "autumn", None])
        self.created = START + timedelta(seconds=rng.randrange(DAYS * 86_400))
        self.updated = self.created
        self.processed = None
        self.cancelled = None
        self.financial = "pending"
        self.fulfillment = None
        self.tags = rng.choice(["", "vip", "vip, first"])
        self.refunds = []
        self.named = True

    def total(self):
        lines = sum(product[4] * quantity for product, quantity in self.lines)
        return lines - self.discount + self.shipping + self.tax + self.surplus

    def money(self, minor):
        digits = DIGITS[self.currency]
        if not digits:
            return str(minor)
        return f"{minor // 10**digits}.{minor % 10**digits:0{digits}d}"

    def time(self, at):
        if at is None:
            return None
        hours = -5 if self.source == "shopify" else 1
        return at.astimezone(timezone(timedelta(hours=hours))).isoformat()

    def refund(self, refund):
        """A refund as it is told; what failed comes first, for whoever reads one transaction only."""
        transaction = lambda minor, status: {
            "amount": self.money(minor),
            "kind": "refund",
            "status": status,
            "currency": self.currency,
        }
        failed = [transaction(minor, "failure") for minor in refund["failed"]]
        return {
            "id": refund["id"],
            "order_id": self.id,
            "created_at": self.time(refund["at"]),
            "transactions": failed + [transaction(minor, "success") for minor in refund["amounts"]],
        }

    def body(self):
        body = {
            "id": self.id,
            "name": f"#{self.number}" if self.source == "shopify" else f"B-{self.number}",
            "created_at": self.time(self.created),
            "updated_at": self.time(self.updated),
            "cancelled_at": self.time(self.cancelled),
            "currency": self.currency,
            "total_price": self.money(self.total()),
            "subtotal_price": self.money(self.total() - self.shipping - self.tax),
            "total_discounts": self.money(self.discount),
            "total_tax": self.money(self.tax),
            "total_shipping_price_set": {
                "shop_money": {"amount": self.money(self.shipping), "currency_code": self.currency}
            },
            "financial_status": self.financial,
            "fulfillment_status": self.fulfillment,
            "tags": self.tags,
            "test": self.test,
            "line_items": [self.line(product, quantity) for product, quantity in self.lines],
            "discount_codes": [{"code": self.coupon, "amount": self.money(self.discount)}] if self.coupon else [],
            "refunds": [self.refund(refund) for refund in self.refunds],
            "shipping_address": self.shopper.place,
            "referring_site": "https://search.example/",
        }
        if self.campaign:
            body["landing_site"] = f"/?utm_source=letter&utm_medium=email&utm_campaign={self.campaign}"
        if self.source == "shopify":
            body["order_number"] = self.number
            body["admin_graphql_api_id"] = f"gid://shopify/Order/{self.id}"
        elif self.processed:
            body["processed_at"] = self.time(self.processed)
        if self.named and not self.guest:
            body["email"] = self.email
            body["customer"] = self.customer()
        return body

    def line(self, product, quantity):
        number, title, variant, sku, price = product
        return {
            "product_id": number,
            "variant_id": number * 10,
            "title": title,
            "variant_title": variant,
            "sku": sku,
            "quantity": quantity,
            "price": self.money(price),
            "total_discount": self.money(0),
        }

    def customer(self):
        family = 5_000_000 if self.source == "shopify" else 9_000_000
        return {
            "id": family + self.shopper.number,
            "email": self.email,
            "first_name": self.shopper.first,
            "last_name": self.shopper.last,
        }


class Maker:
    """The lives of all orders, and what is sent of them."""

    def __init__(self, orders, seed):
        self.rng = random.Random(f"chaos {seed}")
        self.orders = orders
        self.sent = []  # (place, delivery)
        self.shoppers = {
            name: [Shopper(self.rng, name, number) for number in range(max(4, orders // 32))] for name in WORKSPACES
        }
        self.refund_id = 700_000_000

    def chance(self, share):
        return self.rng.random() < share

    def make(self):
        for index in range(self.orders):
            self.purchase(index)
        self.disturb()
        self.sent.sort(key=lambda entry: entry[0])
        return [delivery for _, delivery in self.sent]

    def purchase(self, index):
        """One purchase: told by a shop, by a backend, or by both."""
        workspace = self.rng.choice(WORKSPACES)
        shopper = self.rng.choice(self.shoppers[workspace])
        source = self.rng.choice(["shopify", "lifesight"])
        sources = ["shopify", "lifesight"] if self.chance(0.04) else [source]
        # Above 2^53: a reader of floats confuses neighbours.
        order_id = 9_007_199_254_740_993 + index
        plan = self.rng.getrandbits(60)
        for number, source in enumerate(sources):
            rng = random.Random(plan)
            order = Order(source, 1000 + index, order_id, shopper, rng)
            order.surplus = 7 * number
            self.live(workspace, order, rng, index)

    def live(self, workspace, order, rng, index):
        """Lets the order live. `rng` is the purchase's own: both sources of one see the same."""
        told = []

        def tell(name, body=None):
            told.append(self.delivery(workspace, order, name, body))

        def later():
            order.updated += timedelta(seconds=rng.randrange(60, 40_000))

        shopify = order.source == "shopify"
        update = "orders/updated" if shopify else "orders_updated"
        if rng.random() < 0.6:
            order.financial = "paid"
            order.processed = order.created if rng.random() < 0.5 else None
        tell("orders/create" if shopify else "orders_create")
        if order.financial == "pending":
            if rng.random() < 0.85:
                later()
                order.financial, order.processed = "paid", order.updated
                if not shopify:
                    tell("orders_paid")
                else:
                    tell(update)
                    if self.chance(0.3):
                        tell("orders/paid")
            elif rng.random() < 0.3:
                later()
                order.financial = "voided"
                tell(update)
        if order.financial == "paid":
            self.progress(order, rng, tell, later, update)
        creation_last = len(told) > 1 and rng.random() < 0.06
        for step, delivery in enumerate(told):
            place = index + step * self.orders / 200 + self.rng.uniform(0, self.orders / 60)
            if self.chance(0.02):
                place += self.rng.uniform(0, self.orders / 5)
            if creation_last and step == 0:
                place += len(told) * self.orders / 100
            self.sent.append((place, delivery))

    def progress(self, order, rng, tell, later, update):
        shopify = order.source == "shopify"
        if rng.random() < 0.06:
            later()
            order.lines[0][1] += 1
            tell(update)
        if rng.random() < 0.05:
            later()
            order.tags = "checked, late"
            # A change that names nobody takes nobody away.
            order.named = not shopify or self.chance(0.5)
            tell(update)
            order.named = True
        if rng.random() < 0.03:
            later()
            order.cancelled = order.updated
            tell("orders_cancelled" if not shopify else update)
        elif rng.random() < 0.15:
            if rng.random() < 0.2:
                later()
                order.fulfillment = "partial"
                tell("orders_partially_fulfilled" if not shopify else update)
            later()
            order.fulfillment = "fulfilled"
            tell("orders_fulfilled" if not shopify else update)
        if rng.random() < 0.05:
            self.give_back(order, rng, tell, later, update)

    def give_back(self, order, rng, tell, later, update):
        """One or two refunds, also too large ones, split ones, and one whose amount nobody says."""
        if rng.random() < 0.08:
            later()
            order.financial = "refunded"
            tell(update)
            return
        times = rng.choice([1, 1, 2])
        for number in range(times):
            later()
            most = order.total() - order.surplus
            amount = rng.randint(1, most // times)
            if rng.random() < 0.08:
                amount = most + 500
            half = amount // 2 if rng.random() < 0.3 else 0
            refund = {
                # The same in both sources of a purchase.
                "id": order.id * 10 + number,
                "at": order.updated,
                "amounts": [half, amount - half] if half else [amount],
                "failed": [amount] if rng.random() < 0.25 else [],
            }
            order.refunds.append(refund)
            order.financial = "partially_refunded"
            tell(update)
            if order.source == "shopify" and self.chance(0.4):
                tell("refunds/create", order.refund(refund))

    def delivery(self, workspace, order, name, body=None):
        body = json.dumps(body or order.body(), ensure_ascii=False)
        if order.source == "shopify":
            return self.webhook(workspace, name, body)
        return backend(workspace, name, body)

    def webhook(self, workspace, topic, body):
        signature = hmac.new(f"{workspace}-shop-secret".encode(), body.encode(), hashlib.sha256).digest()
        headers = {
            "content-type": "application/json",
            "x-shopify-hmac-sha256": base64.b64encode(signature).decode(),
            "x-shopify-topic": topic,
            "x-shopify-shop-domain": f"{workspace}.myshopify.com",
            "x-shopify-webhook-id": f"{self.rng.getrandbits(128):032x}",
        }
        return {"path": f"/webhooks/shopify/{topic}", "headers": headers, "body": body, "expect": 200}

    def disturb(self):
        """Repetitions, and what must be refused or set aside."""
        for place, delivery in list(self.sent):
            near = lambda: place + self.rng.uniform(0, self.orders / 50)
            shopify = "x-shopify-topic" in delivery["headers"]
            if self.chance(0.05):
                self.sent.append((near(), delivery))
            if shopify and self.chance(0.01):
                # Another subscription tells the same.
                headers = {**delivery["headers"], "x-shopify-webhook-id": f"{self.rng.getrandbits(128):032x}"}
                self.sent.append((near(), {**delivery, "headers": headers}))
            if shopify and self.chance(0.004):
                self.sent.append((near(), self.webhook(self.rng.choice(WORKSPACES), "orders/updated", "{broken")))
            if shopify and self.chance(0.003):
                self.sent.append((near(), self.webhook(self.rng.choice(WORKSPACES), "products/update", '{"id": 5}')))
            if shopify and self.chance(0.004):
                forged = {**delivery, "body": delivery["body"] + " ", "expect": 401}
                self.sent.append((near(), forged))
            if not shopify and self.chance(0.005):
                body = {**json.loads(delivery["body"]), "currency": None}
                self.sent.append((near(), {**delivery, "body": json.dumps(body), "expect": 400}))


def backend(workspace, name, body):
    query = {"key": f"{workspace}-backend-key", "workspace": workspace, "source": "tills", "event_name": name}
    path = f"/transform-webhook-data?{urllib.parse.urlencode(query)}"
    return {"path": path, "headers": {"content-type": "application/json"}, "body": body, "expect": 200}


def tenants():
    """The tenants as the services' configuration has them."""
    return "\n".join(
        f"""[[workspaces]]
id = "{name}"
base_currency = "USD"
time_zone = "UTC"
source_precedence = ["shopify", "lifesight"]

[[workspaces.shopify]]
shop = "{name}.myshopify.com"
secrets = ["{name}-shop-secret"]

[workspaces.lifesight]
keys = ["{name}-backend-key"]

[workspaces.analytics]
secret_keys = ["sk_{name}"]
"""
        for name in WORKSPACES
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--orders", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    options = parser.parse_args()
    deliveries = Maker(options.orders, options.seed).make()
    with open(options.folder / "deliveries.jsonl", "w", encoding="utf-8") as out:
        for delivery in deliveries:
            out.write(json.dumps(delivery, ensure_ascii=False) + "\n")
    (options.folder / "workspaces.toml").write_text(tenants(), encoding="utf-8")


if __name__ == "__main__":
    main()
