package main

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/onewindow/onewindow/proto/message"
)

func messageOf(code string) message.Message { return message.New(code) }

func TestARealErrorBesideACancelledOneSurfaces(t *testing.T) {
	fault := errors.New("the port is taken")
	stopped := fmt.Errorf("runner: %w", context.Canceled)
	for name, tt := range map[string]struct{ err, want error }{
		"only stopped":           {errors.Join(stopped, context.Canceled), nil},
		"the fault comes first":  {errors.Join(fault, stopped), fault},
		"the fault comes last":   {errors.Join(stopped, errors.Join(context.Canceled, fault)), fault},
		"joined within a text":   {fmt.Errorf("close: %w", errors.Join(stopped, fault)), fault},
		"stopped, said in words": {fmt.Errorf("%w: %w", errors.New("sink"), context.Canceled), nil},
		"nothing":                {nil, nil},
	} {
		if got := withoutCancel(tt.err); !errors.Is(got, tt.want) || (got == nil) != (tt.want == nil) {
			t.Errorf("%s: %v, want %v", name, got, tt.want)
		}
	}
}
