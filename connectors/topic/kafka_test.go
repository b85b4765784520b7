package topic

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/onewindow/onewindow/exchange/bus"
)

// What an operator of the other system does, which our bus cannot: requests of Kafka's protocol, byte by byte.
const (
	apiCreateTopics     = 19
	apiDeleteTopics     = 20
	apiDeleteRecords    = 21
	apiCreatePartitions = 37
)

func text(s string) []byte {
	return append(binary.BigEndian.AppendUint16(nil, uint16(len(s))), s...)
}

func integer(n int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(n)) }

// ask sends a request and returns the answer behind its correlation id.
func ask(t *testing.T, api, version uint16, body ...[]byte) []byte {
	t.Helper()
	conn, err := net.Dial("tcp", kafkaAddress(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	message := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, api), version)
	message = append(append(message, integer(1)...), text("test")...)
	message = append(message, bytes.Join(body, nil)...)
	if _, err := conn.Write(append(integer(len(message)), message...)); err != nil {
		t.Fatal(err)
	}
	answer, err := frame(conn)
	if err != nil {
		t.Fatal(err)
	}
	return answer[4:]
}

// frame reads one message of Kafka's protocol, without its length.
func frame(r io.Reader) ([]byte, error) {
	var size [4]byte
	if _, err := io.ReadFull(r, size[:]); err != nil {
		return nil, err
	}
	message := make([]byte, binary.BigEndian.Uint32(size[:]))
	_, err := io.ReadFull(r, message)
	return message, err
}

// deleteRecords deletes the messages of partition 0 before an offset, as retention does.
func (c *cluster) deleteRecords(t *testing.T, topic string, before int) {
	t.Helper()
	if c.dir != "" {
		if err := c.current().Trim(t.Context(), topic, 0, int64(before)); err != nil {
			t.Fatal(err)
		}
		return
	}
	answer := ask(t, apiDeleteRecords, 0, integer(1), text(topic), integer(1), integer(0), integer(0), integer(before), integer(10_000))
	if code := binary.BigEndian.Uint16(answer[len(answer)-2:]); code != 0 {
		t.Fatalf("DeleteRecords answers with code %d", code)
	}
}

// createTopic makes a topic of one partition with settings, names and values in turn.
func (c *cluster) createTopic(t *testing.T, topic string, settings ...string) {
	t.Helper()
	body := [][]byte{integer(1), text(topic), integer(1), {0, 1}, integer(0), integer(len(settings) / 2)} // one replica
	for _, s := range settings {
		body = append(body, text(s))
	}
	answer := ask(t, apiCreateTopics, 2, append(body, integer(10_000), []byte{0})...)
	if code := binary.BigEndian.Uint16(answer[4+4+2+len(topic):]); code != 0 {
		t.Fatalf("CreateTopics answers with code %d", code)
	}
	if err := c.current().EnsureTopic(t.Context(), topic, bus.TopicOptions{Partitions: 1, Retention: time.Hour}); err != nil {
		t.Fatal(err)
	}
}

// awaitTick waits for the cluster to do by itself what nobody can ask it for.
func awaitTick(t *testing.T) {
	t.Helper()
	select {
	case <-time.After(time.Second):
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
}

// addPartitions raises the number of partitions.
func (c *cluster) addPartitions(t *testing.T, topic string, count int) {
	t.Helper()
	answer := ask(t, apiCreatePartitions, 0, integer(1), text(topic), integer(count), integer(-1), integer(10_000), []byte{0})
	if code := binary.BigEndian.Uint16(answer[8+2+len(topic):]); code != 0 {
		t.Fatalf("CreatePartitions answers with code %d", code)
	}
}

// makeAnew deletes a topic and creates it again.
func (c *cluster) makeAnew(t *testing.T, topic string) {
	t.Helper()
	if c.dir != "" {
		start := c.stop(t)
		c.dir = t.TempDir()
		start()
	} else {
		answer := ask(t, apiDeleteTopics, 1, integer(1), text(topic), integer(10_000))
		if code := binary.BigEndian.Uint16(answer[len(answer)-2:]); code != 0 {
			t.Fatalf("DeleteTopics answers with code %d", code)
		}
	}
	deadline := time.Now().Add(20 * time.Second)
	for { // the broker takes the name again once the old files are out of the way
		err := c.current().EnsureTopic(t.Context(), topic, bus.TopicOptions{Partitions: 1, Retention: time.Hour})
		if _, end, berr := c.current().Bounds(t.Context(), topic, 0); err == nil && berr == nil && end == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("topic is not made anew: %v", err)
		}
	}
}

// proxy stands between a source and a broker, which it makes known under its own address.
type proxy struct {
	listener net.Listener
	target   string
	mu       sync.Mutex
	conns    map[net.Conn]struct{}
	down     bool
}

func newProxy(t *testing.T, target string) *proxy {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: listener, target: target, conns: map[net.Conn]struct{}{}}
	t.Cleanup(func() { _ = listener.Close(); p.cut() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go p.serve(conn)
		}
	}()
	return p
}

// track notes connections until done is called; it says no if the proxy is down.
func (p *proxy) track(conns ...net.Conn) (done func(), ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		if p.down {
			_ = c.Close()
		}
		p.conns[c] = struct{}{}
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, c := range conns {
			_ = c.Close()
			delete(p.conns, c)
		}
	}, !p.down
}

func (p *proxy) serve(client net.Conn) {
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		_ = client.Close()
		return
	}
	done, ok := p.track(client, server)
	if !ok {
		done()
		return
	}
	go func() { defer done(); _, _ = io.Copy(server, client) }()
	defer done()
	theirs, ours := address(p.target), address(p.listener.Addr().String())
	for {
		message, err := frame(server)
		if err != nil {
			return
		}
		message = bytes.ReplaceAll(message, theirs, ours)
		if _, err := client.Write(append(integer(len(message)), message...)); err != nil {
			return
		}
	}
}

// address is "host:port" as Kafka's metadata has it.
func address(hostport string) []byte {
	host, port, _ := net.SplitHostPort(hostport)
	n, _ := strconv.Atoi(port)
	return append([]byte(host), integer(n)...)
}

// cut closes all connections, and new ones at once, until mend is called.
func (p *proxy) cut() (mend func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = true
	for c := range p.conns {
		_ = c.Close()
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.down = false
	}
}
