// What every page must meet, in every state.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { check, complaints, shot } from "./lib.mjs";
import * as rules from "./rules.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const TAGS = ["wcag2a", "wcag2aa", "wcag21aa", "wcag22aa", "best-practice"];
const KB = 1024;
/// Compressed sizes. Headers count in the total, not in the parts.
const BUDGET = {
  requests: 6,
  bytes: 45 * KB,
  parts: { "text/html": 8 * KB, "text/css": 12 * KB, "text/javascript": 12 * KB, "image/svg+xml": 10 * KB },
  shift: 0.02,
};

/// What axe-core finds wrong, one line each.
export async function complaintsOfAxe(page) {
  if (!(await page.evaluate("'axe' in window"))) await page.evaluate(AXE);
  const { violations } = await page.evaluate((values) => axe.run({ runOnly: { type: "tag", values }, resultTypes: ["violations"], preload: false }), TAGS);
  return violations.flatMap(({ id, nodes }) => nodes.map((node) => `axe ${id}: ${node.html} ${node.failureSummary}`));
}

/// Records what each page costs with an empty cache.
export async function countCosts(page) {
  const session = await page.context().newCDPSession(page);
  await session.send("Network.enable");
  await session.send("Network.setCacheDisabled", { cacheDisabled: true });
  page.on("request", (request) => {
    if (request.isNavigationRequest() && request.frame() === page.mainFrame()) {
      // A client's page is not ours: when our page goes on to it by itself, that costs our page nothing.
      if (new URL(request.url()).protocol === "https:") return;
      page.parts = [];
    }
    page.parts.push(request);
  });
}

async function overBudget(page) {
  const found = [];
  const bytes = { all: 0 };
  for (const request of page.parts) {
    const { url, type } = { url: request.url(), type: request.resourceType() };
    if (new URL(url).origin !== new URL(page.url()).origin) found.push(`foreign origin: ${url}`);
    const response = await request.response();
    await response?.finished();
    const failure = request.failure();
    if (failure) {
      // Pending requests of the previous page, such as its icon, are aborted when the next one loads.
      if (failure.errorText !== "net::ERR_ABORTED") found.push(`${failure.errorText}: ${url}`);
      continue;
    }
    const text = ["document", "stylesheet", "script"].includes(type);
    if (text && !["gzip", "br"].includes(response.headers()["content-encoding"])) found.push(`not compressed: ${url}`);
    const { responseBodySize, responseHeadersSize } = await request.sizes();
    bytes.all += responseBodySize + responseHeadersSize;
    const kind = response.headers()["content-type"]?.split(";")[0];
    if (!(kind in BUDGET.parts)) found.push(`no budget for ${kind}: ${url}`);
    bytes[kind] = (bytes[kind] ?? 0) + responseBodySize;
  }
  if (page.parts.length > BUDGET.requests) found.push(`${page.parts.length} requests`);
  if (bytes.all > BUDGET.bytes) found.push(`${bytes.all} bytes`);
  for (const [kind, most] of Object.entries(BUDGET.parts)) if (bytes[kind] > most) found.push(`${kind}: ${bytes[kind]} bytes`);
  const shift = await page.evaluate(rules.layoutShift);
  if (shift > BUDGET.shift) found.push(`layout shift ${shift}`);
  costs.push(bytes.all);
  return found;
}
const costs = [];

/// How many pages were judged, and what the most expensive one cost.
export const costSummary = () => `${costs.length} pages and states, the most expensive ${Math.max(...costs)} bytes`;

/// The widths at which no page may scroll sideways, and those whose screenshots are kept.
const WIDTHS = [[1280, 800], [768, 1024], [360, 740], [320, 640]];
const PICTURED = [1280, 360];

/// Judges the current page in both themes, at all widths and with forced colours, and takes screenshots.
export async function judge(page, name) {
  await page.waitForLoadState();
  const found = [...(await overBudget(page)), ...(await page.evaluate(rules.brokenRules))];
  for (const [width, height] of [[320, 256], ...WIDTHS]) {
    await page.setViewportSize({ width, height });
    found.push(...(await page.evaluate(rules.overflow)).map((text) => `at ${width} px, ${text}`));
    found.push(...(await page.evaluate(rules.smallTargets)).map((text) => `at ${width} px, ${text}`));
    await page.evaluate(rules.spaceText, true);
    found.push(...(await page.evaluate(rules.overflow)).map((text) => `at ${width} px, text spaced out, ${text}`));
    await page.evaluate(rules.spaceText, false);
  }
  for (const [width, height] of WIDTHS) {
    await page.setViewportSize({ width, height });
    for (const colorScheme of ["light", "dark"]) {
      await page.emulateMedia({ colorScheme });
      found.push(...(await complaintsOfAxe(page)).map((text) => `${colorScheme} at ${width} px: ${text}`));
      if (PICTURED.includes(width)) await page.screenshot({ path: shot(`${name}-${width}-${colorScheme}`), fullPage: true });
    }
  }
  await page.emulateMedia({ colorScheme: "light", forcedColors: "active" });
  found.push(...[...(await complaintsOfAxe(page)), ...(await page.evaluate(rules.edgeless))].map((text) => `in forced colours: ${text}`));
  await page.emulateMedia({ colorScheme: "light", forcedColors: "none" });
  await page.setViewportSize({ width: 1280, height: 800 });
  complaints.push(...new Set(found.map((text) => `${name}: ${text}`)));
}
