// Package access says who is calling and what they may do.
//
// A caller shows a bearer token: 256 random bits, shown once when it is issued
// ([Tokens.Issue]) and kept only as its SHA-256, so that a stolen database
// opens nothing. [Tokens.Authenticate] turns a token into an [Identity]; a
// method's [Policy] says which roles may call it; [MayActFor] says whether the
// caller may act for a department.
//
// Tokens live in the state database, in the table access_tokens of this
// package. Identities are remembered for a second, so a revoked token is
// refused at once by the process that revoked it and within a second by the
// others. When the database does not answer, nobody new is let in: the error
// is the database's, not [ErrUnauthenticated].
//
// No error and no log line contains a token.
package access
