package connectors

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// TestCostlyDefinitionsAreRefusedBeforeTheyCost counts the bytes that the refusal of a hostile document allocates.
func TestCostlyDefinitionsAreRefusedBeforeTheyCost(t *testing.T) {
	var laughs strings.Builder
	laughs.WriteString("a0: &a0 [x, x]\n")
	for i := 1; i < 40; i++ {
		fmt.Fprintf(&laughs, "a%d: &a%d [*a%d, *a%d]\n", i, i, i-1, i-1)
	}
	stairs := "sources:\n"
	for i := range 600 {
		stairs += strings.Repeat(" ", i) + "a:\n"
	}
	value := func(text string) string {
		return "sources:\n  - name: a/b\n    resource: a.b\n    kind: sql\n    sql: {driver: sqlite, dsn_file: x, table: t, key: k, mode: bulk}\n    map:\n      key: [k]\n      fields:\n        - {from: k, to: k}\n        - {to: v, value: '" + text + "'}\n"
	}
	for name, text := range map[string]string{
		"brackets":            strings.Repeat("[", 200_000),
		"brackets with words": strings.Repeat("[a,", 70_000),
		"braces":              "sources: " + strings.Repeat("{a: ", 50_000),
		"lists on one line":   strings.Repeat("- ", 100_000),
		"doubled aliases":     laughs.String(),
		"stairs":              stairs,
		"deep expression":     value(strings.Repeat("(", 2000) + "1" + strings.Repeat(")", 2000)),
		"pattern of patterns": value(`row.k.matches("` + strings.Repeat("(a{900}){1}b{900}", 100) + `") ? 1 : 2`),
	} {
		t.Run(name, func(t *testing.T) {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := time.Now()
			_, err := ParseDefinitions([]byte(text), ".")
			took := time.Since(start)
			runtime.ReadMemStats(&after)
			allocated := after.TotalAlloc - before.TotalAlloc
			t.Logf("%d bytes, %s, %.1f MB: %.120v", len(text), took, float64(allocated)/1e6, err)
			if err == nil || allocated > 50_000_000 {
				t.Errorf("%v, %d bytes allocated", err, allocated)
			}
		})
	}
}

// TestUsualYAMLIsWithinTheBound has texts that only look like nesting.
func TestUsualYAMLIsWithinTheBound(t *testing.T) {
	sample, err := os.ReadFile("testdata/sources.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		string(sample), "", "a: 'it''s [[['\nb: \"\\\"[[[\"\n# [[[ &x *y\nc: a[[[*b&c\n", strings.Repeat("a: x[\n", 200), strings.Repeat("- [0, 1)\n", 60), "a: '*'\nb: 2 * 3\nc: - 5\n",
		"a: |\n  if [ x ]; then\n  y\nb: {c: [d, {e: f}]}\n", strings.Repeat("- {a: [b]}\n", 1000),
	} {
		if err := BoundYAML([]byte(text)); err != nil {
			t.Errorf("%.80q: %v", text, err)
		}
	}
}
