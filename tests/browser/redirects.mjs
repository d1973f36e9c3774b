// A form that leads to a client: the page's CSP must let the browser go there, and only there.
import { createServer as serveHttp } from "node:http";
import { createServer as listenTcp } from "node:net";
import { once } from "node:events";
import { check, testControl, heading, story, tell, until, freshPage } from "./lib.mjs";
import { open, press, signIn } from "./people.mjs";

const email = "ada@example.org";
await testControl(`/user/${email}`);

/// Starts a server on a free port; returns the port.
async function listen(server, address = "127.0.0.1") {
  server.listen(0, address).unref();
  await once(server, "listening");
  return server.address().port;
}

/// Stands in for every https host: counts TLS handshakes, and hangs up.
let handshakes = 0;
const https = await listen(listenTcp((socket) => socket.on("error", () => {}).once("data", (data) => {
  if (data[0] === 0x16) handshakes++;
  socket.destroy();
})));
const welcome = () => serveHttp((_, answer) => answer.end("Welcome back"));
const native = await listen(welcome());
const native6 = await listen(welcome(), "::1");

const answered = (url) => url.searchParams.has("code") && url.searchParams.get("iss") === story.issuer;
const again = (request) => `${request}&prompt=login`;

/// Only our own pages for an https client; otherwise one more target, and never all of http or https, however that is
/// written.
function checkSources(csp, goes) {
  const [, sources] = csp.match(/form-action ([^;]*)/);
  if (goes === goesToHttps) return check(sources === "'self'", `form-action names ${sources}`);
  check(sources.split(" ").length === 2 && sources.startsWith("'self' "), `form-action names ${sources}`);
  check(!/(^| )(https?:|((https?:)?\/\/)?\*(:(\*|80|443))?(\/\S*)?)( |$)/.test(sources), `form-action is too wide: ${sources}`);
}

/// Goes to an https client by the form that `last` submits; the browser must have connected to it.
async function goesToHttps(page, last) {
  const before = handshakes;
  const leaving = page.waitForRequest((request) => request.url().startsWith("https://tides.example/cb?"));
  await last();
  check(answered(new URL((await leaving).url())), "no code");
  // The page in between has gone on; the browser shows its own error page.
  await until(() => page.url().startsWith("chrome-error://"), "the browser's error page");
  check(handshakes > before, "the browser never connected to the https client");
}

async function goesToLoopback(page, last) {
  await last();
  await page.waitForURL((url) => [native, native6].map(String).includes(url.port));
  check(answered(new URL(page.url())) && (await page.content()).includes("Welcome back"), page.url());
}

/// Goes to a client that owns a scheme: the browser asks whether to hand the URL over, and stays on the page. The
/// request shows that the page's policy let it go; whatever the policy stops is a complaint (lib.mjs).
async function goesToScheme(page, last) {
  const leaving = page.waitForRequest((request) => request.url().startsWith("com.example.app:/cb?"));
  await last();
  check(answered(new URL((await leaving).url())), "no code");
}

await tell(async (browser) => {
  const loopback = story.native.replace("PORT", native);
  const loopback6 = story.native6.replace("PORT", native6);
  for (const [request, goes] of [[story.tides, goesToHttps], [loopback, goesToLoopback], [loopback6, goesToLoopback], [story.mobile, goesToScheme]]) {
    const page = await freshPage(browser);
    await open(page, request);
    await signIn(page, email);
    await heading(page, "Allow access?");
    checkSources((await page.reload()).headers()["content-security-policy"], goes);
    await goes(page, () => press(page, "Allow"));
    // In a new tab: the browser's question whether to open the scheme's application covers the first.
    const tab = await page.context().newPage();
    await open(tab, again(request));
    await goes(tab, async () => {
      await tab.getByLabel("Password", { exact: true }).fill(story.password);
      await press(tab, "Sign in");
    });
  }
}, `--host-resolver-rules=MAP tides.example:443 127.0.0.1:${https}`);
