package licenses

import (
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/onewindow/onewindow/exchange"
)

const (
	maxTitle     = 200 // characters
	maxClaims    = 100
	maxClaimName = 64

	typeColumns = `code, title, disclosable_json, face_json`
)

// Type is a kind of licence (证照类型).
type Type struct {
	// Code has 21 characters: the USCC of the defining authority and three
	// digits (GB/T 36904).
	Code string
	// Title is its name in Chinese.
	Title string
	// Disclosable names the claims that only the holder discloses, beside
	// holder and holder name, which always are.
	Disclosable []string
	// Face is what the page shows of the claims, in this order; none means all
	// of them, by name.
	Face []FaceField
}

// FaceField is a claim as it is printed on a licence's page.
type FaceField struct {
	Claim string `json:"claim"`
	// Label is printed before the value, in Chinese.
	Label string `json:"label"`
}

// PutType registers a licence type or replaces its title and claims; licences
// already issued keep theirs. Faults are [ErrInvalid].
func (r *Registry) PutType(ctx context.Context, t Type) error {
	switch {
	case !typeCodeForm(t.Code) || !exchange.ValidUSCC(t.Code[:usccLength]):
		return fmt.Errorf("%w: licence type code %q: it must be a unified social credit code (GB 32100) with a right check character and three digits", ErrInvalid, t.Code)
	case !plainText(t.Title, maxTitle):
		return fmt.Errorf("%w: licence type %s: the title must have 1 to %d characters", ErrInvalid, t.Code, maxTitle)
	case len(t.Disclosable) > maxClaims:
		return fmt.Errorf("%w: licence type %s: %d disclosable claims, at most %d", ErrInvalid, t.Code, len(t.Disclosable), maxClaims)
	}
	for i, name := range t.Disclosable {
		if !isHolderClaim(name) && !claimNameForm(name) {
			return fmt.Errorf("%w: licence type %s: claim name %q is reserved or malformed", ErrInvalid, t.Code, name)
		}
		if slices.Contains(t.Disclosable[:i], name) {
			return fmt.Errorf("%w: licence type %s: claim %q is listed twice", ErrInvalid, t.Code, name)
		}
	}
	if err := checkFace(t); err != nil {
		return err
	}
	names, err := json.Marshal(t.Disclosable)
	if err != nil {
		return fmt.Errorf("licenses: put type: %w", err)
	}
	face, err := json.Marshal(t.Face)
	if err != nil {
		return fmt.Errorf("licenses: put type: %w", err)
	}
	_, err = r.cfg.DB.ExecContext(ctx, `INSERT INTO license_types (`+typeColumns+`) VALUES ($1, $2, $3, $4)
		ON CONFLICT (code) DO UPDATE SET title = excluded.title, disclosable_json = excluded.disclosable_json, face_json = excluded.face_json`,
		t.Code, t.Title, string(names), string(face))
	if err != nil {
		return fmt.Errorf("licenses: put type: %w", err)
	}
	return nil
}

func checkFace(t Type) error {
	if len(t.Face) > maxClaims {
		return fmt.Errorf("%w: licence type %s: %d fields on the face, at most %d", ErrInvalid, t.Code, len(t.Face), maxClaims)
	}
	for _, f := range t.Face {
		if !claimNameForm(f.Claim) || !plainText(f.Label, maxClaimName) {
			return fmt.Errorf("%w: licence type %s: face field %q: a claim name and a label of 1 to %d characters", ErrInvalid, t.Code, f.Claim, maxClaimName)
		}
	}
	return nil
}

// ListTypes returns up to size licence types by code, and the token of the
// next page, empty at the end. 0 means 100, the ceiling is 1,000.
func (r *Registry) ListTypes(ctx context.Context, size int, pageToken string) (types []Type, next string, err error) {
	if size, err = pageSize(size, 100, 1000); err != nil {
		return nil, "", err
	}
	after, err := base64.RawURLEncoding.DecodeString(pageToken)
	if err != nil {
		return nil, "", errPageToken()
	}
	types, err = collect(ctx, r.cfg.DB, scanType,
		`SELECT `+typeColumns+` FROM license_types WHERE code > $1 ORDER BY code LIMIT $2`, string(after), size+1)
	if err != nil {
		return nil, "", fmt.Errorf("licenses: list types: %w", err)
	}
	if len(types) > size {
		types = types[:size]
		next = base64.RawURLEncoding.EncodeToString([]byte(types[size-1].Code))
	}
	return types, next, nil
}

// licenseType returns one type or [ErrUnknownType].
func (r *Registry) licenseType(ctx context.Context, code string) (Type, error) {
	t, err := scanType(r.cfg.DB.QueryRowContext(ctx, `SELECT `+typeColumns+` FROM license_types WHERE code = $1`, code).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return Type{}, fmt.Errorf("%w: %q: register it with PUT /v1/license-types/{code}", ErrUnknownType, code)
	}
	if err != nil {
		return Type{}, fmt.Errorf("licenses: type: %w", err)
	}
	return t, nil
}

func scanType(scan func(...any) error) (t Type, err error) {
	var names, face string
	if err := scan(&t.Code, &t.Title, &names, &face); err != nil {
		return Type{}, err
	}
	return t, errors.Join(json.Unmarshal([]byte(names), &t.Disclosable), json.Unmarshal([]byte(face), &t.Face))
}
