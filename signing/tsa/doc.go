// Package tsa makes and checks timestamps: a signed statement that data existed
// at a time (RFC 3161, RFC 5816). An e-seal signature that carries one can be
// judged after the signer's certificate has expired or was revoked.
//
// Authority answers requests, Client asks an authority over HTTP, and Verify
// checks a token against the data and the trusted roots. A token is CMS
// SignedData (RFC 5652) with one signer. Keys on P-256 sign with ECDSA and
// SHA-256. SM2 keys sign with SM3 under the object identifiers of GB/T 35275
// (signedData 1.2.156.10197.6.1.4.2.2, signature 1.2.156.10197.1.301.1), while
// what is signed, TSTInfo and the signed attributes, keeps those of RFC 3161
// and RFC 5652. RSA, P-384 and the RFC's own signedData are also read.
//
// The CMS is read and written here with cryptobyte. The pkcs7 package of gmsm
// turns BER into DER before it reads, skips over what it cannot read, encodes
// the signed attributes anew before it verifies them, and neither compares the
// content type nor knows TSTInfo or the attribute that names the certificate.
//
// Invariants:
//   - DER only, and one reading: nothing after the last member, no field twice,
//     no member that is neither signed nor checked except certificates above
//     the signer's. Unsigned attributes, embedded revocation lists and a second
//     signer are refused.
//   - The signature is verified over the bytes that came, never over bytes
//     encoded anew.
//   - The signer's certificate is the one that the signed attribute
//     signingCertificate or signingCertificateV2 names, and no other.
//   - The certificate must be good for timestamps, and for nothing else, at the
//     token's own time; see Verify for revocation.
//   - A token leaves Authority or Client only after it was verified.
//
// Failure: every error wraps one of those in errors.go. An authority answers
// every request, good or bad, with a reply; nothing is retried and nothing is
// stored. Serial numbers are random, 128 bits, and so are unique across
// restarts and instances without a record of them.
package tsa
