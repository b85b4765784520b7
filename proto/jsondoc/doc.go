// Package jsondoc is protojson for messages with bytes fields that hold JSON
// documents: a record's payload, a resource's schema, a licence's claims. On
// gRPC such a field is the text of the document; in JSON it is the document
// itself, as a member of the message, and its text passes through unchanged,
// so that no number loses a digit.
//
// Everything but those fields is protojson's own rule: unknown and duplicate
// members are refused, names are lowerCamel, int64 is a string, times are RFC
// 3339, enums go by name, and default values are written. The generated
// packages give their messages MarshalJSON and UnmarshalJSON through
// [Marshal] and [Unmarshal], in a json.go beside the generated files.
//
// Text comes from strangers: a document is checked for JSON's grammar, UTF-8
// and a nesting depth of at most 100. An error wraps [ErrSyntax] and says in
// which line and column, and nothing of the text.
package jsondoc
