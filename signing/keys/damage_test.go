package keys

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/onewindow/onewindow/signing"
)

// rewrite changes a file of the folder, or writes it if it is not there.
func (f *folder) rewrite(name string, change func(data []byte) []byte) {
	f.tb.Helper()
	data, err := os.ReadFile(f.path(name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		f.tb.Fatal(err)
	}
	if err := os.WriteFile(f.path(name), change(data), 0o600); err != nil {
		f.tb.Fatal(err)
	}
}

// forge changes a manifest the way somebody does who knows this package but
// not the passphrase: its form and checksum are right.
func forge(tb testing.TB, data []byte, change func(m *manifest)) []byte {
	tb.Helper()
	m, err := decodeManifest(data)
	if err != nil {
		tb.Fatal(err)
	}
	change(&m)
	body, err := m.unsigned()
	if err != nil {
		tb.Fatal(err)
	}
	sum := sha256.Sum256(body)
	m.Sum = hex.EncodeToString(sum[:])
	forged, err := m.encode()
	if err != nil {
		tb.Fatal(err)
	}
	return forged
}

func TestDamagedOrChangedFolderIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(f *folder, active, retired string)
		want  error
		says  string
	}{
		"wrong passphrase": {func(f *folder, _, _ string) { f.config.Passphrase = []byte("wrong") }, ErrPassphrase, ManifestFile},
		"empty passphrase": {func(f *folder, _, _ string) { f.config.Passphrase = nil }, ErrPassphrase, "empty"},
		"key file cut": {func(f *folder, active, _ string) {
			f.rewrite(active+keyFileSuffix, func(b []byte) []byte { return b[:len(b)-1] })
		}, ErrDamaged, keyFileSuffix},
		"key file with a bit flipped": {func(f *folder, _, retired string) {
			f.rewrite(retired+keyFileSuffix, func(b []byte) []byte { b[40] ^= 1; return b })
		}, ErrDamaged, keyFileSuffix},
		"key file of the old format": {func(f *folder, active, _ string) {
			f.rewrite(active+keyFileSuffix, func(b []byte) []byte { b[7] = 1; return b })
		}, ErrDamaged, "version 1"},
		"key file too large": {func(f *folder, active, _ string) {
			f.rewrite(active+keyFileSuffix, func(b []byte) []byte { return append(b, make([]byte, keyFileMax)...) })
		}, ErrDamaged, keyFileSuffix},
		"key file missing": {func(f *folder, _, retired string) {
			if err := os.Remove(f.path(retired + keyFileSuffix)); err != nil {
				t.Fatal(err)
			}
		}, ErrDamaged, "not there"},
		"key files exchanged": {func(f *folder, active, retired string) {
			f.rewrite(active+keyFileSuffix, func([]byte) []byte {
				other, err := os.ReadFile(f.path(retired + keyFileSuffix))
				if err != nil {
					t.Fatal(err)
				}
				return other
			})
		}, ErrTampered, keyFileSuffix},
		"key file changed with its checksum": {func(f *folder, active, _ string) {
			f.rewrite(active+keyFileSuffix, func(b []byte) []byte {
				b[40] ^= 1
				sum := sha256.Sum256(b[:len(b)-sha256.Size])
				return append(b[:len(b)-sha256.Size], sum[:]...)
			})
		}, ErrTampered, keyFileSuffix},
		"manifest missing": {func(f *folder, _, _ string) {
			if err := os.Remove(f.path(ManifestFile)); err != nil {
				t.Fatal(err)
			}
		}, ErrDamaged, ManifestFile},
		"manifest empty": {func(f *folder, _, _ string) {
			f.rewrite(ManifestFile, func([]byte) []byte { return nil })
		}, ErrDamaged, ManifestFile},
		"manifest cut": {func(f *folder, _, _ string) {
			f.rewrite(ManifestFile, func(b []byte) []byte { return b[:len(b)-1] })
		}, ErrDamaged, ManifestFile},
		"manifest with a space more": {func(f *folder, _, _ string) {
			f.rewrite(ManifestFile, func(b []byte) []byte { return append(b, ' ') })
		}, ErrDamaged, ManifestFile},
		"manifest edited by hand": {func(f *folder, _, _ string) {
			f.rewrite(ManifestFile, func(b []byte) []byte { return bytes.Replace(b, []byte(`"2026-`), []byte(`"2027-`), 1) })
		}, ErrDamaged, "checksum"},
		"state changed": {func(f *folder, _, _ string) {
			f.rewrite(ManifestFile, func(b []byte) []byte {
				return forge(t, b, func(m *manifest) {
					m.Keys[0].State, m.Keys[0].Active, m.Keys[0].Retired = Published, time.Time{}, time.Time{}
				})
			})
		}, ErrTampered, ManifestFile},
		"public key exchanged": {func(f *folder, _, _ string) {
			f.rewrite(ManifestFile, func(b []byte) []byte {
				return forge(t, b, func(m *manifest) {
					m.Keys[0].ID, m.Keys[1].ID = m.Keys[1].ID, m.Keys[0].ID
					m.Keys[0].Public, m.Keys[1].Public = m.Keys[1].Public, m.Keys[0].Public
				})
			})
		}, ErrTampered, ManifestFile},
		"key taken out": {func(f *folder, _, _ string) {
			f.rewrite(ManifestFile, func(b []byte) []byte { return forge(t, b, func(m *manifest) { m.Keys = m.Keys[:1] }) })
		}, ErrTampered, ManifestFile},
		"key derivation made cheap": {func(f *folder, _, _ string) {
			f.rewrite(ManifestFile, func(b []byte) []byte { return forge(t, b, func(m *manifest) { m.KDF.Passes = 2 }) })
		}, ErrPassphrase, ManifestFile},
		"key derivation made endless": {func(f *folder, _, _ string) {
			f.rewrite(ManifestFile, func(b []byte) []byte { return forge(t, b, func(m *manifest) { m.KDF.Passes = maxKDFPasses + 1 }) })
		}, ErrDamaged, "argon2id"},
		"two active keys": {func(f *folder, _, _ string) {
			f.rewrite(ManifestFile, func(b []byte) []byte {
				return forge(t, b, func(m *manifest) { m.Keys[0].State, m.Keys[0].Retired = Active, time.Time{} })
			})
		}, ErrDamaged, "active keys"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFolder(t)
			r := f.open()
			retired := in(t, r, f.clock, Active)
			active := in(t, r, f.clock, Active)
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			c.spoil(f, active.ID, retired.ID)
			before := f.contents()
			_, err := f.tryOpen()
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v; want %v about %s", err, c.want, c.says)
			}
			if after := f.contents(); after != before {
				t.Error("a refused folder was changed")
			}
		})
	}
}

