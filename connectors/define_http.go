package connectors

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/onewindow/onewindow/connectors/charset"
)

// The ways in which an endpoint gives its rows piece by piece.
const (
	PagingNumber = "page"   // page=1, 2, 3 …
	PagingOffset = "offset" // offset=0, 20, 40 …
	PagingCursor = "cursor" // the answer names the cursor of the next
	PagingLink   = "link"   // the Link header (RFC 8288), or a member of the answer, names the next address
	PagingSince  = "since"  // since=<greatest value of a column so far>
)

// What stands in place of a member or a cursor in [End].
const (
	TotalNone  = "none" // the answer's total does not count the rows of this list
	CursorSame = "same" // the last page names the cursor by which it was asked for
)

// HTTP is an endpoint that gives its rows as JSON.
type HTTP struct {
	// URL may have a query of its own; messages show it without.
	URL string
	// Paging is one of the Paging constants.
	Paging string
	// PageParam and SizeParam name the query parameters for the page number and for the page size.
	PageParam, SizeParam string
	// FirstPage is the number of the first page. If it is nil, pages count from 1, and the source asks once whether
	// there is a page 0.
	FirstPage *int
	// OffsetParam names the query parameter of [PagingOffset] for the number of a page's first row, counted from
	// FirstRow. EndParam, which may be empty, takes the number of its last row, counted from 1.
	OffsetParam, EndParam string
	FirstRow              int
	// Size is the number of rows of a page that is not the last.
	Size int
	// NewestFirst says that new rows come in front of the others instead of behind them.
	NewestFirst bool
	End         End
	// OK, if set, is the member that reports whether the interface could answer.
	OK *Success
	// CursorParam names the query parameter of [PagingCursor]; Next is the member of the answer with the next
	// cursor, a dot between the levels ("meta.next"). With [PagingLink], Next, which may be empty, is the member with
	// the next address, in place of the Link header.
	CursorParam, Next string
	// SinceParam names the query parameter of [PagingSince], SinceColumn the column whose greatest value it takes.
	// Overlap is how far back before it is asked again, as in [SQL].
	SinceParam, SinceColumn string
	Overlap                 time.Duration
	// Records is the member of the answer that holds the array of rows, a dot between the levels; "." if the
	// answer is the array.
	Records string
	// TokenFile is the path of a file that holds the bearer token; empty for none.
	TokenFile string
	OAuth2    *OAuth2
	HMAC      *HMAC
	// CAFile is the path of a file with the certificates (PEM) of those who issued the server's; empty for those
	// that this machine trusts.
	CAFile string
}

// End is how an interface says which page is the last: at most one of Total (unless it is [TotalNone]), Pages, More and
// Last. They are members of the answer, a dot between the levels.
type End struct {
	// Total is the number of all rows, Pages that of all pages.
	Total, Pages string
	// More is true if pages follow, Last if none does.
	More, Last string
	// Cursor is a cursor that stands for the end, beside a missing one, or [CursorSame].
	Cursor string
	// UntilEmpty says that a page with fewer rows than were asked for need not be the last: one without rows is behind it.
	UntilEmpty bool
}

// Says reports whether a member of the answer says which page is the last.
func (e End) Says() bool {
	return e.Total != "" && e.Total != TotalNone || e.Pages != "" || e.More != "" || e.Last != ""
}

// Success is a member of the answer, and the texts that it has if the interface could answer.
type Success struct {
	Path   string
	Values []string
}

// OAuth2 gets tokens by the client credentials grant (RFC 6749 §4.4).
type OAuth2 struct {
	TokenURL, ClientID string
	SecretFile         string
	Scopes             []string
}

// HMAC signs requests with a shared secret, in the style of the national
// exchange platform: the headers carry who asks, when, a nonce and
// Base64(HMAC(secret, the text of Sign)).
type HMAC struct {
	// KeyID says who asks.
	KeyID      string
	SecretFile string
	// Hash is "sha256" or "sm3".
	Hash string
	// KeyHeader, TimeHeader, NonceHeader and SignatureHeader name the headers.
	KeyHeader, TimeHeader, NonceHeader, SignatureHeader string
}

