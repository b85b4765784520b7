package files

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/onewindow/onewindow/connectors"
)

// reader reads and acknowledges as the runner does, and can crash in between.
type reader struct {
	src      connectors.Source
	position json.RawMessage // the saved one
}

func (r *reader) open(t *testing.T, def connectors.Definition) {
	t.Helper()
	r.src = opened(t, def, r.position, nil)
	if r.position != nil {
		r.acknowledge(t)
	}
}

func (r *reader) acknowledge(t *testing.T) {
	t.Helper()
	if err := r.src.(connectors.Acknowledger).Acknowledge(t.Context(), r.position); err != nil {
		t.Fatal(err)
	}
}

// read returns the first columns of what is new, saving each position, and acknowledging it if so wished.
func (r *reader) read(t *testing.T, acknowledge bool) string {
	t.Helper()
	var ids []string
	for quiet := 0; quiet < 2; {
		batch, err := r.src.Read(t.Context())
		if errors.Is(err, connectors.ErrCaughtUp) {
			quiet++
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		quiet, r.position = 0, batch.Position
		for _, row := range batch.Rows {
			ids = append(ids, row.Values[0].Text)
		}
		if acknowledge {
			r.acknowledge(t)
		}
	}
	return strings.Join(ids, " ")
}

// listed returns what lies in a folder, "name=text" each.
func listed(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	names := []string{}
	for _, e := range entries {
		if !e.IsDir() {
			names = append(names, e.Name())
		}
	}
	return names
}

func expectListed(t *testing.T, dir string, folder, archive []string) {
	t.Helper()
	if got := listed(t, dir); !reflect.DeepEqual(got, folder) {
		t.Errorf("the folder has %q; want %q", got, folder)
	}
	if got := listed(t, filepath.Join(dir, "done")); !reflect.DeepEqual(got, archive) {
		t.Errorf("the archive has %q; want %q", got, archive)
	}
}

// archives runs a test for lines and for files that are read as a whole, here and behind SFTP.
func archives(t *testing.T, test func(t *testing.T, dir string, def connectors.Definition, rows func(ids ...string) string)) {
	for name, format := range map[string]string{"csv": connectors.FormatCSV, "xml": connectors.FormatXML, "csv over sftp": connectors.FormatCSV, "xml over sftp": connectors.FormatXML} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			def := columnsOf(dir, format, "id")
			def.Files.Archive = "done"
			if strings.HasSuffix(name, "sftp") {
				def.Files.SFTP = sftpServer(t)
			}
			test(t, dir, def, func(ids ...string) string {
				if format == connectors.FormatCSV {
					return "id\n" + strings.Join(ids, "\n") + "\n"
				}
				return "<r><row id='" + strings.Join(ids, "'/><row id='") + "'/></r>"
			})
		})
	}
}

// TestArchive checks that a file goes to the archive when its rows are safe and not before, that a late file
// is read, and that a name may come again.
func TestArchive(t *testing.T) {
	archives(t, func(t *testing.T, dir string, def connectors.Definition, rows func(ids ...string) string) {
		var r reader
		put(t, dir, "rows-2", rows("1", "2"))
		put(t, dir, "rows-3", rows("3"))
		r.open(t, def)
		if got := r.read(t, false); got != "1 2 3" {
			t.Errorf("read %q", got)
		}
		expectListed(t, dir, []string{"rows-2", "rows-3"}, []string{})
		r.acknowledge(t)
		r.acknowledge(t)
		expectListed(t, dir, []string{}, []string{"rows-2", "rows-3"})

		put(t, dir, "rows-1", rows("4"))      // late
		put(t, dir, "rows-3", rows("5", "6")) // again
		if got := r.read(t, true); got != "5 6 4" && got != "4 5 6" {
			t.Errorf("read %q", got)
		}
		put(t, dir, "rows-3", rows("5", "6")) // the same once more
		r.read(t, true)
		put(t, dir, "rows-4", rows("7"))
		if got := r.read(t, true); got != "7" {
			t.Errorf("read %q", got)
		}
		expectListed(t, dir, []string{}, []string{"rows-1", "rows-2", "rows-3", "rows-3-2", "rows-3-3", "rows-4"})
	})
}

