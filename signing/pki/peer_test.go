package pki

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/emmansun/gmsm/smx509"

	"github.com/onewindow/onewindow/signing/internal/peer"
)

const distID = "distid:1234567812345678"

func write(tb testing.TB, dir, name, block string, ders ...[]byte) {
	tb.Helper()
	var text []byte
	for _, data := range ders {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: block, Bytes: data})...)
	}
	if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
		tb.Fatal(err)
	}
}

func read(tb testing.TB, dir, name string) []byte {
	tb.Helper()
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		tb.Fatal(err)
	}
	block, rest := pem.Decode(text)
	if block == nil || len(strings.TrimSpace(string(rest))) > 0 {
		tb.Fatalf("%s is not one PEM block", name)
	}
	return block.Bytes
}

func TestOpenSSLAcceptsOurs(t *testing.T) {
	for _, k := range []kind{kindSM2, kindP256, kindP384, kindEd25519} {
		w, dir := newWorld(t, k), t.TempDir()
		key := newKey(t, k)
		good, bad := w.issue(t, UsageSeal, key.Public()), w.issue(t, UsageSeal, key.Public())
		if err := w.ca.Revoke(t.Context(), mustParse(t, bad).SerialNumber, KeyCompromise, w.now); err != nil {
			t.Fatal(err)
		}
		csr, err := CreateCSR(key, Subject{Country: "CN", CommonName: "某县行政审批局"}, UsageSeal)
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, "root.pem", "CERTIFICATE", w.root)
		write(t, dir, "issuing.pem", "CERTIFICATE", w.ca.Certificate())
		write(t, dir, "good.pem", "CERTIFICATE", good)
		write(t, dir, "bad.pem", "CERTIFICATE", bad)
		write(t, dir, "lists.pem", "X509 CRL", w.lists(t)...)
		write(t, dir, "request.pem", "CERTIFICATE REQUEST", csr)
		request := []string{"req", "-verify", "-noout", "-in", "request.pem"}
		verify := []string{"verify", "-x509_strict", "-attime", strconv.FormatInt(epoch.Unix(), 10)}
		if k == kindSM2 {
			// OpenSSL 3.0 uses the user id that it is told for the first
			// certificate of a chain alone, and never for revocation lists:
			// so each link by itself, and the list by dgst.
			request = append(request, "-vfyopt", distID)
			verify = append(verify, "-vfyopt", distID)
			peer.OpenSSL(t, dir, append(verify, "-CAfile", "root.pem", "issuing.pem")...)
			peer.OpenSSL(t, dir, append(verify, "-partial_chain", "-trusted", "issuing.pem", "good.pem")...)
			openSSLChecksList(t, dir, w.lists(t)[1])
		} else {
			verify = append(verify, "-CAfile", "root.pem", "-untrusted", "issuing.pem", "-CRLfile", "lists.pem", "-crl_check_all")
			peer.OpenSSL(t, dir, append(verify, "good.pem")...)
			if out, err := peer.TryOpenSSL(t, dir, append(verify, "bad.pem")...); err == nil || !strings.Contains(out, "certificate revoked") {
				t.Errorf("kind %d: revoked certificate: %v\n%s", k, err, out)
			}
		}
		if out := peer.OpenSSL(t, dir, request...); !strings.Contains(out, "OK") {
			t.Errorf("kind %d: request: %s", k, out)
		}
		text := peer.OpenSSL(t, dir, "x509", "-in", "good.pem", "-noout", "-text", "-nameopt", "utf8,sep_comma_plus_space")
		for _, want := range []string{"CN=某县行政审批局电子印章", "Digital Signature, Non Repudiation", "CA:FALSE", "1.3.6.1.5.5.7.3.36", "http://ca.example.cn/list.crl"} {
			if !strings.Contains(text, want) {
				t.Errorf("kind %d: %q is not in\n%s", k, want, text)
			}
		}
	}
}

