// Input by keyboard alone. Before anything is pressed on a page, Tab goes through all of it once: the order must be
// the reading order, and the focus must always be visible.
import { check, unmarked } from "./lib.mjs";

/// Runs inside the page.
const INSIDE = `
  // Everything that can take the focus, in reading order.
  const all = [...document.querySelectorAll("a[href], button, input:not([type=hidden]), summary, [tabindex]")]
    .filter((element) => element.tabIndex >= 0 && !element.disabled && element.checkVisibility());
  const ring = (element) => {
    const { outlineStyle, outlineWidth, outlineColor, boxShadow } = getComputedStyle(element);
    return outlineStyle === "none" ? boxShadow : [outlineStyle, outlineWidth, outlineColor, boxShadow].join(" ");
  };
  const focused = () => {
    const element = document.activeElement;
    const { x, y, width, height } = element.getBoundingClientRect();
    const top = document.elementFromPoint(x + width / 2, y + height / 2);
    return {
      index: all.indexOf(element),
      name: (element.ariaLabel ?? element.labels?.[0]?.innerText ?? element.innerText).trim(),
      role: element.localName,
      box: { left: x, top: y + scrollY, bottom: y + height + scrollY },
      covered: !(element.contains(top) || top?.contains(element)),
      ring: ring(element),
    };
  };`;
const inside = (page, expression) => page.evaluate(`(() => { ${INSIDE} return ${expression}; })()`);

async function next(page) {
  const before = await inside(page, "focused()");
  await page.keyboard.press("Tab");
  const now = await inside(page, "focused()");
  if (before.index >= 0 && before.index !== now.index) {
    const resting = await inside(page, `ring(all[${before.index}])`);
    check(before.ring !== resting, `${page.url()}: nothing shows that "${before.name}" has the focus`);
  }
  return now;
}

/// Goes through the page once with Tab.
async function tabThrough(page) {
  const count = await inside(page, "all.length");
  const seen = [];
  // A page that sets the focus starts in the middle; after the last element the focus leaves the page.
  for (let steps = 0; steps < 2 * count + 4 && seen.length < count; steps++) {
    const now = await next(page);
    if (now.index < 0) continue;
    check(!now.covered, `${page.url()}: "${now.name}" is covered while it has the focus`);
    if (seen.length > 0 || now.index === 0) seen.push(now);
  }
  const order = seen.map((element) => element.index).join();
  check(order === [...Array(count).keys()].join(), `${page.url()}: of ${count} elements, Tab goes to ${order}`);
  seen.slice(1).forEach((after, at) => {
    const before = seen[at];
    const sameRow = after.box.top < before.box.bottom - 1;
    const inOrder = sameRow ? after.box.left >= before.box.left : after.box.top >= before.box.top;
    check(inOrder, `${page.url()}: Tab goes from "${before.name}" back to "${after.name}"`);
  });
}

const tabbed = new WeakMap();

async function reach(page, name, roles) {
  if (tabbed.get(page) !== page.url()) await tabThrough(page);
  tabbed.set(page, page.url());
  for (let steps = 0; steps < 60; steps++) {
    const now = await next(page);
    if (now.index >= 0 && roles.includes(now.role) && unmarked(now.name) === name) return now;
  }
  throw new Error(`${page.url()}: Tab never reaches "${name}"`);
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
