// A person or an order by any of its names. It answers with personal data, so it always needs the key; what was found is
// kept nowhere but on the page.
"use strict";
import { $, bones, button, make, pairs, table } from "./dom.js";
import { digitsOf, key, lookUp, view } from "./line.js";
import { at, count, minor, money, plural, words } from "./text.js";

const JOURNEY_DAYS = 36_525;    // all of them
let stop = null;

const sum = (value) => (value ? `${minor(value.minor, digitsOf(value.currency))} ${value.currency}` : "–");
const sums = (map) => Object.entries(map || {}).map(([currency, units]) => `${minor(units, digitsOf(currency))} ${currency}`).join(", ");
const when = (instant) => (instant ? at(instant) : "–");
const path = (kind, id, rest = "") => `/v1/${kind}/${encodeURIComponent(id)}${rest}`;
const orNull = (promise) => promise.catch((error) => { if (error.status === 404) return null; throw error; });

export function prepare() {
  $("lookup-key-box").hidden = Boolean(key.get());
  $("lookup-forget-box").hidden = !key.get();
  const { key: known, workspace } = view.development;
  const field = $("lookup-key");
  // It opens its own workspace and no other; what somebody typed stays.
  if (!key.get() && known && workspace === view.workspace) field.value ||= known;
  else if (field.value === known) field.value = "";
}

$("lookup-form").addEventListener("submit", (event) => {
  event.preventDefault();
  if (!key.get()) key.set($("lookup-key").value);
  find($("lookup-text").value.trim());
});

// Takes away what was found, too: it was told to whoever had the key.
export function clear() {
  if (stop) stop.abort();
  stop = null;
  $("found").replaceChildren();
  $("lookup-text").value = "";
  say("");
}

async function find(text) {
  if (!text) return;
  if (stop) stop.abort();
  const mine = stop = new AbortController();
  $("lookup-text").value = text;
  say("Looking");
  $("found").replaceChildren(make("section", { class: "panel" }, bones(6)));
  try {
    const [person, order] = await Promise.all([orNull(lookUp(path("people", text), {}, mine.signal)), orNull(lookUp(path("orders", text), {}, mine.signal))]);
    prepare();
    const parts = [...(order ? [await orderOf(order, mine)] : []), ...(person ? [await personOf(person, mine)] : [])];
    if (mine !== stop) return;
    say(parts.length ? "" : `Nobody and no order of this workspace is called “${text}”.`);
    $("found").replaceChildren(...parts);
  } catch (error) {
    if (error.name === "AbortError" || mine !== stop) return;
    $("found").replaceChildren();
    if (error.status === 401 || error.status === 403) {
      key.forget();
      prepare();
      $("lookup-key").focus();
      say(`${error.message}. Enter the workspace’s secret key.`, true);
    } else say(error.status ? `${error.message}.` : "The query service doesn’t answer.", true);
  }
}
function say(text, bad) {
  $("lookup-said").textContent = text;
  $("lookup-said").className = bad ? "said bad" : "said";
}
const orderLink = (id) => button(id, () => { find(id); $("lookup-text").focus(); }, { class: "link" });

/* ---- a person ---- */

async function personOf(p, mine) {
  const journey = await lookUp("/v1/api/analytics/ecommerce/user-journey", { user_id: p.person_id, days: JOURNEY_DAYS }, mine.signal).catch(() => null);
  const contact = p.contact || {}, name = [contact.first_name, contact.last_name].filter(Boolean).join(" ");
  const consent = (p.consent || []).map((c) => (typeof c === "string" ? c : [c.channel, c.state ?? c.status ?? c.granted].filter((x) => x !== undefined).join(": ")));
  return make("section", { class: "panel found", "aria-label": "Person" },
    make("div", { class: "head" }, make("h2", null, name || contact.email || "A person without a name"), make("p", { class: "quiet" }, `person, as of ${when(p.as_of)}`)),
    pairs([
      ["Orders", count(p.orders_count)], ["Spent", sum(p.total_spent)], ["Lifetime value", sum(p.lifetime_value)], ["Refunded", sum(p.refunded_total)], ["Average order", sum(p.aov)],
      Object.keys(p.total_spent_by_currency || {}).length ? ["Spent by currency", sums(p.total_spent_by_currency)] : null,
      ["First order", when(p.first_order_at)], ["Last order", when(p.last_order_at)], p.payment_status ? ["Payment", words(p.payment_status)] : null,
    ]),
    make("h3", null, "Handles"),
    (contact.identifiers || []).length ? table("Handles", [["Kind"], ["Value"]], contact.identifiers.map((i) => [words(i.kind) + (i.space ? `, ${i.space}` : ""), i.value])) : make("p", { class: "none" }, "None is told."),
    ...list("Audiences", (p.audiences || []).map((name) => (p.audiences_since?.[name] ? `${name} since ${when(p.audiences_since[name])}` : name))), ...list("Tags", p.tags), ...list("Consent", consent), ...list("Flags", p.flags),
    ...ordersOf(journey), make("h3", null, "Journey"), journeyOf(journey, p.total_spent?.currency),
    make("p", { class: "quiet mono" }, p.person_id));
}
function list(title, values) {
  const texts = (values || []).map((value) => (typeof value === "string" ? value : JSON.stringify(value)));
  return texts.length ? [make("h3", null, title), make("p", null, texts.join(", "))] : [];
}

function ordersOf(journey) {
  const ids = [...new Set((journey?.events || []).filter((event) => event.event_type === "purchase").map((event) => event.transaction_id).filter(Boolean))].reverse();
  return ids.length ? [make("h3", null, "Orders"), make("p", { class: "links" }, ...ids.slice(0, 50).map(orderLink))] : [];
}

