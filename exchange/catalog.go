package exchange

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/onewindow/onewindow/exchange/bus"
	"github.com/onewindow/onewindow/exchange/sqldb"
)

// ShareType says who may see a resource (共享类型).
type ShareType string

// The share types.
const (
	Unconditional ShareType = "unconditional"
	Conditional   ShareType = "conditional"
	NotShared     ShareType = "not_shared"
)

// Department is a department of the jurisdiction. Code is its short stable
// name in topics, USCC its identity after GB 32100, Region a GB/T 2260 code.
type Department struct {
	Code, USCC, Title, Region string
}

// Resource is one catalogued data set (政务数据资源). Name is
// "<department>.<resource>", Schema a JSON Schema 2020-12 of the payload. A
// record entered more than AgreedDelaySeconds after its event time is late; 0
// means never.
type Resource struct {
	Name, Title        string
	Kind               Kind
	ShareType          ShareType
	Schema             []byte
	AgreedDelaySeconds int64
}

// Matter is a service item (政务服务事项) with the materials it asks for.
// Limits are in working days.
type Matter struct {
	Code          string     `json:"code"`
	Title         string     `json:"title"`
	Department    string     `json:"department"`
	Type          MatterType `json:"type"`
	PromisedDays  int32      `json:"promisedDays"`
	StatutoryDays int32      `json:"statutoryDays"`
	Materials     []Material `json:"materials"`
}

// MatterType is an item type (事项类型).
type MatterType string

// The item types: 即办件, 承诺件, 联办件, 上报件.
const (
	Immediate MatterType = "immediate"
	Promised  MatterType = "promised"
	Joint     MatterType = "joint"
	Forwarded MatterType = "forwarded"
)

// Material is a document that matters ask for (材料): one code everywhere. It
// is satisfied by a licence of LicenseType or by a record of Resource keyed by
// the applicant, where these are set.
type Material struct {
	Code        string `json:"code"`
	Title       string `json:"title"`
	LicenseType string `json:"licenseType,omitempty"`
	Resource    string `json:"resource,omitempty"`
}

// The forms of codes. They go into topic names, URLs and file names.
var (
	departmentCode = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
	resourceName   = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}\.[a-z][a-z0-9-]{0,47}$`)
	matterCode     = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]{0,63}$`)
)

// PutDepartment registers a department or replaces it. It returns [ErrInvalid]
// or, for a USCC that another department has, [ErrConflict].
func (e *Exchange) PutDepartment(ctx context.Context, d Department) error {
	switch {
	case !departmentCode.MatchString(d.Code):
		return fmt.Errorf("%w: department code %q: use 1 to 32 lower-case letters, digits and hyphens, beginning with a letter", ErrInvalid, d.Code)
	case !ValidUSCC(d.USCC):
		return fmt.Errorf("%w: department %s: %q is not a unified social credit code (GB 32100): check its 18 characters", ErrInvalid, d.Code, d.USCC)
	case strings.TrimSpace(d.Title) == "":
		return fmt.Errorf("%w: department %s has no title", ErrInvalid, d.Code)
	case !ValidRegion(d.Region):
		return fmt.Errorf("%w: department %s: %q is not a region code (GB/T 2260)", ErrInvalid, d.Code, d.Region)
	}
	_, err := e.cfg.DB.ExecContext(ctx, `INSERT INTO departments (code, uscc, title, region) VALUES ($1, $2, $3, $4)
		ON CONFLICT (code) DO UPDATE SET uscc = excluded.uscc, title = excluded.title, region = excluded.region`,
		d.Code, d.USCC, d.Title, d.Region)
	if sqldb.Unique(err) {
		return fmt.Errorf("%w: another department has the unified social credit code %s", ErrConflict, d.USCC)
	}
	if err != nil {
		return fmt.Errorf("exchange: put department: %w", err)
	}
	return nil
}

// Department returns one department or [ErrUnknownDepartment].
func (e *Exchange) Department(ctx context.Context, code string) (Department, error) {
	d := Department{Code: code}
	err := e.cfg.DB.QueryRowContext(ctx, `SELECT uscc, title, region FROM departments WHERE code = $1`, code).Scan(&d.USCC, &d.Title, &d.Region)
	if errors.Is(err, sql.ErrNoRows) {
		return Department{}, fmt.Errorf("%w: %q: register it with PUT /v1/departments/%s", ErrUnknownDepartment, code, code)
	}
	if err != nil {
		return Department{}, fmt.Errorf("exchange: department: %w", err)
	}
	return d, nil
}

