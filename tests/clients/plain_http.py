"""What a backend sends without any client: analytics, records and pushed orders.

Usage: plain_http.py ENDPOINTS
"""

import requests

from claim import RUN, claim, endpoints, known, same

# The example of the analytics API's own documentation, with ids of this run.
PURCHASE = {
    "event_type": "purchase",
    "transaction_id": f"order_456_{RUN}",
    "revenue": 49.99,
    "currency": "USD",
    "user_id": f"user_123_{RUN}",
    "coupon_code": "SAVE10",
    "discount": 5.00,
    "shipping": 4.99,
    "tax": 3.75,
    "items": [
        {
            "item_id": "sku_1",
            "item_name": "T-Shirt",
            "item_category": "Apparel",
            "item_brand": "MyBrand",
            "item_variant": "Red / L",
            "price": 24.99,
            "quantity": 2,
            "currency": "USD",
        }
    ],
    "properties": {"campaign": "spring-sale", "source": "email"},
}


def post(url, body, expected, **headers):
    answer = requests.post(url, json=body, headers=headers, timeout=20)
    same(f"{url}: {answer.text}", answer.status_code, expected)
    return answer


def analytics(gateway):
    url = f"{gateway}/v1/api/analytics/ecommerce"
    for headers in ({"X-API-Key": "sk_dev_demo"}, {"Authorization": "Bearer pk_dev_demo"}):
        same("a purchase", post(f"{url}/track", PURCHASE, 200, **headers).json(), {"ok": True})
    post(f"{url}/track", PURCHASE, 401)
    post(f"{url}/track", PURCHASE, 401, **{"X-API-Key": "wrong"})
    claim("order.placed", PURCHASE["transaction_id"], deliveries=2)
    claim("order.paid", PURCHASE["transaction_id"], deliveries=0)

    cart = {"event_type": "add_to_cart", "cart_id": f"cart_{RUN}", "items": [{"item_id": f"sku_{RUN}"}]}
    batch = {"apiKey": "pk_dev_demo", "events": [{"event_type": "purchase", "revenue": 1}, cart]}
    answer = post(f"{url}/batch", batch, 200).json()
    told = {
        "ok": True,
        "accepted": 1,
        "errors": ["events[0]: transaction_id is required for purchase events"],
    }
    same("a batch with a bad event", answer, told)

    # The purchase is read back by the secret key, once.
    same("its total", known("orders", PURCHASE["transaction_id"])["total"], {"minor": 4999, "currency": "USD"})
    report = f"{gateway}/v1/api/analytics/ecommerce/overview"
    same("a report", requests.get(report, headers={"X-API-Key": "pk_dev_demo"}, timeout=20).status_code, 403)
    same("a report", requests.get(report, headers={"X-API-Key": "sk_dev_demo"}, timeout=20).status_code, 200)


def records(gateway):
    url = f"{gateway}/public/v1/records/orders/append"
    row = {
        "shopify_order_id": f"record-{RUN}",
        "customer_email": f"record-{RUN}@example.com",
        "total": 49.99,
        "currency": "USD",
        "financial_status": "paid",
        "placed_at": "2026-01-05T10:00:00Z",
    }
    headers = {"Authorization": "Bearer dev-records-key", "Idempotency-Key": f"shopify:order:{RUN}:created"}
    told = []
    for _ in range(2):
        answer = post(url, {"record": row}, 200, **headers).json()
        found = (answer["success"], answer["data"]["operation"], answer["data"]["acceptedRecords"])
        same("an append", found, (True, "append", 1))
        told.append((answer["correlationId"], answer["data"]["acceptedAt"]))
    same("the stored answer", told[1], told[0])
    post(url, {"record": row}, 401)
    # The second one is answered from what was stored, and goes no further.
    claim("order.placed", row["shopify_order_id"], deliveries=1)
    claim("order.paid", row["shopify_order_id"], deliveries=0)


def pushed_orders(gateway):
    url = f"{gateway}/api/v1/orders"
    order = {
        "orderId": f"push-{RUN}",
        "totalCents": 8850,
        "currency": "USD",
        "customer": {"email": f"push-{RUN}@example.com"},
    }
    for _ in range(2):
        answer = post(url, order, 202, Authorization="Bearer dev-orders-key").json()
        same("five fields", sorted(answer), ["jobId", "orderId", "queued", "status", "success"])
    post(url, order, 401, **{"X-API-Key": "dev-orders-key"})
    claim("order.placed", order["orderId"], deliveries=2)
    claim("order.paid", order["orderId"], deliveries=0)


def main():
    gateway = endpoints()["gateway"]
    analytics(gateway)
    records(gateway)
    pushed_orders(gateway)


if __name__ == "__main__":
    main()
