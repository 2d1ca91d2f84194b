// What two looks at counters that only grow say of the time between. Pure.
"use strict";

// Keeps the looks of the last `seconds`; begins anew when a process did, for then a counter has fallen.
export function remember(looks, look, seconds) {
  const before = looks.at(-1);
  if (before && before.at >= look.at) return looks;
  const fell = before && look.stages.some((stage) => {
    const known = before.stages.find((one) => one.stage === stage.stage);
    return known && stage.received < known.received;
  });
  const kept = fell ? [] : looks.filter((one) => look.at - one.at <= seconds * 1000);
  return [...kept, look];
}

const stageOf = (look, name) => look.stages.find((stage) => stage.stage === name);

// Items a second between the first look that knows the stage and the last; null with one look alone.
export function rate(looks, name) {
  const first = looks.find((look) => stageOf(look, name).known), last = looks.at(-1);
  if (!first || first === last) return null;
  return (stageOf(last, name).received - stageOf(first, name).received) * 1000 / (last.at - first.at);
}

// The observations between the first and the last look; where there were none, or one look alone, all of them.
export function observed(looks, name) {
  const now = stageOf(looks.at(-1), name).latency;
  const then = looks.length > 1 ? stageOf(looks[0], name).latency : [];
  const since = now.map((bucket) => ({ le: bucket.le, count: bucket.count - (then.find((one) => one.le === bucket.le)?.count ?? 0) }));
  const total = since.length ? since.at(-1).count : 0;
  return total > 0 && then.length ? { recent: true, buckets: since } : { recent: false, buckets: now };
}

// As Prometheus does: within a bucket in proportion, beyond the last bound that bound. Null without observations.
export function quantile(q, buckets) {
  const total = buckets.length ? buckets.at(-1).count : 0;
  if (total === 0) return null;
  const rank = q * total;
  const i = buckets.findIndex((bucket) => bucket.count >= rank);
  const lower = i > 0 ? Number(buckets[i - 1].le) : 0, below = i > 0 ? buckets[i - 1].count : 0;
  if (buckets[i].le === "+Inf") return lower;
  const inside = buckets[i].count - below;
  return inside === 0 ? lower : lower + (Number(buckets[i].le) - lower) * (rank - below) / inside;
}

const ORDER = ["published", "duplicate", "stale", "shadow", "filtered", "rejected", "dead_lettered"];
// The parts of "received = …", the usual first, and whether they hold: no record may be without an outcome.
export function conservation(stage) {
  const sums = new Map();
  for (const { outcome, count } of stage.outcomes) sums.set(outcome, (sums.get(outcome) || 0) + count);
  const place = (name) => (ORDER.includes(name) ? ORDER.indexOf(name) : ORDER.length);
  const parts = [...sums].sort((a, b) => place(a[0]) - place(b[0]) || a[0].localeCompare(b[0]));
  const sum = parts.reduce((all, [, n]) => all + n, 0);
  return { parts, holds: sum === stage.received && (stage.records == null || stage.records <= sum) };
}

// A round number at or above `value`: the top of a scale.
export function roundUp(value) {
  const unit = Math.pow(10, Math.floor(Math.log10(value)));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((n) => n * unit).find((n) => n >= value * 0.9999) || value;
}
