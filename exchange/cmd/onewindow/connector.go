package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/onewindow/onewindow/connectors"
	connectorsv1 "github.com/onewindow/onewindow/proto/connectors/v1"
)

// connectorCommand checks and runs definitions, and shows and leads the sources of a running hub.
func connectorCommand(ctx context.Context, args []string, out *os.File) error {
	flags := newFlags("connector", `check and run connector definitions; show and lead the sources of a running hub

  connector check FILE             connect to every source of FILE, show five rows of each as they would be published, list every fault
  connector run FILE               run a hub that reads the sources of FILE (with --config: of that configuration)
  connector schema                 print the JSON Schema of definitions, for editors
  connector status                 what the sources are doing; exit code 1 if one of them has a fault or its last proof is red
  connector proof [SOURCE]         compare a source, or all, with what the exchange holds; exit code 1 if they differ
  connector proof --repair SOURCE  … and put right what differs; with --allow-emptied also if nearly all rows are gone
  connector proofs [SOURCE]        the proofs that were made, newest first
  connector pause|resume|stop SOURCE
  connector accept SOURCE          agree to changed columns
  connector reread SOURCE [FROM [TO]]   read a range of keys again`)
	address := flags.String("address", "127.0.0.1:9090", "gRPC address of the hub")
	tokenFile := flags.String("token-file", "data/tokens/administrator.token", "file with your token")
	config := flags.String("config", "", "configuration file for connector run")
	repair := flags.Bool("repair", false, "connector proof: put right what differs")
	allowEmptied := flags.Bool("allow-emptied", false, "connector proof --repair: delete also if the source shows hardly any of the records held")
	action := ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		action, args = args[0], args[1:]
	}
	if err := flags.Parse(args); err != nil {
		return usageError(err)
	}
	rest := flags.Args()
	switch {
	case action == "check" && len(rest) == 1:
		return checkConnectors(ctx, rest[0], out)
	case action == "run" && len(rest) == 1:
		return runConnectors(ctx, *config, rest[0], out)
	case action == "schema" && len(rest) == 0:
		text, err := connectors.JSONSchema()
		if err == nil {
			_, err = out.Write(text)
		}
		return err
	}
	most, known := map[string]int{"status": 0, "proof": 1, "proofs": 1, "pause": 1, "resume": 1, "stop": 1, "accept": 1, "reread": 3}[action]
	optional := action == "status" || action == "proof" || action == "proofs"
	if !known || len(rest) > most || len(rest) == 0 && !optional {
		return fmt.Errorf("%w: connector %s: wrong action or number of arguments; see onewindow connector -h", errUsage, action)
	}
	return withConnectors(*address, *tokenFile, func(client connectorsv1.ConnectorsServiceClient) error {
		return leadConnectors(ctx, client, action, rest, repairing{*repair, *allowEmptied}, out)
	})
}

// withConnectors calls fn with a client of the hub's connectors.
func withConnectors(address, tokenFile string, fn func(connectorsv1.ConnectorsServiceClient) error) (err error) {
	text, err := os.ReadFile(tokenFile)
	if err != nil {
		return fmt.Errorf("%w: token-file: %w", errUsage, err)
	}
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithPerRPCCredentials(bearer(strings.TrimSpace(string(text)))))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	return fn(connectorsv1.NewConnectorsServiceClient(conn))
}

// leadConnectors does one action on the sources of a running hub.
func leadConnectors(ctx context.Context, client connectorsv1.ConnectorsServiceClient, action string, args []string, repair repairing, out io.Writer) error {
	source := ""
	if len(args) > 0 {
		source = args[0]
	}
	var err error
	switch action {
	case "status":
		return connectorStatus(ctx, client, out)
	case "proof":
		return proveConnectors(ctx, client, source, repair, out)
	case "proofs":
		list, err := client.ListProofs(ctx, &connectorsv1.ListProofsRequest{Source: source})
		if err != nil {
			return err
		}
		printProofs(out, list.GetProofs()...)
		return nil
	case "pause":
		_, err = client.PauseSource(ctx, &connectorsv1.PauseSourceRequest{Name: source})
	case "resume":
		_, err = client.ResumeSource(ctx, &connectorsv1.ResumeSourceRequest{Name: source})
	case "stop":
		_, err = client.StopSource(ctx, &connectorsv1.StopSourceRequest{Name: source})
	case "accept":
		_, err = client.AcceptColumns(ctx, &connectorsv1.AcceptColumnsRequest{Name: source})
	case "reread":
		req := &connectorsv1.RereadSourceRequest{Name: source}
		if len(args) > 1 {
			req.From = strings.Split(args[1], "/")
		}
		if len(args) > 2 {
			req.To = strings.Split(args[2], "/")
		}
		_, err = client.RereadSource(ctx, req)
	}
	if err == nil {
		fmt.Fprintf(out, "%s: %s is asked for\n", source, action)
	}
	return err
}

