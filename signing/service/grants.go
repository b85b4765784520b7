package service

import (
	"context"
	"fmt"
	"slices"
	"strings"
)

// Operation is what a grant allows to do with a line of keys.
type Operation string

// The operations.
const (
	// Sign makes tokens.
	Sign Operation = "sign"
	// Seal puts a seal on files and pages.
	Seal Operation = "seal"
	// Manage makes, publishes, activates, retires and destroys keys, and makes,
	// suspends and revokes seals and certificates. It does not include Sign or Seal.
	Manage Operation = "manage"
)

// Caller is who asks, as the transport has established.
type Caller struct {
	// Name is the token's or client certificate's name.
	Name string
	// Department is the USCC of the department a department's own system acts
	// for; it may seal with that department's seals without a grant.
	Department string
	// Administrator may manage without a grant.
	Administrator bool
}

// Grant lets a caller do operations with lines of keys.
type Grant struct {
	// Caller is a name.
	Caller string `yaml:"caller"`
	// Lines are names of lines; one that ends with "*" stands for all that begin so.
	Lines []string `yaml:"lines"`
	// Operations are sign, seal and manage.
	Operations []Operation `yaml:"operations"`
}

// Validate says what is wrong with a grant.
func (g Grant) Validate() error {
	if g.Caller == "" || len(g.Lines) == 0 || len(g.Operations) == 0 {
		return fmt.Errorf("%w: a grant names a caller, lines and operations", ErrInvalid)
	}
	for _, op := range g.Operations {
		if !slices.Contains([]Operation{Sign, Seal, Manage}, op) {
			return fmt.Errorf("%w: %q is not an operation: use sign, seal or manage", ErrInvalid, op)
		}
	}
	return nil
}

func (g Grant) allows(caller string, op Operation, line string) bool {
	return g.Caller == caller && slices.Contains(g.Operations, op) && slices.ContainsFunc(g.Lines, func(pattern string) bool {
		prefix, wild := strings.CutSuffix(pattern, "*")
		return pattern == line || wild && strings.HasPrefix(line, prefix)
	})
}

// authorize returns the caller if it may do op with the line, else ErrForbidden.
func (s *Service) authorize(ctx context.Context, op Operation, line string) (Caller, error) {
	caller, ok := s.cfg.Caller(ctx)
	if !ok {
		return Caller{}, fmt.Errorf("%w: it is not known who is calling", ErrForbidden)
	}
	allowed := caller.Administrator && op == Manage ||
		caller.Department != "" && op == Seal && line == sealLine(caller.Department) ||
		slices.ContainsFunc(s.cfg.Grants, func(g Grant) bool { return g.allows(caller.Name, op, line) })
	if !allowed {
		return Caller{}, fmt.Errorf("%w: %q may not %s with the keys of %q; an administrator of the signing service can grant it in its configuration",
			ErrForbidden, caller.Name, op, line)
	}
	return caller, nil
}
