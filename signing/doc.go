// Package signing keeps the keys of the hub and makes and checks signatures:
// compact JWS (RFC 7515) with ES256. Licences (sdjwt), status lists and trust
// lists are built on it. It knows no database and no topic, and with sdjwt it
// is the only place that imports a JOSE library.
//
// Invariants:
//   - A private key exists on disk only sealed with the operator's passphrase
//     (argon2id, AES-256-GCM) and never leaves the package.
//   - A key signs only after its file is on disk, and no key file is ever
//     replaced or removed here: what was signed once can be verified always.
//   - Verify takes the algorithm from a list of its own and the key from its
//     caller, never from the token.
//   - A token has one reading. base64url with unused bits or line breaks, JSON
//     with a member twice, white space around a token: all are refused.
//   - Sizes, nesting and key-derivation costs are bounded before work is done.
//
// Failure: every refusal wraps one of the errors in errors.go, so that a
// verdict can name its reason. Nothing is retried here. Opening a folder fails
// as a whole if one file is damaged. Wrong data never panics; the fuzz tests
// hold on to that.
package signing
