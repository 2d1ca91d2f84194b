// The reports beside revenue: one panel each, with its own freshness, its own states, and what it counts.
"use strict";
import { $, bar, bones, button, draw, make, pairs, table } from "./dom.js";
import { ask, digitsOf, view } from "./line.js";
import { count, money, month, moves, percent, timeOf, words } from "./text.js";

const REST = 2_000;             // between two readings of the same panels while figures move
const STEPS = { view_item: "Viewed a product", add_to_cart: "Added to cart", view_cart: "Viewed the cart", begin_checkout: "Began checkout", add_payment_info: "Gave payment details", purchase: "Bought" };

const amount = (a, value) => money(value, digitsOf(a.currency));
const total = (a, value) => `${amount(a, value)} ${a.currency}`;
const none = (sentence) => make("p", { class: "none" }, sentence);
// Rows of text columns, then revenue and orders, with a bar by revenue.
function ranked(a, label, heads, rows, cells, nothing) {
  if (rows.length === 0) return none(nothing);
  const most = Math.max(...rows.map((row) => row.revenue), 0);
  return table(label, heads, rows.map((row) => {
    const [first, ...rest] = cells(row);
    return [[first, bar(row.revenue, most)], ...rest];
  }));
}
const hourOf = (hour) => `${String(hour).padStart(2, "0")}:00`;
const channel = (row) => [row.campaign, row.source, row.medium].every((text) => text === "(none)") ? "no campaign" : [row.campaign, row.source, row.medium].map((text) => (text === "(none)" ? "–" : text)).join(" / ");

