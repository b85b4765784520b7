package keys

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/rand"
	"fmt"
	"os"
	"strconv"
	"testing"

	"github.com/onewindow/onewindow/signing"
)

// BenchmarkSign shows what the ring adds to a signature: raw is the private
// key alone; ring writes the intent to disk first; parallel shares that write
// among 16 callers.
func BenchmarkSign(b *testing.B) {
	for _, algorithm := range []string{signing.ES256, signing.SM2SM3} {
		f := newFolder(b)
		r := f.open()
		if _, err := r.EnsureActive(b.Context(), Spec{Line: "l", Algorithm: algorithm}); err != nil {
			b.Fatal(err)
		}
		signer, err := r.Signer(b.Context(), "l", testUse())
		if err != nil {
			b.Fatal(err)
		}
		data, opts := input(algorithm, make([]byte, 1024))
		run := func(signer crypto.Signer) func(b *testing.B) {
			return func(b *testing.B) {
				for b.Loop() {
					if _, err := signer.Sign(rand.Reader, data, opts); err != nil {
						b.Fatal(err)
					}
				}
			}
		}
		b.Run(algorithm+"/raw", run(signer.key.private.signer))
		b.Run(algorithm+"/ring", run(signer))
		b.Run(algorithm+"/parallel", func(b *testing.B) {
			b.SetParallelism(8)
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := signer.Sign(rand.Reader, data, opts); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// BenchmarkSignTokens is per token of 1 KB, in batches; alone is
// signing.SignCompact on one processor without a use log.
func BenchmarkSignTokens(b *testing.B) {
	f := newFolder(b)
	r := f.open()
	for _, algorithm := range []string{signing.ES256, signing.SM2SM3} {
		key, err := r.EnsureActive(b.Context(), Spec{Line: algorithm, Algorithm: algorithm})
		if err != nil {
			b.Fatal(err)
		}
		payload := make([]byte, 1024)
		b.Run(algorithm+"/alone", func(b *testing.B) {
			private := r.current.Load().keys[r.current.Load().active[algorithm]].private.signer
			for b.Loop() {
				if _, err := signing.SignCompact(private, signing.Header{KeyID: key.ID, Type: "t"}, payload); err != nil {
					b.Fatal(err)
				}
			}
		})
		for _, size := range []int{1, 50, 500} {
			b.Run(fmt.Sprintf("%s/batch=%d", algorithm, size), func(b *testing.B) {
				payloads := make([][]byte, size)
				for i := range payloads {
					payloads[i] = payload
				}
				for done := 0; done < b.N; done += size {
					if _, err := r.SignTokens(b.Context(), algorithm, testUse(), "t", payloads); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkIntend is the journal alone, one caller and many.
func BenchmarkIntend(b *testing.B) {
	j := openTestJournal(b, b.TempDir())
	entries := []Entry{testEntry(sha256Of(nil))}
	b.Run("one", func(b *testing.B) {
		for b.Loop() {
			if _, err := j.Intend(b.Context(), entries); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("many", func(b *testing.B) {
		b.SetParallelism(16)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := j.Intend(b.Context(), entries); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
}

// BenchmarkVerifySegment is what reading a segment costs by its size.
func BenchmarkVerifySegment(b *testing.B) {
	dir := b.TempDir()
	j := openTestJournal(b, dir)
	j.mu.Lock()
	for range 5000 { // without a wait for the disk
		number, err := j.append(record{Intent: []Entry{testEntry(sha256Of(nil))}})
		if err == nil {
			_, err = j.append(record{Concludes: number, Outcome: outcomeDone})
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	j.mu.Unlock()
	data := readJournal(b, dir)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if records, err := verifyJournal(bytes.NewReader(data)); err != nil || records != 10000 {
			b.Fatal(records, err)
		}
	}
}

// BenchmarkOpenTenMillion is what opening a log of many uses costs; a use has
// two lines. ONEWINDOW_BENCH_USES=10000000 makes the full size, in minutes.
func BenchmarkOpenTenMillion(b *testing.B) {
	uses, err := strconv.Atoi(cmp.Or(os.Getenv("ONEWINDOW_BENCH_USES"), "60000"))
	if err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	j, err := OpenJournal(dir, []byte("correct horse"), newClock().now)
	if err != nil {
		b.Fatal(err)
	}
	entries := []Entry{testEntry(sha256Of(nil))}
	j.mu.Lock()
	for range uses { // without a wait for the disk
		err := j.makeRoom()
		if err == nil {
			_, err = j.append(record{Intent: entries})
		}
		if err == nil {
			_, err = j.append(record{Concludes: j.records, Outcome: outcomeDone})
		}
		if err != nil {
			b.Fatal(err)
		}
	}
	j.mu.Unlock()
	for b.Loop() {
		if err := j.Close(); err != nil {
			b.Fatal(err)
		}
		if j, err = OpenJournal(dir, []byte("correct horse"), newClock().now); err != nil {
			b.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(len(j.archive.heads)), "closed-segments")
}
