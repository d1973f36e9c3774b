// An https client may redirect wherever it likes: brokers answer their callback with another redirect, to another
// origin. No policy of ours may stop that, and the person must arrive without JavaScript too.
import { createServer } from "node:https";
import { once } from "node:events";
import { check, complaints, testControl, heading, story, tell, freshPage } from "./lib.mjs";
import { fill, open, press, signIn } from "./people.mjs";

const email = "ada@example.org";
await testControl(`/user/${email}`);
await testControl("/user/grace@example.org");

/// The URLs requested from the clients.
const asked = [];
/// Stands in for every https host: callbacks redirect to another origin, which says hello.
const web = createServer(story.tls, (request, answer) => {
  const url = new URL(request.url, `https://${request.headers.host}`);
  if (url.pathname === "/favicon.ico") return answer.writeHead(204).end();
  asked.push(url);
  if (url.host === "elsewhere.example") return answer.setHeader("content-type", "text/html").end("<title>Hello</title><h1>You have arrived</h1>");
  answer.writeHead(302, { location: `https://elsewhere.example/landed${url.search}` }).end();
});
web.listen(0, "127.0.0.1").unref();
await once(web, "listening");
const port = web.address().port;

const again = (request) => `${request}&prompt=login`;
const codes = () => asked.filter((url) => url.pathname === "/cb").map((url) => url.searchParams.get("code"));

/// Waits for the other origin; returns the parameters that the client's callback got on the way.
async function arrived(page) {
  await heading(page, "You have arrived");
  const callback = asked.filter((url) => url.host === "tides.example").at(-1);
  check(page.url() === `https://elsewhere.example/landed${callback.search}`, page.url());
  return callback.searchParams;
}

/// The page's forms may lead only to our own origin.
function checkPolicy(answer) {
  const csp = answer.headers()["content-security-policy"];
  check(/form-action 'self'(;|$)/.test(csp), csp);
}

async function allow(page) {
  await open(page, `${story.tides}&prompt=consent`);
  await signIn(page, email);
  await heading(page, "Allow access?");
  checkPolicy(await page.reload());
  await press(page, "Allow");
  const answer = await arrived(page);
  check(answer.get("code") && answer.get("iss") === story.issuer, `${answer}`);
}

async function deny(page) {
  await open(page, `${story.tides}&prompt=consent`);
  await press(page, "Deny");
  check((await arrived(page)).get("error") === "access_denied", "no access_denied");
}

async function signInOnly(page) {
  await open(page, again(story.tides));
  await fill(page, { Password: story.password });
  await press(page, "Sign in");
  check((await arrived(page)).has("code"), "no code");
}

/// The second click comes before the answer to the first.
async function clickTwice(page) {
  await open(page, `${story.tides}&prompt=consent`);
  const before = codes().length;
  await page.getByRole("button", { name: "Allow" }).dblclick({ noWaitAfter: true });
  await arrived(page);
  check(new Set(codes().slice(before)).size === 1, "two clicks, two codes");
}

/// Back from the client never traps a person: however the flow began, a few steps back lead out of it.
async function goBack(page) {
  await page.goto(`${story.issuer}/register`);
  await open(page, `${story.tides}&prompt=consent`);
  await press(page, "Allow");
  await arrived(page);
  for (let steps = 0; steps < 6 && !page.url().endsWith("/register"); steps++) {
    await page.goBack().catch(() => {});
    await page.waitForTimeout(300);
  }
  check(page.url().endsWith("/register"), `Back ends at ${page.url()}`);
}

async function signOut(page) {
  await open(page, story.logout);
  checkPolicy(await page.reload());
  await press(page, "Sign out");
  await arrived(page);
  check(asked.at(-2).pathname === "/bye" && asked.at(-2).searchParams.get("state") === "s", asked.at(-2).href);
}

/// A form injected into our page leads nowhere.
async function injected(browser) {
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  const page = await context.newPage();
  await page.goto(story.tides);
  for (const action of ["https://evil.example/", "https://tides.example/cb", "//evil.example/"]) {
    const stopped = await page.evaluate((action) => new Promise((done) => {
      addEventListener("securitypolicyviolation", (event) => done(event.violatedDirective), { once: true });
      document.body.insertAdjacentHTML("beforeend", `<form method="post" action="${action}"><button id="evil">x</button></form>`);
      document.body.lastElementChild.submit();
    }), action);
    check(stopped === "form-action", `${action}: ${stopped}`);
  }
  check(page.url().startsWith(story.issuer) && !asked.some((url) => url.host === "evil.example"), page.url());
  await context.close();
}

const hosts = ["tides.example", "elsewhere.example", "evil.example"].map((host) => `MAP ${host}:443 127.0.0.1:${port}`);
await tell(async (browser) => {
  for (const javaScriptEnabled of [true, false]) {
    const page = await freshPage(browser, { javaScriptEnabled, ignoreHTTPSErrors: true });
    for (const part of [allow, deny, signInOnly, clickTwice, goBack, signOut]) {
      if (!story.parts || story.parts.includes(part.name)) await part(page);
      check(complaints.length === 0, `${part.name}: ${complaints.join("\n")}`);
    }
    await page.context().close();
  }
  await injected(browser);
}, `--host-resolver-rules=${hosts.join(", ")}`);