const PANELS = [
  {
    id: "overview", report: "overview", title: "At a glance", wide: true, bones: 2,
    counted: "Orders that count (paid, not test, not cancelled before payment), once each, whatever source told them. Average: gross by orders. Added to cart: people who added something, of those who viewed a product.",
    show: (a) => pairs([["Average order", total(a, a.avg_order_value)], ["Items sold", count(a.total_items_sold)], ["Refunds", count(a.total_refunds)], ["Viewers who added to cart", percent(a.add_to_cart_rate)], ["Carts abandoned", percent(a.cart_abandonment_rate)]]),
  },
  {
    id: "hours", report: "revenue-timeseries", title: "Today by hour", wide: true, bones: 3, unranged: true, parts: "An hour", parameters: () => ({ days: 1, granularity: "hour" }),
    counted: "Gross revenue of orders that count, in the hour of their payment by the workspace’s clock. The days chosen above have no effect here.",
    show: showHours,
  },
  {
    id: "funnel", report: "funnel", title: "Funnel", bones: 6,
    counted: "Distinct people who did the step in these days, each step by itself: who skips one is still in the next, so a step can exceed 100 % of the one before. Shops that only send orders have only the last.",
    show: (a) => {
      const most = Math.max(...a.steps.map((step) => step.count), 0);
      if (most === 0) return none("Nobody took a step in these days.");
      return table("Funnel", [["Step"], ["People", "n"], ["Of the step before", "n"]], a.steps.map((step, i) => [[STEPS[step.name] || words(step.name), bar(step.count, most)], count(step.count), i === 0 ? "–" : percent(step.percentage)]));
    },
  },
  {
    id: "carts", report: "cart-abandonment", title: "Abandoned carts", bones: 4,
    counted: "Carts opened in these days. Abandoned: no purchase within the window (an hour unless set) after the last activity; a later purchase makes them completed. Carts still inside the window are neither.",
    show: (a) => {
      const ended = a.abandoned_carts + a.completed_carts;
      if (ended === 0) return none("No cart was abandoned or bought in these days.");
      return make("div", null, make("p", { class: "sum" }, make("b", null, percent(a.abandonment_rate)), "of the carts that ended were left"),
        table("Carts", [["Carts"], ["Number", "n"], ["Worth", "n"]], [[["Abandoned", bar(a.abandoned_carts, ended, "refund")], count(a.abandoned_carts), total(a, a.abandoned_revenue)], [["Completed", bar(a.completed_carts, ended)], count(a.completed_carts), "in revenue"]]));
    },
  },
  {
    id: "products", report: "top-products", title: "Top products", parameters: () => ({ limit: 10 }), bones: 8,
    counted: "Price × quantity less the item’s discount, over orders that count. Shipping, tax and discounts of the whole order are in no product.",
    show: (a) => ranked(a, "Top products", [["Product"], ["Sold", "n"], ["Orders", "n", "wide"], ["Revenue", "n"]], a.products, (row) => [row.item_name || row.item_id, count(row.quantity), count(row.orders), amount(a, row.revenue)], "No product was sold in these days."),
  },
  {
    id: "channels", report: "revenue-by-channel", title: "Channels", bones: 5,
    counted: "Gross revenue by the campaign, source and medium that the purchase itself names. All rows sum to gross revenue. Converted: buyers among all who came by that channel; shops that only send orders know of nobody else.",
    show: (a) => ranked(a, "Channels", [["Campaign / source / medium"], ["Orders", "n"], ["Converted", "n", "wide"], ["Revenue", "n"]], a.channels.slice(0, 10), (row) => [channel(row), count(row.orders), percent(row.conversion_rate), amount(a, row.revenue)], "No purchase in these days."),
  },
  {
    id: "attribution", report: "attribution", title: "Attribution", bones: 5,
    choices: [["Model", "model", [["last_click", "Last click"], ["linear", "Linear"], ["time_decay", "Time decay"]]], ["Window", "window", [["7", "7 days"], ["14", "14 days"], ["30", "30 days"], ["60", "60 days"], ["90", "90 days"]], "30"]],
    counted: "Which campaigns a buyer met in the window before the purchase, from any event that names one. The shares of an order sum to it exactly; with the unattributed they sum to gross revenue.",
    show: (a) => {
      const rows = a.attributed.slice(0, 8).map((row) => ({ ...row, name: channel(row) }));
      if (a.unattributed.orders > 0) rows.push({ ...a.unattributed, name: "Unattributed", pct_of_total: null });
      return ranked(a, "Attribution", [["Campaign / source / medium"], ["Orders", "n", "wide"], ["Share", "n"], ["Revenue", "n"]], rows, (row) => [row.name, count(row.orders), row.pct_of_total === null ? "–" : percent(row.pct_of_total), amount(a, row.revenue)], "No purchase in these days.");
    },
  },
  {
    id: "coupons", report: "revenue-by-coupon", title: "Coupons", bones: 4,
    counted: "Orders with a coupon, by its code without regard to case. An order with several codes is under each, so the rows may exceed revenue.",
    show: (a) => ranked(a, "Coupons", [["Coupon"], ["Orders", "n"], ["Mean discount", "n", "wide"], ["Revenue", "n"]], a.coupons.slice(0, 8), (row) => [row.coupon_code, count(row.orders), amount(a, row.avg_discount), amount(a, row.revenue)], "No purchase with a coupon in these days."),
  },
  {
    id: "countries", report: "revenue-by-country", title: "Countries", bones: 4,
    counted: "Gross revenue of orders that count, by the country of the delivery address, else of the bill; unknown where neither says. The rows sum to gross revenue.",
    show: (a) => ranked(a, "Countries", [["Country"], ["Orders", "n"], ["Revenue", "n"]], a.countries.slice(0, 8), (row) => [row.country, count(row.orders), amount(a, row.revenue)], "No purchase in these days."),
  },
  {
    id: "devices", report: (chosen) => `revenue-by-${chosen.by}`, title: "Devices", bones: 4,
    choices: [["By", "by", [["device", "Kind of device"], ["platform", "Platform"]]]],
    counted: "Gross revenue of orders that count, by what they were made with; unknown where nothing says. The rows sum to gross revenue.",
    show: (a, chosen) => {
      const [rows, name] = chosen.by === "device" ? [a.devices, "device_type"] : [a.platforms, "platform"];
      return ranked(a, "Devices", [[chosen.by === "device" ? "Device" : "Platform"], ["Orders", "n"], ["Revenue", "n"]], (rows || []).slice(0, 8), (row) => [row[name], count(row.orders), amount(a, row.revenue)], "No purchase in these days.");
    },
  },
  {
    id: "cohorts", report: "cohorts", title: "Cohorts", wide: true, bones: 6, unranged: true,
    choices: [["Months", "months", [["6", "6 months"], ["12", "12 months"], ["24", "24 months"]]]],
    counted: "Buyers by the month of their first purchase ever, and their gross revenue in each month since. Orders without a person are left out. The days chosen above have no effect here.",
    show: showCohorts,
  },
];

function showCohorts(a) {
  if (a.cohorts.length === 0) return none("Nobody bought for the first time in these months.");
  const columns = Math.max(...a.cohorts.map((cohort) => Object.keys(cohort.revenue_by_month).length));
  const most = Math.max(...a.cohorts.flatMap((cohort) => Object.values(cohort.revenue_by_month)), 0);
  const rows = a.cohorts.map((cohort) => [month(cohort.month), count(cohort.users), ...Array.from({ length: columns }, (_, i) => {
    const value = cohort.revenue_by_month[i];
    return value === undefined ? "" : make("span", { class: `heat h${most > 0 && value > 0 ? Math.max(1, Math.ceil(value / most * 5)) : 0}` }, amount(a, value));
  })]);
  return make("div", { class: "cohorts" },
    make("p", { class: "sum" }, make("b", null, total(a, a.avg_ltv)), `on average from each of ${count(a.total_purchasing_users)} buyers`),
    table("Cohorts", [["First bought"], ["Buyers", "n"], ...Array.from({ length: columns }, (_, i) => [i === 0 ? "That month" : `+ ${i}`, "n"])], rows));
}

