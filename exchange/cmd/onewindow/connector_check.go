package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/proto/message"
)

// The prefixes of the codes of connectors and rules in the catalogue.
const (
	faultPrefix = "fault."
	rulePrefix  = "rule."
)

// checkedSource is what a check found at one source, for --json.
type checkedSource struct {
	Name     string         `json:"name"`
	Resource string         `json:"resource"`
	Good     bool           `json:"good"`
	Faults   []checkedFault `json:"faults"`
	Rows     []checkedRow   `json:"rows"`
}

type checkedFault struct {
	Code   string `json:"code"`
	Text   string `json:"text"`
	Hint   string `json:"hint"`
	Detail string `json:"detail"`
}

type checkedRow struct {
	Origin    string          `json:"origin"`
	Key       string          `json:"key,omitempty"`
	EventTime string          `json:"eventTime,omitempty"`
	Payload   json.RawMessage `json:"payload,omitempty"`
	Rule      string          `json:"rule,omitempty"`
	Field     string          `json:"field,omitempty"`
	Detail    string          `json:"detail,omitempty"`
}

// checkConnectors connects to every source of a file of definitions.
func checkConnectors(ctx context.Context, file string, p printer) error {
	defs, err := definitions(file)
	if err != nil {
		return err
	}
	if len(defs) == 0 {
		return wrongUsage(nil, "cli.DEFINITIONS_EMPTY", "file", file)
	}
	faults, all := 0, []checkedSource{}
	for _, def := range defs {
		p.progress("cli.CHECKING", "source", def.Name)
		checked := connectors.CheckSource(ctx, def, sourceKinds()[def.Kind], slog.New(slog.DiscardHandler))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		found := p.judge(def, checked)
		faults += len(found.Faults)
		if all = append(all, found); !p.json {
			p.printChecked(found)
		}
	}
	if p.json {
		encoder := json.NewEncoder(p.out)
		encoder.SetEscapeHTML(false)
		encoder.SetIndent("", "  ")
		if err := encoder.Encode(all); err != nil {
			return err
		}
	}
	if faults > 0 {
		return wrong(nil, "cli.CHECK_FAULTS", "faults", strconv.Itoa(faults), "sources", strconv.Itoa(len(defs)))
	}
	return nil
}

// judge turns what was found into what is shown. A source of files that gives
// no row, and one whose rows would all be rejected, are not good: they would
// look as if they worked and bring nothing.
func (p printer) judge(def connectors.Definition, checked connectors.Checked) checkedSource {
	found := checkedSource{Name: def.Name, Resource: def.Resource, Faults: []checkedFault{}, Rows: []checkedRow{}}
	fault := func(code, detail string) {
		text, hint := p.words.catalog.Render(p.words.language, message.New(code))
		_, name, _ := strings.Cut(code, ".")
		found.Faults = append(found.Faults, checkedFault{Code: name, Text: text, Hint: hint, Detail: detail})
	}
	for _, f := range checked.Faults {
		fault(faultPrefix+string(connectors.CodeOf(f)), f.Error())
	}
	rejected := 0
	for _, row := range checked.Rows {
		if r := row.Rejection; r != nil {
			rejected++
			found.Rows = append(found.Rows, checkedRow{Origin: row.Origin, Rule: r.Rule, Field: r.Field, Detail: r.Detail})
			continue
		}
		found.Rows = append(found.Rows, checkedRow{Origin: row.Origin, Key: row.Key, EventTime: row.EventTime.Format(time.RFC3339Nano), Payload: row.Payload})
	}
	switch {
	case len(checked.Rows) > 0 && rejected == len(checked.Rows):
		fault("cli.CHECK_ALL_REJECTED", "")
	case len(checked.Rows) == 0 && len(checked.Faults) == 0 && def.Kind == connectors.KindFiles:
		fault("cli.CHECK_NO_FILE", "")
	}
	found.Good = len(found.Faults) == 0
	return found
}

func (p printer) printChecked(found checkedSource) {
	verdict := paint(p.out, colourGreen, p.words.text("cli.CHECK_GOOD"))
	if !found.Good {
		verdict = paint(p.out, colourRed, p.words.text("cli.CHECK_BAD", "faults", strconv.Itoa(len(found.Faults))))
	}
	fmt.Fprintf(p.out, "%s → %s: %s\n", found.Name, found.Resource, verdict)
	cross, tick := paint(p.out, colourRed, "✗"), paint(p.out, colourGreen, "✓")
	for _, f := range found.Faults {
		fmt.Fprintf(p.out, "  %s %s: %s\n", cross, f.Code, f.Text)
		for _, line := range []string{f.Hint, f.Detail} {
			if line != "" {
				fmt.Fprintf(p.out, "      %s\n", line)
			}
		}
	}
	for _, row := range found.Rows {
		if row.Rule != "" {
			fmt.Fprintf(p.out, "  %s %s: %s %s: %s\n      %s\n", cross, row.Origin, row.Rule, row.Field, p.words.text(rulePrefix+row.Rule), row.Detail)
			continue
		}
		fmt.Fprintf(p.out, "  %s %s: key %s, %s %s\n", tick, row.Origin, row.Key, row.EventTime, row.Payload)
	}
	if found.Good && len(found.Rows) == 0 {
		fmt.Fprintf(p.out, "  %s %s\n", paint(p.out, colourYellow, "!"), p.words.text("cli.CHECK_NO_ROWS"))
	}
}
