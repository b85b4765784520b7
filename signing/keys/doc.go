// Package keys is the key ring of the hub: the private keys of licences, seals,
// certificate authorities and timestamps, in sealed files or in tokens such as
// an HSM. A line is what keys are for, with one algorithm for ever; its keys
// follow one another:
//
//	created → published → active → retired → destroyed
//
// Invariants:
//   - A private key is on disk only sealed with the operator's passphrase
//     (argon2id once for the folder, AES-256-GCM for each file), or it never
//     leaves its token. Nothing here gives it out.
//   - A line has at most one active key, and only that one makes tokens and is
//     given out for the line. A new key was in the key set for one cache period
//     before; until it is active it is given out by its kid alone, to sign the
//     request for its certificate.
//   - When a key is retired it makes no signature any more, not even one that
//     was under way; what it signed verifies for ever, also after its
//     destruction, which takes two people.
//   - Each signature is in the use log, on disk, before the key is used for it.
//   - The manifest and the key files are authenticated with the passphrase: a
//     state, public key or certificate that somebody else has changed is noticed.
//     A whole folder put back to an older state is not; the use log shows the
//     keys that have signed since.
//   - One process has the folder.
//
// The use log (Journal) is a chain of lines in segments. Closed segments are
// uses-<first line>.jsonl; heads.jsonl has a head for each, signed with a key of
// the log that log.key holds, sealed with the passphrase; uses.jsonl is the
// segment being written; tail.json is the signed last line of the last clean
// shutdown. Opening notices: a changed line of the current segment; a segment
// that is missing or has another size; heads or a note that are missing a part
// or were not signed here; a log that is shorter than at its last clean
// shutdown. AuditJournal notices besides a changed line of any closed segment.
// Not noticed without the figures of an earlier audit: lines cut off that were
// written after both the last head and the last clean shutdown; the whole folder
// put back to an older state; all files replaced by a log that begins again,
// with no key or another key of the log. In the current segment, somebody who
// rewrites all lines after the last clean shutdown is not noticed either.
//
// Durability: a private key is stored before the manifest names it, and the
// manifest says that it is destroyed before it is removed; each change is one
// replacement of the manifest. So a crash leaves the step undone or done, at
// worst beside a private key that nothing uses, and Open finishes what can only
// go on.
//
// Failure: errors wrap one of errors.go, signing.ErrUnknownKey for a kid that
// is not here, or what a token or the use log reports. After an error of the
// disk a change may be found done at the next Open. Nothing is retried. A use
// log that fails stops all signing.
package keys
