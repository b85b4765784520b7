package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/onewindow/onewindow/exchange"
	connectorsv1 "github.com/onewindow/onewindow/proto/connectors/v1"
	exchangev1 "github.com/onewindow/onewindow/proto/exchange/v1"
	"github.com/onewindow/onewindow/proto/message"
)

// drillConnectorsCommand kills the hub while clerks change a department's
// table, and holds the exchange against the table afterwards.
func drillConnectorsCommand(ctx context.Context, args []string, out *os.File) error {
	flags := newFlags("drill-connectors", `kill -9 the hub while a department's table is being changed; compare the two afterwards

The table is read twice at a time, by cursor and by change capture, into two resources. After the kills the database is
cut off for a while, loses its log and gets another column; each has to be told and got over.`)
	address := flags.String("database", "", "the department's database: postgres://… or mysql://…; a table of its own is made there and dropped")
	rows := flags.Int("rows", 1_000_000, "rows at the beginning")
	kills := flags.Int("kills", 30, "how often to kill")
	clerks := flags.Int("clerks", 3, "how many change the table at a time; one of them commits late")
	pace := flags.Duration("pace", 4*time.Second, "the longest life between two kills")
	cutOff := flags.Duration("outage", 10*time.Second, "how long the database is cut off after the kills; its log is lost and a column added meanwhile")
	if err := parse(flags, args); err != nil {
		return err
	}
	if *address == "" || *rows < 1000 {
		return fmt.Errorf("%w: name a --database, and at least 1000 --rows", errUsage)
	}
	dir, err := temporaryFolder("onewindow-drill-")
	if err != nil {
		return err
	}
	d := &connectorDrill{dir: dir, rows: *rows, kills: *kills, clerks: *clerks, pace: *pace, cutOff: *cutOff, out: out, started: time.Now()}
	if d.department, err = openDepartment(ctx, *address, "ow_drill_permit"); err != nil {
		return err
	}
	host, err := d.department.host()
	if err == nil {
		d.line, err = newLine(ctx, host)
	}
	if err == nil {
		err = errors.Join(d.run(ctx), d.line.listener.Close())
	}
	if err != nil {
		err = fmt.Errorf("%w (kept: %s)", err, dir)
	}
	return errors.Join(err, d.department.close(context.WithoutCancel(ctx)), removeWhen(err == nil, dir))
}

func removeWhen(good bool, dir string) error {
	if !good {
		return nil
	}
	return os.RemoveAll(dir)
}

type connectorDrill struct {
	dir                 string
	rows, kills, clerks int
	pace, cutOff        time.Duration
	out                 *os.File
	started             time.Time
	department          *departmentDB
	line                *line
	child               *childHub
}

func (d *connectorDrill) say(format string, args ...any) {
	fmt.Fprintf(d.out, "%6.1fs  %s\n", time.Since(d.started).Seconds(), fmt.Sprintf(format, args...))
}

// The sources of the drill, in the order of the report.
var drillSources = []string{"water/cursor", "water/log"}

// definitions writes the two sources of the table.
func (d *connectorDrill) definitions() (string, error) {
	dsn, err := d.department.through(d.line)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(d.dir, "water.dsn"), []byte(dsn+"\n"), 0o600); err != nil {
		return "", err
	}
	fields := "fields: [{from: id, to: id, type: integer}, {from: holder, to: holder}, {from: area, to: area, type: decimal}, {from: remark, to: remark}]"
	text := fmt.Sprintf(`sources:
  - name: water/cursor
    resource: water.cursor
    kind: sql
    interval: 500ms
    sql: {driver: %[1]s, dsn_file: water.dsn, table: %[2]s, cursor: updated_at, key: id, delay: 500ms, overlap: 10s}
    map: {key: [id], event_time: updated_at, timezone: UTC, %[3]s}
  - name: water/log
    resource: water.log
    kind: log
    interval: 500ms
    log: {driver: %[1]s, dsn_file: water.dsn, table: %[2]s, key: id%[4]s}
    map: {key: [id], %[3]s}
`, d.department.driver, d.department.table, fields, map[bool]string{true: ", server_id: 918273"}[d.department.driver == "mariadb"])
	file := filepath.Join(d.dir, "connectors.yaml")
	return file, os.WriteFile(file, []byte(text), 0o600)
}

