package sdjwt

import (
	"bytes"
	"compress/zlib"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onewindow/onewindow/signing"
)

const listURI = "https://issuer.example.org/status/3"

// TestStatusListVectors has the published vectors of the draft: §4.1 and
// appendix "Test vectors", where lists have 2^20 entries and all that are not
// named are 0.
func TestStatusListVectors(t *testing.T) {
	for name, c := range map[string]struct {
		lst  string
		bits int
		hex  string
		size int
		set  map[int]Status
	}{
		"1 bit": {"eNrbuRgAAhcBXQ", 1, "b9a3", 16, map[int]Status{
			0: 1, 3: 1, 4: 1, 5: 1, 7: 1, 8: 1, 9: 1, 13: 1, 15: 1,
		}},
		"2 bits": {"eNo76fITAAPfAgc", 2, "c944f9", 12, map[int]Status{
			0: 1, 1: 2, 3: 3, 5: 1, 7: 1, 8: 1, 9: 2, 10: 3, 11: 3,
		}},
		"1 bit, large": {
			"eNrt3AENwCAMAEGogklACtKQPg9LugC9k_ACvreiogEAAKkeCQAAAAAAAAAAAAAAAAAAAIBylgQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAXG9IAAAAAAAAAPwsJAAAAAAAAAAAAAAAvhsSAAAAAAAAAAAA7KpLAAAAAAAAAAAAAAAAAAAAAJsLCQAAAAAAAAAAADjelAAAAAAAAAAAKjDMAQAAAACAZC8L2AEb",
			1, "", 1 << 20,
			map[int]Status{
				0: 1, 1993: 1, 25460: 1, 159495: 1, 495669: 1, 554353: 1, 645645: 1, 723232: 1, 854545: 1, 934534: 1, 1000345: 1,
			},
		},
		"2 bits, large": {
			"eNrt2zENACEQAEEuoaBABP5VIO01fCjIHTMStt9ovGVIAAAAAABAbiEBAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAEB5WwIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAID0ugQAAAAAAAAAAAAAAAAAQG12SgAAAAAAAAAAAAAAAAAAAAAAAAAAAOCSIQEAAAAAAAAAAAAAAAAAAAAAAAD8ExIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAwJEuAQAAAAAAAAAAAAAAAAAAAAAAAMB9SwIAAAAAAAAAAAAAAAAAAACoYUoAAAAAAAAAAAAAAEBqH81gAQw",
			2, "", 1 << 20,
			map[int]Status{
				0: 1, 1993: 2, 25460: 1, 159495: 3, 495669: 1, 554353: 1, 645645: 2, 723232: 1, 854545: 1, 934534: 2, 1000345: 3,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			published, err := DecodeStatusList(c.lst, c.bits)
			if err != nil {
				t.Fatal(err)
			}
			if published.Len() != c.size || c.hex != "" && hex.EncodeToString(published.data) != c.hex {
				t.Errorf("%d entries, %x", published.Len(), published.data[:4])
			}
			own, err := NewStatusList(c.size, c.bits)
			if err != nil {
				t.Fatal(err)
			}
			for i, s := range c.set {
				if err := own.Set(i, s); err != nil {
					t.Fatal(err)
				}
			}
			for i := range c.size {
				if s, err := published.Get(i); err != nil || s != c.set[i] {
					t.Fatalf("entry %d is %d, %v; want %d", i, s, err, c.set[i])
				}
			}
			if !bytes.Equal(own.data, published.data) {
				t.Error("own list differs from the published one")
			}
			lst, err := own.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if again, err := DecodeStatusList(lst, c.bits); err != nil || !bytes.Equal(again.data, own.data) {
				t.Errorf("%s does not decode to the list: %v", lst, err)
			}
		})
	}
}

