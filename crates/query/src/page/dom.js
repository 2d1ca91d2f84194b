// Elements. Text is only ever set as text.
"use strict";

export const $ = (id) => document.getElementById(id);

export function make(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes || {})) element.setAttribute(key, value);
  element.append(...children);
  return element;
}
export function draw(name, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}
export function button(text, act, attributes) {
  const element = make("button", { type: "button", ...attributes }, text);
  element.addEventListener("click", act);
  return element;
}

// A table: columns are [heading, "n" for numbers, "wide" for what narrow screens leave out]; a row's first cell heads it.
export function table(label, columns, rows) {
  const kind = ([, ...kinds]) => (kinds.length ? { class: kinds.join(" ") } : {});
  return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": label }, make("table", null,
    make("thead", null, make("tr", null, ...columns.map((column) => make("th", { scope: "col", ...kind(column) }, column[0])))),
    make("tbody", null, ...rows.map((cells) => make("tr", null, ...cells.map((cell, i) =>
      make(i === 0 ? "th" : "td", { ...(i === 0 ? { scope: "row" } : {}), ...kind(columns[i]) }, ...[cell].flat())))))));
}

// A thin bar for the eye; the number beside it is what is read.
export function bar(part, whole, kind = "") {
  const share = whole > 0 ? Math.max(0, Math.min(100, part / whole * 100)) : 0;
  return draw("svg", { class: `bar-line ${kind}`, "aria-hidden": "true", focusable: "false" },
    draw("rect", { class: "track", width: "100%", height: "100%", rx: 3 }), draw("rect", { class: "fill", width: `${share}%`, height: "100%", rx: 3 }));
}

export const pairs = (list) => make("dl", { class: "pairs" }, ...list.filter(Boolean).map(([name, value]) => make("div", null, make("dt", null, name), make("dd", null, ...[value].flat()))));
export const bones = (n) => make("div", { class: "bones", "aria-hidden": "true" }, ...Array.from({ length: n }, () => make("i", null)));

// Something to type, with a button that copies it.
export function command(text) {
  const copy = button("Copy", async () => {
    try {
      await navigator.clipboard.writeText(text);
      copy.textContent = "Copied";
    } catch {
      copy.textContent = "Select it";
      getSelection().selectAllChildren(code);
    }
    setTimeout(() => { copy.textContent = "Copy"; }, 2000);
  }, { class: "small", "aria-label": `Copy: ${text}` });
  const code = make("code", null, text);
  return make("span", { class: "command" }, code, copy);
}