func (d *connectorDrill) run(ctx context.Context) error {
	if err := d.department.fill(ctx, d.rows); err != nil {
		return err
	}
	d.say("%d rows in the department's %s", d.rows, d.department.driver)
	file, err := d.definitions()
	if err != nil {
		return err
	}
	if err := d.prepare(ctx); err != nil {
		return err
	}
	if d.child, err = newChildHub(ctx, d.dir, file); err != nil {
		return err
	}
	defer d.child.log.Close() //nolint:errcheck // a log
	defer d.child.end()
	working, stop := context.WithCancel(ctx)
	worked := make(chan error, 1)
	go func() { worked <- d.department.work(working, d.clerks) }()
	err = d.killing(ctx)
	stop()
	if err := errors.Join(err, <-worked); err != nil {
		return err
	}
	d.say("%d kills, %d changes committed meanwhile", d.kills, d.department.changes.Load())
	return d.finish(ctx)
}

// prepare starts the hub once without sources and registers the department.
func (d *connectorDrill) prepare(ctx context.Context) error {
	child, err := newChildHub(ctx, d.dir, "")
	if err != nil {
		return err
	}
	defer child.log.Close() //nolint:errcheck // a log
	if err := errors.Join(child.start(), child.awaitReady(ctx)); err != nil {
		return err
	}
	client, err := dial(child.cfg.Listen.GRPC, (&hub{cfg: child.cfg}).tokenDir(), "administrator")
	if err != nil {
		return err
	}
	if _, err := client.catalog.PutDepartment(ctx, &exchangev1.PutDepartmentRequest{Department: &exchangev1.Department{
		Code: "water", Uscc: "11420396MB9T88885D", Title: "水利局", Region: "420396",
	}}); err != nil {
		return err
	}
	for _, source := range drillSources {
		_, err := client.catalog.PutResource(ctx, &exchangev1.PutResourceRequest{Resource: &exchangev1.Resource{
			Name: strings.ReplaceAll(source, "/", "."), Title: "采砂许可", Kind: exchangev1.RecordKind_RECORD_KIND_REGISTER,
			ShareType: exchangev1.ShareType_SHARE_TYPE_UNCONDITIONAL,
			Schema:    []byte(`{"type":"object","required":["id","holder"],"properties":{"id":{"type":"integer"},"holder":{"type":"string"},"area":{"type":"number"},"remark":{"type":"string"}}}`),
		}})
		if err != nil {
			return err
		}
	}
	_, stopErr := child.stop()
	return errors.Join(client.close(), stopErr)
}

