package keys

import (
	"bytes"
	"crypto"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/emmansun/gmsm/smx509"

	"github.com/onewindow/onewindow/signing"
)

// ManifestFile is the name of the manifest in the folder of a ring.
const ManifestFile = "ring.json"

const (
	manifestVersion = 2
	maxManifest     = 32 << 20
	maxLineName     = 64
	maxCertificate  = 16 << 10
	tokenIDSize     = 16
	// indent makes the manifest readable for whoever restores a backup.
	indent = "  "
)

// manifest is ring.json: everything about the keys but their private parts.
type manifest struct {
	Version int `json:"version"`
	KDF     kdf `json:"kdf"`
	// Check is a keyed digest of KDF: it tells a wrong passphrase from a
	// manifest that was changed without it.
	Check string  `json:"check"`
	Keys  []entry `json:"keys"`
	// Sum is the SHA-256 of the manifest with Sum and MAC empty: it tells
	// damage from a change. MAC is the keyed digest of the same bytes.
	Sum string `json:"sum"`
	MAC string `json:"mac"`
}

// entry is one key: what the manifest holds of it and, for a key that may
// sign, its private part.
type entry struct {
	ID                 string    `json:"id"`
	Line               string    `json:"line"`
	Algorithm          string    `json:"algorithm"`
	Token              string    `json:"token,omitempty"`
	TokenID            []byte    `json:"token_id,omitempty"`
	State              State     `json:"state"`
	Public             []byte    `json:"public"` // SubjectPublicKeyInfo
	Chain              [][]byte  `json:"chain,omitempty"`
	Created            time.Time `json:"created"`
	Published          time.Time `json:"published,omitzero"`
	Active             time.Time `json:"active,omitzero"`
	Retired            time.Time `json:"retired,omitzero"`
	Destroyed          time.Time `json:"destroyed,omitzero"`
	DestroyRequested   time.Time `json:"destroy_requested,omitzero"`
	DestroyRequestedBy string    `json:"destroy_requested_by,omitempty"`
	// Remnant says that the private part of a destroyed key may still be
	// there, because the program ended or failed before it was removed.
	Remnant bool `json:"remnant,omitempty"`

	public  crypto.PublicKey
	private *private // nil unless created, published or active.
}

// encodeManifest writes the keys under the vault's authentication.
func encodeManifest(v *vault, keys []entry) ([]byte, error) {
	check, err := checkValue(v)
	if err != nil {
		return nil, err
	}
	m := manifest{Version: manifestVersion, KDF: v.kdf, Check: check, Keys: keys}
	body, err := m.encode()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	m.Sum, m.MAC = hex.EncodeToString(sum[:]), hex.EncodeToString(v.authenticate("manifest", body))
	data, err := m.encode()
	if err == nil && len(data) > maxManifest {
		err = fmt.Errorf("%w: the manifest would have %d bytes, limit %d", ErrInvalid, len(data), maxManifest)
	}
	return data, err
}

func (m manifest) encode() ([]byte, error) {
	if m.Keys == nil {
		m.Keys = []entry{}
	}
	data, err := json.MarshalIndent(m, "", indent)
	if err != nil {
		return nil, fmt.Errorf("encode manifest: %w", err)
	}
	return append(data, '\n'), nil
}

func checkValue(v *vault) (string, error) {
	params, err := json.Marshal(v.kdf)
	if err != nil {
		return "", fmt.Errorf("encode manifest: %w", err)
	}
	return hex.EncodeToString(v.authenticate("check", params)), nil
}

// decodeManifest checks everything that needs no passphrase: that the bytes
// are exactly what encode gives, whole, and that the keys and their states
// fit together.
func decodeManifest(data []byte) (manifest, error) {
	var m manifest
	if err := json.Unmarshal(data, &m); err != nil {
		return manifest{}, fmt.Errorf("%w: not a manifest: %w", ErrDamaged, err)
	}
	if m.Version != manifestVersion {
		return manifest{}, fmt.Errorf("%w: version %d, this program reads %d", ErrDamaged, m.Version, manifestVersion)
	}
	again, err := m.encode()
	if err != nil || !bytes.Equal(again, data) {
		return manifest{}, errors.Join(fmt.Errorf("%w: not in the form it was written; restore it from a backup", ErrDamaged), err)
	}
	body, err := m.unsigned()
	if err != nil {
		return manifest{}, err
	}
	if sum := sha256.Sum256(body); hex.EncodeToString(sum[:]) != m.Sum {
		return manifest{}, fmt.Errorf("%w: checksum differs; restore it from a backup", ErrDamaged)
	}
	if err := m.KDF.validate(); err != nil {
		return manifest{}, err
	}
	return m, m.validate()
}