// openSSLChecksList has OpenSSL verify the SM2 signature of a list that
// issuing.pem signed, and read the list.
func openSSLChecksList(t *testing.T, dir string, data []byte) {
	t.Helper()
	list, err := smx509.ParseRevocationList(data)
	if err != nil {
		t.Fatal(err)
	}
	for name, part := range map[string][]byte{"tbs": list.RawTBSRevocationList, "signature": list.Signature, "list.crl": data} {
		if err := os.WriteFile(filepath.Join(dir, name), part, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	key := peer.OpenSSL(t, dir, "x509", "-in", "issuing.pem", "-noout", "-pubkey")
	if err := os.WriteFile(filepath.Join(dir, "issuing.pub"), []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := peer.OpenSSL(t, dir, "dgst", "-sm3", "-verify", "issuing.pub", "-sigopt", distID, "-signature", "signature", "tbs"); !strings.Contains(out, "Verified OK") {
		t.Errorf("list: %s", out)
	}
	if out := peer.OpenSSL(t, dir, "crl", "-inform", "DER", "-in", "list.crl", "-noout", "-text"); !strings.Contains(out, "Key Compromise") {
		t.Errorf("list: %s", out)
	}
}

// openSSLAuthority makes a root, a certificate from a request and a list in
// which another certificate is revoked, all by OpenSSL.
func openSSLAuthority(t *testing.T, dir string, sm bool) {
	t.Helper()
	config := `
[req]
distinguished_name = dn
prompt = no
utf8 = yes
string_mask = utf8only
[dn]
C = CN
O = 某省电子认证中心
CN = 某省运营根
[ca_ext]
basicConstraints = critical,CA:TRUE,pathlen:1
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[seal_ext]
basicConstraints = CA:FALSE
keyUsage = critical,digitalSignature,nonRepudiation
extendedKeyUsage = clientAuth,emailProtection
authorityKeyIdentifier = keyid,issuer
subjectKeyIdentifier = hash
[ca]
default_ca = own
[own]
database = index.txt
crlnumber = crlnumber
default_md = ` + map[bool]string{true: "sm3", false: "sha256"}[sm] + `
[crl_ext]
authorityKeyIdentifier = keyid
`
	for name, text := range map[string]string{"openssl.cnf": config, "index.txt": "", "crlnumber": "01\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	curve, digest, sign := "prime256v1", "-sha256", []string(nil)
	if sm {
		curve, digest, sign = "SM2", "-sm3", []string{"-sigopt", distID}
	}
	run := func(args ...string) { peer.OpenSSL(t, dir, args...) }
	for _, name := range []string{"ca.key", "seal.key"} {
		run("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:"+curve, "-pkeyopt", "ec_param_enc:named_curve", "-out", name)
	}
	run(append([]string{"req", "-config", "openssl.cnf", "-x509", "-new", "-key", "ca.key", digest, "-days", "3650", "-extensions", "ca_ext", "-out", "ca.pem"}, sign...)...)
	run(append([]string{"req", "-config", "openssl.cnf", "-new", "-key", "seal.key", digest, "-subj", "/C=CN/O=seal owner/CN=seal", "-out", "seal.csr"}, sign...)...)
	for _, name := range []string{"seal", "lost"} {
		args := append([]string{"x509", "-req", "-in", "seal.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", digest, "-days", "365", "-extfile", "openssl.cnf", "-extensions", "seal_ext", "-out", name + ".pem"}, sign...)
		if sm {
			args = append(args, "-vfyopt", distID)
		}
		run(args...)
	}
	run(append([]string{"ca", "-config", "openssl.cnf", "-name", "own", "-keyfile", "ca.key", "-cert", "ca.pem", "-revoke", "lost.pem", "-crl_reason", "superseded"}, sign...)...)
	run(append([]string{"ca", "-config", "openssl.cnf", "-name", "own", "-keyfile", "ca.key", "-cert", "ca.pem", "-gencrl", "-crldays", "7", "-crlexts", "crl_ext", "-out", "list.pem"}, sign...)...)
}

func TestWeAcceptOpenSSLs(t *testing.T) {
	for _, sm := range []bool{true, false} {
		dir := t.TempDir()
		openSSLAuthority(t, dir, sm)
		csr, err := ParseCSR(read(t, dir, "seal.csr"))
		if err != nil {
			t.Fatal(err)
		}
		if got, want := SubjectOf(csr.Subject), (Subject{Country: "CN", Organization: "seal owner", CommonName: "seal"}); got != want {
			t.Errorf("request for %+v, want %+v", got, want)
		}
		root, seal := read(t, dir, "ca.pem"), read(t, dir, "seal.pem")
		bundle, err := os.ReadFile(filepath.Join(dir, "ca.pem"))
		if err != nil {
			t.Fatal(err)
		}
		chain, err := ImportChain(append(bundle, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: seal})...), csr.PublicKey)
		if err != nil || len(chain) != 2 {
			t.Fatalf("chain of %d, %v", len(chain), err)
		}
		trust := newTrust(t, TrustConfig{Roots: [][]byte{root}, CRLs: [][]byte{read(t, dir, "list.pem")}, RequireRevocation: true})
		now := time.Now()
		r := trust.Check(chain[0], chain[1:], now, UsageSeal)
		if err := r.Err(); err != nil || len(r.Path) != 2 {
			t.Errorf("SM2 %t: %v, path of %d", sm, err, len(r.Path))
		}
		if name := SubjectOf(r.Path[1].Subject).CommonName; name != "某省运营根" {
			t.Errorf("root is called %q", name)
		}
		r = trust.Check(read(t, dir, "lost.pem"), nil, now, UsageSeal)
		if r.RevokedFor != Superseded || r.RevokedAt.IsZero() {
			t.Errorf("SM2 %t: revoked %v for %v: %v", sm, r.RevokedAt, r.RevokedFor, r.Revocation)
		}
		// In an SM2 chain OpenSSL must have used the standard user id.
		if kindOf, _ := keyKind(csr.PublicKey); sm != (kindOf == kindSM2) || sm != (csr.SignatureAlgorithm == smx509.SM2WithSM3) || !sm && csr.SignatureAlgorithm != x509.ECDSAWithSHA256 {
			t.Errorf("SM2 %t: kind %d, %v", sm, kindOf, csr.SignatureAlgorithm)
		}
	}
}

func TestBouncyCastleAcceptsOurs(t *testing.T) {
	w, dir := newWorld(t, kindSM2), t.TempDir()
	key := newKey(t, kindSM2)
	good, bad := w.issue(t, UsageSeal, key.Public()), w.issue(t, UsageSeal, key.Public())
	if err := w.ca.Revoke(t.Context(), mustParse(t, bad).SerialNumber, Superseded, w.now); err != nil {
		t.Fatal(err)
	}
	csr, err := CreateCSR(key, Subject{CommonName: "某县行政审批局"}, UsageSeal)
	if err != nil {
		t.Fatal(err)
	}
	lists := w.lists(t)
	for name, data := range map[string][]byte{
		"root.der": w.root, "issuing.der": w.ca.Certificate(), "good.der": good, "bad.der": bad,
		"root.crl": lists[0], "issuing.crl": lists[1], "request.der": csr,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out := peer.Java(t, "testdata/VerifyChain.java", dir, epoch.Add(time.Second).Format(time.RFC3339))
	for _, want := range []string{
		"good: CN=某县行政审批局电子印章", "good: valid", "bad: revoked", "request: signature true", "request: CN=某县行政审批局",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is not in\n%s", want, out)
		}
	}
}