// killing starts and kills the hub again and again.
func (d *connectorDrill) killing(ctx context.Context) error {
	for kill := range d.kills {
		life := time.Duration(rand.Int64N(int64(d.pace))) //nolint:gosec // points of time, not secrets
		if err := d.child.start(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(life):
		}
		if err := d.child.kill(); err != nil {
			return err
		}
		d.say("kill %2d after %4d ms", kill+1, life.Milliseconds())
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// finish lets the hub catch up, proves both sources, and compares what is stored with the table.
func (d *connectorDrill) finish(ctx context.Context) error {
	if err := errors.Join(d.child.start(), d.child.awaitReady(ctx)); err != nil {
		return err
	}
	client, err := dial(d.child.cfg.Listen.GRPC, (&hub{cfg: d.child.cfg}).tokenDir(), "administrator")
	if err != nil {
		return err
	}
	if err := d.catchUp(ctx, client); err != nil {
		return err
	}
	if d.cutOff > 0 {
		if err := d.outage(ctx, client); err != nil {
			return err
		}
	}
	// A cursor never sees a delete; the reconciliation does.
	repaired, err := proveOne(ctx, client.connectors, "water/cursor", repairing{repair: true})
	if err != nil {
		return err
	}
	d.say("water/cursor reconciled: missing %d, different %d, deleted at the source %d; put right %d",
		repaired.GetMissing(), repaired.GetDifferent(), repaired.GetExtra(), repaired.GetRepaired())
	red := 0
	for _, source := range drillSources {
		proof, err := proveOne(ctx, client.connectors, source, repairing{})
		if err != nil {
			return err
		}
		d.say("proof of %s: %s %s, %d rows at the source, %d in the exchange", source, verdictWord(proof), proof.GetFault(), proof.GetSourceRows(), proof.GetHeldRows())
		if proof.GetVerdict() != connectorsv1.ProofVerdict_PROOF_VERDICT_EQUAL {
			printProofs(d.out, newSpeaker(message.English), proof)
			red++
		}
	}
	rss, stopErr := d.child.stop()
	if err := errors.Join(client.close(), stopErr); err != nil {
		return err
	}
	d.say("resident at most %d MB", rss>>20)
	if repaired.GetMissing()+repaired.GetDifferent() > 0 {
		d.say("the cursor had missed rows before the reconciliation")
		red++
	}
	differing, err := d.compare(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(d.out, "%s: kills %d, changes %d, keys that differ %d, elapsed %.0f s\n", d.department.driver, d.kills, d.department.changes.Load(), differing, time.Since(d.started).Seconds())
	if red > 0 || differing > 0 {
		return errors.New("source and exchange are not equal")
	}
	return nil
}

// catchUp waits until both sources have been caught up for longer than late rows take.
func (d *connectorDrill) catchUp(ctx context.Context, client *client) error {
	began := time.Now()
	for {
		list, err := client.connectors.ListSources(ctx, &connectorsv1.ListSourcesRequest{})
		if err != nil {
			return err
		}
		done := 0
		for _, s := range list.GetSources() {
			if s.GetState() == connectorsv1.SourceState_SOURCE_STATE_CAUGHT_UP {
				done++
			}
			if s.GetFault() != "" && time.Since(began) > 3*time.Minute {
				return fmt.Errorf("%s: %s", s.GetName(), s.GetFault())
			}
		}
		if done == len(drillSources) && time.Since(began) > 25*time.Second { // two overlaps
			d.say("caught up")
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// compare opens the stopped hub's stores and holds every key against the table.
func (d *connectorDrill) compare(ctx context.Context) (int, error) {
	truth, err := d.department.truth(ctx)
	if err != nil {
		return 0, err
	}
	h, err := openHub(ctx, d.child.cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		return 0, err
	}
	const buckets = 64
	all := make([]int, buckets)
	for i := range all {
		all[i] = i
	}
	differing := 0
	for _, source := range drillSources {
		resource := strings.ReplaceAll(source, "/", ".")
		lost, doubled, wrong, seen := len(truth), 0, 0, map[string]bool{}
		for group := range slices.Chunk(all, 8) {
			err = h.store.HeldKeys(ctx, resource, source, buckets, group, func(k exchange.HeldKey) error {
				if k.Deleted {
					return nil
				}
				want, ok := truth[k.Key]
				switch {
				case !ok || seen[k.Key]:
					doubled++
				default:
					lost--
					if want != (hashed{k.High, k.Low}) {
						wrong++
					}
				}
				seen[k.Key] = true
				return nil
			})
			if err != nil {
				return 0, errors.Join(err, h.close())
			}
		}
		d.say("%s against the table: %d keys, lost %d, different %d, too many %d", source, len(truth), lost, wrong, doubled)
		differing += lost + wrong + doubled
	}
	return differing, h.close()
}
