package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
)

// Listen opens a TCP port at address ("127.0.0.1:8080"; port 0 is any free
// one). An error wraps [ErrListen] and says which address and what to do.
func Listen(ctx context.Context, address string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
	if err == nil {
		return l, nil
	}
	advice := "check the address"
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		advice = "another program, or another onewindow, has this port; stop it or choose another address"
	case errors.Is(err, syscall.EACCES):
		advice = "this user may not open this port; choose one above 1023"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		advice = "this machine does not have that address; use 127.0.0.1, 0.0.0.0 or one of its own"
	}
	return nil, fmt.Errorf("%w on %s: %s: %w", ErrListen, address, advice, err)
}
