package exchange

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// BenchmarkExamine is what one record costs before it is sent: 500 bytes, 12
// members, schema with check digits.
func BenchmarkExamine(b *testing.B) {
	v, err := newValidator(Resource{Name: "market.enterprise", Kind: Register, Schema: []byte(`{"type":"object","required":["uscc","name"],"properties":{
		"uscc":{"type":"string","format":"uscc"},"name":{"type":"string","minLength":1},"owner":{"type":"string","format":"citizen-number"},
		"capital":{"type":"number"},"state":{"enum":["open","closed"]},"a":{"type":"string"},"b":{"type":"string"},"c":{"type":"string"},
		"d":{"type":"string"},"e":{"type":"string"},"f":{"type":"string"},"g":{"type":"string"}}}`)})
	if err != nil {
		b.Fatal(err)
	}
	payload := fmt.Appendf(nil, `{"uscc":%q,"name":"紫阳富硒茶合作社","owner":%q,"capital":1200000.50,"state":"open"`, testUSCC, testCitizen)
	for _, name := range "abcdefg" {
		payload = fmt.Appendf(payload, `,"%c":"some text of about forty bytes, as usual"`, name)
	}
	payload = append(payload, '}')
	b.SetBytes(int64(len(payload)))
	for b.Loop() {
		d := Draft{Key: "k", EventTime: testNow, Payload: payload}
		if r := v.examine(&d, testNow.Add(time.Hour)); r != nil {
			b.Fatal(r)
		}
		RecordID("market.enterprise", d.Key, d.Operation, d.EventTime, d.Payload)
	}
}

// BenchmarkPublish takes drafts of 20 columns and 500 bytes, 1,000 in a batch, to their topic on the embedded broker, one
// batch after the other and two at once.
func BenchmarkPublish(b *testing.B) {
	const batch = 1000
	f := newFixture(b, openSQLite(b))
	members := make([]string, 20)
	for i := range members {
		members[i] = fmt.Sprintf(`"column%d":{"type":"string"}`, i)
	}
	r := Resource{
		Name: "market.bench", Title: "bench", Kind: Register, ShareType: Unconditional, AgreedDelaySeconds: 3600,
		Schema: fmt.Appendf(nil, `{"type":"object","properties":{%s}}`, strings.Join(members, ",")),
	}
	if err := f.exchange.PutResource(b.Context(), r); err != nil {
		b.Fatal(err)
	}
	drafts := make([]Draft, batch)
	for i := range drafts {
		for j := range members {
			members[j] = fmt.Sprintf(`"column%d":"%012d"`, j, i*j)
		}
		drafts[i] = Draft{
			Key: fmt.Sprintf("61092419900101%04d", i), EventTime: testNow, RecordedTime: testNow,
			Payload: fmt.Appendf(nil, "{%s}", strings.Join(members, ",")), Origin: "bench.csv:1",
		}
	}
	for _, callers := range []int{1, 2} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			b.ReportAllocs()
			var group sync.WaitGroup
			for c := range callers {
				group.Go(func() {
					for i := c; i < b.N; i += callers {
						if _, err := f.exchange.Publish(b.Context(), r.Name, "market/bench", slices.Clone(drafts)); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			group.Wait()
			b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "records/s")
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*batch), "ns/record")
		})
	}
}

// BenchmarkEvent is what an accepted record of 500 bytes costs beside the checks: its id and its message.
func BenchmarkEvent(b *testing.B) {
	r := Record{
		Resource: "market.enterprise", Source: "market/register", Kind: Register, Key: testUSCC, Operation: Upsert,
		EventTime: testNow, RecordedTime: testNow, Payload: make([]byte, 500),
	}
	b.ReportAllocs()
	for b.Loop() {
		r.ID = RecordID(r.Resource, r.Key, r.Operation, r.EventTime, r.Payload)
		r.Event()
	}
}
