// Package ses reads, checks and makes electronic seals (电子印章) and seal
// signatures (电子签章) of GB/T 38540-2020 and GM/T 0031, and keeps the register
// of this hub's seals.
//
// A seal is signed by its maker and binds a name, a picture, a period and the
// certificates of those who may use it. A seal signature holds the whole seal,
// the digest of what was sealed, and the signer's signature over both. Three
// generations are read (V1 of 2014, V4 of 2020, V5 of 2025); V4 is written. All
// signatures are SM2 with SM3 and the user id 1234567812345678.
//
// Invariants:
//   - Bytes are never encoded again: what is verified are slices of what was
//     read, and a seal goes into a signature byte for byte.
//   - One reading: strict DER, no bytes after any structure. The generation
//     follows from the shape, and the version number must agree with it, since
//     the generations differ in what the maker signs. Tolerated is what real
//     seals need: extDatas of a seal as SEQUENCE or [0], a FALSE that is spelled
//     out, and in V1 OCTET STRING for BIT STRING, GeneralizedTime for UTCTime
//     and a time as text in the time of China.
//   - Lengths, counts and pixels are bounded before work is done.
//   - Nothing is made that this package would not accept: own seals and
//     signatures are verified before they are handed out.
//   - The only private key here is the caller's crypto.Signer.
//
// Checks report steps, each apart, in the order of GM/T 0031-2014, 6.2.3; the
// details are Chinese, for clerks. They hold if no step failed. Not judged: the
// sealed data (the caller compares DataHash), a timestamp on a seal of V5
// (GM/T 0031-2025 is known only from others' code), and a V1 signing time that
// is a timestamp token, whose content no text says: it fails.
//
// Failure: parsing returns ErrMalformed with the field; making and signing
// refuse with a sentinel of errors.go before the key is used. The register has
// its own files only: a seal's file is on disk before register.json names it,
// each file is replaced as a whole, and a kill at any point leaves the last
// answered state. A damaged register is not opened.
package ses
