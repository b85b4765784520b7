package connectors

import (
	"regexp"
	"strings"
	"unicode"
)

// clause is a part of a JSON Schema.
type clause = map[string]any

// conditionsOf says what the readers of the mapping at a path require beyond its single members.
func conditionsOf(path string) []any {
	switch path {
	case "sources":
		return sourceConditions()
	case "sources.sql":
		bulk := has("mode", string(Bulk))
		return []any{clause{"if": bulk, "then": clause{"required": []string{"key"}, "not": needs("cursor")}, "else": needs("cursor")}}
	case "sources.log":
		return []any{clause{"if": has("driver", "mysql", "mariadb"), "then": needs("server_id")}}
	case "sources.files":
		return []any{clause{"if": has("format", FormatXML), "then": needs("element")}}
	case "sources.files.sftp":
		return []any{oneOfThese("key_file", "password_file")}
	case "sources.http":
		return pagingConditions()
	case "sources.map.event_time", "sources.map.recorded_time":
		return []any{oneOfThese("from", "value")}
	case "sources.map.fields":
		dated := clause{"required": []string{"type"}, "properties": clause{"type": clause{"enum": []string{string(Date), string(Time)}}}}
		return []any{oneOfThese("from", "value"), clause{"if": clause{"required": []string{"format"}, "properties": clause{"format": clause{"minLength": 1}}}, "then": dated}}
	case "sources.map.masks.*":
		return []any{
			clause{"if": has("method", string(Hash)), "then": needs("salt_file"), "else": clause{"not": needs("salt_file")}},
			clause{"if": needs("keep"), "then": has("method", string(KeepLast))},
		}
	}
	return nil
}

// sourceConditions require the section of the kind, and it alone, and an event time of sources that do not date their rows.
func sourceConditions() []any {
	var all []any
	for _, kind := range kinds() {
		others := clause{}
		for _, other := range kinds() {
			if other != kind {
				others[other] = false
			}
		}
		all = append(all, clause{"if": has("kind", kind), "then": clause{"required": []string{kind}, "properties": others}})
	}
	asked := has("kind", KindSQL)
	asked["not"] = clause{"properties": clause{KindSQL: has("mode", string(Bulk))}}
	return append(all, clause{
		"if":   clause{"anyOf": []any{has("kind", KindFiles, KindHTTP), asked}},
		"then": clause{"properties": clause{"map": needs("event_time")}},
	})
}

// pagingConditions require what each way of paging needs.
func pagingConditions() []any {
	byOffset := needs("offset_param")
	byOffset["anyOf"] = []any{needs("size_param"), needs("end_param")}
	return []any{
		clause{"if": clause{"anyOf": []any{has("paging", PagingNumber), clause{"not": clause{"required": []string{"paging"}}}}}, "then": needs("page_param", "size_param")},
		clause{"if": has("paging", PagingOffset), "then": byOffset},
		clause{"if": has("paging", PagingCursor), "then": needs("cursor_param", "next")},
		clause{"if": has("paging", PagingSince), "then": needs("since_param", "since_column")},
		clause{"not": needs("oauth2", "token_file")},
	}
}

// has is true of a mapping whose member is one of the values.
func has(member string, values ...string) clause {
	return clause{"required": []string{member}, "properties": clause{member: clause{"enum": values}}}
}

// needs is true of a mapping with these members, of which no text is empty.
func needs(members ...string) clause {
	filled := clause{}
	for _, member := range members {
		filled[member] = clause{"minLength": 1}
	}
	return clause{"required": members, "properties": filled}
}

// oneOfThese is true of a mapping with one of two members.
func oneOfThese(first, second string) clause {
	return clause{"oneOf": []any{needs(first), needs(second)}}
}

// anyCase is a pattern that ECMAScript knows too for one of some words in upper or lower case.
func anyCase(words []string) string {
	var b strings.Builder
	for _, r := range regexp.QuoteMeta(strings.Join(words, "\n")) {
		switch {
		case r == '\n':
			b.WriteByte('|')
		case unicode.IsLower(r):
			b.WriteString("[" + string(r) + string(unicode.ToUpper(r)) + "]")
		default:
			b.WriteRune(r)
		}
	}
	return "^(" + b.String() + ")$"
}
