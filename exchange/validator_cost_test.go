package exchange

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestCostlySchemasAreRefusedBeforeTheyCost counts the bytes that the refusal of a hostile schema allocates.
func TestCostlySchemasAreRefusedBeforeTheyCost(t *testing.T) {
	doubled := func(format string) string {
		var b strings.Builder
		b.WriteString(`{"$ref":"#/$defs/a0","$defs":{`)
		for i := range 25 {
			next := fmt.Sprintf(`{"$ref":"#/$defs/a%d"}`, i+1)
			fmt.Fprintf(&b, `"a%d":`+format+`,`, i, next, next)
		}
		return b.String() + `"a25":{"type":"object"}}}`
	}
	for name, text := range map[string]string{
		"doubled allOf":       doubled(`{"allOf":[%s,%s]}`),
		"doubled properties":  doubled(`{"properties":{"a":%s},"additionalProperties":%s}`),
		"doubled if":          doubled(`{"if":%s,"then":%s}`),
		"recursion":           `{"type":"object","properties":{"a":{"allOf":[{"$ref":"#"},{"$ref":"#"}]}}}`,
		"recursion in place":  `{"$ref":"#"}`,
		"recursion by anchor": `{"$anchor":"x","properties":{"a":{"anyOf":[{"$ref":"#x"},{"$ref":"#x"}]}}}`,
		"nested nots":         strings.Repeat(`{"not":`, 20_000) + "{}" + strings.Repeat("}", 20_000),
		"nested lists":        `{"enum":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + "}",
		"brackets":            strings.Repeat("[", 200_000),
		"pattern of patterns": `{"properties":{"a":{"pattern":"` + strings.Repeat("a{900}", 500) + `"}}}`,
		"nested repetitions":  `{"properties":{"a":{"pattern":"((a{30}){30}){2}` + strings.Repeat("b{1000}", 50) + `"}}}`,
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			_, err := newValidator(Resource{Name: "a.b", Schema: []byte(text)})
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			allocated := after.TotalAlloc - before.TotalAlloc
			t.Logf("%d bytes, %s, %.1f MB: %.120v", len(text), took, float64(allocated)/1e6, err)
			if !errors.Is(err, ErrInvalid) || allocated > 50_000_000 {
				t.Errorf("%v, %d bytes allocated", err, allocated)
			}
		})
	}
}

// TestUsualSchemasAreWithinTheBound has definitions that are used more than once.
func TestUsualSchemasAreWithinTheBound(t *testing.T) {
	for _, text := range []string{
		`{"type":"object","properties":{"a":{"$ref":"#/$defs/d"},"b":{"$ref":"#/$defs/d"}},"$defs":{"d":{"type":"string","pattern":"^[0-9]{18}$"}}}`,
		`{"type":"object","allOf":[{"if":{"required":["a"]},"then":{"required":["b"]}}],"properties":{"a":{"type":"array","items":{"$ref":"#/$defs/x~1y"}}},"$defs":{"x/y":{"enum":["1","2"]}}}`,
	} {
		if _, err := newValidator(Resource{Name: "a.b", Schema: []byte(text)}); err != nil {
			t.Errorf("%s: %v", text, err)
		}
	}
}
