package files

import (
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/charset"
)

// expectFault reads, letting time pass, until there is a fault, which must have the code and the words.
func expectFault(t *testing.T, def connectors.Definition, code connectors.FaultCode, words ...string) {
	t.Helper()
	c := &clock{at: time.Now()}
	src := opened(t, def, nil, c)
	for range 20 {
		_, err := src.Read(t.Context())
		if err == nil || errors.Is(err, connectors.ErrCaughtUp) {
			c.add(quietWait / 2)
			continue
		}
		checkFault(t, err, code, words...)
		return
	}
	t.Errorf("no fault; want %s", code)
}

func checkFault(t *testing.T, err error, code connectors.FaultCode, words ...string) {
	t.Helper()
	var fault *connectors.Fault
	if !errors.As(err, &fault) || fault.Code != code {
		t.Errorf("%v; want %s", err, code)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%v; want %q in it", err, word)
		}
	}
}

// brokenFiles are files that are not of their format, with the fault and a word of its message.
func brokenFiles(t *testing.T) map[string]struct {
	format, text string
	code         connectors.FaultCode
	word         string
} {
	type broken = struct {
		format, text string
		code         connectors.FaultCode
		word         string
	}
	var zipped bytes.Buffer
	g := gzip.NewWriter(&zipped)
	_, _ = g.Write([]byte("id\n"))
	_ = g.Close()
	many := []string{}
	for range maxParts {
		many = append(many, "x", "")
	}
	sheet := `<row><c t="inlineStr"><is><t>id</t></is></c></row><row><c><v>1</v></c></row>`
	entities := `<!DOCTYPE r [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><r><row><id>&b;</id></row></r>`
	return map[string]broken{
		"web page as CSV":        {connectors.FormatCSV, "<!DOCTYPE html>\n<html><body>Login</body></html>\n", connectors.FaultBroken, "HTML"},
		"Excel as CSV":           {connectors.FormatCSV, excelOf(sheet) + "\n", connectors.FaultBroken, "zip archive"},
		"UTF-16 as CSV":          {connectors.FormatCSV, "\xff\xfei\x00d\x00\n", connectors.FaultBroken, "UTF-16"},
		"gzip as JSON lines":     {connectors.FormatJSONL, zipped.String() + "\n", connectors.FaultBroken, "gzip"},
		"JSON array":             {connectors.FormatJSONL, "[\n{\"id\":1}\n]\n", connectors.FaultBroken, "array"},
		"web page as Excel":      {connectors.FormatExcel, "<html></html>", connectors.FaultBroken, "HTML"},
		"old Excel":              {connectors.FormatExcel, "\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", connectors.FaultBroken, ".xls"},
		"zip that is no Excel":   {connectors.FormatExcel, zipOf(t, zip.Store, "a.txt", "a"), connectors.FaultBroken, "no Excel file"},
		"half an Excel":          {connectors.FormatExcel, excelOf(sheet)[:600], connectors.FaultIncomplete, "directory"},
		"damaged Excel":          {connectors.FormatExcel, strings.Replace(excelOf(sheet), "<v>1</v>", "<v>2</v>", 1), connectors.FaultBroken, "damaged"},
		"zip bomb":               {connectors.FormatExcel, zipOf(t, zip.Deflate, "xl/worksheets/sheet1.xml", strings.Repeat(" ", 64<<20)), connectors.FaultTooLarge, "times larger"},
		"too many parts":         {connectors.FormatExcel, excelOf(sheet, many...), connectors.FaultTooLarge, "parts"},
		"a cell without end":     {connectors.FormatExcel, excelOf(`<row><c t="inlineStr"><is><t>id` + strings.Repeat("x", 3<<20) + `</t></is></c></row>`), connectors.FaultTooLarge, "longer than"},
		"entities in an Excel":   {connectors.FormatExcel, excelOf("", "xl/worksheets/sheet1.xml", entities), connectors.FaultForbidden, "DOCTYPE"},
		"text as DBF":            {connectors.FormatDBF, strings.Repeat("id,name\n", 20), connectors.FaultBroken, "does not begin like"},
		"dBase 7":                {connectors.FormatDBF, "\x04" + strings.Repeat("\x00", 100), connectors.FaultBroken, "dBase 7"},
		"half a DBF":             {connectors.FormatDBF, dbfOf(0, []string{"id,C,5"}, " 12345", " 67890")[:75], connectors.FaultIncomplete, "promises 2 records"},
		"stale count of a DBF":   {connectors.FormatDBF, strings.Replace(dbfOf(0, []string{"id,C,5"}, " 12345", " 67890"), "\x02\x00\x00\x00\x41", "\x01\x00\x00\x00\x41", 1), connectors.FaultIncomplete, "more follow"},
		"ZIP64":                  {connectors.FormatExcel, zip64(excelOf(sheet)), connectors.FaultTooLarge, "ZIP64"},
		"many sheets":            {connectors.FormatExcel, excelOf(sheet, "xl/workbook.xml", "<workbook><sheets>"+strings.Repeat("<sheet name='x'/>", maxParts+1)+"</sheets></workbook>"), connectors.FaultTooLarge, "sheets"},
		"long relations":         {connectors.FormatExcel, excelOf(sheet, "_rels/.rels", "<Relationships>"+strings.Repeat("<Relationship Id='a' Target='"+strings.Repeat("t", 300_000)+"'/>", 4)+"</Relationships>"), connectors.FaultTooLarge, "relates to"},
		"DBF with a wrong width": {connectors.FormatDBF, strings.Replace(dbfOf(0, []string{"id,C,5"}, " 12345"), "\x41\x00\x06\x00", "\x41\x00\x05\x00", 1), connectors.FaultBroken, "bytes together"},
		"entities":               {connectors.FormatXML, entities, connectors.FaultForbidden, "DOCTYPE"},
		"an unknown entity":      {connectors.FormatXML, "<r><row><id>&nbsp;</id></row></r>", connectors.FaultForbidden, "entity"},
		"half an XML":            {connectors.FormatXML, "<r><row><id>1</id></row><row><id>", connectors.FaultIncomplete, "ends in the middle"},
		"crossed XML":            {connectors.FormatXML, "<r><row><id>1</row></id></r>", connectors.FaultBroken, "well-formed"},
		"deep XML":               {connectors.FormatXML, strings.Repeat("<a>", 1000), connectors.FaultForbidden, "nested"},
		"many attributes":        {connectors.FormatXML, "<r " + strings.Repeat(`a="" `, 1000) + "/>", connectors.FaultForbidden, "attributes"},
		"endless XML text":       {connectors.FormatXML, "<r>" + strings.Repeat("x", 3<<20), connectors.FaultTooLarge, "longer than"},
		"endless CDATA":          {connectors.FormatXML, "<r><![CDATA[" + strings.Repeat("x>", 3<<19), connectors.FaultTooLarge, "longer than"},
		"XML in EBCDIC":          {connectors.FormatXML, `<?xml version="1.0" encoding="ebcdic"?><r/>`, connectors.FaultBroken, "ebcdic"},
		"web page as XML":        {connectors.FormatXML, "<!doctype html><html></html>", connectors.FaultBroken, "HTML"},
	}
}

