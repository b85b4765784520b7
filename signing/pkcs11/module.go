package pkcs11

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"structs"
	"unsafe"

	"github.com/ebitengine/purego"
)

// The structures below are laid out for 64-bit longs and pointers (LP64); this
// does not compile elsewhere.
const _ = uint(unsafe.Sizeof(uintptr(0)) - 8)

// maxSlots bounds the memory that a library can ask for by its number of slots.
const maxSlots = 4096

// functionList is CK_FUNCTION_LIST: a version and the addresses of the
// functions of PKCS #11 v2.40 in the order of its §5.
type functionList struct {
	_         structs.HostLayout
	major     uint8
	minor     uint8
	_         [6]byte
	functions [68]uintptr
}

// initializeArgs is CK_C_INITIALIZE_ARGS. Without the four functions and with
// lockOS in flags the library locks with the system's own mutexes.
type initializeArgs struct {
	_        structs.HostLayout
	mutexes  [4]uintptr
	flags    uintptr
	reserved uintptr
}

const lockOS = 1 << 1 // CKF_OS_LOCKING_OK

// tokenInfo is CK_TOKEN_INFO. Texts are padded with blanks.
type tokenInfo struct {
	_            structs.HostLayout
	label        [32]byte
	manufacturer [32]byte
	model        [16]byte
	serial       [16]byte
	flags        uintptr
	maxSessions  uintptr
	_            [9]uintptr // other counts, sizes of PINs and memory
	_            [24]byte   // versions, clock, padding
}

const (
	flagUserPINFinalTry = 1 << 17 // CKF_USER_PIN_FINAL_TRY
	flagUserPINLocked   = 1 << 18 // CKF_USER_PIN_LOCKED
)

// sessionInfo is CK_SESSION_INFO.
type sessionInfo struct {
	_           structs.HostLayout
	slot        uintptr
	state       uintptr
	flags       uintptr
	deviceError uintptr
}

const (
	stateReadOnlyUser  = 1 // CKS_RO_USER_FUNCTIONS
	stateReadWriteUser = 3 // CKS_RW_USER_FUNCTIONS
)

const (
	sessionSerial    = 1 << 2 // CKF_SERIAL_SESSION, which v2.40 asks for always
	sessionReadWrite = 1 << 1 // CKF_RW_SESSION
)

// mechanism is CK_MECHANISM. No mechanism used here has a parameter.
type mechanism struct {
	_         structs.HostLayout
	kind      uintptr
	parameter unsafe.Pointer
	length    uintptr
}

// module is the part of a PKCS#11 library that this package uses. A CK_ULONG is
// a uintptr, a CK_RV is what each function returns. Every function may block,
// and may be called by many threads at once.
//
// Memory: pointers passed here escape to the heap, where nothing moves, and
// purego keeps them alive until the call returns. What such memory points to in
// its turn is pinned by template.
type module struct {
	initialize func(args *initializeArgs) uintptr

	slotList  func(withToken uint8, slots *uintptr, count *uintptr) uintptr
	tokenInfo func(slot uintptr, info *tokenInfo) uintptr

	openSession  func(slot, flags, application, notify uintptr, session *uintptr) uintptr
	closeSession func(session uintptr) uintptr
	sessionInfo  func(session uintptr, info *sessionInfo) uintptr
	login        func(session, user uintptr, pin *byte, length uintptr) uintptr

	findInit   func(session uintptr, attributes *attribute, count uintptr) uintptr
	find       func(session uintptr, objects *uintptr, maximum uintptr, count *uintptr) uintptr
	findFinal  func(session uintptr) uintptr
	attributes func(session, object uintptr, attributes *attribute, count uintptr) uintptr
	destroy    func(session, object uintptr) uintptr

	generate func(session uintptr, how *mechanism, public *attribute, publicCount uintptr,
		private *attribute, privateCount uintptr, publicKey, privateKey *uintptr) uintptr
	signInit func(session uintptr, how *mechanism, key uintptr) uintptr
	sign     func(session uintptr, data *byte, length uintptr, signature *byte, signatureLength *uintptr) uintptr
}

// symbol is where a function stands in functionList, and the field for it.
type symbol struct {
	index    int
	function any
}

