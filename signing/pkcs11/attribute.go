package pkcs11

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"structs"
	"unsafe"
)

// maxAttribute bounds an attribute that is read, in bytes: the longest one used
// here is the point of P-384 with 99.
const maxAttribute = 1024

// Kinds of attributes (PKCS #11 v2.40 §4) and their values.
const (
	attributeClass       = 0x000
	attributeToken       = 0x001
	attributePrivate     = 0x002
	attributeLabel       = 0x003
	attributeKeyType     = 0x100
	attributeID          = 0x102
	attributeSensitive   = 0x103
	attributeDecrypt     = 0x105
	attributeUnwrap      = 0x107
	attributeSign        = 0x108
	attributeVerify      = 0x10a
	attributeDerive      = 0x10c
	attributeExtractable = 0x162
	attributeECParams    = 0x180
	attributeECPoint     = 0x181

	classPublicKey  = 2
	classPrivateKey = 3
)

// attribute is CK_ATTRIBUTE.
type attribute struct {
	_      structs.HostLayout
	kind   uintptr
	value  unsafe.Pointer
	length uintptr
}

// template is an array of CK_ATTRIBUTE with its values, which stay where they
// are until release. It is not empty.
type template struct {
	attributes []attribute
	pinner     runtime.Pinner
}

// add appends an attribute; value is not empty.
func (t *template) add(kind uintptr, value []byte) *template {
	t.pinner.Pin(&value[0])
	address := unsafe.Pointer(&value[0]) //nolint:gosec // CK_ATTRIBUTE holds a void *
	t.attributes = append(t.attributes, attribute{kind: kind, value: address, length: uintptr(len(value))})
	return t
}

func (t *template) addBool(kind uintptr, value bool) *template {
	b := []byte{0}
	if value {
		b[0] = 1
	}
	return t.add(kind, b)
}

func (t *template) addNumber(kind, value uintptr) *template {
	return t.add(kind, binary.NativeEndian.AppendUint64(nil, uint64(value)))
}

func (t *template) first() *attribute { return &t.attributes[0] }
func (t *template) count() uintptr    { return uintptr(len(t.attributes)) }
func (t *template) release()          { t.pinner.Unpin() }

// attribute reads one attribute of an object.
func (m *module) attribute(session, object, kind uintptr) ([]byte, error) {
	value := make([]byte, maxAttribute)
	var t template
	t.add(kind, value)
	defer t.release()
	if err := check("C_GetAttributeValue", m.attributes(session, object, t.first(), t.count())); err != nil {
		return nil, err
	}
	length := t.attributes[0].length
	if length > maxAttribute { // CK_UNAVAILABLE_INFORMATION is the largest number
		return nil, fmt.Errorf("%w: attribute 0x%x is not available", ErrDevice, kind)
	}
	return value[:length], nil
}

// flag reads a CK_BBOOL of an object.
func (m *module) flag(session, object, kind uintptr) (bool, error) {
	value, err := m.attribute(session, object, kind)
	if err != nil {
		return false, err
	}
	if len(value) != 1 || value[0] > 1 {
		return false, fmt.Errorf("%w: attribute 0x%x is not a truth value", ErrDevice, kind)
	}
	return value[0] == 1, nil
}
