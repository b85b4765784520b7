package county

import (
	"math/bits"
	"math/rand/v2"
)

// seed decides every draw. Changing it, or the order of draws anywhere,
// changes the county; the golden test notices.
const seed = 0x89648_89223

// The streams keep the draws of different things apart.
const (
	streamMatter = iota + 1
	streamEnterprise
	streamResident
	streamMarriage
	streamCase
	streamRating
	streamTicket
	streamDepartment
)

// draw is a sequence of pseudo-random choices. Only the generator comes from
// the standard library, whose output is specified; how it is brought into a
// range is done here so that it can never change.
type draw struct{ pcg rand.PCG }

// newDraw begins the sequence of the index-th thing of a stream, so that each
// thing can be made alone and in any order.
func newDraw(stream, index int) *draw {
	d := new(draw)
	d.pcg.Seed(seed^uint64(stream)<<56, mix(uint64(index))) //nolint:gosec // streams and indexes are small and not negative
	return d
}

// mix is the finalizer of splitmix64: it spreads neighbouring indexes.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// n returns a number from 0 to limit-1.
func (d *draw) n(limit int) int {
	high, _ := bits.Mul64(d.pcg.Uint64(), uint64(limit)) //nolint:gosec // limits are positive
	return int(high)                                     //nolint:gosec // below limit
}

// between returns a number from low to high, both included.
func (d *draw) between(low, high int) int { return low + d.n(high-low+1) }

// permille is true in p of 1,000 draws.
func (d *draw) permille(p int) bool { return d.n(1000) < p }

func pick[T any](d *draw, list []T) T { return list[d.n(len(list))] }

// spread says whether i is one of count indexes that lie evenly in 0..total-1.
func spread(i, count, total int) bool { return (i+1)*count/total > i*count/total }
