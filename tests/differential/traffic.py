"""Sends a shop's life of a hundred days, made up from a seed: three sources, four currencies, everything late and mixed.

Usage: traffic.py ENDPOINTS SEED

It has what figures stumble over: refunds of orders that are two months old, first orders that are cancelled or turn out to
be tests, persons who are known late or joined, coupons in several spellings, carts without an id, campaigns that look
like formulas, days on which nothing happens, and repetitions.
"""

import base64
import hashlib
import hmac
import http.client
import json
import random
import re
import sys
import urllib.parse
from datetime import datetime, timedelta, timezone

DAYS = 100
CURRENCIES = ["USD"] * 7 + ["EUR", "EUR", "JPY", "KWD"]
PLACES = {"USD": 2, "EUR": 2, "JPY": 0, "KWD": 3}
CAMPAIGNS = [
    None,
    None,
    {"campaign": "spring"},
    {"campaign": "spring", "source": "newsletter", "medium": "email"},
    {"campaign": "autumn, late", "source": "ads", "medium": "cpc"},
    {"campaign": "=1+1", "source": "ads"},
    {"source": "direct"},
]
PRODUCTS = [(str(7000 + n), f"Product {n}", 300 + 137 * n) for n in range(14)]
COUPONS = ["SAVE10", "save10", " Vip ", "WELCOME"]
COUNTRIES = ["DE", "US", "JP", "FR", None]
DEVICES = ["mobile", "desktop", "tablet", None]
PLATFORMS = ["ios", "android", "web", None]


class Gateway:
    def __init__(self, address):
        self.address = urllib.parse.urlsplit(address).netloc
        self.connection = http.client.HTTPConnection(self.address, timeout=60)

    def send(self, method, path, body, headers):
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        text = answer.read().decode()
        if answer.status != 200:
            sys.exit(f"{method} {path}: {answer.status} {text}")
        return text


