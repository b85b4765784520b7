package ses_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/emmansun/gmsm/smx509"
	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/onewindow/onewindow/signing/internal/peer"
	"github.com/onewindow/onewindow/signing/ses"
)

func write(t *testing.T, dir, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func wantLines(t *testing.T, out string, want ...string) {
	t.Helper()
	for _, line := range want {
		if !strings.Contains("\n"+out, "\n"+line+"\n") {
			t.Errorf("no line %q in:\n%s", line, out)
		}
	}
}

func TestBouncyCastleVerifiesOurs(t *testing.T) {
	w, dir := newWorld(t), t.TempDir()
	der := w.sign(t, w.seal(t), func([]byte) ([]byte, error) { return []byte{0x30, 0}, nil })
	out := peer.Java(t, "testdata/BouncyCastle.java", write(t, dir, "ours.dat", der), write(t, dir, "Signature.xml", []byte("Signature.xml")))
	wantLines(t, out, "signer true", "maker true", "digest true", "listed true", "header ES 4 ONEWINDOW",
		"number 43022300000001", "name 16", "until 20280301000000Z", "time 20260601083015Z", "property "+property)
}

func TestOfdrwReadsOursAndMakesWhatWeRead(t *testing.T) {
	w, dir := newWorld(t), t.TempDir()
	seal := w.seal(t)
	write(t, dir, "ours.esl", seal)
	write(t, dir, "ours.dat", w.sign(t, seal, func([]byte) ([]byte, error) { return []byte{0x30, 0}, nil }))
	write(t, dir, "maker.cer", w.makerCert)
	write(t, dir, "signer.cer", w.signerCert)
	write(t, dir, "stamp.png", stampPNG(t, 24))
	write(t, dir, "hash", hash[:])
	for name, key := range map[string]any{"maker.key": w.maker, "signer.key": w.signer} {
		der, err := smx509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, name, der)
	}
	out := peer.Java(t, "testdata/Ofdrw.java", dir)
	wantLines(t, out, "version v4", "seal version v4", "same bytes true", "same seal true", "number 43022300000001",
		"picture 42 PNG", "timestamp true", "v1 version v1")
	for name, version := range map[string]int{"v4": 4, "v1": 1, "v1text": 1} {
		der, err := os.ReadFile(filepath.Join(dir, name+".dat"))
		if err != nil {
			t.Fatal(err)
		}
		g, err := ses.ParseSignature(der)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if g.Version != version || !g.Time.Equal(signed) || g.Seal.Name != "OFD R&W" || !g.Seal.ValidUntil.Equal(ends) {
			t.Errorf("%s: read %+v", name, g)
		}
		w.wantHolds(t, name, g)
	}
}

// TestOpenSSLVerifiesTheSlices cuts the signed bytes out with cryptobyte alone.
func TestOpenSSLVerifiesTheSlices(t *testing.T) {
	w, dir := newWorld(t), t.TempDir()
	der := cryptobyte.String(w.sign(t, w.seal(t), nil))
	var signature, tbs, toSign, seal, info cryptobyte.String
	var version int64
	if !der.ReadASN1(&signature, cbasn1.SEQUENCE) || !signature.ReadASN1Element(&tbs, cbasn1.SEQUENCE) {
		t.Fatal("no signature")
	}
	rest := tbs
	if !rest.ReadASN1(&toSign, cbasn1.SEQUENCE) || !toSign.ReadASN1Integer(&version) || !toSign.ReadASN1(&seal, cbasn1.SEQUENCE) ||
		!seal.ReadASN1Element(&info, cbasn1.SEQUENCE) {
		t.Fatal("no seal")
	}
	for name, part := range map[string]struct{ message, rest cryptobyte.String }{
		"signer": {tbs, signature}, "maker": {info, seal},
	} {
		var cert cryptobyte.String
		var value []byte
		if !part.rest.ReadASN1(&cert, cbasn1.OCTET_STRING) || !part.rest.SkipASN1(cbasn1.OBJECT_IDENTIFIER) || !part.rest.ReadASN1BitStringAsBytes(&value) {
			t.Fatal(name)
		}
		write(t, dir, "cert.der", cert)
		write(t, dir, "message", part.message)
		write(t, dir, "value", value)
		peer.OpenSSL(t, dir, "x509", "-inform", "DER", "-in", "cert.der", "-out", "cert.pem")
		verify := []string{
			"pkeyutl", "-verify", "-certin", "-inkey", "cert.pem", "-rawin", "-digest", "sm3",
			"-pkeyopt", "distid:1234567812345678", "-sigfile", "value", "-in", "message",
		}
		if out := peer.OpenSSL(t, dir, verify...); !strings.Contains(out, "Signature Verified Successfully") {
			t.Errorf("%s: %s", name, out)
		}
		changed := bytes.Clone(part.message) // the seal lies inside what the signer signed
		changed[len(changed)-1] ^= 1
		write(t, dir, "message", changed)
		if out, err := peer.TryOpenSSL(t, dir, verify...); err == nil {
			t.Errorf("%s: changed bytes: %s", name, out)
		}
	}
}
