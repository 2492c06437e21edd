// Logging in: the token is sent once, and a cookie that scripts cannot read stands for it.

import { byId, setText } from "./elements.js";

/** Calls `loggedIn` once the service has taken a token. */
export function setUpLogin(loggedIn) {
  const token = byId("token");
  byId("login-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    setText(byId("login-error"), "");
    const error = await logIn(token.value.trim());
    if (error === null) {
      token.value = "";
      return loggedIn();
    }
    setText(byId("login-error"), error);
    token.focus();
    token.select();
  });
}

async function logIn(token) {
  try {
    const headers = { "content-type": "application/json" };
    const response = await fetch("/login", { method: "POST", headers, body: JSON.stringify({ token }) });
    if (response.ok) return null;
    const { message } = await response.json().catch(() => ({}));
    return message ?? `The service answers with status ${response.status}. Try again.`;
  } catch {
    return "The service does not answer. Try again.";
  }
}

export async function logOut() {
  await fetch("/logout", { method: "POST" }).catch(() => null);
}
