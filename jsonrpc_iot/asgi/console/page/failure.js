/** What goes wrong with calls and with the link. */

export const UNAUTHENTICATED = -32005;
export const FORBIDDEN = -32006;
export const UNKNOWN = -32011; // whether it ran
export const NO_METHOD = -32601;
export const OFFLINE = -32010; // a device that somebody in between speaks with

/**
 * Why a call has no result.
 *
 * `kind` is "rpc" when the other end said so, with its `code`, `message` and `data`. Else `code` is null, and it is
 * "lost" (nobody knows whether it ran), "unsent" and "denied" (it did not), "timeout", "cancelled" or "malformed".
 */
export class RpcFailure extends Error {
  /**
   * @param {number | null} code
   * @param {string} message
   * @param {any} [data]
   * @param {string} [kind]
   */
  constructor(code, message, data = undefined, kind = "rpc") {
    super(message);
    this.code = code;
    this.data = data;
    this.kind = kind;
  }
}

/** The other end wants to know who is there, or does not want them. */
export class Refused extends Error {}
