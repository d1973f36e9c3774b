// Convenience only: every page works without this file. Elements that need it are hidden in the HTML and shown here.
(() => {
  "use strict";
  const all = (selector) => document.querySelectorAll(selector);

  // Shows a password. It is hidden again when the form is sent, so that the browser stores it as a password.
  for (const button of all(".reveal")) {
    const fields = button.getAttribute("aria-controls").split(" ").map((id) => document.getElementById(id));
    const show = (on) => {
      button.setAttribute("aria-pressed", String(on));
      for (const field of fields) field.type = on ? "text" : "password";
    };
    button.addEventListener("click", () => show(button.getAttribute("aria-pressed") !== "true"));
    button.form.addEventListener("submit", () => show(false));
    button.hidden = false;
  }

  // Marks a form as sent. The button stays usable: the server copes with a second post.
  for (const form of all("form")) {
    form.addEventListener("submit", (event) => event.submitter?.setAttribute("aria-busy", "true"));
  }
  addEventListener("pageshow", () => {
    for (const button of all("[aria-busy]")) button.removeAttribute("aria-busy");
  });

  // Countdown until another mail can be requested. The server decides; the button works at any time.
  for (const timer of all("[data-countdown]")) {
    const end = performance.now() + Number(timer.dataset.countdown) * 1000;
    const tick = () => {
      const left = Math.max(0, Math.ceil((end - performance.now()) / 1000));
      if (left === 0) {
        clearInterval(clock);
        timer.setAttribute("role", "status");
        timer.textContent = timer.dataset.ready;
        return;
      }
      const time = Math.floor(left / 60) + ":" + String(left % 60).padStart(2, "0");
      timer.textContent = timer.textContent.replace(/\d+:\d\d/, time);
    };
    const clock = setInterval(tick, 1000);
  }

  // Copies a text of this page.
  for (const button of navigator.clipboard ? all("[data-copy]") : []) {
    const text = button.textContent;
    const status = button.nextElementSibling;
    const say = (label, news) => { button.textContent = label; status.textContent = news; };
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(document.getElementById(button.dataset.copy).innerText);
      say(button.dataset.done, button.dataset.done);
      setTimeout(say, 2000, text, "");
    });
    button.hidden = false;
  }
})();
