package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/onewindow/onewindow/connectors"
	connectorsv1 "github.com/onewindow/onewindow/proto/connectors/v1"
	"github.com/onewindow/onewindow/proto/message"
)

// connectorActions are what onewindow connector does.
func connectorActions() []action {
	hub := []string{"address", "token-file"}
	list := []string{"address", "token-file", "json"}
	return []action{
		{"check", "FILE", "connect to every source of FILE, show five rows of each as they would be published, list every fault", 1, 1, []string{"json"}},
		{"run", "FILE", "run a hub that reads the sources of FILE", 1, 1, []string{"config"}},
		{"schema", "", "print the JSON Schema of definitions, for editors", 0, 0, nil},
		{"status", "", "what the sources are doing; exit code 1 if one has a fault or its last proof is red", 0, 0, list},
		{"proof", "[SOURCE]", "compare a source, or all, with what the exchange holds; exit code 1 if they differ", 0, 1, append(list, "repair", "allow-emptied")},
		{"proofs", "[SOURCE]", "the proofs that were made, newest first", 0, 1, list},
		{"rejected", "[SOURCE]", "the newest rejected rows, with the rule that each breaks", 0, 1, list},
		{"pause", "SOURCE", "stop reading until resume", 1, 1, hub},
		{"resume", "SOURCE", "read again", 1, 1, hub},
		{"stop", "SOURCE", "stop reading for good", 1, 1, hub},
		{"accept", "SOURCE", "agree to changed columns", 1, 1, hub},
		{"reread", "SOURCE [FROM [TO]]", "read a range of keys again", 1, 3, hub},
	}
}

// connectorCommand checks and runs definitions, and shows and manages the sources of a running hub.
func connectorCommand(ctx context.Context, args []string, out *os.File) error {
	flags := newFlags("connector", "check and run connector definitions; show and manage the sources of a running hub")
	hub := addHubFlags(flags)
	config := flags.String("config", "", "configuration file of the hub")
	repair := flags.Bool("repair", false, "repair what differs")
	allowEmptied := flags.Bool("allow-emptied", false, "with --repair: delete also if the source shows hardly any of the records held")
	asJSON := flags.Bool("json", false, "print JSON")
	chosen, rest, err := parseAction(flags, connectorActions(), args)
	if err != nil {
		return err
	}
	switch chosen.name {
	case "check":
		return checkConnectors(ctx, rest[0], printer{out, *asJSON, newSpeaker("")})
	case "run":
		return runConnectors(ctx, *config, rest[0], out)
	case "schema":
		text, err := connectors.JSONSchema()
		if err == nil {
			_, err = out.Write(text)
		}
		return err
	}
	return hub.call(func(conn grpc.ClientConnInterface) error {
		c := connectorCall{connectorsv1.NewConnectorsServiceClient(conn), printer{out, *asJSON, newSpeaker("")}}
		return c.do(ctx, chosen.name, rest, repairing{*repair, *allowEmptied})
	})
}

// printer writes what a command found, as text or as JSON.
type printer struct {
	out   io.Writer
	json  bool
	words speaker
}

// message writes a message as JSON, if that was asked for.
func (p printer) message(m proto.Message) (done bool, err error) {
	if !p.json {
		return false, nil
	}
	text, err := protojson.MarshalOptions{Multiline: true, Indent: "  ", EmitDefaultValues: true}.Marshal(m)
	if err == nil {
		_, err = fmt.Fprintf(p.out, "%s\n", text)
	}
	return true, err
}

// progress says on a terminal what takes a while.
func (p printer) progress(code string, pairs ...string) {
	if isTerminal(os.Stderr) {
		fmt.Fprintln(os.Stderr, p.words.text(code, pairs...))
	}
}

// connectorCall is one action on the sources of a running hub.
type connectorCall struct {
	client connectorsv1.ConnectorsServiceClient
	printer
}

func (c connectorCall) do(ctx context.Context, action string, args []string, repair repairing) error {
	source := ""
	if len(args) > 0 {
		source = args[0]
	}
	var err error
	switch action {
	case "status":
		return c.status(ctx)
	case "proof":
		return c.prove(ctx, source, repair)
	case "proofs":
		list, err := c.client.ListProofs(ctx, &connectorsv1.ListProofsRequest{Source: source})
		if err != nil {
			return err
		}
		if done, err := c.message(list); done {
			return err
		}
		printProofs(c.out, c.words, list.GetProofs()...)
		return nil
	case "rejected":
		return c.rejected(ctx, source)
	case "pause":
		_, err = c.client.PauseSource(ctx, &connectorsv1.PauseSourceRequest{Name: source})
	case "resume":
		_, err = c.client.ResumeSource(ctx, &connectorsv1.ResumeSourceRequest{Name: source})
	case "stop":
		_, err = c.client.StopSource(ctx, &connectorsv1.StopSourceRequest{Name: source})
	case "accept":
		_, err = c.client.AcceptColumns(ctx, &connectorsv1.AcceptColumnsRequest{Name: source})
	case "reread":
		req := &connectorsv1.RereadSourceRequest{Name: source}
		if len(args) > 1 {
			req.From = strings.Split(args[1], "/")
		}
		if len(args) > 2 {
			req.To = strings.Split(args[2], "/")
		}
		_, err = c.client.RereadSource(ctx, req)
	}
	if err == nil {
		fmt.Fprintln(c.out, c.words.text("cli.ASKED_FOR", "source", source, "action", action))
	}
	return err
}

