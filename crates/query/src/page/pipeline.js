// The pipeline: each stage's rate, lag and latency, what became of every item, dead letters.
"use strict";
import { $, bar, command, make, pairs, table } from "./dom.js";
import { ask, view } from "./line.js";
import { conservation, observed, quantile, rate, remember } from "./rates.js";
import { at, count, letterCommand, perSecond, plural, span, words } from "./text.js";

const EACH = 2_000, WINDOW_S = 30;
const NAMES = { gateway: ["Gateway", "takes deliveries in"], normalizer: ["Normalizer", "reads what each one says"], state: ["State", "finds duplicates, joins orders and people"], aggregator: ["Aggregator", "keeps the figures"] };
let looks = [], timer = null, asking = false;

/* ---- the stages ---- */

export function showPipeline(open) {
  clearInterval(timer);
  if (!open) return;
  look();
  timer = setInterval(look, EACH);
}
document.addEventListener("visibilitychange", () => { if (!document.hidden && !$("pipeline").hidden) look(); });

async function look() {
  if (document.hidden || asking) return;
  asking = true;
  try {
    const told = await ask("/dashboard/pipeline");
    looks = remember(looks, { ...told, at: Date.parse(told.at) }, WINDOW_S);
    $("stages").dataset.state = "fine";
    showServices(told.services);
    showVersions(told.versions);
    showStages(told);
  } catch (error) {
    $("stages").dataset.state = "stale";
    const sentence = error.status ? error.message : "The query service doesn’t answer";
    note(looks.length ? `These are the last figures: ${sentence}.` : `${sentence}.`, "bad");
    if (looks.length === 0) $("stages").replaceChildren();
  } finally {
    asking = false;
  }
}

function note(text, kind) {
  $("services").className = `quiet ${kind}`;
  if ($("services").textContent !== text) $("services").textContent = text;
}

function showServices(services) {
  const gone = services.filter((service) => !service.reached);
  const waiting = services.filter((service) => service.ready === false);
  const where = (service) => (service.stage ? `${service.stage} (${service.address})` : service.address);
  if (gone.length) note(`Not reached: ${gone.map(where).join(", ")}. Their figures are missing here; query.services names the addresses that are asked.`, "bad");
  else if (waiting.length) note(`Not ready: ${waiting.map((service) => `${where(service)}: ${service.waits_for.join(", ") || "draining"}`).join("; ")}`, "doubt");
  else note(services.length ? "All services answer and are ready." : "All services run in this process.", "");
}

// Which version of the figures is shown, where there are two.
function showVersions(versions) {
  const beside = versions.all.map((one) => one.name).filter((name) => name !== versions.served);
  $("versions").hidden = beside.length === 0 && versions.served === "main";
  const other = beside.length ? ` ${beside.join(", ")} is kept beside it: tillstream replay status says how far it is.` : "";
  const text = `The figures are those of version ${versions.served}.${other}`;
  if ($("versions").textContent !== text) $("versions").textContent = text;
}

function showStages(told) {
  const unreached = told.services.some((service) => !service.reached);
  const opened = new Set([...$("stages").querySelectorAll("details[open]")].map((one) => one.dataset.keep));
  const focused = document.activeElement?.closest?.("[data-keep]")?.dataset.keep;
  $("stages").replaceChildren(...told.stages.map((stage) => {
    const [name, what] = NAMES[stage.stage];
    const held = stage.held > 0, behind = stage.restoring > 0;
    const state = !stage.known ? "unknown" : held ? "bad" : behind ? "doubt" : "good";
    const head = make("div", { class: "stage-head" }, make("i", { class: state, "aria-hidden": "true" }), make("h3", null, name), make("span", { class: "quiet" }, what));
    if (!stage.known) {
      return make("li", { class: "stage" }, head, make("p", { class: "none" }, unreached ? "Its process wasn’t reached, so nothing is known." : "It has done nothing since its process began."));
    }
    const { recent, buckets } = observed(looks, stage.stage);
    const [half, most] = [quantile(0.5, buckets), quantile(0.99, buckets)];
    const late = stage.stage === "gateway" ? "Request to answer" : "Webhook to commit";
    const troubles = [held && `${plural(stage.held, "partition", "partitions")} held: see /readyz`, behind && `restoring, ${count(stage.restoring)} to read`].filter(Boolean);
    return make("li", { class: "stage" }, head,
      pairs([
        ["Items a second", perSecond(rate(looks, stage.stage))],
        stage.lag === null ? null : ["Waiting", `${count(stage.lag)}`],
        [late, [`${span(half)} · ${span(most)}`, make("small", null, half === null ? "nothing yet" : `median · 99th percentile, ${recent ? `last ${WINDOW_S} s` : "since it began"}`)]],
      ]),
      ...(troubles.length ? [make("p", { class: "doubt" }, troubles.join("; "))] : []), line(stage));
  }));
  // What was open and focused stays so.
  for (const one of $("stages").querySelectorAll("[data-keep]")) {
    one.open = opened.has(one.dataset.keep);
    if (one.dataset.keep === focused) one.querySelector("summary").focus();
  }
}

