package typeface

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onewindow/onewindow/signing/internal/peer"
)

// TestSubsetIsReadByJava lets Java's font engine (FreeType) read the whole font
// and a subset: each character must have the same advance and outline.
func TestSubsetIsReadByJava(t *testing.T) {
	t.Parallel()
	const text = "湘东县行政审批服务局证照A1g，（—"
	subset, err := loadNoto(t).Subset([]rune(text))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "subset.ttf")
	if err := os.WriteFile(file, subset, 0o600); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join("testdata", "Subset.java")
	whole := peer.Java(t, program, peer.Face(t), text)
	part := peer.Java(t, program, file, text)
	if whole != part {
		t.Errorf("Java reads\n%s\nfrom the subset, from the whole font\n%s", part, whole)
	}
	if lines := strings.Count(whole, " true "); lines != len([]rune(text)) {
		t.Errorf("%d characters shown, want %d:\n%s", lines, len([]rune(text)), whole)
	}
}
