package tsa

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onewindow/onewindow/signing/pki"
)

func TestReplyGrants(t *testing.T) {
	data := []byte("签章值")
	for _, algorithm := range []string{"P-256", "SM2"} {
		w := newWorld(t, algorithm)
		for _, h := range hashes() {
			query := mustEncode(t, request{imprint: imprint{h, h.Sum(data)}, nonce: []byte{0xff, 0x01}, policy: testPolicy, certReq: true})
			reply, err := w.authority.Reply(t.Context(), query)
			if err != nil {
				t.Fatal(err)
			}
			der, err := parseReply(reply)
			if err != nil {
				t.Fatal(err)
			}
			token, err := Verify(der, data, w.trust)
			if err != nil {
				t.Fatalf("%s with %v: %v", algorithm, h, err)
			}
			if !token.Time.Equal(noon()) || token.Accuracy != 1500*time.Millisecond || !token.Policy.Equal(testPolicy) || token.Hash != h ||
				!bytes.Equal(token.Imprint, h.Sum(data)) || !bytes.Equal(token.nonce, []byte{0xff, 0x01}) || token.Ordered {
				t.Errorf("%s with %v: token %+v", algorithm, h, token)
			}
			if !bytes.Equal(token.Signer.Raw, w.chain[0]) || len(token.cms.certificates) != 2 {
				t.Errorf("%s: %d certificates, signer %v; want leaf and issuing authority, no root", algorithm, len(token.cms.certificates), token.Signer.Subject)
			}
			if token.Serial.BitLen() != 129 {
				t.Errorf("serial number %v", token.Serial)
			}
		}
	}
}

func TestReplyWithoutCertificates(t *testing.T) {
	w := newWorld(t, "P-256")
	reply, err := w.authority.Reply(t.Context(), mustEncode(t, request{imprint: imprint{SHA256, SHA256.Sum(nil)}}))
	if err != nil {
		t.Fatal(err)
	}
	token, err := parseReply(reply)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := Parse(token)
	if err != nil || parsed.Signer != nil || parsed.nonce != nil || bytes.Contains(token, w.chain[0]) {
		t.Errorf("token carries a certificate or a nonce that nobody asked for: %+v, %v", parsed, err)
	}
	if _, err := Verify(token, nil, w.trust); !errors.Is(err, ErrCertificate) {
		t.Errorf("Verify without the certificate: %v, want ErrCertificate", err)
	}
}

