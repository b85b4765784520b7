package files

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/text/encoding/simplifiedchinese"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/charset"
	"github.com/onewindow/onewindow/connectors/connectortest"
)

// sample writes the rows of the suite in one format.
type sample struct {
	format, charset string
	write           func(t *testing.T, rows []connectortest.Row) string
	bad             string // a file with one bad row
	widest          int
}

func samples() map[string]sample {
	gbk := func(write func(*testing.T, []connectortest.Row) string) func(*testing.T, []connectortest.Row) string {
		return func(t *testing.T, rows []connectortest.Row) string { return encoded(t, charset.GBK, write(t, rows)) }
	}
	gb18030 := func(t *testing.T, rows []connectortest.Row) string {
		return encoded(t, charset.GB18030, writeCSV(t, rows))
	}
	const badCSV = "id,name,updated_at\n\"a,b\n"
	return map[string]sample{
		"csv utf-8":   {connectors.FormatCSV, charset.UTF8, writeCSV, badCSV, 0},
		"csv gbk":     {connectors.FormatCSV, charset.GBK, gbk(writeCSV), badCSV, 0},
		"csv gb18030": {connectors.FormatCSV, charset.GB18030, gb18030, badCSV, 0},
		"jsonl utf-8": {connectors.FormatJSONL, charset.UTF8, writeJSONL, "{\"id\":\"a\"\n", 0},
		"jsonl gbk":   {connectors.FormatJSONL, charset.GBK, gbk(writeJSONL), "{\"id\":\"\xff\"}\n", 0},
		"xlsx":        {connectors.FormatExcel, "", writeExcel, excelOf(`<row><c t="inlineStr"><is><t>id</t></is></c><c t="inlineStr"><is><t>name</t></is></c><c t="inlineStr"><is><t>updated_at</t></is></c></row><row><c t="e"><v>#N/A</v></c></row>`), 0},
		"dbf gbk":     {connectors.FormatDBF, "", writeDBF, dbfOf(0x4d, []string{"id,C,10", "name,C,50", "updated_at,C,30"}, " \xff"+strings.Repeat(" ", 89)), 50_000},
		"xml utf-8":   {connectors.FormatXML, "", writeXML("UTF-8"), "<rows><row><id>\xff</id></row></rows>", 0},
		"xml gb2312":  {connectors.FormatXML, "", gbk(writeXML("GB2312")), `<?xml version="1.0" encoding="gb2312"?><rows><row id="` + "\xff" + `"/></rows>`, 0},
	}
}

func TestSuite(t *testing.T) {
	for name, sample := range samples() {
		for _, archive := range []string{"", "archive"} {
			if archive != "" && name != "csv gbk" && name != "xlsx" {
				continue
			}
			t.Run(strings.TrimSpace(name+" "+archive), func(t *testing.T) {
				connectortest.Run(t, func(t *testing.T) connectortest.System {
					dir := filepath.Join(t.TempDir(), "folder")
					if err := os.Mkdir(dir, 0o750); err != nil {
						t.Fatal(err)
					}
					s := sample.system(t, dir)
					s.Definition.Files.Archive = archive
					s.Cut = func(t *testing.T) func() {
						rename(t, dir, dir+"-away")
						return func() { rename(t, dir+"-away", dir) }
					}
					return s
				})
			})
		}
	}
}

// TestSFTPSuite reads the same folders through OpenSSH; the connection is cut in between.
func TestSFTPSuite(t *testing.T) {
	server := sftpServer(t)
	for _, name := range []string{"csv gbk", "jsonl utf-8", "xlsx"} {
		t.Run(name, func(t *testing.T) {
			connectortest.Run(t, func(t *testing.T) connectortest.System {
				dir := t.TempDir()
				s := samples()[name].system(t, dir)
				through := newProxy(t, server.Address)
				overSFTP := *server
				overSFTP.Address = through.listener.Addr().String()
				s.Definition.Files.SFTP = &overSFTP
				s.Cut = func(*testing.T) func() { return through.cut() }
				return s
			})
		})
	}
}

