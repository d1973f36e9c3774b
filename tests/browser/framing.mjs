// HD-14: a page of another origin cannot frame our pages or reach a window that shows them. The other origin is on our
// own site (same host, another port), so cookies are sent and only the headers protect us.
import { createServer } from "node:http";
import { once } from "node:events";
import { check, testControl, heading, story, tell, freshPage } from "./lib.mjs";
import { mailTo, open, register, signIn } from "./people.mjs";

/// A page that frames the URL in its query.
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

/// How many of two signs show that a window opened at `target` and its opener still reach each other: the opener sees
/// the window open; the window has an opener or hears its message.
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
  const page = await freshPage(browser);
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

  // Not a `freshPage`: an empty frame is an error on the console, and here it should be.
  const other = await page.context().newPage();
  check(await frames(other, origin), "control: a page without headers is not framed");
  check((await reaches(other, origin)) === 2, "control: a page without headers is not reached");
  for (const [name, target] of Object.entries(pages)) {
    check(!(await frames(other, target)), `${name} is framed by another origin`);
    check((await reaches(other, target)) === 0, `${name} is reached by its opener`);
  }
});
