package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"google.golang.org/grpc"

	signingv1 "github.com/onewindow/onewindow/proto/signing/v1"
	"github.com/onewindow/onewindow/signing/keys"
)

// keysActions are what onewindow keys does.
func keysActions() []action {
	hub := []string{"address", "token-file", "json"}
	return []action{
		{"list", "", "show every key", 0, 0, hub},
		{"rotate", "LINE", "make and publish the line's next key", 1, 1, hub},
		{"create", "LINE ALGORITHM [TOKEN]", "make a key, in a file or in a token of the configuration", 2, 3, hub},
		{"publish", "KEY", "let others fetch the key before it signs", 1, 1, hub},
		{"activate", "KEY", "sign with the key from now on", 1, 1, hub},
		{"withdraw", "KEY", "end its use at once, for instance because others may know it", 1, 1, hub},
		{"audit", "", "verify the whole log of key uses in the data folder, line by line; needs no hub", 0, 0, []string{"data"}},
		{"request-destruction", "KEY", "one person asks …", 1, 1, hub},
		{"approve-destruction", "KEY", "… and another approves (each with a token of their own)", 1, 1, hub},
	}
}

// keysCommand shows the keys of a running hub and takes them through their lives.
func keysCommand(ctx context.Context, args []string, out *os.File) error {
	flags := newFlags("keys", "show and change the keys of a running hub")
	hub := addHubFlags(flags)
	asJSON := flags.Bool("json", false, "print JSON")
	data := flags.String("data", "data", "data folder of the hub")
	if len(args) == 0 {
		args = []string{"list"}
	}
	chosen, rest, err := parseAction(flags, keysActions(), args)
	if err != nil {
		return err
	}
	if chosen.name == "audit" {
		return auditUses(*data, out)
	}
	return hub.call(func(conn grpc.ClientConnInterface) error {
		return changeKeys(ctx, signingv1.NewSigningServiceClient(conn), chosen.name, rest, printer{out, *asJSON, newSpeaker("")})
	})
}

// auditUses verifies the log of key uses from its first line to its last. What
// it prints, kept elsewhere, proves later that nothing of it was changed or cut.
func auditUses(data string, out io.Writer) error {
	dir := filepath.Join(data, "signing", "uses")
	if _, err := os.Stat(dir); err != nil {
		return fmt.Errorf("%w: --data: %w", errUsage, err)
	}
	audit, err := keys.AuditJournal(dir)
	if err != nil {
		return fmt.Errorf("%s: %w; if a hub is writing this log, ask again: its last line may not be whole yet", dir, err)
	}
	fmt.Fprintf(out, "the log of key uses is whole: %d records, %d closed segments\nkey of the log: %s\nSHA-256 of line %d: %s\n", audit.Records, audit.Closed, audit.LogKeyID, audit.Records, audit.Last)
	if audit.Records > 0 {
		fmt.Fprintf(out, "Keep these figures elsewhere. The key must stay the same, and this must give the same SHA-256 for ever:\n  cd %s && cat $(ls uses-*.jsonl 2>/dev/null) uses.jsonl | sed -n %dp | tr -d '\\n' | sha256sum\n", dir, audit.Records)
	}
	return nil
}

// changeKeys does one action and shows what became of it.
func changeKeys(ctx context.Context, client signingv1.SigningServiceClient, action string, rest []string, p printer) error {
	type keyed interface{ GetKey() *signingv1.Key }
	var resp keyed
	var err error
	switch action {
	case "list":
		return listKeys(ctx, client, p)
	case "rotate":
		resp, err = rotate(ctx, client, rest[0])
	case "create":
		req := &signingv1.CreateKeyRequest{Line: rest[0], Algorithm: rest[1]}
		if len(rest) == 3 {
			req.Token = rest[2]
		}
		resp, err = client.CreateKey(ctx, req)
	case "publish":
		resp, err = client.PublishKey(ctx, &signingv1.PublishKeyRequest{KeyId: rest[0]})
	case "activate":
		resp, err = client.ActivateKey(ctx, &signingv1.ActivateKeyRequest{KeyId: rest[0]})
	case "withdraw":
		resp, err = client.WithdrawKey(ctx, &signingv1.WithdrawKeyRequest{KeyId: rest[0]})
	case "request-destruction":
		resp, err = client.RequestKeyDestruction(ctx, &signingv1.RequestKeyDestructionRequest{KeyId: rest[0]})
	case "approve-destruction":
		resp, err = client.ApproveKeyDestruction(ctx, &signingv1.ApproveKeyDestructionRequest{KeyId: rest[0]})
	}
	if err != nil {
		return err
	}
	if done, err := p.message(resp.GetKey()); done {
		return err
	}
	printKeys(p.out, resp.GetKey())
	return nil
}

// rotate makes the next key of a line with the algorithm and token of the
// active one, and publishes it.
func rotate(ctx context.Context, client signingv1.SigningServiceClient, line string) (*signingv1.PublishKeyResponse, error) {
	list, err := client.ListKeys(ctx, &signingv1.ListKeysRequest{})
	if err != nil {
		return nil, err
	}
	for _, key := range list.GetKeys() {
		if key.GetLine() != line || key.GetState() != signingv1.KeyState_KEY_STATE_ACTIVE {
			continue
		}
		made, err := client.CreateKey(ctx, &signingv1.CreateKeyRequest{Line: line, Algorithm: key.GetAlgorithm(), Token: key.GetToken()})
		if err != nil {
			return nil, err
		}
		return client.PublishKey(ctx, &signingv1.PublishKeyRequest{KeyId: made.GetKey().GetId()})
	}
	return nil, wrongUsage(nil, "cli.KEYS_LINE", "line", line)
}

func listKeys(ctx context.Context, client signingv1.SigningServiceClient, p printer) error {
	list, err := client.ListKeys(ctx, &signingv1.ListKeysRequest{})
	if err != nil {
		return err
	}
	if done, err := p.message(list); done {
		return err
	}
	printKeys(p.out, list.GetKeys()...)
	return nil
}

func printKeys(out io.Writer, list ...*signingv1.Key) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "LINE\tKEY\tALGORITHM\tSTATE\tSINCE\tHELD BY")
	for _, key := range list {
		since := key.GetCreateTime()
		for _, later := range []interface{ GetSeconds() int64 }{key.GetPublishTime(), key.GetActivateTime(), key.GetRetireTime(), key.GetDestroyTime()} {
			if later.GetSeconds() > since.GetSeconds() {
				since.Seconds = later.GetSeconds()
			}
		}
		state := strings.ToLower(strings.TrimPrefix(key.GetState().String(), "KEY_STATE_"))
		if who := key.GetDestructionRequestedBy(); who != "" {
			state += " (destruction asked for by " + who + ")"
		}
		held := "file"
		if key.GetToken() != "" {
			held = "token " + key.GetToken()
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", key.GetLine(), key.GetId(), key.GetAlgorithm(), state,
			since.AsTime().Local().Format("2006-01-02 15:04:05"), held)
	}
	_ = table.Flush() // what a person reads: nothing is left to be done
}
