// Package signingv1 is the API of keys, tokens, e-seals and sealed files,
// generated from signing.proto, and the JSON of their documents.
package signingv1

import "github.com/onewindow/onewindow/proto/jsondoc"

// UnmarshalJSON decodes a request with payloads as JSON values (package
// jsondoc).
func (x *SignTokensRequest) UnmarshalJSON(data []byte) error {
	return jsondoc.Unmarshal(data, x, func(i int, doc []byte) { x.Payloads[i] = doc }, "payloads", jsondoc.Each)
}

// MarshalJSON encodes the request with payloads as JSON values.
func (x *SignTokensRequest) MarshalJSON() ([]byte, error) {
	return jsondoc.Marshal(x, "payloads", jsondoc.Each)
}
