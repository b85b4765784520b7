package tsa

import (
	"encoding/asn1"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	der "golang.org/x/crypto/cryptobyte/asn1"
)

// imprint is MessageImprint (RFC 3161 §2.4.1): which data is meant.
type imprint struct {
	hash   Hash
	digest []byte
}

func readImprint(in *cryptobyte.String) (imprint, error) {
	var seq, digest cryptobyte.String
	if !in.ReadASN1(&seq, der.SEQUENCE) {
		return imprint{}, malformed("messageImprint")
	}
	h, err := readHash(&seq, "messageImprint.hashAlgorithm")
	if err != nil {
		return imprint{}, err
	}
	if !seq.ReadASN1(&digest, der.OCTET_STRING) || !seq.Empty() || len(digest) != h.state().Size() {
		return imprint{}, malformed("messageImprint.hashedMessage")
	}
	return imprint{h, digest}, nil
}

func (i imprint) add(b *cryptobyte.Builder) {
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		addAlgorithm(b, i.hash.oid())
		b.AddASN1OctetString(i.digest)
	})
}

// request is TimeStampReq (RFC 3161 §2.4.1).
type request struct {
	imprint    imprint
	policy     asn1.ObjectIdentifier // nil: any
	nonce      []byte                // content of the INTEGER; nil: none
	certReq    bool
	extensions bool
}

// parseRequest reads TimeStampReq:
//
//	SEQUENCE { version 1, messageImprint, reqPolicy OID?, nonce INTEGER?,
//	  certReq BOOLEAN DEFAULT FALSE, extensions [0] IMPLICIT? }
//
// Errors are rejections, with the reason that the reply gives.
func parseRequest(data []byte) (request, error) {
	var r request
	seq, ok := readWhole(data, der.SEQUENCE, MaxRequest)
	if !ok {
		return r, reject(badDataFormat, "not one DER sequence of at most %d bytes", MaxRequest)
	}
	if !readVersion(&seq, 1) {
		return r, reject(badRequest, "version is not 1")
	}
	var err error
	if r.imprint, err = readImprint(&seq); err != nil {
		return r, rejectFor(err)
	}
	if seq.PeekASN1Tag(der.OBJECT_IDENTIFIER) && !seq.ReadASN1ObjectIdentifier(&r.policy) {
		return r, reject(badDataFormat, "reqPolicy")
	}
	if seq.PeekASN1Tag(der.INTEGER) {
		if r.nonce, ok = readInteger(&seq, maxInteger); !ok {
			return r, reject(badDataFormat, "nonce; the limit is %d octets", maxInteger)
		}
	}
	if r.certReq, ok = readDefaultFalse(&seq); !ok {
		return r, reject(badDataFormat, "certReq")
	}
	if !seq.ReadOptionalASN1(new(cryptobyte.String), &r.extensions, contextSet(0)) || !seq.Empty() {
		return r, reject(badDataFormat, "extensions, or a member after them")
	}
	return r, nil
}

func (r request) encode() ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		r.imprint.add(b)
		if r.policy != nil {
			b.AddASN1ObjectIdentifier(r.policy)
		}
		addNonce(b, r.nonce)
		if r.certReq {
			b.AddASN1Boolean(true)
		}
	})
	return b.Bytes()
}

func addNonce(b *cryptobyte.Builder, nonce []byte) {
	if nonce != nil {
		b.AddASN1(der.INTEGER, func(b *cryptobyte.Builder) { b.AddBytes(nonce) })
	}
}

// failure is a bit of PKIFailureInfo (RFC 3161 §2.4.2).
type failure int

const (
	badAlg              failure = 0
	badRequest          failure = 2
	badDataFormat       failure = 5
	timeNotAvailable    failure = 14
	unacceptedPolicy    failure = 15
	unacceptedExtension failure = 16
	addInfoNotAvailable failure = 17
	systemFailure       failure = 25
)

func failures() map[failure]string {
	return map[failure]string{
		badAlg: "badAlg", badRequest: "badRequest", badDataFormat: "badDataFormat",
		timeNotAvailable: "timeNotAvailable", unacceptedPolicy: "unacceptedPolicy",
		unacceptedExtension: "unacceptedExtension", addInfoNotAvailable: "addInfoNotAvailable",
		systemFailure: "systemFailure",
	}
}

