package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"google.golang.org/grpc/codes"

	"github.com/onewindow/onewindow/exchange"
	"github.com/onewindow/onewindow/exchange/bus"
	"github.com/onewindow/onewindow/exchange/server"
	"github.com/onewindow/onewindow/exchange/sqldb"
)

const (
	// diskLow and diskFull are shares of the file system in use, in percent: from the first a warning is shown, from
	// the second nothing is taken in. What is left belongs to what was taken in already: the sink, the state database
	// and the keys go on with it.
	diskLow  = 85
	diskFull = 95
)

// disk is the file system of the data folder.
type disk struct{ dir string }

// space is how much of a file system is used.
type space struct {
	used float64 // percent; of the bytes or of the inodes, whichever is nearer the end
	free uint64  // bytes
}

// measure asks the file system, which takes a microsecond or two.
func (d disk) measure() (space, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(d.dir, &s); err != nil {
		return space{}, fmt.Errorf("ask the file system of the data folder: %w", err)
	}
	size := uint64(s.Bsize) //nolint:gosec // never negative
	out := space{free: s.Bavail * size, used: share(s.Blocks-s.Bfree, s.Bavail)}
	if s.Files > 0 { // some file systems have no limit of inodes
		out.used = max(out.used, share(s.Files-s.Ffree, s.Ffree))
	}
	return out, nil
}

// share is what df calls Use%: what only root may use does not count.
func share(used, available uint64) float64 {
	if used+available == 0 {
		return 0
	}
	return 100 * float64(used) / float64(used+available)
}

// room returns an error that wraps exchange.ErrDiskFull when so many bytes more
// must not be taken in.
func (d disk) room(bytes int) error {
	s, err := d.measure()
	if err != nil {
		return err
	}
	// What is taken in is written to the topic, then to the engine.
	if s.used >= diskFull || s.free < 2*uint64(bytes) { //nolint:gosec // a length
		return fmt.Errorf("%w: %s; nothing of this request was stored: make room in the data folder's file system and send it again", exchange.ErrDiskFull, s)
	}
	return nil
}

// String is for people.
func (s space) String() string {
	return fmt.Sprintf("%.0f %% used, %.0f MB free", s.used, float64(s.free)/1e6)
}

// check is the disk's part of /readyz.
func (d disk) check(context.Context) (string, error) {
	s, err := d.measure()
	switch {
	case err != nil:
		return "", err
	case s.used >= diskFull:
		return "", server.Warning{Code: "DISK_FULL", Text: fmt.Sprintf("%s: intake has stopped, and goes on by itself below %d %%; make room", s, diskFull)}
	case s.used >= diskLow:
		return "", server.Warning{Code: "DISK_LOW", Text: fmt.Sprintf("%s: intake stops at %d %%; make room", s, diskFull)}
	}
	return s.String(), nil
}

// guardedTopics are the topics as the intake of records sees them: closed while
// the disk is full, so that what shares the disk can finish its work.
type guardedTopics struct {
	*bus.Bus
	disk disk
}

// Publish publishes the messages if there is room for them.
func (t guardedTopics) Publish(ctx context.Context, msgs ...bus.Message) ([]bus.Position, error) {
	bytes := 0
	for i := range msgs {
		bytes += len(msgs[i].Key) + len(msgs[i].Value)
	}
	if err := t.disk.room(bytes); err != nil {
		return nil, err
	}
	return t.Bus.Publish(ctx, msgs...)
}

// intake is where records are published: guarded when anything that they become
// is kept on this machine's disk.
func (h *hub) intake() exchange.Topics {
	if h.cfg.Topics != embedded && h.cfg.ClickHouse != embedded && h.cfg.Database != embedded {
		return h.topics
	}
	return guardedTopics{Bus: h.topics, disk: h.disk()}
}

func (h *hub) disk() disk { return disk{dir: h.cfg.Data} }

// diskErrors is how a disk that is full in spite of the reserve shows to
// callers, whichever part of the process has met it.
func diskErrors() []server.ErrorRule {
	return []server.ErrorRule{{
		Match: func(err error) bool {
			return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || sqldb.Full(err)
		},
		Code: codes.ResourceExhausted, Reason: "DISK_FULL",
		Text: "the disk of the hub is full: make room in the data folder's file system and send the request again",
	}}
}
