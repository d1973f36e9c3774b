// HD-14: a page of another origin neither frames ours nor keeps hold of a window they are in. The other origin is on our
// own site (same host, another port), so that cookies come along and nothing but the headers protects us.
import { createServer } from "node:http";
import { once } from "node:events";
import { check, testControl, heading, story, tell, visitor } from "./lib.mjs";
import { mailTo, open, register, signIn } from "./people.mjs";

/// A page that frames what its query names, and hears what it is told.
const evil = createServer((request, answer) => {
  const framed = decodeURIComponent(new URL(request.url, "http://evil").search.slice(1));
  const frame = framed ? `<iframe src="${framed.replaceAll("&", "&amp;")}"></iframe>` : "";
  answer.setHeader("content-type", "text/html").end(`<h1>Evil</h1>${frame}`);
});
evil.listen(0, "127.0.0.1").unref();
await once(evil, "listening");
const origin = `http://127.0.0.1:${evil.address().port}/`;

/// Whether the browser shows `target` in a frame.
async function frames(page, target) {
  await page.goto(`${origin}?${encodeURIComponent(target)}`);
  const [, frame] = page.frames();
  return frame.url() !== "chrome-error://chromewebdata/";
}

/// Whether a window that was opened at `target` still has to do with its opener, or hears what that says.
async function reaches(page, target) {
  await page.goto(origin);
  const opened = page.waitForEvent("popup");
  await page.evaluate((url) => { window.opened = open(url); }, target);
  const popup = await opened;
  await popup.getByRole("heading", { level: 1 }).waitFor();
  await popup.evaluate(() => { window.heard = []; addEventListener("message", ({ data }) => heard.push(data)); });
  await page.evaluate(() => window.opened.postMessage("hello", "*"));
  await popup.evaluate(() => new Promise((done) => setTimeout(done, 100)));
  const signs = [await page.evaluate(() => !window.opened.closed), await popup.evaluate(() => window.opener !== null || heard.length > 0)];
  await popup.close();
  return signs.filter(Boolean).length;
}

await tell(async (browser) => {
  const page = await visitor(browser);
  await open(page, "/register");
  await register(page, "Eve", "eve@example.org");
  const waiting = page.url();
  const { link } = await mailTo("eve@example.org");
  await open(page, "/signin");
  const login = page.url();
  await testControl("/user/ada@example.org");
  await open(page, story.tides);
  await signIn(page, "ada@example.org");
  await heading(page, "Allow access?");
  const pages = { ...story.refused, waiting, activation: link, login, consent: page.url(), authorize: story.tides };
  for (const path of ["/signin", "/register", "/account", "/logout", "/dev/mail", "/dev/clock"]) pages[path] = story.issuer + path;

  // Not a visitor's page: that a frame stays empty is an error on its console, as it should be.
  const other = await page.context().newPage();
  check(await frames(other, origin), "the control arm: a page without headers is not framed");
  check((await reaches(other, origin)) === 2, "the control arm: a page without headers is not reached");
  for (const [name, target] of Object.entries(pages)) {
    check(!(await frames(other, target)), `${name} is framed by another origin`);
    check((await reaches(other, target)) === 0, `${name} is reached by its opener`);
  }
});
