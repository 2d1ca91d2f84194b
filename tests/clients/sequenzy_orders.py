"""`sequenzy`, the provider's own client, pushes orders and a checkout.

Usage: sequenzy_orders.py ENDPOINTS
"""

import datetime

from claim import RUN, claim, endpoints, refused, same
from sequenzy import CommerceCustomer, CommerceOrderItem, Sequenzy
from sequenzy.core.api_error import ApiError

ORDER = f"order-{RUN}"


def main():
    url = f"{endpoints()['gateway']}/api/v1"
    client = Sequenzy(base_url=url, api_key="dev-orders-key", max_retries=0)
    buyer = CommerceCustomer(email=f"sequenzy-{RUN}@example.com", external_id=f"buyer-{RUN}", first_name="Jane")
    items = [CommerceOrderItem(product_id="tee-1", title="T-Shirt", quantity=2, price_cents=4425)]
    order = {
        "order_id": ORDER,
        "currency": "USD",
        "customer": buyer,
        "total_cents": 8850,
        "items": items,
        "ordered_at": datetime.datetime.now(datetime.timezone.utc),
        "properties": {"channel": "app", "orderId": "not this one"},
    }
    jobs = set()
    for _ in range(3):
        answer = client.orders.push(**order)
        same("a push", (answer.success, answer.queued, answer.order_id, answer.status), (True, True, ORDER, "placed"))
        jobs.add(answer.job_id)
    same("jobs of one push, sent three times", len(jobs), 1)
    claim("order.placed", ORDER, deliveries=3)
    claim("order.paid", ORDER, deliveries=0)
    for status, event in (("fulfilled", "order.fulfilled"), ("refunded", "order.refunded")):
        answer = client.orders.push(**dict(order, status=status, refund_amount_cents=1000))
        same("its status", answer.status, status)
        claim(event, ORDER)

    checkout = {"checkout_id": f"checkout-{RUN}", "customer": buyer, "currency": "USD", "total_cents": 100}
    answer = client.orders.track_checkout_started(**checkout, items=items)
    same("a checkout", (answer.success, answer.checkout_id), (True, f"checkout-{RUN}"))
    claim("checkout.started", f"checkout-{RUN}")

    stranger = Sequenzy(base_url=url, api_key="wrong", max_retries=0)
    refused("a wrong key", lambda: stranger.orders.push(**dict(order, order_id=f"{ORDER}-wrong")), ApiError)
    refused("a negative total", lambda: client.orders.push(**dict(order, total_cents=-1)), ApiError)
    claim("order.placed", f"{ORDER}-wrong", deliveries=0, facts=0)


if __name__ == "__main__":
    main()