function showHours(a) {
  const sold = a.series.filter((row) => row.orders !== 0 || row.revenue !== 0);
  if (sold.length === 0) return none("No purchase yet today.");
  const most = Math.max(...sold.map((row) => row.revenue), 0), tall = 88;
  const parts = a.series.flatMap((row, i) => {
    const height = most > 0 ? Math.max(row.revenue > 0 ? 1 : 0, row.revenue / most * tall) : 0;
    const text = draw("text", { x: `${(i + 0.5) / 24 * 100}%`, y: tall + 18, "text-anchor": "middle" });
    text.textContent = row.hour % 3 === 0 ? hourOf(row.hour) : "";
    return [draw("rect", { class: "net", x: `${(i + 0.17) / 24 * 100}%`, width: `${0.66 / 24 * 100}%`, y: tall - height, height, rx: 2 }), text];
  });
  return make("div", null, draw("svg", { class: "hours", "aria-hidden": "true", focusable: "false" }, draw("line", { class: "grid", x1: 0, x2: "100%", y1: tall, y2: tall }), ...parts),
    make("details", { class: "as-table" }, make("summary", null, "The same as a table"), table("Today by hour", [["Hour"], ["Orders", "n"], ["Revenue", "n"]], sold.map((row) => [hourOf(row.hour), count(row.orders), amount(a, row.revenue)]))));
}

/* ---- panels ---- */

const boxes = PANELS.map((panel) => {
  const chosen = Object.fromEntries((panel.choices || []).map(([, name, options, first]) => [name, first || options[0][0]]));
  const box = { panel, chosen, answer: null, stop: null };
  const selects = (panel.choices || []).map(([label, name, options]) => {
    const select = make("select", { "aria-label": `${panel.title}: ${label}` }, ...options.map(([value, text]) => make("option", { value }, text)));
    select.value = chosen[name];
    select.addEventListener("change", () => { chosen[name] = select.value; box.answer = null; load(box); });
    return select;
  });
  box.fresh = make("p", { class: "quiet fresh-line" }, "\u00a0");
  box.body = make("div", { class: "body" }, bones(panel.bones));
  box.root = make("section", { class: panel.wide ? "panel whole" : "panel", "aria-labelledby": `${panel.id}-title`, "aria-busy": "true" },
    make("div", { class: "head" }, make("h2", { id: `${panel.id}-title` }, panel.title), make("div", { class: "picks" }, ...selects)), box.body,
    make("details", { class: "counted" }, make("summary", null, "What is counted"), make("p", null, panel.counted)), box.fresh);
  return box;
});
$("reports").append(...boxes.map((box) => box.root));

async function load(box) {
  if (box.stop) box.stop.abort();
  const stop = box.stop = new AbortController(), { panel, chosen } = box;
  const { by: _, ...asked } = chosen;
  const name = typeof panel.report === "function" ? panel.report(chosen) : panel.report;
  const parameters = { ...(panel.unranged ? {} : view.range), ...asked, ...panel.parameters?.(), ...(view.currency && { currency: view.currency }) };
  box.root.setAttribute("aria-busy", "true");
  try {
    const answer = await ask(`/dashboard/reports/${name}`, parameters, stop.signal);
    if (stop !== box.stop) return;
    // What hasn't changed stays as it is: focus and scrolling with it.
    const said = JSON.stringify(answer);
    if (box.answer === null || said !== box.said) box.body.replaceChildren(panel.show(answer, chosen));
    [box.answer, box.said] = [answer, said];
    box.root.dataset.state = "fine";
    showFresh(box);
  } catch (error) {
    if (error.name === "AbortError" || stop !== box.stop) return;
    const again = button("Try again", () => load(box), { class: "small" });
    const sentence = error.status ? error.message : "The query service doesn’t answer";
    box.root.dataset.state = box.answer ? "stale" : "error";
    if (box.answer) box.fresh.replaceChildren(`These are the last figures: ${sentence}. `, again);
    else box.body.replaceChildren(make("p", { class: "none" }, `${sentence}. `, again));
  }
  if (stop === box.stop) box.root.setAttribute("aria-busy", "false");
}

function showFresh(box) {
  const a = box.answer, s = view.summary;
  const upTo = a.as_of ? `Up to ${timeOf(a.as_of)}. ` : "";
  const last = s && s.series.at(-1);
  box.fresh.textContent = upTo + (box.panel.unranged ? moves("1", "0", a.corrected, box.panel.parts) : last ? moves(last.date, s.today, a.corrected) : "");
}

// The days that are shown are known with the summary, which may come after the figures.
export function freshen() {
  for (const box of boxes) if (box.answer && box.root.dataset.state === "fine") showFresh(box);
}

let due = null, loaded = 0;
// Reads all panels: at once when the question changed, else when they have rested.
export function refresh(anew) {
  if (anew) {
    for (const box of boxes) {
      box.answer = null;
      box.body.replaceChildren(bones(box.panel.bones));
    }
  }
  // Before the first summary everything is being loaded, or nothing can be: the stream says which.
  if (document.hidden || $("shop").hidden || !view.summary) return;
  clearTimeout(due);
  due = setTimeout(() => {
    loaded = Date.now();
    for (const box of boxes) load(box);
  }, anew ? 0 : Math.max(0, loaded + REST - Date.now()));
}
