/** The way over a WebSocket: all messages, both ways. */

const OPENS_WITHIN = 5_000;

/**
 * What a way tells of.
 * @typedef {object} WayEvents
 * @property {(text: string) => void} text a message came.
 * @property {(id: number, kind: string, reason: string) => void} failed a call has failed, and the way has not.
 * @property {(reason: string) => void} refused who is there may no longer be.
 * @property {(reason: string) => void} lost the way has ended.
 */

/**
 * @typedef {object} Way
 * @property {"websocket" | "post"} name
 * @property {boolean} credits whether a stream waits for credit.
 * @property {(text: string, id: number | null, streams?: boolean) => void} send
 * @property {(id: number) => boolean} abandon end a call; false where a message has to say so.
 * @property {() => void} close
 */

/**
 * Open a WebSocket.
 * @param {URL} endpoint
 * @param {string | null} token
 * @param {WayEvents} events
 * @returns {Promise<Way>} it fails where none comes up; a browser does not say why.
 */
export function openSocket(endpoint, token, events) {
  const url = new URL(endpoint);
  url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(url, token ? ["jsonrpc-iot", `token.${token}`] : ["jsonrpc-iot"]);
  const way = {
    name: /** @type {const} */ ("websocket"),
    credits: true,
    send: (text) => socket.send(text),
    abandon: () => false,
    close: () => socket.close(1000),
  };
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => socket.close(), OPENS_WITHIN);
    socket.onopen = () => {
      clearTimeout(timer);
      resolve(way);
    };
    socket.onmessage = ({ data }) => events.text(String(data));
    socket.onclose = ({ code, reason }) => {
      clearTimeout(timer);
      reject(new Error(`WebSocket ${code}`));
      events.lost(reason || `WebSocket ${code}`);
    };
  });
}
