package server

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/onewindow/onewindow/exchange/access"
	"github.com/onewindow/onewindow/exchange/server/apidoc"
	openapi "github.com/onewindow/onewindow/proto"
)

// httpBody is the message of an answer that is not JSON.
const httpBody = "google.api.HttpBody"

// describe makes /openapi.json, and finds the documents for everybody, from
// what the services say of themselves; shared are the errors of all of them.
func (h *rest) describe(services []Service, shared []ErrorRule) error {
	methods := map[string]apidoc.Method{}
	h.routes = map[string]access.Policy{}
	for _, service := range services {
		var problems []apidoc.Problem
		for _, rule := range slices.Concat(service.Errors, shared) {
			problems = append(problems, apidoc.Problem{Status: httpStatus(rule.Code, rule.Reason), Reason: rule.Reason})
		}
		for name, policy := range service.Access {
			m := methodDescriptor(name)
			if m == nil {
				return fmt.Errorf("%w: %s is not a method of a proto", ErrConfig, name)
			}
			h.routes[routeOf(m)] = policy
			contents := service.Contents[name]
			if (m.Output().FullName() == httpBody) != (len(contents) > 0) {
				return fmt.Errorf("%w: Contents must name the media types of %s if, and only if, it returns %s", ErrConfig, name, httpBody)
			}
			methods[operationID(m)] = apidoc.Method{
				Request: string(m.Input().FullName()), Public: policy.Public, Contents: contents, Problems: problems,
			}
		}
	}
	pages := append(slices.Sorted(maps.Keys(h.pages)), "/openapi.json")
	text, err := apidoc.Build(openapi.OpenAPI(), methods, slices.AppendSeq(pages, maps.Keys(h.others)))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	public, err := apidoc.PublicPaths(openapi.OpenAPI(), methods)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrConfig, err)
	}
	h.documents = http.NewServeMux()
	for _, path := range public {
		h.documents.Handle(path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.gateway.ServeHTTP(w, r) }))
	}
	h.documents.Handle("/openapi.json", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Cache-Control", "no-cache") // kept, and asked for again with its ETag
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(text) // into memory
	}))
	return nil
}

// variable is one without a pattern of its own in the path of a google.api.http rule.
var variable = regexp.MustCompile(`\{([a-z_.]+)\}`) //nolint:gochecknoglobals // a constant

// routeOf is a method's HTTP method and path, as the gateway writes its patterns.
func routeOf(m protoreflect.MethodDescriptor) string {
	rule, _ := proto.GetExtension(m.Options(), annotations.E_Http).(*annotations.HttpRule)
	for method, path := range map[string]string{
		http.MethodGet: rule.GetGet(), http.MethodPut: rule.GetPut(), http.MethodPost: rule.GetPost(),
		http.MethodDelete: rule.GetDelete(), http.MethodPatch: rule.GetPatch(),
	} {
		if path != "" {
			return method + " " + variable.ReplaceAllString(path, "{$1=*}")
		}
	}
	return ""
}

// methodDescriptor finds a method by its full name, "/exchange.v1.CatalogService/PutDepartment".
func methodDescriptor(name string) protoreflect.MethodDescriptor {
	dotted := strings.ReplaceAll(strings.TrimPrefix(name, "/"), "/", ".")
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(dotted))
	if err != nil {
		return nil
	}
	m, _ := found.(protoreflect.MethodDescriptor)
	return m
}

// operationID is what the generator calls a method in the OpenAPI document.
func operationID(m protoreflect.MethodDescriptor) string {
	return string(m.Parent().Name()) + "_" + string(m.Name())
}

// The texts of protojson and of the gateway that name a field of an enum.
var enumFault = regexp.MustCompile(`enum field (\w+): |parsing field "(\w+)": .* is not a valid value`) //nolint:gochecknoglobals // a constant

// withExample adds to what is wrong with a value what a right one looks like:
// the values of an enum, or a time.
func withExample(m protoreflect.MessageDescriptor, detail string) string {
	if strings.Contains(detail, "google.protobuf.Timestamp") {
		return detail + `; write a time as in "2026-11-22T09:30:00+08:00"`
	}
	found := enumFault.FindStringSubmatch(detail)
	if found == nil {
		return detail
	}
	enum := enumOf(m, found[1]+found[2], map[protoreflect.FullName]bool{})
	if enum == nil {
		return detail
	}
	return detail + "; use " + strings.Join(enumNames(enum), ", ")
}

// OneOf says which values an enum has, for the error about another: "kind must
// be RECORD_KIND_REGISTER, …".
func OneOf(field string, value protoreflect.Enum) string {
	return field + " must be one of " + strings.Join(enumNames(value.Descriptor()), ", ")
}

// enumNames are the names of an enum's values but the unspecified one.
func enumNames(enum protoreflect.EnumDescriptor) []string {
	var names []string
	for i := range enum.Values().Len() {
		if v := enum.Values().Get(i); v.Number() != 0 {
			names = append(names, string(v.Name()))
		}
	}
	return names
}

// enumOf finds the enum of a field of that name in a message or below it.
func enumOf(m protoreflect.MessageDescriptor, name string, seen map[protoreflect.FullName]bool) protoreflect.EnumDescriptor {
	seen[m.FullName()] = true
	for i := range m.Fields().Len() {
		if f := m.Fields().Get(i); f.Enum() != nil && (f.JSONName() == name || string(f.Name()) == name) {
			return f.Enum()
		}
	}
	for i := range m.Fields().Len() {
		if below := m.Fields().Get(i).Message(); below != nil && !seen[below.FullName()] {
			if found := enumOf(below, name, seen); found != nil {
				return found
			}
		}
	}
	return nil
}
