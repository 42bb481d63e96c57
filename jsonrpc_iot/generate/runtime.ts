// From here on all clients are the same: calls, streams and events over HTTP and WebSocket.

/** The device answered with an error. */
export class RpcError extends Error {
  readonly code: number;
  readonly data: unknown;

  constructor(code: number, message: string, data?: unknown) {
    super(message);
    this.name = "RpcError";
    this.code = code;
    this.data = data;
  }
}

/** No answer came in time; whether the method ran is unknown. */
export class CallTimeout extends Error {
  override name = "CallTimeout";
}

/** The device cannot be reached, or the connection ended; whether the method ran is unknown. */
export class ConnectionLost extends Error {
  override name = "ConnectionLost";
}

export interface ConnectOptions {
  /** A bearer token that proves who calls. */
  token?: string;
  /** Seconds to wait for an answer, or for each item of a stream; 10 by default. */
  timeout?: number;
}

export interface CallOptions {
  /** Seconds to wait for the answer, or for each item. */
  timeout?: number;
  /** Gives the call up. */
  signal?: AbortSignal;
}

/** What comes item by item, for `for await`; to leave the loop is to cancel the call. */
export type Items<T> = AsyncGenerator<T, void, undefined>;

/** How a device is reached; `connect` makes one. */
export interface Link {
  /** `own` are the seconds that a method says it may need. */
  call<T>(method: string, params?: object, options?: CallOptions, own?: number): Promise<T>;
  stream<T>(method: string, params?: object, options?: CallOptions, own?: number): Items<T>;
  notify(method: string, params?: object): Promise<void>;
  /**
   * Has all notifications of that name handed to a function, until the returned one is called.
   * `ended` is called when the link is closed.
   */
  listen(method: string, listener: (params: unknown) => void, ended?: () => void): () => void;
  close(): void;
}

/** Reach the device at `ws://…`, `wss://…`, `http://…` or `https://…`. Connects when it is used. */
export function connect(url: string, options: ConnectOptions = {}): Link {
  return /^wss?:/.test(url) ? new SocketLink(url, options) : new HttpLink(url, options);
}

/** What the device tells of its own accord. */
export class DeviceEvent<T> {
  readonly #link: Link;
  readonly #name: string;
  /** Values that came while 256 others waited in `values`. */
  missed = 0;

  constructor(link: Link, name: string) {
    this.#link = link;
    this.#name = name;
  }

  /** Have a function called with each value; the returned one ends that. */
  subscribe(listener: (value: T) => void): () => void {
    return this.#link.listen(this.#name, (params) => listener(params as T));
  }

  /** The values that come from now on until the link is closed, for `for await`. Up to 256 wait. */
  values(): Items<T> {
    const queue = new Queue<T>();
    const take = (params: unknown) => {
      if (queue.length < MOST_WAITING) queue.put(params as T);
      else this.missed += 1;
    };
    const leave = this.#link.listen(this.#name, take, () => queue.end());
    return queue.drain(leave);
  }
}

const MOST_WAITING = 256;

interface Message {
  id?: unknown;
  method?: string;
  params?: unknown;
  result?: unknown;
  error?: { code: number; message: string; data?: unknown };
}

/** Values that come and are taken one by one; made to be filled before somebody waits. */
class Queue<T> {
  readonly #values: T[] = [];
  #failure: Error | undefined;
  #ended = false;
  #wake: () => void = () => undefined;

  get length(): number {
    return this.#values.length;
  }

  put(value: T): void {
    this.#values.push(value);
    this.#wake();
  }

  end(failure?: Error): void {
    this.#ended = true;
    this.#failure ??= failure;
    this.#wake();
  }

