package exchange

import (
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// MaxHeldBuckets is into how many buckets the keys of a source may be divided
// to compare it with what is stored.
const MaxHeldBuckets = 1 << 16

// HeldSum is what lies in one bucket of keys: how many records, and the sum of
// their hashes, each half by itself and without its carry. A sum does not
// depend on order, so that the two sides of a comparison need none in common.
type HeldSum struct {
	Bucket    int
	Count     int64
	High, Low uint64
}

// Add takes the hash of one more record into the sum.
func (s *HeldSum) Add(high, low uint64) {
	s.Count++
	s.High += high
	s.Low += low
}

// HeldKey is one record as a comparison needs it.
type HeldKey struct {
	Key string
	// High and Low are its [HeldHash].
	High, Low uint64
	EventTime time.Time
	// Deleted says that the newest version is a delete, which no sum has; EventTime is then its time.
	Deleted bool
}

// HeldBucket is the bucket of a key among buckets, of which there is at least
// one: the first four bytes of the key's SHA-256, as a big-endian number,
// modulo buckets.
func HeldBucket(key string, buckets int) int {
	sum := sha256.Sum256([]byte(key))
	return int(uint64(binary.BigEndian.Uint32(sum[:])) % uint64(buckets)) //nolint:gosec // positive, and the rest is below it
}

// HeldHash is the hash of a record whose payload is as [Exchange.Publish] puts
// it on the topic, without white space: the first 16 bytes of the SHA-256 of
// key, a zero byte and payload, as two big-endian numbers.
func HeldHash(key string, payload []byte) (high, low uint64) {
	var buffer [1024]byte // most records fit, and then nothing is allocated
	text := append(buffer[:0], key...)
	text = append(text, 0)
	text = append(text, payload...)
	sum := sha256.Sum256(text)
	return binary.BigEndian.Uint64(sum[:]), binary.BigEndian.Uint64(sum[8:])
}
