package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	connectorsv1 "github.com/onewindow/onewindow/proto/connectors/v1"
	exchangev1 "github.com/onewindow/onewindow/proto/exchange/v1"
)

// departmentAddress is the address of a real database server, or the test ends.
func departmentAddress(t *testing.T, variable string) string {
	t.Helper()
	address := os.Getenv(variable)
	if address == "" {
		missing(t, "%s is not set (make test sets it)", variable)
	}
	return address
}

// TestDrillConnectors is the drill of connectors on a small table, with every
// database that there is.
func TestDrillConnectors(t *testing.T) {
	for name, variable := range map[string]string{"postgres": "ONEWINDOW_TEST_POSTGRES", "mariadb": "ONEWINDOW_TEST_MARIADB"} {
		t.Run(name, func(t *testing.T) {
			needEngine(t)
			address := departmentAddress(t, variable)
			out, err := os.Create(filepath.Join(t.TempDir(), "out"))
			if err != nil {
				t.Fatal(err)
			}
			err = drillConnectorsCommand(t.Context(), []string{"--database", address, "--rows", "3000", "--kills", "5", "--pace", "2500ms", "--outage", "3s"}, out)
			said, rerr := os.ReadFile(out.Name())
			if err != nil || rerr != nil || !strings.Contains(string(said), "keys that differ 0") {
				t.Fatalf("%v %v\n%s", err, rerr, said)
			}
			t.Logf("%s", said)
		})
	}
}

const (
	green = connectorsv1.ProofVerdict_PROOF_VERDICT_EQUAL
	red   = connectorsv1.ProofVerdict_PROOF_VERDICT_DIFFERENT
)

