"""`customerio`, the provider's own client for Python, completes its calls.

Usage: tls.py ENDPOINTS python customerio_python.py ENDPOINTS
"""

import datetime
import json
import os
import urllib.parse

from customerio import CustomerIO, CustomerIOException

from claim import RUN, claim, known, refused, same

JANE, JOHN, MARY = f"jane-{RUN}", f"john/{RUN} ä", f"mary-{RUN}"
ORDER = f"order-{RUN}"
PAID = {
    "order_id": ORDER,
    "value": 49.99,
    "currency": "USD",
    "line_items": [{"sku": "tee-1", "quantity": 2, "price": 24.99}],
}


def main():
    address = urllib.parse.urlsplit(os.environ["TILLSTREAM_TLS"])
    place = {"host": address.hostname, "port": address.port, "retries": 0}
    cio = CustomerIO("dev-site", "dev-track-key", **place)

    for person in (JANE, JOHN, MARY):
        answer = cio.identify(id=person, email=f"{person[:4]}-{RUN}@example.com", plan="pro", score=float("nan"))
        same("identify", (answer.status_code, answer.text), (200, "{}\n"))
    for person in (JOHN, MARY):
        claim("customer.updated", person)
    claim("customer.updated", JANE, deliveries=2, facts=2)

    person = known("people", f"jane-{RUN}@example.com")
    same("handles of the person with the e-mail", JANE in json.dumps(person), True)

    now = datetime.datetime.now(datetime.timezone.utc)
    cio.track(JANE, "checkout_started", dict(PAID, cart_id=f"cart-{RUN}"), timestamp=now)
    claim("checkout.started", f"cart-{RUN}")
    # A payment that the backend reports three times, each with an event id of its own, and once more by the person's
    # e-mail.
    for count in range(3):
        cio.track(JANE, "order_paid", PAID, id=f"01J{count}{RUN.upper()}", timestamp=now)
    cio.track(f"jane-{RUN}@example.com", "order_paid", PAID, timestamp=now)
    claim("order.paid", ORDER, deliveries=4)
    claim("order.placed", ORDER, deliveries=0)
    claim("order.fulfilled", ORDER)
    cio.track(JANE, "order_fulfilled", {"order_id": ORDER})

    cio.track_anonymous(f"anonymous-{RUN}", "product_viewed", {"product_id": f"product-{RUN}"})
    claim("product.viewed", f"product-{RUN}")
    cio.identify(id=JANE, anonymous_id=f"anonymous-{RUN}")
    cio.pageview(JANE, "https://shop.example.com/tee", referer="https://example.com")
    cio.backfill(JANE, "newsletter_opened", now - datetime.timedelta(days=10), issue=7)
    claim("custom.tracked", JANE, deliveries=2, facts=2)

    cio.add_device(JANE, f"device/{RUN}", "ios", last_used=now)
    cio.delete_device(JANE, f"device/{RUN}")
    cio.merge_customers("id", JANE, "id", MARY)
    claim("customer.merged", JANE)
    cio.suppress(JOHN)
    claim("customer.suppressed", JOHN)
    cio.unsuppress(JOHN)
    claim("customer.unsuppressed", JOHN)
    cio.delete(JOHN)
    claim("customer.deleted", JOHN)

    answer = cio.batch(
        [
            {"type": "person", "action": "identify", "identifiers": {"id": f"batch-{RUN}"}, "attributes": {"a": 1}},
            {
                "type": "person",
                "action": "event",
                "identifiers": {"id": f"batch-{RUN}"},
                "name": "order_paid",
                "attributes": dict(PAID, order_id=f"batch-order-{RUN}"),
            },
            {"type": "person", "action": "event", "identifiers": {"id": f"batch-{RUN}"}, "name": ""},
        ]
    )
    same("batch", (answer.status_code, [error["batch_index"] for error in answer.json()["errors"]]), (207, [2]))
    claim("customer.updated", f"batch-{RUN}")
    claim("order.paid", f"batch-order-{RUN}")
    claim("order.placed", f"batch-order-{RUN}", deliveries=0)

    stranger = CustomerIO("dev-site", "wrong", **place)
    refused("a wrong key", lambda: stranger.identify(id=f"stranger-{RUN}"), CustomerIOException)
    refused("a blank name", lambda: cio.track(JANE, ""), CustomerIOException)
    claim("customer.updated", f"stranger-{RUN}", deliveries=0, facts=0)


if __name__ == "__main__":
    main()
