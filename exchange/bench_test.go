package exchange

import (
	"fmt"
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
