// Verifies the tokens on standard input with npm's @sd-jwt packages, and makes
// a token with key binding and a status list for the other direction.
'use strict';
const fs = require('node:fs');
const { SDJwtVcInstance } = require('@sd-jwt/sd-jwt-vc');
const { Jwt } = require('@sd-jwt/core');
const { ES256, digest, generateSalt } = require('@sd-jwt/crypto-nodejs');
const { StatusList, createHeaderAndPayload } = require('@sd-jwt/jwt-status-list');

async function verify(input) {
  const results = [];
  for (const { token, list } of input.tokens) {
    const instance = new SDJwtVcInstance({
      hasher: digest,
      verifier: await ES256.getVerifier(input.issuer),
      kbVerifier: async (data, sig, payload) => (await ES256.getVerifier(payload.cnf.jwk))(data, sig),
      statusListFetcher: async () => list,
    });
    try {
      const { payload, kb } = await instance.verify(token, { currentDate: input.now, keyBindingNonce: input.nonce });
      results.push({ payload, kb: kb.payload });
    } catch (err) {
      results.push({ error: String(err.message) });
    }
  }
  return results;
}

async function issue(input) {
  const issuer = await ES256.generateKeyPair();
  const holder = await ES256.generateKeyPair();
  const signer = await ES256.getSigner(issuer.privateKey);
  const instance = new SDJwtVcInstance({
    hasher: digest, hashAlg: 'sha-256', saltGenerator: generateSalt,
    signer, signAlg: ES256.alg, verifier: await ES256.getVerifier(issuer.publicKey),
    kbSigner: await ES256.getSigner(holder.privateKey), kbSignAlg: ES256.alg,
  });
  const { kty, crv, x, y } = holder.publicKey;
  const token = await instance.issue({
    iss: input.iss, vct: input.vct, iat: input.now, exp: input.now + 3600,
    cnf: { jwk: { kty, crv, x, y } },
    status: { status_list: { idx: 5, uri: input.uri } },
    name: '张三', id: '11010519491231002X', address: { city: '长沙', street: '一路' }, places: ['甲', '乙', '丙'],
  }, {
    _sd: ['name', 'id'], _sd_decoy: 3,
    address: { _sd: ['street'] },
    places: { _sd: [0, 2] },
  }, { header: { kid: 'theirs' } });
  const shown = await instance.present(token, { name: true, places: { 2: true } },
    { kb: { payload: { iat: input.now, aud: input.aud, nonce: input.nonce } } });

  const list = createHeaderAndPayload(new StatusList([0, 1, 2, 0, 0, 2, 3, 0, 0, 0], 2),
    { iss: input.iss, sub: input.uri, iat: input.now, exp: input.now + 3600, ttl: 900 },
    { alg: ES256.alg, typ: 'statuslist+jwt', kid: 'theirs' });
  const jwt = new Jwt(list);
  await jwt.sign(signer);
  const jwk = { kty: 'EC', crv: 'P-256', x: issuer.publicKey.x, y: issuer.publicKey.y, kid: 'theirs', alg: 'ES256', use: 'sig' };
  return { jwks: { keys: [jwk] }, token, shown, list: jwt.encodeJwt() };
}

async function main() {
  const input = JSON.parse(fs.readFileSync(0, 'utf8'));
  console.log(JSON.stringify({ results: await verify(input), made: await issue(input) }));
}

main().catch((err) => { console.error(err); process.exit(1); });