// zip64 makes the end of an archive say that the number of its parts stands elsewhere.
func zip64(archive string) string {
	end := strings.LastIndex(archive, "PK\x05\x06")
	return archive[:end+8] + "\xff\xff\xff\xff" + archive[end+12:]
}

func zipOf(t *testing.T, method uint16, name, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	part, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: method})
	if err == nil {
		_, err = part.Write([]byte(text))
	}
	if err = errors.Join(err, w.Close()); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestBroken checks that a file that is not of its format is reported, gives no row, and is waited for; with
// a quarantine it goes there and the next file is read.
func TestBroken(t *testing.T) {
	for name, test := range brokenFiles(t) {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, dir, "rows-1", test.text)
			def := columnsOf(dir, test.format, "id")
			expectFault(t, def, test.code, `"rows-1"`, test.word)

			put(t, dir, "rows-2", map[string]string{
				connectors.FormatCSV: "id\n7\n", connectors.FormatJSONL: "{\"id\":7}\n", connectors.FormatXML: "<r><row id='7'/></r>",
				connectors.FormatExcel: excelOf(`<row><c t="inlineStr"><is><t>id</t></is></c></row><row><c><v>7</v></c></row>`), connectors.FormatDBF: dbfOf(0, []string{"id,C,5"}, " 7    "),
			}[test.format])
			def.Files.Quarantine = "bad"
			put(t, dir, "rows-1", test.text)
			c := &clock{at: time.Now()}
			src := opened(t, def, nil, c)
			var rows []connectors.Row
			for range 30 {
				batch, err := src.Read(t.Context())
				rows = append(rows, batch.Rows...)
				if err != nil && !errors.Is(err, connectors.ErrCaughtUp) {
					checkFault(t, err, connectors.FaultIncomplete)
				}
				c.add(quietWait / 2)
			}
			if len(rows) != 1 || len(rows[0].Values) != 1 || rows[0].Values[0].Text != "7" {
				t.Errorf("rows %.300q", shown(rows))
			}
			if text, err := os.ReadFile(filepath.Join(dir, "bad", "rows-1")); err != nil || string(text) != test.text {
				t.Errorf("in quarantine: %d bytes, %v", len(text), err)
			}
		})
	}
}

