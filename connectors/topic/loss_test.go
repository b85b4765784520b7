package topic

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/charset"
	"github.com/onewindow/onewindow/connectors/connectortest"
	"github.com/onewindow/onewindow/exchange"
	"github.com/onewindow/onewindow/exchange/bus"
)

// reopened closes a source and opens it again.
func reopened(t *testing.T, src connectors.Source, at json.RawMessage) error {
	t.Helper()
	if err := src.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return src.Open(t.Context(), at)
}

// TestRetention deletes messages before they are read: a fault once, then a gap, and everything that is there.
func TestRetention(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		topic := c.newTopic(t, 1)
		for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
			c.send(t, bus.Message{Topic: topic, Key: []byte(name), Value: value(name, name)})
		}
		def := c.definition(t, topic)
		def.Batch = 2
		src := c.opened(t, def, nil)
		first, err := src.Read(t.Context())
		if err != nil || names(first.Rows) != "a b" {
			t.Fatal(names(first.Rows), err)
		}
		c.deleteRecords(t, topic, 4)
		err = reopened(t, src, first.Position)
		expectFault(t, err, connectors.FaultRemoved, connectors.ErrRefused, "messages from offset 2 up to 3 were deleted before they were read")
		if err := reopened(t, src, first.Position); err != nil {
			t.Fatal(err)
		}
		batch, err := src.Read(t.Context())
		if err != nil || !batch.Gap || names(batch.Rows) != "e f" {
			t.Fatalf("%q, gap %v, %v", names(batch.Rows), batch.Gap, err)
		}
		c.send(t, bus.Message{Topic: topic, Key: []byte("g"), Value: value("g", "g")})
		if next, err := src.Read(t.Context()); err != nil || next.Gap || names(next.Rows) != "g" {
			t.Fatalf("%q, gap %v, %v", names(next.Rows), next.Gap, err)
		}
		if rows, last := drain(t, c.opened(t, def, nil)); names(rows) != "e f g" || last.Gap { // whoever begins now has missed nothing
			t.Errorf("from the beginning: %q, gap %v", names(rows), last.Gap)
		}
	})
}

// TestMadeAnew finds a topic of the same name with other messages, fewer and as many as were read.
func TestMadeAnew(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		for _, again := range []string{"x", "x y", "x y z"} {
			topic := c.newTopic(t, 1)
			for _, name := range []string{"a", "b"} {
				c.send(t, bus.Message{Topic: topic, Key: []byte(name), Value: value(name, name)})
			}
			def := c.definition(t, topic)
			src := c.opened(t, def, nil)
			rows, last := drain(t, src)
			c.makeAnew(t, topic)
			for _, name := range strings.Fields(again) {
				c.send(t, bus.Message{Topic: topic, Key: []byte(name), Value: value(name, name)})
			}
			err := reopened(t, src, last.Position)
			expectFault(t, err, connectors.FaultRemoved, connectors.ErrRefused, "the topic was made anew")
			if err := reopened(t, src, last.Position); err != nil {
				t.Fatal(err)
			}
			batch, err := src.Read(t.Context())
			if err != nil || !batch.Gap || names(batch.Rows) != again || !batch.Rows[0].ChangedAt.After(rows[1].ChangedAt) {
				t.Fatalf("%q, gap %v, %v", names(batch.Rows), batch.Gap, err)
			}
		}
	})
}

// TestHoleBehindGap meets offsets that are left out while a gap is to be told: reading goes on behind them.
func TestHoleBehindGap(t *testing.T) {
	c := embedded(t)
	topic := c.newTopic(t, 1)
	for _, name := range []string{"a", "b", "c", "d"} {
		c.send(t, bus.Message{Topic: topic, Key: []byte(name), Value: value(name, name)})
	}
	src := c.opened(t, c.definition(t, topic), nil).(*source)
	src.gap = true
	p := src.partitions[0]
	if err := src.hole(t.Context(), p, &bus.GapError{Topic: topic, From: 0, To: 3}); err != nil || p.Offset != 3 {
		t.Fatalf("goes on at %d, %v; want 3", p.Offset, err)
	}
	if rows, last := drain(t, src); names(rows) != "d" || !strings.Contains(string(last.Position), `"offset":4`) {
		t.Errorf("%q, %s", names(rows), last.Position)
	}
}

