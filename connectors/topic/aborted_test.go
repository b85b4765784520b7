package topic

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo" //nolint:depguard // writes with transactions, which our bus cannot

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/exchange/bus"
)

// transactions writes to a topic of the real Kafka under a transactional id.
type transactions struct{ client *kgo.Client }

func newTransactions(t *testing.T, id string) *transactions {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(kafkaAddress(t)), kgo.TransactionalID(id), kgo.TransactionTimeout(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &transactions{client}
}

func (p *transactions) begin(t *testing.T) {
	t.Helper()
	if err := p.client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
}

func (p *transactions) send(t *testing.T, topic, id, name string) {
	t.Helper()
	if err := p.client.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Key: []byte(id), Value: value(id, name)}).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

func (p *transactions) end(t *testing.T, how kgo.TransactionEndTry) {
	t.Helper()
	if err := p.client.EndTransaction(context.WithoutCancel(t.Context()), how); err != nil {
		t.Fatal(err)
	}
}

// scanned is what a proof sees.
func scanned(t *testing.T, src connectors.Source) []connectors.Row {
	t.Helper()
	var all []connectors.Row
	if err := src.(connectors.Scanner).Scan(t.Context(), connectors.KeyRange{}, func(rows []connectors.Row) error {
		all = append(all, rows...)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// TestCase03AbortedIsNotRead writes what the case writes: a transaction that is committed, one that is aborted, with a
// record that is there already and a new one, and one that is committed. Neither reading nor a proof sees the second.
func TestCase03AbortedIsNotRead(t *testing.T) {
	c := apache(t)
	topic := c.newTopic(t, 1)
	p := newTransactions(t, "case03-"+topic)
	for _, tx := range []struct {
		ids []string
		how kgo.TransactionEndTry
	}{{[]string{"1"}, kgo.TryCommit}, {[]string{"1", "2"}, kgo.TryAbort}, {[]string{"3"}, kgo.TryCommit}} {
		p.begin(t)
		for _, id := range tx.ids {
			p.send(t, topic, id, map[kgo.TransactionEndTry]string{kgo.TryCommit: "committed", kgo.TryAbort: "ABORTED"}[tx.how])
		}
		p.end(t, tx.how)
	}
	src := c.opened(t, c.definition(t, topic), nil)
	rows, last := drain(t, src)
	for _, found := range [][]connectors.Row{rows, scanned(t, src)} {
		if names(found) != "committed committed" || found[0].Key[0] != "1" || found[1].Key[0] != "3" {
			t.Errorf("%q; want 1 and 3, committed", names(found))
		}
	}
	if rows, _ := drain(t, c.opened(t, c.definition(t, topic), last.Position)); len(rows) != 0 {
		t.Errorf("%d rows again", len(rows))
	}
}

// TestInterleavedTransactions has two producers write in turn, of whom one aborts and then commits, and one who writes
// without transactions in between.
func TestInterleavedTransactions(t *testing.T) {
	c := apache(t)
	topic := c.newTopic(t, 1)
	a, b := newTransactions(t, "a-"+topic), newTransactions(t, "b-"+topic)
	a.begin(t)
	b.begin(t)
	a.send(t, topic, "1", "lost")
	b.send(t, topic, "2", "b2")
	c.send(t, bus.Message{Topic: topic, Key: []byte("3"), Value: value("3", "plain3")})
	a.send(t, topic, "4", "lost")
	a.end(t, kgo.TryAbort)
	a.begin(t)
	a.send(t, topic, "5", "a5")
	b.send(t, topic, "6", "b6")
	b.end(t, kgo.TryCommit)
	a.end(t, kgo.TryCommit)
	src := c.opened(t, c.definition(t, topic), nil)
	rows, _ := drain(t, src)
	if want := "b2 plain3 a5 b6"; names(rows) != want || names(scanned(t, src)) != want {
		t.Errorf("read %q, scanned %q; want %q", names(rows), names(scanned(t, src)), want)
	}
	// Every position of a reading in small batches is one to go on from.
	def := c.definition(t, topic)
	def.Batch = 1
	small := c.opened(t, def, nil)
	for n := range rows {
		batch, err := small.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		rest, _ := drain(t, c.opened(t, c.definition(t, topic), batch.Position))
		if names(rest) != names(rows[n+1:]) {
			t.Errorf("after %d rows: %q", n+1, names(rest))
		}
	}
}

// TestOpenTransactionIsWaitedFor reads up to the last stable offset, and on once the transaction has ended.
func TestOpenTransactionIsWaitedFor(t *testing.T) {
	c := apache(t)
	topic := c.newTopic(t, 1)
	p := newTransactions(t, "open-"+topic)
	c.send(t, bus.Message{Topic: topic, Key: []byte("1"), Value: value("1", "before")})
	p.begin(t)
	p.send(t, topic, "2", "open")
	c.send(t, bus.Message{Topic: topic, Key: []byte("3"), Value: value("3", "behind")})
	src := c.opened(t, c.definition(t, topic), nil)
	if rows, _ := drain(t, src); names(rows) != "before" {
		t.Errorf("beside an open transaction: %q", names(rows))
	}
	if found := scanned(t, src); names(found) != "before" {
		t.Errorf("a proof beside an open transaction: %q", names(found))
	}
	p.end(t, kgo.TryCommit)
	for got := ""; got != "open behind"; { // the mark is written behind the answer of EndTransaction
		rows, _ := drain(t, src)
		if got += names(rows); len(rows) > 0 && got != "open behind" {
			t.Fatalf("after the commit: %q", got)
		}
		if err := t.Context().Err(); err != nil {
			t.Fatal(err)
		}
	}
	p.begin(t)
	p.send(t, topic, "4", "lost")
	p.end(t, kgo.TryAbort)
	c.send(t, bus.Message{Topic: topic, Key: []byte("5"), Value: value("5", "last")})
	for got := ""; got != "last"; {
		rows, _ := drain(t, src)
		if got += names(rows); len(rows) > 0 && got != "last" {
			t.Fatalf("after the abort: %q", got)
		}
	}
}

// TestAbortedBeyondAFetch passes over an aborted transaction that is larger than what one fetch brings, at the end of
// the topic and before more messages, in a compacted topic too.
func TestAbortedBeyondAFetch(t *testing.T) {
	for name, settings := range map[string][]string{"delete": {"cleanup.policy", "delete"}, "compact": {"cleanup.policy", "compact"}} {
		t.Run(name, func(t *testing.T) {
			c := apache(t)
			topic := "onewindow.aborted." + name + "." + time.Now().Format("150405.000000000")
			c.createTopic(t, topic, settings...)
			p := newTransactions(t, topic)
			p.begin(t)
			large := longName()
			for i := range 40 {
				p.send(t, topic, "x"+string(rune('a'+i%26)), large)
			}
			p.end(t, kgo.TryAbort)
			src := c.opened(t, c.definition(t, topic), nil)
			if rows, _ := drain(t, src); len(rows) != 0 {
				t.Fatalf("%d rows of what was aborted", len(rows))
			}
			c.send(t, bus.Message{Topic: topic, Key: []byte("1"), Value: value("1", "kept")})
			if rows, _ := drain(t, src); names(rows) != "kept" || names(scanned(t, src)) != "kept" {
				t.Errorf("%q, scanned %q", names(rows), names(scanned(t, src)))
			}
		})
	}
}

// longName is a text that does not go often into one fetch.
func longName() string {
	text := make([]byte, 50_000)
	for i := range text {
		text[i] = 'a' + byte(i*i%26)
	}
	return string(text)
}
