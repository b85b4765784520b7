// Package jsonrow reads rows that are JSON objects: those of HTTP answers and
// of messages.
//
// A [Parser] makes one row of one object; a [Document] finds the rows in an
// answer without copying it. Both take the bytes as the department sent them,
// in its own character set.
//
// Invariants:
//   - Numbers keep their digits, objects and arrays their text; a member that is
//     missing, or null, is a null.
//   - Nothing is guessed at: bytes that are not of the character set, half of a
//     surrogate pair, a character that somebody lost before (U+FFFD), and a member that is given twice reject the row, and only
//     that row, with its original bytes.
//   - A Document holds the answer and, if its character set has letters of more
//     than one byte, one more copy of it; never a copy of each value.
package jsonrow