// system puts rows into a new file at every call.
func (s sample) system(t *testing.T, dir string) connectortest.System {
	def := definition(dir, s.charset)
	def.Files.Format, def.Files.Pattern, def.Files.Element, def.Files.HeaderRow = s.format, "rows-*", "row", 1
	number := 0
	add := func(t *testing.T, text string) {
		number++
		put(t, dir, fmt.Sprintf("rows-%03d.%s", number, s.format), text)
	}
	return connectortest.System{
		Definition: def, Construct: construct, WidestName: s.widest,
		Append:    func(t *testing.T, rows []connectortest.Row) { add(t, s.write(t, rows)) },
		AppendBad: func(t *testing.T) { add(t, s.bad) },
	}
}

// construct is New with a clock that moves a step with every poll, so that the second one may come at once.
func construct(def connectors.Definition, logger *slog.Logger) (connectors.Source, error) {
	src, err := New(def, logger)
	if s, ok := src.(*source); ok {
		s.now = (&clock{at: time.Now()}).now
	}
	return src, err
}

func encoded(t *testing.T, name, text string) string {
	t.Helper()
	encoder := simplifiedchinese.GBK.NewEncoder()
	if name == charset.GB18030 {
		encoder = simplifiedchinese.GB18030.NewEncoder()
	}
	text, err := encoder.String(text)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func writeCSV(_ *testing.T, rows []connectortest.Row) string {
	var b strings.Builder
	w := csv.NewWriter(&b)
	_ = w.Write([]string{"updated_at", "name", "id"})
	for _, r := range rows {
		_ = w.Write([]string{r.UpdatedAt, r.Name, r.ID})
	}
	w.Flush()
	return b.String()
}

func writeJSONL(t *testing.T, rows []connectortest.Row) string {
	var b strings.Builder
	for _, r := range rows {
		line, err := json.Marshal(map[string]any{"name": r.Name, "id": r.ID, "updated_at": r.UpdatedAt, "more": []int{1}})
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(line, '\n'))
	}
	return b.String()
}

func writeXML(encoding string) func(*testing.T, []connectortest.Row) string {
	return func(t *testing.T, rows []connectortest.Row) string {
		var b strings.Builder
		fmt.Fprintf(&b, "<?xml version=\"1.0\" encoding=%q?>\n<d:data xmlns:d=\"urn:d\"><d:rows>\n", encoding)
		for _, r := range rows {
			fmt.Fprintf(&b, "<d:row id=%q>", r.ID)
			for name, text := range map[string]string{"name": r.Name, "updated_at": r.UpdatedAt} {
				fmt.Fprintf(&b, "<d:%s>", name)
				if err := xml.EscapeText(&b, []byte(text)); err != nil {
					t.Fatal(err)
				}
				fmt.Fprintf(&b, "</d:%s>", name)
			}
			b.WriteString("</d:row>\n")
		}
		return b.String() + "</d:rows></d:data>\n"
	}
}

func writeExcel(t *testing.T, rows []connectortest.Row) string {
	var b strings.Builder
	write := func(texts ...string) {
		b.WriteString("<row>")
		for _, text := range texts {
			b.WriteString(`<c t="inlineStr"><is><t xml:space="preserve">`)
			if err := xml.EscapeText(&b, []byte(text)); err != nil {
				t.Fatal(err)
			}
			b.WriteString(`</t></is></c>`)
		}
		b.WriteString("</row>")
	}
	write("updated_at", "name", "id")
	for _, r := range rows {
		write(r.UpdatedAt, r.Name, r.ID)
	}
	return excelOf(b.String())
}

// excelOf makes the smallest Excel file that has these rows; more are other parts, name and text in turn.
func excelOf(rows string, more ...string) string {
	const relations = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
	parts := append([]string{
		"_rels/.rels", `<Relationships><Relationship Id="rId1" Type="` + relations + `/officeDocument" Target="xl/workbook.xml"/></Relationships>`,
		"xl/workbook.xml", `<workbook xmlns:r="` + relations + `"><sheets><sheet name="Sheet1" sheetId="1" r:id="rId1"/></sheets></workbook>`,
		"xl/_rels/workbook.xml.rels", `<Relationships><Relationship Id="rId1" Type="` + relations + `/worksheet" Target="worksheets/sheet1.xml"/></Relationships>`,
		"xl/worksheets/sheet1.xml", "<worksheet><sheetData>" + rows + "</sheetData></worksheet>",
	}, more...)
	var b bytes.Buffer
	archive := zip.NewWriter(&b)
	for i := 0; i < len(parts); i += 2 {
		part, err := archive.CreateHeader(&zip.FileHeader{Name: parts[i], Method: zip.Store})
		if err == nil {
			_, err = io.WriteString(part, parts[i+1])
		}
		if err != nil {
			panic(err)
		}
	}
	if err := archive.Close(); err != nil {
		panic(err)
	}
	return b.String()
}