// Departments returns up to limit departments whose code is after the given
// one, by code.
func (e *Exchange) Departments(ctx context.Context, after string, limit int) ([]Department, error) {
	return list(ctx, e.cfg.DB, func(scan func(...any) error) (d Department, err error) {
		return d, scan(&d.Code, &d.USCC, &d.Title, &d.Region)
	}, `SELECT code, uscc, title, region FROM departments WHERE code > $1 ORDER BY code LIMIT $2`, after, limit)
}

// PutResource registers a resource or replaces it, and makes its topic first:
// a topic without a resource harms nobody. It returns [ErrInvalid] for a bad
// name or schema and [ErrUnknownDepartment].
func (e *Exchange) PutResource(ctx context.Context, r Resource) error {
	if !resourceName.MatchString(r.Name) {
		return fmt.Errorf("%w: resource name %q: use <department>.<resource> in lower-case letters, digits and hyphens", ErrInvalid, r.Name)
	}
	if r.AgreedDelaySeconds < 0 {
		return fmt.Errorf("%w: resource %s: the agreed delay is negative", ErrInvalid, r.Name)
	}
	if r.Kind == "" || r.ShareType == "" {
		return fmt.Errorf("%w: resource %s: kind and share type are required", ErrInvalid, r.Name)
	}
	var compact bytes.Buffer
	if err := json.Compact(&compact, r.Schema); err != nil {
		return fmt.Errorf("%w: resource %s: the schema is not JSON: %w", ErrInvalid, r.Name, err)
	}
	r.Schema = compact.Bytes()
	if _, err := newValidator(r); err != nil {
		return err
	}
	if _, err := e.Department(ctx, DepartmentOf(r.Name)); err != nil {
		return err
	}
	if err := e.cfg.Topics.EnsureTopic(ctx, TopicOf(r.Name), bus.TopicOptions{Partitions: e.cfg.Partitions}); err != nil {
		return fmt.Errorf("exchange: put resource: %w", err)
	}
	_, err := e.cfg.DB.ExecContext(ctx, `INSERT INTO resources (name, title, kind, share_type, schema_json, agreed_delay_seconds) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (name) DO UPDATE SET title = excluded.title, kind = excluded.kind, share_type = excluded.share_type,
		schema_json = excluded.schema_json, agreed_delay_seconds = excluded.agreed_delay_seconds`,
		r.Name, r.Title, string(r.Kind), string(r.ShareType), string(r.Schema), r.AgreedDelaySeconds)
	if err != nil {
		return fmt.Errorf("exchange: put resource: %w", err)
	}
	e.mu.Lock()
	delete(e.validated, r.Name)
	e.changes++
	e.mu.Unlock()
	return nil
}

const resourceColumns = `name, title, kind, share_type, schema_json, agreed_delay_seconds`

func scanResource(scan func(...any) error) (r Resource, err error) {
	return r, scan(&r.Name, &r.Title, &r.Kind, &r.ShareType, &r.Schema, &r.AgreedDelaySeconds)
}

// Resource returns one resource or [ErrUnknownResource].
func (e *Exchange) Resource(ctx context.Context, name string) (Resource, error) {
	r, err := scanResource(e.cfg.DB.QueryRowContext(ctx, `SELECT `+resourceColumns+` FROM resources WHERE name = $1`, name).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return Resource{}, fmt.Errorf("%w: %q is not in the catalogue: see GET /v1/resources, or register it with PUT /v1/resources/%s", ErrUnknownResource, name, name)
	}
	if err != nil {
		return Resource{}, fmt.Errorf("exchange: resource: %w", err)
	}
	return r, nil
}

// Resources returns up to limit resources whose name is after the given one,
// by name.
func (e *Exchange) Resources(ctx context.Context, after string, limit int) ([]Resource, error) {
	return list(ctx, e.cfg.DB, scanResource,
		`SELECT `+resourceColumns+` FROM resources WHERE name > $1 ORDER BY name LIMIT $2`, after, limit)
}

