// A lamp with jayson over HTTP and TCP; run by a Node that finds it.
//
//     node jayson_lamp.js http|tcp PORT

const jayson = require("jayson");

const [kind, port] = process.argv.slice(2);
const lamp = new jayson.Server({ "lamp.get": (params, callback) => callback(null, 40) });
lamp[kind]().listen(Number(port), "127.0.0.1");