// symbols lists the functions of m by name.
func (m *module) symbols() map[string]symbol {
	return map[string]symbol{
		"C_Initialize":        {0, &m.initialize},
		"C_GetSlotList":       {4, &m.slotList},
		"C_GetTokenInfo":      {6, &m.tokenInfo},
		"C_OpenSession":       {12, &m.openSession},
		"C_CloseSession":      {13, &m.closeSession},
		"C_GetSessionInfo":    {15, &m.sessionInfo},
		"C_Login":             {18, &m.login},
		"C_DestroyObject":     {22, &m.destroy},
		"C_GetAttributeValue": {24, &m.attributes},
		"C_FindObjectsInit":   {26, &m.findInit},
		"C_FindObjects":       {27, &m.find},
		"C_FindObjectsFinal":  {28, &m.findFinal},
		"C_SignInit":          {42, &m.signInit},
		"C_Sign":              {43, &m.sign},
		"C_GenerateKeyPair":   {59, &m.generate},
	}
}

// loadModule loads the library and reads its function list. The library stays
// loaded for the life of the process: its threads may run on.
func loadModule(path string) (*module, error) {
	// dlopen would look for a bare name in folders that others may write to.
	if !filepath.IsAbs(path) {
		return nil, fmt.Errorf("%w: %q is not an absolute path; name the file of the vendor's PKCS#11 library", ErrModule, path)
	}
	if info, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("%w: %w; install the vendor's PKCS#11 library or correct the path", ErrModule, err)
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s is not a file", ErrModule, path)
	}
	library, err := purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return nil, fmt.Errorf("%w: %s cannot be loaded: %w", ErrModule, path, err)
	}
	address, err := purego.Dlsym(library, "C_GetFunctionList")
	if err != nil {
		return nil, fmt.Errorf("%w: %s has no C_GetFunctionList; it is not a PKCS#11 library", ErrModule, path)
	}
	var getFunctionList func(list **functionList) uintptr
	purego.RegisterFunc(&getFunctionList, address)
	var list *functionList
	if err := check("C_GetFunctionList", getFunctionList(&list)); err != nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrModule, path, err)
	}
	if list == nil || list.major < 2 || list.major > 3 {
		return nil, fmt.Errorf("%w: %s has no function list of version 2 or 3", ErrModule, path)
	}
	m := &module{}
	for name, symbol := range m.symbols() {
		if list.functions[symbol.index] == 0 {
			return nil, fmt.Errorf("%w: %s has no %s", ErrModule, path, name)
		}
		purego.RegisterFunc(symbol.function, list.functions[symbol.index])
	}
	return m, nil
}

// start initialises the library, unless another part of the process has.
func (m *module) start() error {
	err := check("C_Initialize", m.initialize(&initializeArgs{flags: lockOS}))
	if err != nil && !returned(err, ckrAlreadyInitialized) {
		return fmt.Errorf("%w: %w", ErrModule, err)
	}
	return nil
}

// slot is a slot with a token in it, or with one that did not answer.
type slot struct {
	id   uintptr
	info tokenInfo
	err  error
}

func (s slot) label() string  { return strings.TrimRight(string(s.info.label[:]), " ") }
func (s slot) serial() string { return strings.TrimRight(string(s.info.serial[:]), " ") }

// slots lists the tokens that are plugged in.
func (m *module) slots() ([]slot, error) {
	var ids []uintptr
	for {
		// The first call, without a buffer, also makes the library look again.
		var count uintptr
		if err := check("C_GetSlotList", m.slotList(1, nil, &count)); err != nil {
			return nil, err
		}
		if count > maxSlots {
			return nil, fmt.Errorf("%w: C_GetSlotList says %d slots", ErrDevice, count)
		}
		if count == 0 {
			return nil, nil
		}
		ids = make([]uintptr, count)
		err := check("C_GetSlotList", m.slotList(1, &ids[0], &count))
		if returned(err, ckrBufferTooSmall) {
			continue // a token was plugged in between the two calls
		}
		if err != nil {
			return nil, err
		}
		ids = ids[:min(count, uintptr(len(ids)))]
		break
	}
	slots := make([]slot, len(ids))
	for i, id := range ids {
		slots[i].id = id
		slots[i].err = check("C_GetTokenInfo", m.tokenInfo(id, &slots[i].info))
	}
	return slots, nil
}