// TestConnectorsInTheHall leads two sources of one real table through what happens to them in a year.
func TestConnectorsInTheHall(t *testing.T) {
	h := newHall(t, 500)
	ctx := t.Context()
	if _, err := h.client.catalog.BatchPutMatters(ctx, &exchangev1.BatchPutMattersRequest{Matters: []*exchangev1.Matter{{
		Code: "W-1", Title: "采砂许可", Department: "water", Type: exchangev1.MatterType_MATTER_TYPE_PROMISED,
	}}}); err != nil {
		t.Fatal(err)
	}
	for _, name := range drillSources {
		h.in(name, connectorsv1.SourceState_SOURCE_STATE_CAUGHT_UP)
		if p := h.proof(name, false, green); p.GetSourceRows() != 500 || p.GetHeldRows() != 500 || p.GetSourceHash() != p.GetHeldHash() {
			t.Errorf("%v", p)
		}
	}

	t.Run("a change that no cursor sees, and a delete, are found and put right", func(t *testing.T) {
		h.exec("UPDATE permits SET holder = '无时间戳' WHERE id = 7")
		h.exec("DELETE FROM permits WHERE id = 8")
		p := h.proof("water/cursor", false, red)
		if p.GetDifferent() != 1 || p.GetExtra() != 1 || p.GetMissing() != 0 || len(p.GetDifferences()) != 2 {
			t.Errorf("%v", p)
		}
		h.proof("water/log", false, green)
		h.proof("water/cursor", true, red)
		h.proof("water/cursor", false, green)
		h.await("water.cursor", "7", "无时间戳")
		h.await("water.cursor", "8", "")
	})

	t.Run("a row that the rules refuse is not taken for a deleted one", func(t *testing.T) {
		h.exec("UPDATE permits SET holder = '' WHERE id = 30")
		p := h.proof("water/cursor", true, green)
		if p.GetSourceRejected() != 1 || p.GetSourceRows() != p.GetHeldRows() || p.GetSourceHash() != p.GetHeldHash() {
			t.Errorf("%v", p)
		}
		h.await("water.cursor", "30", "申请人30")
		h.exec("UPDATE permits SET holder = '已补正' WHERE id = 30")
		h.proof("water/cursor", true, red)
		h.await("water.cursor", "30", "已补正")
	})

	t.Run("a row that was deleted and comes back as it was is put right", func(t *testing.T) {
		h.exec("CREATE TABLE permits_kept AS SELECT * FROM permits WHERE id = 31")
		h.exec("DELETE FROM permits WHERE id = 31")
		h.proof("water/cursor", true, red)
		h.await("water.cursor", "31", "")
		h.exec("INSERT INTO permits SELECT * FROM permits_kept")
		h.exec("DROP TABLE permits_kept")
		if p := h.proof("water/cursor", true, red); p.GetMissing() != 1 || p.GetRepaired() != 1 {
			t.Errorf("%v", p)
		}
		h.await("water.cursor", "31", "申请人31")
		h.proof("water/cursor", false, green)
		h.proof("water/log", false, green)
	})

	t.Run("pause and resume", func(t *testing.T) {
		if _, err := h.client.connectors.PauseSource(ctx, &connectorsv1.PauseSourceRequest{Name: "water/log"}); err != nil {
			t.Fatal(err)
		}
		h.in("water/log", connectorsv1.SourceState_SOURCE_STATE_PAUSED)
		h.exec("INSERT INTO permits (id, holder, updated_at) VALUES (1001, '停顿期间', now())")
		h.await("water.cursor", "1001", "停顿期间")
		if held := h.payload("water.log", "1001"); held != "" {
			t.Errorf("a paused source handed on %s", held)
		}
		if _, err := h.client.connectors.ResumeSource(ctx, &connectorsv1.ResumeSourceRequest{Name: "water/log"}); err != nil {
			t.Fatal(err)
		}
		h.await("water.log", "1001", "停顿期间")
	})

	t.Run("an added column that may be null is taken up as agreed", func(t *testing.T) {
		h.exec("ALTER TABLE permits ADD COLUMN river varchar(40)")
		h.exec("INSERT INTO permits (id, holder, updated_at, river) VALUES (1002, '新列', now(), '汉江')")
		h.await("water.log", "1002", `"river":"汉江"`)
		h.await("water.cursor", "1002", "新列")
		if held := h.payload("water.cursor", "1002"); strings.Contains(held, "汉江") {
			t.Errorf("a source that leaves new columns out handed on %s", held)
		}
	})

	t.Run("a column that was taken up and is dropped again", func(t *testing.T) {
		h.exec("ALTER TABLE permits DROP COLUMN river")
		h.exec("INSERT INTO permits (id, holder, updated_at) VALUES (1005, '去列', now())")
		for _, name := range drillSources {
			h.in(name, connectorsv1.SourceState_SOURCE_STATE_BLOCKED)
			if err := runConnectorCLI(h, "accept", name); err != nil {
				t.Fatal(err)
			}
			h.await(strings.ReplaceAll(name, "/", "."), "1005", "去列")
		}
	})

	t.Run("any other change of columns pauses the table until it is accepted", func(t *testing.T) {
		h.exec("ALTER TABLE permits ALTER COLUMN area TYPE numeric(30,6)")
		h.exec("INSERT INTO permits (id, holder, area, updated_at) VALUES (1003, '改列', 1.5, now())")
		for _, name := range drillSources {
			s := h.in(name, connectorsv1.SourceState_SOURCE_STATE_BLOCKED)
			if s.GetFaultCode() != "SCHEMA_CHANGED" || !strings.Contains(s.GetFault(), `column "area"`) || !strings.Contains(s.GetFault(), "connector accept "+name) {
				t.Errorf("%s: %s", s.GetFaultCode(), s.GetFault())
			}
			if held := h.payload(strings.ReplaceAll(name, "/", "."), "1003"); held != "" {
				t.Errorf("a row under other columns was handed on: %s", held)
			}
		}
		if err := runConnectorCLI(h, "accept", "water/cursor"); err != nil {
			t.Fatal(err)
		}
		h.await("water.cursor", "1003", `"area":1.500000`)
		h.in("water/log", connectorsv1.SourceState_SOURCE_STATE_BLOCKED)
		if err := runConnectorCLI(h, "accept", "water/log"); err != nil {
			t.Fatal(err)
		}
		h.await("water.log", "1003", `"area":1.500000`)
	})

	t.Run("a rejected row is seen and mended", func(t *testing.T) {
		h.exec("INSERT INTO permits (id, holder, updated_at) VALUES (1004, '', now())")
		var row *connectorsv1.RejectedRow
		for row == nil {
			list, err := h.client.connectors.ListRejected(ctx, &connectorsv1.ListRejectedRequest{Source: "water/cursor"})
			if err != nil {
				t.Fatal(err)
			}
			if len(list.GetRows()) > 0 {
				row = list.GetRows()[0]
			}
		}
		if row.GetRule() != "MISSING_FIELD" || !strings.Contains(string(row.GetRaw()), "1004") || !strings.HasSuffix(row.GetOrigin(), ":1004") {
			t.Errorf("%v", row)
		}
		mended, err := h.client.connectors.MendRejected(ctx, &connectorsv1.MendRejectedRequest{Id: row.GetId(), Columns: map[string]string{"holder": "补正"}})
		if err != nil || mended.GetRule() != "" {
			t.Fatalf("%v %v", mended, err)
		}
		h.await("water.cursor", "1004", "补正")
		h.exec("DELETE FROM permits WHERE id = 1004")
		h.proof("water/cursor", true, red)
	})

	t.Run("a lost slot is told, and everything is read again, deletes included", func(t *testing.T) {
		if _, err := h.client.connectors.PauseSource(ctx, &connectorsv1.PauseSourceRequest{Name: "water/log"}); err != nil {
			t.Fatal(err)
		}
		h.in("water/log", connectorsv1.SourceState_SOURCE_STATE_PAUSED)
		h.dropSlot()
		h.exec("DELETE FROM permits WHERE id = 9")
		h.exec("UPDATE permits SET holder = '槽丢失' WHERE id = 10")
		if _, err := h.client.connectors.ResumeSource(ctx, &connectorsv1.ResumeSourceRequest{Name: "water/log"}); err != nil {
			t.Fatal(err)
		}
		h.source("water/log", "failing with SLOT_LOST", func(s *connectorsv1.Source) bool { return s.GetFaultCode() == "SLOT_LOST" })
		h.await("water.log", "10", "槽丢失")
		h.await("water.log", "9", "") // the reconciliation
		h.in("water/log", connectorsv1.SourceState_SOURCE_STATE_CAUGHT_UP)
		h.proof("water/log", false, green)
	})

	t.Run("a range is read again beside what is new", func(t *testing.T) {
		before := h.in("water/log", connectorsv1.SourceState_SOURCE_STATE_CAUGHT_UP).GetRead()
		if err := runConnectorCLI(h, "reread", "water/log", "100", "149"); err != nil {
			t.Fatal(err)
		}
		h.source("water/log", "50 rows further", func(s *connectorsv1.Source) bool { return s.GetRead() == before+50 })
	})

	t.Run("a source defined by the API, in bulk mode", func(t *testing.T) {
		definition := fmt.Sprintf(`sources:
  - name: water/bulk
    resource: water.bulk
    kind: sql
    interval: 300ms
    limits: {rows_per_second: 100000, hours: ["00:00-23:59"]}
    sql: {driver: postgres, dsn_file: ../water.dsn, table: %s, mode: bulk, key: id}
    map: {key: [id], %s}
`, h.table, permitFields)
		if _, err := h.client.catalog.PutResource(ctx, &exchangev1.PutResourceRequest{Resource: &exchangev1.Resource{
			Name: "water.bulk", Title: "采砂许可", Kind: exchangev1.RecordKind_RECORD_KIND_REGISTER,
			ShareType: exchangev1.ShareType_SHARE_TYPE_UNCONDITIONAL, Schema: []byte(permitSchema),
		}}); err != nil {
			t.Fatal(err)
		}
		checked, err := h.client.connectors.CheckSources(ctx, &connectorsv1.CheckSourcesRequest{Definitions: definition})
		if err != nil || len(checked.GetSources()) != 1 || len(checked.GetSources()[0].GetRows()) != 5 || len(checked.GetSources()[0].GetFaults()) != 0 {
			t.Fatalf("%v %v", checked, err)
		}
		if _, err := h.client.connectors.PutSource(ctx, &connectorsv1.PutSourceRequest{Definition: definition}); err != nil {
			t.Fatal(err)
		}
		h.in("water/bulk", connectorsv1.SourceState_SOURCE_STATE_CAUGHT_UP)
		h.exec("UPDATE permits SET holder = '整表' WHERE id = 20")
		h.exec("DELETE FROM permits WHERE id = 21")
		h.await("water.bulk", "20", "整表")
		h.await("water.bulk", "21", "")
		before := h.in("water/bulk", connectorsv1.SourceState_SOURCE_STATE_CAUGHT_UP).GetRead()
		h.proof("water/bulk", false, green)
		if after := h.in("water/bulk", connectorsv1.SourceState_SOURCE_STATE_CAUGHT_UP).GetRead(); after != before {
			t.Errorf("rows that did not change were handed on again: %d, then %d", before, after)
		}
		h.exec("UPDATE permits SET holder = '' WHERE id = 22")
		h.source("water/bulk", "with one rejected row", func(s *connectorsv1.Source) bool { return s.GetRejected() == 1 })
		h.await("water.bulk", "22", "申请人22")
		h.exec("UPDATE permits SET holder = '又补正' WHERE id = 22")
		h.await("water.bulk", "22", "又补正")
		if s := h.in("water/bulk", connectorsv1.SourceState_SOURCE_STATE_CAUGHT_UP); s.GetRejected() != 1 {
			t.Errorf("the row was rejected %d times", s.GetRejected())
		}
		h.exec("ALTER TABLE permits ADD COLUMN bank text NOT NULL DEFAULT ''")
		h.in("water/bulk", connectorsv1.SourceState_SOURCE_STATE_BLOCKED)
		if _, err := h.client.connectors.DeleteSource(ctx, &connectorsv1.DeleteSourceRequest{Name: "water/bulk"}); err != nil {
			t.Fatal(err)
		}
	})
}

