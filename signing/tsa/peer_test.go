package tsa

import (
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/emmansun/gmsm/pkcs7"

	"github.com/onewindow/onewindow/signing/internal/peer"
	"github.com/onewindow/onewindow/signing/pki"
)

func write(tb testing.TB, dir, name string, data []byte) string {
	tb.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, data, 0o600); err != nil {
		tb.Fatal(err)
	}
	return file
}

func read(tb testing.TB, dir, name string) []byte {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func pemOf(certificates ...[]byte) []byte {
	var text []byte
	for _, data := range certificates {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: data})...)
	}
	return text
}

// OpenSSL asks, this authority answers, OpenSSL verifies.
func TestOpenSSLVerifies(t *testing.T) {
	w := newWorld(t, "P-256")
	dir := t.TempDir()
	write(t, dir, "data", []byte("签章值"))
	write(t, dir, "root.pem", pemOf(w.root))
	write(t, dir, "chain.pem", pemOf(w.chain[1], w.chain[0]))
	attime := fmt.Sprint(noon().Unix())
	for _, digest := range []string{"-sha256", "-sha384", "-sha512", "-sm3"} {
		for _, options := range [][]string{{"-cert"}, {"-cert", "-no_nonce"}, {"-tspolicy", testPolicy.String()}} {
			peer.OpenSSL(t, dir, append([]string{"ts", "-query", "-data", "data", digest, "-out", "query"}, options...)...)
			reply, err := w.authority.Reply(t.Context(), read(t, dir, "query"))
			if err != nil {
				t.Fatal(err)
			}
			write(t, dir, "reply", reply)
			verify := []string{"ts", "-verify", "-attime", attime, "-in", "reply", "-CAfile", "root.pem", "-untrusted", "chain.pem"}
			if out := peer.OpenSSL(t, dir, append(verify, "-queryfile", "query")...); !strings.Contains(out, "Verification: OK") {
				t.Errorf("%s %v: %s", digest, options, out)
			}
			if out := peer.OpenSSL(t, dir, append(verify, "-data", "data")...); !strings.Contains(out, "Verification: OK") {
				t.Errorf("%s %v with the data: %s", digest, options, out)
			}
		}
	}
	token := w.stamp(t, []byte("签章值"))
	write(t, dir, "token", token)
	out := peer.OpenSSL(t, dir, "ts", "-verify", "-attime", attime, "-in", "token", "-token_in", "-data", "data", "-CAfile", "root.pem")
	if !strings.Contains(out, "Verification: OK") {
		t.Errorf("token with its own chain: %s", out)
	}
	text := peer.OpenSSL(t, dir, "ts", "-reply", "-in", "token", "-token_in", "-text")
	for _, want := range []string{"Policy OID: 1.3.6.1.4.1.99999.1", "Time stamp: Mar  4 12:00:00 2026 GMT", "Accuracy: 0x01 seconds, 0x01F4 millis, unspecified micros"} {
		if !strings.Contains(text, want) {
			t.Errorf("OpenSSL does not read %q in %s", want, text)
		}
	}
	peer.OpenSSL(t, dir, "ts", "-query", "-data", "data", "-sha1", "-out", "query")
	reply, err := w.authority.Reply(t.Context(), read(t, dir, "query"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, "reply", reply)
	text = peer.OpenSSL(t, dir, "ts", "-reply", "-in", "reply", "-text")
	if !strings.Contains(text, "Status: Rejected.") || !strings.Contains(text, "unrecognized or unsupported algorithm identifier") {
		t.Errorf("OpenSSL reads the rejection as %s", text)
	}
}

// opensslTSA is the configuration of an authority of OpenSSL.
const opensslTSA = `
[req]
distinguished_name = name
[name]
[ca]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
[leaf]
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
subjectAltName = URI:https://tsa.example.cn
[tsa]
default_tsa = one
[one]
serial = serial
signer_cert = leaf.pem
certs = root.pem
signer_key = leaf.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha384, sha512, sm3
accuracy = secs:1, millisecs:500, microsecs:100
ess_cert_id_alg = sha256
`

// OpenSSL's authority with keys of several kinds and all its options, and what
// it issues is verified here.
func TestOpenSSLTokensAreVerified(t *testing.T) {
	for name, key := range map[string][]string{
		"P-256": {"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"},
		"P-384": {"-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"},
		"RSA":   {"-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"},
	} {
		dir := t.TempDir()
		write(t, dir, "data", []byte("data"))
		write(t, dir, "serial", []byte("01"))
		write(t, dir, "tsa.cnf", []byte(opensslTSA))
		for _, who := range []string{"root", "leaf"} {
			peer.OpenSSL(t, dir, append([]string{"genpkey", "-out", who + ".key"}, key...)...)
		}
		peer.OpenSSL(t, dir, "req", "-x509", "-new", "-config", "tsa.cnf", "-extensions", "ca", "-key", "root.key", "-sha256", "-days", "30", "-subj", "/CN=root", "-out", "root.pem")
		peer.OpenSSL(t, dir, "req", "-new", "-config", "tsa.cnf", "-key", "leaf.key", "-subj", "/C=CN/CN=TSA", "-out", "leaf.csr")
		peer.OpenSSL(t, dir, "x509", "-req", "-in", "leaf.csr", "-CA", "root.pem", "-CAkey", "root.key", "-set_serial", "7", "-sha256", "-days", "30", "-extfile", "tsa.cnf", "-extensions", "leaf", "-out", "leaf.pem")
		root, _ := pem.Decode(read(t, dir, "root.pem"))
		trust := newTrust(t, pki.TrustConfig{Roots: [][]byte{root.Bytes}})
		for option, c := range map[string]struct {
			line   string
			digest string
			hash   Hash
		}{
			"plain":              {"", "-sha256", SHA256},
			"SHA-1 identifier":   {"ess_cert_id_alg = sha1", "-sm3", SM3},
			"SHA-512 identifier": {"ess_cert_id_alg = sha512\ness_cert_id_chain = yes", "-sha384", SHA384},
			"chain and name":     {"ess_cert_id_chain = yes\ntsa_name = yes\nordering = yes\nclock_precision_digits = 6", "-sha512", SHA512},
			"SHA-512 signature":  {"signer_digest = sha512", "-sha256", SHA256},
		} {
			write(t, dir, "tsa.cnf", []byte(opensslTSA+c.line+"\n"))
			query := mustEncode(t, request{imprint: imprint{c.hash, c.hash.Sum([]byte("data"))}, nonce: newNonce(), certReq: true})
			write(t, dir, "own-query", query)
			peer.OpenSSL(t, dir, "ts", "-query", "-data", "data", c.digest, "-cert", "-out", "query")
			for _, file := range []string{"query", "own-query"} {
				peer.OpenSSL(t, dir, "ts", "-reply", "-config", "tsa.cnf", "-queryfile", file, "-out", "reply")
				token, err := parseReply(read(t, dir, "reply"))
				if err != nil {
					t.Fatalf("%s, %s: %v", name, option, err)
				}
				got, err := Verify(token, []byte("data"), trust)
				if err != nil {
					t.Errorf("%s, %s, %s: %v", name, option, file, err)
					continue
				}
				if !isNameOf([]byte("\x86\x16https://tsa.example.cn"), got.Signer) || isNameOf([]byte("\x86\x16https://tsa.example.com"), got.Signer) {
					t.Errorf("%s: alternative name of %v not found, or too much", name, got.Signer.URIs)
				}
				if got.Hash != c.hash || got.Accuracy != 1500100*time.Microsecond || got.Ordered != strings.Contains(c.line, "ordering") ||
					(got.tsa != nil) != strings.Contains(c.line, "tsa_name") || got.Policy.String() != "1.2.3.4.1" {
					t.Errorf("%s, %s: %+v", name, option, got)
				}
			}
		}
	}
}

// The PKCS #7 reader of gmsm, which follows GB/T 35275, takes the tokens of SM2.
func TestGmsmReadsSM2Tokens(t *testing.T) {
	w := newWorld(t, "SM2")
	token, err := pkcs7.Parse(w.stamp(t, []byte("data")))
	if err != nil {
		t.Fatal(err)
	}
	if err := token.Verify(); err != nil {
		t.Error(err)
	}
	if info, err := parseStampInfo(token.Content); err != nil || info.imprint.hash != SM3 {
		t.Errorf("content %+v, %v", info, err)
	}
}

// Bouncy Castle validates what this package makes, and the other way round.
func TestBouncyCastle(t *testing.T) {
	data := []byte("签章值")
	dir := t.TempDir()
	write(t, dir, "data", data)
	args := []string{dir}
	worlds := map[string]*world{"P-256": newWorld(t, "P-256"), "SM2": newWorld(t, "SM2")}
	for name, w := range worlds {
		for _, h := range []Hash{SHA256, SM3} {
			query := mustEncode(t, request{imprint: imprint{h, h.Sum(data)}, nonce: newNonce(), certReq: true})
			reply, err := w.authority.Reply(t.Context(), query)
			if err != nil {
				t.Fatal(err)
			}
			id := fmt.Sprintf("%s-%v", name, h)
			write(t, dir, id+".query", query)
			write(t, dir, id+".reply", reply)
			write(t, dir, id+".leaf", w.chain[0])
			args = append(args, id)
		}
	}
	out := peer.Java(t, "testdata/BouncyCastle.java", args...)
	for _, id := range args[1:] {
		if !strings.Contains(out, id+": valid at 2026-03-04T12:00:00Z, accuracy 1 500 null, policy "+testPolicy.String()) {
			t.Errorf("%s is not valid for Bouncy Castle: %s", id, out)
		}
	}
	for _, made := range []struct {
		file string
		hash Hash
	}{{"made-P-256", SHA256}, {"made-SM2", SM3}} {
		root := read(t, dir, made.file+".root")
		trust := newTrust(t, pki.TrustConfig{Roots: [][]byte{root}})
		token, err := parseReply(read(t, dir, made.file+".reply"))
		if err != nil {
			t.Errorf("%s: %v", made.file, err)
			continue
		}
		if got, err := Verify(token, data, trust); err != nil || got.Hash != made.hash || got.Policy.String() != "1.2.3.4.1" {
			t.Errorf("%s: %+v, %v", made.file, got, err)
		}
	}
}
