package pglog

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

// TestSlowLine receives messages in pieces that come in time, each, although
// the whole takes longer, and then one that stops.
func TestSlowLine(t *testing.T) {
	here, there := net.Pipe()
	defer func() { _, _ = here.Close(), there.Close() }()
	w := &wire{conn: here, in: bufio.NewReaderSize(here, bufferBytes), silence: 300 * time.Millisecond}
	for _, size := range []int{100, bufferBytes, maxWhole + 1} {
		body := append(append(make([]byte, 0, size), 'w'), make([]byte, 24)...)
		body = append(body, 'I', 0, 0, 0, 1)
		body = append(body, tuple('N', string(bytes.Repeat([]byte("x"), size-len(body)-8)))...)
		message := append(binary.BigEndian.AppendUint32([]byte{pgCopyData}, uint32(4+len(body))), body...)
		go func() {
			for left := 8; left > 0; left-- {
				n := len(message) / left
				if _, err := there.Write(message[:n]); err != nil {
					return // the test is over
				}
				message = message[n:]
				time.Sleep(w.silence / 6) // the line is that slow
			}
		}()
		got, err := w.next(t.Context(), time.Now().Add(10*time.Second))
		if err != nil || got[0] != 'w' || size <= maxWhole && !bytes.Equal(got, body) || w.cut != (size > maxWhole) {
			t.Fatalf("message of %d bytes: %d bytes, %v", size, len(got), err)
		}
	}
	go func() { _, _ = there.Write([]byte{pgCopyData, 0, 0, 1, 0, 'w'}) }()
	if _, err := w.next(t.Context(), time.Now().Add(10*time.Second)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("half a message gave %v", err)
	}
}
