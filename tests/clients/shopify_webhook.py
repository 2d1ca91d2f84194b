"""Webhooks signed as Shopify documents it, and by `ShopifyAPI`, are accepted.

The package has no function for webhooks, only the HMAC of OAuth's parameters, sorted pairs `key=value`. A body with one
`=` and neither `&` nor `%` is such a pair, so their code signs it; @shopify/shopify-api checks webhooks in shopify.mjs.

Usage: shopify_webhook.py ENDPOINTS
"""

import base64
import hashlib
import hmac
import json
import uuid

import requests
import shopify

from claim import RUN, claim, endpoints, known, same

SECRET = "dev-shopify-secret"
ORDER = uuid.uuid4().int % 10**15
TIME = "2026-01-05T10:00:00-05:00"


def order(id, **more):
    return {
        "id": id,
        "email": f"shopify-{RUN}@example.com",
        "total_price": "30.49",
        "subtotal_price": "30.49",
        "total_discounts": "0.00",
        "currency": "USD",
        "financial_status": "paid",
        "line_items": [{"product_id": 1, "sku": "tee-1", "quantity": 2, "price": "15.245"}],
        "created_at": TIME,
        "updated_at": TIME,
    } | more


def documented(body):
    """https://shopify.dev/docs/apps/build/webhooks/subscribe/https: base64 of HMAC-SHA256 of the raw body."""
    return base64.b64encode(hmac.new(SECRET.encode(), body, hashlib.sha256).digest()).decode()


def packaged(body):
    """The same by ShopifyAPI."""
    shopify.Session.setup(api_key="any", secret=SECRET)
    key, value = body.decode().split("=")
    digest = shopify.Session.calculate_hmac({key: value})
    same("its own check", shopify.Session.validate_hmac({key: value, "hmac": digest}), True)
    return base64.b64encode(bytes.fromhex(digest)).decode()


def main():
    gateway = endpoints()["gateway"]
    ok, refusal = (200, '{"ok":true}'), (401, '{"error":"invalid signature"}')

    def send(what, body, signature, expected, topic="orders/create"):
        headers = {
            "Content-Type": "application/json",
            "X-Shopify-Topic": topic,
            "X-Shopify-Shop-Domain": "demo-shop.myshopify.com",
            "X-Shopify-API-Version": "2026-01",
            "X-Shopify-Webhook-Id": str(uuid.uuid4()),
        } | ({"X-Shopify-Hmac-Sha256": signature} if signature else {})
        answer = requests.post(f"{gateway}/webhooks/shopify/{topic}", body, headers=headers, timeout=20)
        same(what, (answer.status_code, answer.text), expected)

    body = json.dumps(order(ORDER)).encode()
    for _ in range(3):
        send("as documented", body, documented(body), ok)
    same("its total", known("orders", ORDER)["total"], {"minor": 3049, "currency": "USD"})
    paid = json.dumps(order(ORDER, updated_at="2026-01-05T10:05:00-05:00")).encode()
    send("an update that says paid again", paid, documented(paid), ok, "orders/updated")
    claim("order.placed", str(ORDER), deliveries=3)
    # The state stage derives it from the status of each version.
    claim("order.paid", str(ORDER), deliveries=0)
    claim("order.updated", str(ORDER))

    body = json.dumps(order(ORDER + 1, note="size=L")).encode()
    send("signed by ShopifyAPI", body, packaged(body), ok)
    claim("order.placed", str(ORDER + 1))
    claim("order.paid", str(ORDER + 1), deliveries=0)

    body = json.dumps(order(ORDER + 2)).encode()
    send("one space more", body + b" ", documented(body), refusal)
    send("in hex", body, hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest(), refusal)
    send("without signature", body, None, refusal)
    claim("order.placed", str(ORDER + 2), deliveries=0, facts=0)


if __name__ == "__main__":
    main()
