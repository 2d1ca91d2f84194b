// Looks at the dashboard as a person does: gate, figures, views, keys, small screens. Run with the browser and the
// address. The figures are those of `story` in tests/it/shoppers.rs, the key is `sk`.
import assert from "node:assert/strict";
import { open } from "./chromium.mjs";

const [, , program, address] = process.argv;
const text = (id) => `document.getElementById("${id}").textContent`;
const rows = (label) => `[...document.querySelectorAll('[aria-label="${label}"] tbody tr')].map((row) => [...row.cells].map((cell) => cell.textContent))`;

const page = await open(program, { width: 1280 });
try {
  // Without a key there are no figures; a wrong one is refused in words.
  await page.go(address);
  await page.until(`!document.getElementById("gate").hidden`);
  assert.equal(await page.value(`document.getElementById("main").hidden`), true);
  const enter = (key) => page.value(`document.getElementById("key").value = "${key}"; document.getElementById("gate").requestSubmit()`);
  await enter("wrong");
  await page.until(`${text("gate-wrong")} === "Invalid API key"`);
  page.complaints.length = 0;
  await enter("sk");
  await page.until(`document.body.dataset.state === "live"`);
  assert.equal(await page.value("location.href.includes('sk')"), false);

  // The story's one order of 50.00, from the server's own digits.
  assert.match(await page.value(`document.querySelector("[data-value=revenue]").textContent`), /^50\.00/);
  await page.until(`document.querySelectorAll("#reports .panel[data-state=fine]").length === document.querySelectorAll("#reports .panel").length`);
  const funnel = await page.value(rows("Funnel"));
  assert.deepEqual(funnel.map((row) => row[1]), ["4", "2", "0", "2", "1", "1"]);
  assert.deepEqual((await page.value(rows("Attribution"))).map((row) => [row[0], row[3]]), [["spring / mail / email", "50.00"]]);
  assert.deepEqual((await page.value(rows("Cohorts"))).map((row) => row.slice(1)), [["1", "50.00"]]);
  assert.deepEqual((await page.value(rows("Carts"))).map((row) => [row[1], row[2]]), [["1", "70.50 USD"], ["1", "in revenue"]]);
  // Each panel says up to when, and what it counts.
  assert.equal(await page.value(`[...document.querySelectorAll("#reports .panel")].every((panel) => panel.querySelector(".fresh-line").textContent.trim() && panel.querySelector(".counted p").textContent)`), true);

  // Days by hand: the day before has nothing, and the page says so.
  await page.value(`document.querySelector("[name=days][value=dates]").click(); document.getElementById("start").value = "2026-03-01"; document.getElementById("end").value = "2026-03-14"; document.getElementById("end").dispatchEvent(new Event("change", { bubbles: true }))`);
  await page.until(`!document.getElementById("empty").hidden`);
  await page.until(`document.querySelector('[aria-labelledby="funnel-title"] .none')`);
  assert.match(await page.value(text("foot")), /days are over/);
  await page.until(`document.querySelector('[aria-labelledby="funnel-title"] .fresh-line').textContent.includes("days are over")`);
  await page.value(`document.querySelector("[name=days][value='7']").click()`);
  await page.until(`document.querySelector("[data-value=revenue]").textContent.startsWith("50.00")`);

  // By keyboard: the days of the chart are read out one by one.
  await page.value(`document.getElementById("chart").focus()`);
  const today = await page.value(text("readout"));
  await page.press("ArrowLeft");
  assert.notEqual(await page.value(text("readout")), today);

  await page.value(`document.querySelector('nav a[href="#pipeline"]').click()`);
  await page.until(`document.querySelectorAll("#stages .stage").length === 4`);
  assert.equal(await page.value(`document.querySelector('nav [aria-current]').textContent`), "Pipeline");

  // An order by its id, with the key that was entered; what isn't there is said.
  await page.value(`document.querySelector('nav a[href="#lookup"]').click()`);
  await page.until(`!document.getElementById("lookup").hidden`);
  const look = (id) => page.value(`document.getElementById("lookup-text").value = "${id}"; document.getElementById("lookup-form").requestSubmit()`);
  await look("o1");
  await page.until(`document.querySelector("#found .sum")`);
  assert.match(await page.value(`document.querySelector("#found .sum").textContent`), /^50\.00 USD/);
  // Its history, as the service tells it: by source, the newest delivery no less than the oldest.
  await page.value(`window.asked = window.fetch; window.fetch = (path, options) => path.endsWith("/v1/orders/o1/history")
    ? Promise.resolve(new Response(JSON.stringify({ order_id: "o1", history: [
      { source: "shopify", source_event: "orders/create", received_at: "2026-03-15T11:00:01Z", total: { minor: 5000, currency: "USD" }, deliveries: 2, flags: [], stale: false },
      { source: "shopify", source_event: "orders/updated", received_at: "2026-03-15T11:00:02Z", total: { minor: 5000, currency: "JPY" }, refund_total: { minor: 5, currency: "KWD" }, deliveries: 1, flags: ["total_mismatch"], stale: true },
      { source: "lifesight", event: "order.placed", received_at: "2026-03-15T11:00:03Z", total: null, deliveries: 1 }] })))
    : window.asked(path, options)`);
  await look("o1");
  await page.until(`document.querySelector('[aria-label="Versions of lifesight"]')`);
  const versions = await page.value(rows("Versions of shopify"));
  assert.deepEqual(versions.map((row) => row.slice(1)), [["orders/create", "50.00 USD", "2 ×"], ["orders/updated older than what was known, total mismatch", "5,000 JPY less 0.005 KWD", "1 ×"]]);
  await look("<b>nobody");
  await page.until(`${text("lookup-said")}.includes("<b>nobody")`);

  // The key is forgotten when that is asked for, and with it what it opened.
  await page.value(`document.getElementById("lookup-forget").click()`);
  await page.until(`!document.getElementById("gate").hidden`);
  assert.equal(await page.value(`sessionStorage.length + document.getElementById("found").childElementCount`), 0);

  // What is operated has a name that is read out, in each view.
  const nameless = await page.value(`[...document.querySelectorAll("input, select, button, a")].filter((one) => !(one.getAttribute("aria-label") || one.labels?.length || one.textContent.trim())).map((one) => one.outerHTML)`);
  assert.deepEqual(nameless, []);
  // A look-up of what isn't there is a 404, and this service has read no histories; nothing else is complained of, least of
  // all by the policy.
  const expected = /404.*\/v1\/(orders|people)\/|503.*\/v1\/orders\/o1\/history/;
  assert.deepEqual(page.complaints.filter((complaint) => !expected.test(complaint)), []);
} finally {
  await page.close();
}

// The smallest screen: nothing is wider than it, in any view, dark as well.
const small = await open(program, { width: 360, height: 740, dark: true });
try {
  await small.go(address);
  await small.until(`!document.getElementById("gate").hidden`);
  await small.value(`document.getElementById("key").value = "sk"; document.getElementById("gate").requestSubmit()`);
  await small.until(`document.querySelectorAll("#reports .panel[data-state=fine]").length === document.querySelectorAll("#reports .panel").length`);
  for (const view of ["shop", "pipeline", "lookup"]) {
    await small.value(`document.querySelector('nav a[href="#${view}"]').click()`);
    await small.until(`!document.getElementById("${view}").hidden`);
    assert.ok(await small.value("document.documentElement.scrollWidth") <= 360, view);
  }
  assert.notEqual(await small.value("getComputedStyle(document.body).backgroundColor"), "rgb(247, 247, 244)");
} finally {
  await small.close();
}