func TestReplyRejects(t *testing.T) {
	w := newWorld(t, "P-256")
	good := mustEncode(t, request{imprint: imprint{SHA256, SHA256.Sum(nil)}, policy: testPolicy, nonce: []byte{1}, certReq: true})
	edit := func(change func(*node)) []byte {
		n := parseNode(t, good)
		change(n)
		return n.encode(t)
	}
	for name, c := range map[string]struct {
		query []byte
		want  string
	}{
		"empty":            {nil, "badDataFormat"},
		"trailing byte":    {append(slices.Clone(good), 0), "badDataFormat"},
		"cut":              {good[:len(good)-1], "badDataFormat"},
		"indefinite":       {append(append([]byte{0x30, 0x80}, good[2:]...), 0, 0), "badDataFormat"},
		"long length form": {append([]byte{0x30, 0x81, good[1]}, good[2:]...), "badDataFormat"},
		"too large":        {make([]byte, MaxRequest+1), "badDataFormat"},
		"version 2":        {edit(func(n *node) { n.at(0).content = []byte{2} }), "badRequest"},
		"SHA-1": {edit(func(n *node) {
			n.at(1).children = parseNodes(t, append([]byte("\x30\x07\x06\x05\x2b\x0e\x03\x02\x1a\x04\x14"), make([]byte, 20)...))
		}), "badAlg"},
		"digest too short":  {edit(func(n *node) { n.at(1, 1).content = make([]byte, 31) }), "badDataFormat"},
		"hash parameters":   {edit(func(n *node) { n.at(1, 0).add(primitive(4, 1)) }), "badDataFormat"},
		"other policy":      {edit(func(n *node) { n.at(2).content = []byte{0x2a, 3} }), "unacceptedPolicy"},
		"nonce not minimal": {edit(func(n *node) { n.at(3).content = []byte{0, 1} }), "badDataFormat"},
		"nonce too long":    {edit(func(n *node) { n.at(3).content = bytes.Repeat([]byte{1}, maxInteger+1) }), "badDataFormat"},
		"certReq FALSE":     {edit(func(n *node) { n.at(4).content = []byte{0} }), "badDataFormat"},
		"certReq 1":         {edit(func(n *node) { n.at(4).content = []byte{1} }), "badDataFormat"},
		"extension": {edit(func(n *node) {
			n.add(&node{tag: 0xa0, children: parseNodes(t, []byte("\x30\x06\x06\x02\x2a\x03\x04\x00"))})
		}), "unacceptedExtension"},
		"member too many": {edit(func(n *node) { n.add(primitive(5)) }), "badDataFormat"},
	} {
		reply, err := w.authority.Reply(t.Context(), c.query)
		if err != nil {
			t.Errorf("%s: %v; a bad request is not the authority's failure", name, err)
		}
		if _, err = parseReply(reply); !errors.Is(err, ErrRejected) || !strings.Contains(err.Error(), "["+c.want+"]") {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

// strange is a signer whose hardware went wrong: it signs with another key.
type strange struct {
	crypto.Signer
	public crypto.PublicKey
}

func (s strange) Public() crypto.PublicKey { return s.public }

// broken is a signer whose hardware is gone.
type broken struct{ strange }

func (broken) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	return nil, errors.New("token removed")
}

func TestReplyFailsSafely(t *testing.T) {
	w := newWorld(t, "P-256")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	wrong := strange{newKey(t, "P-256"), w.signer.Public()}
	late := func() time.Time { return noon().AddDate(6, 0, 0) }
	query := mustEncode(t, request{imprint: imprint{SHA256, SHA256.Sum(nil)}})
	for name, c := range map[string]struct {
		ctx    context.Context
		config Config
		want   error
	}{
		"another key":         {t.Context(), Config{Signer: wrong, Chain: w.chain, Now: noon}, ErrSignature},
		"no key":              {t.Context(), Config{Signer: broken{wrong}, Chain: w.chain, Now: noon}, ErrUnavailable},
		"certificate expired": {t.Context(), Config{Signer: w.signer, Chain: w.chain, Now: late}, ErrUnavailable},
		"cancelled":           {cancelled, Config{Signer: w.signer, Chain: w.chain, Now: noon}, context.Canceled},
	} {
		a, err := New(c.config)
		if err != nil {
			t.Fatal(err)
		}
		reply, err := a.Reply(c.ctx, query)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if _, err := parseReply(reply); !errors.Is(err, ErrRejected) || !strings.Contains(err.Error(), "systemFailure") {
			t.Errorf("%s: reply says %v, want systemFailure", name, err)
		}
		if token, err := a.Stamp(c.ctx, nil); err == nil {
			t.Errorf("%s: Stamp gave %x", name, token)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	w := newWorld(t, "P-256")
	other := newKey(t, "P-256")
	large := newKey(t, "P-384")
	for name, c := range map[string]struct {
		config Config
		want   error
	}{
		"nothing":             {Config{}, ErrConfig},
		"no chain":            {Config{Signer: w.signer}, ErrConfig},
		"chain of noise":      {Config{Signer: w.signer, Chain: [][]byte{w.chain[0], {1}}}, ErrConfig},
		"twice the leaf":      {Config{Signer: w.signer, Chain: [][]byte{w.chain[0], w.chain[0]}}, ErrConfig},
		"another's":           {Config{Signer: other, Chain: w.chain}, ErrConfig},
		"for seals":           {Config{Signer: other, Chain: [][]byte{w.certify(t, other.Public(), pki.UsageSeal)}}, ErrCertificate},
		"P-384":               {Config{Signer: large, Chain: w.chain}, ErrAlgorithm},
		"accuracy too fine":   {Config{Signer: w.signer, Chain: w.chain, Accuracy: time.Millisecond}, ErrConfig},
		"accuracy in ns":      {Config{Signer: w.signer, Chain: w.chain, Accuracy: time.Second + 1}, ErrConfig},
		"accuracy before now": {Config{Signer: w.signer, Chain: w.chain, Accuracy: -time.Second}, ErrConfig},
	} {
		if _, err := New(c.config); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// Two authorities with one key, as after a restart, and many requests at once:
// no serial number comes twice.
func TestSerialNumbersAreUnique(t *testing.T) {
	w := newWorld(t, "P-256")
	again, err := New(Config{Signer: w.signer, Chain: w.chain, Now: noon})
	if err != nil {
		t.Fatal(err)
	}
	const each = 100
	serials := make(chan string, 4*each)
	for i := range 4 {
		a := []*Authority{w.authority, again}[i%2]
		go func() {
			for range each {
				serial := ""
				if token, err := a.Stamp(t.Context(), []byte("same")); err == nil {
					if parsed, err := Parse(token); err == nil {
						serial = parsed.Serial.String()
					}
				}
				serials <- serial
			}
		}()
	}
	seen := map[string]bool{}
	for range 4 * each {
		seen[<-serials] = true
	}
	if len(seen) != 4*each || seen[""] {
		t.Errorf("%d serial numbers of %d tokens, failures: %t", len(seen), 4*each, seen[""])
	}
}
