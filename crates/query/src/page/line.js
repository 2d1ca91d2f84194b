// The line to the server: who may look, one stream of server-sent events, and single questions.
// The stream is read with fetch, because an EventSource can't send a key.
"use strict";

const KEY = "tillstream.key";
const SILENT_MS = 25_000;       // the server says something every ten seconds

// What is looked at. `range` is {days} or {start, end}.
export const view = { range: { days: 30 }, currency: "", workspace: "", needsKey: false, development: { key: "" }, digits: {}, summary: null, reading: "loading" };
export const digitsOf = (currency) => view.digits[currency] ?? 2;

export const key = {
  get: () => sessionStorage.getItem(KEY) || "",
  set: (text) => sessionStorage.setItem(KEY, text.trim()),
  forget: () => sessionStorage.removeItem(KEY),
};
const withKey = (text) => (text ? { "X-API-Key": text } : {});

// What went wrong, as the server said it.
export class Refusal extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

async function told(answer) {
  if (answer.ok) return answer.json();
  throw new Refusal(answer.status, await answer.json().then((body) => body.error, () => answer.statusText));
}

// A question of the dashboard's own: with the key only where the dashboard asks for one.
export async function ask(path, parameters = {}, signal) {
  const asked = new URLSearchParams(view.workspace ? { workspace: view.workspace, ...parameters } : parameters);
  return told(await fetch(`${path}?${asked}`, { headers: withKey(view.needsKey && key.get()), signal, cache: "no-cache" }));
}
// A look-up of a person or an order: always with the key, for it answers with personal data.
export async function lookUp(path, parameters = {}, signal) {
  const asked = new URLSearchParams(parameters);
  return told(await fetch(`${path}${asked.size ? `?${asked}` : ""}`, { headers: withKey(key.get()), signal, cache: "no-store" }));
}
export const enter = async () => told(await fetch("/dashboard/access", { cache: "no-store" }));

let line = null, attempts = 0;
export const isOpen = () => line !== null && line.open;

// Listens anew. `heard` gets each event; `locked` a refused key; `failed` all else, and whether it is tried again.
export async function connect(on) {
  hangUp();
  const mine = line = { stop: new AbortController(), open: false, heard: Date.now() };
  const parameters = { ...view.range, ...(view.workspace && { workspace: view.workspace }), ...(view.currency && { currency: view.currency }) };
  try {
    const answer = await fetch(`/dashboard/stream?${new URLSearchParams(parameters)}`, { headers: withKey(view.needsKey && key.get()), signal: mine.stop.signal, cache: "no-store" });
    if (!answer.ok) await told(answer);
    if (mine !== line) return;
    mine.open = true;
    attempts = 0;
    await listen(answer.body.getReader(), mine, on);
    if (mine === line) failed(mine, on, "The connection was closed.", true);
  } catch (error) {
    if (mine !== line || error.name === "AbortError") return;
    if (!(error instanceof Refusal)) return failed(mine, on, "The query service doesn’t answer.", true);
    if (view.needsKey && (error.status === 401 || error.status === 403)) {
      line = null;
      return on.locked(error.message);
    }
    failed(mine, on, error.status === 404 && view.workspace ? `There is no workspace “${view.workspace}” here.` : error.message, error.status >= 500);
  }
}
export function hangUp() {
  if (line) line.stop.abort();
  line = null;
}

async function listen(reader, mine, on) {
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
      on.heard(frame.event, JSON.parse(frame.data));
    }
  }
}

function failed(mine, on, sentence, again) {
  mine.open = false;
  if (again) later(() => { if (mine === line) connect(on); });
  on.failed(sentence, again);
}
export function later(act) {
  attempts += 1;
  setTimeout(act, Math.min(15_000, 500 * 2 ** Math.min(attempts, 5)));
}
// True once when the line has fallen silent; it is dialled again.
export function watch(on) {
  if (!line || !line.open || Date.now() - line.heard <= SILENT_MS) return;
  line.stop.abort();
  const mine = line = { stop: line.stop, open: false };
  failed(mine, on, "The query service has fallen silent.", true);
}
