package ofd

import (
	"bytes"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Kind is what a file is by what it begins with: often something else is sent in
// an OFD file's place.
type Kind string

// The kinds.
const (
	KindEmpty   Kind = "EMPTY"
	KindZIP     Kind = "ZIP" // OFD files, and others that are no OFD file
	KindPDF     Kind = "PDF"
	KindPNG     Kind = "PNG"
	KindJPEG    Kind = "JPEG"
	KindGIF     Kind = "GIF"
	KindBMP     Kind = "BMP"
	KindTIFF    Kind = "TIFF"
	KindOffice  Kind = "OFFICE" // the documents of Word, Excel and WPS up to 2003
	KindArchive Kind = "ARCHIVE"
	KindPEM     Kind = "PEM"
	KindXML     Kind = "XML"
	KindText    Kind = "TEXT"
	KindUnknown Kind = "UNKNOWN"
)

// KindOf looks at the beginning of a file.
func KindOf(file []byte) Kind {
	if len(file) == 0 {
		return KindEmpty
	}
	for _, k := range []struct {
		magic string
		kind  Kind
	}{
		{"PK\x03\x04", KindZIP},
		{"PK\x05\x06", KindZIP},
		{"%PDF-", KindPDF},
		{"\x89PNG\r\n\x1a\n", KindPNG},
		{"\xff\xd8\xff", KindJPEG},
		{"GIF8", KindGIF},
		{"BM", KindBMP},
		{"II*\x00", KindTIFF},
		{"MM\x00*", KindTIFF},
		{"\xd0\xcf\x11\xe0", KindOffice},
		{"Rar!", KindArchive},
		{"7z\xbc\xaf\x27\x1c", KindArchive},
		{"\x1f\x8b", KindArchive},
		{"-----BEGIN ", KindPEM},
		{"<?xml", KindXML},
		{"\xef\xbb\xbf<?xml", KindXML},
	} {
		// Text may begin with BM too.
		if bytes.HasPrefix(file, []byte(k.magic)) && (k.kind != KindBMP || !isText(file)) {
			return k.kind
		}
	}
	if isText(file) {
		return KindText
	}
	return KindUnknown
}

// isText reports whether the first bytes are text in UTF-8.
func isText(file []byte) bool {
	head := file[:min(len(file), 512)]
	if len(file) > len(head) { // the cut may go through a character
		for n := 0; n < utf8.UTFMax && !utf8.Valid(head); n++ {
			head = head[:len(head)-1]
		}
	}
	return utf8.Valid(head) && !strings.ContainsFunc(string(head), func(r rune) bool {
		return unicode.IsControl(r) && r != '\n' && r != '\r' && r != '\t'
	})
}

// String names the kind for an error.
func (k Kind) String() string {
	switch k {
	case KindEmpty:
		return "an empty file"
	case KindZIP:
		return "a zip archive"
	case KindOffice:
		return "an Office document"
	case KindArchive:
		return "an archive of another kind than zip"
	case KindPEM:
		return "a PEM file"
	case KindXML:
		return "an XML file"
	case KindText:
		return "a text"
	case KindUnknown:
		return "a file of an unknown kind"
	case KindPDF, KindPNG, KindJPEG, KindGIF, KindBMP, KindTIFF:
		return fmt.Sprintf("a %s file", string(k))
	}
	return string(k)
}
