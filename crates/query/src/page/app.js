// The dashboard: what is looked at, and the state of the line.
"use strict";
import { $, make } from "./dom.js";
import { connect, enter, hangUp, isOpen, key, later, view, watch } from "./line.js";
import { clear, prepare } from "./lookup.js";
import { showKept, showPipeline } from "./pipeline.js";
import { freshen, refresh } from "./reports.js";
import { forgetCursor, showChart, showRevenue } from "./revenue.js";
import { ago } from "./text.js";

const VIEWS = ["shop", "pipeline", "lookup"];
let entered = false;            // nothing is asked before it is known who may look

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
  return asOf ? `newest event ${ago(asOf, Date.now())}` : "no events yet";
}
function showFreshness() {
  if (!isOpen()) {
    if (document.body.dataset.state === "stale") state("stale", `Stale, ${age()}`);
    return;
  }
  if (view.reading === "loading") state("loading", "Loading figures");
  else if (view.reading === "interrupted") state("stale", `Stale, ${age()}`);
  else if (view.summary) state("live", `Live, ${age()}`);
}

/* ---- the line ---- */

let told = "";                  // what the reports rest on
const on = {
  heard(event, data) {
    if (event === "reading") {
      view.reading = data.reading;
      failure("");
      if (data.reading === "interrupted") notice("Kafka doesn’t answer.", "These are the last figures that were read; they move on when it is back. The next step: tillstream doctor");
      else notice("");
    } else if (event === "summary") {
      const first = view.summary === null;
      view.summary = data;
      failure("");
      document.body.dataset.known = "yes";
      showRevenue(choose);
      showKept();
      freshen();
      const now = `${data.as_of} ${data.outcomes.as_of} ${data.outcomes.total} ${data.today}`;
      if (first || now !== told) refresh(false);
      told = now;
    }
    showFreshness();
  },
  locked: askForKey,
  failed(sentence, again) {
    const known = view.summary !== null;
    state(known ? "stale" : "error", known ? `Stale, ${age()}` : "Not connected");
    if (known) notice(sentence, again ? "These are the last figures; trying again." : "");
    else failure(sentence, again ? "Trying again." : "");
    if (!known) showChart();
  },
};
setInterval(() => { watch(on); showFreshness(); }, 1000);

// Another question: the stream and all panels begin anew.
function again() {
  forgetCursor();
  connect(on);
  refresh(true);
}
function choose(currency) {
  view.currency = currency;
  again();
}

/* ---- what is looked at ---- */

function show() {
  const wanted = location.hash.slice(1);
  const name = VIEWS.includes(wanted) ? wanted : "shop";
  for (const one of VIEWS) {
    $(one).hidden = one !== name;
    const link = document.querySelector(`nav a[href="#${one}"]`);
    if (one === name) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = name === "shop" ? "tillstream" : `${$(name).dataset.title} – tillstream`;
  if (entered && $("gate").hidden) opened(name);
}
function opened(name) {
  showPipeline(name === "pipeline");
  if (name === "shop") {
    showChart();
    if (view.summary) refresh(false);
  }
  if (name === "lookup") prepare();
}
addEventListener("hashchange", () => { show(); scrollTo(0, 0); });
document.addEventListener("visibilitychange", () => { if (!document.hidden && view.summary) refresh(false); });

/* ---- key, workspace, days ---- */

function askForKey(sentence) {
  hangUp();
  key.forget();
  clear();
  view.summary = null;
  document.body.dataset.known = "no";
  showPipeline(false);
  $("gate").hidden = false;
  $("main").hidden = true;
  state("loading", "Locked");
  $("gate-wrong").textContent = sentence || "";
  $("key").value = "";
  $("key").focus();
}
$("gate").addEventListener("submit", (event) => {
  event.preventDefault();
  key.set($("key").value);
  $("gate").hidden = true;
  $("main").hidden = false;
  state("loading", "Connecting");
  show();
  again();
});
$("lookup-forget").addEventListener("click", () => {
  key.forget();
  clear();
  if (view.needsKey) return askForKey("");
  prepare();
  $("lookup-key").focus();
});
$("retry").addEventListener("click", () => { failure(""); state("loading", "Connecting"); showChart(); start(); });

function readRange() {
  const days = document.querySelector("[name=days]:checked").value;
  $("dates").hidden = days !== "dates";
  if (days !== "dates") {
    view.range = { days: Number(days) };
    return true;
  }
  const start = $("start").value, end = $("end").value;
  const wrong = start && end && end < start;
  $("dates-wrong").textContent = wrong ? "The last day is before the first." : "";
  if (!start || !end || wrong) return false;
  view.range = { start, end };
  return true;
}
function pickRange() {
  if (document.querySelector("[name=days]:checked").value === "dates" && !$("start").value && view.summary && view.summary.series.length) {
    $("start").value = view.summary.series[0].date;
    $("end").value = view.summary.series.at(-1).date;
  }
  if (readRange()) again();
}
$("days").addEventListener("change", pickRange);
$("dates").addEventListener("change", pickRange);
$("workspace").addEventListener("change", (event) => {
  view.workspace = event.target.value;
  view.currency = "";
  // A key is one workspace's, and so is what it found.
  key.forget();
  clear();
  prepare();
  view.summary = null;
  document.body.dataset.known = "no";
  failure("");
  again();
});

async function start() {
  document.body.dataset.known = view.summary ? "yes" : "no";
  // A reloaded page may come back with another choice than the first.
  if (!readRange()) {
    document.querySelector("[name=days][value='30']").checked = true;
    readRange();
  }
  try {
    const access = await enter();
    view.needsKey = access.key;
    view.development = { key: access.development_key || "", workspace: access.development_workspace };
    view.digits = access.digits;
    const wanted = new URLSearchParams(location.search).get("workspace");
    const names = access.workspaces;
    if (!view.workspace) view.workspace = wanted || names[0] || "";
    document.querySelector(".workspace").hidden = names.length === 0;
    $("workspace").replaceChildren(...names.map((name) => make("option", { value: name }, name)));
    $("workspace").value = view.workspace;
    $("workspace").disabled = names.length < 2;
    entered = true;
    if (view.needsKey && !key.get()) return askForKey("");
    show();
    again();
  } catch (error) {
    on.failed(error.status ? error.message : "The query service doesn’t answer.", !error.status);
    if (!error.status) later(start);
  }
}
show();
showChart();
start();
