package licenses

import (
	"fmt"
	"testing"
)

// BenchmarkBatchIssue issues batches of 500, one after the other, on SQLite
// with every commit synced. The figure to look at is licences/s.
func BenchmarkBatchIssue(b *testing.B) {
	e := newEnv(b, "sqlite:"+b.TempDir()+"/state.db")
	n := 0
	for b.Loop() {
		batch := make([]Request, MaxBatch)
		for i := range batch {
			batch[i] = testRequest(fmt.Sprintf("%d-%d", n, i))
		}
		if _, err := e.BatchIssue(asMarket(b), batch); err != nil {
			b.Fatal(err)
		}
		n++
	}
	b.ReportMetric(float64(n*MaxBatch)/b.Elapsed().Seconds(), "licences/s")
}

func BenchmarkIssueOne(b *testing.B) {
	e := newEnv(b, "sqlite:"+b.TempDir()+"/state.db")
	n := 0
	for b.Loop() {
		e.mustIssue(b, testRequest(fmt.Sprint(n)))
		n++
	}
}

// BenchmarkVerify verifies on all processors, as concurrent callers do.
func BenchmarkVerify(b *testing.B) {
	e := newEnv(b, "sqlite:"+b.TempDir()+"/state.db")
	batch := make([]Request, MaxBatch)
	for i := range batch {
		batch[i] = testRequest(fmt.Sprint(i))
	}
	issued, err := e.BatchIssue(asMarket(b), batch)
	if err != nil {
		b.Fatal(err)
	}
	for _, by := range []string{"token", "number"} {
		b.Run(by, func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				for i := 0; pb.Next(); i++ {
					l := issued[i%len(issued)]
					var v Verification
					var err error
					if by == "token" {
						v, err = e.VerifyToken(b.Context(), l.Token)
					} else {
						v, err = e.VerifyNumber(b.Context(), l.Number)
					}
					if err != nil || v.Verdict != VerdictValid {
						b.Error(v, err)
						return
					}
				}
			})
		})
	}
}
