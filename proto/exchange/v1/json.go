// Package exchangev1 is the API of the sharing exchange, generated from
// exchange.proto, and the JSON of its documents.
package exchangev1

import "github.com/onewindow/onewindow/proto/jsondoc"

// In JSON, a record's payload and a resource's schema are JSON values, not
// base64 text: see package jsondoc. A message that contains one has the two
// methods of encoding/json, which the REST gateway uses.

// UnmarshalJSON decodes a request with payloads as JSON values.
func (x *PushRecordsRequest) UnmarshalJSON(data []byte) error {
	return jsondoc.Unmarshal(data, x, func(i int, doc []byte) { x.Records[i].Payload = doc }, "records", jsondoc.Each, "payload")
}

// MarshalJSON encodes the request with payloads as JSON values.
func (x *PushRecordsRequest) MarshalJSON() ([]byte, error) {
	return jsondoc.Marshal(x, "records", jsondoc.Each, "payload")
}

// UnmarshalJSON decodes a response with payloads as JSON values.
func (x *LookupRecordsResponse) UnmarshalJSON(data []byte) error {
	return jsondoc.Unmarshal(data, x, func(i int, doc []byte) { x.Records[i].Payload = doc }, "records", jsondoc.Each, "payload")
}

// MarshalJSON encodes the response with payloads as JSON values.
func (x *LookupRecordsResponse) MarshalJSON() ([]byte, error) {
	return jsondoc.Marshal(x, "records", jsondoc.Each, "payload")
}

// UnmarshalJSON decodes a record with its payload as a JSON value.
func (x *Record) UnmarshalJSON(data []byte) error {
	return jsondoc.Unmarshal(data, x, func(_ int, doc []byte) { x.Payload = doc }, "payload")
}

// MarshalJSON encodes the record with its payload as a JSON value.
func (x *Record) MarshalJSON() ([]byte, error) { return jsondoc.Marshal(x, "payload") }

// UnmarshalJSON decodes a resource with its schema as a JSON value.
func (x *Resource) UnmarshalJSON(data []byte) error {
	return jsondoc.Unmarshal(data, x, func(_ int, doc []byte) { x.Schema = doc }, "schema")
}

// MarshalJSON encodes the resource with its schema as a JSON value.
func (x *Resource) MarshalJSON() ([]byte, error) { return jsondoc.Marshal(x, "schema") }

// UnmarshalJSON decodes a request with the schema as a JSON value.
func (x *PutResourceRequest) UnmarshalJSON(data []byte) error {
	return jsondoc.Unmarshal(data, x, func(_ int, doc []byte) { x.Resource.Schema = doc }, "resource", "schema")
}

// MarshalJSON encodes the request with the schema as a JSON value.
func (x *PutResourceRequest) MarshalJSON() ([]byte, error) {
	return jsondoc.Marshal(x, "resource", "schema")
}

// UnmarshalJSON decodes a response with the schema as a JSON value.
func (x *PutResourceResponse) UnmarshalJSON(data []byte) error {
	return jsondoc.Unmarshal(data, x, func(_ int, doc []byte) { x.Resource.Schema = doc }, "resource", "schema")
}

// MarshalJSON encodes the response with the schema as a JSON value.
func (x *PutResourceResponse) MarshalJSON() ([]byte, error) {
	return jsondoc.Marshal(x, "resource", "schema")
}

// UnmarshalJSON decodes a response with the schema as a JSON value.
func (x *GetResourceResponse) UnmarshalJSON(data []byte) error {
	return jsondoc.Unmarshal(data, x, func(_ int, doc []byte) { x.Resource.Schema = doc }, "resource", "schema")
}

// MarshalJSON encodes the response with the schema as a JSON value.
func (x *GetResourceResponse) MarshalJSON() ([]byte, error) {
	return jsondoc.Marshal(x, "resource", "schema")
}

// UnmarshalJSON decodes a response with schemas as JSON values.
func (x *ListResourcesResponse) UnmarshalJSON(data []byte) error {
	return jsondoc.Unmarshal(data, x, func(i int, doc []byte) { x.Resources[i].Schema = doc }, "resources", jsondoc.Each, "schema")
}

// MarshalJSON encodes the response with schemas as JSON values.
func (x *ListResourcesResponse) MarshalJSON() ([]byte, error) {
	return jsondoc.Marshal(x, "resources", jsondoc.Each, "schema")
}
