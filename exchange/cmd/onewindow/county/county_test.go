package county

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"testing"

	"golang.org/x/text/encoding/simplifiedchinese"
	"google.golang.org/protobuf/proto"

	"github.com/onewindow/onewindow/exchange"
	exchangev1 "github.com/onewindow/onewindow/proto/exchange/v1"
)

// Whoever changes the county on purpose raises edition and puts the new sums here.
const (
	goldenRows     = "b16b0f9db76c064966a4f910c506732e886a02cbf4ed80c3f4e135f520328f5c"
	goldenCatalog  = "af4ed49df629d2b51f4862669d400e6ddb86cd474be32dcf9f2185537a203643"
	goldenLicenses = "d7a4c872312ab5d1def9dd55137334557c473d07712d6e6b9e74026510eaa0be"
)

// TestCountyIsAlwaysTheSame makes every row of the full county and compares
// its digest with the one of all earlier runs; on the way every clean row's
// key is checked and seen for the first time.
func TestCountyIsAlwaysTheSame(t *testing.T) {
	c := New(Options{})
	rows := sha256.New()
	out := bufio.NewWriterSize(rows, 64<<10)
	for _, s := range c.sources {
		seen := map[string]bool{}
		for r := range s.rows() {
			out.WriteString(s.name) //nolint:errcheck // a hash takes everything
			for _, value := range r.values {
				out.WriteString("|" + plain(value)) //nolint:errcheck // a hash takes everything
			}
			key := ""
			for _, name := range s.key {
				key += fmt.Sprint(r.values[s.position(name)]) + "/"
			}
			if seen[key] != (len(seen) == len(s.refs)) {
				t.Fatalf("%s: key %s comes again before all rows were there", s.name, key)
			}
			seen[key] = true
			if s.checked != "" && r.dirt != checkDigit {
				code := key[:len(key)-1]
				if valid := exchange.ValidUSCC(code) || exchange.ValidCitizenNumber(code); !valid {
					t.Fatalf("%s: %s is not valid", s.name, code)
				}
			}
		}
	}
	if err := out.Flush(); err != nil {
		t.Fatal(err)
	}
	expect(t, "rows", hex.EncodeToString(rows.Sum(nil)), goldenRows)

	catalog := sha256.New()
	options := proto.MarshalOptions{Deterministic: true}
	write := func(m proto.Message) {
		text, err := options.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		catalog.Write(text)
	}
	for _, m := range c.Departments() {
		write(m)
	}
	for _, m := range c.Resources() {
		write(m)
	}
	for _, m := range c.Matters() {
		write(m)
	}
	for _, m := range c.LicenseTypes() {
		write(m)
	}
	expect(t, "catalogue", hex.EncodeToString(catalog.Sum(nil)), goldenCatalog)
	catalog.Reset()
	for m := range c.Licenses() {
		write(m)
	}
	expect(t, "licences", hex.EncodeToString(catalog.Sum(nil)), goldenLicenses)
}

