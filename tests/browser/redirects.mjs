// A form that ends in a redirect to an application: the page's CSP must let the browser go there, and only there.
import { createServer as serveHttp } from "node:http";
import { createServer as listenTcp } from "node:net";
import { once } from "node:events";
import { check, testControl, heading, story, tell, until, visitor } from "./lib.mjs";
import { open, press, signIn } from "./people.mjs";

const email = "ada@example.org";
await testControl(`/user/${email}`);

/// A server on a free port, and the port.
async function listen(server, address = "127.0.0.1") {
  server.listen(0, address).unref();
  await once(server, "listening");
  return server.address().port;
}

/// Stands for every https host: counts who comes with a TLS greeting, and hangs up.
let greetings = 0;
const https = await listen(listenTcp((socket) => socket.on("error", () => {}).once("data", (data) => {
  if (data[0] === 0x16) greetings++;
  socket.destroy();
})));
const welcome = () => serveHttp((_, answer) => answer.end("Welcome back"));
const native = await listen(welcome());
const native6 = await listen(welcome(), "::1");

const answered = (url) => url.searchParams.has("code") && url.searchParams.get("iss") === story.issuer;
const again = (request) => `${request}&prompt=login`;

/// Our own pages alone for an https application; else one target beside them, and never a whole scheme of the web,
/// however it is written.
function checkSources(csp, goes) {
  const [, sources] = csp.match(/form-action ([^;]*)/);
  if (goes === goesToHttps) return check(sources === "'self'", `form-action names ${sources}`);
  check(sources.split(" ").length === 2 && sources.startsWith("'self' "), `form-action names ${sources}`);
  check(!/(^| )(https?:|((https?:)?\/\/)?\*(:(\*|80|443))?(\/\S*)?)( |$)/.test(sources), `form-action is too wide: ${sources}`);
}

/// Goes to an https application, by the form `last` submits; the browser must have called on it.
async function goesToHttps(page, last) {
  const before = greetings;
  const leaving = page.waitForRequest((request) => request.url().startsWith("https://tides.example/cb?"));
  await last();
  check(answered(new URL((await leaving).url())), "no code");
  // The page in between has gone on, to a browser's page of its own.
  await until(() => page.url().startsWith("chrome-error://"), "a page of the browser's own");
  check(greetings > before, "the browser never called on the https application");
}

async function goesToLoopback(page, last) {
  await last();
  await page.waitForURL((url) => [native, native6].map(String).includes(url.port));
  check(answered(new URL(page.url())) && (await page.content()).includes("Welcome back"), page.url());
}

/// Goes to an application that owns a scheme: the browser asks whether to hand the URL to it and stays where it is.
/// That it was let go is seen from the request; what the policy of the page stops is a complaint of its own (lib.mjs).
async function goesToScheme(page, last) {
  const leaving = page.waitForRequest((request) => request.url().startsWith("com.example.app:/cb?"));
  await last();
  check(answered(new URL((await leaving).url())), "no code");
}

await tell(async (browser) => {
  const loopback = story.native.replace("PORT", native);
  const loopback6 = story.native6.replace("PORT", native6);
  for (const [request, goes] of [[story.tides, goesToHttps], [loopback, goesToLoopback], [loopback6, goesToLoopback], [story.mobile, goesToScheme]]) {
    const page = await visitor(browser);
    await open(page, request);
    await signIn(page, email);
    await heading(page, "Allow access?");
    checkSources((await page.reload()).headers()["content-security-policy"], goes);
    await goes(page, () => press(page, "Allow"));
    // In a tab of its own: over the first one lies the browser's question whether to open the scheme's application.
    const tab = await page.context().newPage();
    await open(tab, again(request));
    await goes(tab, async () => {
      await tab.getByLabel("Password", { exact: true }).fill(story.password);
      await press(tab, "Sign in");
    });
  }
}, `--host-resolver-rules=MAP tides.example:443 127.0.0.1:${https}`);
