// Package sdjwt issues and verifies licences as SD-JWT VC (RFC 9901,
// draft-ietf-oauth-sd-jwt-vc) and says whether they still hold with Token
// Status Lists (draft-ietf-oauth-status-list).
//
// A token is <JWT>~<disclosure>~…~, with a key binding JWT after the last "~"
// when its holder proves possession of a key. The JWT holds digests of the
// disclosable claims only: the holder takes out disclosures with Present, and
// whoever verifies learns nothing about the rest.
//
// Invariants:
//   - What is returned as a claim was signed, directly or through its digest;
//     a disclosure that no digest asks for refuses the whole token.
//   - iss, vct, iat, nbf, exp, status and cnf are visible in every token issued
//     here; a token that hides one which SD-JWT VC forbids to hide is refused.
//   - Whether key binding is required is decided by the verifier's Policy,
//     never by the shape of the token.
//   - The status is a separate, later question: an expired licence is expired
//     whatever its status list says.
//   - Whether an issuer is trusted by kid or by certificate is the verifier's
//     choice of function, never the token's.
//   - A batch is issued as a whole or not at all, with one call to the signer.
//   - Salts are 128 bits from crypto/rand, fresh for each claim.
//
// Failure: every refusal wraps an error of this package or of signing and
// yields no claims, except that an expired or not yet valid token, and a stale
// status list, come with their contents so that the reason can be explained.
// No network, no state: a token verifies offline with a key set or pinned
// roots.
package sdjwt
