package typeface

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Find says which font file to load. An explicit path wins and must exist.
// Otherwise each base (a folder that may hold this package's package.json,
// such as the executable's folder or signing/typeface below the working
// directory) is searched for what `npm ci` installs. ErrFontMissing lists
// every place that was looked at.
func Find(explicit string, bases ...string) (string, error) {
	if explicit != "" {
		if isFile(explicit) {
			return explicit, nil
		}
		return "", fmt.Errorf("%w: no file at %s, the path that was configured; correct it, or leave it out and run npm ci in signing/typeface", ErrFontMissing, explicit)
	}
	var tried []string
	for _, base := range bases {
		path := filepath.Join(base, "node_modules", "@expo-google-fonts", "noto-serif-sc", "400Regular", "NotoSerifSC_400Regular.ttf")
		if isFile(path) {
			return filepath.Abs(path)
		}
		tried = append(tried, path)
	}
	return "", fmt.Errorf("%w: looked at [%s]; run npm ci in signing/typeface, or configure the path of a TrueType font",
		ErrFontMissing, strings.Join(tried, ", "))
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}
