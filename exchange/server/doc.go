// Package server puts the services of the domains on two ports: gRPC, and REST
// with the console, health and metrics. It knows no domain: a domain's grpc.go
// hands in a [Service], and everything that is the same for every call happens
// here, once.
//
// A call passes, in this order: request id (the caller's x-request-id, or a new
// one), log line and figures, recovery from panics, token and policy, the
// domain, error mapping. A REST call is decoded and then makes a gRPC call over
// an in-memory connection, so it passes the same steps.
//
// Errors: a domain's sentinels are mapped by its [ErrorRule] list, and nowhere
// else; the text of a mapped error is public. What is not mapped becomes
// Internal with an opaque text and the request id, and its cause goes to the
// log. gRPC callers find an ErrorInfo (domain "onewindow", reason, request_id),
// REST callers application/problem+json (RFC 9457) with reason and requestId.
//
// JSON is protojson with default values written: names in lowerCamel, int64 as
// strings, and documents (payload, schema, claims) as JSON values, see package
// jsondoc. Unknown members and unknown query parameters are refused by name.
//
// Without a token: /healthz (the process is up), /readyz (the parts and
// whether each works), /metrics (counts only), /openapi.json, the console's
// files, gRPC health and reflection, and the methods whose policy is public.
//
// /openapi.json is the document that proto/ generates, completed by package
// apidoc from the services' tables, so it lists what this process serves.
//
// Public methods that return a google.api.HttpBody are documents for everybody:
// they answer HEAD and OPTIONS, carry ETag and CORS headers, are compressed,
// and may be kept as long as their service says, see [Service].
//
// Nothing here logs a payload, a path or a token.
package server