// rejection is why a request gets no token.
type rejection struct {
	failure failure
	text    string
}

func (r *rejection) Error() string { return failures()[r.failure] + ": " + r.text }

func reject(f failure, format string, args ...any) error {
	return &rejection{f, fmt.Sprintf(format, args...)}
}

// PKIStatus (RFC 3161 §2.4.2).
const (
	statusGranted         = 0
	statusGrantedWithMods = 1
	statusRejection       = 2
	statusMost            = 5
)

// encodeReply writes TimeStampResp: the token if why is nil, else the reason.
func encodeReply(token []byte, why *rejection) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
			if why == nil {
				b.AddASN1Int64(statusGranted)
				return
			}
			b.AddASN1Int64(statusRejection)
			b.AddASN1(der.SEQUENCE, func(b *cryptobyte.Builder) {
				b.AddASN1(der.UTF8String, func(b *cryptobyte.Builder) { b.AddBytes([]byte(why.text)) })
			})
			// A bit string with named bits has no zero bits at its end.
			bits := make([]byte, why.failure/8+1)
			bits[why.failure/8] = 0x80 >> (why.failure % 8)
			b.AddASN1(der.BIT_STRING, func(b *cryptobyte.Builder) {
				b.AddUint8(uint8(7 - why.failure%8))
				b.AddBytes(bits)
			})
		})
		b.AddBytes(token)
	})
	return b.Bytes()
}

// parseReply reads TimeStampResp and returns the token, or ErrRejected with the
// authority's reasons:
//
//	SEQUENCE { SEQUENCE { status INTEGER, statusString SEQUENCE OF UTF8String?,
//	  failInfo BIT STRING? }, timeStampToken? }
func parseReply(data []byte) (token []byte, err error) {
	seq, ok := readWhole(data, der.SEQUENCE, MaxReply)
	var info, texts cryptobyte.String
	var status int64
	if !ok || !seq.ReadASN1(&info, der.SEQUENCE) || !info.ReadASN1Int64WithTag(&status, der.INTEGER) || status < 0 || status > statusMost {
		return nil, malformed("reply: status")
	}
	hasTexts, hasFailure := false, false
	if !info.ReadOptionalASN1(&texts, &hasTexts, der.SEQUENCE) || hasTexts && texts.Empty() {
		return nil, malformed("reply: statusString")
	}
	var reasons []string
	for !texts.Empty() {
		var text cryptobyte.String
		if !texts.ReadASN1(&text, der.UTF8String) || len(reasons) == maxMembers {
			return nil, malformed("reply: statusString")
		}
		reasons = append(reasons, fmt.Sprintf("%.200q", text))
	}
	var bits asn1.BitString
	if hasFailure = info.PeekASN1Tag(der.BIT_STRING); hasFailure && !info.ReadASN1BitString(&bits) || !info.Empty() {
		return nil, malformed("reply: failInfo")
	}
	if status != statusGranted && status != statusGrantedWithMods {
		if !seq.Empty() {
			return nil, malformed("reply: a token beside status %d", status)
		}
		return nil, fmt.Errorf("%w: status %d %v %q", ErrRejected, status, failureNames(bits), reasons)
	}
	token = seq
	if hasFailure || len(token) == 0 {
		return nil, malformed("reply: granted without a token, or with a failure")
	}
	return token, nil
}

func failureNames(bits asn1.BitString) []string {
	var names []string
	for bit := range min(bits.BitLength, 64) {
		if bits.At(bit) == 0 {
			continue
		}
		name, known := failures()[failure(bit)]
		if !known {
			name = fmt.Sprintf("bit %d", bit)
		}
		names = append(names, name)
	}
	return names
}

// rejectFor turns a fault of the imprint into its rejection.
func rejectFor(err error) error {
	if errors.Is(err, ErrAlgorithm) {
		return reject(badAlg, "%v", err)
	}
	return reject(badDataFormat, "%v", err)
}
