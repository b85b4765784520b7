package connectors

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strings"
)

// defined is a definition with something that changes when it does.
type defined struct {
	Definition
	// text is the YAML of a definition that came by the API; empty for one of the configuration.
	text string
}

// same reports whether a source that is being read has this definition.
func (d defined) same(run *sourceRun) bool {
	return d.text == run.text && (d.text != "" || reflect.DeepEqual(d.Definition, run.def))
}

// definitions returns every definition by name: those of the configuration,
// then those that came by the API.
func (r *Runner) definitions(ctx context.Context) (map[string]defined, error) {
	all, unread := map[string]defined{}, map[string]bool{}
	rows, err := r.cfg.DB.QueryContext(ctx, `SELECT name, body FROM connector_definitions`)
	if err != nil {
		return nil, fmt.Errorf("connectors: load definitions: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var name, body string
		if err := rows.Scan(&name, &body); err != nil {
			return nil, fmt.Errorf("connectors: load definitions: %w", err)
		}
		r.mu.Lock()
		known, ok := r.stored[name]
		r.mu.Unlock()
		if ok && known.text == body { // Run asks every second
			all[name] = known
			continue
		}
		defs, err := ParseDefinitions([]byte(body), r.cfg.Dir)
		if err != nil || len(defs) != 1 { // it was good when it was stored, by another version of this program
			unread[name] = true
			r.report(Status{Name: name, State: Failing, Code: FaultDefinition, Fault: fmt.Sprintf("the stored definition is not one of this version; put it again: %v", err)})
			continue
		}
		all[name] = defined{Definition: defs[0], text: body}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("connectors: load definitions: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.stored, r.unread = maps.Clone(all), unread
	for name, def := range r.fixed {
		all[name] = defined{Definition: def}
	}
	return all, nil
}

// definition returns one definition or [ErrUnknownSource].
func (r *Runner) definition(ctx context.Context, name string) (defined, error) {
	all, err := r.definitions(ctx)
	if err != nil {
		return defined{}, err
	}
	def, ok := all[name]
	if !ok {
		return defined{}, fmt.Errorf("%w: %q; GET /v1/sources lists what there is", ErrUnknownSource, name)
	}
	return def, nil
}

// PutDefinition stores the definition of one source, written as in a
// definitions file with that one source, and starts to read it. A position
// that was saved under the name is kept, and refused by the source if it is of
// another table. Errors: [ErrDefinition], [ErrFixed], [exchange.ErrUnknownResource].
func (r *Runner) PutDefinition(ctx context.Context, body, by string) (Definition, error) {
	defs, err := ParseDefinitions([]byte(body), r.cfg.Dir)
	if err != nil {
		return Definition{}, err
	}
	if len(defs) != 1 {
		return Definition{}, fmt.Errorf("%w: %d sources; send them one by one", ErrDefinition, len(defs))
	}
	def := defs[0]
	if err := r.notFixed(def.Name); err != nil {
		return Definition{}, err
	}
	if _, err := r.construct(def); err != nil {
		return Definition{}, err
	}
	// Refused now rather than when the first row has been read.
	if _, err := r.cfg.Publisher.Examine(ctx, def.Resource, nil); err != nil {
		return Definition{}, fmt.Errorf("source %s: %w", def.Name, err)
	}
	if _, err := r.cfg.DB.ExecContext(ctx, `INSERT INTO connector_definitions (name, body, changed_at, changed_by) VALUES ($1, $2, $3, $4)
		ON CONFLICT (name) DO UPDATE SET body = excluded.body, changed_at = excluded.changed_at, changed_by = excluded.changed_by`,
		def.Name, body, r.cfg.Now().UnixMicro(), by); err != nil {
		return Definition{}, fmt.Errorf("connectors: store the definition of %s: %w", def.Name, err)
	}
	r.poke()
	return def, nil
}

// DeleteDefinition ends a source that came by the API. Its position stays, in
// case it comes back. Errors: [ErrUnknownSource], [ErrFixed].
func (r *Runner) DeleteDefinition(ctx context.Context, name string) error {
	if err := r.notFixed(name); err != nil {
		return err
	}
	res, err := r.cfg.DB.ExecContext(ctx, `DELETE FROM connector_definitions WHERE name = $1`, name)
	if err != nil {
		return fmt.Errorf("connectors: delete the definition of %s: %w", name, err)
	}
	if n, err := res.RowsAffected(); err != nil {
		return fmt.Errorf("connectors: delete the definition of %s: %w", name, err)
	} else if n == 0 {
		return fmt.Errorf("%w: %q", ErrUnknownSource, name)
	}
	r.poke()
	return nil
}

// Definition returns the YAML of a definition that came by the API, or
// [ErrFixed] for one of the configuration's file.
func (r *Runner) Definition(ctx context.Context, name string) (string, error) {
	if err := r.notFixed(name); err != nil {
		return "", err
	}
	var body string
	err := r.cfg.DB.QueryRowContext(ctx, `SELECT body FROM connector_definitions WHERE name = $1`, name).Scan(&body)
	if errors.Is(err, sql.ErrNoRows) {
		return "", fmt.Errorf("%w: %q", ErrUnknownSource, name)
	}
	return body, err
}

func (r *Runner) notFixed(name string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.fixed[name]; ok {
		return fmt.Errorf("%w: %s; change it there", ErrFixed, name)
	}
	return nil
}

// department is the code before the slash of a source's name.
func department(source string) string {
	code, _, _ := strings.Cut(source, "/")
	return code
}
