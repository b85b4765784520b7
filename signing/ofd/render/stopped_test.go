package render_test

import (
	"context"
	"errors"
	"testing"

	"github.com/onewindow/onewindow/signing/ofd/render"
)

// A caller that has gone ends the painting between two objects.
func TestStoppedPaintingEnds(t *testing.T) {
	t.Parallel()
	p := open(t, writeLicence(t, licence()))
	ctx, cancel := context.WithCancel(t.Context())
	asked := 0
	stopped := func() error {
		if asked++; asked == 3 {
			cancel()
		}
		return ctx.Err()
	}
	if _, _, err := render.PNG(p, 0, 96, render.Options{Face: noto(t), Stopped: stopped}); !errors.Is(err, context.Canceled) || asked != 3 {
		t.Errorf("%v after %d objects, want context.Canceled after 3", err, asked)
	}
}
