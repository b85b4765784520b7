package apidoc

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// complete adds to a generated operation what it may be called with and what
// it returns.
func complete(op object, verb string, m Method) object {
	describe(op)
	op["security"] = []any{object{"bearer": []any{}}}
	if m.Public {
		op["security"] = []any{}
	}
	responses := members(op["responses"])
	ok := members(responses["200"])
	ok["description"] = "OK."
	if len(m.Contents) > 0 {
		ok["content"] = contents(m.Contents)
	}
	for _, p := range parameters(op) {
		if p["name"] == "pageSize" {
			members(p["schema"])["minimum"] = 0
		}
	}
	problems := slices.Concat(m.Problems, ownProblems(op, m))
	for status, reasons := range byStatus(problems) {
		if status == http.StatusConflict && verb == "get" {
			continue
		}
		responses[strconv.Itoa(status)] = problemResponse(status, reasons)
	}
	if isDocument(m) {
		cacheable(op, ok, responses)
	}
	return op
}

// describe makes one short summary, and a description if there is more to
// say, of the comment of a method. Directives to the linter are no part of it.
func describe(op object) {
	text, _ := op["summary"].(string)
	var kept []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "buf:") {
			kept = append(kept, line)
		}
	}
	text = strings.Join(kept, " ")
	summary, rest, more := strings.Cut(text, ". ")
	if more && rest != "" {
		op["description"] = text
		text = summary + "."
	}
	op["summary"] = text
}

// ownProblems are the errors that the server itself returns before or beside
// a method: see package server.
func ownProblems(op object, m Method) []Problem {
	all := []Problem{
		{http.StatusBadRequest, "INVALID_ARGUMENT"},
		{http.StatusBadRequest, "INVALID_VALUE"},
		{http.StatusBadRequest, "UNKNOWN_FIELD"},
		{http.StatusInternalServerError, "INTERNAL"},
		{http.StatusServiceUnavailable, "STOPPING"},
		{http.StatusGatewayTimeout, "DEADLINE_EXCEEDED"},
	}
	if !m.Public {
		all = append(
			all,
			Problem{http.StatusUnauthorized, "TOKEN_MISSING"},
			Problem{http.StatusUnauthorized, "TOKEN_INVALID"},
			Problem{http.StatusForbidden, "ROLE_NOT_ALLOWED"},
			Problem{http.StatusServiceUnavailable, "TOKEN_UNCHECKED"},
		)
	}
	for _, p := range parameters(op) {
		if p["in"] == "path" { // a value with a slash leads to another path
			all = append(all, Problem{http.StatusNotFound, "ROUTE_UNKNOWN"})
			break
		}
	}
	if op["requestBody"] != nil {
		all = append(
			all,
			Problem{http.StatusBadRequest, "MALFORMED_JSON"},
			Problem{http.StatusBadRequest, "DUPLICATE_FIELD"},
			Problem{http.StatusBadRequest, "BODY_INCOMPLETE"},
			Problem{http.StatusRequestEntityTooLarge, "BODY_TOO_LARGE"},
			Problem{http.StatusUnsupportedMediaType, "CONTENT_TYPE"},
		)
	}
	return all
}

// byStatus gathers the reasons of each status.
func byStatus(problems []Problem) map[int][]string {
	reasons := map[int][]string{}
	for _, p := range problems {
		if !slices.Contains(reasons[p.Status], p.Reason) {
			reasons[p.Status] = append(reasons[p.Status], p.Reason)
		}
	}
	return reasons
}

func problemResponse(status int, reasons []string) object {
	sorted := slices.Sorted(slices.Values(reasons))
	return object{
		"description": http.StatusText(status) + ". Reasons: " + strings.Join(sorted, ", ") + ".",
		"content":     object{"application/problem+json": object{"schema": object{"$ref": "#/components/schemas/Problem"}}},
	}
}

// contents describes an answer that is not made of a message.
func contents(types []string) object {
	content := object{}
	for _, media := range types {
		schema := object{"type": "string"}
		switch media {
		case "application/jwk-set+json":
			schema = object{"type": "object", "required": []any{"keys"}, "properties": object{
				"keys": object{"type": "array", "items": object{"type": "object", "additionalProperties": true}},
			}}
		case "application/json":
			schema = object{"type": "object", "additionalProperties": true}
		case "application/ofd", "image/png", "application/pkix-crl", "application/timestamp-reply":
			schema["format"] = "binary"
		}
		content[media] = object{"schema": schema}
	}
	return content
}

// cacheable describes what a document for everybody has: validators, and HEAD.
func cacheable(op, ok, responses object) {
	headers := object{
		"Cache-Control":               object{"schema": object{"type": "string"}, "description": "How long the document may be kept."},
		"ETag":                        object{"schema": object{"type": "string"}, "description": "For If-None-Match."},
		"Access-Control-Allow-Origin": object{"schema": object{"type": "string"}, "description": "Always \"*\"."},
	}
	ok["headers"] = headers
	list, _ := op["parameters"].([]any)
	op["parameters"] = append(slices.Clone(list), object{
		"name": "If-None-Match", "in": "header", "schema": object{"type": "string"},
		"description": "ETag of a kept document; if it is still the same, the answer is 304.",
	})
	responses["304"] = object{"description": "The kept document is still the same.", "headers": headers}
	head := maps.Clone(op)
	id, _ := op["operationId"].(string)
	head["operationId"] = id + "Head"
	plain := object{}
	for status, response := range responses {
		r := maps.Clone(members(response))
		delete(r, "content")
		plain[status] = r
	}
	head["responses"] = plain
	op["x-head"] = head
}
