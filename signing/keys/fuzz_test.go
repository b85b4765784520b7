package keys

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/emmansun/gmsm/smx509"

	"github.com/onewindow/onewindow/signing"
)

func fuzzVault(f *testing.F) *vault {
	f.Helper()
	p := quickKDF()
	p.Salt = make([]byte, saltSize)
	v, err := newVault([]byte("correct horse"), p)
	if err != nil {
		f.Fatal(err)
	}
	return v
}

// FuzzKeyFile: a key file that opens is one that was sealed, byte for byte.
func FuzzKeyFile(f *testing.F) {
	v := fuzzVault(f)
	private, err := generate(signing.SM2SM3)
	if err != nil {
		f.Fatal(err)
	}
	kid, err := signing.Thumbprint(private.Public())
	if err != nil {
		f.Fatal(err)
	}
	sealed, err := v.seal(kid, private)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(sealed)
	f.Add(sealed[:keyFileHeader])
	f.Fuzz(func(t *testing.T, data []byte) {
		// The checksum is mended, so that what is behind it is reached.
		if len(data) > sha256.Size {
			body := data[:len(data)-sha256.Size]
			sum := sha256.Sum256(body)
			data = append(body[:len(body):len(body)], sum[:]...)
		}
		if _, err := v.open(kid, data); err == nil != bytes.Equal(data, sealed) {
			t.Fatalf("%x: %v", data, err)
		} else if err != nil && !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrTampered) {
			t.Fatal(err)
		}
	})
}

// FuzzPrivateKey: the PKCS#8 inside has one encoding.
func FuzzPrivateKey(f *testing.F) {
	for _, algorithm := range allAlgorithms() {
		private, err := generate(algorithm)
		if err != nil {
			f.Fatal(err)
		}
		der, err := smx509.MarshalPKCS8PrivateKey(private)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(der)
	}
	f.Fuzz(func(t *testing.T, der []byte) {
		private, err := parsePrivateKey(der)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		algorithm, err := signing.AlgorithmOf(private.Public())
		if err != nil {
			t.Fatal(err)
		}
		message, opts := input(algorithm, []byte("m"))
		signature, err := private.Sign(rand.Reader, message, opts)
		if err == nil && !verifies(private.Public(), []byte("m"), signature) {
			t.Fatalf("%s: its own signature does not hold", algorithm)
		}
	})
}

// FuzzManifest: a manifest that is accepted has one form and one meaning.
func FuzzManifest(f *testing.F) {
	folder := newFolder(f)
	r := folder.open()
	for _, state := range []State{Created, Published, Active, Retired, Destroyed} {
		in(f, r, folder.clock, state)
	}
	original, err := os.ReadFile(folder.path(ManifestFile))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(original)
	f.Add([]byte(`{"version":2,"keys":[]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		// Form and checksum are mended, so that what is behind them is reached.
		var mended manifest
		if json.Unmarshal(data, &mended) == nil {
			if body, err := mended.unsigned(); err == nil {
				sum := sha256.Sum256(body)
				mended.Sum = hex.EncodeToString(sum[:])
				if data, err = mended.encode(); err != nil {
					t.Fatal(err)
				}
			}
		}
		m, err := decodeManifest(data)
		if err != nil {
			if !errors.Is(err, ErrDamaged) {
				t.Fatal(err)
			}
			return
		}
		again, err := m.encode()
		if err != nil || !bytes.Equal(again, data) {
			t.Fatalf("another form: %v", err)
		}
		if m.verify(r.vault) == nil && !bytes.Equal(data, original) {
			t.Fatal("another manifest under the same passphrase")
		}
	})
}

// FuzzJournal: what is accepted cannot be continued in two ways, and opens.
func FuzzJournal(f *testing.F) {
	dir := f.TempDir()
	j := openTestJournal(f, dir)
	intend(f, j, "one", nil)
	intend(f, j, "two", errors.New("no"))
	intend(f, j, "three")
	data := readJournal(f, dir)
	f.Add(data)
	f.Add(data[:len(data)-1])
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		// Every other input is chained anew, so that what is behind is reached.
		if bytes.HasPrefix(data, []byte("{")) && len(data)%2 == 0 {
			data = rechain(data)
		}
		records, err := verifyJournal(bytes.NewReader(data))
		if err != nil && !errors.Is(err, ErrJournal) {
			t.Fatal(err)
		}
		if lines := bytes.Count(data, []byte("\n")); records > lines || err == nil && records != lines {
			t.Fatalf("%d records in %d lines, %v", records, lines, err)
		}
		if err != nil {
			return
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, JournalFile), data, 0o600); err != nil {
			t.Fatal(err)
		}
		j := openTestJournal(t, dir)
		intend(t, j, "next", nil)
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := verifyJournal(bytes.NewReader(readJournal(t, dir))); err != nil {
			t.Fatal(err)
		}
	})
}

// rechain gives the lines that are records the numbers and digests of a chain.
func rechain(data []byte) []byte {
	var chained []byte
	prev := digestLine(nil)
	for i, line := range bytes.Split(data, []byte("\n")) {
		var rec record
		if json.Unmarshal(line, &rec) != nil {
			return chained
		}
		rec.Number, rec.Prev = i+1, prev
		line, err := encodeRecord(rec)
		if err != nil {
			return chained
		}
		prev = digestLine(line)
		chained = append(append(chained, line...), '\n')
	}
	return chained
}
