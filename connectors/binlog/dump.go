package binlog

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"os"
	"strings"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"

	"github.com/onewindow/onewindow/connectors"
)

const (
	// maxEvent bounds what is held of one event; of a longer one the head is kept. An event has one row, or is short.
	maxEvent = 16 << 20
	// packetTime is how long the rest of a packet may take once it began.
	packetTime = 30 * time.Second
)

// errQuiet means that nothing arrived in time.
var errQuiet = errors.New("nothing arrived")

// dump is the connection on which the server sends its binlog.
type dump struct {
	conn   *client.Conn
	reader *bufio.Reader
	parser *replication.BinlogParser
	// at is behind the event that was read last.
	at place
	// born is when the file was begun.
	born     uint32
	checksum bool
	scratch  []byte
	sequence byte
	// silent is how long we have waited since anything arrived.
	silent, patience time.Duration
}

// event is one event of the binlog.
type event struct {
	replication.EventHeader
	// start is the offset of the event in its file.
	start uint64
	// body is what follows the header, without checksum. It is valid until the next event is read.
	body []byte
	// cut says that the event was longer than maxEvent.
	cut bool
	// parsed is set of the few types that are not parsed here.
	parsed replication.Event
}

// startDump asks for everything behind a place.
func startDump(ctx context.Context, conn *client.Conn, serverID uint32, from place, flags uint16, heartbeat time.Duration) (*dump, error) {
	ends := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer ends()
	for _, statement := range []string{
		"SET @master_binlog_checksum = @@global.binlog_checksum",
		"SET @source_binlog_checksum = @@global.binlog_checksum",
		"SET @mariadb_slave_capability = 4",
		fmt.Sprintf("SET @master_heartbeat_period = %d", heartbeat.Nanoseconds()),
		fmt.Sprintf("SET @source_heartbeat_period = %d", heartbeat.Nanoseconds()),
		// While the exchange is slow we do not read, and the server must not cut us off at once for it. But if our
		// machine dies, the server does not serve us again under the same number before this has passed.
		"SET SESSION net_write_timeout = 120",
	} {
		if _, err := conn.Execute(statement); err != nil {
			return nil, err
		}
	}
	// The first event says which file this is; whether it has a checksum is said only in the next one.
	checksum, err := conn.Execute("SELECT @@global.binlog_checksum")
	if err != nil {
		return nil, err
	}
	kind, err := checksum.GetString(0, 0)
	if err != nil {
		return nil, err
	}
	command := make([]byte, 4, 32)
	command = append(command, mysql.COM_BINLOG_DUMP)
	command = binary.LittleEndian.AppendUint32(command, uint32(from.Offset)) //nolint:gosec // checked by the caller
	command = binary.LittleEndian.AppendUint16(command, flags)
	command = binary.LittleEndian.AppendUint32(command, serverID)
	command = append(command, from.File...)
	conn.ResetSequence()
	if err := conn.WritePacket(command); err != nil {
		return nil, err
	}
	d := &dump{
		conn: conn, parser: replication.NewBinlogParser(), at: from, sequence: 1, checksum: strings.EqualFold(kind, "CRC32"),
		// The server has nothing more to say on this connection than what it was asked for last, so its own buffer is empty.
		reader:   bufio.NewReaderSize(conn.Conn.Conn, 64<<10),
		patience: max(3*heartbeat, 5*time.Second),
	}
	d.parser.SetVerifyChecksum(true)
	for d.born == 0 { // the first thing sent is what file this is, and of what format
		if _, err := d.next(ctx, packetTime); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// next returns the next event, or errQuiet if none begins to arrive within wait.
func (d *dump) next(ctx context.Context, wait time.Duration) (*event, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !d.buffered() {
		ends := context.AfterFunc(ctx, func() { _ = d.conn.SetReadDeadline(time.Unix(1, 0)) })
		defer ends()
		if err := d.await(ctx, wait); err != nil {
			return nil, err
		}
	}
	d.silent = 0
	packet, err := d.packet(ctx)
	if err != nil {
		return nil, d.broken(ctx, err)
	}
	return d.parse(packet)
}

// buffered says whether all of the next packet is here.
func (d *dump) buffered() bool {
	if d.reader.Buffered() < 4 {
		return false
	}
	head, _ := d.reader.Peek(4) // it is there
	size := int(head[0]) | int(head[1])<<8 | int(head[2])<<16
	return size < mysql.MaxPayloadLen && d.reader.Buffered() >= 4+size
}

// await waits until a packet begins and gives it the time that a packet may take.
func (d *dump) await(ctx context.Context, wait time.Duration) error {
	since := time.Now()
	if d.reader.Buffered() == 0 {
		if err := d.until(ctx, since.Add(wait)); err != nil {
			return d.broken(ctx, err)
		}
		_, err := d.reader.Peek(1)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() == nil:
			if d.silent += time.Since(since); d.silent > d.patience {
				return connectors.Away(connectors.FaultUnreachable, nil, "the server has sent nothing for %s, not even signs of life", d.silent.Round(time.Second))
			}
			return errQuiet
		case err != nil:
			return d.broken(ctx, err)
		}
	}
	if err := d.until(ctx, time.Now().Add(packetTime)); err != nil {
		return d.broken(ctx, err)
	}
	return nil
}

// until sets the deadline of reading, unless ctx has ended, which may have set its own just before.
func (d *dump) until(ctx context.Context, deadline time.Time) error {
	if err := d.conn.SetReadDeadline(deadline); err != nil {
		return err
	}
	return ctx.Err()
}

func (d *dump) broken(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, connectors.ErrRefused), errors.Is(err, connectors.ErrNotConnected):
		return err
	}
	return connectors.Away(connectors.FaultUnreachable, err, "the server stopped sending its binlog")
}

