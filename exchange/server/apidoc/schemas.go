package apidoc

import (
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
)

const schemaPrefix = "#/components/schemas/"

// hoistBodies gives the bodies that stand within their operations the name of
// their message, so that generated clients have a type of that name.
func hoistBodies(paths, schemas object, methods map[string]Method) {
	eachOperation(paths, func(op object) {
		id, _ := op["operationId"].(string)
		content := members(members(members(op["requestBody"])["content"])["application/json"])
		schema := members(content["schema"])
		if name := methods[id].Request; name != "" && schema["properties"] != nil {
			schemas[name] = schema
			content["schema"] = object{"$ref": schemaPrefix + name}
		}
	})
}

// eachOperation calls visit for every operation but HEAD, which has the
// parts of its GET.
func eachOperation(paths object, visit func(op object)) {
	for _, item := range paths {
		for verb, op := range members(item) {
			if o, ok := op.(object); ok && verb != "head" {
				visit(o)
			}
		}
	}
}

// finishSchemas returns the schemas that are used: those of answers with what
// is always there as required, those of requests closed, and what both use
// twice if it is an object.
func finishSchemas(paths, schemas object) object {
	schemas["Problem"], schemas["ReadyReport"] = problemSchema(), readySchema()
	inputs, outputs := map[string]bool{}, map[string]bool{}
	eachOperation(paths, func(op object) {
		reach(op["requestBody"], schemas, inputs)
		for _, p := range parameters(op) {
			reach(p, schemas, outputs) // enums only
		}
		reach(op["responses"], schemas, outputs)
	})
	renamed := map[string]string{}
	for name := range inputs {
		if outputs[name] && members(schemas[name])["type"] == "object" {
			renamed[name] = name + "Input"
		}
	}
	finished := object{}
	for name := range inputs {
		schema, _ := clone(schemas[name]).(object)
		repoint(schema, renamed)
		to := name
		if renamed[name] != "" {
			to = renamed[name]
		}
		refine(schema)
		if schema["type"] == "object" {
			schema["additionalProperties"] = false
		}
		finished[to] = schema
	}
	for name := range outputs {
		schema, _ := clone(schemas[name]).(object)
		refine(schema)
		require(name, schema)
		finished[name] = schema
	}
	eachOperation(paths, func(op object) { repoint(op["requestBody"], renamed) })
	return finished
}

// reach adds the names of the schemas that v refers to, and what they refer to.
func reach(v any, schemas object, found map[string]bool) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			reach(e, schemas, found)
		}
	case object:
		if ref, ok := v["$ref"].(string); ok {
			if name := strings.TrimPrefix(ref, schemaPrefix); !found[name] {
				found[name] = true
				reach(schemas[name], schemas, found)
			}
		}
		for _, e := range v {
			reach(e, schemas, found)
		}
	}
}

// repoint changes the references within v.
func repoint(v any, renamed map[string]string) {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			repoint(e, renamed)
		}
	case object:
		if ref, ok := v["$ref"].(string); ok {
			if to := renamed[strings.TrimPrefix(ref, schemaPrefix)]; to != "" {
				v["$ref"] = schemaPrefix + to
			}
		}
		for _, e := range v {
			repoint(e, renamed)
		}
	}
}

func clone(v any) any {
	switch v := v.(type) {
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = clone(e)
		}
		return out
	case object:
		out := make(object, len(v))
		for k, e := range v {
			out[k] = clone(e)
		}
		return out
	}
	return v
}

// refine says of values what the generator leaves out: the digits of an int64,
// Base64, and that a document may have any members.
func refine(schema object) {
	for _, property := range members(schema["properties"]) {
		refineValue(members(property))
	}
}

func refineValue(p object) {
	switch {
	case p["format"] == "int64" || p["format"] == "uint64":
		p["pattern"] = "^-?[0-9]{1,20}$"
	case p["format"] == "byte":
		p["contentEncoding"] = "base64"
	case p["type"] == "object" && p["properties"] == nil && p["additionalProperties"] == nil:
		p["additionalProperties"] = true
	case p["type"] == "object":
		if values := members(p["additionalProperties"]); values != nil {
			refineValue(values)
		}
	case p["type"] == "array":
		refineValue(members(p["items"]))
	}
}

// require lists the members that every answer with this message has: those
// that are written with their default value.
func require(name string, schema object) {
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(name))
	message, ok := found.(protoreflect.MessageDescriptor)
	if err != nil || !ok {
		return
	}
	required := map[string]bool{}
	list, _ := schema["required"].([]any)
	for _, e := range list {
		if name, ok := e.(string); ok {
			required[name] = true
		}
	}
	properties := members(schema["properties"])
	for i := range message.Fields().Len() {
		field := message.Fields().Get(i)
		document := members(properties[field.JSONName()])["type"] == "object" && !field.IsMap() // absent when it is empty
		if properties[field.JSONName()] != nil && !document && (field.IsList() || field.IsMap() || !field.HasPresence()) {
			required[field.JSONName()] = true
		}
	}
	if len(required) > 0 {
		sorted := []any{}
		for _, name := range slices.Sorted(maps.Keys(required)) {
			sorted = append(sorted, name)
		}
		schema["required"] = sorted
	}
}
