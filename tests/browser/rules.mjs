// Rules that are checked inside the page. Each function is sent there as text, so it sees only its arguments.

/// How much the page moved while it loaded.
export const layoutShift = () => new Promise((done) => {
  const shifts = new PerformanceObserver(() => {});
  shifts.observe({ type: "layout-shift", buffered: true });
  requestAnimationFrame(() => done(shifts.takeRecords().reduce((sum, shift) => sum + shift.value, 0)));
});

/// Structure, titles, labels, autofill: what must hold at every width.
export function brokenRules() {
  const found = [];
  const rule = (holds, what) => { if (!holds) found.push(what); };
  const all = (selector) => [...document.querySelectorAll(selector)];
  const { lang, dir } = document.documentElement;
  rule(lang === "en" && dir === "ltr", `lang ${lang}, dir ${dir}`);
  rule(/^(Error: )?\S.* – Lighthouse$/.test(document.title), `title "${document.title}"`);
  rule(document.title.startsWith("Error: ") === Boolean(document.querySelector("#errors")), `title "${document.title}" and the summary differ`);
  for (const one of ["h1", "main", "header"]) rule(all(one).length === 1, `${all(one).length} ${one}`);
  const ids = all("[id]").map((element) => element.id);
  rule(new Set(ids).size === ids.length, `an id is repeated: ${ids}`);
  for (const element of all("[style], style, script:not([src])")) found.push(`inline: ${element.outerHTML.slice(0, 80)}`);
  for (const element of all("*")) for (const { name } of element.attributes) rule(!name.startsWith("on"), `inline handler ${name}`);
  rule(all("[tabindex]").every((element) => element.tabIndex <= 0), "a positive tabindex");

  const tokens = /^(name|email|username webauthn|username|new-password|current-password|one-time-code)$/;
  for (const input of all("input:not([type=hidden], [aria-hidden=true])")) {
    const { id, type, autocomplete } = input;
    const label = input.labels[0];
    rule(label?.checkVisibility() && label.getBoundingClientRect().bottom <= input.getBoundingClientRect().top, `no label above ${id}`);
    rule(tokens.test(input.getAttribute("autocomplete")), `${id}: autocomplete ${autocomplete}`);
    rule(!input.placeholder, `${id} has a placeholder`);
    rule([null, "true"].includes(input.getAttribute("aria-invalid")), `${id}: aria-invalid is not "true"`);
    rule(type !== "password" || input.value === "", `${id} keeps a password`);
    const described = (input.getAttribute("aria-describedby") ?? "").split(" ").filter(Boolean);
    rule(described.every((other) => document.getElementById(other)), `${id} is described by a missing element`);
    const wrong = [...input.closest(".field").querySelectorAll(".wrong")];
    rule(wrong.length > 0 === (input.getAttribute("aria-invalid") === "true"), `${id}: aria-invalid and its errors differ`);
    rule(wrong.every((error) => described.includes(error.id)), `an error of ${id} is not linked to it`);
  }
  const summary = document.querySelector("#errors");
  if (summary) {
    rule(document.activeElement === summary, "the error summary does not have the focus");
    rule(summary.closest("main") && summary.role === "alert", "the summary is not an alert in main");
    for (const link of summary.querySelectorAll("a")) {
      const field = document.querySelector(link.hash);
      const errors = [...field.closest(".field").querySelectorAll(".wrong")].map((error) => error.innerText.trim());
      rule(errors.includes(link.innerText.trim()), `the field does not say "${link.innerText}"`);
    }
  }

  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    const size = parseFloat(getComputedStyle(element).fontSize);
    rule(size >= 16 || !texts.currentNode.data.trim(), `${size} px: ${texts.currentNode.data.trim()}`);
  }
  return found;
}

/// Everything that overflows or is cut off.
export function overflow() {
  const found = [];
  const page = document.scrollingElement;
  if (page.scrollWidth > innerWidth) found.push(`the page is ${page.scrollWidth} px wide`);
  for (const element of document.body.querySelectorAll(":not(.visually-hidden, input)")) {
    const { overflowX, overflowY } = getComputedStyle(element);
    const cut = (overflowX !== "visible" && element.scrollWidth > element.clientWidth + 1)
      || (overflowY !== "visible" && element.scrollHeight > element.clientHeight + 1);
    if (cut) found.push(`cut off: ${element.outerHTML.slice(0, 80)}`);
  }
  return found;
}

/// Targets that are too small: 44 px for buttons and fields, 24 px for the rest. Links within a sentence are exempt.
export function smallTargets() {
  const targets = document.querySelectorAll("a, button, input:not([type=hidden], [aria-hidden=true]), summary");
  return [...targets].filter((element) => element.checkVisibility()).flatMap((element) => {
    const { width, height } = element.getBoundingClientRect();
    const inSentence = getComputedStyle(element).display === "inline" && element.parentElement.innerText !== element.innerText;
    const least = element.matches(".button, input") ? 44 : 24;
    return inSentence || Math.min(width, height) >= least - 0.01 ? [] : [`${width} × ${height} px: ${element.outerHTML.slice(0, 80)}`];
  });
}

/// Buttons and fields that do not stand out from the page once the reader's own colours replace ours.
export function edgeless() {
  const page = getComputedStyle(document.body).backgroundColor;
  const shows = (colour) => colour !== page && !/^rgba\(.*, 0\)$/.test(colour);
  const controls = [...document.querySelectorAll(".button, input:not([type=hidden], [aria-hidden=true])")];
  return controls.filter((element) => element.checkVisibility()).flatMap((element) => {
    const { borderTopWidth, borderTopColor, backgroundColor } = getComputedStyle(element);
    const edge = parseFloat(borderTopWidth) > 0 && shows(borderTopColor);
    return edge || shows(backgroundColor) ? [] : [`no edge: ${element.outerHTML.slice(0, 80)}`];
  });
}

/// Applies the text spacing of WCAG 1.4.12, or removes it.
export function spaceText(on) {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync("* { line-height: 1.5 !important; letter-spacing: .12em !important; word-spacing: .16em !important } p { margin-bottom: 2em !important }");
  document.adoptedStyleSheets = on ? [sheet] : [];
}
