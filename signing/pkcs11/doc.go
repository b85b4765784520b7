// Package pkcs11 signs with keys that live in a hardware security module,
// reached through the vendor's PKCS#11 library (OASIS PKCS #11 v2.40; EdDSA
// from v3.0). Keys are P-256 (ES256), P-384 (ES384) and Ed25519 (EdDSA). SM2 is
// refused: every vendor numbers its SM2 mechanisms and fills their parameters
// in its own way, and nobody could check a guess.
//
// The library is loaded with purego, because this module is built without cgo
// and the usual Go bindings need it. The layouts in module.go are those of
// Linux and macOS on 64 bits; Windows packs the structures differently, has
// 32-bit CK_ULONG, and is not supported.
//
// Invariants:
//   - A key is made inside the token, sensitive and not extractable, and a key
//     that is otherwise is refused. Private bytes never reach this process.
//   - A PIN is sent once per login and never again after the token refused it,
//     not even by a later operation, because a few wrong PINs lock a token for
//     good. If the token says that one attempt is left, none is made, so that
//     a hub that a supervisor starts again and again cannot lock it.
//   - Every signature is verified against the public key before it is handed
//     out. A key that was swapped behind its CKA_ID signs nothing.
//   - "No such key" is said only by a session that is logged in, on a token
//     that still answers: a token shows no private keys to others, and a key
//     ring must not take that for a lost key.
//   - Memory that C reads through another structure is pinned for the call.
//     Nothing that C returned is kept, but handles.
//
// Failure: a session that is gone (token pulled out and back, HSM restarted,
// sessions timed out, library finalised by another part of the process) is
// replaced by a new login, once, and the operation is repeated once. Making a
// key is never repeated, since its outcome may be unknown; Destroy its id and
// Generate again. Every other error is returned at once and wraps one of the
// sentinels in errors.go with the name of the PKCS#11 function and its code.
// A call into the library cannot be interrupted: a context ends the waiting for
// a free session, not a call under way.
//
// The library is a global of the process. It is never finalised here, as other
// Tokens may use it; the last session that Close closes logs the process out.
package pkcs11
