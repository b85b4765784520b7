package topic

import (
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/exchange/bus"
)

// TestTransactions reads a topic that another system writes with transactions: the marks between the messages, and at
// the end of the partition, are neither rows nor gaps, and the source is caught up behind them.
func TestTransactions(t *testing.T) {
	c := apache(t)
	topic := c.newTopic(t, 1)
	c.send(t, bus.Message{Topic: topic, Key: []byte("a"), Value: value("a", "a")})
	id := "tx-" + topic
	// until repeats a request while the coordinator is being found (14, 15, 16) or still ends the transaction before (51).
	until := func(what string, code func(answer []byte) uint16, api, version uint16, body ...[]byte) []byte {
		for {
			answer := ask(t, api, version, body...)
			switch n := code(answer); {
			case n == 0:
				return answer
			case n != 14 && n != 15 && n != 16 && n != 51 || t.Context().Err() != nil:
				t.Fatalf("%s answers with code %d", what, n)
			}
			ask(t, 10, 1, text(id), []byte{1}) // FindCoordinator
		}
	}
	behindThrottle := func(answer []byte) uint16 { return binary.BigEndian.Uint16(answer[4:]) }
	atEnd := func(answer []byte) uint16 { return binary.BigEndian.Uint16(answer[len(answer)-2:]) }
	inProduce := func(answer []byte) uint16 { return binary.BigEndian.Uint16(answer[4+2+len(topic)+4+4:]) }

	producer := until("InitProducerId", behindThrottle, 22, 0, text(id), integer(60_000))[6:16] // id and epoch
	for i, name := range []string{"b", "c"} {
		until("AddPartitionsToTxn", atEnd, 24, 0, text(id), producer, integer(1), text(topic), integer(1), integer(0))
		batch := transactionalBatch(producer, i, name, value(name, name))
		until("Produce", inProduce, 0, 3, text(id), []byte{0xff, 0xff}, integer(10_000), integer(1), text(topic), integer(1), integer(0), integer(len(batch)), batch)
		until("EndTxn", behindThrottle, 26, 0, text(id), producer, []byte{1})
	}
	src := c.opened(t, c.definition(t, topic), nil)
	rows, last := drain(t, src)
	if names(rows) != "a b c" {
		t.Fatalf("%q", names(rows))
	}
	if rows, _ := drain(t, src); len(rows) != 0 {
		t.Errorf("%d rows behind the end", len(rows))
	}
	var scanned []connectors.Row
	err := src.(connectors.Scanner).Scan(t.Context(), connectors.KeyRange{}, func(rows []connectors.Row) error {
		scanned = append(scanned, rows...)
		return nil
	})
	if err != nil || names(scanned) != "a b c" {
		t.Errorf("scanned up to the marks at the end: %q, %v", names(scanned), err)
	}
	c.send(t, bus.Message{Topic: topic, Key: []byte("d"), Value: value("d", "d")})
	if rows, next := drain(t, c.opened(t, c.definition(t, topic), last.Position)); names(rows) != "d" || next.Gap {
		t.Errorf("after the marks: %q, gap %v", names(rows), next.Gap)
	}
}

// transactionalBatch is a record batch (version 2) with one record.
func transactionalBatch(producer []byte, sequence int, key string, value []byte) []byte {
	varint := func(dst []byte, n int) []byte { return binary.AppendVarint(dst, int64(n)) }
	record := []byte{0, 0, 0} // attributes, time and offset deltas
	record = append(varint(record, len(key)), key...)
	record = append(varint(record, len(value)), value...)
	record = append(varint(nil, len(record)+1), append(record, 0)...) // no headers
	body := binary.BigEndian.AppendUint16(nil, 0x10)                  // transactional
	body = append(body, integer(0)...)                                // last offset delta
	for range 2 {
		body = binary.BigEndian.AppendUint64(body, 1_762_128_000_000) // first and last time
	}
	body = append(append(append(body, producer...), integer(sequence)...), integer(1)...)
	body = append(body, record...)
	batch := append(integer(-1), 2) // leader epoch, version
	batch = append(binary.BigEndian.AppendUint32(batch, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli))), body...)
	return append(append(make([]byte, 8), integer(len(batch))...), batch...)
}
