// `@shopify/shopify-api`, the provider's own library for Node, accepts what `tillstream trigger` signs and sends.
//
// Usage: node shopify.mjs ENDPOINTS TILLSTREAM
import '@shopify/shopify-api/adapters/node';
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import { promisify } from 'node:util';
import { LogSeverity, shopifyApi } from '@shopify/shopify-api';

const app = (apiSecretKey) =>
  shopifyApi({
    apiKey: 'any',
    apiSecretKey,
    hostName: 'app.example.com',
    apiVersion: '2025-10',
    isEmbeddedApp: false,
    logger: { level: LogSeverity.Error },
  });
const [right, wrong] = [app('dev-shopify-secret'), app('another-secret')];
const seen = [];
const server = createServer(async (rawRequest, rawResponse) => {
  const rawBody = await text(rawRequest);
  const request = { rawBody, rawRequest, rawResponse };
  seen.push([
    await right.webhooks.validate(request),
    await wrong.webhooks.validate(request),
    await right.webhooks.validate({ ...request, rawBody: `${rawBody} ` }),
  ]);
  rawResponse.end('{"ok":true}');
});
server.listen(0, '127.0.0.1');
await once(server, 'listening');
const gateway = `http://127.0.0.1:${server.address().port}`;
for (const event of ['orders/create', 'orders/paid', 'refunds/create']) {
  await promisify(execFile)(process.argv[3], ['trigger', 'shopify', event, '--gateway', gateway]);
}
server.close();
assert.deepEqual(
  seen.map(([valid]) => [valid.valid, valid.topic, valid.domain]),
  ['ORDERS_CREATE', 'ORDERS_PAID', 'REFUNDS_CREATE'].map((topic) => [true, topic, 'demo-shop.myshopify.com']),
);
for (const [, otherSecret, tampered] of seen) {
  assert.deepEqual([otherSecret.reason, tampered.reason], ['invalid_hmac', 'invalid_hmac']);
}