// TestCompacted reads a topic whose older messages of a key are gone, from a position whose messages were deleted.
func TestCompacted(t *testing.T) {
	c := apache(t)
	topic := fmt.Sprintf("test.%d-%d.source", os.Getpid(), time.Now().UnixNano())
	c.createTopic(t, topic, "cleanup.policy", "compact,delete", "segment.ms", "100", "min.cleanable.dirty.ratio", "0.01", "max.compaction.lag.ms", "100")
	for i := range 20 {
		c.send(t, bus.Message{Topic: topic, Key: []byte("a"), Value: value("a", "a"+strconv.Itoa(i))})
	}
	def := c.definition(t, topic)
	for again := 0; ; again++ { // until the cluster has compacted it; what is written last is never compacted
		if _, first := holes(t, c, topic); first > 1 {
			break
		}
		if again == 60 {
			t.Skip("the cluster did not compact the topic within a minute")
		}
		c.send(t, bus.Message{Topic: topic, Key: []byte("b"), Value: value("b", "b"+strconv.Itoa(again))})
		awaitTick(t)
	}
	c.deleteRecords(t, topic, 1)
	src := c.opened(t, def, nil)
	rows, _ := drain(t, src)
	at := json.RawMessage(`{"partitions":{"0":{"offset":0}}}`)
	expectFault(t, reopened(t, src, at), connectors.FaultRemoved, connectors.ErrRefused, "were deleted before they were read")
	if err := reopened(t, src, at); err != nil {
		t.Fatal(err)
	}
	batch, err := src.Read(t.Context())
	if err != nil || !batch.Gap || len(rows) == 0 || len(batch.Rows) == 0 || batch.Rows[0].Origin != rows[0].Origin {
		t.Fatalf("%d rows, gap %v, %v", len(batch.Rows), batch.Gap, err)
	}
	seen := map[string]bool{}
	err = src.(connectors.Scanner).Scan(t.Context(), connectors.KeyRange{}, func(rows []connectors.Row) error {
		for _, row := range rows {
			seen[row.Values[0].Text] = true
		}
		return nil
	})
	if err != nil || !seen["a"] || !seen["b"] {
		t.Errorf("scanned %v, %v", seen, err)
	}
}

