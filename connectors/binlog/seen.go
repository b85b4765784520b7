package binlog

import "hash/maphash"

// maxSeen bounds the keys that are remembered, to about 20 MB. When there are more, all are forgotten.
const maxSeen = 300_000

// seen remembers of which rows the log had changes while the table is read for
// the first time: what is read of them later is handed on already. It is only
// for not doing work twice, and is not saved: after a restart rows may come
// twice. Keys are remembered by 128 bits of hash.
type seen struct {
	seeds [2]maphash.Seed
	keys  map[[2]uint64]struct{}
}

func newSeen() *seen {
	return &seen{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, keys: map[[2]uint64]struct{}{}}
}

func (s *seen) hash(key []string) [2]uint64 {
	text := joined(key)
	return [2]uint64{maphash.String(s.seeds[0], text), maphash.String(s.seeds[1], text)}
}

func (s *seen) add(key []string) {
	if s == nil {
		return
	}
	if len(s.keys) >= maxSeen {
		clear(s.keys)
	}
	s.keys[s.hash(key)] = struct{}{}
}

func (s *seen) has(key []string) bool {
	if s == nil {
		return false
	}
	_, ok := s.keys[s.hash(key)]
	return ok
}