// Stages whose line didn't hold when they were looked at last: counters are read one after the other, so a look in the
// middle of a commit proves nothing.
const doubted = new Set();

// received = published + duplicate + …
function line(stage) {
  const { parts, holds: adds } = conservation(stage);
  const holds = adds || !doubted.has(stage.stage);
  if (adds) doubted.delete(stage.stage); else doubted.add(stage.stage);
  const bars = make("div", { class: "parts", "aria-hidden": "true" }, ...parts.map(([name, n]) => {
    const part = make("i", { class: `o-${name}` });
    part.style.flexGrow = String(n);
    return part;
  }));
  const terms = parts.flatMap(([name, n], i) => [i === 0 ? " = " : " + ", make("span", { class: "term" }, make("i", { class: `o-${name}`, "aria-hidden": "true" }), `${count(n)} ${words(name)}`)]);
  const details = stage.outcomes.filter((one) => one.detail);
  return make("div", { class: "conserved" }, bars,
    make("p", null, make("b", null, count(stage.received)), " received", ...(stage.records === null || stage.records === stage.received ? [] : [` in ${plural(stage.records, "record", "records")}`]), ...(parts.length ? terms : [" since it began"])),
    ...(holds ? [] : [make("p", { class: "bad", role: "alert" }, `This doesn’t add up: ${count(stage.records ?? 0)} records were read. Please report it.`)]),
    ...(details.length ? [make("details", { "data-keep": stage.stage }, make("summary", null, "By reason"), table(`Outcomes of ${stage.stage}`, [["Outcome"], ["Items", "n"]], details.map((one) => [`${words(one.outcome)}, ${words(one.detail)}`, count(one.count)])))] : []));
}

/* ---- what is kept for good: outcomes and letters of the workspace ---- */

export function showKept() {
  const s = view.summary;
  showOutcomes(s.outcomes);
  showLetters(s.dead_letters);
  $("caught").replaceChildren(make("b", null, count(s.outcomes.duplicates)), `${s.outcomes.duplicates === 1 ? "duplicate" : "duplicates"} caught, `,
    make("b", null, count(s.dead_letters.total)), `${s.dead_letters.total === 1 ? "dead letter" : "dead letters"} open. `, make("a", { href: "#pipeline" }, "The pipeline"));
}

function showOutcomes(o) {
  const outcomes = [...new Set(o.outcomes.map((row) => row.outcome))].map((name) => [name, o.outcomes.filter((row) => row.outcome === name).reduce((sum, row) => sum + row.count, 0)]).sort((a, b) => b[1] - a[1]);
  $("conservation").replaceChildren(make("b", null, count(o.total)), o.total === 1 ? "item" : "items", ...outcomes.flatMap(([name, n], i) => [i === 0 ? " = " : " + ", `${count(n)} ${words(name)}`]));
  $("outcomes").replaceChildren(o.outcomes.length === 0 ? make("p", { class: "none" }, "Nothing has come in yet.")
    : table("Outcomes by source", [["Outcome"], ["Source"], ["Items", "n"]], o.outcomes.slice().sort((a, b) => b.count - a.count)
      .map((row) => [[words(row.outcome) + (row.detail ? `, ${words(row.detail)}` : ""), bar(row.count, o.total)], row.source, count(row.count)])));
}

let lettersShown = "";
function showLetters(d) {
  const text = JSON.stringify(d);
  if (text === lettersShown) return;   // keep what is open and focused
  lettersShown = text;
  $("letters-sum").replaceChildren(make("b", null, count(d.total)), d.total === 0 ? "open: nothing waits to be mended" : `open of the last ${d.days} days, none lost. What is mended goes back to its stage with redrive; --dry-run only counts.`);
  $("letters").replaceChildren(...d.by_reason.map((kind) => make("li", null,
    make("p", { class: "letter-head" }, make("b", null, words(kind.reason)), make("span", { class: "quiet" }, [kind.source, kind.stage].filter(Boolean).join(", ")), make("span", { class: "n" }, count(kind.count))),
    ...(kind.explanation ? [make("p", { class: "quiet" }, kind.explanation)] : []),
    make("div", { class: "commands" }, command(letterCommand("ls", kind)),
      kind.redrivable ? command(`${letterCommand("redrive", kind)} --dry-run`) : command(`${letterCommand("discard", kind)} --dry-run`)))));
  $("recent-box").hidden = d.recent.length === 0;
  $("recent").replaceChildren(...d.recent.map((l) => make("li", null,
    make("p", { class: "letter-head" }, make("span", null, words(l.reason) + (l.field ? ` in ${l.field}` : "")), make("span", { class: "quiet n" }, at(l.at))),
    make("p", { class: "quiet" }, l.message), command(`tillstream dlq show ${l.id}`))));
}
