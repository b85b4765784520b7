package exchange

import _ "embed"

//go:embed messages.json
var messages []byte

// Messages returns the catalogue of this package's codes, as package message reads it:
// every code that it gives away, in Chinese and in English, with what to do.
func Messages() []byte { return messages }
