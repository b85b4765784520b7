package ofd_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/onewindow/onewindow/signing/ofd"
)

// TestOtherFilesAreNamed: what is sent in place of an OFD file is named in the error.
func TestOtherFilesAreNamed(t *testing.T) {
	for file, want := range map[string]ofd.Kind{
		"":                            ofd.KindEmpty,
		"PK\x03\x04 and nothing else": ofd.KindZIP,
		"%PDF-1.7\n":                  ofd.KindPDF,
		"\x89PNG\r\n\x1a\n":           ofd.KindPNG,
		"\xff\xd8\xff\xe0":            ofd.KindJPEG,
		"GIF89a":                      ofd.KindGIF,
		"BM\x00\x00\x01":              ofd.KindBMP,
		"BMW 的发票":                     ofd.KindText,
		"II*\x00":                     ofd.KindTIFF,
		"\xd0\xcf\x11\xe0\xa1":        ofd.KindOffice,
		"Rar!\x1a":                    ofd.KindArchive,
		"-----BEGIN CERTIFICATE-----": ofd.KindPEM,
		"<?xml version=\"1.0\"?>":     ofd.KindXML,
		strings.Repeat("营业执照", 200):   ofd.KindText,
		"\x00\x01\x02":                ofd.KindUnknown,
	} {
		if got := ofd.KindOf([]byte(file)); got != want {
			t.Errorf("%.20q is %s, want %s", file, got, want)
		}
		_, err := ofd.Open([]byte(file))
		if !errors.Is(err, ofd.ErrContainer) || want != ofd.KindZIP && !strings.Contains(err.Error(), want.String()) {
			t.Errorf("%.20q: %v", file, err)
		}
	}
}