class Life:
    def __init__(self, seed, now):
        self.rng = random.Random(f"differential {seed}")
        self.now, self.seed = now, seed
        self.tracked, self.calls, self.last = [], [], []
        self.number = 0

    def next(self):
        self.number += 1
        return self.number

    def chance(self, share):
        return self.rng.random() < share

    def moment(self):
        """Any time of the hundred days, but for some on which the shop was closed."""
        while True:
            at = self.now - timedelta(microseconds=self.rng.randrange(DAYS * 86_400_000_000))
            if at.toordinal() % 11:
                return at

    def make(self):
        for person in range(60):
            self.shopper(f"user-{self.seed}-{person}")
        for _ in range(60):
            self.visitor()
        for number in range(140):
            self.shop_order(number)
        for _ in range(12):
            one, other = self.rng.sample(range(50), 2)
            body = {"primary": {"id": f"user-{self.seed}-{one}"}, "secondary": {"id": f"user-{self.seed}-{other}"}}
            self.calls.append(("POST", "/api/v1/merge_customers", json.dumps(body), profiles()))
        self.odd()
        # Whoever is erased is not among those who are joined; one of them comes back and is somebody new.
        for person in (58, 59):
            path = f"/v1/api/analytics/user/user-{self.seed}-{person}"
            self.last.append(("DELETE", path, None, {"X-API-Key": "sk_dev_demo"}))
        back, before = f"user-{self.seed}-59", len(self.tracked)
        self.visit(self.moment(), {"user_id": back}, {}, CAMPAIGNS[3])
        self.purchase(self.moment(), {"user_id": back}, CAMPAIGNS[3])
        self.last.append(self.batch(self.tracked[before:]))
        del self.tracked[before:]
        self.rng.shuffle(self.tracked)
        for start in range(0, len(self.tracked), 100):
            self.calls.append(self.batch(self.tracked[start : start + 100]))
        self.rng.shuffle(self.calls)
        again = self.rng.sample(self.calls, len(self.calls) // 10)
        return self.calls + again + self.last

    def batch(self, events):
        headers = {"Content-Type": "application/json", "X-API-Key": "sk_dev_demo"}
        return "POST", "/v1/api/analytics/ecommerce/batch", document({"events": events}), headers

    def odd(self):
        """What counts on another day than it says, or nowhere: a clock that is wrong, and a sum that can't be."""
        user = {"user_id": f"user-{self.seed}-0"}
        self.track("view_item", self.now + timedelta(days=400), CAMPAIGNS[3], items=[self.item()], **user)
        self.track("purchase", self.moment(), None, transaction_id=f"n-{self.seed}", revenue=-5, **user)
        for number in range(3):
            # More than anybody pays: it counts, and is marked.
            order = {"transaction_id": f"much-{self.seed}-{number}", "currency": "USD", "items": [self.item()]}
            self.track("purchase", self.moment(), CAMPAIGNS[2], revenue=1_500_000 + number, **order, **user)

    def shopper(self, user):
        """Somebody who is known by an id, from the first click or from some later one."""
        campaigns = self.rng.sample(CAMPAIGNS, 3)
        cart = f"cart-{user}"
        for _ in range(self.rng.randrange(1, 6)):
            at, campaign = self.moment(), self.rng.choice(campaigns)
            with_cart = {"cart_id": f"{cart}-{self.next()}"} if self.chance(0.5) else {}
            # Before the sign-in only the cart is known, and it is told together with the id once.
            known = {"user_id": user}
            early = {} if with_cart and self.chance(0.4) else known
            self.visit(at, early, with_cart, campaign)
            if not early:
                self.track("view_cart", at + timedelta(hours=2), campaign, **known, **with_cart)
            if self.chance(0.5):
                self.purchase(at + timedelta(hours=3), {**known, **with_cart}, campaign)

    def visitor(self):
        """Somebody of whom nobody knows more than a cart, or nothing at all."""
        cart = {"cart_id": f"guest-{self.seed}-{self.next()}"} if self.chance(0.7) else {}
        at, campaign = self.moment(), self.rng.choice(CAMPAIGNS)
        self.visit(at, {}, cart, campaign)
        if self.chance(0.3):
            self.purchase(at + timedelta(hours=1), cart, campaign)

    def visit(self, at, who, cart, campaign):
        def track(name, minutes, **fields):
            self.track(name, at + timedelta(minutes=minutes, microseconds=self.next()), campaign, **who, **cart, **fields)

        chosen = [self.item() for _ in range(self.rng.randrange(1, 4))]
        track("view_item", 0, items=chosen)
        if self.chance(0.3):
            track("search", 1, properties={"search_term": "lamp"})
        if self.chance(0.6):
            track("add_to_cart", 5, items=chosen)
            if self.chance(0.3):
                track("remove_from_cart", 6, items=chosen[:1])
            if self.chance(0.5):
                track("view_cart", 7)
            if self.chance(0.5):
                track("begin_checkout", 8, revenue=self.amount("USD", 9000), currency="USD")
                if self.chance(0.3):
                    track("begin_checkout", 12, revenue=self.amount("USD", 9000), currency="USD")
                if self.chance(0.6):
                    track("add_payment_info", 13)
        elif self.chance(0.2):
            track("add_to_wishlist", 9, items=chosen[:1])

    def track(self, name, at, campaign, **fields):
        properties = {**(campaign or {}), **fields.pop("properties", {})}
        event = {"event_type": name, "timestamp": at.isoformat(), "properties": properties, **fields}
        self.tracked.append({**event, "event_id": f"{self.seed}-{self.next()}"})

    def purchase(self, at, who, campaign):
        currency = self.rng.choice(CURRENCIES)
        order = f"t-{self.seed}-{self.next()}"
        fields = {"transaction_id": order, "currency": currency, "items": [self.item(currency) for _ in range(2)], **who}
        if self.chance(0.4):
            fields |= {"coupon_code": self.rng.choice(COUPONS), "discount": self.amount(currency, 500)}
        context = {"device_type": self.rng.choice(DEVICES), "platform": self.rng.choice(PLATFORMS)}
        context["country"] = self.rng.choice(COUNTRIES)
        properties = {name: value for name, value in context.items() if value}
        self.track("purchase", at, campaign, revenue=self.amount(currency, 20_000), properties=properties, **fields)
        if self.chance(0.15):
            back = {"transaction_id": order, "revenue": self.amount(currency, 9000), "currency": currency}
            later = min(at + timedelta(days=self.rng.choice([1, 20, 65])), self.now)
            self.track("refund", later, None, properties={"refund_id": f"r-{order}"}, **back)

    def item(self, currency="USD"):
        item, name, price = self.rng.choice(PRODUCTS)
        made = {"item_id": item, "quantity": self.rng.randrange(1, 4), "currency": currency}
        if self.chance(0.9):
            made |= {"item_name": f"{name} {self.rng.choice(['', 'new'])}".strip(), "price": amount(price, currency)}
        return made

    def amount(self, currency, most):
        return amount(self.rng.randrange(100, most), currency)

    def shop_order(self, number):
        """An order of the shop and what becomes of it; each version is told whole, some are told late or twice."""
        rng = self.rng
        currency, created = rng.choice(CURRENCIES), self.moment()
        buyer = rng.randrange(70)
        price = lambda minor: text(minor, currency)
        lines, total = [], 0
        for product, title, minor in rng.sample(PRODUCTS, rng.randrange(1, 4)):
            quantity = rng.randrange(1, 4)
            total += minor * quantity
            lines.append(
                {
                    "product_id": int(product) if rng.random() < 0.8 else None,
                    "variant_id": int(product) * 10,
                    "sku": f"sku-{product}",
                    "title": title,
                    "quantity": quantity,
                    "price": price(minor),
                    "total_discount": price(rng.choice([0, 0, 50])),
                }
            )
        campaign = rng.choice(CAMPAIGNS)
        query = urllib.parse.urlencode({f"utm_{name}": word for name, word in (campaign or {}).items()})
        order_id = 880_000_000_000 + self.seed * 1_000_000 + number
        body = {
            "id": order_id,
            "name": f"#{self.seed}{number:05}",
            "order_number": self.seed * 100_000 + number,
            "created_at": created.isoformat(),
            "updated_at": created.isoformat(),
            "cancelled_at": None,
            "currency": currency,
            "financial_status": "paid" if rng.random() < 0.8 else "pending",
            "fulfillment_status": None,
            "total_price": price(total),
            "subtotal_price": price(total),
            "total_discounts": price(100 if number % 3 == 0 else 0),
            "total_tax": price(0),
            "total_shipping_price_set": {"shop_money": {"amount": price(0), "currency_code": currency}},
            "discount_codes": [{"code": code, "amount": price(100)} for code in rng.sample(COUPONS, number % 3)],
            "landing_site": f"/?{query}",
            "referring_site": None,
            "tags": "",
            "test": rng.random() < 0.03,
            "line_items": lines,
            "shipping_address": {"country_code": rng.choice(["DE", "US", "CH"])},
            "refunds": [],
        }
        if rng.random() < 0.85:
            body["email"] = f"buyer-{self.seed}-{buyer}@example.com"
            number = 40_000 + self.seed * 1000 + buyer
            body["customer"] = {"id": number, "email": body["email"], "first_name": "B", "last_name": str(buyer)}
        self.webhook("orders/create", body)

        def later(topic, most, **changes):
            at = datetime.fromisoformat(body["updated_at"]) + timedelta(minutes=rng.randrange(1, most))
            body.update({"updated_at": min(at, self.now).isoformat(), **changes})
            self.webhook(topic, body)

        if body["financial_status"] == "pending" and rng.random() < 0.7:
            later("orders/paid", 3000, financial_status="paid")
        if rng.random() < 0.12:
            at = (datetime.fromisoformat(body["updated_at"]) + timedelta(hours=1)).isoformat()
            later("orders/cancelled", 90, cancelled_at=at, financial_status="voided")
        elif body["financial_status"] == "paid" and rng.random() < 0.2:
            at = min(created + timedelta(days=rng.choice([2, 30, 70])), self.now)
            minor = rng.randrange(1, total + 200)
            went = {"kind": "refund", "status": "success", "amount": price(minor), "currency": currency}
            refund = {
                "id": order_id * 10,
                "order_id": order_id,
                "created_at": at.isoformat(),
                "transactions": [{"id": order_id * 100, **went}],
                "refund_line_items": [],
                "order_adjustments": [],
            }
            body["updated_at"] = at.isoformat()
            later("orders/updated", 2, refunds=[refund], financial_status="partially_refunded")
        if rng.random() < 0.1:
            lines[0]["title"] = f"{lines[0]['title']} (second edition)"
            later("orders/updated", 500, total_price=price(total + 100), line_items=lines)

    def webhook(self, topic, body):
        text = json.dumps(body)
        signature = hmac.new(b"dev-shopify-secret", text.encode(), hashlib.sha256).digest()
        headers = {
            "Content-Type": "application/json",
            "X-Shopify-Hmac-Sha256": base64.b64encode(signature).decode(),
            "X-Shopify-Topic": topic,
            "X-Shopify-Shop-Domain": "demo-shop.myshopify.com",
            "X-Shopify-Webhook-Id": f"{self.rng.getrandbits(128):032x}",
        }
        self.calls.append(("POST", f"/webhooks/shopify/{topic}", text, headers))


def text(minor, currency):
    """An amount in major units."""
    unit = 10 ** PLACES[currency]
    return f"{minor // unit}.{minor % unit:0{PLACES[currency]}}" if unit > 1 else str(minor)


def amount(minor, currency):
    """What `document` writes as a number with all its digits; no float comes between."""
    return f"amount {text(minor, currency)}"


def document(value):
    return re.sub(r'"amount ([0-9.]+)"', r"\1", json.dumps(value))


def profiles():
    credentials = base64.b64encode(b"dev-site:dev-track-key").decode()
    return {"Content-Type": "application/json", "Authorization": f"Basic {credentials}"}


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        gateway = Gateway(json.load(file)["gateway"])
    now = datetime.now(timezone.utc).replace(microsecond=0)
    calls = Life(int(sys.argv[2]), now).make()
    for call in calls:
        gateway.send(*call)
    print(f"{len(calls)} calls")


if __name__ == "__main__":
    main()
