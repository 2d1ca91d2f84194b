"""`async-customerio`, a client of others, completes its calls of both versions.

Usage: tls.py ENDPOINTS python customerio_async.py ENDPOINTS
"""

import asyncio
import os
import urllib.parse

from async_customerio import AsyncCustomerIO, AsyncCustomerIOError

from claim import RUN, claim, same

JANE, JOHN, MARY = f"ajane-{RUN}", f"ajohn-{RUN}", f"amary-{RUN}"
ORDER = f"aorder-{RUN}"
PAID = {"order_id": ORDER, "value": "10.00", "currency": "USD", "line_items": [{"sku": "tee-1", "price": 10}]}


async def version_1(cio):
    for person in (JANE, MARY):
        await cio.identify(person, email=f"{person}@example.com", plan="pro")
        claim("customer.updated", person)
    for _ in range(2):
        await cio.track(JANE, "order_paid", **PAID)
    claim("order.paid", ORDER, deliveries=2)
    claim("order.placed", ORDER, deliveries=0)
    await cio.track_anonymous(f"aanonymous-{RUN}", "product_viewed", product_id=f"aproduct-{RUN}")
    claim("product.viewed", f"aproduct-{RUN}")
    await cio.pageview(JANE, "https://shop.example.com/", title="Shop")
    await cio.backfill(JANE, "newsletter_opened", 1_700_000_000, issue=7)
    claim("custom.tracked", JANE, deliveries=2, facts=2)
    await cio.add_device(JANE, f"adevice-{RUN}", "android")
    await cio.delete_device(JANE, f"adevice-{RUN}")
    await cio.report_metric(f"delivery-{RUN}", "opened", recipient=JANE)
    await cio.unsubscribe(f"delivery-{RUN}")
    await cio.merge_customers("id", JANE, "id", MARY)
    claim("customer.merged", JANE)


async def version_2(cio):
    john = {"id": JOHN}
    await cio.v2.identify_person(john, plan="free")
    claim("customer.updated", JOHN)
    await cio.v2.track_person_event(john, "order_paid", **dict(PAID, order_id=f"{ORDER}-2"))
    claim("order.paid", f"{ORDER}-2")
    claim("order.placed", f"{ORDER}-2", deliveries=0)
    await cio.v2.person_pageview(john, "https://shop.example.com/")
    await cio.v2.person_screen(john, "Home")
    claim("custom.tracked", JOHN, deliveries=2, facts=2)
    await cio.v2.add_person_device(john, f"adevice-{RUN}", "ios")
    await cio.v2.delete_person_device(john, f"adevice-{RUN}")
    shop = {"object_type_id": "1", "object_id": f"ashop-{RUN}"}
    await cio.v2.identify_object(shop, name="Shop")
    await cio.v2.add_person_relationships(john, [{"identifiers": shop}])
    await cio.v2.delete_person_relationships(john, [{"identifiers": shop}])
    await cio.v2.delete_object(shop)
    person = {"type": "person", "identifiers": {"id": f"abatch-{RUN}"}}
    answer = await cio.v2.send_batch(
        [
            dict(person, action="identify", attributes={"plan": "pro"}),
            dict(person, action="event", name="order_paid", attributes=dict(PAID, order_id=f"{ORDER}-3")),
        ]
    )
    same("a good batch", answer, {})
    answer = await cio.v2.send_batch([dict(person, action="nonsense"), dict(person, action="page", name="/")])
    same("a batch with a bad item", [error["batch_index"] for error in answer["errors"]], [0])
    claim("custom.tracked", f"abatch-{RUN}")
    claim("customer.updated", f"abatch-{RUN}")
    claim("order.paid", f"{ORDER}-3")
    claim("order.placed", f"{ORDER}-3", deliveries=0)


async def ends_of_people(cio):
    await cio.suppress(JOHN)
    claim("customer.suppressed", JOHN)
    await cio.unsuppress(JOHN)
    claim("customer.unsuppressed", JOHN)
    await cio.delete(JOHN)
    claim("customer.deleted", JOHN)


async def main():
    address = urllib.parse.urlsplit(os.environ["TILLSTREAM_TLS"])
    place = {"host": address.hostname, "port": address.port}
    async with AsyncCustomerIO("dev-site", "dev-track-key", **place) as cio:
        await version_1(cio)
        await version_2(cio)
        await ends_of_people(cio)
    async with AsyncCustomerIO("dev-site", "wrong", **place) as stranger:
        try:
            await stranger.identify(f"astranger-{RUN}")
        except AsyncCustomerIOError as error:
            same("the error of a wrong key", str(error)[:8], "HTTP 401")
        else:
            raise SystemExit("a wrong key: it went through")


if __name__ == "__main__":
    asyncio.run(main())
