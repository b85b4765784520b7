package county

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"time"

	exchangev1 "github.com/onewindow/onewindow/proto/exchange/v1"
)

// The systems, by the code of the department that runs them.
const (
	market = "market"
	police = "police"
	civil  = "civil"
)

// columnType is what a column holds; values are int, string, bool, [date],
// [cents] and [instant], or nil.
type columnType string

const (
	text    columnType = "string"
	integer columnType = "integer"
	decimal columnType = "decimal"
	boolean columnType = "boolean"
	calDate columnType = "date"
	moment  columnType = "time"
)

// instant is a number of seconds since the year began.
type instant int32

func (i instant) time() time.Time { return yearStart().Add(time.Duration(i) * time.Second) }

// column is a column of a source, in English for databases and JSON, in
// Chinese for files.
type column struct {
	name, title string
	kind        columnType
}

// source is one table, folder or endpoint: its columns and how its rows are made.
type source struct {
	name, resource, title string
	system                string
	kind                  exchangev1.RecordKind
	share                 exchangev1.ShareType
	schema                string
	delay                 int64 // agreed, in seconds
	// columns are those of the payload; then come the event time and entered_at.
	columns []column
	key     []string
	// phone, if any, is the column that the connector turns into half-width.
	phone string
	// Columns that suffer from checkDigit, missing and breach, and what a breach puts there.
	checked, required, breached string
	breach                      any
	// refs are the rows in the order in which they were entered; again those that come a second time.
	refs, again []ref
	// fill writes the values of the payload's columns.
	fill func(r ref, values []any)
}

// ref is all that is kept of a row; the rest is made when the row is read.
type ref struct {
	index             int32 // of the enterprise, resident, party, case or ticket
	occurred, entered instant
	event             uint8 // position in eventNames
	sequence          uint8 // of an event within its case; the level of a rating
	dirt              dirt
}

// row is a row of a source. Values are valid until the next row.
type row struct {
	ref
	values []any
}

// rows makes the rows of the source in the order in which they were entered,
// then those that come a second time.
func (s *source) rows() iter.Seq[row] {
	return func(yield func(row) bool) {
		values := make([]any, len(s.columns)+2)
		for _, refs := range [][]ref{s.refs, s.again} {
			for _, r := range refs {
				s.fill(r, values)
				values[len(s.columns)] = r.occurred
				values[len(s.columns)+1] = r.entered
				s.soil(r.dirt, values)
				if !yield(row{r, values}) {
					return
				}
			}
		}
	}
}

// soil puts the dirt into the values that belongs there; broken lines and
// bytes are the business of the file writer.
func (s *source) soil(d dirt, values []any) {
	switch d {
	case checkDigit:
		i := s.position(s.checked)
		values[i] = wrongCheck(fmt.Sprint(values[i]))
	case missing:
		values[s.position(s.required)] = nil
	case breach:
		values[s.position(s.breached)] = s.breach
	case wide:
		i := s.position(s.phone)
		values[i] = fullWidth(fmt.Sprint(values[i]))
	default:
	}
}

func (s *source) position(name string) int {
	return slices.IndexFunc(s.columns, func(c column) bool { return c.name == name })
}

// allColumns are the columns of the payload, the event time and entered_at.
func (s *source) allColumns() []column {
	return append(slices.Clone(s.columns), s.eventTime(), column{"entered_at", "入库时间", moment})
}

func (s *source) eventTime() column {
	if s.kind == exchangev1.RecordKind_RECORD_KIND_REGISTER {
		return column{"changed_at", "更新时间", moment}
	}
	return column{"occurred_at", "发生时间", moment}
}

// enter decides when the rows were entered, puts them in that order and notes
// which come twice. A row is late by days where others are by minutes or hours.
func (s *source) enter(refs []ref) {
	for i := range refs {
		r := &refs[i]
		wait := int(mix(uint64(i)) % 600)
		if s.system == police {
			wait = nightlyAt - int(r.occurred)%day
		}
		if r.dirt == late {
			wait += (4 + int(mix(uint64(i)>>1)%16)) * day
			if r.occurred.night(wait) == changedNight {
				wait += day
			}
		}
		r.entered = r.occurred + instant(wait)
		if r.dirt == twice {
			s.again = append(s.again, *r)
		}
	}
	slices.SortFunc(refs, func(a, b ref) int {
		return cmp.Or(cmp.Compare(a.entered, b.entered), cmp.Compare(a.index, b.index), cmp.Compare(a.event, b.event))
	})
	s.refs = refs
}

func (i instant) night(wait int) int { return (int(i) + wait) / day }

// Resources returns the ten resources with their schemas.
func (c *County) Resources() []*exchangev1.Resource {
	var list []*exchangev1.Resource
	for _, s := range c.sources {
		schema, err := embedded.ReadFile("schemas/" + s.schema + ".json")
		if err != nil {
			panic(err) // the file is part of the program
		}
		list = append(list, &exchangev1.Resource{
			Name: s.resource, Title: s.title, Kind: s.kind, ShareType: s.share, Schema: schema, AgreedDelaySeconds: s.delay,
		})
	}
	return list
}
