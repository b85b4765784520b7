package jsondoc_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	connectorsv1 "github.com/onewindow/onewindow/proto/connectors/v1"
	exchangev1 "github.com/onewindow/onewindow/proto/exchange/v1"
	"github.com/onewindow/onewindow/proto/jsondoc"
	licensesv1 "github.com/onewindow/onewindow/proto/licenses/v1"
	signingv1 "github.com/onewindow/onewindow/proto/signing/v1"
)

func TestPayloadKeepsItsText(t *testing.T) {
	const payload = `{ "capital": 12345678901234567890.10, "e": 1E+2,` + "\n" + `"名称":"\u4e2d \"}]","list":[1,{"a":null}],"n":-0 }`
	text := `{"resource":"market.enterprise","records":[
		{"key":"a","eventTime":"2025-11-03T08:00:00+08:00","payload":` + payload + `},
		{"operation":"OPERATION_DELETE","key":"b","recordedTime":"2025-11-03T08:00:00.123456Z","payload":null},
		{"pay\u006coad":[1.50],"key":"c"}]}`
	var got exchangev1.PushRecordsRequest
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	if p := string(got.GetRecords()[0].GetPayload()); p != payload {
		t.Errorf("payload became %s", p)
	}
	if got.GetRecords()[1].GetPayload() != nil || got.GetRecords()[1].GetOperation() != exchangev1.Operation_OPERATION_DELETE {
		t.Errorf("second record: %v", got.GetRecords()[1])
	}
	if string(got.GetRecords()[2].GetPayload()) != "[1.50]" {
		t.Errorf("third record: %v", got.GetRecords()[2])
	}
	if s := got.GetRecords()[0].GetEventTime().AsTime().UTC().String(); s != "2025-11-03 00:00:00 +0000 UTC" {
		t.Errorf("event time %s", s)
	}
	back, err := got.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(back, []byte(payload)) || bytes.Contains(back, []byte("payload\":null")) {
		t.Errorf("encoded as %s", back)
	}
	var again exchangev1.PushRecordsRequest
	if err := again.UnmarshalJSON(back); err != nil || !proto.Equal(&got, &again) {
		t.Errorf("round trip: %v, %v", err, &again)
	}
}

// Every message with a document in it must carry the two methods; one that
// was forgotten would show base64 text to REST callers.
func TestEveryMessageWithADocument(t *testing.T) {
	doc := []byte(`{"n":1.10}`)
	tests := []struct {
		full, empty proto.Message
		member      string
	}{
		{&exchangev1.Record{Payload: doc}, &exchangev1.Record{}, `"payload":`},
		{&exchangev1.PushRecordsRequest{Records: []*exchangev1.Record{{}, {Payload: doc}}}, &exchangev1.PushRecordsRequest{Records: []*exchangev1.Record{{}}}, `"payload":`},
		{&exchangev1.LookupRecordsResponse{Records: []*exchangev1.Record{{}, {Payload: doc}}}, &exchangev1.LookupRecordsResponse{Records: []*exchangev1.Record{{}}}, `"payload":`},
		{&exchangev1.Resource{Schema: doc}, &exchangev1.Resource{}, `"schema":`},
		{&exchangev1.PutResourceRequest{Resource: &exchangev1.Resource{Schema: doc}}, &exchangev1.PutResourceRequest{Resource: &exchangev1.Resource{}}, `"schema":`},
		{&exchangev1.PutResourceResponse{Resource: &exchangev1.Resource{Schema: doc}}, &exchangev1.PutResourceResponse{Resource: &exchangev1.Resource{}}, `"schema":`},
		{&exchangev1.GetResourceResponse{Resource: &exchangev1.Resource{Schema: doc}}, &exchangev1.GetResourceResponse{Resource: &exchangev1.Resource{}}, `"schema":`},
		{&exchangev1.ListResourcesResponse{Resources: []*exchangev1.Resource{{}, {Schema: doc}}}, &exchangev1.ListResourcesResponse{Resources: []*exchangev1.Resource{{}}}, `"schema":`},
		{&licensesv1.IssueLicenseRequest{Claims: doc}, &licensesv1.IssueLicenseRequest{}, `"claims":`},
		{&licensesv1.BatchIssueLicensesRequest{Requests: []*licensesv1.IssueLicenseRequest{{}, {Claims: doc}}}, &licensesv1.BatchIssueLicensesRequest{Requests: []*licensesv1.IssueLicenseRequest{{}}}, `"claims":`},
		{&licensesv1.VerifyLicenseResponse{Claims: doc}, &licensesv1.VerifyLicenseResponse{}, `"claims":`},
	}
	for _, tt := range tests {
		name := tt.full.ProtoReflect().Descriptor().FullName()
		text, err := tt.full.(json.Marshaler).MarshalJSON()
		if err != nil || !bytes.Contains(text, doc) {
			t.Errorf("%s: %s, %v", name, text, err)
		}
		got := tt.full.ProtoReflect().New().Interface()
		if err := json.Unmarshal(text, got); err != nil || !proto.Equal(got, tt.full) {
			t.Errorf("%s: round trip: %v, %v", name, got, err)
		}
		text, err = tt.empty.(json.Marshaler).MarshalJSON()
		if err != nil || strings.Contains(string(text), tt.member) || !json.Valid(text) {
			t.Errorf("%s: empty: %s, %v", name, text, err)
		}
	}
}

