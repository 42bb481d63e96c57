/** The form in which people say who they are. */

import { html, useEffect, useRef, useState } from "./vendor/ui.js";
import { SIGN_IN } from "./session.js";
import { t } from "./words.js";

/**
 * @param {{onToken: (token: string) => void, onClose?: () => void, trouble: string | null}} props `trouble` is the word
 *   for what is wrong with what was tried.
 */
export function SignIn({ onToken, onClose, trouble }) {
  const [token, write] = useState("");
  const field = useRef(/** @type {HTMLInputElement | null} */ (null));
  useEffect(() => field.current?.focus(), []);
  const submit = (event) => {
    event.preventDefault();
    if (token.trim()) onToken(token.trim());
  };
  const said = trouble ?? (onClose ? null : "sign.needed");
  if (SIGN_IN === "key") return html`<section class="card sign-in" role="alert">
    ${trouble && html`<p class="trouble">${t(trouble)}</p>`}<p>${t("sign.again")}</p></section>`;
  return html`<form class="card sign-in" onSubmit=${submit} aria-labelledby="sign-in-title">
    <h2 id="sign-in-title">${t("sign.in")}</h2>
    ${said && html`<p class=${trouble && "trouble"} role="alert">${t(said)}</p>`}
    <label for="token">${t("sign.token")}</label>
    <input id="token" ref=${field} type="password" autocomplete="off" spellcheck=${false} aria-describedby="token-about"
      value=${token} onInput=${(event) => write(event.currentTarget.value)} />
    <p class="about" id="token-about">${t("sign.hint")}</p>
    <p class="buttons"><button class="primary">${t("sign.in")}</button>
      ${onClose && html`<button type="button" onClick=${onClose}>${t("cancel")}</button>`}</p>
  </form>`;
}
