// Package apidoc completes the OpenAPI document that the protos generate with
// what only the running server knows: who may call an operation, which errors
// it returns, which types of content it has, and the paths that are no gRPC
// methods. Begin at [Build].
//
// # Guarantees
//
//   - Every operation lists every status that it returns; every error is
//     application/problem+json with the schema Problem.
//   - Operation ids are unique; path parameters have plain names.
//   - A member of an answer is required when it is always there. A schema that
//     requests and answers share is split when they differ: the one for
//     requests ends in "Input" and allows no unknown members.
//
// # Limits
//
// Limits of values that the domains check (check digits, lengths, ranges) are
// described in words, not in schemas.
package apidoc
