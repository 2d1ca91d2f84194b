// The scripts' pure parts, and the syntax of all of them. Run with the folder of the page as the argument.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { copyFileSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const folder = process.argv[2];
const load = (name) => import(`data:text/javascript,${encodeURIComponent(readFileSync(join(folder, name), "utf8"))}`);
const text = await load("text.js"), rates = await load("rates.js");

// Minor units become text without a division: no digit is lost.
assert.equal(text.decimal(3049, 2), "30.49");
assert.equal(text.decimal(5, 2), "0.05");
assert.equal(text.decimal(-5, 2), "-0.05");
assert.equal(text.decimal(5000, 0), "5000");
assert.equal(text.decimal(1, 3), "0.001");
assert.equal(text.decimal("900719925474099399", 2), "9007199254740993.99");

assert.equal(text.letterCommand("redrive", { reason: "bad_money", source: "shopify" }), "tillstream dlq redrive --reason bad_money --source shopify");
assert.equal(text.letterCommand("ls", { reason: "a'; rm -rf ~", source: "" }), "tillstream dlq ls --reason 'a'\\''; rm -rf ~'");

assert.match(text.moves("2026-03-15", "2026-03-15", false), /still move/);
assert.match(text.moves("2026-03-14", "2026-03-15", false), /only late events/);
assert.match(text.moves("2026-03-14", "2026-03-15", true), /^A day of it changed after it had closed/);
assert.match(text.moves("1", "0", true, "An hour"), /^An hour of it .* still move/);

const stage = (received, latency = []) => ({ stage: "state", known: true, received, records: received, outcomes: [], latency });
const look = (at, received, latency) => ({ at, stages: [stage(received, latency)] });
const bucket = (le, count) => ({ le, count });

// Ten items in two seconds are five a second; one look says nothing; a process that began anew begins anew.
let looks = rates.remember([], look(0, 100), 30);
assert.equal(rates.rate(looks, "state"), null);
looks = rates.remember(looks, look(2000, 110), 30);
assert.equal(rates.rate(looks, "state"), 5);
looks = rates.remember(looks, look(2000, 110), 30);
assert.equal(looks.length, 2);
// A stage that wasn't reached at first did not do everything in an instant.
const unreached = { at: -2000, stages: [{ ...stage(0), known: false }] };
assert.equal(rates.rate([unreached, look(0, 100)], "state"), null);
assert.equal(rates.rate([unreached, ...looks], "state"), 5);
assert.equal(rates.remember(looks, look(4000, 3), 30).length, 1);
assert.deepEqual(rates.remember(looks, look(31_500, 120), 30).map((one) => one.at), [2000, 31_500]);

// Of the time between the looks, and of all where nothing came between.
looks = [look(0, 0, [bucket("0.1", 5), bucket("1", 10), bucket("+Inf", 10)]), look(2000, 0, [bucket("0.1", 5), bucket("1", 20), bucket("+Inf", 20)])];
assert.deepEqual(rates.observed(looks, "state"), { recent: true, buckets: [bucket("0.1", 0), bucket("1", 10), bucket("+Inf", 10)] });
assert.equal(rates.observed([looks[1]], "state").recent, false);
assert.equal(rates.quantile(0.5, [bucket("0.1", 0), bucket("1", 10), bucket("+Inf", 10)]), 0.55);
assert.equal(rates.quantile(0.99, [bucket("0.1", 0), bucket("+Inf", 10)]), 0.1);
assert.equal(rates.quantile(0.5, []), null);
assert.equal(rates.quantile(0.5, [bucket("0.1", 0), bucket("+Inf", 0)]), null);

// What came in is the sum of the outcomes, and no record is without one.
const ended = (received, records, ...outcomes) => ({ received, records, outcomes: outcomes.map(([outcome, count]) => ({ outcome, detail: "", count })) });
const fine = rates.conservation(ended(12, 10, ["duplicate", 2], ["published", 7], ["duplicate", 3]));
assert.deepEqual(fine, { parts: [["published", 7], ["duplicate", 5]], holds: true });
assert.equal(rates.conservation(ended(12, 13, ["published", 12])).holds, false);
assert.equal(rates.conservation(ended(12, null, ["published", 11])).holds, false);
assert.deepEqual([5, 7, 1234, 1500].map(rates.roundUp), [5, 8, 1500, 1500]);

const copies = mkdtempSync(join(tmpdir(), "tillstream-scripts-"));
const scripts = readdirSync(folder).filter((name) => name.endsWith(".js"));
assert.ok(scripts.length > 5);
for (const name of scripts) {
  const copy = join(copies, `${name}.mjs`);
  copyFileSync(join(folder, name), copy);
  execFileSync(process.execPath, ["--check", copy], { stdio: "inherit" });
}
rmSync(copies, { recursive: true });
