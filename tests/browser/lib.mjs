// What the browser stories share: a page that reports every complaint, and a mouse.
import { existsSync, mkdirSync } from "node:fs";
import { chromium } from "playwright-core";

/// Facts from the Rust side of the story: URLs, the password, what to vary.
export const story = JSON.parse(process.env.STORY);

/// Everything that went wrong without stopping the page: any line fails the story.
export const complaints = [];

// Stops a script that hangs; the story would wait for it forever.
setTimeout(() => { console.error("the story takes too long"); process.exit(2); }, 560_000).unref();

const SHOTS = new URL("../../build/screenshots/", import.meta.url).pathname;
mkdirSync(SHOTS, { recursive: true });
export const shot = (name) => `${SHOTS}${name}.png`;

export function check(holds, what) {
  if (!holds) throw new Error(what);
}

/// Starts a stock Chromium, and discards it at the end of the story.
export async function tell(tale, ...moreArgs) {
  const installed = process.env.IDP_TEST_CHROMIUM ?? "/usr/bin/chromium";
  check(existsSync(installed), `no Chromium at ${installed}`);
  const quiet = ["--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
  const args = ["--no-sandbox", "--disable-gpu", "--disable-quic", ...quiet, ...moreArgs];
  const browser = await chromium.launch({ executablePath: installed, args });
  try {
    await tale(browser);
  } catch (error) {
    for (const page of browser.contexts().flatMap((context) => context.pages())) {
      await page.screenshot({ path: shot("failure") });
      console.error(`open: ${page.url()}\n${await page.locator("body").innerText()}\n${complaints.join("\n")}`);
    }
    throw error;
  } finally {
    await browser.close();
  }
  check(complaints.length === 0, `the browser complained:\n${complaints.join("\n")}`);
}

/// A fresh profile with one page.
export async function freshPage(browser, options = {}) {
  const defaults = { viewport: { width: 1280, height: 800 }, reducedMotion: "reduce", locale: "en-GB" };
  const context = await browser.newContext({ ...defaults, ...options });
  // Long, for a machine that is busy with other stories.
  context.setDefaultTimeout(45_000);
  await context.exposeBinding("complain", (_, text) => complaints.push(text));
  await context.addInitScript(() => document.addEventListener("securitypolicyviolation", (event) =>
    window.complain(`${location.href}: ${event.violatedDirective} stops ${event.blockedURI}`)));
  const page = await context.newPage();
  listen(page);
  return page;
}

function listen(page) {
  const complain = (text) => complaints.push(`${page.url()}: ${text}`);
  page.on("pageerror", (error) => complain(error));
  page.on("console", (message) => {
    // Chromium also reports pages with an error status; those are expected. Parts of pages are checked below.
    const wanted = message.text().startsWith("Failed to load resource");
    if (["error", "warning"].includes(message.type()) && !wanted) complain(message.text());
  });
  page.on("response", (response) => {
    const part = !response.request().isNavigationRequest();
    if (part && response.status() >= 400) complain(`${response.status()} ${response.url()}`);
  });
}

/// Asks the control server of the Rust side.
export async function testControl(path, method = "POST") {
  const answer = await fetch(story.testControl + path, { method });
  check(answer.ok, `control server ${path}: ${answer.status}`);
  return method === "GET" ? answer.json() : null;
}

/// Polls until it holds: background work of the server has no event a browser could wait for.
export async function until(holds, what) {
  for (let tries = 0; tries < 200; tries++) {
    if (await holds()) return;
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error(`never: ${what}`);
}

/// A mouse for pressing, a keyboard for typing.
export const mouse = {
  async fill(page, label, text) {
    await page.getByLabel(label, { exact: true }).fill(text);
  },
  async press(page, name) {
    await control(page, name).click();
  },
};

/// Without the invisible marks that isolate the writing direction of inserted names.
export const unmarked = (text) => text.replace(/[\u2068\u2069]/g, "");
const exactly = (text) => new RegExp(`^${text.replace(/[.?+]/g, "\\$&").replaceAll(" ", "[\u2068\u2069 ]+")}[\u2068\u2069]*$`);

export const control = (page, name) =>
  page.getByRole("button", { name: exactly(name) }).or(page.getByRole("link", { name: exactly(name) })).first();

export const heading = (page, text) => page.getByRole("heading", { level: 1, name: exactly(text) }).waitFor();
