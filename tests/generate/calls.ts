// What the tests have a client in TypeScript do. Prints "ok", or fails.
import { CallTimeout, connect, ConnectionLost, RpcError, Tank, type Level } from "./tank.js";

function equal(found: unknown, wanted: unknown): void {
  const [one, other] = [JSON.stringify(found), JSON.stringify(wanted)];
  if (one !== other) throw new Error(`${one} is not ${other}`);
}

async function failure(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    (value) => {
      throw new Error(`no failure but ${JSON.stringify(value)}`);
    },
    (error: unknown) => error,
  );
}

async function first<T>(items: AsyncIterable<T>, count: number): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) if (found.push(item) === count) break;
  return found;
}

const url = process.argv[2] ?? "";
const link = connect(url, { timeout: 20 });
const tank = new Tank(link);

// Calls, and what the device tells meanwhile. Over HTTP it is heard a little later.
const heard: Level[] = [];
let wake: () => void = () => undefined;
const leave = tank.changed.subscribe((level) => {
  heard.push(level);
  wake();
});
while (heard.length === 0) {
  const level: Level = await tank.fill({ from: 1, to: 40 });
  equal(level, { "per-cent": 40, of: "tank" });
  await Promise.race([new Promise<void>((resolve) => (wake = resolve)), new Promise((resolve) => setTimeout(resolve, 50))]);
}
equal(heard[0]?.["per-cent"], 40);
leave();
const values = tank.changed.values();
const next = values.next();
for (let told = false; !told; ) {
  await tank.empty();
  told = await Promise.race([next.then(() => true), new Promise<false>((resolve) => setTimeout(resolve, 50, false))]);
}
equal((await next).value, { "per-cent": 0, of: "tank" });
await values.return();

// Errors, as the device gives them.
const dry = (await failure(tank.fill({ from: -1 }))) as RpcError;
equal([dry instanceof RpcError, dry.code, dry.message, dry.data], [true, 2001, "Dry", { from: -1 }]);

// Streams: more items than the device sends at once; one that is left; one that fails.
equal((await first(tank.measure({ times: 100 }), 1000)).length, 100);
equal((await first(tank.measure({ times: 1_000_000 }), 30)).length, 30);
equal((await failure(first(link.stream("tank.fill", { from: -2 }), 1))) instanceof RpcError, true);
equal(await first(link.stream("rpc.methods"), 1), ["rpc.authenticate"]);

// Time, and giving up.
equal((await failure(tank.wait({ timeout: 0.1 }))) instanceof CallTimeout, true);
const controller = new AbortController();
const given = failure(tank.wait({ signal: controller.signal }));
controller.abort(new Error("enough"));
equal(((await given) as Error).message, "enough");
equal((await failure(first(tank.measure({ times: 1000 }, { timeout: 0.3 }), 1000))) instanceof CallTimeout, true);

// Ends.
const open = tank.changed.values().next();
link.close();
equal(await open, { done: true });
equal((await failure(tank.wait())) instanceof ConnectionLost, true);
const nowhere = new Tank(connect(url.replace(/:\d+/, ":1")));
equal((await failure(nowhere.wait())) instanceof ConnectionLost, true);
console.log("ok");
