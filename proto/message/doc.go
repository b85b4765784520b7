// Package message renders what people read from a code and named arguments, in
// Chinese and in English, with a hint that says what to do. Begin with [Catalog].
//
// Every package that gives codes away owns a file messages.json (see [Parse]);
// the program merges them at start. A domain names a code and never writes a
// translated sentence of its own.
//
// # Guarantees
//
//   - A catalogue that was parsed has every text in both languages, with the
//     same placeholders in both.
//   - Rendering never fails: a missing argument stays visible as {name}.
//
// # Errors
//
// [ErrCatalog] is a fault of a messages.json: it is the program's own fault and
// is found by its tests, or at start.
package message
