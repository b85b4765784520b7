package access

import (
	"context"
	"slices"
)

// Role is what a caller is in the service hall.
type Role string

// The roles. An administrator may call everything.
const (
	Administrator Role = "administrator"
	// Department is a department's own system; it acts for one department only.
	Department Role = "department"
	Clerk      Role = "clerk"
	Analyst    Role = "analyst"
)

// Identity is an authenticated caller.
type Identity struct {
	// Name identifies the token's bearer in logs, e.g. "market push".
	Name string
	Role Role
	// Department is the department code a [Department] caller acts for, else empty.
	Department string
}

// Policy says who may call a method.
type Policy struct {
	// Public methods need no token.
	Public bool
	// Roles that may call beside the administrator.
	Roles []Role
}

// Allows says whether id may call under the policy.
func (p Policy) Allows(id Identity) bool {
	return p.Public || id.Role == Administrator || slices.Contains(p.Roles, id.Role)
}

type identityKey struct{}

// WithIdentity returns a context that carries the authenticated caller.
func WithIdentity(ctx context.Context, id Identity) context.Context {
	return context.WithValue(ctx, identityKey{}, id)
}

// FromContext returns the authenticated caller; ok is false on public methods.
func FromContext(ctx context.Context) (id Identity, ok bool) {
	id, ok = ctx.Value(identityKey{}).(Identity)
	return id, ok
}

// MayActFor says whether the caller in ctx may act for a department: its own
// system, or an administrator.
func MayActFor(ctx context.Context, department string) bool {
	id, ok := FromContext(ctx)
	return ok && (id.Role == Administrator || id.Role == Department && id.Department == department)
}
