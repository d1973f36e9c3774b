// What people do on the pages, for the longer stories.
import { control, testControl, heading, story } from "./lib.mjs";

export const open = (page, path) => page.goto(path.startsWith("/") ? story.issuer + path : path);

export const press = async (page, name) => {
  await control(page, name).click();
  await page.waitForLoadState();
};

/// Fills in the fields by their labels.
export async function fill(page, fields) {
  for (const [label, text] of Object.entries(fields)) await page.getByLabel(label, { exact: true }).fill(text);
}

export async function signIn(page, email, password = story.password) {
  await fill(page, { "E-mail": email, Password: password });
  await press(page, "Sign in");
}

/// From the registration form to "Check your mail".
export async function register(page, name, email) {
  await fill(page, { "Full name": name, "E-mail": email, Password: story.password, "Confirm password": story.password });
  await press(page, "Create account");
  await heading(page, "Check your mail");
}

export const mailTo = (email, number = 1) => testControl(`/mail/${email}/${number}`, "GET");
