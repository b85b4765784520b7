package connectors

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkMapper maps rows of 20 plain fields, of the types that occur, in about 450 bytes.
func BenchmarkMapper(b *testing.B) {
	plain := Mapping{Key: []string{"f0"}, EventTime: "c19", Timezone: shanghai(b)}
	row := Row{Raw: []byte("raw"), Origin: "people:17"}
	samples := []struct {
		kind FieldType
		text string
	}{
		{String, "610924198706051234"},
		{String, "安康市宁陕县城关镇长安路社区17号"},
		{Integer, "1200345"},
		{Decimal, "12345678.90"},
		{String, "some text of about thirty bytes"},
		{Date, "1987-06-05"},
		{String, "610924"},
		{String, ""},
		{String, "active"},
		{Time, "2025-11-03 08:05:00.123456"},
	}
	values := map[string]Value{}
	for i := range 20 {
		s := samples[i%len(samples)]
		plain.Fields = append(plain.Fields, Field{From: fmt.Sprintf("c%d", i), To: fmt.Sprintf("f%d", i), Type: s.kind})
		values[fmt.Sprintf("c%d", i)] = Value{Text: s.text}
	}
	plain.EventTime = "c9"

	rich := plain
	rich.Fields = append([]Field{}, plain.Fields...)
	rich.Fields[0].Check = CheckCitizenNumber
	values["c0"] = Value{Text: "11010519491231002X"}
	rich.Fields[6].Check = CheckRegion
	rich.Fields[8].Codes = "state"
	rich.CodeLists = map[string]map[string]string{"state": {"active": "在业"}}
	rich.Masks = map[string]Mask{"phone": {Method: KeepLast, Keep: 4}}
	rich.Fields[10].Tag = "phone"
	condition, err := CompileCondition(`row.c8 == "active"`)
	if err != nil {
		b.Fatal(err)
	}
	rich.Where = condition
	value, err := CompileValue(`row.c0.substring(6, 14)`)
	if err != nil {
		b.Fatal(err)
	}
	rich.Fields[15] = Field{Value: value, To: "born", Type: Date}

	for name, mapping := range map[string]Mapping{"plain": plain, "rich": rich} {
		b.Run(name, func(b *testing.B) {
			m := mapperOf(b, mapping)
			row := row
			row.Values = nil
			for _, column := range m.names {
				row.Values = append(row.Values, values[column])
			}
			b.ReportAllocs()
			for b.Loop() {
				if d := m.draft(row, time.Time{}); d.Rejection != nil {
					b.Fatal(*d.Rejection)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
