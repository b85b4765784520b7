package binlog

import (
	"context"
	"errors"
	"strings"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/sqltable"
)

// checked opens the table for a scan, or returns all that is wrong with it and with the server at once.
func (s *source) checked(ctx context.Context) (*sqltable.Table, error) {
	other := &source{def: s.def, cfg: s.cfg, log: s.log} // the connections of s are used by its Reads
	cfg := s.tableConfig()
	cfg.LogPlace = false
	table, err := sqltable.OpenTable(ctx, cfg)
	faults := []error{err}
	if err == nil {
		other.rows, other.selected = table, table.Selected()
		_ = table.Close() // one connection at a time
	}
	if serr := other.connect(ctx); serr != nil {
		if err == nil || !sameCode(err, serr) {
			faults = append(faults, serr)
		}
	} else {
		_, derr := other.control.end(ctx, s.limit())
		if derr != nil {
			faults = append(faults, s.fault(ctx, "asking for the end of the binlog", derr))
		}
		if err == nil {
			if _, cerr := other.describe(ctx); cerr != nil {
				faults = append(faults, cerr)
			}
		}
		if rerr := other.mayReplicate(ctx); rerr != nil {
			faults = append(faults, rerr)
		}
		other.release()
	}
	return table, errors.Join(faults...)
}

// sameCode says whether two faults are about the same.
func sameCode(a, b error) bool {
	var f, g *connectors.Fault
	return errors.As(a, &f) && errors.As(b, &g) && f.Code == g.Code
}

// mayReplicate looks whether the user has the right to read the binlog, without
// asking for it: that would cut off the source that reads it under the same number.
func (s *source) mayReplicate(ctx context.Context) error {
	rows, err := s.control.query(ctx, s.limit(), "SHOW GRANTS")
	if err != nil {
		return s.fault(ctx, "asking for the rights", err)
	}
	for _, row := range rows {
		for _, grant := range row {
			rights, on, ok := strings.Cut(strings.ToUpper(grant), " ON ")
			if !ok { // a role, whose rights are not listed here
				return nil
			}
			all := strings.HasPrefix(on, "*.*")
			if all && (strings.Contains(rights+",", "REPLICATION SLAVE,") || strings.Contains(rights, "ALL PRIVILEGES")) {
				return nil
			}
		}
	}
	return s.replicationRight(nil)
}