// unsigned is what Sum and MAC are made of.
func (m manifest) unsigned() ([]byte, error) {
	m.Sum, m.MAC = "", ""
	return m.encode()
}

// verify says whether the vault's passphrase is the manifest's, and whether it
// was written with it.
func (m manifest) verify(v *vault) error {
	check, err := checkValue(v)
	if err != nil {
		return err
	}
	if !hmac.Equal([]byte(check), []byte(m.Check)) {
		return ErrPassphrase
	}
	body, err := m.unsigned()
	if err != nil {
		return err
	}
	if !hmac.Equal([]byte(hex.EncodeToString(v.authenticate("manifest", body))), []byte(m.MAC)) {
		return fmt.Errorf("%w: a state, key or certificate is not what this program wrote; restore it from a backup and find out who had access", ErrTampered)
	}
	return nil
}

// validate checks the keys and fills in their public parts.
func (m manifest) validate() error {
	ids := map[string]bool{}
	algorithms, active := map[string]string{}, map[string]string{}
	for i := range m.Keys {
		e := &m.Keys[i]
		if err := e.validate(); err != nil {
			return fmt.Errorf("%w: key %d: %w", ErrDamaged, i+1, err)
		}
		if ids[e.ID] {
			return fmt.Errorf("%w: key %s is there twice", ErrDamaged, e.ID)
		}
		ids[e.ID] = true
		if other, ok := algorithms[e.Line]; ok && other != e.Algorithm {
			return fmt.Errorf("%w: line %s has the algorithms %s and %s", ErrDamaged, e.Line, other, e.Algorithm)
		}
		algorithms[e.Line] = e.Algorithm
		if e.State == Active {
			if other, ok := active[e.Line]; ok {
				return fmt.Errorf("%w: line %s has the active keys %s and %s", ErrDamaged, e.Line, other, e.ID)
			}
			active[e.Line] = e.ID
		}
	}
	return nil
}

func (e *entry) validate() error {
	if err := validLine(e.Line); err != nil {
		return err
	}
	public, err := smx509.ParsePKIXPublicKey(e.Public)
	if err != nil {
		return fmt.Errorf("public key: %w", err)
	}
	again, err := smx509.MarshalPKIXPublicKey(public)
	if err != nil || !bytes.Equal(again, e.Public) {
		return errors.Join(errors.New("public key is not encoded as it was written"), err)
	}
	if algorithm, err := signing.AlgorithmOf(public); err != nil || algorithm != e.Algorithm {
		return errors.Join(fmt.Errorf("algorithm %.40q is not the public key's", e.Algorithm), err)
	}
	if kid, err := signing.Thumbprint(public); err != nil || kid != e.ID {
		return errors.Join(fmt.Errorf("id %.64q is not the public key's", e.ID), err)
	}
	if (e.Token == "") != (len(e.TokenID) == 0) || e.Token != "" && len(e.TokenID) != tokenIDSize {
		return errors.New("token name and id do not fit together")
	}
	if len(e.Chain) > signing.MaxChain {
		return fmt.Errorf("%d certificates, limit %d", len(e.Chain), signing.MaxChain)
	}
	e.public = public
	return e.validateState()
}

// validateState checks that the times are those that the way to the state
// leaves behind.
func (e *entry) validateState() error {
	known := !e.Published.IsZero()
	used := !e.Active.IsZero()
	retired := !e.Retired.IsZero()
	destroyed := !e.Destroyed.IsZero()
	var ok bool
	switch e.State {
	case Created:
		ok = !known && !used && !retired && !destroyed
	case Published:
		ok = known && !used && !retired && !destroyed
	case Active:
		ok = known && used && !retired && !destroyed
	case Retired:
		ok = retired && !destroyed && (known || !used)
	case Destroyed:
		ok = retired && destroyed && (known || !used)
	default:
		return fmt.Errorf("state %.40q is unknown", e.State)
	}
	requested := !e.DestroyRequested.IsZero()
	ok = ok && !e.Created.IsZero() && requested == (e.DestroyRequestedBy != "") && (!requested || e.State == Retired) &&
		(!e.Remnant || e.State == Destroyed)
	if !ok {
		return fmt.Errorf("its times do not fit its state %q", e.State)
	}
	return nil
}

func validLine(name string) error {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-/"
	if name == "" || len(name) > maxLineName || strings.Trim(name, allowed) != "" {
		return fmt.Errorf("%w: line %.80q; a line has 1 to %d letters, digits, - and /", ErrInvalid, name, maxLineName)
	}
	return nil
}
