// A hashed look-up by a real Matrix client: matrix-js-sdk's identityHashedLookup.
//
//   node matrix_client.mjs MODULES URL [lookup|stale] PEPPER-ROTATION-URL ADDRESS/MEDIUM...
//
// Prints JSON: address to Matrix user id. With `stale` another pepper is taken (POST to the third argument) after the client has
// fetched the first one: the look-up must fail with M_INVALID_PEPPER and the new pepper, and then succeed when it is made anew.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [modules, base, mode, rotate, ...addresses] = process.argv.slice(2);
console.log = console.error; // the library talks; standard output is for the result
const { createClient } = await import(pathToFileURL(join(modules, 'matrix-js-sdk/lib/index.js')));
const token = process.env.SELFSAME_KEY ?? 'none';
const pairs = addresses.map((text) => text.split('/'));
const mapped = (list) => Object.fromEntries(list.map((one) => [one.address, one.mxid]).sort());

let rotated = mode !== 'stale';
const fetchFn = async (url, options) => {
  if (!rotated && String(url).endsWith('/lookup')) {
    rotated = true;
    const answer = await fetch(rotate, { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"what": "pepper"}' });
    if (!answer.ok) throw new Error(`rotation: ${answer.status}`);
  }
  return fetch(url, options);
};

const client = createClient({ baseUrl: base, idBaseUrl: base, fetchFn });
let refused = null;
let found;
try {
  found = mapped(await client.identityHashedLookup(pairs, token));
} catch (error) {
  refused = { errcode: error.errcode, pepper: error.data?.lookup_pepper };
  const details = await client.getIdentityHashDetails(token);
  if (details.lookup_pepper !== refused.pepper) throw new Error('the error names another pepper than hash_details');
  found = mapped(await client.identityHashedLookup(pairs, token));
}
process.stdout.write(`${JSON.stringify({ found, refused: refused?.errcode ?? null })}\n`);