// TestMended checks that a file that was reported is read once it is mended, and nothing is lost.
func TestMended(t *testing.T) {
	dir := t.TempDir()
	def := columnsOf(dir, connectors.FormatXML, "id")
	c := &clock{at: time.Now()}
	src := opened(t, def, nil, c)
	put(t, dir, "rows-1", "<r><row id='1'/><row id='2'/>")
	put(t, dir, "rows-2", "<r><row id='3'/></r>")
	var err error
	for range 30 {
		if _, err = src.Read(t.Context()); err == nil {
			t.Fatal("something was read of or behind half a file")
		}
		c.add(quietWait / 2)
	}
	checkFault(t, err, connectors.FaultBroken, "mend or remove it")
	put(t, dir, "rows-1", "<r><row id='1'/><row id='2'/></r>")
	expectRows(t, drain(t, src), "1 1", "2 2", "1 3")
}

// TestNeverQuiet checks that a file that keeps changing is named after a while, and read when it rests.
func TestNeverQuiet(t *testing.T) {
	dir := t.TempDir()
	c := &clock{at: time.Now()}
	src := opened(t, columnsOf(dir, connectors.FormatCSV, "id"), nil, c)
	text, reported := "id\n", 0
	for range 15 {
		text += "1\n"
		put(t, dir, "rows-1", text)
		_, err := src.Read(t.Context())
		if !errors.Is(err, connectors.ErrCaughtUp) {
			checkFault(t, err, connectors.FaultIncomplete, `"rows-1"`, "has been changing")
			reported++
		}
		c.add(time.Minute)
	}
	if reported != 5 {
		t.Errorf("reported %d times in 15 minutes", reported)
	}
	if rows := drain(t, src); len(rows) != 15 {
		t.Errorf("%d rows", len(rows))
	}
}

func TestFolderFaults(t *testing.T) {
	dir := t.TempDir()
	src, err := New(definition(filepath.Join(dir, "absent"), charset.UTF8), discard())
	if err != nil {
		t.Fatal(err)
	}
	checkFault(t, src.Open(t.Context(), nil), connectors.FaultTable, `"rows"`)
	if os.Getuid() == 0 || runtime.GOOS == "windows" {
		checkFault(t, src.(*source).folderFault(&os.PathError{Err: os.ErrPermission}), connectors.FaultRight, "right to read")
		checkFault(t, fileFault("rows-1", &os.PathError{Err: os.ErrPermission}), connectors.FaultRight, `"rows-1"`)
		return // everything may be read
	}
	put(t, dir, "rows-1.csv", "id,name,updated_at\n")
	if err := os.Chmod(filepath.Join(dir, "rows-1.csv"), 0); err != nil {
		t.Fatal(err)
	}
	expectFault(t, definition(dir, charset.UTF8), connectors.FaultRight, `"rows-1.csv"`)
	if err := os.Chmod(dir, 0o300); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = os.Chmod(dir, 0o700) }()
	checkFault(t, src.Open(t.Context(), nil), connectors.FaultTable)
}

// TestFolderAway takes the folder, or the file, away between the look at it and the reading, or puts a pipe there.
func TestFolderAway(t *testing.T) {
	for _, format := range []string{connectors.FormatCSV, connectors.FormatXML} {
		dir := filepath.Join(t.TempDir(), "folder")
		if err := os.Mkdir(dir, 0o750); err != nil {
			t.Fatal(err)
		}
		put(t, dir, "rows-1", "<r/>\n")
		src := opened(t, columnsOf(dir, format, "id"), nil, nil).(*source)
		infos, err := src.folder.list(".")
		if err != nil || len(infos) != 1 {
			t.Fatal(err)
		}
		seen := sighting{fileState: stateOf(infos[0]), twice: true}
		rename(t, dir, dir+"-away")
		_, err = src.consider(t.Context(), "rows-1", seen)
		checkFault(t, err, connectors.FaultTable, `no folder "rows"`)
		_, err = src.move("rows-1", seen.fileState, "done")
		checkFault(t, err, connectors.FaultTable, `no folder "rows"`)
		rename(t, dir+"-away", dir)
		rename(t, filepath.Join(dir, "rows-1"), filepath.Join(dir, "other"))
		if begun, err := src.consider(t.Context(), "rows-1", seen); begun || err != nil {
			t.Errorf("a file that was moved: %t, %v", begun, err)
		}
		if err := os.Mkdir(filepath.Join(dir, "rows-1"), 0o750); err != nil {
			t.Fatal(err)
		}
		_, err = src.consider(t.Context(), "rows-1", seen)
		checkFault(t, err, connectors.FaultUnreachable, "not a plain file")
	}
}

