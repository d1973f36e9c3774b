// The pages that only `idp dev` has, judged and photographed.
import { check, control, shot, story, tell, until, freshPage } from "./lib.mjs";
import { countCosts, costSummary, judge } from "./judge.mjs";
import { open, press, register } from "./people.mjs";

/// How far the text of a button is from its middle, in pixels.
function offCentre(button) {
  const text = document.createRange();
  text.selectNodeContents(button);
  const [inner, outer] = [text, button].map((it) => it.getBoundingClientRect());
  return Math.max(Math.abs(inner.x + inner.width / 2 - outer.x - outer.width / 2), Math.abs(inner.y + inner.height / 2 - outer.y - outer.height / 2));
}

await tell(async (browser) => {
  const page = await freshPage(browser);
  await countCosts(page);
  await open(page, "/dev/mail");
  await judge(page, "dev-mailbox-empty");
  await open(page, "/register");
  await register(page, "Ada Lovelace", "ada@example.org");
  await judge(page, "dev-check-mail-sent");
  check((await page.locator("#mailbox").evaluate(offCentre)) < 2, "the text of a button is not in its middle");
  const arrived = () => control(page, "Open the link").isVisible();
  await until(async () => (await open(page, "/dev/mail"), arrived()), "the activation mail");
  await judge(page, "dev-mailbox-filled");
  await press(page, "Activate your account");
  await judge(page, "dev-mail-activation");
  await press(page, "Open the HTML version");
  await page.getByRole("heading", { level: 1 }).waitFor();
  await page.screenshot({ path: shot("dev-mail-html"), fullPage: true });
  await open(page, "/dev/clock");
  await judge(page, "dev-clock-real");
  await press(page, "1 hour");
  await judge(page, "dev-clock-moved");
  for (const [name, target] of Object.entries(story.refused)) {
    await open(page, target);
    await judge(page, `dev-error-${name}`);
  }
});
console.log(costSummary());
