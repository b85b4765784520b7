package connectors

import (
	"fmt"
	"slices"
	"strings"
)

// compareColumns says what is different between the columns that were agreed
// and those that are there now. added are new columns that may be null; if
// change is not empty, something else differs as well, and it says what.
func compareColumns(agreed, now []Column) (added []Column, change string) {
	var changes []string
	for _, was := range agreed {
		i := slices.IndexFunc(now, func(c Column) bool { return c.Name == was.Name })
		switch {
		case i < 0:
			changes = append(changes, fmt.Sprintf("column %q is gone", was.Name))
		case now[i].Type != was.Type:
			changes = append(changes, fmt.Sprintf("column %q is of type %s now, it was %s", was.Name, now[i].Type, was.Type))
		case now[i].Nullable != was.Nullable:
			may := map[bool]string{true: "may be null", false: "may not be null"}
			changes = append(changes, fmt.Sprintf("column %q %s now", was.Name, may[now[i].Nullable]))
		}
	}
	for _, c := range now {
		switch known := slices.ContainsFunc(agreed, func(was Column) bool { return was.Name == c.Name }); {
		case known:
		case c.Nullable:
			added = append(added, c)
		default:
			changes = append(changes, fmt.Sprintf("column %q is new and may not be null", c.Name))
		}
	}
	return added, strings.Join(changes, "; ")
}

// otherValues reports whether wanted columns are new, or of another type than was agreed, so that rows which were read
// before may have other values.
func otherValues(agreed, now []Column, wanted []string) bool {
	return slices.ContainsFunc(now, func(c Column) bool {
		return slices.Contains(wanted, c.Name) &&
			!slices.ContainsFunc(agreed, func(was Column) bool { return was.Name == c.Name && was.Type == c.Type })
	})
}

// takeColumns adds the columns that were added to the source later to the
// mapping, each under its own name and with the type that its declaration suggests.
func (m Mapping) takeColumns(taken []Column) Mapping {
	m.Fields = slices.Clone(m.Fields)
	for _, c := range taken {
		if !slices.ContainsFunc(m.Fields, func(f Field) bool { return f.From == c.Name || f.To == c.Name }) {
			m.Fields = append(m.Fields, Field{From: c.Name, To: c.Name, Type: fieldType(c.Type)})
		}
	}
	return m
}

// fieldType is the type of field that holds every value of a column without loss.
func fieldType(declared string) FieldType {
	declared = strings.ToLower(declared)
	for _, t := range []struct {
		prefix string
		is     FieldType
	}{
		{"tinyint(1)", Integer},
		{"int", Integer},
		{"bigint", Integer},
		{"smallint", Integer},
		{"mediumint", Integer},
		{"tinyint", Integer},
		{"numeric", Decimal},
		{"decimal", Decimal},
		{"bool", Boolean},
	} {
		if strings.HasPrefix(declared, t.prefix) && !strings.HasSuffix(declared, "]") && !strings.HasPrefix(declared, "interval") {
			return t.is
		}
	}
	return String
}
