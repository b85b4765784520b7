package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// hubFlags are those of every command that calls a running hub.
type hubFlags struct{ address, tokenFile string }

func addHubFlags(flags *flag.FlagSet) *hubFlags {
	h := &hubFlags{}
	flags.StringVar(&h.address, "address", "127.0.0.1:9090", "gRPC address of the hub")
	flags.StringVar(&h.tokenFile, "token-file", "data/tokens/administrator.token", "file with your token")
	return h
}

// call calls fn with a connection to the hub that sends the token with every
// call. An error that means that there is no hub says so.
func (h *hubFlags) call(fn func(grpc.ClientConnInterface) error) (err error) {
	text, err := os.ReadFile(h.tokenFile)
	if err != nil {
		return wrongUsage(err, "cli.TOKEN_FILE", "file", h.tokenFile)
	}
	token := strings.TrimSpace(string(text))
	if token == "" || strings.ContainsAny(token, " \t\r\n") {
		return wrongUsage(nil, "cli.TOKEN_FILE_CONTENT", "file", h.tokenFile)
	}
	conn, err := grpc.NewClient(h.address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithPerRPCCredentials(bearer(token)), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)))
	if err != nil {
		return wrongUsage(err, "cli.HUB_ADDRESS", "address", h.address)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	return h.explain(fn(conn))
}

// explain turns the transport's complaint into what an operator can do about it.
func (h *hubFlags) explain(err error) error {
	s, ok := status.FromError(err)
	if err == nil || !ok || len(s.Details()) > 0 {
		return err
	}
	cause := errors.New(s.Message())
	holds := func(parts ...string) bool {
		for _, part := range parts {
			if strings.Contains(s.Message(), part) {
				return true
			}
		}
		return false
	}
	pairs := []string{"address", h.address}
	switch {
	case s.Code() == codes.Canceled:
		return errors.Join(err, context.Canceled)
	case s.Code() != codes.Unavailable:
		return err
	case holds("connection refused"):
		return wrong(cause, "cli.HUB_DOWN", pairs...)
	case holds("no such host", "missing port", "too many colons", "unknown port", "name resolver", "produced zero addresses", "invalid port", "server misbehaving"):
		return wrong(cause, "cli.HUB_ADDRESS", pairs...)
	case holds("server preface", "HTTP/1", "http2:", "frame", "EOF", "reset by peer", "tls:"):
		return wrong(cause, "cli.HUB_NOT_GRPC", pairs...)
	}
	return wrong(cause, "cli.HUB_UNREACHABLE", pairs...)
}