// PutMatters registers or replaces matters in one transaction, all or none.
// It returns [ErrInvalid] or [ErrUnknownDepartment] naming the first fault.
func (e *Exchange) PutMatters(ctx context.Context, matters []Matter) error {
	known := map[string]bool{}
	for _, m := range matters {
		if err := checkMatter(m); err != nil {
			return err
		}
		if known[m.Department] {
			continue
		}
		if _, err := e.Department(ctx, m.Department); err != nil {
			return fmt.Errorf("matter %s: %w", m.Code, err)
		}
		known[m.Department] = true
	}
	return e.cfg.DB.InTx(ctx, func(tx *sql.Tx) error {
		for _, m := range matters {
			body, err := json.Marshal(m)
			if err != nil {
				return fmt.Errorf("exchange: put matter %s: %w", m.Code, err)
			}
			if _, err := tx.ExecContext(ctx, `INSERT INTO matters (code, department, body) VALUES ($1, $2, $3)
				ON CONFLICT (code) DO UPDATE SET department = excluded.department, body = excluded.body`, m.Code, m.Department, string(body)); err != nil {
				return fmt.Errorf("exchange: put matter %s: %w", m.Code, err)
			}
		}
		return nil
	})
}

func checkMatter(m Matter) error {
	switch {
	case !matterCode.MatchString(m.Code):
		return fmt.Errorf("%w: matter code %q: use 1 to 64 letters, digits, dots and hyphens", ErrInvalid, m.Code)
	case strings.TrimSpace(m.Title) == "":
		return fmt.Errorf("%w: matter %s has no title", ErrInvalid, m.Code)
	case m.Type == "":
		return fmt.Errorf("%w: matter %s has no type", ErrInvalid, m.Code)
	case m.PromisedDays < 0 || m.StatutoryDays < 0:
		return fmt.Errorf("%w: matter %s has a negative limit", ErrInvalid, m.Code)
	}
	seen := map[string]bool{}
	for _, material := range m.Materials {
		if material.Code == "" || seen[material.Code] {
			return fmt.Errorf("%w: matter %s: material code %q is empty or listed twice", ErrInvalid, m.Code, material.Code)
		}
		if material.Resource != "" && !resourceName.MatchString(material.Resource) {
			return fmt.Errorf("%w: matter %s, material %s: %q is not a resource name", ErrInvalid, m.Code, material.Code, material.Resource)
		}
		seen[material.Code] = true
	}
	return nil
}

func scanMatter(scan func(...any) error) (m Matter, err error) {
	var body string
	if err := scan(&body); err != nil {
		return Matter{}, err
	}
	return m, json.Unmarshal([]byte(body), &m)
}

// Matter returns one matter or [ErrUnknownMatter].
func (e *Exchange) Matter(ctx context.Context, code string) (Matter, error) {
	m, err := scanMatter(e.cfg.DB.QueryRowContext(ctx, `SELECT body FROM matters WHERE code = $1`, code).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return Matter{}, fmt.Errorf("%w: %q is not in the catalogue: see GET /v1/matters", ErrUnknownMatter, code)
	}
	if err != nil {
		return Matter{}, fmt.Errorf("exchange: matter: %w", err)
	}
	return m, nil
}

// Matters returns up to limit matters whose code is after the given one, by
// code; department narrows them when it is not empty.
func (e *Exchange) Matters(ctx context.Context, department, after string, limit int) ([]Matter, error) {
	return list(ctx, e.cfg.DB, scanMatter,
		`SELECT body FROM matters WHERE code > $1 AND ($2 = '' OR department = $2) ORDER BY code LIMIT $3`, after, department, limit)
}

// list runs a query and scans every row.
func list[T any](ctx context.Context, db *sqldb.DB, scan func(func(...any) error) (T, error), query string, args ...any) ([]T, error) {
	rows, err := db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("exchange: list: %w", err)
	}
	defer rows.Close()
	var all []T
	for rows.Next() {
		item, err := scan(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("exchange: list: %w", err)
		}
		all = append(all, item)
	}
	return all, rows.Err()
}
