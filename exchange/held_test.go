package exchange

import (
	"fmt"
	"strings"
	"testing"
)

// TestHeld compares with values from sha256sum(1): what is kept in one version must be found by the next.
func TestHeld(t *testing.T) {
	for _, c := range []struct {
		key    string
		head   uint32 // first four bytes of SHA-256 of the key
		value  string
		hashed string // first 16 bytes of SHA-256 of key, zero byte, value
	}{
		{"", 0xe3b0c442, "", "6e340b9cffb37a989ca544e6bb780a2c"},
		{"610924", 0xa940a1ba, `{"a":1}`, "c87a4c69d3cc63ee594ac7c3e7212902"},
		{"居民·张伟", 0xdc4ce1a3, "", "0a473bd955afaa04d9dbf681191fc8bf"},
		{"k", 0x8254c329, strings.Repeat("x", 3000), "6153764ba07e833d4a80b52f02a311a8"},
	} {
		high, low := HeldHash(c.key, []byte(c.value))
		if got := fmt.Sprintf("%016x%016x", high, low); got != c.hashed {
			t.Errorf("hash of %q and %d bytes: %s, want %s", c.key, len(c.value), got, c.hashed)
		}
		for _, buckets := range []int{1, 7, 256, MaxHeldBuckets} {
			if got, want := HeldBucket(c.key, buckets), int(int64(c.head)%int64(buckets)); got != want {
				t.Errorf("%q lies in bucket %d of %d, want %d", c.key, got, buckets, want)
			}
		}
	}
}

// TestHeldSum adds up to more than a half can hold.
func TestHeldSum(t *testing.T) {
	sum := HeldSum{Bucket: 3}
	sum.Add(1<<63, ^uint64(0))
	sum.Add(1<<63|5, 2)
	if want := (HeldSum{Bucket: 3, Count: 2, High: 5, Low: 1}); sum != want {
		t.Errorf("%+v, want %+v", sum, want)
	}
}

// BenchmarkHeldHash is what one row of a comparison costs at the source's side.
func BenchmarkHeldHash(b *testing.B) {
	payload := []byte(strings.Repeat("x", 300))
	b.ReportAllocs()
	for b.Loop() {
		HeldBucket("610924190102030011", MaxHeldBuckets)
		HeldHash("610924190102030011", payload)
	}
}
