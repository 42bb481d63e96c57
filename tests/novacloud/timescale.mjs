// PostgreSQL with TimescaleDB, both compiled to WebAssembly, on a port of this machine.
//
// Usage: node timescale.mjs FOLDER PORT
//   FOLDER: has the package, PGlite
//
// It is one session, which connections share: a transaction of one holds up all others.
import { createServer } from 'node:net';
import { pathToFileURL } from 'node:url';

const [folder, port] = process.argv.slice(2);
const load = (name) => import(pathToFileURL(`${folder}/dist/${name}/index.js`.replace('//', '/')));
const { PGlite } = await load('');
const { timescaledb } = await load('timescaledb');

const SSL_REQUEST = 80877103;
const READY_SIZE = 6;
const IDLE = 'I'.charCodeAt(0);

const text = (...parts) => Buffer.from(parts.map((part) => `${part}\0`).join(''));

function message(kind, body) {
  const head = Buffer.alloc(5);
  head.write(kind);
  head.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([head, body]);
}

const SYNC = message('S', Buffer.alloc(0));
const query = (sql) => message('Q', text(sql));

const WELCOME = Buffer.concat([
  message('R', Buffer.alloc(4)),  // no password
  message('S', text('server_version', '17.5')),
  message('S', text('client_encoding', 'UTF8')),
  message('S', text('integer_datetimes', 'on')),
  message('S', text('standard_conforming_strings', 'on')),
  message('K', Buffer.alloc(8)),
  message('Z', Buffer.from('I')),
]);

let connections = 0;
let turn = Promise.resolve();

// Whole messages, from what is left of the data; the first one of a connection has no kind.
function* messages(data, state) {
  for (;;) {
    const head = state.isWelcome ? 1 : 0;
    if (data.length < head + 4) break;
    const size = head + data.readInt32BE(head);
    if (data.length < size) break;
    yield data.subarray(0, size);
    data = data.subarray(size);
  }
  state.rest = data;
}

async function serve(socket) {
  const state = { isWelcome: false, rest: Buffer.alloc(0) };
  let batch = [];
  let release = null;
  connections++;
  try {
    for await (const chunk of socket) {
      for (const each of messages(Buffer.concat([state.rest, chunk]), state)) {
        if (!state.isWelcome) {
          state.isWelcome = each.readInt32BE(4) !== SSL_REQUEST;
          socket.write(state.isWelcome ? WELCOME : 'N');
          continue;
        }
        const kind = String.fromCharCode(each[0]);
        if (kind === 'X') socket.end();
        // After a Flush there may be nothing for long, not even a Sync: others go on meanwhile.
        batch.push(kind === 'H' ? SYNC : each);
        if (!'QSH'.includes(kind)) continue;
        if (release === null) {
          const before = turn;
          turn = new Promise((resolve) => { release = resolve; });
          await before;
        }
        const answer = await db.execProtocolRaw(Buffer.concat(batch), { syncToFs: false });
        batch = [];
        socket.write(kind === 'H' ? answer.subarray(0, -READY_SIZE) : answer);
        if (answer.at(-1) === IDLE) {
          release();
          release = null;
        }
      }
    }
  } finally {
    connections--;
    if (release !== null) {
      await db.execProtocolRaw(query('ROLLBACK'), { syncToFs: false });
      release();
    }
    if (connections === 0) await db.execProtocolRaw(query('DEALLOCATE ALL'), { syncToFs: false });
  }
}

const db = await PGlite.create({ extensions: { timescaledb } });
await db.exec('CREATE EXTENSION timescaledb; SET search_path = novacloud');
createServer((socket) => serve(socket).catch(() => socket.destroy())).listen(port, '127.0.0.1');
