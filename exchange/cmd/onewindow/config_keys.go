package main

import (
	"errors"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// unknownKeys reports every key of a configuration that has no meaning, with
// its line and the keys that there are. What is not YAML is left to the decoder.
func unknownKeys(file string, text []byte) error {
	parsed, err := parser.ParseBytes(text, 0)
	if err != nil {
		return nil //nolint:nilerr // the decoder says it with the place
	}
	var faults []error
	for _, doc := range parsed.Docs {
		faults = append(faults, unknownIn(file, doc.Body, reflect.TypeFor[Config]())...)
	}
	return errors.Join(faults...)
}

// unknownIn reports the unknown keys of a node that is decoded into t.
func unknownIn(file string, node ast.Node, t reflect.Type) []error {
	var faults []error
	switch n := node.(type) {
	case *ast.MappingNode:
		if t.Kind() != reflect.Struct {
			return nil
		}
		for _, value := range n.Values {
			faults = append(faults, unknownKey(file, value, t)...)
		}
	case *ast.MappingValueNode:
		if t.Kind() == reflect.Struct {
			faults = unknownKey(file, n, t)
		}
	case *ast.SequenceNode:
		if t.Kind() == reflect.Slice {
			for _, value := range n.Values {
				faults = append(faults, unknownIn(file, value, t.Elem())...)
			}
		}
	}
	return faults
}

// unknownKey looks a key up among the fields of t, and into its value.
func unknownKey(file string, n *ast.MappingValueNode, t reflect.Type) []error {
	key := n.Key.GetToken().Value
	if key == "<<" { // a merged anchor, which the decoder checks
		return nil
	}
	var known []string
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("yaml"), ",")
		if name == key {
			return unknownIn(file, n.Value, t.Field(i).Type)
		}
		known = append(known, name)
	}
	slices.Sort(known)
	return []error{wrongUsage(nil, "cli.CONFIG_KEY", "file", file, "key", key,
		"line", strconv.Itoa(n.Key.GetToken().Position.Line), "known", strings.Join(known, ", "))}
}
