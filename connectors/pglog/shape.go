package pglog

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
)

// shape says how the wanted columns are stored. Where it changes, values of rows may have changed of which the log says
// nothing: a column was added with a default, dropped and added again, or rewritten by ALTER … TYPE … USING, or a value
// of an enum was renamed.
type shape struct {
	// Columns has the wanted columns by name.
	Columns map[string]columnShape `json:"columns"`
	// Files is a digest of the files of the table and its partitions; a table that is rewritten gets others.
	Files string `json:"files"`
}

// columnShape is one column as the catalogue has it.
type columnShape struct {
	// Is has the number of the column, which is never used again, and its type.
	Is string `json:"is"`
	// Version changes with every ALTER of the column, also with those that leave its values alone.
	Version string `json:"version"`
	// Labels is the number of values of an enum, and Sum their digest in the order in which they were added.
	Labels int    `json:"labels,omitempty"`
	Sum    string `json:"sum,omitempty"`
}

// shapeNow asks the catalogue. values are those of enums, by column.
func (s *source) shapeNow(ctx context.Context) (now shape, values map[string][]string, err error) {
	rows, err := s.db.ask(ctx, `WITH RECURSIVE tree (oid) AS (
			SELECT $1::oid UNION ALL SELECT i.inhrelid FROM pg_inherits i JOIN tree ON i.inhparent = tree.oid)
		SELECT a.attname, a.attnum || ':' || a.atttypid || ':' || a.atttypmod, a.xmin || ':' || coalesce(d.xmin::text, ''),
			coalesce((SELECT string_agg(e.enumlabel, E'\n' ORDER BY e.oid) FROM pg_enum e WHERE e.enumtypid IN (t.oid, t.typelem, t.typbasetype)), ''),
			(SELECT md5(string_agg(pg_relation_filenode(tree.oid)::text, ',' ORDER BY tree.oid)) FROM tree)
		FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
		LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum AND coalesce(to_jsonb(a)->>'attgenerated', '') <> ''
		WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped`, s.facts.oid)
	if err != nil {
		return shape{}, nil, err
	}
	now, values = shape{Columns: map[string]columnShape{}}, map[string][]string{}
	selected := s.table.Selected()
	for _, row := range rows {
		name := row[0]
		if !slices.Contains(selected, name) {
			continue
		}
		c := columnShape{Is: row[1], Version: row[2]}
		if row[3] != "" {
			values[name] = strings.Split(row[3], "\n")
			c.Labels, c.Sum = len(values[name]), digest(values[name])
		}
		now.Columns[name], now.Files = c, row[4]
	}
	return now, values, nil
}

// changed reports whether values of rows may be others than under the shape before.
func (now shape) changed(before shape, values map[string][]string) bool {
	for name, c := range now.Columns {
		was, known := before.Columns[name]
		switch {
		case !known || was.Is != c.Is:
			return true
		case was.Version != c.Version && before.Files != now.Files:
			return true // the column was altered and the table rewritten; a default or a VACUUM alone changes no value
		case was.Labels < 0 || was.Labels > len(values[name]) || digest(values[name][:was.Labels]) != was.Sum:
			return true // a value was renamed; one that was added changes nothing
		}
	}
	return false
}

func digest(labels []string) string {
	if len(labels) == 0 {
		return ""
	}
	sum := sha256.Sum256([]byte(strconv.Itoa(len(labels)) + "\n" + strings.Join(labels, "\n")))
	return hex.EncodeToString(sum[:8])
}

// reshape takes the shape of the table over as it is now. If values may have changed without a trace, the whole table
// is read again.
func (s *source) reshape(ctx context.Context) error {
	now, values, err := s.shapeNow(ctx)
	if err != nil {
		return err
	}
	before := s.at.Shape
	s.at.Shape = &now
	if before == nil || !now.changed(*before, values) {
		return nil
	}
	// A change that comes before the new shape in the stream has old values, and takes its row out of a chunk that
	// was read already. So no chunk is read until the stream has passed what is committed now.
	if s.at.Hold, err = s.db.mark(ctx); err != nil {
		s.at.Shape = before
		return err
	}
	s.restart()
	return nil
}

// restart has the whole table read again, with instants behind those of the rows that were read before.
func (s *source) restart() {
	rereads := slices.Clone(s.at.Rereads)
	if i := slices.IndexFunc(rereads, func(r reread) bool { return r.ID == "" }); i >= 0 {
		rereads[i].After = nil
	} else {
		rereads = append(rereads, reread{})
	}
	s.at.Rereads, s.chunk = rereads, nil
	s.at.Clock += 2
	clear(s.streamed)
}
