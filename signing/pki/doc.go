// Package pki issues certificates and checks those of others: X.509 v3 with
// SM2, P-256, P-384 and Ed25519 keys (RFC 5280; GB/T 20518 for SM2 signing
// certificates), requests (RFC 2986), revocation lists, chains and trust.
// RSA certificates of other authorities are read. It knows no seal, document
// or timestamp: those packages ask Trust.Check for a use.
//
// Invariants:
//   - A certificate, request or list has one reading: DER throughout, nothing
//     after the last member, sizes and nesting bounded (ParseCertificate says
//     it in full). Names are written in UTF-8.
//   - A key signs in one scheme alone: a signature algorithm that is not the
//     issuer key's own fails, so that an SM2 key never verifies ECDSA.
//   - A certificate serves one use (Usage has the table), and no certificate
//     leaves an Authority before it was read again, found to be what was asked
//     for, and is on disk. A revocation is on disk before Revoke returns, and
//     numbers of revocation lists only rise.
//   - Trust never changes and has no clock. A path's names, signatures and
//     constraints hold at any time and are remembered; periods and revocation
//     are judged for each call, so that old signatures can be judged by the
//     time of signing.
//   - Private keys are crypto.Signers; no key passes through this package.
//
// Not supported, and therefore refused: certificate policies that must be
// processed, name constraints on directory names, delta and indirect
// revocation lists, curves by parameters, PKCS #7 bundles. There is no OCSP
// and nothing is fetched from the network.
//
// Failure: every refusal wraps one of the errors in errors.go. Result keeps
// chain, use, period and revocation apart, since a verifier weighs them
// differently. Nothing is retried here; Issue says how its caller retries. An
// authority's folder opens whole or not at all.
package pki
