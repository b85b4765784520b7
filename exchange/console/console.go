package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"time"
)

//go:embed assets/index.html assets/app.js assets/texts.js assets/style.css assets/icon.svg
var assets embed.FS

// policy is the page's content security policy: its own files and calls, and
// nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Handler serves the page at / and its files at /assets/; every other path is
// not found. A browser keeps the files but asks each time whether they changed.
func Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/{$}", file("assets/index.html", "text/html; charset=utf-8"))
	mux.Handle("/assets/app.js", file("assets/app.js", "text/javascript; charset=utf-8"))
	mux.Handle("/assets/texts.js", file("assets/texts.js", "text/javascript; charset=utf-8"))
	mux.Handle("/assets/style.css", file("assets/style.css", "text/css; charset=utf-8"))
	mux.Handle("/assets/icon.svg", file("assets/icon.svg", "image/svg+xml"))
	return mux
}

func file(name, contentType string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, err := assets.ReadFile(name)
		if err != nil { // the name is one of those embedded
			http.NotFound(w, r)
			return
		}
		sum := sha256.Sum256(text)
		header := w.Header()
		header.Set("Content-Type", contentType)
		header.Set("Content-Security-Policy", policy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cache-Control", "no-cache")
		header.Set("ETag", `"`+hex.EncodeToString(sum[:12])+`"`)
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(text))
	})
}
