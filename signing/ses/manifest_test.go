package ses

import (
	"encoding/json"
	"testing"
	"time"
)

func FuzzManifest(f *testing.F) {
	at := time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)
	good, err := json.Marshal(manifest{Version: manifestVersion, Seals: []manifestRecord{{
		ID: "A1", SM3: digestOf(nil), History: []Event{
			{Time: at, State: StateActive},
			{Time: at, State: StateSuspended, Reason: "因", Who: "人"},
			{Time: at.Add(1), State: StateRevoked, Reason: "因", Who: "人"},
		},
	}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"version":1,"seals":null}`))
	f.Add([]byte(`{"version":1,"seals":[{"id":"a","history":[{"state":"active"}]},{"id":"A"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := parseManifest(data)
		if err != nil {
			return
		}
		for _, record := range m.Seals {
			if !isID(record.ID) || len(record.History) == 0 {
				t.Fatalf("%q read as %+v", data, m)
			}
			for i, event := range record.History[1:] {
				if record.History[i].State == StateRevoked {
					t.Fatalf("%q: %+v follows a revocation", data, event)
				}
			}
		}
	})
}