function journeyOf(journey, base = "") {
  if (journey === null) return make("p", { class: "none" }, "The journey can’t be told now.");
  if (journey.events.length === 0) return make("p", { class: "none" }, "Nothing is known of what this person did.");
  const rows = journey.events.slice().reverse().slice(0, 200);
  return make("div", null, table("Journey", [["When"], ["What"], ["Worth", "n"]], rows.map((event) => {
    const items = (event.items || []).map((item) => `${item.quantity} × ${item.item_name || item.item_id}`);
    const from = [event.campaign, event.source, event.medium].filter(Boolean).join(" / ");
    const more = [items.join(", "), event.search_term && `“${event.search_term}”`, from && `by ${from}`, event.cart_id && `cart ${event.cart_id}`].filter(Boolean).join("; ");
    return [at(event.timestamp), [words(event.event_type), ...(event.transaction_id ? [" ", orderLink(event.transaction_id)] : []), make("span", { class: "quiet" }, more ? ` ${more}` : "")],
      event.revenue === undefined ? (["purchase", "refund"].includes(event.event_type) ? "no rate yet" : "") : `${money(event.revenue, digitsOf(base))} ${base}`];
  })), ...(journey.events.length > rows.length ? [make("p", { class: "quiet" }, `The newest ${count(rows.length)} of ${count(journey.events.length)}.`)] : []));
}

/* ---- an order ---- */

async function orderOf(o, mine) {
  const history = await lookUp(path("orders", o.id, "/history"), {}, mine.signal).catch((error) => { if (error.name === "AbortError") throw error; return error; });
  const items = o.items || [];
  const refunds = Object.entries(o.refunds || {});
  const more = (o.aliases || []).filter((alias) => alias !== o.id).map((alias) => alias.replace(/^number:/, "#"));
  return make("section", { class: "panel found", "aria-label": "Order" },
    make("div", { class: "head" }, make("h2", null, `Order ${more.find((alias) => alias.startsWith("#")) || o.id}`), make("p", { class: "quiet" }, `${o.source || "no source"}${o.updated_at ? `, updated ${when(o.updated_at)}` : ""}`)),
    make("p", { class: "sum" }, make("b", null, sum(o.total)), o.counted ? "counted in revenue" : "not counted in revenue", o.qa ? " (a test order)" : "", o.financial_status ? `, ${words(o.financial_status)}` : "", o.fulfillment_status ? `, ${words(o.fulfillment_status)}` : ""),
    pairs([["Subtotal", sum(o.subtotal)], ["Discount", sum(o.discount_total)], ["Shipping", sum(o.shipping_total)], ["Tax", sum(o.tax_total)], ["Refunded", sum(o.refunded_total)], ["Net", sum(o.net)]]),
    ...(items.length ? [make("h3", null, "Items"), table("Items", [["Item"], ["Quantity", "n"], ["Price", "n"]], items.map((item) => [[item.title || item.product_id || item.sku || "–", item.variant_title].filter(Boolean).join(", "), count(item.quantity ?? 1), item.price?.currency ? sum(item.price) : "–"]))] : []),
    ...(refunds.length ? [make("h3", null, "Refunds"), table("Refunds", [["Refund"], ["When"], ["Amount", "n"]], refunds.map(([id, value]) => [id, when((o.refund_times || {})[id]), sum(value)]))] : []),
    make("h3", null, "Times"),
    pairs([["Placed", when(o.placed_at)], ["Paid", when(o.paid_at)], o.partially_fulfilled_at && ["Partly fulfilled", when(o.partially_fulfilled_at)], o.fulfilled_at && ["Fulfilled", when(o.fulfilled_at)], o.cancelled_at && ["Cancelled", when(o.cancelled_at)], ["Counted for", when(o.counted_at)]]),
    ...list("Also called", more), ...list("Sources", o.sources), ...list("Coupons", o.coupon_codes), ...list("Flags", o.flags), ...list("Tags", o.tags),
    make("h3", null, "History by source"), historyOf(history),
    ...(o.person_id ? [make("p", null, button("The person who bought", () => find(o.person_id), { class: "small" }))] : []));
}

// What each delivery said, one row each, by source; no later one changes an earlier one.
function historyOf(told) {
  if (told instanceof Error) return make("p", { class: "none" }, told.status === 404 ? "This service tells no history of it." : `${told.message}.`);
  const rows = told.history || [];
  if (rows.length === 0) return make("p", { class: "none" }, "Nothing is kept of its deliveries.");
  const sources = [...new Set(rows.map((row) => row.source))];
  return make("div", null, ...sources.map((source) => {
    const own = rows.filter((row) => row.source === source);
    return make("div", null, make("p", { class: "quiet" }, `${source}: ${plural(own.length, "version", "versions")}`),
      table(`Versions of ${source}`, [["Received"], ["What it said"], ["Total", "n"], ["Delivered", "n", "wide"]], own.map((row) => {
        const notes = [row.financial_status, row.fulfillment_status, row.stale && "older than what was known", row.qa && "test", ...(row.flags || [])].filter(Boolean).map(words);
        return [when(row.received_at), [row.source_event || row.event, make("span", { class: "quiet" }, notes.length ? ` ${notes.join(", ")}` : "")],
          [sum(row.total), ...(row.refund_total ? [make("small", null, ` less ${sum(row.refund_total)}`)] : [])], `${count(row.deliveries ?? 1)} ×`];
      })));
  }));
}