func writeDBF(t *testing.T, rows []connectortest.Row) string {
	records := make([]string, len(rows))
	width := 50
	for _, r := range rows {
		width = max(width, len(r.Name))
	}
	for i, r := range rows {
		records[i] = fmt.Sprintf(" %-10s%s%-30s", r.ID, pad(encoded(t, charset.GBK, r.Name), width), r.UpdatedAt)
	}
	return dbfOf(0x4d, []string{"id,C,10", fmt.Sprintf("name,C,%d", width), "updated_at,C,30"}, records...)
}

func pad(text string, width int) string { return text + strings.Repeat(" ", width-len(text)) }

// dbfOf makes a DBF file of fields ("name,type,width,decimals") and records.
func dbfOf(codePage byte, fields []string, records ...string) string {
	var b bytes.Buffer
	head := make([]byte, 32)
	head[0], head[29] = 0x03, codePage
	binary.LittleEndian.PutUint32(head[4:], uint32(len(records)))
	binary.LittleEndian.PutUint16(head[8:], uint16(32+32*len(fields)+1))
	width := 1
	for _, text := range fields {
		var name, kind string
		var size, decimals int
		parts := strings.Split(text, ",")
		name, kind = parts[0], parts[1]
		_, _ = fmt.Sscan(parts[2], &size)
		if len(parts) > 3 {
			_, _ = fmt.Sscan(parts[3], &decimals)
		}
		field := make([]byte, 32)
		copy(field[:11], name)
		field[11], field[16], field[17] = kind[0], byte(size), byte(decimals)
		if kind == "C" {
			field[17] = byte(size >> 8)
		}
		width += size
		b.Write(field)
	}
	binary.LittleEndian.PutUint16(head[10:], uint16(width))
	return string(head) + b.String() + "\r" + strings.Join(records, "") + "\x1a"
}

// sftpServer is the OpenSSH of the tests.
func sftpServer(t *testing.T) *connectors.SFTP {
	t.Helper()
	address, keys := os.Getenv("ONEWINDOW_TEST_SFTP"), os.Getenv("ONEWINDOW_TEST_SFTP_KEYS")
	if address == "" || keys == "" {
		if os.Getenv("ONEWINDOW_TEST_REQUIRE") == "1" {
			t.Fatal("SFTP is required: set ONEWINDOW_TEST_SFTP to its address and ONEWINDOW_TEST_SFTP_KEYS to its folder of keys (make test starts one)")
		}
		t.Skip("SFTP: ONEWINDOW_TEST_SFTP is not set (make test starts one)")
	}
	who, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	return &connectors.SFTP{Address: address, User: who.Username, KeyFile: filepath.Join(keys, "key"), HostKeyFile: filepath.Join(keys, "ssh_host_key.pub")}
}

// proxy stands between the source and the server and can cut their connections.
type proxy struct {
	listener net.Listener
	target   string

	mu    sync.Mutex
	down  bool
	held  bool
	conns []net.Conn
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, target: target}
	var wg sync.WaitGroup
	wg.Go(p.serve)
	t.Cleanup(func() {
		_ = listener.Close()
		p.cut()
		wg.Wait()
	})
	return p
}

func (p *proxy) serve() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		p.mu.Lock()
		if err != nil || p.down {
			_ = client.Close()
			if server != nil {
				_ = server.Close()
			}
		} else {
			p.conns = append(p.conns, client, server)
			go func() { _, _ = io.Copy(&gate{Writer: server, proxy: p}, client); _ = server.Close() }()
			go func() { _, _ = io.Copy(client, server); _ = client.Close() }()
		}
		p.mu.Unlock()
	}
}

// hold lets nothing more through, without closing anything.
func (p *proxy) hold() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held = true
}

// gate loses what is written while the proxy holds.
type gate struct {
	io.Writer
	proxy *proxy
}

func (g *gate) Write(b []byte) (int, error) {
	g.proxy.mu.Lock()
	held := g.proxy.held
	g.proxy.mu.Unlock()
	if held {
		return len(b), nil
	}
	return g.Writer.Write(b)
}

func (p *proxy) cut() (mend func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = true
	for _, c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.down = false
	}
}
