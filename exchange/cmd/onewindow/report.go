package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"

	"github.com/onewindow/onewindow/exchange/cmd/onewindow/county"
)

// Report is what `onewindow demo --report` writes: what the hub counted, what
// the county had planted, and every count that does not add up.
type Report struct {
	// County says what the three systems run on.
	County  string         `json:"county"`
	Sources []SourceReport `json:"sources"`

	StoredRows     int64 `json:"storedRows"`
	StoredDistinct int64 `json:"storedDistinct"`
	Duplicates     int64 `json:"duplicates"`
	RejectedKept   int64 `json:"rejectedKept"`
	// Dirt by kind: rules of rejection, findings, and DUPLICATE.
	Dirt []DirtReport `json:"dirt"`

	LicensesIssued   int64 `json:"licensesIssued"`
	VerifiedOk       int64 `json:"verifiedOk"`
	TamperedTried    int64 `json:"tamperedTried"`
	TamperedRejected int64 `json:"tamperedRejected"`
	RevokedTried     int64 `json:"revokedTried"`
	RevokedRejected  int64 `json:"revokedRejected"`

	PagesSealed           int64 `json:"pagesSealed"`
	PagesVerified         int64 `json:"pagesVerified"`
	PagesTamperedRejected int64 `json:"pagesTamperedRejected"`

	MaterialsRequired int64 `json:"materialsRequired"`
	MaterialsAsked    int64 `json:"materialsAsked"`

	Index IndexReport `json:"index"`

	ElapsedMs    int64 `json:"elapsedMs"`
	PeakRSSBytes int64 `json:"peakRssBytes"`
	// Faults has one sentence for every count that does not add up.
	Faults []string `json:"faults"`
}

// SourceReport is one source; read = accepted + rejected.
type SourceReport struct {
	Name     string `json:"name"`
	Read     int64  `json:"read"`
	Accepted int64  `json:"accepted"`
	Rejected int64  `json:"rejected"`
}

// DirtReport compares one kind of dirt.
type DirtReport struct {
	Kind    string `json:"kind"`
	Planted int64  `json:"planted"`
	Found   int64  `json:"found"`
}

// IndexReport is the total of the efficiency index.
type IndexReport struct {
	Accepted              int64   `json:"accepted"`
	Completed             int64   `json:"completed"`
	Decided               int64   `json:"decided"`
	DecidedOnTime         int64   `json:"decidedOnTime"`
	MaterialsRequired     int64   `json:"materialsRequired"`
	MaterialsSubmitted    int64   `json:"materialsSubmitted"`
	OnTimeRate            float64 `json:"onTimeRate"`
	CompletionRate        float64 `json:"completionRate"`
	MaterialsNotAskedRate float64 `json:"materialsNotAskedRate"`
}

// require records a fault unless ok.
func (r *Report) require(ok bool, format string, args ...any) {
	if !ok {
		r.Faults = append(r.Faults, fmt.Sprintf(format, args...))
	}
}

// compare checks the counts against what the county planted.
func (r *Report) compare(planted county.Planted, found map[string]int64) {
	var accepted int64
	for _, s := range r.Sources {
		want := planted.Sources[s.Name]
		r.require(s.Read == s.Accepted+s.Rejected, "source %s: read %d is not accepted %d + rejected %d", s.Name, s.Read, s.Accepted, s.Rejected)
		r.require(s.Read == want.Read, "source %s: read %d rows, %d are there", s.Name, s.Read, want.Read)
		r.require(s.Accepted == want.Accepted, "source %s: accepted %d rows, %d are clean", s.Name, s.Accepted, want.Accepted)
		accepted += s.Accepted
	}
	r.require(len(r.Sources) == len(planted.Sources), "%d sources of %d were read", len(r.Sources), len(planted.Sources))
	r.require(r.StoredRows == r.StoredDistinct, "stored %d rows, but %d distinct record ids", r.StoredRows, r.StoredDistinct)
	r.require(r.StoredDistinct == planted.Distinct, "stored %d distinct records, %d are accepted and distinct", r.StoredDistinct, planted.Distinct)

	want := map[string]int64{"DUPLICATE": planted.Duplicates}
	for _, s := range planted.Sources {
		for kind, n := range s.RejectedByRule {
			want[kind] += n
		}
		for kind, n := range s.Findings {
			want[kind] += n
		}
	}
	found["DUPLICATE"] = accepted - r.StoredDistinct
	kinds := slices.Compact(slices.Sorted(func(yield func(string) bool) {
		for kind := range maps.Keys(want) {
			if !yield(kind) {
				return
			}
		}
		for kind := range maps.Keys(found) {
			if !yield(kind) {
				return
			}
		}
	}))
	for _, kind := range kinds {
		r.Dirt = append(r.Dirt, DirtReport{Kind: kind, Planted: want[kind], Found: found[kind]})
		r.require(want[kind] == found[kind], "dirt %s: %d planted, %d found", kind, want[kind], found[kind])
	}
}

// compareIndex checks the index against the county's own count.
func (r *Report) compareIndex(want county.IndexTotals) {
	for _, c := range []struct {
		name      string
		got, want int64
	}{
		{"accepted", r.Index.Accepted, want.Accepted},
		{"completed", r.Index.Completed, want.Completed},
		{"decided", r.Index.Decided, want.Decided},
		{"decided on time", r.Index.DecidedOnTime, want.OnTime},
		{"materials required", r.Index.MaterialsRequired, want.MaterialsRequired},
		{"materials submitted", r.Index.MaterialsSubmitted, want.MaterialsSubmitted},
	} {
		r.require(c.got == c.want, "index: %s is %d, must be %d", c.name, c.got, c.want)
	}
}

// write puts the report into a file as JSON.
func (r *Report) write(file string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644) //nolint:gosec // a report without personal data, for everybody
}