// holes says how many offsets of partition 0 are left out, and which message is the first.
func holes(t *testing.T, c *cluster, topic string) (count, first int64) {
	t.Helper()
	rows, _ := drain(t, c.opened(t, c.definition(t, topic), nil))
	at := int64(-1)
	first = -1
	for _, row := range rows {
		offset, err := strconv.ParseInt(row.Origin[strings.LastIndexByte(row.Origin, '/')+1:], 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		if first < 0 {
			first = offset
		}
		count += offset - at - 1
		at = offset
	}
	return count, first
}

// TestTimestamps checks that one timestamp that cannot be does not move all that come behind it.
func TestTimestamps(t *testing.T) {
	now := time.Date(2025, 11, 3, 8, 0, 0, 0, time.UTC)
	var last time.Time
	for i, test := range []struct{ at, want time.Time }{
		{time.UnixMilli(1 << 62), time.Unix(0, 0)},
		{now.Add(-time.Hour), now.Add(-time.Hour)},
		{now.AddDate(1000, 0, 0), now.Add(-time.Hour + time.Microsecond)},
		{time.UnixMilli(-1), now.Add(-time.Hour + 2*time.Microsecond)},
		{now.Add(-time.Minute), now.Add(-time.Minute)},
		{now.Add(time.Hour), now.Add(time.Hour)}, // another clock
		{now, now.Add(time.Hour + time.Microsecond)},
	} {
		last = changedAt(test.at, last, now)
		if !last.Equal(test.want) {
			t.Errorf("%d: %s; want %s", i, last, test.want)
		}
	}
	c := embedded(t)
	topic := c.newTopic(t, 1)
	c.send(t,
		bus.Message{Topic: topic, Key: []byte("a"), Value: value("a", "a"), Time: now},
		bus.Message{Topic: topic, Key: []byte("b"), Value: value("b", "b"), Time: time.Date(9000, 1, 1, 0, 0, 0, 0, time.UTC)},
		bus.Message{Topic: topic, Key: []byte("c"), Value: value("c", "c"), Time: now.Add(time.Second)},
	)
	for _, after := range []string{"", `{"partitions":{"0":{"offset":0,"last":"9000-01-01T00:00:00Z"}}}`} { // the latter as older versions saved it
		var at json.RawMessage
		if after != "" {
			at = json.RawMessage(after)
		}
		rows, _ := drain(t, c.opened(t, c.definition(t, topic), at))
		if names(rows) != "a b c" || !rows[1].ChangedAt.Equal(now.Add(time.Microsecond)) || !rows[2].ChangedAt.Equal(now.Add(time.Second)) {
			t.Errorf("%q: %+v", names(rows), rows)
		}
	}
}

// TestFewerPartitions refuses a topic that has lost partitions.
func TestFewerPartitions(t *testing.T) {
	c := embedded(t)
	def := c.definition(t, c.newTopic(t, 2))
	src, err := c.construct(def, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	err = src.Open(t.Context(), json.RawMessage(`{"partitions":{"0":{"offset":0},"2":{"offset":7}}}`))
	expectFault(t, err, connectors.FaultPosition, connectors.ErrPosition, "has 2 partitions, but partition 2 was read before")
	if err := src.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestNewPartitions finds partitions that are added while the source is open.
func TestNewPartitions(t *testing.T) {
	c := apache(t)
	topic := c.newTopic(t, 1)
	c.send(t, bus.Message{Topic: topic, Key: []byte("a"), Value: value("a", "a")})
	src := c.opened(t, c.definition(t, topic), nil)
	if rows, _ := drain(t, src); names(rows) != "a" {
		t.Fatal(names(rows))
	}
	c.addPartitions(t, topic, 8)
	want := 0
	for _, key := range strings.Split("bcdefghijklmnopqrstuvwxyz", "") {
		c.send(t, bus.Message{Topic: topic, Key: []byte(key), Value: value(key, key)})
		want++
	}
	var rows []connectors.Row
	for len(rows) < want && t.Context().Err() == nil { // brokers and clients learn of partitions one after another
		more, _ := drain(t, src)
		rows = append(rows, more...)
	}
	seen := map[string]bool{}
	for _, row := range rows {
		seen[row.Origin] = true
	}
	if len(rows) != want || len(seen) != want {
		t.Errorf("%d rows, %d different; want %d", len(rows), len(seen), want)
	}
}

// TestFaults checks what cannot be read is told in words.
func TestFaults(t *testing.T) {
	c := embedded(t)
	web := httptest.NewServer(http.NotFoundHandler())
	defer web.Close()
	tests := []struct {
		name  string
		alter func(*connectors.Topic)
		plain bool // not the embedded broker
		code  connectors.FaultCode
		kind  error
		want  string
	}{
		{"no topic", func(d *connectors.Topic) { d.Topic = "absent" }, false, connectors.FaultTable, connectors.ErrRefused, `there is no topic "absent"`},
		{"no file", func(d *connectors.Topic) { d.URLFile = "absent" }, false, connectors.FaultSecret, connectors.ErrRefused, "url_file cannot be read"},
		{"embedded", func(d *connectors.Topic) { d.URLFile = file(t, "embedded:/tmp/x") }, true, connectors.FaultSecret, connectors.ErrRefused, "must hold one line, like kafka://"},
		{"two lines", func(d *connectors.Topic) { d.URLFile = file(t, "kafka://a:1\nkafka://b:2") }, true, connectors.FaultSecret, connectors.ErrRefused, "one line"},
		{"bad option", func(d *connectors.Topic) { d.URLFile = file(t, "kafka://a:1?x=y") }, true, connectors.FaultSecret, connectors.ErrRefused, "unknown option"},
		{"no password file", func(d *connectors.Topic) { d.URLFile = file(t, "kafka://a:1?sasl=plain&user=u&password_file=/absent") }, true, connectors.FaultSecret, connectors.ErrRefused, "password file"},
		{"another server", func(d *connectors.Topic) { d.URLFile = file(t, "kafka://"+web.Listener.Addr().String()) }, true, connectors.FaultNotThis, connectors.ErrRefused, "an HTTP server"},
		{"nobody there", func(d *connectors.Topic) { d.URLFile = file(t, "kafka://127.0.0.1:1") }, true, connectors.FaultUnreachable, connectors.ErrNotConnected, "connecting for topic"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			def := c.definition(t, "x")
			test.alter(def.Topic)
			construct := c.construct
			if test.plain {
				construct = New
			}
			src, err := construct(def, slog.New(slog.DiscardHandler))
			if err != nil {
				t.Fatal(err)
			}
			expectFault(t, src.Open(t.Context(), nil), test.code, test.kind, test.want)
			expectFault(t, src.(connectors.Scanner).Scan(t.Context(), connectors.KeyRange{}, nil), test.code, test.kind, test.want)
			if err := src.Close(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestScan gives the last state of each key, in rounds as well.
func TestScan(t *testing.T) {
	each(t, func(t *testing.T, c *cluster) {
		topic := c.newTopic(t, 3)
		for _, m := range []string{"a 1", "b 1", "c 1", "a 2", "d 1", "b -", "d -", "d 2"} {
			key, name, _ := strings.Cut(m, " ")
			message := bus.Message{Topic: topic, Key: []byte(key), Value: value(key, key+name)}
			if name == "-" {
				message.Value = nil
			}
			c.send(t, message)
		}
		c.send(t, bus.Message{Topic: topic, Value: []byte("broken")})
		src, err := c.construct(c.definition(t, topic), slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		scan := func(r connectors.KeyRange) map[string]bool {
			got := map[string]bool{}
			err := src.(connectors.Scanner).Scan(t.Context(), r, func(rows []connectors.Row) error {
				for _, row := range rows {
					if row.Rejection != nil {
						got[row.Rejection.Rule] = true
						continue
					}
					if got[row.Values[1].Text] {
						t.Errorf("%s twice", row.Values[1].Text)
					}
					got[row.Values[1].Text] = true
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			return got
		}
		if got := scan(connectors.KeyRange{}); len(got) != 4 || !got["a2"] || !got["c1"] || !got["d2"] || !got["MALFORMED"] {
			t.Errorf("all: %v", got)
		}
		src.(*source).maxKeys = 2 // five rounds
		if got := scan(connectors.KeyRange{}); len(got) != 4 || !got["a2"] || !got["c1"] || !got["d2"] || !got["MALFORMED"] {
			t.Errorf("in rounds: %v", got)
		}
		if got := scan(connectors.KeyRange{From: []string{"b"}, To: []string{"c"}}); len(got) != 1 || !got["c1"] {
			t.Errorf("b to c: %v", got)
		}
		stop := errors.New("enough")
		if err := src.(connectors.Scanner).Scan(t.Context(), connectors.KeyRange{}, func([]connectors.Row) error { return stop }); !errors.Is(err, stop) {
			t.Errorf("yield failed: %v", err)
		}
	})
}

// FuzzMessage makes rows of any messages: each is a row with all its columns, a delete with its key, or a rejection.
func FuzzMessage(f *testing.F) {
	for _, seed := range [][2]string{{"k", `{"id":"1","__key":2}`}, {`{"id":1}`, ""}, {`"x\ud800"`, ""}, {"\xff", "{}"}, {"\x81\x5c", "{\"id\":\"\x81\x5c\"}"}} {
		f.Add([]byte(seed[0]), []byte(seed[1]), seed[1] == "", "h")
	}
	f.Fuzz(func(t *testing.T, key, value []byte, tombstone bool, header string) {
		for _, name := range charset.Names() {
			decoder, err := charset.New(name)
			if err != nil {
				t.Fatal(err)
			}
			m := connectortest.Mapping()
			m.Fields = append(m.Fields, connectors.Field{From: "__key", To: "k"}, connectors.Field{From: "__header.h", To: "h"})
			message := bus.Message{Topic: "t", Key: key, Value: value, Headers: []bus.Header{{Key: header, Value: key}}}
			if tombstone {
				message.Value = nil
			} else if value == nil {
				message.Value = []byte{}
			}
			row := newRowMaker(m, decoder).row(&message, time.Now())
			switch {
			case row.Raw == nil, (row.Rejection == nil) != (len(row.Values) == 5), (row.Rejection == nil) != (len(row.Key) == 1), row.Rejection == nil && tombstone != (row.Operation == exchange.Delete):
				t.Fatalf("%q %q: %+v", key, value, row)
			}
			for _, v := range row.Values {
				if !utf8.ValidString(v.Text) || v.Null && v.Text != "" {
					t.Fatalf("%q %q: %+v", key, value, v)
				}
			}
			if row.Operation == exchange.Delete && (row.Values[0].Null || !row.Values[3].Null) {
				t.Fatalf("%q: a delete with %+v", key, row.Values)
			}
		}
	})
}

func FuzzPosition(f *testing.F) {
	for _, seed := range []string{`{"partitions":{"0":{"offset":5,"last":"2025-11-03T00:00:00Z","digest":"00"}}}`, `{}`, `null`, `{"partitions":{"-1":{"offset":0}}}`, `{"partitions":{"00":{"offset":0}}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		at, err := parsePosition(text)
		if err != nil {
			if !errors.Is(err, connectors.ErrPosition) {
				t.Fatal(err)
			}
			return
		}
		encoded, err := json.Marshal(at)
		if err != nil {
			t.Skip("a year beyond 9999")
		}
		if _, err := parsePosition(encoded); text != nil && err != nil {
			t.Fatalf("%s became %s: %v", text, encoded, err)
		}
	})
}