// checkConnectors connects to every source of a file of definitions.
func checkConnectors(ctx context.Context, file string, out io.Writer) error {
	defs, err := definitions(file)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	faults := 0
	for _, def := range defs {
		checked := connectors.CheckSource(ctx, def, sourceKinds()[def.Kind], slog.New(slog.DiscardHandler))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		verdict := "good"
		if len(checked.Faults) > 0 {
			verdict = fmt.Sprintf("%d faults", len(checked.Faults))
		}
		fmt.Fprintf(out, "%s → %s: %s\n", def.Name, def.Resource, verdict)
		for _, fault := range checked.Faults {
			fmt.Fprintf(out, "  ✗ %s: %v\n", connectors.CodeOf(fault), fault)
		}
		rejected := 0
		for _, row := range checked.Rows {
			if r := row.Rejection; r != nil {
				rejected++
				fmt.Fprintf(out, "  ✗ %s: %s %s: %s\n", row.Origin, r.Rule, r.Field, r.Detail)
				continue
			}
			fmt.Fprintf(out, "  ✓ %s: key %s, %s %s\n", row.Origin, row.Key, row.EventTime.Format(time.RFC3339Nano), row.Payload)
		}
		if faults += len(checked.Faults); rejected > 0 && rejected == len(checked.Rows) {
			fmt.Fprintf(out, "  ✗ every one of the rows would be rejected\n")
			faults++
		}
	}
	if faults > 0 {
		return fmt.Errorf("%d faults in %d sources; mend them and check again", faults, len(defs))
	}
	return nil
}

// runConnectors runs a hub whose connectors are those of a file.
func runConnectors(ctx context.Context, config, file string, out *os.File) error {
	cfg, _, err := configured(config)
	if err != nil {
		return err
	}
	cfg.Connectors = file
	defs, err := definitions(file)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	h, err := openHub(ctx, cfg, newLogger(os.Stderr))
	if err != nil {
		return err
	}
	err = h.run(ctx, defs, func() { announce(out, h) })
	return errors.Join(err, h.close())
}

// connectorStatus shows what every source is doing.
func connectorStatus(ctx context.Context, client connectorsv1.ConnectorsServiceClient, out io.Writer) error {
	list, err := client.ListSources(ctx, &connectorsv1.ListSourcesRequest{})
	if err != nil {
		return err
	}
	needy := 0
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SOURCE\tKIND\tSTATE\tREAD\tREJECTED\tCAUGHT UP\tPROOF")
	for _, s := range list.GetSources() {
		caughtUp, proof := "never", "none"
		if at := s.GetCaughtUpTime(); at != nil {
			caughtUp = time.Since(at.AsTime()).Round(time.Second).String() + " ago"
		}
		if s.GetProof() != nil {
			proof = verdictWord(s.GetProof())
		}
		state := strings.ToLower(strings.TrimPrefix(s.GetState().String(), "SOURCE_STATE_"))
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%d\t%s\t%s\n", s.GetName(), s.GetKind(), state, s.GetRead(), s.GetRejected(), caughtUp, proof)
	}
	_ = table.Flush() // what a person reads: there is nobody left to tell
	for _, s := range list.GetSources() {
		if s.GetFault() != "" {
			fmt.Fprintf(out, "\n%s: %s\n  %s\n", s.GetName(), s.GetFaultCode(), s.GetFault())
		}
		if n := s.GetFailedAttempts(); n > 1 {
			fmt.Fprintf(out, "  %s: %d failed attempts since %s\n", s.GetName(), n, s.GetFailingSinceTime().AsTime().Local().Format("2006-01-02 15:04:05"))
		}
		if s.GetFault() != "" || s.GetProof().GetVerdict() == connectorsv1.ProofVerdict_PROOF_VERDICT_DIFFERENT {
			needy++
		}
	}
	if needy > 0 {
		return fmt.Errorf("%d of %d sources need somebody", needy, len(list.GetSources()))
	}
	return nil
}

