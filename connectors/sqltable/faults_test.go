package sqltable

import (
	"errors"
	"strings"
	"testing"

	"github.com/onewindow/onewindow/connectors"
)

// expectFault checks the code of a fault and that its message has the parts.
func expectFault(t *testing.T, err error, code connectors.FaultCode, parts ...string) {
	t.Helper()
	var f *connectors.Fault
	if !errors.As(err, &f) || f.Code != code {
		t.Errorf("%v; want %s", err, code)
		return
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%v; want %q in it", err, part)
		}
	}
}
