package county

import (
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/onewindow/onewindow/exchange"
)

// recount judges rows as the exchange does and counts.
type recount struct {
	schemas map[string]*jsonschema.Schema
	planted Planted
	index   IndexTotals
	// records are the accepted rows, registered the keys of the registers.
	records    map[string]bool
	registered map[string]bool
}

func newRecount(c *County) *recount {
	r := &recount{
		schemas: map[string]*jsonschema.Schema{}, records: map[string]bool{}, registered: map[string]bool{},
		planted: Planted{Sources: map[string]SourceCount{}},
	}
	for _, resource := range c.Resources() {
		document, err := jsonschema.UnmarshalJSON(strings.NewReader(string(resource.GetSchema())))
		if err != nil {
			panic(err)
		}
		compiler := jsonschema.NewCompiler()
		compiler.AssertFormat()
		compiler.RegisterFormat(stringFormat("region", exchange.ValidRegion))
		// Check digits are checked apart, to know them from the other formats.
		if err := compiler.AddResource(resource.GetName(), document); err != nil {
			panic(err)
		}
		r.schemas[resource.GetName()] = compiler.MustCompile(resource.GetName())
	}
	return r
}

func stringFormat(name string, valid func(string) bool) *jsonschema.Format {
	return &jsonschema.Format{Name: name, Validate: func(v any) error {
		if s, ok := v.(string); ok && !valid(s) {
			return errors.New("not valid")
		}
		return nil
	}}
}

func (r *recount) add(t *testing.T, s *source, rows []found) {
	t.Helper()
	count := SourceCount{RejectedByRule: map[string]int64{}, Findings: map[string]int64{}}
	for _, f := range rows {
		count.Read++
		rule, findings, key := f.rule, []string(nil), ""
		if rule == "" {
			rule, findings, key = r.judge(t, s, f)
		}
		if rule != "" {
			count.Rejected++
			count.RejectedByRule[rule]++
			continue
		}
		count.Accepted++
		for _, finding := range findings {
			count.Findings[finding]++
		}
		delete(f.columns, "entered_at")
		delete(f.columns, "updated_at")
		id := s.resource + fmt.Sprint(f.columns) // maps print in the order of their keys
		if r.records[id] {
			count.Duplicates++
			r.planted.Duplicates++
			continue
		}
		r.records[id] = true
		r.planted.Distinct++
		r.registered[s.resource+"/"+key] = true
		r.count(f.columns)
	}
	r.planted.Sources[s.name] = count
}

// judge returns the rule that an exchange would reject the row by, or its findings.
func (r *recount) judge(t *testing.T, s *source, f found) (rule string, findings []string, key string) {
	t.Helper()
	payload := map[string]any{}
	for _, column := range s.columns {
		if value, ok := f.columns[column.name]; ok {
			payload[column.name] = value
		}
	}
	if phone, ok := payload["phone"].(string); ok {
		narrow := strings.Map(func(r rune) rune {
			if r >= '\uff10' && r <= '\uff19' {
				return r - '\uff10' + '0'
			}
			return r
		}, phone)
		if narrow != phone {
			payload["phone"] = narrow
			findings = append(findings, exchange.FindingFullWidth)
		}
	}
	if instantOf(t, f.columns["entered_at"]).Sub(instantOf(t, f.columns[s.eventTime().name])) > time.Duration(s.delay)*time.Second {
		findings = append(findings, exchange.FindingLate)
	}
	key = fmt.Sprint(payload[s.key[0]])
	for _, column := range []string{"uscc", "citizen_number", "spouse_citizen_number"} {
		code, present := payload[column].(string)
		if present && !exchange.ValidUSCC(code) && !exchange.ValidCitizenNumber(code) {
			rule = exchange.RuleCheckDigit
		}
	}
	err := r.schemas[s.resource].Validate(payload)
	switch {
	case err != nil && rule != "" || len(findings) > 1 || (err != nil || rule != "") && len(findings) > 0:
		t.Errorf("%s: row %s has more than one kind of dirt", s.name, key)
	case err != nil && strings.Contains(err.Error(), "missing propert"):
		rule = exchange.RuleMissingField
	case err != nil:
		rule = exchange.RuleSchema
	}
	return rule, findings, key
}

func instantOf(t *testing.T, value any) time.Time {
	t.Helper()
	text := fmt.Sprint(value)
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05-07:00"} {
		if at, err := time.Parse(layout, text); err == nil {
			return at
		}
	}
	at, err := time.ParseInLocation("2006-01-02 15:04:05", text, china())
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// count adds an accepted case event to the index.
func (r *recount) count(columns map[string]any) {
	number := func(name string) int64 {
		n, _ := strconv.ParseInt(shown(columns[name]), 10, 64)
		return n
	}
	switch columns["event"] {
	case "accepted":
		r.index.Accepted++
		r.index.MaterialsRequired += number("materials_required")
		r.index.MaterialsSubmitted += number("materials_submitted")
	case "decided":
		r.index.Decided++
		if strings.HasPrefix(shown(columns["accepted_date"]), "2025-") {
			r.index.Completed++
		}
		if number("used_days") <= number("promised_days") {
			r.index.OnTime++
		}
	}
}

// checkApplications answers every application from what was read back and the
// licences that are to be issued.
func (r *recount) checkApplications(t *testing.T, c *County) {
	t.Helper()
	licensed := map[string]bool{}
	for l := range c.Licenses() {
		licensed[l.GetType()+"/"+l.GetHolder()] = true
	}
	type asked struct{ licenseType, resource string }
	materials := map[string]map[string]asked{} // by matter and code
	for _, m := range c.Matters() {
		materials[m.GetCode()] = map[string]asked{}
		for _, material := range m.GetMaterials() {
			materials[m.GetCode()][material.GetCode()] = asked{material.GetLicenseType(), material.GetResource()}
		}
	}
	several, nothing, everything := 0, 0, 0
	applications := c.Applications()
	for _, a := range applications {
		needed := map[string]asked{}
		for _, m := range a.Matters {
			maps.Copy(needed, materials[m])
		}
		bring := 0
		for _, m := range needed {
			if !licensed[m.licenseType+"/"+a.Applicant] && !r.registered[m.resource+"/"+a.Applicant] {
				bring++
			}
		}
		if len(needed) != a.Required || bring != a.ToBeSubmitted {
			t.Errorf("application %+v: got %d materials, %d to be submitted", a, len(needed), bring)
		}
		if len(a.Matters) > 1 {
			several++
		}
		switch bring {
		case 0:
			nothing++
		case len(needed):
			everything++
		}
	}
	if len(applications) < 40 || several < 8 || everything == len(applications) {
		t.Errorf("%d applications, %d for several matters, %d with nothing and %d with everything to bring", len(applications), several, nothing, everything)
	}
}
