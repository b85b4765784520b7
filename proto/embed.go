// Package proto carries the OpenAPI document of the REST interface, made from
// the .proto files by `make gen`. The generated Go packages are its
// sub-folders.
package proto

import _ "embed"

//go:embed onewindow.openapi.json
var openAPI string

// OpenAPI returns the OpenAPI 3.1 document of every service, as JSON.
func OpenAPI() []byte { return []byte(openAPI) }