// A null is an absent member, whatever the member's kind: message, list, map, enum, document, text or number.
func TestNullIsAbsent(t *testing.T) {
	for _, m := range []proto.Message{
		&exchangev1.PushRecordsRequest{}, &exchangev1.Record{}, &exchangev1.PutResourceRequest{}, &exchangev1.Resource{}, &exchangev1.LookupRecordsRequest{},
		&licensesv1.IssueLicenseRequest{}, &licensesv1.BatchIssueLicensesRequest{}, &licensesv1.VerifyLicenseResponse{}, &signingv1.SignTokensRequest{}, &connectorsv1.MendRejectedRequest{},
	} {
		fields := m.ProtoReflect().Descriptor().Fields()
		for i := range fields.Len() {
			got := m.ProtoReflect().New().Interface()
			text := []byte(`{"` + fields.Get(i).JSONName() + `":null}`)
			var err error
			if own, ok := got.(json.Unmarshaler); ok {
				err = own.UnmarshalJSON(text)
			} else {
				err = protojson.Unmarshal(text, got)
			}
			if err != nil || !proto.Equal(got, m) {
				t.Errorf("%s: %s: %v, %v", m.ProtoReflect().Descriptor().FullName(), text, got, err)
			}
		}
	}
}

func TestRefused(t *testing.T) {
	deep := strings.Repeat("[", 101) + strings.Repeat("]", 101)
	tests := []struct{ name, text, want string }{
		{"unknown member", `{"key":"a","paylod":{}}`, `unknown field "paylod"`},
		{"duplicate member", `{"payload":{},"payload":{}}`, `duplicate field "payload"`},
		{"duplicate key", `{"key":"a","key":"b"}`, `duplicate field "key"`},
		{"wrong type", `{"key":7}`, `invalid value for string field key: 7`},
		{"wrong enum", `{"operation":"DROP"}`, `operation`},
		{"wrong time", `{"eventTime":"yesterday"}`, `"yesterday"`},
		{"lone digit", `{"payload":7}`, `payload`},
		{"array", `[]`, `unexpected token [`},
		{"trailing", `{"key":"a"} x`, `x`},
		{"cut off", `{"key":"a","payload":{"a":1`, `(line 1:28)`},
		{"second line", "{\"key\":\"a\",\n\"payload\":{\"a\":01}}", `(line 2:17)`},
		{"comma", `{"payload":[1,]}`, `a JSON value is expected`},
		{"bare minus", `{"payload":{"a":-}}`, `a digit`},
		{"control character", "{\"payload\":{\"a\":\"\x01\"}}", `control character`},
		{"escape", `{"payload":"\x"}`, `escape`},
		{"not UTF-8", "{\"payload\":{\"a\":\"\xd6\xd0\"}}", `not UTF-8`},
		{"depth", `{"payload":` + deep + `}`, `nested more than 100 levels`},
		{"literal", `{"payload":truth}`, `a JSON value is expected`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			err := new(exchangev1.Record).UnmarshalJSON([]byte(tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want mention of %s", err, tt.want)
			}
		})
	}
	if err := new(exchangev1.Record).UnmarshalJSON([]byte(`{`)); !errors.Is(err, jsondoc.ErrSyntax) {
		t.Errorf("%v does not wrap ErrSyntax", err)
	}
}