// rejected shows the newest rejected rows, not what is in them.
func (c connectorCall) rejected(ctx context.Context, source string) error {
	list, err := c.client.ListRejected(ctx, &connectorsv1.ListRejectedRequest{Source: source})
	if err != nil {
		return err
	}
	if done, err := c.message(list); done {
		return err
	}
	for _, r := range list.GetRows() {
		fmt.Fprintf(c.out, "%s  %s  %s\n  %s %s: %s\n  %s\n", r.GetTime().AsTime().Local().Format(time.DateTime), r.GetId(), r.GetOrigin(),
			paint(c.out, colourRed, r.GetRule()), r.GetField(), c.words.explained(message.New(rulePrefix+r.GetRule())), r.GetDetail())
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
		return err
	}
	return serveHub(ctx, cfg, defs, out)
}

// status shows what every source is doing.
func (c connectorCall) status(ctx context.Context) error {
	list, err := c.client.ListSources(ctx, &connectorsv1.ListSourcesRequest{})
	if err != nil {
		return err
	}
	needy := 0
	for _, s := range list.GetSources() {
		if s.GetFault() != "" || s.GetProof().GetVerdict() == connectorsv1.ProofVerdict_PROOF_VERDICT_DIFFERENT {
			needy++
		}
	}
	done, err := c.message(list)
	if err != nil {
		return err
	}
	if !done {
		c.printSources(list.GetSources())
	}
	if needy > 0 {
		return wrong(nil, "cli.SOURCES_NEED_CARE", "needy", strconv.Itoa(needy), "sources", strconv.Itoa(len(list.GetSources())))
	}
	return nil
}

func (c connectorCall) printSources(sources []*connectorsv1.Source) {
	table := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "SOURCE\tKIND\tSTATE\tREAD\tREJECTED\tCAUGHT UP\tPROOF")
	for _, s := range sources {
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
	_ = table.Flush() // what a person reads
	for _, s := range sources {
		if s.GetFault() == "" {
			continue
		}
		text, hint := c.words.catalog.Render(c.words.language, message.New(faultPrefix+s.GetFaultCode()))
		fmt.Fprintf(c.out, "\n%s: %s %s\n  %s\n  %s: %s\n", s.GetName(), s.GetFaultCode(), paint(c.out, colourRed, text), hint,
			c.words.text("cli.LABEL_DETAIL"), s.GetFault())
		if n := s.GetFailedAttempts(); n > 1 {
			fmt.Fprintf(c.out, "  %s\n", c.words.text("cli.FAILED_ATTEMPTS", "count", strconv.FormatInt(int64(n), 10),
				"since", s.GetFailingSinceTime().AsTime().Local().Format(time.DateTime)))
		}
	}
}

// repairing says what a proof may repair.
type repairing struct{ repair, allowEmptied bool }

// prove asks for proofs, waits for them and shows them.
func (c connectorCall) prove(ctx context.Context, source string, repair repairing) error {
	sources := []string{source}
	if source == "" {
		sources = nil
		list, err := c.client.ListSources(ctx, &connectorsv1.ListSourcesRequest{})
		if err != nil {
			return err
		}
		for _, s := range list.GetSources() {
			sources = append(sources, s.GetName())
		}
	}
	bad, made := 0, &connectorsv1.ListProofsResponse{}
	for _, source := range sources {
		c.progress("cli.PROVING", "source", source)
		proof, err := proveOne(ctx, c.client, source, repair)
		if err != nil {
			return err
		}
		if made.Proofs = append(made.Proofs, proof); !c.json {
			printProofs(c.out, c.words, proof)
		}
		if proof.GetVerdict() != connectorsv1.ProofVerdict_PROOF_VERDICT_EQUAL {
			bad++
		}
	}
	if _, err := c.message(made); err != nil {
		return err
	}
	if bad > 0 {
		return wrong(nil, "cli.NOT_PROVED", "bad", strconv.Itoa(bad), "sources", strconv.Itoa(len(sources)))
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
func printProofs(out io.Writer, words speaker, proofs ...*connectorsv1.Proof) {
	for _, p := range proofs {
		fmt.Fprintf(out, "%s  %s: %s\n", p.GetEndTime().AsTime().Local().Format("2006-01-02 15:04:05"), p.GetSource(), verdictWord(p))
		if p.GetFault() != "" {
			fmt.Fprintf(out, "  %s %s\n  %s: %s\n", p.GetFaultCode(), words.explained(message.New(faultPrefix+p.GetFaultCode())),
				words.text("cli.LABEL_DETAIL"), p.GetFault())
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
			fmt.Fprintf(out, "  missing %d, different %d, extra %d; repaired %d\n", p.GetMissing(), p.GetDifferent(), p.GetExtra(), p.GetRepaired())
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
