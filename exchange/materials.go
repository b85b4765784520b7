package exchange

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"
)

// MaterialState says how a material is satisfied.
type MaterialState string

// The states of a material.
const (
	HeldAsLicense MaterialState = "license"
	HeldAsRecord  MaterialState = "record"
	ToBeSubmitted MaterialState = "submit"
)

// ResolvedMaterial is one material that matters ask for and how it is
// satisfied. Held is the licence number or "<resource>/<key>"; Note says why a
// licence that exists does not count.
type ResolvedMaterial struct {
	Code, Title string
	State       MaterialState
	Held, Note  string
	Matters     []string
}

// maxMatters bounds how many matters are resolved at once (一件事).
const maxMatters = 50

// ResolveMaterials says, for every material that the matters need, how it is
// satisfied for the applicant (a citizen number or USCC): by an e-licence that
// is valid now, by a shared record keyed by the applicant, or not yet. The
// lists of several matters are merged by material code, in the order of first
// mention. caseNumber and the matters are the purpose. It returns [ErrInvalid]
// or [ErrUnknownMatter].
func (e *Exchange) ResolveMaterials(ctx context.Context, applicant string, matters []string, caseNumber string) ([]ResolvedMaterial, error) {
	switch {
	case !ValidCitizenNumber(applicant) && !ValidUSCC(applicant):
		return nil, fmt.Errorf("%w: the applicant must be an 18-character citizen number or unified social credit code with a right check digit", ErrInvalid)
	case caseNumber == "":
		return nil, fmt.Errorf("%w: caseNumber is required: every use of somebody's data names the case it is for", ErrInvalid)
	case len(matters) == 0 || len(matters) > maxMatters:
		return nil, fmt.Errorf("%w: name 1 to %d matters, not %d", ErrInvalid, maxMatters, len(matters))
	}
	needed, resolved, err := e.needed(ctx, matters)
	if err != nil {
		return nil, err
	}
	open := map[string]bool{} // resources that may hold what no licence does
	for i, m := range needed {
		if m.LicenseType != "" {
			license, err := e.cfg.Licenses.Held(ctx, applicant, m.LicenseType)
			if err != nil {
				return nil, fmt.Errorf("exchange: resolve material %s: %w", m.Code, err)
			}
			resolved[i].Note = license.Note
			if license.Valid {
				resolved[i].State, resolved[i].Held, resolved[i].Note = HeldAsLicense, license.Number, ""
				continue
			}
		}
		if m.Resource != "" {
			open[m.Resource] = true
		}
	}
	held, err := e.holding(ctx, applicant, open)
	if err != nil {
		return nil, err
	}
	for i, m := range needed {
		if resolved[i].State == ToBeSubmitted && held[m.Resource] {
			resolved[i].State, resolved[i].Held, resolved[i].Note = HeldAsRecord, m.Resource+"/"+applicant, ""
		}
	}
	return resolved, nil
}

// holding asks all resources at once which of them have a record of the applicant.
func (e *Exchange) holding(ctx context.Context, applicant string, resources map[string]bool) (map[string]bool, error) {
	var mu sync.Mutex
	held := map[string]bool{}
	group, ctx := errgroup.WithContext(ctx)
	for resource := range resources {
		group.Go(func() error {
			records, err := e.cfg.Records.Lookup(ctx, resource, []string{applicant})
			if err != nil {
				return fmt.Errorf("exchange: resolve materials in %s: %w", resource, err)
			}
			mu.Lock()
			defer mu.Unlock()
			held[resource] = len(records) > 0
			return nil
		})
	}
	return held, group.Wait()
}

// needed merges the materials of matters by code.
func (e *Exchange) needed(ctx context.Context, matters []string) ([]Material, []ResolvedMaterial, error) {
	var needed []Material
	var resolved []ResolvedMaterial
	index := map[string]int{}
	for _, code := range slices.Compact(slices.Sorted(slices.Values(matters))) {
		matter, err := e.Matter(ctx, code)
		if err != nil {
			return nil, nil, err
		}
		for _, m := range matter.Materials {
			i, ok := index[m.Code]
			if !ok {
				i = len(needed)
				index[m.Code] = i
				needed = append(needed, m)
				resolved = append(resolved, ResolvedMaterial{Code: m.Code, Title: m.Title, State: ToBeSubmitted})
			}
			resolved[i].Matters = append(resolved[i].Matters, code)
		}
	}
	return needed, resolved, nil
}