func TestMarshalRefusesWhatIsNoDocument(t *testing.T) {
	for _, payload := range []string{`{"a":1} {}`, `{`, "gbk", "{\"a\":\"\xd6\"}", " "} {
		if _, err := (&exchangev1.Record{Payload: []byte(payload)}).MarshalJSON(); !errors.Is(err, jsondoc.ErrDocument) {
			t.Errorf("payload %q: %v", payload, err)
		}
	}
}

func FuzzPushRecords(f *testing.F) {
	f.Add([]byte(`{"resource":"a.b","records":[{"key":"k","payload":{"a":1.0}},{"payload":null}]}`))
	f.Add([]byte(`{"records":[{"pay\u006coad":7}],"records":[]}`))
	f.Add([]byte(`{"records":null,"x":{"records":[{"payload":[]}]}}`))
	f.Add([]byte(`{"records":[null,{"payload":"\ud800"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var m exchangev1.PushRecordsRequest
		if m.UnmarshalJSON(data) != nil {
			return
		}
		for _, r := range m.GetRecords() {
			if r.GetPayload() != nil && (!json.Valid(r.GetPayload()) || !bytes.Contains(data, r.GetPayload())) {
				t.Fatalf("payload %q is not a document of the text", r.GetPayload())
			}
		}
		text, err := m.MarshalJSON()
		if err != nil {
			t.Fatalf("accepted but cannot be encoded: %v", err)
		}
		var again exchangev1.PushRecordsRequest
		if err := again.UnmarshalJSON(text); err != nil || !proto.Equal(&m, &again) {
			t.Fatalf("round trip: %v", err)
		}
	})
}

func FuzzIssueLicense(f *testing.F) {
	f.Add([]byte(`{"requestId":"r","claims":{"name":"某某"},"validUntil":"2030-01-01T00:00:00Z"}`))
	f.Add([]byte(`{"claims":"","claims":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var m licensesv1.IssueLicenseRequest
		if m.UnmarshalJSON(data) == nil && m.GetClaims() != nil && !json.Valid(m.GetClaims()) {
			t.Fatalf("claims %q", m.GetClaims())
		}
	})
}

func pushBody(records int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"resource":"market.enterprise","records":[`)
	for i := range records {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"key":"91330100MA2%07d","eventTime":"2025-11-03T08:00:00.%06d+08:00","payload":{"uscc":"91330100MA2%07d","name":"临安县某某商贸有限公司","capital":%d.50,"text":%q}}`,
			i, i, i, i, strings.Repeat("x", 350))
	}
	b.WriteString("]}")
	return b.Bytes()
}

func BenchmarkPushRecordsDecode(b *testing.B) {
	body := pushBody(5000)
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		var m exchangev1.PushRecordsRequest
		if err := m.UnmarshalJSON(body); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*5000/b.Elapsed().Seconds(), "records/s")
}

func BenchmarkLookupRecordsEncode(b *testing.B) {
	var m exchangev1.LookupRecordsResponse
	if err := protojson.Unmarshal([]byte("{}"), &m); err != nil {
		b.Fatal(err)
	}
	for i := range 1000 {
		m.Records = append(m.Records, &exchangev1.Record{Key: fmt.Sprint(i), Payload: []byte(`{"text":"` + strings.Repeat("x", 480) + `"}`)})
	}
	for b.Loop() {
		if _, err := m.MarshalJSON(); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*1000/b.Elapsed().Seconds(), "records/s")
}
