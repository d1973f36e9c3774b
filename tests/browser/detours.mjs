// Off the happy path, in development: the typed code, a wrong password, denied consent, an expired session, and a
// refused request with the command that fixes it.
import { execFileSync } from "node:child_process";
import { check, control, heading, story, tell, until, freshPage } from "./lib.mjs";
import { fill, open, press, register, signIn } from "./people.mjs";

const email = "ada@example.org";
const scripts = story.javascript;

async function typedCode(page) {
  await open(page, story.example);
  await press(page, "Sign in");
  await press(page, "Create an account");
  await register(page, "Ada Lovelace", email);
  const mails = await page.context().newPage();
  const mail = () => control(mails, "Activate your account");
  await until(async () => (await open(mails, "/dev/mail"), mail().isVisible()), "the activation mail");
  await mail().click();
  const [code] = (await mails.locator("#text").innerText()).match(/\b[A-Z0-9]{4}-[A-Z0-9]{4}\b/);
  await mails.close();
  await fill(page, { "Code from the mail": code.toLowerCase().replace("-", " ") });
  await press(page, "Activate with the code");
  await heading(page, "Your account is active");
  await press(page, "Continue to Example application");
}

async function wrongPassword(page) {
  await signIn(page, email, "not the password");
  const summary = page.getByRole("alert");
  check(await summary.evaluate((element) => element === document.activeElement), "the summary does not have the focus");
  check((await page.title()).startsWith("Error: "), await page.title());
  const password = page.getByLabel("Password", { exact: true });
  check((await password.inputValue()) === "", "the password was kept");
  check((await page.getByLabel("E-mail").inputValue()) === email, "the address was not kept");
  await summary.getByRole("link").click();
  check(page.url().endsWith("#password"), `the summary leads to ${page.url()}`);
  await page.keyboard.type("typed where the link led");
  check((await password.inputValue()) === "typed where the link led", "the summary's link does not lead into the field");
}

async function denial(page) {
  await signIn(page, email);
  await heading(page, "Allow access?");
  await press(page, "Deny");
  await heading(page, "You did not sign in");
  await page.getByText("Nothing was shared with us.").waitFor();
  check(new URL(page.url()).origin === story.example, page.url());
}

async function clock(page) {
  await open(page, "/account");
  await heading(page, "Hello, Ada Lovelace");
  await press(page, "Clock");
  await press(page, "1 hour");
  await heading(page, "Clock");
  check((await page.locator("#offset").innerText()).includes("1 h"), "the clock has not moved");
  await open(page, "/account");
  await heading(page, "Sign in");
  await open(page, "/dev/clock");
  await press(page, "Back to real time");
}

/// The page shows what was sent next to what is registered, and below them a command that fixes the request at once.
async function refusal(page, cli) {
  await open(page, story.mismatch);
  await heading(page, "The return address does not match");
  const [sent, registered] = [page.locator("#dev-sent"), page.locator("#dev-registered")];
  check((await sent.innerText()).includes("https://tides.example/callback"), "what was sent is not shown");
  check((await registered.innerText()).includes("https://tides.example/cb"), "what is registered is not shown");
  check((await sent.boundingBox()).y === (await registered.boundingBox()).y, "they are not side by side");
  const command = await page.locator("#dev-fix").innerText();
  check(command.startsWith("idp client add-redirect-uri --dev tides "), command);
  if (!cli) return console.log("skipped the command that fixes it: `idp` is not built");
  const env = { ...process.env, PATH: `${cli.bin}:${process.env.PATH}` };
  execFileSync("sh", ["-c", command], { cwd: cli.folder, env });
  await page.reload();
  await heading(page, "Allow access?");
}

await tell(async (browser) => {
  const page = await freshPage(browser, { javaScriptEnabled: scripts });
  await typedCode(page);
  await wrongPassword(page);
  await denial(page);
  await clock(page);
  await refusal(page, story.cli);
});
