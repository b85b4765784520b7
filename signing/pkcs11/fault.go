package pkcs11

import (
	"errors"
	"fmt"
	"slices"
)

// The return codes (CK_RV) that this package tells apart, PKCS #11 v2.40 §5.1.
const (
	ckrSlotIDInvalid        = 0x03
	ckrGeneralError         = 0x05
	ckrFunctionFailed       = 0x06
	ckrAttributeSensitive   = 0x11
	ckrAttributeInvalid     = 0x13
	ckrDeviceError          = 0x30
	ckrDeviceMemory         = 0x31
	ckrDeviceRemoved        = 0x32
	ckrKeyHandleInvalid     = 0x60
	ckrKeyTypeInconsistent  = 0x63
	ckrKeyNotPermitted      = 0x68
	ckrMechanismInvalid     = 0x70
	ckrObjectHandleInvalid  = 0x82
	ckrPINIncorrect         = 0xa0
	ckrPINInvalid           = 0xa1
	ckrPINLenRange          = 0xa2
	ckrPINExpired           = 0xa3
	ckrPINLocked            = 0xa4
	ckrSessionClosed        = 0xb0
	ckrSessionCount         = 0xb1
	ckrSessionHandleInvalid = 0xb3
	ckrTemplateInconsistent = 0xd1
	ckrTokenNotPresent      = 0xe0
	ckrTokenNotRecognized   = 0xe1
	ckrTokenWriteProtected  = 0xe2
	ckrAlreadyLoggedIn      = 0x100
	ckrNotLoggedIn          = 0x101
	ckrPINNotInitialized    = 0x102
	ckrDomainParamsInvalid  = 0x130
	ckrCurveNotSupported    = 0x140
	ckrBufferTooSmall       = 0x150
	ckrNotInitialized       = 0x190
	ckrAlreadyInitialized   = 0x191
)

// fault is a return code other than CKR_OK.
type fault struct {
	function string
	code     uintptr
}

// check turns the return code of a PKCS#11 function into an error.
func check(function string, code uintptr) error {
	if code == 0 {
		return nil
	}
	return &fault{function: function, code: code}
}

// Error names the function and the code, so that the vendor's manual helps.
func (f *fault) Error() string {
	name, ok := codeNames[f.code]
	if !ok {
		name = "a rare or vendor's code"
	}
	return fmt.Sprintf("%v: %s returned %s (0x%x)", f.Unwrap(), f.function, name, f.code)
}

// Unwrap sorts the code under one of the sentinels.
func (f *fault) Unwrap() error {
	switch f.code {
	case ckrPINIncorrect, ckrPINInvalid, ckrPINLenRange, ckrPINExpired, ckrPINNotInitialized:
		return ErrPIN
	case ckrPINLocked:
		return ErrPINLocked
	case ckrMechanismInvalid, ckrDomainParamsInvalid, ckrCurveNotSupported:
		return ErrAlgorithm
	case ckrSlotIDInvalid, ckrDeviceRemoved, ckrSessionClosed, ckrSessionHandleInvalid, ckrTokenNotPresent,
		ckrTokenNotRecognized, ckrNotLoggedIn, ckrNotInitialized:
		return ErrToken
	default:
		return ErrDevice
	}
}

// returned reports whether err is one of these return codes.
func returned(err error, codes ...uintptr) bool {
	var f *fault
	if !errors.As(err, &f) {
		return false
	}
	return slices.Contains(codes, f.code)
}

// connectionLost reports whether a new login may help. CKR_DEVICE_ERROR is in
// the list because network HSMs return it when their connection broke.
func connectionLost(err error) bool {
	return returned(err, ckrSlotIDInvalid, ckrDeviceError, ckrDeviceRemoved, ckrSessionClosed, ckrSessionHandleInvalid,
		ckrTokenNotPresent, ckrTokenNotRecognized, ckrNotLoggedIn, ckrNotInitialized)
}

// codeNames is for people who read messages; it is never written to.
var codeNames = map[uintptr]string{ //nolint:gosec // names of codes, not PINs
	ckrSlotIDInvalid:        "CKR_SLOT_ID_INVALID",
	ckrGeneralError:         "CKR_GENERAL_ERROR",
	ckrFunctionFailed:       "CKR_FUNCTION_FAILED",
	ckrAttributeSensitive:   "CKR_ATTRIBUTE_SENSITIVE",
	ckrAttributeInvalid:     "CKR_ATTRIBUTE_VALUE_INVALID",
	ckrDeviceError:          "CKR_DEVICE_ERROR",
	ckrDeviceMemory:         "CKR_DEVICE_MEMORY",
	ckrDeviceRemoved:        "CKR_DEVICE_REMOVED",
	ckrKeyHandleInvalid:     "CKR_KEY_HANDLE_INVALID",
	ckrKeyTypeInconsistent:  "CKR_KEY_TYPE_INCONSISTENT",
	ckrKeyNotPermitted:      "CKR_KEY_FUNCTION_NOT_PERMITTED",
	ckrMechanismInvalid:     "CKR_MECHANISM_INVALID",
	ckrObjectHandleInvalid:  "CKR_OBJECT_HANDLE_INVALID",
	ckrPINIncorrect:         "CKR_PIN_INCORRECT",
	ckrPINInvalid:           "CKR_PIN_INVALID",
	ckrPINLenRange:          "CKR_PIN_LEN_RANGE",
	ckrPINExpired:           "CKR_PIN_EXPIRED",
	ckrPINLocked:            "CKR_PIN_LOCKED",
	ckrSessionClosed:        "CKR_SESSION_CLOSED",
	ckrSessionCount:         "CKR_SESSION_COUNT",
	ckrSessionHandleInvalid: "CKR_SESSION_HANDLE_INVALID",
	ckrTemplateInconsistent: "CKR_TEMPLATE_INCONSISTENT",
	ckrTokenNotPresent:      "CKR_TOKEN_NOT_PRESENT",
	ckrTokenNotRecognized:   "CKR_TOKEN_NOT_RECOGNIZED",
	ckrTokenWriteProtected:  "CKR_TOKEN_WRITE_PROTECTED",
	ckrAlreadyLoggedIn:      "CKR_USER_ALREADY_LOGGED_IN",
	ckrNotLoggedIn:          "CKR_USER_NOT_LOGGED_IN",
	ckrPINNotInitialized:    "CKR_USER_PIN_NOT_INITIALIZED",
	ckrDomainParamsInvalid:  "CKR_DOMAIN_PARAMS_INVALID",
	ckrCurveNotSupported:    "CKR_CURVE_NOT_SUPPORTED",
	ckrBufferTooSmall:       "CKR_BUFFER_TOO_SMALL",
	ckrNotInitialized:       "CKR_CRYPTOKI_NOT_INITIALIZED",
	ckrAlreadyInitialized:   "CKR_CRYPTOKI_ALREADY_INITIALIZED",
}
