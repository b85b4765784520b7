package apidoc

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// ErrDocument is wrapped by [Build] when the generated document and the
// server's tables do not fit each other.
var ErrDocument = errors.New("apidoc: the document and the services differ")

// Method is what the server knows of a gRPC method with a REST route.
type Method struct {
	// Request is the full name of the request's message, e.g. "exchange.v1.PushRecordsRequest".
	Request string
	// Public methods need no token; their answers are documents that may be cached.
	Public bool
	// Contents are the media types of an answer that is not JSON made of a message.
	Contents []string
	// Problems are the errors of the method's service.
	Problems []Problem
}

// Problem is an error that an operation may return.
type Problem struct {
	Status int
	Reason string
}

// object is a JSON object.
type object = map[string]any

// Build returns the document for a server that serves the methods, by
// operation id ("CatalogService_PutDepartment"), and the pages, by path. What
// the generated document has beside them is left out. It wraps [ErrDocument]
// when a method has no operation.
func Build(generated []byte, methods map[string]Method, pages []string) ([]byte, error) {
	var doc object
	if err := json.Unmarshal(generated, &doc); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	paths, ids := object{}, map[string]bool{}
	for path, item := range members(doc["paths"]) {
		for verb, operation := range members(item) {
			op, ok := operation.(object)
			if !ok {
				continue
			}
			id, _ := op["operationId"].(string)
			method, served := methods[id]
			if !served {
				continue
			}
			if ids[id] {
				return nil, fmt.Errorf("%w: two operations are called %s", ErrDocument, id)
			}
			ids[id] = true
			place(paths, renamePath(path, op), verb, complete(op, verb, method))
		}
	}
	for id := range methods {
		if !ids[id] {
			return nil, fmt.Errorf("%w: no operation %s", ErrDocument, id)
		}
	}
	for _, path := range pages {
		if item, ok := pageItems()[path]; ok {
			paths[path] = item
		}
	}
	doc["paths"] = paths
	doc["tags"] = usedTags(doc["tags"], paths)
	schemas := members(members(doc["components"])["schemas"])
	hoistBodies(paths, schemas, methods)
	members(doc["components"])["schemas"] = finishSchemas(paths, schemas)
	out, err := json.MarshalIndent(doc, "", " ")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	return append(out, '\n'), nil
}

// PublicPaths returns the path templates, with their parameters, of the GET
// operations of a built document that are documents for everybody.
func PublicPaths(generated []byte, methods map[string]Method) ([]string, error) {
	var doc struct {
		Paths map[string]map[string]struct {
			OperationID string `json:"operationId"`
		} `json:"paths"`
	}
	if err := json.Unmarshal(generated, &doc); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDocument, err)
	}
	var public []string
	for path, item := range doc.Paths {
		if op, ok := item["get"]; ok && isDocument(methods[op.OperationID]) {
			public = append(public, path)
		}
	}
	slices.Sort(public)
	return public, nil
}

// isDocument reports whether a method returns a document for everybody.
func isDocument(m Method) bool { return m.Public && len(m.Contents) > 0 }

// members returns v's members, or none if it is no object.
func members(v any) object {
	m, _ := v.(object)
	return m
}

// place puts an operation under its path.
func place(paths object, path, verb string, op object) {
	item := members(paths[path])
	if item == nil {
		item = object{}
		paths[path] = item
	}
	item[verb] = op
	if head, ok := op["x-head"].(object); ok {
		delete(op, "x-head")
		item["head"] = head
	}
}

// renamePath gives the path parameters of an operation names without dots:
// {department.code} becomes {code}, and the two halves of a source's name are
// called what they are.
func renamePath(path string, op object) string {
	names := map[string]string{}
	for _, p := range parameters(op) {
		if name, _ := p["name"].(string); p["in"] == "path" {
			names[name] = name[strings.LastIndexByte(name, '.')+1:]
		}
	}
	if _, two := names["name_1"]; two {
		names["name"], names["name_1"] = "department", "connector"
	}
	for _, p := range parameters(op) {
		name, _ := p["name"].(string)
		if to, ok := names[name]; ok && p["in"] == "path" {
			p["name"] = to
			path = strings.Replace(path, "{"+name+"}", "{"+to+"}", 1)
		}
	}
	return path
}

// parameters returns an operation's parameters.
func parameters(op object) []object {
	list, _ := op["parameters"].([]any)
	all := make([]object, 0, len(list))
	for _, p := range list {
		if m, ok := p.(object); ok {
			all = append(all, m)
		}
	}
	return all
}

// usedTags keeps the tags that an operation has.
func usedTags(tags any, paths object) []any {
	used := map[string]bool{}
	for _, item := range paths {
		for _, op := range members(item) {
			list, _ := members(op)["tags"].([]any)
			for _, tag := range list {
				if name, ok := tag.(string); ok {
					used[name] = true
				}
			}
		}
	}
	list, _ := tags.([]any)
	kept := []any{}
	for _, tag := range list {
		t := members(tag)
		if name, ok := t["name"].(string); ok && used[name] {
			text, _ := t["description"].(string)
			t["description"] = strings.Join(strings.Fields(text), " ")
			kept = append(kept, t)
			delete(used, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(used)) {
		kept = append(kept, object{"name": name, "description": "What a server has beside its services."})
	}
	return kept
}