// packet reads one packet, of a long one only the head; it reports what the server says instead of events.
func (d *dump) packet(ctx context.Context) ([]byte, error) {
	d.scratch = d.scratch[:0]
	if cap(d.scratch) > 1<<20 {
		d.scratch = nil // one long event must not stay in memory for good
	}
	for more := true; more; {
		var head [4]byte
		if _, err := io.ReadFull(d.reader, head[:]); err != nil {
			return nil, err
		}
		if head[3] != d.sequence {
			return nil, fmt.Errorf("packet %d came where %d was due", head[3], d.sequence)
		}
		d.sequence++
		size := int(head[0]) | int(head[1])<<8 | int(head[2])<<16
		more = size == mysql.MaxPayloadLen
		kept := min(size, max(maxEvent-len(d.scratch), 0))
		start := len(d.scratch)
		d.scratch = append(d.scratch, make([]byte, kept)...)
		if _, err := io.ReadFull(d.reader, d.scratch[start:]); err != nil {
			return nil, err
		}
		if _, err := io.CopyN(io.Discard, d.reader, int64(size-kept)); err != nil {
			return nil, err
		}
		if more {
			if err := d.until(ctx, time.Now().Add(packetTime)); err != nil {
				return nil, err
			}
		}
	}
	if len(d.scratch) == 0 {
		return nil, errors.New("an empty packet")
	}
	switch d.scratch[0] {
	case mysql.OK_HEADER:
		return d.scratch[1:], nil
	case mysql.ERR_HEADER:
		return nil, d.conn.HandleErrorPacket(d.scratch)
	}
	return nil, fmt.Errorf("the server ended its binlog (packet %#x)", d.scratch[0])
}

