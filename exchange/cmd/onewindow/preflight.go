package main

import (
	"context"
	"errors"
	"os"
	"strconv"
	"syscall"

	"github.com/onewindow/onewindow/exchange/server"
)

// setting is an address to listen on, under the name by which it can be changed.
type setting struct{ name, address string }

// listenSettings are the addresses that the roles of a configuration open.
func (c Config) listenSettings() []setting {
	var all []setting
	if c.has(roleAPI) || c.has(roleSigning) {
		all = append(all, setting{"listen.grpc", c.Listen.GRPC}, setting{"listen.rest", c.Listen.REST})
	}
	if c.has(roleEngine) {
		all = append(all, setting{"listen.engine", c.Listen.Engine})
	}
	return all
}

// preflight tries what a start most often fails on, before anything is opened
// or written: the data folder and every port. It returns every fault at once.
func preflight(ctx context.Context, data string, settings []setting) error {
	faults := []error{tryFolder(data)}
	for _, s := range settings {
		faults = append(faults, tryPort(ctx, s))
	}
	return errors.Join(faults...)
}

// tryFolder makes the data folder and a file in it, which goes again.
func tryFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return wrong(err, "cli.DATA_FOLDER", "folder", dir)
	}
	f, err := os.CreateTemp(dir, ".writable-*")
	if err == nil {
		err = errors.Join(f.Close(), os.Remove(f.Name()))
	}
	switch {
	case errors.Is(err, syscall.ENOSPC):
		return wrong(err, "cli.DISK_FULL")
	case err != nil:
		return wrong(err, "cli.DATA_FOLDER", "folder", dir)
	}
	return nil
}

// tryPort opens a port and closes it again.
func tryPort(ctx context.Context, s setting) error {
	listener, err := server.Listen(ctx, s.address)
	if err == nil {
		return listener.Close()
	}
	pairs := []string{"address", s.address, "setting", s.name}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		if pid, program, ok := portHolder(s.address); ok {
			return wrong(err, "cli.PORT_HELD", append(pairs, "program", program, "pid", strconv.Itoa(pid))...)
		}
		return wrong(err, "cli.PORT_TAKEN", pairs...)
	case errors.Is(err, syscall.EACCES):
		return wrong(err, "cli.PORT_FORBIDDEN", pairs...)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return wrong(err, "cli.PORT_ELSEWHERE", pairs...)
	}
	return wrong(err, "cli.PORT_ADDRESS", pairs...)
}