// repairing says what a proof may put right.
type repairing struct{ repair, allowEmptied bool }

// proveConnectors asks for proofs, waits for them and shows them.
func proveConnectors(ctx context.Context, client connectorsv1.ConnectorsServiceClient, source string, repair repairing, out io.Writer) error {
	sources := []string{source}
	if source == "" {
		sources = nil
		list, err := client.ListSources(ctx, &connectorsv1.ListSourcesRequest{})
		if err != nil {
			return err
		}
		for _, s := range list.GetSources() {
			sources = append(sources, s.GetName())
		}
	}
	bad := 0
	for _, source := range sources {
		proof, err := proveOne(ctx, client, source, repair)
		if err != nil {
			return err
		}
		printProofs(out, proof)
		if proof.GetVerdict() != connectorsv1.ProofVerdict_PROOF_VERDICT_EQUAL {
			bad++
		}
	}
	if bad > 0 {
		return fmt.Errorf("%d of %d sources are not proved complete", bad, len(sources))
	}
	return nil
}

// proveOne asks for one proof and waits for its report.
func proveOne(ctx context.Context, client connectorsv1.ConnectorsServiceClient, source string, repair repairing) (*connectorsv1.Proof, error) {
	asked, err := client.ProveSource(ctx, &connectorsv1.ProveSourceRequest{Name: source, Repair: repair.repair, AllowEmptied: repair.allowEmptied})
	if err != nil {
		return nil, err
	}
	for {
		list, err := client.ListProofs(ctx, &connectorsv1.ListProofsRequest{Source: source})
		if err != nil {
			return nil, err
		}
		for _, p := range list.GetProofs() {
			if p.GetId() == asked.GetId() && p.GetVerdict() != connectorsv1.ProofVerdict_PROOF_VERDICT_ASKED {
				return p, nil
			}
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// verdictWord is a verdict for people: green and red as the lights are called.
func verdictWord(p *connectorsv1.Proof) string {
	switch p.GetVerdict() {
	case connectorsv1.ProofVerdict_PROOF_VERDICT_EQUAL:
		return "green"
	case connectorsv1.ProofVerdict_PROOF_VERDICT_DIFFERENT:
		return "RED"
	case connectorsv1.ProofVerdict_PROOF_VERDICT_FAILED:
		return "not made"
	case connectorsv1.ProofVerdict_PROOF_VERDICT_ASKED:
		return "under way"
	default:
		return "unknown"
	}
}

// printProofs shows reports with their first differing keys.
func printProofs(out io.Writer, proofs ...*connectorsv1.Proof) {
	for _, p := range proofs {
		fmt.Fprintf(out, "%s  %s: %s\n", p.GetEndTime().AsTime().Local().Format("2006-01-02 15:04:05"), p.GetSource(), verdictWord(p))
		if p.GetFault() != "" {
			fmt.Fprintf(out, "  %s: %s\n", p.GetFaultCode(), p.GetFault())
			continue
		}
		fmt.Fprintf(out, "  source    %9d rows  %s\n  exchange  %9d rows  %s\n", p.GetSourceRows(), p.GetSourceHash(), p.GetHeldRows(), p.GetHeldHash())
		if spots := p.GetBlindSpots(); len(spots) > 0 {
			fmt.Fprintf(out, "  not seen by this proof: %s (see connectors/README.md)\n", strings.Join(spots, ", "))
		}
		if p.GetSourceRejected() > 0 {
			fmt.Fprintf(out, "  %d rows of the source are rejected by the rules of %s\n", p.GetSourceRejected(), p.GetResource())
		}
		if p.GetMissing()+p.GetDifferent()+p.GetExtra() > 0 {
			fmt.Fprintf(out, "  missing %d, different %d, extra %d; put right %d\n", p.GetMissing(), p.GetDifferent(), p.GetExtra(), p.GetRepaired())
		}
		for i, d := range p.GetDifferences() {
			if i == 20 {
				fmt.Fprintf(out, "    …\n")
				break
			}
			fmt.Fprintf(out, "    %s %s\n", d.GetIs(), d.GetKey())
		}
	}
}
