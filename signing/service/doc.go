// Package service is the signing service: everything that uses a private key
// goes through it, in the hub's process or in one of its own behind mTLS. It
// joins the key ring (package keys), the hub's certificate authorities (pki),
// its seals (ses), sealed files (ofd) and timestamps (tsa).
//
// Invariants:
//   - A caller uses a line of keys only for what a grant allows; being an
//     administrator is no right to sign.
//   - What is signed is checked before: a token's payload is JSON with the
//     claims its type asks for and this hub as its issuer; a seal is put only on
//     a file that is whole. What was signed is verified before it leaves, so
//     that no fault of a key, a token device or this program gets out.
//   - Each use of a key is in the use log before it happens.
//   - A call with a request id may be repeated: its answer is on disk before it
//     is given, and is given again for a day. The same id with another request
//     is refused. What a crash interrupted is done anew; the use log then shows
//     both uses.
//
// Failure: errors wrap those of errors.go or of the packages joined here. The
// program has the table that gives each its place in the API.
package service
