// The dashboard: one stream of server-sent events in, text and a small drawing out.
// It is read with fetch, because an EventSource can't send a key. Text is only ever set as text.
"use strict";

const $ = (id) => document.getElementById(id);
const KEY = "tillstream.key";
const SILENT_MS = 25_000;       // the server says something every ten seconds
const view = { days: 30, currency: "", workspace: "", needsKey: false, summary: null, reading: "loading", cursor: null };
let line = null;                // the open stream
let attempts = 0;

/* ---- text ---- */

// Amounts arrive as JSON numbers with the currency's digits; they are shown, never added up.
const formats = new Map();
function money(amount, currency, digits) {
  const id = currency + digits;
  if (!formats.has(id)) {
    formats.set(id, new Intl.NumberFormat(undefined, { minimumFractionDigits: digits, maximumFractionDigits: digits }));
  }
  return formats.get(id).format(amount);
}
const count = new Intl.NumberFormat();
const short = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const dayName = new Intl.DateTimeFormat(undefined, { weekday: "short", day: "numeric", month: "short", timeZone: "UTC" });
const dayShort = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", timeZone: "UTC" });
const clock = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const asDay = (text) => new Date(text + "T00:00:00Z");
const plural = (n, one, many) => `${count.format(n)} ${n === 1 ? one : many}`;
const words = (code) => code.replaceAll("_", " ");

