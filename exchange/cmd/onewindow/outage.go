package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"sync"
	"time"

	connectorsv1 "github.com/onewindow/onewindow/proto/connectors/v1"
)

// line is a TCP line to a department's database that can be cut and mended.
type line struct {
	listener net.Listener
	target   string

	mu   sync.Mutex
	open map[net.Conn]bool
	cut  bool
}

// newLine listens on a free port of this machine.
func newLine(ctx context.Context, target string) (*line, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &line{listener: listener, target: target, open: map[net.Conn]bool{}}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			go l.join(ctx, client)
		}
	}()
	return l, nil
}

// join copies both ways until one side ends or the line is cut.
func (l *line) join(ctx context.Context, client net.Conn) {
	defer client.Close() //nolint:errcheck // a cut line
	server, err := new(net.Dialer).DialContext(ctx, "tcp", l.target)
	if err != nil {
		return
	}
	defer server.Close() //nolint:errcheck // a cut line
	l.mu.Lock()
	if l.cut {
		l.mu.Unlock()
		return
	}
	l.open[client], l.open[server] = true, true
	l.mu.Unlock()
	done := make(chan struct{}, 2)
	for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
		go func() {
			_, _ = io.Copy(way[0], way[1]) // ends with the line
			done <- struct{}{}
		}()
	}
	<-done
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.open, client)
	delete(l.open, server)
}

// set cuts the line, or mends it.
func (l *line) set(cut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cut = cut
	if cut {
		for conn := range l.open {
			_ = conn.Close() // that is the point
		}
	}
}

// outage cuts the department off for a while, takes its log away and adds a
// column meanwhile, and waits until each is told and got over.
func (d *connectorDrill) outage(ctx context.Context, client *client) error {
	d.line.set(true)
	for _, source := range drillSources {
		if err := d.awaitCode(ctx, client, source, "UNREACHABLE"); err != nil {
			return err
		}
	}
	d.say("cut off: both sources say UNREACHABLE; for %s", d.cutOff)
	working, stop := context.WithTimeout(ctx, d.cutOff)
	err := d.department.work(working, d.clerks)
	stop()
	if err != nil || ctx.Err() != nil {
		return errors.Join(err, ctx.Err())
	}
	if err := d.department.loseLog(ctx); err != nil {
		return err
	}
	if _, err := d.department.db.ExecContext(ctx, "ALTER TABLE "+d.department.table+" ADD COLUMN river VARCHAR(40)"); err != nil {
		return err
	}
	d.say("meanwhile the log was taken away and a column added; the line is mended")
	lost := map[string]string{"postgres": "SLOT_LOST", "mariadb": "LOG_PURGED"}[d.department.driver]
	d.line.set(false)
	if err := d.awaitCode(ctx, client, "water/log", lost); err != nil {
		return err
	}
	d.say("water/log says %s", lost)
	if err := d.catchUp(ctx, client); err != nil {
		return err
	}
	// The deletes of that time are in no log any more: they are found by the reconciliation that follows by itself.
	for {
		list, err := client.connectors.ListProofs(ctx, &connectorsv1.ListProofsRequest{Source: "water/log"})
		if err != nil {
			return err
		}
		if len(list.GetProofs()) > 0 && list.GetProofs()[0].GetEndTime() != nil && list.GetProofs()[0].GetFault() == "" {
			p := list.GetProofs()[0]
			d.say("water/log reconciled by itself: missing %d, different %d, deleted at the source %d; put right %d", p.GetMissing(), p.GetDifferent(), p.GetExtra(), p.GetRepaired())
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// awaitCode waits until a source says what is wrong with it.
func (d *connectorDrill) awaitCode(ctx context.Context, client *client, source, code string) error {
	for {
		list, err := client.connectors.ListSources(ctx, &connectorsv1.ListSourcesRequest{})
		if err != nil {
			return err
		}
		for _, s := range list.GetSources() {
			if s.GetName() == source && s.GetFaultCode() == code {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// loseLog takes away what change capture needs to go on where it was.
func (d *departmentDB) loseLog(ctx context.Context) error {
	if d.driver == "postgres" {
		return d.dropSlots(ctx)
	}
	if _, err := d.db.ExecContext(ctx, "FLUSH BINARY LOGS"); err != nil {
		return err
	}
	// A file that the server still sends, because it has not noticed the cut yet, is not purged.
	for {
		files, err := d.binlogs(ctx)
		if err != nil || len(files) == 1 {
			return err
		}
		if _, err := d.db.ExecContext(ctx, fmt.Sprintf("PURGE BINARY LOGS TO '%s'", files[len(files)-1])); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// binlogs lists the files of the binlog, the current one last.
func (d *departmentDB) binlogs(ctx context.Context) ([]string, error) {
	rows, err := d.db.QueryContext(ctx, "SHOW BINARY LOGS")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var files []string
	for rows.Next() {
		var file string
		var size int64
		if err := rows.Scan(&file, &size); err != nil {
			return nil, err
		}
		files = append(files, file)
	}
	return files, rows.Err()
}

// through is the address of the database over a line.
func (d *departmentDB) through(l *line) (string, error) {
	u, err := url.Parse(d.dsn)
	if err != nil {
		return "", err
	}
	u.Host = l.listener.Addr().String()
	return u.String(), nil
}

// host is where the database listens.
func (d *departmentDB) host() (string, error) {
	u, err := url.Parse(d.dsn)
	if err != nil {
		return "", err
	}
	return u.Host, nil
}
