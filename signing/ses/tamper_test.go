package ses_test

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/onewindow/onewindow/signing/ses"
)

// changes is how many single bytes are changed in all.
const changes = 35_000

// TestNoChangedByteIsAccepted changes bytes of seals and seal signatures of
// every generation at random. Each must be refused, or fail a step: there is no
// byte that nobody signed, but for timestamps, which have their own check.
func TestNoChangedByteIsAccepted(t *testing.T) {
	w := newWorld(t)
	trust := w.trust(t)
	type target struct {
		name string
		der  []byte
		seal bool
	}
	var targets []target
	for name, f := range map[string]form{
		"v1":         {version: 1, extensions: 2},
		"v4":         {version: 4, extensions: 1},
		"v4 digests": {version: 4, digests: "SM3", signerExts: true},
		"v5":         {version: 5, extensions: 1},
	} {
		targets = append(targets, target{name, f.signature(t, w), false}, target{name + " seal", f.seal(t, w), true})
	}
	accepted := func(der []byte, seal bool) bool {
		var steps []ses.Step
		if seal {
			s, err := ses.ParseSeal(der)
			if err != nil {
				return false
			}
			steps = s.Check(trust, later)
		} else {
			g, err := ses.ParseSignature(der)
			if err != nil {
				return false
			}
			steps = g.Check(trust, ses.Options{Now: later})
		}
		for _, s := range steps {
			if s.Status == ses.Failed {
				return false
			}
		}
		return true
	}
	for _, x := range targets {
		if !accepted(x.der, x.seal) {
			t.Fatalf("%s is refused unchanged", x.name)
		}
	}
	var group sync.WaitGroup
	var left atomic.Int64
	left.Store(changes)
	for worker := range 2 {
		random := rand.New(rand.NewPCG(1, uint64(worker)))
		group.Go(func() {
			for left.Add(-1) >= 0 {
				x := targets[random.IntN(len(targets))]
				changed := append([]byte(nil), x.der...)
				i, flip := random.IntN(len(changed)), byte(1+random.IntN(255))
				changed[i] ^= flip
				if accepted(changed, x.seal) {
					t.Errorf("%s: byte %d of %d changed by %02x is accepted", x.name, i, len(changed), flip)
				}
			}
		})
	}
	group.Wait()
}
