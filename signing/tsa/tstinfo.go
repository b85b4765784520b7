package tsa

import (
	"encoding/asn1"
	"errors"
	"math/big"
	"time"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

// stampInfo is TSTInfo (RFC 3161 §2.4.2), what an authority signs.
type stampInfo struct {
	policy   asn1.ObjectIdentifier
	imprint  imprint
	serial   *big.Int
	time     time.Time
	accuracy time.Duration
	ordering bool
	nonce    []byte // content of the INTEGER; nil: none
	tsa      []byte // GeneralName; nil: none
}

// parseStampInfo reads TSTInfo:
//
//	SEQUENCE { version 1, policy OID, messageImprint, serialNumber INTEGER,
//	  genTime GeneralizedTime, accuracy?, ordering BOOLEAN DEFAULT FALSE,
//	  nonce INTEGER?, tsa [0] GeneralName?, extensions [1] IMPLICIT? }
func parseStampInfo(data []byte) (stampInfo, error) {
	var t stampInfo
	seq, ok := readWhole(data, der.SEQUENCE, MaxToken)
	if !ok || !readVersion(&seq, 1) {
		return t, malformed("TSTInfo: version")
	}
	if !seq.ReadASN1ObjectIdentifier(&t.policy) {
		return t, malformed("TSTInfo: policy")
	}
	var err error
	if t.imprint, err = readImprint(&seq); err != nil {
		return t, err
	}
	serial, ok := readInteger(&seq, maxSerial)
	if !ok || serial[0]&0x80 != 0 || len(serial) == maxSerial && serial[0] != 0 {
		return t, malformed("TSTInfo: serialNumber")
	}
	t.serial = new(big.Int).SetBytes(serial)
	if t.time, ok = readTime(&seq); !ok {
		return t, malformed("TSTInfo: genTime")
	}
	if seq.PeekASN1Tag(der.SEQUENCE) {
		if t.accuracy, ok = readAccuracy(&seq); !ok {
			return t, malformed("TSTInfo: accuracy")
		}
	}
	if t.ordering, ok = readDefaultFalse(&seq); !ok {
		return t, malformed("TSTInfo: ordering")
	}
	if seq.PeekASN1Tag(der.INTEGER) {
		if t.nonce, ok = readInteger(&seq, maxInteger); !ok {
			return t, malformed("TSTInfo: nonce")
		}
	}
	return t, t.parseEnd(seq)
}

// parseEnd reads what may follow the nonce.
func (t *stampInfo) parseEnd(seq cryptobyte.String) error {
	var name, extensions cryptobyte.String
	var hasName, hasExtensions bool
	if !seq.ReadOptionalASN1(&name, &hasName, contextSet(0)) {
		return malformed("TSTInfo: tsa")
	}
	if hasName {
		var tag der.Tag
		whole := name
		if !name.ReadAnyASN1(new(cryptobyte.String), &tag) || !name.Empty() {
			return malformed("TSTInfo: tsa")
		}
		t.tsa = whole
	}
	if !seq.ReadOptionalASN1(&extensions, &hasExtensions, contextSet(1)) || !seq.Empty() {
		return malformed("TSTInfo: extensions, or a member after them")
	}
	if hasExtensions {
		return readExtensions(extensions)
	}
	return nil
}

// readAccuracy reads Accuracy: SEQUENCE { seconds?, millis [0]?, micros [1]? }.
func readAccuracy(in *cryptobyte.String) (time.Duration, bool) {
	var seq cryptobyte.String
	if !in.ReadASN1(&seq, der.SEQUENCE) {
		return 0, false
	}
	var accuracy time.Duration
	for _, part := range []struct {
		tag   der.Tag
		unit  time.Duration
		least int64
		most  int64
	}{
		{der.INTEGER, time.Second, 0, 1 << 31},
		{contextTag(0), time.Millisecond, 1, 999},
		{contextTag(1), time.Microsecond, 1, 999},
	} {
		if !seq.PeekASN1Tag(part.tag) {
			continue
		}
		var n int64
		if !seq.ReadASN1Int64WithTag(&n, part.tag) || n < part.least || n > part.most {
			return 0, false
		}
		accuracy += time.Duration(n) * part.unit
	}
	return accuracy, seq.Empty()
}

func addAccuracy(b *cryptobyte.Builder, accuracy time.Duration) {
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		for _, part := range []struct {
			tag der.Tag
			n   time.Duration
		}{
			{der.INTEGER, accuracy / time.Second},
			{contextTag(0), accuracy % time.Second / time.Millisecond},
			{contextTag(1), accuracy % time.Millisecond / time.Microsecond},
		} {
			if part.n > 0 {
				b.AddASN1Int64WithTag(int64(part.n), part.tag)
			}
		}
	})
}

// encode writes TSTInfo with genTime in whole seconds.
func (t stampInfo) encode() ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		b.AddASN1ObjectIdentifier(t.policy)
		t.imprint.add(b)
		b.AddASN1BigInt(t.serial)
		b.AddASN1GeneralizedTime(t.time.UTC())
		if t.accuracy > 0 {
			addAccuracy(b, t.accuracy)
		}
		addNonce(b, t.nonce)
	})
	data, err := b.Bytes()
	if err != nil {
		return nil, errors.Join(ErrConfig, err)
	}
	return data, nil
}