// Topic is a Kafka topic of another system.
type Topic struct {
	// URLFile is the path of a file that holds a kafka:// URL.
	URLFile string
	Topic   string
	// Charset is that of the messages' text.
	Charset string
}

func parseHTTP(s section, dir string) *HTTP {
	s.allow("url", "paging", "page_param", "size_param", "size", "cursor_param", "next", "since_param", "since_column", "overlap",
		"first_page", "offset_param", "first_row", "end_param", "order", "total", "pages", "more", "last", "last_cursor", "end", "ok",
		"records", "token_file", "oauth2", "hmac", "ca_file")
	h := &HTTP{
		URL:         s.text("url", true),
		Paging:      s.oneOf("paging", PagingNumber, PagingNumber, PagingOffset, PagingCursor, PagingLink, PagingSince),
		PageParam:   s.text("page_param", false),
		SizeParam:   s.text("size_param", false),
		OffsetParam: s.text("offset_param", false),
		FirstRow:    s.integer("first_row", 0, 0, 1),
		EndParam:    s.text("end_param", false),
		Size:        s.integer("size", 1000, 1, MaxBatch),
		NewestFirst: s.oneOf("order", "newest_last", "newest_last", "newest_first") == "newest_first",
		End: End{
			Total: s.text("total", false), Pages: s.text("pages", false), More: s.text("more", false), Last: s.text("last", false),
			Cursor: s.text("last_cursor", false), UntilEmpty: s.oneOf("end", "short", "short", "empty") == "empty",
		},
		CursorParam: s.text("cursor_param", false),
		Next:        s.text("next", false),
		SinceParam:  s.text("since_param", false),
		SinceColumn: s.text("since_column", false),
		Overlap:     s.duration("overlap", 5*time.Minute, 0, 24*time.Hour),
		Records:     s.text("records", true),
		TokenFile:   s.file("token_file", dir, false),
		CAFile:      s.file("ca_file", dir, false),
	}
	if n := s.integer("first_page", 1, 0, 1_000_000); s.members["first_page"] != nil {
		h.FirstPage = &n
	}
	if sub, present := s.section("ok", false); present {
		h.OK = parseSuccess(sub())
	}
	if sub, present := s.section("oauth2", false); present {
		h.OAuth2 = parseOAuth2(sub(), dir)
	}
	if sub, present := s.section("hmac", false); present {
		h.HMAC = parseHMAC(sub(), dir)
	}
	h.checkURL(s)
	h.checkPaging(s)
	return h
}

// checkPaging reports options that are missing for the way of paging, or do not go with it.
func (h *HTTP) checkPaging(s section) {
	for name, value := range map[string]string{
		PagingNumber + " page_param": h.PageParam, PagingNumber + " size_param": h.SizeParam,
		PagingOffset + " offset_param": h.OffsetParam,
		PagingCursor + " cursor_param": h.CursorParam, PagingCursor + " next": h.Next,
		PagingSince + " since_param": h.SinceParam, PagingSince + " since_column": h.SinceColumn,
	} {
		paging, member, _ := strings.Cut(name, " ")
		if paging == h.Paging && value == "" {
			s.fault(member, "is missing; paging by %s needs it", paging)
		}
	}
	if h.PageParam != "" && h.PageParam == h.SizeParam {
		s.fault("size_param", "is the same as page_param")
	}
	if h.Paging == PagingOffset && h.OffsetParam != "" && h.SizeParam == "" && h.EndParam == "" {
		s.fault("size_param", "is missing; paging by offset needs it, or end_param")
	}
	if h.OAuth2 != nil && h.TokenFile != "" {
		s.fault("token_file", "does not go with oauth2")
	}
	count := 0
	for _, path := range []string{h.End.Total, h.End.Pages, h.End.More, h.End.Last} {
		if path != "" && path != TotalNone {
			count++
		}
	}
	if count > 1 {
		s.fault("total", "only one of total, pages, more and last may say which page is the last")
	}
	since, byCursor := h.Paging == PagingSince, h.Paging == PagingCursor
	for member, wrong := range map[string]bool{
		"total": since && h.End.Total != "", "pages": since && h.End.Pages != "", "more": since && h.End.More != "", "last": since && h.End.Last != "",
		"order": since && h.NewestFirst, "last_cursor": !byCursor && h.End.Cursor != "",
		"end": h.End.UntilEmpty && (h.End.Says() || h.Paging != PagingNumber && h.Paging != PagingOffset),
	} {
		if wrong {
			s.fault(member, "does not go with the other options of paging by %s", h.Paging)
		}
	}
}

