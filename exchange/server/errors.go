package server

import "errors"

var (
	// ErrConfig is wrapped by [New] for a configuration or a service that cannot be served.
	ErrConfig = errors.New("server: invalid configuration")
	// ErrListen is wrapped by [Listen] when the address cannot be had.
	ErrListen = errors.New("server: cannot listen")
	// ErrServed is returned by [Server.Serve] when it is called a second time.
	ErrServed = errors.New("server: already served")
)