// TestCopyOfFile checks that the copy of a file behind SFTP has no name, and that our own disk's faults are told as ours.
func TestCopyOfFile(t *testing.T) {
	dir, temporary := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", temporary)
	put(t, dir, "rows-1", "<r><row id='1'/></r>")
	def := columnsOf(dir, connectors.FormatXML, "id")
	def.Files.SFTP = sftpServer(t)
	src := opened(t, def, nil, nil).(*source)
	infos, err := src.folder.list(".")
	if err != nil || len(infos) != 1 {
		t.Fatal(err)
	}
	r, _, _, err := src.openReading(t.Context(), src.folder, "rows-1", stateOf(infos[0]), place{})
	if err != nil {
		t.Fatal(err)
	}
	if got := listed(t, temporary); runtime.GOOS != "windows" && len(got) > 0 {
		t.Errorf("the temporary folder has %q", got)
	}
	if err := r.file.Close(); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TMPDIR", filepath.Join(temporary, "absent"))
	expectFault(t, def, connectors.FaultExchange, "temporary folder of this machine")
}

// TestSFTPFaults checks what is said of a server that is not there, not the right one, or does not let us in.
func TestSFTPFaults(t *testing.T) {
	server := sftpServer(t)
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	key, err := os.ReadFile(server.KeyFile + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	put(t, dir, "password", "secret-word\n")
	put(t, dir, "known_hosts", "# a comment\n"+server.Address+" "+string(key))
	put(t, dir, "other_key", otherKey)
	for name, test := range map[string]struct {
		change func(*connectors.Files)
		code   connectors.FaultCode
		words  []string
	}{
		"another server":    {func(f *connectors.Files) { f.SFTP.Address = web.Listener.Addr().String() }, connectors.FaultNotThis, []string{"sftp.address", "an HTTP server"}},
		"nobody there":      {func(f *connectors.Files) { f.SFTP.Address = "127.0.0.1:1" }, connectors.FaultUnreachable, []string{"127.0.0.1:1"}},
		"another key":       {func(f *connectors.Files) { f.SFTP.HostKeyFile = filepath.Join(dir, "known_hosts") }, connectors.FaultCredentials, []string{"SHA256:", " has SHA256:"}},
		"a wrong password":  {func(f *connectors.Files) { f.SFTP.KeyFile, f.SFTP.PasswordFile = "", filepath.Join(dir, "password") }, connectors.FaultCredentials, []string{"does not let the user"}},
		"a wrong key":       {func(f *connectors.Files) { f.SFTP.KeyFile = filepath.Join(dir, "other_key") }, connectors.FaultCredentials, []string{"does not let the user"}},
		"a wrong user":      {func(f *connectors.Files) { f.SFTP.User = "nobody-here" }, connectors.FaultCredentials, []string{`"nobody-here"`}},
		"no key file":       {func(f *connectors.Files) { f.SFTP.KeyFile = filepath.Join(dir, "absent") }, connectors.FaultSecret, []string{"absent"}},
		"no key in it":      {func(f *connectors.Files) { f.SFTP.KeyFile = filepath.Join(dir, "password") }, connectors.FaultSecret, []string{"no private key"}},
		"no host key in it": {func(f *connectors.Files) { f.SFTP.HostKeyFile = filepath.Join(dir, "password") }, connectors.FaultSecret, []string{"no public key"}},
		"no folder":         {func(f *connectors.Files) { f.Dir = filepath.Join(dir, "absent") }, connectors.FaultTable, []string{`"rows"`}},
	} {
		t.Run(name, func(t *testing.T) {
			def := definition(dir, charset.UTF8)
			copied := *server
			def.Files.SFTP = &copied
			test.change(def.Files)
			src, err := New(def, discard())
			if err != nil {
				t.Fatal(err)
			}
			err = src.Open(t.Context(), nil)
			checkFault(t, err, test.code, test.words...)
			if strings.Contains(err.Error(), "secret-word") {
				t.Error("the password is in the message")
			}
			if err := src.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// otherKey is a private key that no server knows.
const otherKey = `-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW
QyNTUxOQAAACCKrtqE9SwUUkcp99YUqwVKZ/6lNhK/TvcvIgRSefAcKQAAAIjvw0tu78NL
bgAAAAtzc2gtZWQyNTUxOQAAACCKrtqE9SwUUkcp99YUqwVKZ/6lNhK/TvcvIgRSefAcKQ
AAAEBFWW2ZgK5Im+4oJWUD5Xux9jR/q0/Gelzop9p4iRduy4qu2oT1LBRSRyn31hSrBUpn
/qU2Er9O9y8iBFJ58BwpAAAABHRlc3QB
-----END OPENSSH PRIVATE KEY-----
`