func parseSuccess(s section) *Success {
	s.allow("path", "value")
	ok := &Success{Path: s.text("path", true), Values: s.neededTexts("value")}
	if len(ok.Values) == 0 {
		s.fault("value", "is missing; write the text that means success, such as \"0\"")
	}
	return ok
}

// checkURL reports an address that cannot be used, or that carries what the source sets itself.
func (h *HTTP) checkURL(s section) {
	u, err := url.Parse(h.URL)
	switch {
	case h.URL == "":
		return
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		s.fault("url", "must be an http:// or https:// URL")
		return
	case u.User != nil:
		s.fault("url", "must not carry a password; use token_file")
	case u.Fragment != "":
		s.fault("url", "must not have a fragment")
	}
	for _, name := range []string{h.PageParam, h.SizeParam, h.CursorParam, h.SinceParam, h.OffsetParam, h.EndParam} {
		if name != "" && u.Query().Has(name) {
			s.fault("url", "must not carry the parameter %s itself", name)
		}
	}
}

func parseOAuth2(s section, dir string) *OAuth2 {
	s.allow("token_url", "client_id", "secret_file", "scopes")
	return &OAuth2{
		TokenURL: s.text("token_url", true), ClientID: s.text("client_id", true),
		SecretFile: s.file("secret_file", dir, true), Scopes: s.texts("scopes"),
	}
}

func parseHMAC(s section, dir string) *HMAC {
	s.allow("key_id", "secret_file", "hash", "key_header", "time_header", "nonce_header", "signature_header")
	orElse := func(name, fallback string) string {
		if text := s.text(name, false); text != "" {
			return text
		}
		return fallback
	}
	return &HMAC{
		KeyID: s.text("key_id", true), SecretFile: s.file("secret_file", dir, true), Hash: s.oneOf("hash", "sha256", "sha256", "sm3"),
		KeyHeader: orElse("key_header", "X-Access-Key"), TimeHeader: orElse("time_header", "X-Timestamp"),
		NonceHeader: orElse("nonce_header", "X-Nonce"), SignatureHeader: orElse("signature_header", "X-Signature"),
	}
}

func (h *HTTP) identity() string {
	address, query, _ := strings.Cut(h.URL, "?")
	if query != "" { // it may hold an access key, which must not be seen in the state database or in messages
		digest := sha256.Sum256([]byte(query))
		address += "?" + hex.EncodeToString(digest[:8])
	}
	how := ""
	if h.NewestFirst {
		how = ", newest first"
	}
	if h.FirstPage != nil && *h.FirstPage != 1 {
		how += fmt.Sprintf(", from page %d", *h.FirstPage)
	}
	if h.Paging != PagingNumber {
		return fmt.Sprintf("http %s by %s%s", address, h.Paging, how)
	}
	return fmt.Sprintf("http %s, %d rows a page%s", address, h.Size, how)
}

func parseTopic(s section, dir string) *Topic {
	s.allow("url_file", "topic", "charset")
	return &Topic{
		URLFile: s.file("url_file", dir, true),
		Topic:   s.text("topic", true),
		Charset: s.charset(charset.UTF8),
	}
}

func (t *Topic) identity() string { return "topic " + t.Topic }