// contents is everything in the folder.
func (f *folder) contents() string {
	f.tb.Helper()
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		f.tb.Fatal(err)
	}
	var all strings.Builder
	for _, e := range entries {
		data, err := os.ReadFile(f.path(e.Name()))
		if err != nil {
			f.tb.Fatal(err)
		}
		all.WriteString(e.Name() + "\x00" + string(data) + "\x00")
	}
	return all.String()
}

func TestFilesHoldNothingPrivateInTheClear(t *testing.T) {
	f := newFolder(t)
	r := f.open()
	key := in(t, r, f.clock, Active)
	der, err := privateNumber(r, key.ID)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(f.contents(), string(der)) || strings.Contains(f.contents(), string(f.config.Passphrase)) {
		t.Error("a private key or the passphrase is in the folder")
	}
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", e.Name(), info.Mode(), err)
		}
	}
}

// privateNumber is the private number of a P-256 key.
func privateNumber(r *Ring, kid string) ([]byte, error) {
	e, err := r.current.Load().entry(kid)
	if err != nil {
		return nil, err
	}
	return e.private.signer.(interface{ Bytes() ([]byte, error) }).Bytes()
}

// The states that a crash leaves, made by hand; TestRingSurvivesKill9 makes
// them by chance.
func TestOpenFinishesWhatACrashInterrupted(t *testing.T) {
	f := newFolder(t)
	r := f.open()
	key := in(t, r, f.clock, Retired)
	active := in(t, r, f.clock, Active)
	file, err := os.ReadFile(f.path(key.ID + keyFileSuffix))
	if err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(f.path(ManifestFile))
	if err != nil {
		t.Fatal(err)
	}
	orphan := in(t, r, f.clock, Created)
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}

	// Between the key file and the manifest, and in the middle of a write.
	f.rewrite(ManifestFile, func([]byte) []byte { return old })
	f.rewrite(".new-123", func([]byte) []byte { return []byte("ONEW") })
	r = f.open()
	if got := find(r, orphan.ID); got.ID != "" || len(r.List()) != 2 {
		t.Errorf("a key that the manifest does not know: %+v", got)
	}
	if _, err := os.Stat(f.path(orphan.ID + keyFileSuffix)); err != nil {
		t.Errorf("its file was touched: %v", err)
	}
	if _, err := os.Stat(f.path(".new-123")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an unfinished file is still there: %v", err)
	}
	if _, err := r.RequestDestroy(t.Context(), key.ID, "li"); err != nil {
		t.Fatal(err)
	}

	// Between the destroyed key in the manifest and the removal of its file.
	crashed := append([]entry(nil), r.current.Load().keys...)
	for i := range crashed {
		if e := &crashed[i]; e.ID == key.ID {
			e.State, e.Destroyed, e.Remnant, e.DestroyRequestedBy = Destroyed, f.clock.now(), true, ""
			e.DestroyRequested = time.Time{}
		}
	}
	if err := errors.Join(r.commit(crashed), r.Close()); err != nil {
		t.Fatal(err)
	}
	f.rewrite(key.ID+keyFileSuffix, func([]byte) []byte { return file })
	r = f.open()
	if _, err := os.Stat(f.path(key.ID + keyFileSuffix)); !errors.Is(err, os.ErrNotExist) || find(r, key.ID).State != Destroyed {
		t.Errorf("the destroyed key's file is still there: %v", err)
	}
	if got, err := r.Active("l"); err != nil || got.ID != active.ID {
		t.Errorf("active %s, %v", got.ID, err)
	}
	if e, err := r.current.Load().entry(key.ID); err != nil || e.Remnant {
		t.Errorf("the removal is not noted: %v", err)
	}

	// A backup that brings the file back.
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	f.rewrite(key.ID+keyFileSuffix, func([]byte) []byte { return file })
	f.open()
	if _, err := os.Stat(f.path(key.ID + keyFileSuffix)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the destroyed key's file came back: %v", err)
	}
}

func TestSealedKeyFilesOpen(t *testing.T) {
	p := quickKDF()
	p.Salt = make([]byte, saltSize)
	v, err := newVault([]byte("correct horse"), p)
	if err != nil {
		t.Fatal(err)
	}
	for _, algorithm := range []string{signing.ES256, signing.ES384, signing.EdDSA, signing.SM2SM3} {
		private, err := generate(algorithm)
		if err != nil {
			t.Fatal(err)
		}
		kid, err := signing.Thumbprint(private.Public())
		if err != nil {
			t.Fatal(err)
		}
		file, err := v.seal(kid, private)
		if err != nil {
			t.Fatal(err)
		}
		opened, err := v.open(kid, file)
		if err != nil || !opened.(interface{ Equal(crypto.PrivateKey) bool }).Equal(private) {
			t.Errorf("%s: %v", algorithm, err)
		}
		for i := range file {
			changed := bytes.Clone(file)
			changed[i] ^= 0x10
			if _, err := v.open(kid, changed); !errors.Is(err, ErrDamaged) {
				t.Fatalf("%s: byte %d changed: %v", algorithm, i, err)
			}
		}
	}
	if _, err := generate("RS256"); !errors.Is(err, ErrInvalid) {
		t.Error(err)
	}
}