// TestConnectorCheck lists every fault of every source at once.
func TestConnectorCheck(t *testing.T) {
	address := departmentAddress(t, "ONEWINDOW_TEST_POSTGRES")
	d, err := openDepartment(t.Context(), address, "ow_check_permit")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.close(context.WithoutCancel(t.Context())); err != nil {
			t.Error(err)
		}
	}()
	if err := d.fill(t.Context(), 20); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "water.dsn"), []byte(address), 0o600); err != nil {
		t.Fatal(err)
	}
	definition := func(name, table, fields string) string {
		return fmt.Sprintf(`  - name: water/%s
    resource: water.%s
    kind: sql
    sql: {driver: postgres, dsn_file: water.dsn, table: %s, cursor: updated_at, key: id}
    map: {key: [id], event_time: updated_at, fields: [{from: id, to: id, type: integer}%s]}
`, name, name, table, fields)
	}
	file := filepath.Join(dir, "connectors.yaml")
	text := "sources:\n" + definition("good", "ow_check_permit", ", {from: holder, to: holder}") +
		definition("column", "ow_check_permit", ", {from: owner, to: owner}, {from: rivers, to: rivers}") + definition("table", "ow_check_permits", "")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err = checkConnectors(t.Context(), file, printer{&out, false, newSpeaker("en")})
	if err == nil || strings.Count(out.String(), "✓") != 5 {
		t.Errorf("%v\n%s", err, out.String())
	}
	for _, want := range []string{"water/good → water.good: good", `"holder":"申请人1"`, "COLUMN_MISSING", `"owner"`, `"rivers"`, "TABLE_MISSING", `"ow_check_permits"`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the check does not say %s:\n%s", want, out.String())
		}
	}
}
