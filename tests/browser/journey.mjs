// The whole journey: from the example client through registration and back, then sign-out.
import { check, control, heading, mouse, shot, story, tell, until, freshPage } from "./lib.mjs";
import { keyboard } from "./keyboard.mjs";
import { complaintsOfAxe } from "./judge.mjs";

const hands = story.hands === "keyboard" ? keyboard : mouse;
const scripts = story.javascript ?? true;
const email = "ada@example.org";

await tell(async (browser) => {
  const page = await freshPage(browser, { javaScriptEnabled: scripts });

  await page.goto(story.example);
  await hands.press(page, "Sign in");
  await heading(page, "Sign in");
  check((await page.locator("main").innerText()).includes("Example application"), "sign-in does not name the client");
  await hands.press(page, "Create an account");
  await heading(page, "Create an account");
  await hands.fill(page, "Full name", "Ada Lovelace");
  await hands.fill(page, "E-mail", email);
  await hands.fill(page, "Password", story.password);
  await hands.fill(page, "Confirm password", story.password);
  await hands.press(page, "Create account");
  await heading(page, "Check your mail");

  await hands.press(page, "Open the mailbox");
  const arrived = () => control(page, "Open the link").isVisible();
  await until(async () => (await arrived()) || (await page.reload(), false), "the activation mail");
  await hands.press(page, "Open the link");
  await heading(page, "Activate your account");
  await hands.press(page, "Activate account");
  await heading(page, "Your account is active");
  await hands.press(page, "Continue to Example application");

  await heading(page, "Sign in");
  await hands.fill(page, "E-mail", email);
  await hands.fill(page, "Password", story.password);
  await hands.press(page, "Sign in");
  await heading(page, "Allow access?");
  await hands.press(page, "Allow");

  await heading(page, "You are signed in");
  const status = page.getByRole("status");
  check((await status.innerText()) === "The ID token is verified.", "the ID token is not verified");
  const who = await page.locator("#who").innerText();
  check(who.includes("Ada Lovelace") && who.includes(email), `the wrong person is signed in: ${who}`);
  await page.setViewportSize({ width: 360, height: 740 });
  const table = await page.getByRole("region", { name: "Verified claims" }).evaluate((region) => region.scrollWidth - region.clientWidth);
  check(table <= 1, `the claims overflow by ${table} px`);
  await page.screenshot({ path: shot("example-signed-in-360"), fullPage: true });
  await page.setViewportSize({ width: 1280, height: 800 });
  const claims = await page.getByRole("table").innerText();
  for (const claim of [story.issuer, "nonce", "at_hash", `${new Date().getUTCFullYear()}, `]) check(claims.includes(claim), `no ${claim} in ${claims}`);
  if (scripts) check((await complaintsOfAxe(page)).join("\n") === "", "axe complains about the example client");
  await hands.press(page, "Refresh tokens");
  await page.getByText("The tokens are refreshed.").waitFor();
  await hands.press(page, "Call userinfo");
  await page.getByText("Userinfo has answered.").waitFor();
  const userinfo = JSON.parse(await page.getByRole("region", { name: "Userinfo", exact: true }).innerText());
  check(userinfo.name === "Ada Lovelace" && userinfo.email === email && userinfo.email_verified, JSON.stringify(userinfo));

  await hands.press(page, "Sign out");
  await heading(page, "You are signed out");
  check(page.url().startsWith(`${story.example}/signed-out`), page.url());
  await page.goto(`${story.example}/signed-out`);
  await heading(page, "You are signed out");
  await hands.press(page, "Sign in again");
  await heading(page, "Sign in");
});
