// Revenue: totals, the days as a drawing and as a table, currencies.
"use strict";
import { $, draw, make } from "./dom.js";
import { view } from "./line.js";
import { roundUp } from "./rates.js";
import { at, compact, count, dayLong, dayShort, money, moves, plural } from "./text.js";

let cursor = null;              // the day that is read out

export const shownCurrency = (s) => s.currencies.find((c) => c.currency === s.currency) || s.currencies[0];

export function showRevenue(choose) {
  const s = view.summary, shown = shownCurrency(s);
  const amount = (value) => money(value, shown.exponent);
  $("title").textContent = shown.base ? "Revenue" : `Revenue in ${shown.currency}`;
  for (const element of document.querySelectorAll("[data-value]")) {
    const name = element.dataset.value;
    if (name === "orders") element.textContent = count(shown.range.orders);
    else element.replaceChildren(amount(shown.range[name]), make("small", null, shown.currency));
  }
  for (const element of document.querySelectorAll("[data-today]")) {
    const name = element.dataset.today;
    const value = name === "orders" ? count(shown.today.orders) : amount(shown.today[name]);
    if (name === "refund_amount" && shown.range.refunds > 0) {
      element.replaceChildren(plural(shown.range.refunds, "refund", "refunds"), make("span", { class: "wide" }, `, ${value} today`));
    } else element.textContent = `${value} today`;
  }
  showCurrencies(s, shown, choose);
  showChart();
  $("series").tBodies[0].replaceChildren(...s.series.slice().reverse().map((p) => make("tr", null,
    make("th", { scope: "row" }, dayLong(p.date)),
    ...[count(p.orders), amount(p.revenue), amount(p.refund_amount), amount(p.net_revenue)].map((text) => make("td", { class: "n" }, text)))));
  const last = s.series.at(-1);
  $("foot").textContent = `Days of ${s.time_zone}. ${s.as_of ? `Contains everything up to ${at(s.as_of)}.` : "Nothing has arrived yet."}${last ? ` ${moves(last.date, s.today, s.corrected)}` : ""}`;
}

function showCurrencies(s, shown, choose) {
  const focused = document.activeElement && document.activeElement.dataset.currency;
  $("currencies").tBodies[0].replaceChildren(...s.currencies.map((c) => {
    const amount = (value) => money(value, c.exponent);
    const pick = make("button", { type: "button", class: "pick", "data-currency": c.currency, "aria-pressed": String(c === shown), "aria-label": `Show ${c.currency}` }, c.currency);
    pick.addEventListener("click", () => choose(c.base ? "" : c.currency));
    const held = Object.hasOwn(s.held, c.currency);
    const tag = c.base ? [make("span", { class: "tag" }, "base")] : held ? [make("span", { class: "tag held" }, "rates missing")] : [];
    const cell = (text, wide) => make("td", { class: wide ? "n wide" : "n" }, text);
    return make("tr", null, make("th", { scope: "row" }, pick, ...tag), cell(count(c.range.orders)), cell(amount(c.range.revenue)),
      cell(amount(c.range.refund_amount), true), cell(amount(c.range.net_revenue)), cell(c.range.orders > 0 ? amount(c.range.avg_order_value) : "–", true));
  }));
  if (focused) document.querySelector(`[data-currency="${CSS.escape(focused)}"]`)?.focus();
  const held = Object.keys(s.held);
  const waits = held.length ? `Some of ${held.join(", ")} wait for a rate and are in no total. ` : "";
  $("held").textContent = s.currencies.length > 1 ? `${waits}The base currency contains what was converted into it.` : waits || "\u00a0";
}

/* ---- the drawing ---- */

export function showChart() {
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
      text.textContent = compact(tick);
      parts.push(text);
    }
  } else parts.push(draw("line", { class: "grid zero", x1: left, x2: width, y1: y(0), y2: y(0) }));
  const step = (width - left) / Math.max(1, points.length), wide = Math.max(1.5, Math.min(28, step * 0.66));
  points.forEach((p, i) => {
    const x = left + i * step + (step - wide) / 2;
    const rect = (kind, from, to) => {
      const tall = Math.abs(y(from) - y(to));
      if (tall > 0) parts.push(draw("rect", { class: kind, x, width: wide, y: Math.min(y(from), y(to)), height: Math.max(tall, 1), rx: Math.min(2, wide / 4) }));
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
    text.textContent = dayShort(p.date);
    parts.push(text);
  });
  points.forEach((_, i) => parts.push(draw("rect", { class: "slot", "data-i": i, x: left + i * step, y: head, width: step, height: inner })));
  plot.replaceChildren(...parts);
  showReadout();
}

function showReadout() {
  const s = view.summary;
  if (!s) return;
  for (const slot of document.querySelectorAll(".slot")) slot.classList.toggle("on", Number(slot.dataset.i) === cursor);
  const p = s.series[cursor === null ? s.series.length - 1 : Math.min(cursor, s.series.length - 1)];
  if (!p) return;
  const amount = (value) => money(value, shownCurrency(s).exponent);
  const rest = [plural(p.orders, "order", "orders")];
  if (p.refund_amount > 0) rest.push(`${amount(p.refund_amount)} refunded`, `${amount(p.net_revenue)} net`);
  const name = p.date === s.today ? "Today" : dayLong(p.date);
  const text = `${name}: ${amount(p.revenue)} ${s.currency}, ${rest.join(", ")}`;
  if ($("readout").textContent !== text) {
    $("readout").replaceChildren(`${name}: `, make("b", null, `${amount(p.revenue)} ${s.currency}`), `, ${rest.join(", ")}`);
  }
}

export function forgetCursor() {
  cursor = null;
}
$("chart").addEventListener("pointermove", (event) => {
  const slot = event.target.closest && event.target.closest(".slot");
  if (slot) { cursor = Number(slot.dataset.i); showReadout(); }
});
$("chart").addEventListener("pointerleave", () => { cursor = null; showReadout(); });
$("chart").addEventListener("focus", () => $("readout").setAttribute("aria-live", "polite"));
$("chart").addEventListener("blur", () => { cursor = null; $("readout").setAttribute("aria-live", "off"); showReadout(); });
$("chart").addEventListener("keydown", (event) => {
  if (!view.summary) return;
  const last = view.summary.series.length - 1, now = cursor === null ? last : cursor;
  const to = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: last }[event.key];
  if (to === undefined) return;
  event.preventDefault();
  cursor = Math.max(0, Math.min(last, to));
  showReadout();
});
new ResizeObserver(showChart).observe($("chart"));
