// From values to words. Pure: no page, no clock, nothing kept but formats.
"use strict";

// Amounts arrive as JSON numbers with the currency's digits, or as minor units; they are shown, never added up.
const formats = new Map();
function fixed(digits) {
  if (!formats.has(digits)) {
    formats.set(digits, new Intl.NumberFormat(undefined, { minimumFractionDigits: digits, maximumFractionDigits: digits }));
  }
  return formats.get(digits);
}
export const money = (amount, digits) => fixed(digits).format(amount);

// 3049 with two digits is "30.49": the point is set in the text, so nothing is divided.
export function decimal(minor, digits) {
  const text = String(minor), sign = text.startsWith("-") ? "-" : "";
  const figures = text.slice(sign.length).padStart(digits + 1, "0");
  return digits === 0 ? sign + figures : `${sign}${figures.slice(0, -digits)}.${figures.slice(-digits)}`;
}
export const minor = (units, digits) => fixed(digits).format(decimal(units, digits));

const whole = new Intl.NumberFormat();
const short = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const tenth = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
export const count = (n) => whole.format(n);
export const compact = (n) => short.format(n);
export const percent = (n) => `${tenth.format(n)} %`;
export const plural = (n, one, many) => `${count(n)} ${n === 1 ? one : many}`;
export const words = (code) => code.replaceAll("_", " ");

const day = { long: { weekday: "short", day: "numeric", month: "short" }, short: { day: "numeric", month: "short" }, month: { month: "short", year: "numeric" } };
for (const name of Object.keys(day)) day[name] = new Intl.DateTimeFormat(undefined, { ...day[name], timeZone: "UTC" });
export const dayLong = (date) => day.long.format(new Date(`${date}T00:00:00Z`));
export const dayShort = (date) => day.short.format(new Date(`${date}T00:00:00Z`));
export const month = (date) => day.month.format(new Date(`${date}-01T00:00:00Z`));

const moment = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
export const at = (instant) => moment.format(new Date(instant));
export const timeOf = (instant) => clock.format(new Date(instant));

export function ago(instant, now) {
  const seconds = Math.max(0, Math.round((now - Date.parse(instant)) / 1000));
  if (seconds < 5) return "just now";
  if (seconds < 60) return `${seconds} s ago`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 172800) return `${Math.floor(seconds / 3600)} h ago`;
  return `${Math.floor(seconds / 86400)} days ago`;
}

export function span(seconds) {
  if (seconds === null) return "–";
  if (seconds < 0.0095) return `${tenth.format(seconds * 1000)} ms`;
  if (seconds < 0.95) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 120) return `${tenth.format(seconds)} s`;
  return `${Math.round(seconds / 60)} min`;
}
export const perSecond = (rate) => (rate === null ? "–" : rate > 0 && rate < 0.05 ? "< 0.1" : rate < 10 ? tenth.format(rate) : count(Math.round(rate)));

// Whether the figures of a range can still move, in words.
export function moves(last, today, corrected, parts = "A day") {
  const after = corrected ? `${parts} of it changed after it had closed. ` : "";
  return after + (last >= today ? "Its last day isn’t over: figures still move." : corrected ? "Its days are over." : "Its days are over: only late events move it, and then it says so.");
}

const quote = (text) => (/^[\w.:@/-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
// What to type for the dead letters of one kind.
export function letterCommand(verb, kind) {
  const source = kind.source ? ` --source ${quote(kind.source)}` : "";
  return `tillstream dlq ${verb} --reason ${quote(kind.reason)}${source}`;
}
