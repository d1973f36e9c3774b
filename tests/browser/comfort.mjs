// What the script adds to pages that work without it: a password can be shown, a sent
// form says so, the time until the next mail is counted down, and texts can be copied.
import { check, heading, story, tell, freshPage } from "./lib.mjs";
import { fill, open, press } from "./people.mjs";

const fields = { "Full name": "Ada Lovelace", "E-mail": "ada@example.org", Password: story.password, "Confirm password": story.password };

/// The state of the registration form: the types of its password fields, the attributes of its two buttons.
const formState = (page) => page.evaluate(() => {
  const [reveal, submit] = [".reveal", "#submit"].map((one) => document.querySelector(one));
  const types = [...document.querySelectorAll("#password, #password_confirm")].map(({ type }) => type);
  return [...types, reveal.getAttribute("aria-pressed"), submit.getAttribute("aria-busy"), submit.disabled].join(" ");
});

async function checkState(page, wanted, when) {
  const found = await formState(page);
  check(found === wanted, `${when}: ${found}`);
}

async function showAndSend(page) {
  await open(page, "/register");
  await fill(page, fields);
  await checkState(page, "password password false  false", "at first");
  const show = page.getByRole("button", { name: "Show password" });
  await show.click();
  await checkState(page, "text text true  false", "shown");
  await show.click();
  await checkState(page, "password password false  false", "hidden again");
  await show.click();

  // A 204 leaves the browser on the page, as it was when the form was sent.
  let form;
  await page.route("**/register", (route) => {
    form = new URLSearchParams(route.request().postData());
    return route.fulfill({ status: 204 });
  });
  await press(page, "Create account");
  await checkState(page, "password password false true false", "sent");
  check(form.get("password") === story.password && form.get("password_confirm") === story.password, "the wrong password was sent");
  await page.evaluate(() => dispatchEvent(new PageTransitionEvent("pageshow", { persisted: true })));
  await checkState(page, "password password false  false", "restored by Back");
  await page.unroute("**/register");
  await press(page, "Create account");
  await heading(page, "Check your mail");
}

/// Uses a fake clock.
async function countDown(page) {
  await page.clock.install();
  await page.reload();
  const timer = page.locator("[data-countdown]");
  const begins = Number(await timer.getAttribute("data-countdown"));
  check(begins > 30 && begins <= 60, `${begins} seconds`);
  await page.clock.runFor(10_000);
  const text = await timer.innerText();
  const [, minutes, seconds] = text.match(/(\d+):(\d\d)/);
  const left = Number(minutes) * 60 + Number(seconds);
  check(left >= begins - 11 && left <= begins - 9, `of ${begins} seconds, after 10: ${text}`);
  check((await timer.getAttribute("role")) === null, "a screen reader announces each second");
  await page.clock.runFor(60_000);
  const ready = await timer.getAttribute("data-ready");
  check((await timer.innerText()) === ready && !/\d/.test(ready), `in the end: ${await timer.innerText()}`);
  check((await timer.getAttribute("role")) === "status", "a screen reader does not announce the end");
}

/// Every copy button on a refusal page in development.
async function copy(page) {
  await open(page, story.mismatch);
  await page.locator("summary").click();
  const buttons = page.locator("[data-copy]");
  check((await buttons.count()) === 2, `${await buttons.count()} copy buttons`);
  for (const button of await buttons.all()) {
    const wanted = await page.locator(`#${await button.getAttribute("data-copy")}`).innerText();
    const [label, status] = [await button.innerText(), button.locator("+ [role=status]")];
    await button.click();
    await page.waitForFunction((element) => element.textContent !== "", await status.elementHandle());
    check((await page.evaluate(() => navigator.clipboard.readText())) === wanted && wanted !== "", "the wrong text was copied");
    check((await button.innerText()) === "Copied" && (await status.innerText()) === "Copied", "nothing says that it was copied");
    await page.clock.runFor(2_000);
    check((await button.innerText()) === label && (await status.textContent()) === "", "the button does not go back to its label");
  }
}

/// Controls that need the script are hidden without it.
async function withoutScript(browser) {
  const page = await freshPage(browser, { javaScriptEnabled: false });
  for (const [target, hidden] of [["/register", ".reveal"], [story.mismatch, "[data-copy]"]]) {
    await open(page, target);
    const details = page.locator("summary");
    if (await details.isVisible()) await details.click();
    for (const button of await page.locator(hidden).all()) check(!(await button.isVisible()), `${hidden} is shown without a script`);
    check((await page.locator(hidden).count()) > 0, `no ${hidden} at ${target}`);
  }
  await page.close();
}

await tell(async (browser) => {
  const page = await freshPage(browser, { permissions: ["clipboard-read", "clipboard-write"] });
  await showAndSend(page);
  await countDown(page);
  await copy(page);
  await withoutScript(browser);
});
