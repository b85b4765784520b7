// Package files reads delimited text files (CSV) that a department leaves in
// a folder. Nothing in the folder is written, moved or locked.
//
// Order. Files whose names match the pattern are read in the order of their
// names, each to its end, so names must grow (resident-20251103.csv). A file
// that appears with a name before one that was already read is reported as a
// fault when everything else is read; it has to be renamed.
//
// Complete files only. A file is read when its size and modification time are
// the same in two polls and it ends with a line end; one that does not end
// with a line end has to be unchanged for a minute. Later files wait for it.
//
// Changes. The position holds the name of the newest file, how far it was read
// and the SHA-256 of those bytes. A file that only grew is read on from there;
// one whose read part changed is read again from its beginning, which is
// harmless because unchanged rows keep their record ids. Changes of older
// files are not seen.
//
// Characters. Lines are cut at the byte 0x0A, which is never part of a
// character in GBK, GB18030 and UTF-8; everything else happens after decoding,
// so that a second byte of 0x5C or 0x7C is never taken for "\" or "|". Bytes
// that are not of the charset reject their row and are never replaced. A
// byte-order mark is accepted and says UTF-8 even in a file declared as GBK.
//
// Fields follow RFC 4180 as encoding/csv reads it: quotes around a field may
// enclose delimiters, doubled quotes and line ends. A row that cannot be taken
// apart, or has more or fewer fields than the header, rejects its first line,
// and reading goes on at the next line, so an unclosed quote costs one line.
// Rows longer than [connectors.MaxRowBytes] are rejected with their first
// 64 KiB. Empty lines are not rows.
//
// The header. A column that the mapping needs and the header lacks rejects
// every row of that file (COLUMN_CHANGED) and of no other; columns that the
// mapping does not know are ignored with a warning.
package files
