/**
 * Who uses the page: the token that it shows to the other end.
 *
 * It comes in the fragment of the address, which no server sees, and is taken out of it at once: `#token=TOKEN`, or
 * `#KEY`, a key that is good once and is exchanged for a token. Or somebody writes it into the form. It is kept for
 * as long as the tab is open.
 */

import { kept, keep } from "./kept.js";

const KEPT = "jsonrpc-iot.token";

/** Where the page's own files are, and where the other end answers. */
export const FOLDER = new URL("./", import.meta.url);
export const ENDPOINT = new URL("..", FOLDER);
ENDPOINT.pathname = ENDPOINT.pathname.replace(/(.)\/$/, "$1");

/**
 * Who may use the page: a token "must" or "may" be shown, or there is "no" use in one; or the "key" of an address opens
 * it, and nothing else does.
 */
export const SIGN_IN = document.documentElement.dataset.signIn;

/** Whether nobody is answered without a token; a certificate may do instead. */
export const NEEDS_TOKEN = SIGN_IN === "key" || (SIGN_IN === "must" && location.protocol === "http:");

/** @returns {string | null} */
export function keptToken() {
  return kept("sessionStorage", KEPT);
}

/** @param {string | null} token */
export function keepToken(token) {
  keep("sessionStorage", KEPT, token);
}

/**
 * Take what the address says of who is there. A key that could not be exchanged, since nobody answered, stays in it.
 * @returns {Promise<string | null>} the word for what is wrong with its key.
 */
export async function takeFragment() {
  const fragment = location.hash.slice(1);
  if (!fragment || fragment.startsWith("/")) return null;
  let token = fragment.startsWith("token=") ? fragment.slice("token=".length) : null;
  let trouble = null;
  if (token === null) {
    const headers = { Authorization: `Bearer ${fragment}` };
    const response = await fetch(new URL("session", FOLDER), { method: "POST", headers }).catch(() => null);
    if (!response) return null;
    const said = await response.json().catch(() => null);
    if (response.ok) token = said.token;
    else trouble = said?.error?.data?.reason === "spent" ? "sign.spent" : "sign.wrong";
  }
  history.replaceState(null, "", location.pathname + location.search);
  if (token !== null) keepToken(token);
  return trouble;
}