// parse reads the head of an event and follows where it lies.
func (d *dump) parse(packet []byte) (e *event, err error) {
	defer func() {
		if p := recover(); p != nil { // the parser indexes without looking
			e, err = nil, connectors.Away(connectors.FaultUnclassified, nil, "an event of the binlog near %s cannot be understood: %v", d.at, p)
		}
	}()
	e = &event{}
	if err := e.Decode(packet); err != nil {
		return nil, connectors.Away(connectors.FaultUnclassified, err, "an event of the binlog near %s cannot be understood", d.at)
	}
	e.cut = int64(len(packet)) < int64(e.EventSize)
	e.body = packet[replication.EventHeaderSize:]
	switch e.EventType {
	case replication.FORMAT_DESCRIPTION_EVENT, replication.TABLE_MAP_EVENT,
		replication.QUERY_EVENT, replication.MARIADB_QUERY_COMPRESSED_EVENT:
		if e.cut && e.EventType != replication.QUERY_EVENT {
			return nil, connectors.Away(connectors.FaultUnclassified, nil, "an event of the binlog near %s is too long", d.at)
		}
		if e.cut { // the head of the statement says enough
			e.parsed, err = parseQuery(e.body)
			break
		}
		var whole *replication.BinlogEvent
		if whole, err = d.parser.Parse(append([]byte(nil), packet...)); err == nil { // the parser keeps it
			e.parsed = whole.Event
		}
	default:
		if d.checksum && !e.cut {
			if len(e.body) < replication.BinlogChecksumLength {
				return nil, connectors.Away(connectors.FaultUnclassified, nil, "an event of the binlog near %s is too short", d.at)
			}
			end := len(packet) - replication.BinlogChecksumLength
			if crc32.ChecksumIEEE(packet[:end]) != binary.LittleEndian.Uint32(packet[end:]) {
				err = replication.ErrChecksumMismatch
			}
			e.body = packet[replication.EventHeaderSize:end]
		}
		if e.EventType == replication.ROTATE_EVENT && err == nil {
			rotate := &replication.RotateEvent{}
			err = rotate.Decode(bytes.Clone(e.body))
			e.parsed = rotate
		}
	}
	if err != nil {
		return nil, connectors.Away(connectors.FaultUnclassified, eventCause(err), "an event of the binlog near %s cannot be understood", d.at)
	}
	d.follow(e)
	return e, nil
}

// eventCause leaves the data out of an error of the parser, which writes it out.
func eventCause(err error) error {
	var broken *replication.EventError
	if errors.As(err, &broken) {
		return errors.New(broken.Err)
	}
	return err
}

// parseQuery reads the head of a statement that is too long.
func parseQuery(body []byte) (replication.Event, error) {
	q := &replication.QueryEvent{}
	err := q.Decode(body)
	return q, err
}

// follow moves at behind the event. Offsets in events have 32 bits only, and
// events that are not in the file have none; MariaDB 11.4 writes none inside of transactions.
func (d *dump) follow(e *event) {
	switch p := e.parsed.(type) {
	case *replication.RotateEvent:
		d.at = place{string(p.NextLogName), p.Position}
		d.born = 0
		return
	case *replication.FormatDescriptionEvent:
		d.checksum = p.ChecksumAlgorithm == replication.BINLOG_CHECKSUM_ALG_CRC32
		d.born = max(e.Timestamp, 1)
	}
	if e.Flags&replication.LOG_EVENT_ARTIFICIAL_F != 0 || e.EventType == replication.HEARTBEAT_EVENT {
		return
	}
	if e.EventType == replication.FORMAT_DESCRIPTION_EVENT && e.LogPos == 0 {
		return // sent again because we start in the middle of the file
	}
	end := d.at.Offset + uint64(e.EventSize)
	if e.LogPos != 0 && uint32(end) != e.LogPos { //nolint:gosec // these are the lower bits
		end = end&^(1<<32-1) | uint64(e.LogPos)
		if end < d.at.Offset {
			end += 1 << 32
		}
	}
	d.at.Offset = end
	e.start = end - min(uint64(e.EventSize), end)
}

// Close ends the connection.
func (d *dump) close() {
	if err := d.conn.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return // there is nobody left to tell
	}
}
