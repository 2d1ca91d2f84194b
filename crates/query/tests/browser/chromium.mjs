// A headless Chromium, spoken to over its pipe in its own protocol: no package is needed.
import { spawn } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const WITHIN_MS = 60_000;

export async function open(program, { width = 1280, height = 900, dark = false } = {}) {
  const profile = mkdtempSync(join(tmpdir(), "tillstream-page-"));
  const child = spawn(program, ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking", "--no-first-run", "--lang=en-US",
    `--user-data-dir=${profile}`, `--window-size=${width},${height}`, "--remote-debugging-pipe", "about:blank"], { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"], env: { ...process.env, LANGUAGE: "en_US", LC_ALL: "C.UTF-8" } });
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const waiting = new Map(), complaints = [];
  let last = 0, text = "";
  const heard = (message) => {
    if (message.id) {
      const { resolve, reject } = waiting.get(message.id) ?? {};
      waiting.delete(message.id);
      if (message.error) reject?.(new Error(message.error.message));
      else resolve?.(message.result);
    } else if (message.method === "Runtime.exceptionThrown") {
      const { text: sentence, exception } = message.params.exceptionDetails;
      complaints.push(`${sentence} ${exception?.description ?? ""}`);
    } else if (message.method === "Runtime.consoleAPICalled" && message.params.type === "error") {
      complaints.push(message.params.args.map((one) => one.value ?? one.description).join(" "));
    } else if (message.method === "Log.entryAdded" && message.params.entry.level === "error") {
      complaints.push(`${message.params.entry.text} ${message.params.entry.url ?? ""}`);
    }
  };
  child.stdio[4].setEncoding("utf8").on("data", (part) => {
    text += part;
    for (let end; (end = text.indexOf("\0")) >= 0; text = text.slice(end + 1)) heard(JSON.parse(text.slice(0, end)));
  });
  const send = (method, params = {}, sessionId) => new Promise((resolve, reject) => {
    waiting.set(++last, { resolve, reject });
    child.stdio[3].write(`${JSON.stringify({ id: last, method, params, sessionId })}\0`);
  });
  const { targetInfos } = await send("Target.getTargets");
  const { sessionId } = await send("Target.attachToTarget", { targetId: targetInfos.find((one) => one.type === "page").targetId, flatten: true });
  const call = (method, params) => send(method, params, sessionId);
  for (const domain of ["Page", "Runtime", "Log"]) await call(`${domain}.enable`);
  await call("Emulation.setDeviceMetricsOverride", { width, height, deviceScaleFactor: 1, mobile: width < 600 });
  if (dark) await call("Emulation.setEmulatedMedia", { features: [{ name: "prefers-color-scheme", value: "dark" }] });

  const page = {
    complaints,
    async go(url) {
      await call("Page.navigate", { url });
      await page.until("document.readyState === 'complete'");
    },
    // The value of an expression in the page.
    async value(expression) {
      const { result, exceptionDetails } = await call("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
      if (exceptionDetails) throw new Error(`${expression}: ${exceptionDetails.exception?.description ?? exceptionDetails.text}`);
      return result.value;
    },
    // Waits until an expression is true.
    async until(expression) {
      const end = Date.now() + WITHIN_MS;
      while (!(await page.value(`Boolean(${expression})`).catch(() => false))) {
        if (Date.now() > end) throw new Error(`not within ${WITHIN_MS / 1000} s: ${expression}; complaints: ${complaints.join(" | ")}`);
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    },
    // A key pressed, as a person does.
    async press(name, text_ = "") {
      await call("Input.dispatchKeyEvent", { type: text_ ? "keyDown" : "rawKeyDown", key: name, code: name, text: text_, windowsVirtualKeyCode: { Enter: 13, ArrowLeft: 37, Tab: 9 }[name] ?? 0 });
      await call("Input.dispatchKeyEvent", { type: "keyUp", key: name, code: name });
    },
    async shot(file, whole = true) {
      const { data } = await call("Page.captureScreenshot", { format: "png", captureBeyondViewport: whole });
      writeFileSync(file, Buffer.from(data, "base64"));
    },
    async close() {
      await send("Browser.close").catch(() => {});
      await ended;
      rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
  return page;
}
