// Hands that have only a keyboard. Every page is walked with Tab before anything is pressed on it: the order
// must be the reading order, and the focus must always be seen.
import { check, unmarked } from "./lib.mjs";

/// What can take the focus, in the order in which it is read.
const READ = `(() => [...document.querySelectorAll("a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex]")]
  .filter((element) => element.tabIndex >= 0 && !element.disabled && element.checkVisibility()))()`;

/// The focused element: where it stands among those, whether it is seen, and how it looks.
const FOCUSED = `((all) => {
  const element = document.activeElement;
  const box = element.getBoundingClientRect();
  const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
  const style = getComputedStyle(element);
  return {
    index: all.indexOf(element),
    name: element.ariaLabel ?? element.labels?.[0]?.innerText ?? element.innerText,
    role: element.localName,
    box: { top: box.top + scrollY, bottom: box.bottom + scrollY, left: box.left },
    covered: !(element.contains(top) || top?.contains(element)),
    ring: style.outlineStyle === "none" ? "" : [style.outlineStyle, style.outlineWidth, style.outlineColor].join(" ") + style.boxShadow,
  };
})(${READ})`;
const looks = (index) => `((element) => {
  const style = getComputedStyle(element);
  return style.outlineStyle === "none" ? "" : [style.outlineStyle, style.outlineWidth, style.outlineColor].join(" ") + style.boxShadow;
})(${READ}[${index}])`;

async function next(page) {
  const before = await page.evaluate(FOCUSED);
  await page.keyboard.press("Tab");
  const now = await page.evaluate(FOCUSED);
  if (before.index >= 0 && before.index !== now.index) {
    const resting = await page.evaluate(looks(before.index));
    check(before.ring !== "" && before.ring !== resting, `${page.url()}: nothing shows that "${before.name}" has the focus`);
  }
  return now;
}

/// Goes round the page once, with Tab alone.
async function walk(page) {
  const count = (await page.evaluate(`${READ}.length`));
  const seen = [];
  // A page that sets the focus starts in the middle; beyond the last element comes the browser itself.
  for (let steps = 0; steps < 2 * count + 4 && seen.length < count; steps++) {
    const now = await next(page);
    if (now.index < 0) continue;
    check(!now.covered, `${page.url()}: "${now.name}" is covered while it has the focus`);
    if (seen.length > 0 || now.index === 0) seen.push(now);
  }
  const order = seen.map((element) => element.index).join();
  const expected = [...Array(count).keys()].join();
  check(order === expected, `${page.url()}: Tab goes ${order} instead of ${expected}`);
  for (const [before, after] of seen.slice(1).map((element, at) => [seen[at], element])) {
    const sameRow = after.box.top < before.box.bottom - 1;
    const inOrder = sameRow ? after.box.left >= before.box.left : after.box.top >= before.box.top;
    check(inOrder, `${page.url()}: Tab goes from "${before.name}" back to "${after.name}"`);
  }
}

const walked = new WeakMap();
async function walkOnce(page) {
  if (walked.get(page) === page.url()) return;
  walked.set(page, page.url());
  await walk(page);
}

async function reach(page, name, roles) {
  await walkOnce(page);
  const wanted = (element) => element.index >= 0 && roles.includes(element.role) && unmarked(element.name.trim()) === name;
  for (let steps = 0; steps < 60; steps++) {
    const now = await next(page);
    if (wanted(now)) return now;
  }
  throw new Error(`${page.url()}: Tab never comes to "${name}"`);
}

export const keyboard = {
  async fill(page, label, text) {
    await reach(page, label, ["input"]);
    await page.keyboard.press("Control+A");
    await page.keyboard.type(text);
  },
  async press(page, name) {
    const { role } = await reach(page, name, ["a", "button"]);
    const before = await page.evaluate("performance.timeOrigin");
    await page.keyboard.press(role === "a" ? "Enter" : "Space");
    await page.waitForFunction((origin) => performance.timeOrigin !== origin, before);
    await page.waitForLoadState();
  },
};
