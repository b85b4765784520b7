package analytics

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/onewindow/onewindow/exchange"
)

// caseRecord is the i'th record of an endless, deterministic stream of case events, ratings and tickets.
func caseRecord(i int) exchange.Record {
	random := rand.New(rand.NewPCG(uint64(i), 7))
	number := fmt.Sprintf("CASE%08d", i/2)
	at := time.Date(2026, 1, 1, 10, 0, 0, 0, time.UTC).Add(time.Duration(random.IntN(60*24*60)) * time.Minute)
	department := fmt.Sprintf("dept%d", random.IntN(4))
	switch {
	case i%20 == 17:
		return record("hall.rating", exchange.Rating, number, at, fmt.Sprintf(
			`{"case_number":%q,"department":%q,"level":%d,"channel":"online"}`, number, department, 1+random.IntN(5)))
	case i%20 == 19:
		return record("hall.ticket", exchange.Ticket, number, at, fmt.Sprintf(
			`{"ticket_number":%q,"department":%q,"category":"road","answered_days":%d.5,"satisfied":%t}`, number, department, random.IntN(9), random.IntN(2) == 0))
	case i%2 == 0:
		return record("hall.case", exchange.CaseEvent, number+"/accepted/1", at, fmt.Sprintf(
			`{"case_number":%q,"matter":"M%d","department":%q,"region":"R%d","event":"accepted","item_type":"promised","channel":"window","promised_days":5,"materials_required":%d,"materials_submitted":%d}`,
			number, random.IntN(5), department, random.IntN(3), 4+random.IntN(4), random.IntN(4)))
	}
	return record("hall.case", exchange.CaseEvent, number+"/decided/1", at, fmt.Sprintf(
		`{"case_number":%q,"matter":"M%d","department":%q,"region":"R%d","event":"decided","item_type":"promised","channel":"window","promised_days":5,"used_days":%d.5,"accepted_date":%q}`,
		number, random.IntN(5), department, random.IntN(3), random.IntN(9), at.AddDate(0, 0, -3).Format(time.DateOnly)))
}

func caseRecords(from, until int) []exchange.Record {
	out := make([]exchange.Record, 0, until-from)
	for i := from; i < until; i++ {
		out = append(out, caseRecord(i))
	}
	return out
}