// TestArchiveAfterCrash crashes between the saving and the move, and between two moves.
func TestArchiveAfterCrash(t *testing.T) {
	archives(t, func(t *testing.T, dir string, def connectors.Definition, rows func(ids ...string) string) {
		for _, acknowledged := range []bool{true, false} { // after the crash: before the first Read, or not at all
			var r reader
			put(t, dir, "rows-1", rows("1"))
			put(t, dir, "rows-2", rows("2"))
			put(t, dir, "rows-3", rows("3"))
			r.open(t, def)
			r.read(t, false)
			if err := os.MkdirAll(filepath.Join(dir, "done"), 0o750); err != nil {
				t.Fatal(err)
			}
			rename(t, filepath.Join(dir, "rows-1"), filepath.Join(dir, "done", "rows-1"))
			touch(t, filepath.Join(dir, "rows-2"))
			put(t, dir, "rows-4", rows("4"))
			if acknowledged {
				r.open(t, def)
				if !grows(def.Files.Format) { // files of lines must first be seen to rest
					expectListed(t, dir, []string{"rows-4"}, []string{"rows-1", "rows-2", "rows-3"})
				}
			} else {
				r.src = opened(t, def, r.position, nil)
			}
			if got := r.read(t, true); got != "4" {
				t.Errorf("read %q after the crash", got)
			}
			expectListed(t, dir, []string{}, []string{"rows-1", "rows-2", "rows-3", "rows-4"})
			if err := os.RemoveAll(filepath.Join(dir, "done")); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestArchiveWhileWritten reads a file that somebody still writes to, slowly enough for its lines to look complete:
// two polls in one moment say nothing, and the file stays where it is until it has rested.
func TestArchiveWhileWritten(t *testing.T) {
	dir := t.TempDir()
	def := columnsOf(dir, connectors.FormatCSV, "id")
	def.Files.Archive, def.Interval = "done", time.Minute
	c := &clock{at: time.Now(), step: time.Millisecond}
	src := opened(t, def, nil, c)
	var ids []string
	look := func() {
		t.Helper()
		for range 3 { // as the runner does, which asks again at once after a batch
			batch, err := src.Read(t.Context())
			if errors.Is(err, connectors.ErrCaughtUp) {
				continue
			}
			if err == nil {
				err = src.(connectors.Acknowledger).Acknowledge(t.Context(), batch.Position)
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, row := range batch.Rows {
				ids = append(ids, row.Values[0].Text)
			}
		}
	}
	put(t, dir, "rows-1", "id\n1\n")
	look()
	if len(ids) > 0 {
		t.Errorf("read %q although the file was seen for a moment only", ids)
	}
	c.add(settleWait)
	look()
	expectListed(t, dir, []string{"rows-1"}, []string{})
	put(t, dir, "rows-1", "id\n1\n2\n") // the writer goes on
	look()
	c.add(settleWait)
	look()
	c.add(quietWait)
	if err := src.Close(t.Context()); err != nil { // a restart of the source changes nothing
		t.Fatal(err)
	}
	if err := src.Open(t.Context(), json.RawMessage(mustJSON(t, src.(*source).saved))); err != nil {
		t.Fatal(err)
	}
	look()
	if got := strings.Join(ids, " "); got != "1 2" {
		t.Errorf("read %q", got)
	}
	expectListed(t, dir, []string{}, []string{"rows-1"})
}

// TestArchiveChangedLast changes a file between the look at it and its move.
func TestArchiveChangedLast(t *testing.T) {
	dir := t.TempDir()
	def := columnsOf(dir, connectors.FormatCSV, "id")
	def.Files.Archive = "done"
	put(t, dir, "rows-1", "id\n1\n")
	var r reader
	r.open(t, def)
	src := r.src.(*source)
	seen, err := src.folder.stat("rows-1")
	if err != nil {
		t.Fatal(err)
	}
	put(t, dir, "rows-1", "id\n1\n2\n")
	if err := src.archive(t.Context(), "rows-1", stateOf(seen)); err != nil {
		t.Fatal(err)
	}
	expectListed(t, dir, []string{"rows-1"}, []string{})
}

func mustJSON(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestArchiveChanged checks that a file that changed after it was read is read again and not moved before.
func TestArchiveChanged(t *testing.T) {
	archives(t, func(t *testing.T, dir string, def connectors.Definition, rows func(ids ...string) string) {
		var r reader
		put(t, dir, "rows-1", rows("1"))
		put(t, dir, "rows-2", rows("2"))
		r.open(t, def)
		r.read(t, false)
		put(t, dir, "rows-1", rows("7", "8"))
		r.acknowledge(t)
		expectListed(t, dir, []string{"rows-1"}, []string{"rows-2"})
		if got := r.read(t, true); got != "7 8" {
			t.Errorf("read %q", got)
		}
		expectListed(t, dir, []string{}, []string{"rows-1", "rows-2"})
	})
}

// TestArchiveRight checks that a folder that cannot be written is reported.
func TestArchiveRight(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "done", "a file where the folder should be")
	put(t, dir, "rows-1", "id\n1\n")
	def := columnsOf(dir, connectors.FormatCSV, "id")
	def.Files.Archive = "done"
	var r reader
	r.open(t, def)
	r.read(t, false)
	err := r.src.(connectors.Acknowledger).Acknowledge(t.Context(), r.position)
	checkFault(t, err, connectors.FaultUnreachable, `"rows-1"`)
	if got := listed(t, dir); !reflect.DeepEqual(got, []string{"done", "rows-1"}) {
		t.Errorf("the folder has %q", got)
	}
}

// TestScan checks that all deliveries are read, the last of a key last, and that nothing is moved.
func TestScan(t *testing.T) {
	archives(t, func(t *testing.T, dir string, def connectors.Definition, rows func(ids ...string) string) {
		for _, name := range []string{"rows-2", "rows-2-10", "rows-2-2", "other"} {
			if err := os.MkdirAll(filepath.Join(dir, "done"), 0o750); err != nil {
				t.Fatal(err)
			}
			put(t, filepath.Join(dir, "done"), name, rows(name))
		}
		put(t, dir, "rows-2", rows("now"))
		put(t, dir, "rows-1", rows("a", "b", "c"))
		put(t, dir, "rows-9", rows("whole", "half")[:len(rows("whole", "half"))-1])
		put(t, dir, "rows-8", "<html></html>\n")
		src, err := New(def, discard())
		if err != nil {
			t.Fatal(err)
		}
		scan := func(r connectors.KeyRange) (string, error) {
			var ids []string
			err := src.(connectors.Scanner).Scan(t.Context(), r, func(rows []connectors.Row) error {
				for _, row := range rows {
					if row.Key == nil || row.Key[0] != row.Values[0].Text {
						t.Errorf("key %q of %+v", row.Key, row.Values)
					}
					ids = append(ids, row.Values[0].Text)
				}
				return nil
			})
			return strings.Join(ids, " "), err
		}
		got, err := scan(connectors.KeyRange{})
		want := "a b c rows-2 rows-2-2 rows-2-10 now"
		if grows(def.Files.Format) {
			want += " whole"
		} else if err == nil || !strings.Contains(err.Error(), `"rows-9" is not complete`) {
			t.Errorf("%v; want a word of the file that is not complete", err)
		}
		if got != want {
			t.Errorf("scanned %q", got)
		}
		checkFault(t, err, connectors.FaultBroken, `"rows-8"`)
		put(t, dir, "rows-9", "id")
		if err := os.Remove(filepath.Join(dir, "rows-8")); err != nil {
			t.Fatal(err)
		}
		_, err = scan(connectors.KeyRange{})
		checkFault(t, err, connectors.FaultIncomplete, `"rows-9"`)
		put(t, dir, "rows-9", rows("zz"))
		if got, err = scan(connectors.KeyRange{From: []string{"b"}, To: []string{"now"}}); got != "b c now" || err != nil {
			t.Errorf("scanned %q, %v", got, err)
		}
		stop := errors.New("enough")
		err = src.(connectors.Scanner).Scan(t.Context(), connectors.KeyRange{}, func([]connectors.Row) error { return stop })
		if !errors.Is(err, stop) {
			t.Errorf("%v; want the error of yield", err)
		}
		if got := listed(t, dir); !reflect.DeepEqual(got, []string{"rows-1", "rows-2", "rows-9"}) {
			t.Errorf("the folder has %q", got)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := src.(connectors.Scanner).Scan(ended, connectors.KeyRange{}, func([]connectors.Row) error { return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("with an ended context: %v", err)
		}
	})
}

// TestSFTPSilent checks that a server that does not answer any more ends the reading.
func TestSFTPSilent(t *testing.T) {
	dir := t.TempDir()
	put(t, dir, "rows-1", "id\n1\n")
	def := columnsOf(dir, connectors.FormatCSV, "id")
	through := newProxy(t, sftpServer(t).Address)
	def.Files.SFTP = sftpServer(t)
	def.Files.SFTP.Address = through.listener.Addr().String()
	def.Limits.QueryTime = 500 * time.Millisecond
	src := opened(t, def, nil, nil)
	through.hold()
	_, err := src.Read(t.Context())
	checkFault(t, err, connectors.FaultUnreachable, "no answer within 500ms")
}
