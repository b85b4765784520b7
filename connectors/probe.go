package connectors

import (
	"bytes"
	"context"
	"net"
	"time"
)

const (
	probeDial = 2 * time.Second
	// probeGreeting is how long a server may take to greet, and then to answer.
	probeGreeting = 500 * time.Millisecond
	probeBytes    = 64
)

// The kinds of server that [Answering] knows.
const (
	AnswersSSH   = "an SSH server"
	AnswersMySQL = "a MySQL or MariaDB database"
	AnswersHTTP  = "an HTTP server"
	AnswersTLS   = "a server that wants TLS"
	AnswersMail  = "an FTP or mail server"
)

// Answering returns what kind of server is at an address (host:port), in words for a fault, or "" if it cannot be
// known. Sources ask after a connection failed, so that a wrong port is called one. It takes at most some seconds.
func Answering(ctx context.Context, address string) string {
	ctx, cancel := context.WithTimeout(ctx, probeDial+2*probeGreeting)
	defer cancel()
	conn, err := (&net.Dialer{Timeout: probeDial}).DialContext(ctx, "tcp", address)
	if err != nil {
		return ""
	}
	defer func() { _ = conn.Close() }()
	read := func() []byte {
		answer := make([]byte, probeBytes)
		if conn.SetDeadline(time.Now().Add(probeGreeting)) != nil {
			return nil
		}
		n, _ := conn.Read(answer) // no answer is one, too
		return answer[:n]
	}
	if what := serverOf(read()); what != "" {
		return what
	}
	if err := conn.SetDeadline(time.Now().Add(probeGreeting)); err != nil {
		return ""
	}
	if _, err := conn.Write([]byte("GET / HTTP/1.0\r\n\r\n")); err != nil {
		return ""
	}
	return serverOf(read())
}

// Mistaken returns a fault that names the server at an address, if it is known and of another kind than own; otherwise
// fault. where says, for the fault, in which member or file the address stands.
func Mistaken(ctx context.Context, fault error, address, own, where string) error {
	what := Answering(ctx, address)
	if what == "" || what == own {
		return fault
	}
	return Refused(FaultNotThis, nil, "at the address in %s there is %s; correct host and port", where, what)
}

// serverOf knows a kind of server by the first bytes that it sends.
func serverOf(first []byte) string {
	switch {
	case bytes.HasPrefix(first, []byte("SSH-")):
		return AnswersSSH
	case bytes.HasPrefix(first, []byte("HTTP/")):
		return AnswersHTTP
	case bytes.HasPrefix(first, []byte("220 ")), bytes.HasPrefix(first, []byte("220-")):
		return AnswersMail
	case len(first) > 2 && first[0] == 0x15 && first[1] == 3: // an alert
		return AnswersTLS
	case len(first) > 4 && first[3] == 0 && (first[4] == 10 || first[4] == 0xff): // greeting of protocol 10, or a refusal
		return AnswersMySQL
	}
	return ""
}
