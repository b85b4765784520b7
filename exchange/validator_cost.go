package exchange

import (
	"errors"
	"fmt"
	"regexp/syntax"
	"strconv"
	"strings"
)

// The bounds of a schema, and of the patterns in it.
const (
	// maxSchemaSteps is how many rules one payload may be held against, references followed.
	maxSchemaSteps = 20_000
	maxSchemaDepth = 64
	// MaxPatternCost bounds [PatternCost], of all patterns of a schema or an expression together.
	MaxPatternCost = 20_000
)

// PatternCost is about how many instructions a regular expression becomes, its
// repetitions written out; 0 for one that does not compile.
func PatternCost(pattern string) int {
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return 0
	}
	return stepsOf(parsed)
}

func stepsOf(r *syntax.Regexp) int {
	n := 1 + len(r.Rune)
	for _, sub := range r.Sub {
		n += stepsOf(sub)
	}
	if r.Op == syntax.OpRepeat {
		n *= max(1, r.Min, r.Max)
	}
	return min(n, 1<<30)
}

// schemaCost follows a schema as a validator does, and gives up where that
// would take too many steps: nested allOf with two references each double
// with every level.
type schemaCost struct {
	root     any
	steps    int
	patterns int
	open     map[string]int // references under way: how many levels of the value they began at
}

// boundSchema refuses a schema whose payloads would cost too much to check.
func boundSchema(root any) error {
	c := &schemaCost{root: root, open: map[string]int{}}
	return c.follow(root, 0, 0)
}

// follow visits a schema. depth counts the schemas above, level the members of the payload.
func (c *schemaCost) follow(node any, depth, level int) error {
	c.steps++
	switch {
	case c.steps > maxSchemaSteps:
		return fmt.Errorf("checking one payload may take more than %d steps: references double, or there are too many rules", maxSchemaSteps)
	case depth > maxSchemaDepth:
		return fmt.Errorf("its rules are nested more than %d deep", maxSchemaDepth)
	}
	schema, ok := node.(map[string]any)
	if !ok {
		return nil
	}
	for keyword, value := range schema {
		if err := c.keyword(keyword, value, depth+1, level); err != nil {
			return err
		}
	}
	return nil
}

func (c *schemaCost) keyword(keyword string, value any, depth, level int) error {
	switch keyword {
	case "allOf", "anyOf", "oneOf":
		return c.all(value, depth, level)
	case "not", "if", "then", "else":
		return c.follow(value, depth, level)
	case "dependentSchemas":
		return c.all(value, depth, level)
	case "properties", "prefixItems":
		return c.all(value, depth, level+1)
	case "patternProperties":
		members, _ := value.(map[string]any)
		for pattern := range members {
			if err := c.pattern(pattern); err != nil {
				return err
			}
		}
		return c.all(value, depth, level+1)
	case "items", "additionalProperties", "propertyNames", "contains", "unevaluatedItems", "unevaluatedProperties", "additionalItems":
		if _, list := value.([]any); list {
			return c.all(value, depth, level+1)
		}
		return c.follow(value, depth, level+1)
	case "pattern":
		text, _ := value.(string)
		return c.pattern(text)
	case "$ref", "$dynamicRef", "$recursiveRef":
		text, _ := value.(string)
		return c.reference(text, depth, level)
	}
	return nil
}

func (c *schemaCost) all(value any, depth, level int) error {
	switch list := value.(type) {
	case []any:
		for _, node := range list {
			if err := c.follow(node, depth, level); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, node := range list {
			if err := c.follow(node, depth, level); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *schemaCost) pattern(text string) error {
	if c.patterns += PatternCost(text); c.patterns > MaxPatternCost {
		return errors.New("its patterns cost too much; use smaller numbers in {}")
	}
	return nil
}

// reference follows a reference into the schema. One that is under way already recurs with each level of the payload.
func (c *schemaCost) reference(text string, depth, level int) error {
	if _, recurs := c.open[text]; recurs {
		return fmt.Errorf("the reference %.80q leads back to itself; payloads are flat records, so write the levels out", text)
	}
	target, ok := c.resolve(text)
	if !ok {
		return nil // the compiler says what is wrong with it
	}
	c.open[text] = level
	defer delete(c.open, text)
	return c.follow(target, depth, level)
}

// resolve finds what a JSON pointer, "#" or an anchor refers to.
func (c *schemaCost) resolve(text string) (any, bool) {
	_, fragment, found := strings.Cut(text, "#")
	if !found {
		return nil, false
	}
	if fragment == "" {
		return c.root, true
	}
	path, isPointer := strings.CutPrefix(fragment, "/")
	if !isPointer {
		return c.anchor(c.root, fragment, 0)
	}
	node := c.root
	for _, token := range strings.Split(path, "/") {
		if strings.ContainsAny(token, "~%") {
			token = strings.NewReplacer("%25", "%", "~1", "/", "~0", "~").Replace(token)
		}
		switch n := node.(type) {
		case map[string]any:
			node = n[token]
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(n) {
				return nil, false
			}
			node = n[i]
		default:
			return nil, false
		}
	}
	return node, node != nil
}

// anchor finds the schema with a name.
func (c *schemaCost) anchor(node any, name string, depth int) (any, bool) {
	if c.steps++; depth > maxSchemaDepth || c.steps > maxSchemaSteps {
		return nil, false
	}
	switch n := node.(type) {
	case map[string]any:
		if n["$anchor"] == name || n["$dynamicAnchor"] == name {
			return n, true
		}
		for _, inner := range n {
			if found, ok := c.anchor(inner, name, depth+1); ok {
				return found, true
			}
		}
	case []any:
		for _, inner := range n {
			if found, ok := c.anchor(inner, name, depth+1); ok {
				return found, true
			}
		}
	}
	return nil, false
}

// boundNesting refuses a JSON text that is nested deep, before it is read.
func boundNesting(text []byte) error {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '[' || c == '{':
			if depth++; depth > 4*maxSchemaDepth {
				return fmt.Errorf("it is nested more than %d deep", 4*maxSchemaDepth)
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return nil
}
