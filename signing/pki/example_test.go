package pki_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"time"

	"github.com/emmansun/gmsm/sm2"

	"github.com/onewindow/onewindow/signing/pki"
)

// A county without an authority above it makes its own root, issues a seal
// certificate and checks it.
func Example() {
	if err := example(context.Background()); err != nil {
		fmt.Println(err)
	}
	// Output:
	// CN=某县行政审批局电子印章
	// nothing against it: true
}

func example(ctx context.Context) error {
	dir, err := os.MkdirTemp("", "pki")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	rootKey, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	root, err := pki.NewRoot(rootKey, pki.Subject{Country: "CN", CommonName: "某县根证书"}, 10*365*24*time.Hour, time.Now())
	if err != nil {
		return err
	}
	authority, err := pki.OpenAuthority(pki.Config{Dir: dir, Certificate: root, Signer: rootKey})
	if err != nil {
		return err
	}
	defer func() { _ = authority.Close() }()

	sealKey, err := sm2.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	cert, err := authority.Issue(ctx, pki.Request{
		Public: sealKey.Public(), Usage: pki.UsageSeal, Validity: 365 * 24 * time.Hour,
		Subject: pki.Subject{CommonName: "某县行政审批局电子印章"},
	})
	if err != nil {
		return err
	}
	crl, err := authority.CRL(ctx)
	if err != nil {
		return err
	}

	trust, err := pki.NewTrust(pki.TrustConfig{Roots: [][]byte{root}, CRLs: [][]byte{crl}, RequireRevocation: true})
	if err != nil {
		return err
	}
	result := trust.Check(cert, authority.Chain(), time.Now(), pki.UsageSeal)
	fmt.Println(result.Path[0].Subject)
	fmt.Println("nothing against it:", result.Err() == nil)
	return nil
}
