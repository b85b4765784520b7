package main

import (
	"errors"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/exchange/server"
)

func TestFailingAndBlockedSourcesAreCountedByName(t *testing.T) {
	status := func(name string, state connectors.State) connectors.Status {
		return connectors.Status{Name: name, State: state}
	}
	tests := []struct {
		name    string
		sources []connectors.Status
		detail  string
		warning string
	}{
		{"none", nil, "0 of 0 read", ""},
		{"all read", []connectors.Status{status("a/x", connectors.Reading), status("b/y", connectors.CaughtUp)}, "2 of 2 read", ""},
		{"two of two fail", []connectors.Status{status("b/y", connectors.Failing), status("a/x", connectors.Failing)}, "", "2 of 2 failing (a/x, b/y): onewindow connector status shows the faults"},
		{"one waits for consent", []connectors.Status{status("b/y", connectors.Blocked), status("a/x", connectors.CaughtUp)}, "", "1 of 2 waiting for consent (b/y): onewindow connector status shows the faults"},
	}
	for _, tt := range tests {
		detail, err := sourcesReport(tt.sources)
		var warning server.Warning
		errors.As(err, &warning)
		if detail != tt.detail || warning.Text != tt.warning || (tt.warning != "") != (warning.Code == "SOURCES_FAILING") {
			t.Errorf("%s: %q, %v", tt.name, detail, err)
		}
	}
}

func TestCertificatesAreWarnedAboutAMonthBeforeTheirEnd(t *testing.T) {
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	for days, code := range map[int]string{400: "", 31: "", 30: "CERTIFICATE_ENDS", 1: "CERTIFICATE_ENDS", 0: "CERTIFICATE_ENDED", -5: "CERTIFICATE_ENDED"} {
		err := expiryWarning("license", "市监局", now.AddDate(0, 0, days), now)
		var warning server.Warning
		errors.As(err, &warning)
		if warning.Code != code {
			t.Errorf("%d days before the end: %v, want %q", days, err, code)
		}
	}
	if err := expiryWarning("", "", time.Time{}, now); err != nil {
		t.Errorf("without certificates: %v", err)
	}
}

func TestWhatWaitsWithoutAStepIsStuck(t *testing.T) {
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	s := &stall{now: func() time.Time { return now }}
	step := func(pass time.Duration, waiting int64, mark string, want bool) {
		t.Helper()
		now = now.Add(pass)
		if _, stuck := s.stuck(waiting, mark); stuck != want {
			t.Errorf("%d waiting at %q: stuck is %t", waiting, mark, stuck)
		}
	}
	step(0, 5, "a", false)
	step(stuckAfter-1, 5, "a", false)
	step(1, 5, "a", true)
	step(1, 5, "b", false) // it moves
	step(stuckAfter, 0, "b", false)
	step(stuckAfter, 0, "b", false) // nothing waits
	step(1, 7, "b", false)          // it has only begun to wait
}

// Each warning has a text on the page, in both languages (the page's own test).
func TestEveryWarningHasATextOnThePage(t *testing.T) {
	page, err := os.ReadFile("../../console/assets/texts.js")
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, file := range []string{"disk.go", "parts.go"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, code := range regexp.MustCompile(`Warning\{Code: "([A-Z_]+)"`).FindAllStringSubmatch(string(text), -1) {
			found++
			if !strings.Contains(string(page), `"warning.`+code[1]+`"`) {
				t.Errorf("%s has no text on the page", code[1])
			}
		}
	}
	if found < 8 {
		t.Errorf("found only %d warnings: the pattern is out of date", found)
	}
}
