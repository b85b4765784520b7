package connectors

import (
	"fmt"
	iofs "io/fs"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/onewindow/onewindow/connectors/charset"
)

// The formats of files.
const (
	FormatCSV   = "csv"   // fields between delimiters, RFC 4180; TSV with a tab as delimiter
	FormatJSONL = "jsonl" // one JSON object a line
	FormatExcel = "xlsx"
	FormatDBF   = "dbf" // dBase III and IV, FoxPro
	FormatXML   = "xml"
)

// Files is a folder of files, read in the order of their names.
type Files struct {
	// Dir is the path of the folder, DirName what the definition calls it.
	Dir, DirName string
	// Pattern is matched against file names as by [path.Match].
	Pattern string
	// Format is one of the Format constants.
	Format string
	// Charset is one of [charset.Names]; it is not for Excel and XML, which say it themselves.
	Charset string
	// Delimiter stands between the fields of CSV; definitions may write a tab as "\t" or tab.
	Delimiter rune
	// Sheet is the name of an Excel sheet; empty for the first. HeaderRow, from 1, is the row with the names of
	// the columns (the last of them if heads are merged over several rows).
	Sheet     string
	HeaderRow int
	// Element is the name of the XML element that is a row.
	Element string
	// SFTP says where the folder lies if not on this machine; Dir is then a path there.
	SFTP *SFTP
	// Archive and Quarantine are folders within Dir, into which a file goes once its rows are safe, or if it is
	// not of its format; empty to leave files where they are.
	Archive, Quarantine string
	// MayBeEmpty lets a file without rows follow one of 100 lines or more, which is a fault otherwise.
	MayBeEmpty bool
}

// SFTP is a server that files are fetched from.
type SFTP struct {
	// Address is "host:port".
	Address, User string
	// KeyFile holds a private key, PasswordFile a password; one of them is set.
	KeyFile, PasswordFile string
	// HostKeyFile holds the public key of the server as ssh-keyscan writes it.
	HostKeyFile string
}

func parseFiles(s section, dir string) *Files {
	s.allow("dir", "pattern", "format", "charset", "delimiter", "sheet", "header_row", "element", "sftp", "archive", "quarantine", "may_be_empty")
	fs := &Files{
		DirName:    s.text("dir", true),
		Dir:        s.file("dir", dir, false),
		Pattern:    s.text("pattern", true),
		Format:     s.oneOf("format", FormatCSV, FormatCSV, FormatJSONL, FormatExcel, FormatDBF, FormatXML),
		Charset:    s.charset(charset.UTF8),
		Sheet:      s.text("sheet", false),
		HeaderRow:  s.integer("header_row", 1, 1, 100),
		Element:    s.text("element", false),
		Archive:    s.text("archive", false),
		Quarantine: s.text("quarantine", false),
		MayBeEmpty: s.boolean("may_be_empty"),
	}
	if sub, present := s.section("sftp", false); present {
		fs.SFTP = parseSFTP(sub(), dir)
		fs.Dir = fs.DirName
	}
	if _, err := path.Match(fs.Pattern, "x"); err != nil || strings.ContainsAny(fs.Pattern, `/\`) {
		s.fault("pattern", "%q must be a pattern of file names such as \"resident-*.csv\"", fs.Pattern)
	}
	if fs.Format == FormatXML && fs.Element == "" {
		s.fault("element", "is missing; name the XML element that is a row")
	}
	for name, folder := range map[string]string{"archive": fs.Archive, "quarantine": fs.Quarantine} {
		if folder != "" && (!iofs.ValidPath(folder) || folder == ".") {
			s.fault(name, "%q must be the name of a folder within dir, such as %q", folder, name)
		}
	}
	if fs.Archive != "" && fs.Archive == fs.Quarantine {
		s.fault("quarantine", "is the same as archive")
	}
	delimiter := s.text("delimiter", false)
	switch delimiter {
	case "":
		delimiter = ","
	case `\t`, "tab":
		delimiter = "\t"
	}
	r, size := utf8.DecodeRuneInString(delimiter)
	if size != len(delimiter) || r == utf8.RuneError || r == '"' || r == '\r' || r == '\n' {
		s.fault("delimiter", "%q must be one character and neither a quote nor a line end", delimiter)
	}
	fs.Delimiter = r
	return fs
}

func parseSFTP(s section, dir string) *SFTP {
	s.allow("address", "user", "key_file", "password_file", "host_key_file")
	c := &SFTP{
		Address:      s.text("address", true),
		User:         s.text("user", true),
		KeyFile:      s.file("key_file", dir, false),
		PasswordFile: s.file("password_file", dir, false),
		HostKeyFile:  s.file("host_key_file", dir, true),
	}
	if (c.KeyFile == "") == (c.PasswordFile == "") {
		s.fault("key_file", "name either key_file or password_file")
	}
	return c
}

func (f *Files) identity() string {
	at := ""
	if f.SFTP != nil {
		at = " at " + f.SFTP.Address
	}
	return fmt.Sprintf("files %s in %s%s", f.Pattern, f.DirName, at)
}
