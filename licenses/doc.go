// Package licenses issues e-licences (电子证照), changes their status and
// verifies them.
//
// A licence is a row of the state database and an SD-JWT VC signed with ES256.
// Its number is a GB/T 36904 identifier, its status an entry of a Token Status
// List. The holder's name and code, and the claims that its type names, are
// disclosures: the holder decides who sees them.
//
// Invariants:
//   - A licence, its place in the status list, its request id and its event in
//     the outbox are one transaction; so are a change of status, its history
//     row, the status list's revision and the event.
//   - A serial and a status index are reserved in a transaction of their own
//     before the signatures are made, so that no database lock is held while
//     signing. A crash or refusal in between leaves a gap in both, never a
//     number or an index that is used twice.
//   - A request id of a department stands for one licence for ever: a
//     repetition returns it, other content under the same id is [ErrConflict].
//   - The order of status indexes is a keyed permutation: neighbours in a list
//     tell nothing about when or by whom licences were issued.
//   - Verification asks the state database, so a committed change is seen at
//     once; a status list is signed anew when its revision has changed. Offline
//     verifiers see a change when their copy is past its ttl of 15 minutes.
//   - A licence's page, a sealed OFD file, holds the digest of the licence's
//     token, so that neither passes for another's. It is made when it is first
//     asked for: 20,000 licences at once need no 20,000 pages.
//   - A verdict is closed and not an error: what does not hold says why.
//
// Failure: a call that returned an error may have committed if the connection
// broke during the commit; issuing again with the same request id is safe, a
// repeated change of status answers [ErrState]. Nothing is retried here but
// transactions that the database refused for contention.
package licenses
