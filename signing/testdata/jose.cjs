// Verifies the tokens on standard input with npm's jose, and makes one of each
// algorithm for the other direction.
'use strict';
const fs = require('node:fs');
const jose = require('jose');

async function main() {
  const input = JSON.parse(fs.readFileSync(0, 'utf8'));
  const keys = jose.createLocalJWKSet(input.jwks);
  const verified = [];
  for (const token of input.tokens) {
    const result = await jose.compactVerify(token, keys);
    verified.push({ payload: Buffer.from(result.payload).toString(), header: result.protectedHeader });
  }
  const thumbprints = [];
  for (const jwk of input.jwks.keys) {
    thumbprints.push(jwk.crv === 'SM2' ? '' : await jose.calculateJwkThumbprint(jwk));
  }
  const made = { keys: [] };
  const tokens = [];
  for (const alg of ['ES256', 'ES384', 'EdDSA']) {
    const pair = await jose.generateKeyPair(alg, { extractable: true });
    made.keys.push({ ...(await jose.exportJWK(pair.publicKey)), kid: alg, alg, use: 'sig' });
    tokens.push(await new jose.CompactSign(Buffer.from(input.payload))
      .setProtectedHeader({ alg, kid: alg, typ: 'test+jwt', x5c: ['AQ=='] }).sign(pair.privateKey));
  }
  console.log(JSON.stringify({ verified, thumbprints, jwks: made, tokens }));
}

main().catch((err) => { console.error(err); process.exit(1); });
