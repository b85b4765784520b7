package county

// Planted says what the hub must find when it has read every source once.
type Planted struct {
	// Sources by name, "<department>/<connector>".
	Sources map[string]SourceCount `json:"sources"`
	// Distinct is the number of different records among the accepted rows of
	// all sources, Duplicates that of accepted rows that repeat one.
	Distinct   int64 `json:"distinct"`
	Duplicates int64 `json:"duplicates"`
}

// SourceCount is what one source holds.
type SourceCount struct {
	// Read is Accepted + Rejected; rows that come twice count twice.
	Read           int64            `json:"read"`
	Accepted       int64            `json:"accepted"`
	Rejected       int64            `json:"rejected"`
	RejectedByRule map[string]int64 `json:"rejected_by_rule"`
	// Findings on accepted rows.
	Findings map[string]int64 `json:"findings"`
	// Duplicates among the accepted rows.
	Duplicates int64 `json:"duplicates"`
}

// Planted counts the rows of every source and the dirt in them.
func (c *County) Planted() Planted {
	p := Planted{Sources: map[string]SourceCount{}}
	for _, s := range c.sources {
		count := SourceCount{RejectedByRule: map[string]int64{}, Findings: map[string]int64{}, Duplicates: int64(len(s.again))}
		for _, refs := range [][]ref{s.refs, s.again} {
			for _, r := range refs {
				count.Read++
				if rule := r.dirt.rule(); rule != "" {
					count.Rejected++
					count.RejectedByRule[rule]++
				}
				if finding := r.dirt.finding(); finding != "" {
					count.Findings[finding]++
				}
			}
		}
		count.Accepted = count.Read - count.Rejected
		p.Sources[s.name] = count
		p.Distinct += count.Accepted - count.Duplicates
		p.Duplicates += count.Duplicates
	}
	return p
}

// IndexTotals is what the efficiency index must count over all accepted case
// events, each once.
type IndexTotals struct {
	// Accepted and Decided count the events of that name; Completed the cases
	// that were accepted in 2025 and whose decision is known.
	Accepted  int64 `json:"accepted"`
	Completed int64 `json:"completed"`
	Decided   int64 `json:"decided"`
	// OnTime counts decisions within the promised limit.
	OnTime int64 `json:"on_time"`
	// Materials that the matters of accepted cases ask for, and those that the applicants brought.
	MaterialsRequired  int64 `json:"materials_required"`
	MaterialsSubmitted int64 `json:"materials_submitted"`
}

// Index counts over the case events that the hub accepts: rejected rows are
// left out, rows that come twice are counted once, late ones are counted.
func (c *County) Index() IndexTotals {
	var t IndexTotals
	for _, s := range c.sources {
		if s.schema != "case-event" {
			continue
		}
		for _, r := range s.refs {
			record := &c.cases[r.index]
			switch {
			case r.dirt.rule() != "":
			case r.event == eventAccepted:
				t.Accepted++
				t.MaterialsRequired += int64(record.required)
				t.MaterialsSubmitted += int64(record.submitted)
			case r.event == eventDecided:
				t.Decided++
				t.Completed++
				if int(record.used) <= c.catalog.matters[record.matter].promised {
					t.OnTime++
				}
			}
		}
	}
	return t
}