  /** Wait for the next value; nothing at the end. */
  async next(): Promise<{ value: T } | undefined> {
    while (this.#values.length === 0) {
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#ended) return undefined;
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
    return { value: this.#values.shift() as T };
  }

  /** The values, until there are no more; then, or when nobody wants more, `leave` is called. */
  drain(leave: () => void): Items<T> {
    const items = this.#items();
    const finish = items.return.bind(items);
    items.return = (value) => {
      leave();
      this.end();
      return finish(value);
    };
    return items;
  }

  async *#items(): Items<T> {
    for (let next = await this.next(); next !== undefined; next = await this.next()) yield next.value;
  }
}

/** Listeners by the name of the notification. */
class Listeners {
  readonly #by = new Map<string, Set<(params: unknown) => void>>();
  readonly #ends = new Set<() => void>();

  get any(): boolean {
    return this.#by.size > 0;
  }

  add(method: string, listener: (params: unknown) => void, ended: () => void = () => undefined): () => void {
    const one = (params: unknown) => listener(params);
    const all = this.#by.get(method) ?? new Set();
    this.#by.set(method, all.add(one));
    const end = () => ended();
    this.#ends.add(end);
    return () => {
      this.#ends.delete(end);
      all.delete(one);
      if (all.size === 0 && this.#by.get(method) === all) this.#by.delete(method);
    };
  }

  end(): void {
    for (const end of [...this.#ends]) end();
  }

  tell(method: string, params: unknown): void {
    for (const listener of [...(this.#by.get(method) ?? [])]) {
      try {
        listener(params);
      } catch (error) {
        console.error(error);
      }
    }
  }
}

function answer<T>(message: Message): T {
  if (message.error === undefined) return message.result as T;
  throw new RpcError(message.error.code, message.error.message, message.error.data);
}

function lost(error: unknown): ConnectionLost {
  return error instanceof ConnectionLost ? error : new ConnectionLost(String(error));
}

/** Milliseconds before the next attempt: at most 0.5 s, then 1 s, up to 30 s. */
function pause(failures: number): number {
  return Math.random() * Math.min(30_000, 500 * 2 ** failures);
}

/** Aborts when the time is over, or with the caller's signal. */
class Deadline {
  readonly #controller = new AbortController();
  readonly #seconds: number;
  readonly #outer: AbortSignal | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: CallOptions, usual = 10, own: number) {
    this.#seconds = options.timeout ?? Math.max(usual, own);
    this.#outer = options.signal;
    this.#outer?.addEventListener("abort", this.#give);
    if (this.#outer?.aborted) this.#give();
    this.alive();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Begin the time anew. */
  alive(): void {
    this.rest();
    const late = () => this.#controller.abort(new CallTimeout(`no answer in ${this.#seconds} s`));
    // A timer cannot be longer than 24 days.
    this.#timer = setTimeout(late, Math.min(this.#seconds * 1000, 2 ** 31 - 1));
  }

  /** Let the time stand still while it is the caller's. */
  rest(): void {
    clearTimeout(this.#timer);
  }

  end(): void {
    this.rest();
    this.#outer?.removeEventListener("abort", this.#give);
  }

  readonly #give = () => this.#controller.abort(this.#outer?.reason);
}

/** Requests by POST; what the device tells as server-sent events. */
class HttpLink implements Link {
  readonly #url: string;
  readonly #options: ConnectOptions;
  readonly #listeners = new Listeners();
  #events: AbortController | undefined;
  #extensions: Promise<boolean> | undefined;
  #closed = false;

  constructor(url: string, options: ConnectOptions) {
    this.#url = url;
    this.#options = options;
  }

  async call<T>(method: string, params?: object, options: CallOptions = {}, own = 0): Promise<T> {
    const deadline = new Deadline(options, this.#options.timeout, own);
    try {
      const response = await this.#post({ id: 1, method, params }, "application/json", deadline.signal);
      return answer<T>((await response.json()) as Message);
    } catch (error) {
      throw this.#failure(error, deadline);
    } finally {
      deadline.end();
    }
  }

  async *stream<T>(method: string, params?: object, options: CallOptions = {}, own = 0): Items<T> {
    const stream = (await this.#understands()) ? { stream: true } : {};
    const deadline = new Deadline(options, this.#options.timeout, own);
    const leaving = new AbortController();
    deadline.signal.addEventListener("abort", () => leaving.abort(deadline.signal.reason));
    try {
      const accept = "application/json, text/event-stream";
      const response = await this.#post({ id: 1, method, params, ...stream }, accept, leaving.signal);
      if (!isEvents(response)) {
        yield* answer<T[]>((await response.json()) as Message);
        return;
      }
      for await (const { data } of serverSent(response)) {
        const message = JSON.parse(data) as Message;
        if (message.method === "rpc.item") {
          deadline.rest();
          yield (message.params as { item: T }).item;
          deadline.alive();
        } else {
          const result = answer<T[] | { count: number }>(message);
          if (Array.isArray(result)) yield* result;
          return;
        }
      }
      throw new ConnectionLost("the stream ended before its last item");
    } catch (error) {
      throw this.#failure(error, deadline);
    } finally {
      deadline.end();
      leaving.abort();
    }
  }

  async notify(method: string, params?: object): Promise<void> {
    const deadline = new Deadline({}, this.#options.timeout, 0);
    try {
      await this.#post({ method, params }, "application/json", deadline.signal);
    } catch (error) {
      throw this.#failure(error, deadline);
    } finally {
      deadline.end();
    }
  }

  listen(method: string, listener: (params: unknown) => void, ended?: () => void): () => void {
    const leave = this.#listeners.add(method, listener, ended);
    if (this.#events === undefined && !this.#closed) void this.#follow((this.#events = new AbortController()));
    return () => {
      leave();
      if (!this.#listeners.any) this.#rest();
    };
  }

  close(): void {
    this.#closed = true;
    this.#listeners.end();
    this.#rest();
  }

  /** Whether the device knows the members of requests that JSON-RPC does not have. */
  #understands(): Promise<boolean> {
    this.#extensions ??= this.call("rpc.ping").then(
      (pong) => pong === true,
      (error: unknown) => {
        if (error instanceof RpcError) return false;
        this.#extensions = undefined;
        throw error;
      },
    );
    return this.#extensions;
  }

  #rest(): void {
    this.#events?.abort();
    this.#events = undefined;
  }

  /** Hand on the events, and come back when the connection ends. */
  async #follow(controller: AbortController): Promise<void> {
    let last = "";
    for (let failures = 0; !controller.signal.aborted; failures += 1) {
      try {
        const headers = { ...this.#proof(), Accept: "text/event-stream", ...(last && { "Last-Event-ID": last }) };
        const response = await fetch(this.#url, { headers, signal: controller.signal });
        if (!response.ok) throw new ConnectionLost(`HTTP ${response.status}`);
        for await (const event of serverSent(response)) {
          failures = 0;
          last = event.id || last;
          const message = JSON.parse(event.data) as Message;
          if (message.method !== undefined) this.#listeners.tell(message.method, message.params);
        }
      } catch (error) {
        if (!controller.signal.aborted) console.warn("events:", error);
      }
      if (!controller.signal.aborted) await new Promise((resolve) => setTimeout(resolve, pause(failures)));
    }
  }

  #proof(): Record<string, string> {
    return this.#options.token === undefined ? {} : { Authorization: `Bearer ${this.#options.token}` };
  }

  async #post(message: object, accept: string, signal: AbortSignal): Promise<Response> {
    if (this.#closed) throw new ConnectionLost("closed");
    const headers = { ...this.#proof(), "Content-Type": "application/json", Accept: accept };
    const response = await fetch(this.#url, { method: "POST", headers, body: JSON.stringify(message), signal });
    const isMessage = response.headers.get("Content-Type")?.startsWith("application/json") ?? false;
    // Of a message that it does not understand the device says so, with status 400.
    if (!response.ok && !(response.status === 400 && isMessage)) {
      throw new ConnectionLost(`HTTP ${response.status}: ${await response.text()}`);
    }
    return response;
  }

  #failure(error: unknown, deadline: Deadline): unknown {
    if (deadline.signal.aborted) return deadline.signal.reason;
    return error instanceof RpcError ? error : lost(error);
  }
}

function isEvents(response: Response): boolean {
  return response.headers.get("Content-Type")?.startsWith("text/event-stream") ?? false;
}

/** The events in a response. */
async function* serverSent(response: Response): AsyncGenerator<{ id: string; data: string }, void, undefined> {
  if (response.body === null) return;
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  let id = "";
  let data: string[] = [];
  try {
    for (let part = await reader.read(); !part.done; part = await reader.read()) {
      const lines = (rest + decoder.decode(part.value, { stream: true })).split(/\r\n|\n/);
      rest = lines.pop() ?? "";
      for (const line of lines) {
        if (line.startsWith("data:")) data.push(line.slice(5).trimStart());
        else if (line.startsWith("id:")) id = line.slice(3).trim();
        else if (line === "" && data.length > 0) {
          yield { id, data: data.join("\n") };
          data = [];
        }
      }
    }
  } finally {
    void reader.cancel().catch(() => undefined);
  }
}

/** One call that waits for its answer. */
interface Waiting {
  item(item: unknown): void;
  settle(message: Message): void;
  fail(error: Error): void;
}

/** A WebSocket, opened when it is needed, and again when it is lost while somebody listens. */
class SocketLink implements Link {
  readonly #url: string;
  readonly #options: ConnectOptions;
  readonly #listeners = new Listeners();
  readonly #waiting = new Map<number, Waiting>();
  #opening: Promise<WebSocket> | undefined;
  #extensions = false;
  #id = Math.floor(Math.random() * 2 ** 40);
  #failures = 0;
  #closed = false;

  constructor(url: string, options: ConnectOptions) {
    this.#url = url;
    this.#options = options;
  }

  async call<T>(method: string, params?: object, options: CallOptions = {}, own = 0): Promise<T> {
    const answered = new Queue<Message>();
    const waiting = {
      item: () => undefined,
      settle: (message: Message) => answered.put(message),
      fail: (error: Error) => answered.end(error),
    };
    const deadline = new Deadline(options, this.#options.timeout, own);
    const leave = this.#request(method, params, false, deadline, waiting);
    try {
      return answer<T>((await answered.next())?.value ?? {});
    } finally {
      leave();
    }
  }

  async *stream<T>(method: string, params?: object, options: CallOptions = {}, own = 0): Items<T> {
    const items = new Queue<T>();
    const deadline = new Deadline(options, this.#options.timeout, own);
    let last: Message | undefined;
    const leave = this.#request(method, params, true, deadline, {
      item: (item) => {
        if (items.length < MOST_WAITING) items.put(item as T);
        else items.end(new ConnectionLost("the device sends more items than it may"));
      },
      settle: (message) => {
        last = message;
        items.end();
      },
      fail: (error) => items.end(error),
    });
    try {
      let taken = 0;
      for (let next = await items.next(); next !== undefined; next = await items.next()) {
        deadline.rest();
        yield next.value;
        deadline.alive();
        taken += 1;
        if (taken % 4 === 0) leave.more(taken + 8);
      }
      const result = answer<T[] | { count: number }>(last ?? {});
      if (Array.isArray(result)) yield* result;
    } finally {
      leave();
    }
  }

  async notify(method: string, params?: object): Promise<void> {
    const socket = await this.#socket();
    socket.send(JSON.stringify({ method, params }));
  }

  listen(method: string, listener: (params: unknown) => void, ended?: () => void): () => void {
    const leave = this.#listeners.add(method, listener, ended);
    this.#keepOpen();
    return leave;
  }

  close(): void {
    this.#closed = true;
    this.#listeners.end();
    void this.#opening?.then((socket) => socket.close(1000), () => undefined);
  }

  /** Send a request when the socket is open. Returns what ends the waiting, and asks for more. */
  #request(
    method: string,
    params: object | undefined,
    stream: boolean,
    deadline: Deadline,
    waiting: Waiting,
  ): (() => void) & { more: (upto: number) => void } {
    const id = (this.#id += 1);
    let socket: WebSocket | undefined;
    let left = false;
    const abort = () => waiting.fail(deadline.signal.reason as Error);
    const tell = (notification: string, params: object) => {
      if (this.#extensions && this.#waiting.has(id)) {
        socket?.send(JSON.stringify({ method: notification, params: { id, ...params } }));
      }
    };
    deadline.signal.addEventListener("abort", abort);
    if (deadline.signal.aborted) abort();
    else {
      this.#socket().then(
        (opened) => {
          if (left) return;
          socket = opened;
          this.#waiting.set(id, waiting);
          socket.send(JSON.stringify({ id, method, params, ...(stream && this.#extensions && { stream }) }));
        },
        (error: unknown) => waiting.fail(lost(error)),
      );
    }
    const leave = () => {
      left = true;
      tell("rpc.cancel", {});
      this.#waiting.delete(id);
      deadline.signal.removeEventListener("abort", abort);
      deadline.end();
    };
    return Object.assign(leave, { more: (upto: number) => tell("rpc.more", { upto }) });
  }

  /** The socket, when it is open and known whether the device understands the extensions. */
  #socket(): Promise<WebSocket> {
    this.#opening ??= this.#open().catch((error: unknown) => {
      this.#opening = undefined;
      throw lost(error);
    });
    return this.#opening;
  }

  async #open(): Promise<WebSocket> {
    if (this.#closed) throw new ConnectionLost("closed");
    const { token } = this.#options;
    const socket = new WebSocket(this.#url, token === undefined ? ["jsonrpc-iot"] : ["jsonrpc-iot", `token.${token}`]);
    const id = (this.#id += 1);
    const ponged = new Promise<Message>((settle, fail) => {
      this.#waiting.set(id, { settle, fail, item: () => undefined });
      socket.onopen = () => socket.send(JSON.stringify({ id, method: "rpc.ping" }));
      socket.onmessage = ({ data }) => {
        try {
          this.#take(socket, String(data));
        } catch (error) {
          this.#ended(socket, `the device sent what is no message: ${error}`);
          socket.close();
        }
      };
      // One of the two comes first; some runtimes have no second.
      socket.onclose = ({ code, reason }) => this.#ended(socket, `closed: ${code} ${reason}`.trim());
      socket.onerror = () => this.#ended(socket, "the connection failed");
    });
    this.#extensions = (await ponged).result === true;
    this.#waiting.delete(id);
    this.#failures = 0;
    return socket;
  }

  #take(socket: WebSocket, text: string): void {
    const message = JSON.parse(text) as Message;
    if (message.method === undefined) {
      const waiting = this.#waiting.get(message.id as number);
      this.#waiting.delete(message.id as number);
      waiting?.settle(message);
    } else if (message.id !== undefined) {
      const known = message.method === "rpc.ping";
      const reply = known ? { result: true } : { error: { code: -32601, message: "Method not found" } };
      socket.send(JSON.stringify({ id: message.id, ...reply }));
    } else if (message.method === "rpc.item") {
      const { id, item } = message.params as { id: number; item: unknown };
      this.#waiting.get(id)?.item(item);
    } else {
      this.#listeners.tell(message.method, message.params);
    }
  }

  #ended(socket: WebSocket, why: string): void {
    socket.onclose = socket.onerror = null;
    const error = new ConnectionLost(why);
    this.#opening = undefined;
    const all = [...this.#waiting.values()];
    this.#waiting.clear();
    for (const waiting of all) waiting.fail(error);
    if (this.#listeners.any && !this.#closed) {
      setTimeout(() => this.#keepOpen(), pause((this.#failures += 1)));
    }
  }

  #keepOpen(): void {
    if (this.#listeners.any && !this.#closed) this.#socket().catch(() => undefined);
  }
}

/** Params for a device that takes them by position alone, without those at the end that are not given. */
export function positional(params: object, names: string[]): unknown[] {
  const values = names.map((name) => (params as Record<string, unknown>)[name]);
  while (values.length > 0 && values[values.length - 1] === undefined) values.pop();
  return values;
}
