// Node's HTTP parser as a judge: reads byte streams on standard input, says on standard output what it saw in each.
// A frame is a kind (one byte), a length (four bytes, big-endian) and that many bytes. Kinds: R requests as a server
// sees them, A an answer as a client sees it, H the same to a HEAD. For each frame one line of JSON comes back, its
// strings in latin-1.
'use strict';

const http = require('http');
const { Duplex } = require('stream');

class Stream extends Duplex {
  constructor(bytes, whenAsked) {
    super();
    this.bytes = bytes;
    if (!whenAsked) this.say();
  }
  say() {
    if (this.bytes === null) return;
    const bytes = this.bytes;
    this.bytes = null;
    this.push(bytes);
    // The end comes later, or what is incomplete would hide what is complete.
    setImmediate(() => setImmediate(() => setImmediate(() => this.push(null))));
  }
  _read() {}
  _write(_chunk, _encoding, done) { this.say(); done(); }
  setTimeout() { return this; }
  setNoDelay() { return this; }
  setKeepAlive() { return this; }
  ref() { return this; }
  unref() { return this; }
}

const pairs = (raw) => raw.reduce((all, item, at) => (at % 2 ? all[all.length - 1].push(item) : all.push([item]), all), []);

function readRequests(bytes, tell) {
  const requests = [];
  const server = http.createServer({ keepAliveTimeout: 0, requestTimeout: 0, headersTimeout: 0 });
  let refused = null;
  server.on('request', (request, response) => {
    const body = [];
    request.on('data', (part) => body.push(part));
    request.on('end', () => {
      requests.push({
        method: request.method, target: request.url, version: request.httpVersion,
        headers: pairs(request.rawHeaders), body: Buffer.concat(body).toString('latin1'),
        trailers: pairs(request.rawTrailers),
      });
      response.end();
    });
    request.on('error', () => {});
  });
  for (const odd of ['upgrade', 'connect']) server.on(odd, (request, socket) => { refused = odd; socket.destroy(); });
  server.on('checkContinue', (request, response) => server.emit('request', request, response));
  server.on('clientError', (error, socket) => { refused = error.code || String(error); socket.destroy(); });
  const stream = new Stream(bytes, false);
  stream.on('close', () => { server.close(); tell({ requests, refused }); });
  stream.on('error', () => {});
  server.emit('connection', stream);
}

function readAnswer(bytes, method, tell) {
  const interim = [];
  let told = false;
  const say = (answer) => { if (!told) { told = true; tell(answer); } };
  const request = http.request({ method, createConnection: () => new Stream(bytes, true), headers: { host: 'a' } });
  request.on('information', (info) => interim.push({ status: info.statusCode, headers: pairs(info.rawHeaders) }));
  request.on('upgrade', () => say({ refused: 'upgrade' }));
  request.on('error', (error) => say({ refused: error.code || String(error) }));
  request.on('response', (response) => {
    const body = [];
    response.on('data', (part) => body.push(part));
    response.on('error', (error) => say({ refused: error.code || String(error) }));
    response.on('end', () => say({
      interim, status: response.statusCode, reason: response.statusMessage, headers: pairs(response.rawHeaders),
      body: Buffer.concat(body).toString('latin1'), trailers: pairs(response.rawTrailers), refused: null,
    }));
  });
  request.end();
}

let pending = Buffer.alloc(0);
let busy = false;

function next() {
  if (busy || pending.length < 5) return;
  const length = pending.readUInt32BE(1);
  if (pending.length < 5 + length) return;
  const kind = String.fromCharCode(pending[0]);
  const bytes = Buffer.from(pending.subarray(5, 5 + length));
  pending = pending.subarray(5 + length);
  busy = true;
  const tell = (what) => { busy = false; process.stdout.write(JSON.stringify(what) + '\n'); next(); };
  if (kind === 'R') readRequests(bytes, tell);
  else readAnswer(bytes, kind === 'H' ? 'HEAD' : 'GET', tell);
}

process.stdin.on('data', (data) => { pending = Buffer.concat([pending, data]); next(); });
process.stdin.on('end', () => process.exit(0));
