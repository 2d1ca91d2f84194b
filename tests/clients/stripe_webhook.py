"""`stripe`, the provider's own library, signs what the gateway accepts.

Usage: stripe_webhook.py ENDPOINTS
"""

import json
import time

import requests
import stripe

from claim import RUN, claim, endpoints, same

SECRET = "whsec_dev"
INVOICE = f"in_{RUN}"


def event(id, kind, object):
    return json.dumps(
        {
            "id": f"evt_{RUN}_{id}",
            "object": "event",
            "type": kind,
            "created": int(time.time()),
            "livemode": True,
            "data": {"object": object},
        }
    )


def main():
    url = f"{endpoints()['gateway']}/webhooks/stripe/payment"

    def send(what, body, header, expected):
        headers = {"Content-Type": "application/json"} | ({"Stripe-Signature": header} if header else {})
        answer = requests.post(url, body.encode(), headers=headers, timeout=20)
        same(what, (answer.status_code, answer.text), expected)

    def sign(body, secret=SECRET, **more):
        header = stripe.WebhookSignature.generate_signature_header(body, secret, **more)
        # What their own library accepts is what is sent.
        stripe.Webhook.construct_event(body, header, secret, tolerance=0)
        return header

    ok, refusal = (200, '{"ok":true}'), (400, '{"error":"invalid signature"}')
    invoice = {
        "id": INVOICE,
        "object": "invoice",
        "customer": f"cus_{RUN}",
        "customer_email": f"stripe-{RUN}@example.com",
        "amount_paid": 4999,
        "amount_due": 4999,
        "currency": "usd",
        "status_transitions": {"paid_at": int(time.time())},
    }
    body = event("paid", "invoice.payment_succeeded", invoice)
    for _ in range(3):
        send("a signed invoice", body, sign(body), ok)
    # Another event of the same payment.
    other = event("paid_too", "invoice.paid", invoice)
    send("its other event", other, sign(other), ok)
    claim("payment.succeeded", INVOICE, deliveries=4)

    failed = event("failed", "invoice.payment_failed", dict(invoice, id=f"{INVOICE}_2", attempt_count=1))
    send("a failed payment", failed, sign(failed), ok)
    claim("payment.failed", f"{INVOICE}_2")
    unused = event("unused", "customer.created", {"id": f"cus_{RUN}", "object": "customer"})
    send("an unused type", unused, sign(unused), ok)

    bad = event("bad", "invoice.payment_succeeded", dict(invoice, id=f"{INVOICE}_bad"))
    send("a tampered body", bad.replace("4999", "1"), sign(bad), refusal)
    send("another secret", bad, sign(bad, "whsec_other"), refusal)
    send("an old signature", bad, sign(bad, timestamp=int(time.time()) - 301), refusal)
    send("no signature", bad, None, refusal)
    claim("payment.succeeded", f"{INVOICE}_bad", deliveries=0, facts=0)


if __name__ == "__main__":
    main()
