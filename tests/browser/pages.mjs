// Every page of the product in every reachable state, judged and photographed.
import { testControl, check, heading, shot, story, tell, freshPage } from "./lib.mjs";
import { countCosts, costSummary, judge } from "./judge.mjs";
import { fill, mailTo, open, press, register, signIn } from "./people.mjs";

const ada = "ada@example.org";
const long = `${"wolfeschlegelsteinhausen".repeat(2)}@${"bergerdorff.".repeat(4)}example.org`;

async function signingIn(page) {
  await open(page, story.tides);
  await judge(page, "sign-in-app");
  await page.screenshot({ path: shot("../sign-in"), clip: { x: 370, y: 56, width: 540, height: 600 } });
  await open(page, "/signin");
  await judge(page, "sign-in-plain");
  await press(page, "Sign in");
  await judge(page, "sign-in-missing");
  await testControl("/user/grace@example.org");
  await signIn(page, "grace@example.org", "not the password");
  await judge(page, "sign-in-wrong");
  for (let tries = 0; tries < 10; tries++) await signIn(page, "grace@example.org", "not the password");
  await judge(page, "sign-in-locked");
  await testControl("/deactivated/mary@example.org");
  await signIn(page, "mary@example.org");
  await judge(page, "sign-in-deactivated");
}

async function registering(page) {
  await open(page, "/register");
  await judge(page, "register-plain");
  await press(page, "Create account");
  await judge(page, "register-missing");
  await fill(page, { "Full name": "Ada", "E-mail": "ada@", Password: "short", "Confirm password": "other" });
  await press(page, "Create account");
  await judge(page, "register-invalid");
  const weak = "aaaaaaaaaaaaaaaaaaaa";
  await fill(page, { "E-mail": ada, Password: weak, "Confirm password": weak });
  await press(page, "Create account");
  await judge(page, "register-weak");
  await open(page, story.tides);
  await press(page, "Create an account");
  await judge(page, "register-app");
  await register(page, "Ada Lovelace", ada);
  await judge(page, "check-mail-sent");
  await fill(page, { "Code from the mail": "ABCD-EFGH" });
  await press(page, "Activate with the code");
  await judge(page, "check-mail-wrong-code");
  await press(page, "Send the mail again");
  await judge(page, "check-mail-too-soon");
  for (let tries = 0; tries < 5; tries++) {
    await fill(page, { "Code from the mail": "ABCD-EFGH" });
    await press(page, "Activate with the code");
  }
  await judge(page, "check-mail-no-tries-left");
  await testControl("/wait/120");
  await press(page, "Send the mail again");
  await judge(page, "check-mail-sent-again");
  await open(page, "/signin");
  await signIn(page, ada);
  await judge(page, "sign-in-unactivated");
}

async function activating(page, browser) {
  const phone = await freshPage(browser);
  await countCosts(phone);
  await open(phone, (await mailTo(ada, 2)).link);
  await judge(phone, "activate-elsewhere");
  await fill(phone, { Password: "not the one that was chosen" });
  await press(phone, "Activate account");
  await judge(phone, "activate-elsewhere-wrong");
  await open(phone, "/signin");
  await signIn(phone, ada);
  await open(phone, (await mailTo(ada, 2)).link);
  await judge(phone, "activate-elsewhere-proved");
  check((await phone.locator("#password").count()) === 0, "a proven password is asked for again");
  await phone.close();
  await open(page, (await mailTo(ada, 2)).link);
  await judge(page, "activate-question");
  await press(page, "Activate account");
  await judge(page, "activate-done-app");
  await page.reload();
  await heading(page, "Your account is active");
  const elsewhere = await freshPage(browser);
  await countCosts(elsewhere);
  await open(elsewhere, (await mailTo(ada, 2)).link);
  await judge(elsewhere, "activate-used");
  await elsewhere.close();
  await open(page, "/activate?token=nonsense");
  await judge(page, "activate-unknown");
}

async function allowing(page) {
  await open(page, story.tides);
  await signIn(page, ada);
  await judge(page, "consent-question");
  await page.reload();
  await page.locator("summary").click();
  await judge(page, "consent-values");
  await open(page, story.confirm);
  await judge(page, "sign-in-confirm");
}