func TestStatusListEntries(t *testing.T) {
	for _, bits := range []int{1, 2, 4, 8} {
		list, err := NewStatusList(1001, bits)
		if err != nil {
			t.Fatal(err)
		}
		want := make([]Status, list.Len())
		for range 5000 { // random, with overwriting, against a plain slice
			i, s := rand.IntN(list.Len()), Status(rand.IntN(1<<bits))
			if err := list.Set(i, s); err != nil {
				t.Fatal(err)
			}
			want[i] = s
		}
		for i := range want {
			if s, err := list.Get(i); err != nil || s != want[i] {
				t.Fatalf("%d bits: entry %d is %d, %v; want %d", bits, i, s, err, want[i])
			}
		}
		if bits < 8 && !errors.Is(list.Set(0, 1<<bits), signing.ErrMalformed) {
			t.Errorf("%d bits hold a larger status", bits)
		}
		for _, i := range []int{-1, list.Len()} {
			if _, err := list.Get(i); !errors.Is(err, ErrIndex) || !errors.Is(list.Set(i, 0), ErrIndex) {
				t.Errorf("index %d: %v", i, err)
			}
		}
	}
	for _, c := range []struct{ size, bits int }{{0, 2}, {-1, 2}, {10, 3}, {10, 0}, {MaxStatusBytes*4 + 1, 2}} {
		if _, err := NewStatusList(c.size, c.bits); !errors.Is(err, signing.ErrMalformed) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func deflate(tb testing.TB, data []byte) string {
	tb.Helper()
	var buf bytes.Buffer
	w := zlib.NewWriter(&buf)
	if _, err := w.Write(data); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return buf.String()
}

func TestDecodeStatusListRefuses(t *testing.T) {
	good := deflate(t, []byte{1, 2, 3})
	for name, c := range map[string]struct {
		lst  string
		bits int
	}{
		"3 bits":              {b64(good), 3},
		"not base64":          {"!", 2},
		"empty":               {"", 2},
		"raw deflate":         {b64(good[2:]), 2},
		"cut":                 {b64(good[:len(good)-1]), 2},
		"checksum":            {b64(good[:len(good)-1] + "x"), 2},
		"more after it":       {b64(good + "x"), 2},
		"nothing in it":       {b64(deflate(t, nil)), 2},
		"unpacks to too much": {b64(deflate(t, make([]byte, MaxStatusBytes+1))), 2},
		"long":                {strings.Repeat("A", MaxStatusToken+1), 2},
	} {
		if list, err := DecodeStatusList(c.lst, c.bits); !errors.Is(err, signing.ErrMalformed) {
			t.Errorf("%s: got %+v, %v", name, list, err)
		}
	}
	if list, err := DecodeStatusList(b64(deflate(t, make([]byte, MaxStatusBytes))), 2); err != nil || list.Len() != MaxStatusBytes*4 {
		t.Errorf("the largest list: %v", err)
	}
}

func TestStatusListToken(t *testing.T) {
	keys := newIssuer(t, signing.ES256)
	// Random statuses do not compress, so the token is beyond signing.MaxToken.
	list, err := NewStatusList(1_000_000, 2)
	if err != nil {
		t.Fatal(err)
	}
	for i := range list.data {
		list.data[i] = byte(rand.Uint32())
	}
	now := testNow()
	token, err := IssueStatusList(t.Context(), keys, listURI, list, now, now.AddDate(0, 0, 1), 15*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	got, meta, err := VerifyStatusList(token, listURI, keys, time.Time{}, now)
	if err != nil || !bytes.Equal(got.data, list.data) || got.Bits() != 2 || len(token) < signing.MaxToken {
		t.Fatalf("%d bytes, %v", len(token), err)
	}
	if want := (StatusMeta{keys.kid, now, now.AddDate(0, 0, 1), 15 * time.Minute}); meta != want {
		t.Errorf("got %+v, want %+v", meta, want)
	}
	for name, c := range map[string]struct {
		at   time.Duration
		want error
	}{
		"clock of the issuer ahead": {-time.Minute, nil},
		"from the future":           {-time.Minute - 1, ErrStale},
		"as old as its ttl":         {15 * time.Minute, nil},
		"older than its ttl":        {15*time.Minute + 1, ErrStale},
		"expired":                   {24 * time.Hour, ErrStale},
	} {
		got, meta, err := VerifyStatusList(token, listURI, keys, time.Time{}, now.Add(c.at))
		if !errors.Is(err, c.want) || got == nil || !meta.IssuedAt.Equal(now) {
			t.Errorf("%s: %v, %+v", name, err, meta)
		}
	}
	for name, c := range map[string]struct {
		fetched, at time.Duration
		want        error
	}{
		"fetched now, issued a ttl ago":     {23 * time.Hour, 23 * time.Hour, nil},
		"fetched a ttl ago":                 {time.Hour, time.Hour + 15*time.Minute, nil},
		"fetched longer ago":                {time.Hour, time.Hour + 15*time.Minute + 1, ErrStale},
		"fetched now, past its exp":         {24 * time.Hour, 24 * time.Hour, ErrStale},
		"fetched shortly before its exp":    {24*time.Hour - 1, 24*time.Hour - 1, nil},
		"the clock was set back since then": {2 * time.Hour, time.Hour, nil},
	} {
		if _, _, err := VerifyStatusList(token, listURI, keys, now.Add(c.fetched), now.Add(c.at)); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, issue := range map[string]func() (string, error){
		"no URI": func() (string, error) { return IssueStatusList(t.Context(), keys, "", list, now, time.Time{}, 0) },
		"no time": func() (string, error) {
			return IssueStatusList(t.Context(), keys, "u", list, time.Time{}, time.Time{}, 0)
		},
		"exp over": func() (string, error) { return IssueStatusList(t.Context(), keys, "u", list, now, now, 0) },
		"ttl too short": func() (string, error) {
			return IssueStatusList(t.Context(), keys, "u", list, now, time.Time{}, time.Millisecond)
		},
	} {
		if _, err := issue(); !errors.Is(err, signing.ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestVerifyStatusListRefuses(t *testing.T) {
	issuer := newSigner(t)
	now := testNow().Unix()
	const content = `"status_list":{"bits":2,"lst":"eNo76fITAAPfAgc"}`
	sign := func(typ, claims string) string {
		token, err := issuer.Sign(t.Context(), typ, []byte(claims))
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	list := func(claims string, args ...any) string { return sign(StatusListType, fmt.Sprintf(claims, args...)) }
	good := list(`{"sub":%q,"iat":%d,"exp":%d,"ttl":43200,%s}`, listURI, now, now+10, content)
	for name, c := range map[string]struct {
		token string
		want  error
	}{
		"accepted":            {good, nil},
		"exp, ttl optional":   {list(`{"sub":%q,"iat":%d,%s}`, listURI, now, content), nil},
		"other members":       {list(`{"sub":%q,"iat":%d,"x":1,"status_list":{"bits":2,"lst":"eNo76fITAAPfAgc","aggregation_uri":"u"}}`, listURI, now), nil},
		"other typ":           {sign("JWT", "{}"), signing.ErrType},
		"other key":           {strings.Replace(good, good[strings.LastIndex(good, "."):], "."+b64(strings.Repeat("x", 64)), 1), signing.ErrSignature},
		"sub of another list": {list(`{"sub":%q,"iat":%d,%s}`, listURI+"/", now, content), signing.ErrMalformed},
		"no sub":              {list(`{"iat":%d,%s}`, now, content), signing.ErrMalformed},
		"no iat":              {list(`{"sub":%q,%s}`, listURI, content), signing.ErrMalformed},
		"iat not a number":    {list(`{"sub":%q,"iat":"x",%s}`, listURI, content), signing.ErrMalformed},
		"exp not a number":    {list(`{"sub":%q,"iat":%d,"exp":"x",%s}`, listURI, now, content), signing.ErrMalformed},
		"ttl zero":            {list(`{"sub":%q,"iat":%d,"ttl":0,%s}`, listURI, now, content), signing.ErrMalformed},
		"ttl not a number":    {list(`{"sub":%q,"iat":%d,"ttl":"1",%s}`, listURI, now, content), signing.ErrMalformed},
		"ttl immense":         {list(`{"sub":%q,"iat":%d,"ttl":253402300799,%s}`, listURI, now, content), nil},
		"no status_list":      {list(`{"sub":%q,"iat":%d}`, listURI, now), signing.ErrMalformed},
		"no lst":              {list(`{"sub":%q,"iat":%d,"status_list":{"bits":2}}`, listURI, now), signing.ErrMalformed},
		"no bits":             {list(`{"sub":%q,"iat":%d,"status_list":{"lst":"eNo76fITAAPfAgc"}}`, listURI, now), signing.ErrMalformed},
		"3 bits":              {list(`{"sub":%q,"iat":%d,"status_list":{"bits":3,"lst":"eNo76fITAAPfAgc"}}`, listURI, now), signing.ErrMalformed},
		"list damaged":        {list(`{"sub":%q,"iat":%d,"exp":1,"status_list":{"bits":2,"lst":"eNo76fITAAPfAg"}}`, listURI, now), signing.ErrMalformed},
		"expired":             {list(`{"sub":%q,"iat":%d,"exp":%d,%s}`, listURI, now-5, now, content), ErrStale},
	} {
		got, _, err := VerifyStatusList(c.token, listURI, issuer, time.Time{}, testNow())
		if !errors.Is(err, c.want) || (got != nil) != (err == nil || errors.Is(err, ErrStale)) {
			t.Errorf("%s: got %+v, %v; want %v", name, got, err, c.want)
			continue
		}
		if got == nil {
			continue
		}
		var statuses []Status
		for i := range got.Len() {
			s, err := got.Get(i)
			if err != nil {
				t.Fatal(err)
			}
			statuses = append(statuses, s)
		}
		if !slices.Equal(statuses, []Status{1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3}) {
			t.Errorf("%s: %v", name, statuses)
		}
	}
	for i := range len(good) {
		for _, b := range []byte{good[i] ^ 1, good[i] ^ 2, 'A', '.', '='} {
			if b == good[i] {
				continue
			}
			if _, _, err := VerifyStatusList(good[:i]+string([]byte{b})+good[i+1:], listURI, issuer, time.Time{}, testNow()); err == nil {
				t.Fatalf("byte %d changed from %q to %q is accepted", i, good[i], b)
			}
		}
	}
}

func FuzzDecodeStatusList(f *testing.F) {
	f.Add("eNo76fITAAPfAgc", 2)
	f.Add("eNrbuRgAAhcBXQ", 1)
	f.Fuzz(func(t *testing.T, lst string, bits int) {
		list, err := DecodeStatusList(lst, bits)
		if err != nil {
			if !errors.Is(err, signing.ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		if len(list.data) > MaxStatusBytes {
			t.Fatalf("%d bytes", len(list.data))
		}
		if _, err := list.Get(list.Len() - 1); err != nil {
			t.Fatal(err)
		}
	})
}

// BenchmarkStatusList issues and verifies lists with 2 % of all licences not
// valid, at random places.
func BenchmarkStatusList(b *testing.B) {
	keys := newIssuer(b, signing.ES256)
	for _, size := range []int{100_000, 1_000_000} {
		list, err := NewStatusList(size, 2)
		if err != nil {
			b.Fatal(err)
		}
		for range size / 50 {
			if err := list.Set(rand.IntN(size), StatusInvalid); err != nil {
				b.Fatal(err)
			}
		}
		var token string
		b.Run(fmt.Sprintf("issue/%d", size), func(b *testing.B) {
			for b.Loop() {
				token, err = IssueStatusList(b.Context(), keys, listURI, list, testNow(), time.Time{}, time.Minute)
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(token)), "bytes/token")
		})
		b.Run(fmt.Sprintf("verify/%d", size), func(b *testing.B) {
			for b.Loop() {
				if _, _, err := VerifyStatusList(token, listURI, keys, time.Time{}, testNow()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
