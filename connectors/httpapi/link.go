package httpapi

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/onewindow/onewindow/connectors"
)

const maxLinkBytes = 16 << 10

// nextLink returns the target of the link with the relation "next" in Link headers (RFC 8288), or "" if there is none.
func nextLink(headers []string) (string, error) {
	next := ""
	for _, header := range headers {
		if len(header) > maxLinkBytes {
			return "", fmt.Errorf("the Link header is longer than %d bytes", maxLinkBytes)
		}
		for rest := strings.TrimLeft(header, " \t,"); rest != ""; rest = strings.TrimLeft(rest, " \t,") {
			target, isNext, behind, ok := oneLink(rest)
			switch {
			case !ok:
				return "", fmt.Errorf("the Link header cannot be read; it should be like <https://…>; rel=\"next\"")
			case isNext && next != "" && next != target:
				return "", fmt.Errorf("the Link header names two addresses as next")
			case isNext:
				next = target
			}
			rest = behind
		}
	}
	return next, nil
}

// oneLink takes the first link of a header apart.
func oneLink(text string) (target string, isNext bool, rest string, ok bool) {
	target, rest, ok = strings.Cut(strings.TrimPrefix(text, "<"), ">")
	if !ok || text[0] != '<' {
		return "", false, "", false
	}
	target = strings.TrimSpace(target)
	relation, anchored := "", false
	for {
		rest = strings.TrimLeft(rest, " \t")
		if rest == "" || rest[0] == ',' {
			// A link with an anchor is about another page than this one.
			isNext = !anchored && slices.ContainsFunc(strings.Fields(relation), func(r string) bool { return strings.EqualFold(r, "next") })
			return target, isNext, rest, true
		}
		if rest[0] != ';' {
			return "", false, "", false
		}
		rest = strings.TrimLeft(rest[1:], " \t")
		end := strings.IndexAny(rest, "=;, \t")
		if end < 0 {
			end = len(rest)
		}
		name := strings.ToLower(rest[:end])
		rest = strings.TrimLeft(rest[end:], " \t")
		value := ""
		if strings.HasPrefix(rest, "=") {
			if value, rest, ok = linkValue(strings.TrimLeft(rest[1:], " \t")); !ok {
				return "", false, "", false
			}
		}
		switch {
		case name == "rel" && relation == "": // only the first counts
			relation = value
		case name == "anchor":
			anchored = true
		}
	}
}

// linkValue takes a token or a quoted string.
func linkValue(text string) (value, rest string, ok bool) {
	if !strings.HasPrefix(text, `"`) {
		end := strings.IndexAny(text, ";, \t")
		if end < 0 {
			end = len(text)
		}
		return text[:end], text[end:], true
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '"':
			return b.String(), text[i+1:], true
		case '\\':
			if i++; i == len(text) {
				return "", "", false
			}
		}
		b.WriteByte(text[i])
	}
	return "", "", false
}

// shortLink makes a link ready to be saved: the path and query of an address on the server of base, without the
// parameters that base has with the same value, which may be secrets. from is the address whose answer had the link.
func shortLink(link string, from, base *url.URL) (string, error) {
	u, err := from.Parse(link)
	if err != nil {
		return "", connectors.Refused(connectors.FaultAnswer, nil, "the next address in the Link header is not an address")
	}
	if u.Scheme != base.Scheme || u.Host != base.Host || u.User != nil {
		return "", connectors.Refused(connectors.FaultAnswer, nil,
			"the Link header points to %s://%s; only addresses at %s://%s are followed", u.Scheme, u.Host, base.Scheme, base.Host)
	}
	short := u.EscapedPath()
	if short == "" {
		short = "/"
	}
	own := base.Query()
	if query := without(u.RawQuery, func(name, value string) bool { return slices.Contains(own[name], value) }); query != "" {
		short += "?" + query
	}
	return short, nil
}

// longLink undoes shortLink.
func longLink(short string, base *url.URL) (*url.URL, error) {
	u, err := base.Parse(short)
	if err != nil || u.Scheme != base.Scheme || u.Host != base.Host || u.User != nil || !strings.HasPrefix(short, "/") {
		return nil, fmt.Errorf("%w: what was saved is no link of %s", connectors.ErrPosition, base.Host)
	}
	theirs := u.Query()
	if own := without(base.RawQuery, func(name, _ string) bool { return theirs.Has(name) }); own != "" {
		if u.RawQuery != "" {
			own += "&" + u.RawQuery
		}
		u.RawQuery = own
	}
	return u, nil
}

// without removes from a query the parameters of which known is true.
func without(query string, known func(name, value string) bool) string {
	kept := slices.DeleteFunc(strings.Split(query, "&"), func(parameter string) bool {
		escapedName, escapedValue, _ := strings.Cut(parameter, "=")
		name, err1 := url.QueryUnescape(escapedName)
		value, err2 := url.QueryUnescape(escapedValue)
		return parameter == "" || err1 == nil && err2 == nil && known(name, value)
	})
	return strings.Join(kept, "&")
}
