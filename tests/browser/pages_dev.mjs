// The pages that only `idp dev` has, judged and photographed.
import { control, story, tell, until, visitor } from "./lib.mjs";
import { countCosts, dearest, judge } from "./judge.mjs";
import { open, press, register } from "./people.mjs";

await tell(async (browser) => {
  const page = await visitor(browser);
  await countCosts(page);
  await open(page, "/dev/mail");
  await judge(page, "dev-mailbox-empty");
  await open(page, "/register");
  await register(page, "Ada Lovelace", "ada@example.org");
  await judge(page, "dev-check-mail-sent");
  const arrived = () => control(page, "Open the link").isVisible();
  await until(async () => (await open(page, "/dev/mail"), arrived()), "the activation mail");
  await judge(page, "dev-mailbox-filled");
  await press(page, "Activate your account");
  await judge(page, "dev-mail-activation");
  await open(page, "/dev/clock");
  await judge(page, "dev-clock-real");
  await press(page, "1 hour");
  await judge(page, "dev-clock-moved");
  for (const [name, target] of Object.entries(story.refused)) {
    await open(page, target);
    await judge(page, `dev-error-${name}`);
  }
});
console.log(dearest());
