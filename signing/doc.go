// Package signing makes and checks the signed tokens of the hub: compact JWS
// (RFC 7515) with ES256, ES384, EdDSA and SM2SM3, and public keys as JWK
// (RFC 7517). Licences and status lists (sdjwt) and trust lists are built on
// it. Keys live in signing/keys; here they are crypto.Signer and public keys.
// With sdjwt it is the only place that knows JOSE.
//
// SM2SM3 is this hub's own profile of SM2 (GB/T 32918) for JOSE: JWK kty "EC",
// crv "SM2", alg "SM2SM3"; signature r‖s in 64 bytes over the signing input
// with SM3 and the user id 1234567812345678.
//
// Invariants:
//   - A key has one algorithm. Verify takes the key from its caller, never
//     from the token, and the token's alg must be that of the key.
//   - A token has one reading, and is read once. base64url with unused bits or
//     line breaks, JSON with a member twice or half a character, white space
//     around a token: all are refused, so no byte of a token can change.
//   - Certificates in a token (x5c) are read by VerifyChain alone, which trusts
//     them as far as its caller's roots do.
//   - Public keys off their curve or of small order verify nothing.
//   - Sizes and nesting are bounded before work is done.
//
// jwx makes and checks the signatures of ES256, ES384 and EdDSA, gmsm those of
// SM2; tokens are parsed here. It costs a few microseconds beside them.
//
// Failure: every refusal wraps one of the errors in errors.go, so that a
// verdict can name its reason. Nothing is retried here. Wrong data never
// panics; the fuzz tests hold on to that.
package signing