func expect[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

// TestFigures compares the full county with the figures of the documents it is modelled on.
func TestFigures(t *testing.T) {
	c := New(Options{})
	decided, delivered, events := 0, 0, 0
	for i := range c.cases {
		record := &c.cases[i]
		if record.decided > 0 {
			decided++
		}
		if record.delivered > 0 {
			delivered++
		}
		last := int32(0)
		for _, at := range record.events() {
			if at == 0 {
				continue
			}
			events++
			if at <= last || at >= daysOfYear*day {
				t.Fatalf("case %d: event at %d after one at %d", i, at, last)
			}
			last = at
		}
	}
	expect(t, "cases", len(c.cases), 89_648)
	expect(t, "decided", decided, 89_223)
	expect(t, "towns and villages", len(c.places), 1+15+296)
	between(t, "events a case", float64(events)/float64(len(c.cases)), 3.9, 4.4)
	between(t, "delivered of decided", float64(delivered)/float64(decided), 0.98, 1)
	total, licenses := int64(0), 0
	for range c.Licenses() {
		licenses++
	}
	expect(t, "licences", licenses, 20_000)
	planted := c.Planted()
	for _, s := range planted.Sources {
		total += s.Read
	}
	between(t, "rows", float64(total), 550_000, 650_000)
	index := c.Index()
	between(t, "on time", float64(index.OnTime)/float64(index.Decided), 0.97, 0.99)
	between(t, "materials saved", 1-float64(index.MaterialsSubmitted)/float64(index.MaterialsRequired), 0.55, 0.65)
	ratings, good := 0, 0
	for _, s := range c.sources {
		if s.schema == "rating" {
			for _, r := range s.refs {
				ratings++
				if r.sequence >= 3 {
					good++
				}
			}
		}
	}
	between(t, "rated", float64(ratings)/float64(decided), 0.59, 0.61)
	between(t, "satisfied", float64(good)/float64(ratings), 0.9955, 0.9965)
}

func between(t *testing.T, what string, got, low, high float64) {
	t.Helper()
	if math.IsNaN(got) || got < low || got > high {
		t.Errorf("%s: got %.4f, want %.4f to %.4f", what, got, low, high)
	}
}

func TestCatalog(t *testing.T) {
	c := New(Options{Scale: 100})
	departments := map[string]bool{}
	for _, d := range c.Departments() {
		departments[d.GetCode()] = true
		if !exchange.ValidUSCC(d.GetUscc()) || !exchange.ValidRegion(d.GetRegion()) {
			t.Errorf("department %s: code %s or region %s is not valid", d.GetCode(), d.GetUscc(), d.GetRegion())
		}
	}
	expect(t, "departments", len(departments), 38)
	types := map[string]bool{}
	for _, l := range c.LicenseTypes() {
		types[l.GetCode()] = true
		if len(l.GetCode()) != 21 || !exchange.ValidUSCC(l.GetCode()[:18]) {
			t.Errorf("licence type %s is not a USCC and three digits", l.GetCode())
		}
	}
	resources := map[string]bool{}
	for _, r := range c.Resources() {
		resources[r.GetName()] = true
	}
	expect(t, "resources", len(resources), 10)
	matters, titles := map[string]bool{}, map[string]string{}
	kinds := map[exchangev1.MatterType]int{}
	for _, m := range c.Matters() {
		matters[m.GetCode()] = true
		kinds[m.GetType()]++
		short := m.GetType() == exchangev1.MatterType_MATTER_TYPE_IMMEDIATE || 10*m.GetPromisedDays() <= 4*m.GetStatutoryDays()
		if !short || m.GetPromisedDays() < 1 || m.GetPromisedDays() > m.GetStatutoryDays() || !departments[m.GetDepartment()] {
			t.Errorf("matter %s: promised %d, statutory %d, department %s", m.GetCode(), m.GetPromisedDays(), m.GetStatutoryDays(), m.GetDepartment())
		}
		codes := map[string]bool{}
		for _, material := range m.GetMaterials() {
			codes[material.GetCode()] = true
			if title, ok := titles[material.GetCode()]; ok && title != material.GetTitle() {
				t.Errorf("material %s has two titles, %s and %s", material.GetCode(), title, material.GetTitle())
			}
			titles[material.GetCode()] = material.GetTitle()
			if material.GetLicenseType() != "" && !types[material.GetLicenseType()] || material.GetResource() != "" && !resources[material.GetResource()] {
				t.Errorf("material %s names an unknown licence type or resource", material.GetCode())
			}
		}
		if n := len(m.GetMaterials()); len(codes) != n || n < 3 || n > 9 {
			t.Errorf("matter %s asks for %d materials, %d of them different", m.GetCode(), n, len(codes))
		}
	}
	expect(t, "matters", len(matters), 1330)
	for kind := range exchangev1.MatterType_name {
		if kind != 0 && kinds[exchangev1.MatterType(kind)] == 0 {
			t.Errorf("no matter is of type %v", exchangev1.MatterType(kind))
		}
	}
}

func TestCodes(t *testing.T) {
	c := New(Options{Scale: 100})
	for i := range 50 {
		e, r := c.enterprise(i), c.resident(i)
		if !exchange.ValidUSCC(e.uscc) || exchange.ValidUSCC(wrongCheck(e.uscc)) {
			t.Errorf("%s must be valid and %s must not", e.uscc, wrongCheck(e.uscc))
		}
		if !exchange.ValidCitizenNumber(r.number) || exchange.ValidCitizenNumber(wrongCheck(r.number)) {
			t.Errorf("%s must be valid and %s must not", r.number, wrongCheck(r.number))
		}
	}
	expect(t, "full width", fullWidth("138"), "\uff11\uff13\uff18")
}

// TestBackslashed checks that the characters do what they are there for.
func TestBackslashed(t *testing.T) {
	names := 0
	for _, r := range backslashed {
		b, err := simplifiedchinese.GBK.NewEncoder().Bytes([]byte(string(r)))
		if err != nil || len(b) != 2 || b[1] != '\\' {
			continue
		}
		names++
	}
	expect(t, "characters whose second byte is a backslash", names, len([]rune(backslashed)))
}

func TestWorkingDays(t *testing.T) {
	days := workingDays()
	expect(t, "working days of 2025", len(days), 248)
	worked := map[int]bool{}
	for _, d := range days {
		worked[d] = true
	}
	for date, want := range map[date]bool{0: false, 1: true, 25: true, 27: false, 270: true, 271: true, 273: false, 280: false, 283: true} {
		expect(t, date.String(), worked[int(date)], want)
	}
}
