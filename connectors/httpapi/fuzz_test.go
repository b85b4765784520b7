package httpapi

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/charset"
	"github.com/onewindow/onewindow/connectors/connectortest"
)

// FuzzAnswer gives one answer after the other and checks that each is rows, a fault, or the end.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		`{"data":[{"id":"a","n":1.50},[],null],"next":"x"}`, "\xef\xbb\xbf{\"data\":[]}", `{"data":[{"id":"\ud800"}]}x`, `<html>`, `{"data":{}}`, `[[[[`,
		`{"data":[{"id":"1","updated_at":"2025-11-03"}],"next":null,"next":1}`, "{\"data\":[{\"id\":\"\x81\x5c\"}]}", `{"data":[],"next":{"a":1}}`,
	} {
		f.Add([]byte(seed), "<?p=1>; rel=next", uint8(0))
	}
	f.Fuzz(func(t *testing.T, body []byte, link string, kind uint8) {
		paging := []string{connectors.PagingNumber, connectors.PagingCursor, connectors.PagingLink, connectors.PagingSince}[kind%4]
		name := []string{"utf-8", "gbk", "gb18030", "big5"}[kind/4%4]
		decoder, err := charset.New(name)
		if err != nil {
			t.Fatal(err)
		}
		def := connectortest.Definition(connectors.KindHTTP)
		def.HTTP = &connectors.HTTP{URL: "http://127.0.0.1/x?k=v", Paging: paging, Size: 100, Records: "data", Next: "next", SinceColumn: "updated_at"}
		made, err := New(def, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		src := made.(*source)
		src.at = position{By: paging, Page: 1}
		if paging == connectors.PagingSince {
			src.at.Since = &since{}
		}
		p, err := src.parse(&answer{body: body, decoder: decoder, links: []string{link}}, src.base)
		if err != nil {
			return
		}
		src.page = p
		for _, row := range src.take(t.Context()) {
			if (row.Rejection == nil) != (len(row.Values) == 3) || len(row.Raw) == 0 {
				t.Fatalf("%q: %+v", body, row)
			}
		}
		src.page = p
		if _, err := src.turn(t.Context()); err == nil {
			if _, err := src.address(); err != nil {
				t.Fatalf("%q leads to an address that cannot be asked: %v", link, err)
			}
		}
		encoded, err := json.Marshal(src.at)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parsePosition(encoded, src.cfg); err != nil {
			t.Fatalf("%s is not taken back: %v", encoded, err)
		}
	})
}

// TestPageInLink checks that a parameter of the link counts although the URL has one of the same name, and that those
// with the same value, which may be secrets, are not saved.
func TestPageInLink(t *testing.T) {
	base, err := url.Parse("https://a.gov/rows?page=1&key=secret")
	if err != nil {
		t.Fatal(err)
	}
	for link, want := range map[string][2]string{
		"https://a.gov/rows?page=2&key=secret": {"/rows?page=2", "https://a.gov/rows?key=secret&page=2"},
		"?page=1":                              {"/rows", "https://a.gov/rows?page=1&key=secret"},
		"https://a.gov?page=3":                 {"/?page=3", "https://a.gov/?key=secret&page=3"},
		"https://a.gov":                        {"/", "https://a.gov/?page=1&key=secret"},
	} {
		short, err := shortLink(link, base, base)
		if err != nil || short != want[0] {
			t.Errorf("%s: %q, %v; want %q", link, short, err, want[0])
		}
		if long, err := longLink(short, base); err != nil || long.String() != want[1] {
			t.Errorf("%s: %s, %v; want %s", link, long, err, want[1])
		}
	}
}

// TestPasswordInAddress checks that addresses with a password are refused without showing it.
func TestPasswordInAddress(t *testing.T) {
	for _, cfg := range []connectors.HTTP{
		{URL: "https://u:pass-word@a.gov/", Paging: connectors.PagingNumber},
		{URL: "https://a.gov/", Paging: connectors.PagingNumber, OAuth2: &connectors.OAuth2{TokenURL: "https://u:pass-word@a.gov/token"}},
		{URL: "https://a.gov/", Paging: connectors.PagingNumber, OAuth2: &connectors.OAuth2{TokenURL: "https://u:pass-word@a.gov:x/token"}},
	} {
		def := connectortest.Definition(connectors.KindHTTP)
		def.HTTP = &cfg
		_, err := New(def, slog.New(slog.DiscardHandler))
		if !errors.Is(err, connectors.ErrDefinition) || strings.Contains(err.Error(), "pass-word") {
			t.Errorf("%v", err)
		}
	}
}

// FuzzLink checks that a link is followed to the same server only, whatever it looks like.
func FuzzLink(f *testing.F) {
	for _, seed := range []string{`<https://a.gov/b?c=d>; rel="next"`, `<//evil/x>; rel=next`, `<a>; rel=prev, <b;c>; rel="x next"; title="\""`, `<?a=1&k=2>;rel=next`, `</\\evil>;rel=next`, `<%2f%2fevil>; rel=next`} {
		f.Add(seed)
	}
	base, err := url.Parse("https://a.gov/rows?k=v")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, header string) {
		link, err := nextLink([]string{header})
		if err != nil || link == "" {
			return
		}
		short, err := shortLink(link, base, base)
		if err != nil {
			return
		}
		long, err := longLink(short, base)
		if err != nil {
			t.Fatalf("%q: %q cannot be followed: %v", header, short, err)
		}
		again, err := url.Parse(long.String())
		if err != nil || again.Host != "a.gov" || again.Scheme != "https" || again.User != nil || !again.Query().Has("k") {
			t.Fatalf("%q leads to %q", header, long)
		}
	})
}

// FuzzPosition opens at any bytes: a position that is taken can be read from.
func FuzzPosition(f *testing.F) {
	for _, seed := range []string{
		`{"page":1,"taken":2}`, `{"by":"cursor","page":3,"at":"x","taken":0,"head":"00"}`, `{"by":"link","page":1,"at":"//x/y","taken":1}`, `null`, `{"by":"link","page":1,"at":"/%zz"}`,
		`{"by":"since","page":1,"taken":0,"since":{"greatest":"5","edge":["000102030405060708090a0b0c0d0e0f"],"marks":[{"at":1,"value":"x"}]}}`,
	} {
		f.Add([]byte(seed))
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"data":[{"id":"a"}]}`)) }))
	f.Cleanup(server.Close)
	f.Fuzz(func(t *testing.T, at []byte) {
		for _, paging := range []string{connectors.PagingNumber, connectors.PagingCursor, connectors.PagingLink, connectors.PagingSince} {
			def := connectortest.Definition(connectors.KindHTTP)
			def.HTTP = &connectors.HTTP{
				URL: server.URL + "/x", Paging: paging, Size: 100, Records: "data", Next: "next",
				PageParam: "page", SizeParam: "size", CursorParam: "c", SinceParam: "s", SinceColumn: "updated_at",
			}
			src, err := New(def, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			if src.Open(t.Context(), at) != nil {
				continue
			}
			if _, err := src.Read(t.Context()); err != nil && !strings.HasPrefix(err.Error(), "connectors: ") {
				t.Errorf("%s: %v", at, err)
			}
			if err := src.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
}
