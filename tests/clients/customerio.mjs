// `customerio-node`, the provider's own client for Node, completes its calls.
//
// Usage: node customerio.mjs ENDPOINTS
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { CustomerIORequestError, IdentifierType, TrackClient } from 'customerio-node';

const { gateway } = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const run = randomBytes(5).toString('hex');
const claim = (event, id, deliveries = 1, facts = 1) =>
  console.log(JSON.stringify({ event, id, deliveries, facts }));
const place = { url: `${gateway}/api/v1`, retry: { maxRetries: 0 } };
const cio = new TrackClient('dev-site', 'dev-track-key', place);
const [jane, john, mary] = [`njane-${run}`, `njohn/${run} ä`, `nmary-${run}`];
const order = `norder-${run}`;
const paid = { order_id: order, value: 49.99, currency: 'USD', line_items: [{ sku: 'tee-1', price: 49.99 }] };

for (const person of [jane, john, mary]) {
  assert.deepEqual(await cio.identify(person, { plan: 'pro', created_at: 1700000000 }), {});
  claim('customer.updated', person);
}
for (const _ of [1, 2]) {
  await cio.track(jane, { name: 'order_paid', data: paid });
}
claim('order.paid', order, 2);
claim('order.placed', order, 0);
await cio.trackAnonymous(`nanonymous-${run}`, { name: 'product_viewed', data: { product_id: `nproduct-${run}` } });
claim('product.viewed', `nproduct-${run}`);
await cio.trackPageView(jane, '/tee');
claim('custom.tracked', jane);
await cio.addDevice(jane, `ndevice/${run}`, 'ios', { last_used: 1700000000, app: '1.0' });
await cio.deleteDevice(jane, `ndevice/${run}`);
await cio.trackPush({ delivery_id: run, device_id: 'd', event: 'opened', timestamp: 1700000000 });
await cio.reportMetric({ delivery_id: run, metric: 'opened' });
await cio.unsubscribe(run);
await cio.submitForm(`form-${run}`, { email: `nform-${run}@example.com` });
await cio.addCustomersToSegment(7, [jane, mary]);
await cio.removeCustomersFromSegment(7, [jane], IdentifierType.Id);
assert.equal((await cio.getAccountRegion()).region, 'us');
const person = { type: 'person', identifiers: { id: `nbatch-${run}` } };
await cio.entity({ ...person, action: 'identify', attributes: { plan: 'free' } });
claim('customer.updated', `nbatch-${run}`);
assert.deepEqual(
  await cio.batch([
    { ...person, action: 'event', name: 'order_paid', attributes: { ...paid, order_id: `${order}-2` } },
    { ...person, action: 'page', name: '/' },
  ]),
  {},
);
claim('order.paid', `${order}-2`);
claim('custom.tracked', `nbatch-${run}`);
claim('order.placed', `${order}-2`, 0);
await cio.mergeCustomers(IdentifierType.Id, jane, IdentifierType.Id, mary);
claim('customer.merged', jane);
await cio.suppress(john);
claim('customer.suppressed', john);
await cio.unsuppress(john);
claim('customer.unsuppressed', john);
await cio.destroy(john);
claim('customer.deleted', john);

const stranger = new TrackClient('dev-site', 'wrong', place);
await assert.rejects(
  stranger.identify(`nstranger-${run}`),
  (error) => error instanceof CustomerIORequestError && error.statusCode === 401,
);
