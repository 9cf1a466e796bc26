// An oblivious look-up by a client in JavaScript, on @noble/curves: who of these is in the directory?
//
//   node oprf_client.mjs MODULES URL TENANT filter|buckets IDENTIFIER...
//
// MODULES is the folder that has @noble/curves. SELFSAME_KEY is the API key, if there is one. Prints JSON: identifier to
// contact id, null for who is not there. The proof of every evaluation is checked against the public key that the server shows;
// an app would have that one built in.
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [modules, base, tenant, by, ...identifiers] = process.argv.slice(2);
const { ristretto255_oprf } = await import(pathToFileURL(join(modules, '@noble/curves/ed25519.js')));
const { voprf } = ristretto255_oprf;

const headers = { 'content-type': 'application/json' };
if (process.env.SELFSAME_KEY) headers.authorization = `Bearer ${process.env.SELFSAME_KEY}`;
const encode = (bytes) => Buffer.from(bytes).toString('base64url');
const decode = (text) => new Uint8Array(Buffer.from(text, 'base64url'));

async function call(method, path, body) {
  const answer = await fetch(`${base}/v1/tenants/${tenant}/discovery/${path}`, { method, headers, body: body && JSON.stringify(body) });
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${await answer.text()}`);
  return answer;
}

// "selfsame1", the kind, and the SHA-256 of the identifier in its primary dialect.
function input(identifier) {
  const kind = identifier.includes('@') ? 2 : 1;
  return Buffer.concat([Buffer.from('selfsame1'), Buffer.from([kind]), createHash('sha256').update(identifier).digest()]);
}

const mask64 = (1n << 64n) - 1n;

// The rule of membership as the documentation of the filter has it.
function filterOf(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (Buffer.from(bytes.subarray(0, 4)).toString() !== 'SSBF' || view.getUint8(4) !== 1) throw new Error('no filter');
  const bits = view.getUint8(5);
  const seed = view.getBigUint64(16, true);
  const [segment, mask, span] = [24, 28, 32].map((at) => BigInt(view.getUint32(at, true)));
  const print = (at) => (bits === 32 ? view.getUint32(40 + Number(at) * 4, true) : view.getUint16(40 + Number(at) * 2, true));
  return (tag) => {
    let h = (tag + seed) & mask64;
    for (const factor of [0xff51afd7ed558ccdn, 0xc4ceb9fe1a85ec53n]) {
      h ^= h >> 33n;
      h = (h * factor) & mask64;
    }
    h ^= h >> 33n;
    const a = (h * span) >> 64n;
    const b = (a + segment) ^ ((h >> 18n) & mask);
    const d = (a + 2n * segment) ^ (h & mask);
    const wanted = Number((h ^ (h >> 32n)) & ((1n << BigInt(bits)) - 1n));
    return ((print(a) ^ print(b) ^ print(d)) >>> 0) === wanted;
  };
}

function tags(bytes) {
  const found = new Set();
  for (let at = 0; at + 8 <= bytes.length; at += 8) found.add(Buffer.from(bytes.subarray(at, at + 8)).readBigUInt64BE());
  return found;
}

const said = await (await call('GET', 'oprf')).json();
const publicKey = decode(said.public_key);
const items = identifiers.map((identifier) => ({ identifier, input: input(identifier) }));
for (const item of items) Object.assign(item, voprf.blind(item.input));

const evaluated = await (await call('POST', 'oprf/evaluate', { epoch: said.epoch, blinded: items.map((one) => encode(one.blinded)) })).json();
items.forEach((item, at) => { item.evaluated = decode(evaluated.evaluated[at]); });
const outputs = voprf.finalizeBatch(items, publicKey, decode(evaluated.proof));
items.forEach((item, at) => {
  item.tag = Buffer.from(outputs[at]).readBigUInt64BE(0);
  item.reveal = outputs[at].slice(8, 24);
});

if (by === 'filter') {
  const path = `oprf/filter?epoch=${said.epoch}`;
  const inFilter = filterOf(new Uint8Array(await (await call('GET', path)).arrayBuffer()));
  const since = tags(new Uint8Array(await (await call('GET', `${path}&delta=true`)).arrayBuffer()));
  for (const item of items) item.found = inFilter(item.tag) || since.has(item.tag);
} else {
  const digits = Math.ceil(said.prefix_bits / 4);
  const prefix = (tag) => {
    if (digits === 0) return '';
    const kept = (tag >> BigInt(64 - said.prefix_bits)) << BigInt(digits * 4 - said.prefix_bits);
    return kept.toString(16).padStart(digits, '0');
  };
  const body = { epoch: said.epoch, prefixes: items.map((item) => prefix(item.tag)) };
  const bytes = new Uint8Array(await (await call('POST', 'oprf/buckets', body)).arrayBuffer());
  let at = 0;
  for (const item of items) {
    const count = (bytes[at] << 8) | bytes[at + 1];
    item.found = tags(bytes.subarray(at + 2, at + 2 + count * 8)).has(item.tag);
    at += 2 + count * 8;
  }
}

const found = items.filter((item) => item.found);
const contacts = {};
for (const item of items) contacts[item.identifier] = null;
if (found.length > 0) {
  const revealed = await (await call('POST', 'reveal', { epoch: said.epoch, keys: found.map((item) => encode(item.reveal)) })).json();
  found.forEach((item, place) => { contacts[item.identifier] = revealed.results[place].contact; });
}
console.log(JSON.stringify(contacts));
