// Package licensesv1 is the API of e-licences, generated from licenses.proto,
// and the JSON of their documents.
package licensesv1

import "github.com/onewindow/onewindow/proto/jsondoc"

// In JSON, the claims of a licence are a JSON value, not base64 text: see
// package jsondoc. A message that contains them has the two methods of
// encoding/json, which the REST gateway uses.

// UnmarshalJSON decodes a request with the claims as a JSON value.
func (x *IssueLicenseRequest) UnmarshalJSON(data []byte) error {
	return jsondoc.Unmarshal(data, x, func(_ int, doc []byte) { x.Claims = doc }, "claims")
}

// MarshalJSON encodes the request with the claims as a JSON value.
func (x *IssueLicenseRequest) MarshalJSON() ([]byte, error) { return jsondoc.Marshal(x, "claims") }

// UnmarshalJSON decodes a request with claims as JSON values.
func (x *BatchIssueLicensesRequest) UnmarshalJSON(data []byte) error {
	return jsondoc.Unmarshal(data, x, func(i int, doc []byte) { x.Requests[i].Claims = doc }, "requests", jsondoc.Each, "claims")
}

// MarshalJSON encodes the request with claims as JSON values.
func (x *BatchIssueLicensesRequest) MarshalJSON() ([]byte, error) {
	return jsondoc.Marshal(x, "requests", jsondoc.Each, "claims")
}

// UnmarshalJSON decodes a response with the claims as a JSON value.
func (x *VerifyLicenseResponse) UnmarshalJSON(data []byte) error {
	return jsondoc.Unmarshal(data, x, func(_ int, doc []byte) { x.Claims = doc }, "claims")
}

// MarshalJSON encodes the response with the claims as a JSON value.
func (x *VerifyLicenseResponse) MarshalJSON() ([]byte, error) { return jsondoc.Marshal(x, "claims") }