function ago(instant) {
  const seconds = Math.max(0, Math.round((Date.now() - Date.parse(instant)) / 1000));
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} days ago`;
}

function make(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) element.setAttribute(key, value);
  element.append(...children);
  return element;
}
function draw(name, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

/* ---- states ---- */

function state(name, text) {
  document.body.dataset.state = name;
  // Read out when the word changes, not each second.
  const word = text.split(",")[0];
  if ($("fresh-word").textContent !== word) $("fresh-word").textContent = word;
  if ($("fresh-text").textContent !== text) $("fresh-text").textContent = text;
}
function failure(title, text) {
  $("failure").hidden = !title;
  $("failure-title").textContent = title || "";
  $("failure-text").textContent = text || "";
  if (title) $("empty").hidden = true;
}
function notice(title, text) {
  $("notice").hidden = !title;
  $("notice-title").textContent = title || "";
  $("notice-text").textContent = text || "";
}
function age() {
  const asOf = view.summary && view.summary.as_of;
  return asOf ? `newest event ${ago(asOf)}` : "no events yet";
}
function showFreshness() {
  if (!line || !line.open) {
    if (document.body.dataset.state === "stale") state("stale", `Stale, ${age()}`);
    return;
  }
  if (view.reading === "loading") state("loading", "Loading figures");
  else if (view.reading === "interrupted") state("stale", `Stale, ${age()}`);
  else if (view.summary) state("live", `Live, ${age()}`);
}
function showReading() {
  if (view.reading === "interrupted") {
    notice("Kafka doesn’t answer.", "These are the last figures that were read; they move on when it is back. The next step: tillstream doctor");
  } else notice("");
  showFreshness();
}

/* ---- figures ---- */

function showSummary() {
  const s = view.summary;
  failure("");
  document.body.dataset.known = "yes";
  const shown = s.currencies.find((c) => c.currency === s.currency) || s.currencies[0];
  const amount = (value) => money(value, shown.currency, shown.exponent);
  $("title").textContent = shown.base ? "Revenue" : `Revenue in ${shown.currency}`;
  for (const element of document.querySelectorAll("[data-value]")) {
    const name = element.dataset.value;
    if (name === "orders") element.textContent = count.format(shown.range.orders);
    else element.replaceChildren(amount(shown.range[name]), make("small", null, shown.currency));
  }
  for (const element of document.querySelectorAll("[data-today]")) {
    const name = element.dataset.today;
    const value = name === "orders" ? count.format(shown.today.orders) : amount(shown.today[name]);
    if (name === "refund_amount" && shown.range.refunds > 0) {
      element.replaceChildren(plural(shown.range.refunds, "refund", "refunds"), make("span", { class: "wide" }, `, ${value} today`));
    } else element.textContent = `${value} today`;
  }
  showCurrencies(s, shown);
  showChart();
  showSeries(s, shown, amount);
  showOutcomes(s.outcomes);
  showLetters(s.dead_letters);
  const corrected = s.corrected ? " A day shown here changed after it had closed." : "";
  $("foot").textContent = `Days of ${s.time_zone}. ` + (s.as_of ? `Contains everything up to ${clock.format(new Date(s.as_of))}.` : "Nothing has arrived yet.") + corrected;
}

function showCurrencies(s, shown) {
  const focused = document.activeElement && document.activeElement.dataset.currency;
  $("currencies").tBodies[0].replaceChildren(...s.currencies.map((c) => {
    const amount = (value) => money(value, c.currency, c.exponent);
    const pick = make("button", { type: "button", class: "pick", "data-currency": c.currency, "aria-pressed": String(c === shown), "aria-label": `Show ${c.currency}` }, c.currency);
    pick.addEventListener("click", () => { view.currency = c.base ? "" : c.currency; connect(); });
    const tag = c.base ? make("span", { class: "tag" }, "base") : make("span", { class: "tag held" }, "no rate yet");
    const cell = (text, wide) => make("td", { class: wide ? "n wide" : "n" }, text);
    return make("tr", null, make("th", { scope: "row" }, pick, tag), cell(count.format(c.range.orders)), cell(amount(c.range.revenue)),
      cell(amount(c.range.refund_amount), true), cell(amount(c.range.net_revenue)), cell(c.range.orders > 0 ? amount(c.range.avg_order_value) : "–", true));
  }));
  if (focused) {
    const again = document.querySelector(`[data-currency="${CSS.escape(focused)}"]`);
    if (again) again.focus();
  }
  const held = Object.keys(s.held);
  $("held").textContent = held.length ? `${held.join(", ")}: held until a rate arrives, in no total` : "\u00a0";
}

function showSeries(s, shown, amount) {
  $("series").tBodies[0].replaceChildren(...s.series.slice().reverse().map((p) => make("tr", null,
    make("th", { scope: "row" }, dayName.format(asDay(p.date))),
    ...[count.format(p.orders), amount(p.revenue), amount(p.refund_amount), amount(p.net_revenue)].map((text) => make("td", { class: "n" }, text)))));
}

function showOutcomes(o) {
  const sums = new Map();
  for (const row of o.outcomes) {
    const name = words(row.outcome) + (row.detail ? `, ${words(row.detail)}` : "");
    sums.set(name, (sums.get(name) || 0) + row.count);
  }
  const rows = [...sums].sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]));
  $("conservation").replaceChildren(make("b", null, count.format(o.duplicates)), `${o.duplicates === 1 ? "duplicate" : "duplicates"} caught among ${plural(o.total, "item", "items")}`);
  $("outcomes").tBodies[0].replaceChildren(...rows.map(([name, n]) => make("tr", null, make("td", null, name), make("td", { class: "n" }, count.format(n)))));
}

function showLetters(d) {
  $("letters-sum").replaceChildren(make("b", null, count.format(d.total)), ...(d.total === 0 ? ["open: nothing waits to be mended"] : ["open, none lost: ", make("code", null, "tillstream dlq ls")]));
  $("letters").tBodies[0].replaceChildren(...d.by_reason.map((r) => make("tr", null,
    make("td", null, words(r.reason), make("span", { class: "tag" }, [r.source, r.stage].filter(Boolean).join(", "))),
    make("td", { class: "n" }, count.format(r.count)))));
  $("recent-box").hidden = d.recent.length === 0;
  $("recent").replaceChildren(...d.recent.map((l) => make("li", null,
    make("p", null, make("span", null, words(l.reason) + (l.field ? ` in ${l.field}` : "")), make("span", { class: "quiet" }, clock.format(new Date(l.at)))),
    make("p", { class: "quiet" }, l.message))));
}

/* ---- the chart ---- */

// A round number at or above `value`: the top of the scale.
function roundUp(value) {
  const unit = Math.pow(10, Math.floor(Math.log10(value)));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((n) => n * unit).find((n) => n >= value * 0.9999) || value;
}

function showChart() {
  const plot = $("plot"), box = plot.getBoundingClientRect();
  const width = Math.max(240, box.width), height = Math.max(140, box.height);
  plot.setAttribute("viewBox", `0 0 ${width} ${height}`);
  const s = view.summary;
  const foot = 24, head = 8, left = 44;
  if (!s) {
    if (!$("failure").hidden) return plot.replaceChildren();
    // Bones: the places of the bars, so that nothing jumps.
    const n = width < 500 ? 15 : 30, step = (width - left) / n;
    plot.replaceChildren(...Array.from({ length: n }, (_, i) => {
      const h = 28 + 60 * Math.abs(Math.sin(i * 1.7));
      return draw("rect", { class: "bone", x: left + i * step + step * 0.18, y: height - foot - h, width: step * 0.64, height: h, rx: 2 });
    }));
    return;
  }
  const points = s.series, parts = [];
  const nothing = points.every((p) => p.orders === 0 && p.revenue === 0 && p.refund_amount === 0);
  $("empty").hidden = !nothing;
  $("chart").setAttribute("aria-label", nothing ? "No orders in these days" : `Revenue by day in ${s.currency}. Use the arrow keys to read single days.`);
  const highest = Math.max(...points.map((p) => Math.max(p.revenue, p.net_revenue)), 0);
  const lowest = Math.min(...points.map((p) => p.net_revenue), 0);
  const top = highest > 0 ? roundUp(highest) : (nothing ? 1 : 0);
  const bottom = lowest < 0 ? -roundUp(-lowest) : 0;
  const inner = height - foot - head;
  const y = (value) => head + inner * (top - value) / (top - bottom || 1);
  if (!nothing) {
    for (const tick of bottom < 0 ? [top, 0, bottom] : [top, top / 2, 0]) {
      parts.push(draw("line", { class: tick === 0 ? "grid zero" : "grid", x1: left, x2: width, y1: y(tick), y2: y(tick) }));
      const text = draw("text", { x: left - 8, y: y(tick) + 4, "text-anchor": "end" });
      text.textContent = short.format(tick);
      parts.push(text);
    }
  } else parts.push(draw("line", { class: "grid zero", x1: left, x2: width, y1: y(0), y2: y(0) }));
  const step = (width - left) / points.length, bar = Math.max(1.5, Math.min(28, step * 0.66));
  points.forEach((p, i) => {
    const x = left + i * step + (step - bar) / 2;
    const rect = (kind, from, to) => {
      const tall = Math.abs(y(from) - y(to));
      if (tall > 0) parts.push(draw("rect", { class: kind, x, width: bar, y: Math.min(y(from), y(to)), height: Math.max(tall, 1), rx: Math.min(2, bar / 4) }));
    };
    rect("net", 0, Math.max(0, p.net_revenue));
    // What went back stands on top of what was kept; beyond the day's sales it hangs below the line.
    if (p.refund_amount > 0) rect("refund", Math.max(0, p.net_revenue), p.revenue);
    if (p.net_revenue < 0) rect("refund", 0, p.net_revenue);
  });
  const every = Math.ceil(points.length / Math.max(2, Math.floor((width - left) / 92)));
  points.forEach((p, i) => {
    if ((points.length - 1 - i) % every !== 0) return;
    const last = i === points.length - 1, text = draw("text", { x: last ? width : left + (i + 0.5) * step, y: height - 4, "text-anchor": last ? "end" : "middle" });
    if (!last && left + (i + 0.5) * step < left + 16) return;
    text.textContent = dayShort.format(asDay(p.date));
    parts.push(text);
  });
  points.forEach((_, i) => parts.push(draw("rect", { class: "slot", "data-i": i, x: left + i * step, y: head, width: step, height: inner })));
  plot.replaceChildren(...parts);
  showReadout();
}

function showReadout() {
  const s = view.summary;
  if (!s) return;
  for (const slot of document.querySelectorAll(".slot")) slot.classList.toggle("on", Number(slot.dataset.i) === view.cursor);
  const i = view.cursor === null ? s.series.length - 1 : Math.min(view.cursor, s.series.length - 1);
  const p = s.series[i];
  if (!p) return;
  const shown = s.currencies.find((c) => c.currency === s.currency) || s.currencies[0];
  const amount = (value) => money(value, shown.currency, shown.exponent);
  const rest = [plural(p.orders, "order", "orders")];
  if (p.refund_amount > 0) rest.push(`${amount(p.refund_amount)} refunded`, `${amount(p.net_revenue)} net`);
  const name = p.date === s.today ? "Today" : dayName.format(asDay(p.date));
  const text = `${name}: ${amount(p.revenue)} ${s.currency}, ${rest.join(", ")}`;
  if ($("readout").textContent !== text) {
    $("readout").replaceChildren(`${name}: `, make("b", null, `${amount(p.revenue)} ${s.currency}`), `, ${rest.join(", ")}`);
  }
}

$("chart").addEventListener("pointermove", (event) => {
  const slot = event.target.closest && event.target.closest(".slot");
  if (slot) { view.cursor = Number(slot.dataset.i); showReadout(); }
});
$("chart").addEventListener("pointerleave", () => { view.cursor = null; showReadout(); });
$("chart").addEventListener("focus", () => $("readout").setAttribute("aria-live", "polite"));
$("chart").addEventListener("blur", () => { view.cursor = null; $("readout").setAttribute("aria-live", "off"); showReadout(); });
$("chart").addEventListener("keydown", (event) => {
  if (!view.summary) return;
  const last = view.summary.series.length - 1, now = view.cursor === null ? last : view.cursor;
  const to = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: last }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  view.cursor = Math.max(0, Math.min(last, to));
  showReadout();
});
new ResizeObserver(showChart).observe($("chart"));

/* ---- the line to the server ---- */

function headers() {
  const key = view.needsKey && sessionStorage.getItem(KEY);
  return key ? { "X-API-Key": key } : {};
}

async function connect() {
  if (line) line.stop.abort();
  const mine = line = { stop: new AbortController(), open: false, heard: Date.now() };
  const asked = new URLSearchParams({ days: view.days });
  if (view.workspace) asked.set("workspace", view.workspace);
  if (view.currency) asked.set("currency", view.currency);
  try {
    const answer = await fetch(`/dashboard/stream?${asked}`, { headers: headers(), signal: mine.stop.signal, cache: "no-store" });
    if (!answer.ok) {
      const sentence = await answer.json().then((body) => body.error, () => answer.statusText);
      if (mine !== line) return;
      if (view.needsKey && (answer.status === 401 || answer.status === 403)) return askForKey(sentence);
      return fail(answer.status === 404 && view.workspace ? `There is no workspace “${view.workspace}” here.` : sentence, answer.status >= 500);
    }
    if (mine !== line) return;
    mine.open = true;
    attempts = 0;
    await listen(answer.body.getReader(), mine);
    if (mine === line) fail("The connection was closed.", true);
  } catch (error) {
    if (mine === line && error.name !== "AbortError") fail("The query service doesn’t answer.", true);
  }
}

async function listen(reader, mine) {
  const decoder = new TextDecoder();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done || mine !== line) return;
    mine.heard = Date.now();
    text += decoder.decode(value, { stream: true });
    for (let end; (end = text.indexOf("\n\n")) >= 0; text = text.slice(end + 2)) {
      const frame = { event: "", data: "" };
      for (const row of text.slice(0, end).split("\n")) {
        const colon = row.indexOf(": ");
        if (colon > 0) frame[row.slice(0, colon)] = row.slice(colon + 2);
      }
      receive(frame);
    }
  }
}

function receive(frame) {
  if (frame.event === "reading") {
    view.reading = JSON.parse(frame.data).reading;
    failure("");
    showReading();
  } else if (frame.event === "summary") {
    view.summary = JSON.parse(frame.data);
    showSummary();
    showFreshness();
  }
}

function fail(sentence, again) {
  if (line) line.open = false;
  const known = view.summary !== null;
  state(known ? "stale" : "error", known ? `Stale, ${age()}` : "Not connected");
  if (known) notice(sentence, again ? "These are the last figures; trying again." : "");
  else failure(sentence, again ? "Trying again." : "");
  if (!known) showChart();
  if (again) {
    attempts += 1;
    const mine = line;
    setTimeout(() => { if (mine === line) connect(); }, Math.min(15_000, 500 * 2 ** Math.min(attempts, 5)));
  }
}

setInterval(() => {
  if (line && line.open && Date.now() - line.heard > SILENT_MS) {
    line.stop.abort();
    const quiet = line;
    line = { stop: quiet.stop, open: false };
    fail("The query service has fallen silent.", true);
  } else showFreshness();
}, 1000);

/* ---- key, workspace, days ---- */

function askForKey(sentence) {
  if (line) line.stop.abort();
  line = null;
  sessionStorage.removeItem(KEY);
  $("gate").hidden = false;
  $("main").hidden = true;
  state("loading", "Locked");
  $("gate-wrong").textContent = sentence || "";
  $("key").value = "";
  $("key").focus();
}
$("gate").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem(KEY, $("key").value.trim());
  $("gate").hidden = true;
  $("main").hidden = false;
  state("loading", "Connecting");
  showChart();
  connect();
});
$("retry").addEventListener("click", () => { failure(""); state("loading", "Connecting"); showChart(); start(); });
$("days").addEventListener("change", (event) => { view.days = Number(event.target.value); view.cursor = null; connect(); });
$("workspace").addEventListener("change", (event) => {
  view.workspace = event.target.value;
  view.currency = "";
  view.summary = null;
  document.body.dataset.known = "no";
  failure("");
  connect();
});

async function start() {
  document.body.dataset.known = view.summary ? "yes" : "no";
  // A reloaded page may come back with another choice than the first.
  view.days = Number(document.querySelector("[name=days]:checked").value);
  try {
    const answer = await fetch("/dashboard/access", { cache: "no-store" });
    const access = await answer.json();
    if (!answer.ok) return fail(access.error, false);
    view.needsKey = access.key;
    const wanted = new URLSearchParams(location.search).get("workspace");
    const names = access.workspaces;
    if (!view.workspace) view.workspace = wanted || names[0] || "";
    document.querySelector(".workspace").hidden = names.length === 0;
    $("workspace").replaceChildren(...names.map((name) => make("option", { value: name }, name)));
    $("workspace").value = view.workspace;
    $("workspace").disabled = names.length < 2;
    if (view.needsKey && !sessionStorage.getItem(KEY)) return askForKey("");
    connect();
  } catch {
    fail("The query service doesn’t answer.", false);
    attempts += 1;
    setTimeout(start, Math.min(15_000, 500 * 2 ** Math.min(attempts, 5)));
  }
}
showChart();
start();