async function signingOutAndIn(page) {
  await open(page, "/logout");
  await judge(page, "sign-out-question");
  await press(page, "Sign out");
  await judge(page, "sign-out-done");
  await open(page, "/signin");
  await signIn(page, ada);
  await judge(page, "account-signed-in");
  await open(page, "/logout");
  await press(page, "Sign out");
  await open(page, "/register");
  await register(page, "Hubert Blaine Wolfeschlegelsteinhausenbergerdorff Senior", long);
  await judge(page, "check-mail-long");
  await fill(page, { "Code from the mail": (await mailTo(long)).code.toLowerCase().replace("-", " ") });
  await press(page, "Activate with the code");
  await judge(page, "activate-done-plain");
  await press(page, "Sign in");
  await signIn(page, long);
  await judge(page, "account-long");
  await open(page, story.tides);
  await judge(page, "consent-long");
  const question = page.url();
  // When the client answers 204, the browser stays on the page that goes on to it.
  await page.route("https://tides.example/**", (route) => route.fulfill({ status: 204 }));
  await press(page, "Deny");
  await page.locator("#onward").waitFor();
  await judge(page, "onward");
  // A code, unlike a denial, signs the person in.
  await open(page, story.tides);
  const allowed = page.url();
  await press(page, "Allow");
  await page.locator("#onward").waitFor();
  await testControl("/wait/60");
  await open(page, allowed);
  await judge(page, "signed-in-at");
  await open(page, "/logout?client_id=tides&post_logout_redirect_uri=https://tides.example/bye");
  await press(page, "Sign out");
  await page.locator("#onward").waitFor();
  await judge(page, "onward-signed-out");
  await page.unroute("https://tides.example/**");
  await testControl("/wait/60");
  await open(page, question);
  await judge(page, "error-answered");
}

/// The account that the failures need; the other group judges the pages that lead to it.
async function activated(page) {
  await testControl(`/user/${ada}`);
}

async function failing(page, browser) {
  for (const [name, target] of Object.entries(story.refused)) {
    await open(page, target);
    await judge(page, `error-${name}`);
  }
  await open(page, "/register");
  await page.locator("form").first().evaluate((form) => {
    form.action = "/signed-out";
    // A field of the form is called "submit".
    HTMLFormElement.prototype.submit.call(form);
  });
  await heading(page, "This page cannot be used that way");
  await judge(page, "error-method");
  await page.context().clearCookies();
  await open(page, "/signin");
  const stranger = await freshPage(browser);
  await countCosts(stranger);
  await open(stranger, page.url());
  await judge(stranger, "error-foreign");
  await stranger.close();
  await page.context().clearCookies();
  await signIn(page, ada);
  await judge(page, "error-cookies");
  const tabs = [await page.context().newPage(), page];
  for (const tab of tabs) await open(tab, "/signin");
  for (const tab of tabs) await signIn(tab, ada);
  await tabs[0].close();
  // The form from before the other tab's sign-in leads on without a word.
  await page.waitForURL("**/account");
  await page.context().clearCookies();
  await open(page, "/signin");
  await page.locator("input[name=csrf]").first().evaluate((field) => (field.value = "not ours"));
  await signIn(page, ada);
  await page.getByText("Please try that again").first().waitFor();
  await judge(page, "error-csrf");
  while (!(await page.getByText("Too many requests").first().isVisible())) await open(page, `${story.limited}/`);
  await judge(page, "error-too-many");
  await open(page, `${story.closed}/register`);
  await judge(page, "register-closed");
}

/// Of two registrations in one browser the second becomes the account.
async function registeringTwice(page) {
  const twice = "twice@example.org";
  await page.context().clearCookies();
  await open(page, "/register");
  await register(page, "Two Minds", twice);
  const first = page.url();
  await open(page, "/register");
  await register(page, "Two Minds", twice);
  await open(page, (await mailTo(twice, 2)).link);
  await press(page, "Activate account");
  await open(page, first);
  await judge(page, "error-registration-used");
}

/// Last, because it moves the clock by a day.
async function expiring(page) {
  const late = "late@example.org";
  await page.context().clearCookies();
  await open(page, "/register");
  await register(page, "Late Riser", late);
  const waiting = page.url();
  await open(page, "/signin");
  const flow = page.url();
  await testControl(`/wait/${25 * 60 * 60}`);
  await open(page, (await mailTo(late)).link);
  await judge(page, "activate-expired");
  await open(page, flow);
  await judge(page, "error-expired");
  await open(page, waiting);
  await judge(page, "error-registration-expired");
  await open(page, "/signin");
  await signIn(page, ada);
  await testControl(`/wait/${31 * 60}`);
  await open(page, "/account");
  await heading(page, "Sign in");
  await judge(page, "sign-in-session-ended");
}

const groups = {
  accounts: [signingIn, registering, activating, allowing, signingOutAndIn],
  failures: [activated, failing, registeringTwice, expiring],
};

await tell(async (browser) => {
  const page = await freshPage(browser);
  await countCosts(page);
  for (const part of groups[story.group]) await part(page, browser);
});
console.log(costSummary());
