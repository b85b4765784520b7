// Command onewindow is the whole hub in one binary: the exchange, the
// connectors, e-licences, analytics, the API and the page; the sample county;
// the drills and the benchmarks. `onewindow help` lists the commands.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
)

// Exit codes.
const (
	exitOK    = 0
	exitFault = 1 // it ran, and something is wrong
	exitUsage = 2 // it did not run: wrong arguments or configuration
)

// errUsage marks faults of the command line or the configuration.
var errUsage = errors.New("usage")

// command is one sub-command. run gets the arguments after its name.
type command struct {
	name, summary string
	run           func(ctx context.Context, args []string, out *os.File) error
	actions       []action // nil for a command that does one thing
}

// action is what a command can do: the first argument after its name.
type action struct {
	name, arguments, summary string
	least, most              int      // arguments after the name
	flags                    []string // those that it heeds, for its help
}

func commands() []command {
	return []command{
		{"run", "start the hub, or some of its roles, from a configuration file", runCommand, nil},
		{"demo", "start the hub with the sample county and stay up; with --report run once and write the figures", demoCommand, nil},
		{"connector", "check and run connector definitions; show, manage and prove the sources of a running hub", connectorCommand, connectorActions()},
		{"check", "read a configuration and the connector definitions, list every fault, and exit", checkCommand, nil},
		{"county", "serve the sample county's three systems (its own process, outside the hub)", countyCommand, nil},
		{"drill", "kill -9 the hub at random points of the load and compare the counts", drillCommand, nil},
		{"drill-rotation", "rotate the licence key while signing and verifying go on", rotationCommand, nil},
		{"drill-connectors", "kill -9 the hub while a department's table is changed, and compare the two", drillConnectorsCommand, nil},
		{"keys", "show the keys of a running hub and take them through their lives", keysCommand, keysActions()},
		{"token", "issue and revoke access tokens", tokenCommand, tokenActions()},
		{"reset", "give up one store of a stopped hub that is lost, so that the next start makes it again", resetCommand, nil},
		{"verify", "verify an OFD file or a licence token offline, step by step", verifyCommand, nil},
		{"bench", "measure: ready, push, load, signing", benchCommand, nil},
		{"completion", "print a completion script for bash, zsh or fish", completionCommand, nil},
		{"version", "print the version", versionCommand, nil},
	}
}

// memoryLimit is what the Go side of the process tries to stay within, unless
// GOMEMLIMIT says otherwise: the embedded engine beside it has a limit of its
// own, and the two together are meant to stay below 500 MB.
const memoryLimit = 176 << 20

func main() {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(memoryLimit)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := dispatch(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// dispatch runs one command and returns the exit code. A command that was
// stopped by a signal ends in good order: that is no fault, but a real error
// beside it is.
func dispatch(ctx context.Context, args []string, out *os.File, errs io.Writer) int {
	if len(args) == 0 || slices.Contains([]string{"help", "-h", "-help", "--help"}, args[0]) {
		usage(out)
		return exitOK
	}
	if args[0] == "-version" || args[0] == "--version" {
		args = []string{"version"}
	}
	s := newSpeaker("")
	for _, c := range commands() {
		if c.name != args[0] {
			continue
		}
		err := c.run(ctx, args[1:], out)
		if ctx.Err() != nil {
			err = withoutCancel(err)
			if err == nil && slices.Contains([]string{"run", "demo"}, c.name) {
				fmt.Fprintln(out, s.text("cli.STOPPED"))
			}
		}
		if err == nil || errors.Is(err, flag.ErrHelp) {
			return exitOK
		}
		return s.say(errs, c.name, err)
	}
	return s.say(errs, "", wrongUsage(nil, "cli.COMMAND_UNKNOWN", "command", args[0]))
}

func usage(out io.Writer) {
	fmt.Fprint(out, "onewindow: data-sharing exchange and e-licence hub\n\nCommands (onewindow COMMAND -h shows the options):\n")
	for _, c := range commands() {
		fmt.Fprintf(out, "  %-16s  %s\n", c.name, c.summary)
	}
	fmt.Fprint(out, "\nExit codes: 0 done, 1 something is wrong (it says what), 2 wrong arguments or configuration.\n")
}

// newFlags makes a flag set whose errors are usage errors.
func newFlags(name, synopsis string) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // dispatch prints the error
	flags.Usage = func() {
		fmt.Fprintf(os.Stdout, "onewindow %s: %s\n\n", name, synopsis)
		flags.SetOutput(os.Stdout)
		flags.PrintDefaults()
	}
	return flags
}

// parse reads the flags of a command that takes no other arguments.
func parse(flags *flag.FlagSet, args []string) error {
	rest, err := parseAnywhere(flags, args)
	if err == nil && len(rest) > 0 {
		return wrongUsage(nil, "cli.ARGUMENT_UNEXPECTED", "argument", rest[0], "command", flags.Name())
	}
	return err
}

// parseAnywhere reads flags before, between and after the other arguments,
// which it returns, with a call for help too. "--" ends the flags.
func parseAnywhere(flags *flag.FlagSet, args []string) ([]string, error) {
	if len(args) == 1 && args[0] == completeWord {
		flags.VisitAll(func(f *flag.Flag) { fmt.Fprintln(os.Stdout, "--"+f.Name) })
		return nil, flag.ErrHelp
	}
	var rest []string
	for {
		if err := flags.Parse(args); err != nil {
			return rest, usageError(flags.Name(), err)
		}
		parsed := len(args) - flags.NArg()
		if flags.NArg() == 0 || parsed > 0 && args[parsed-1] == "--" {
			return append(rest, flags.Args()...), nil
		}
		rest, args = append(rest, flags.Arg(0)), flags.Args()[1:]
	}
}

// parseAction reads the action of a command, its flags and its arguments. Help
// after an action's name is about that action alone.
func parseAction(flags *flag.FlagSet, actions []action, args []string) (action, []string, error) {
	usage := flags.Usage
	flags.Usage = func() {}
	rest, err := parseAnywhere(flags, args)
	find := func(name string) int {
		return slices.IndexFunc(actions, func(a action) bool { return a.name == name })
	}
	if errors.Is(err, flag.ErrHelp) && len(args) > 0 && args[0] != completeWord {
		if len(rest) > 0 && find(rest[0]) >= 0 {
			actions[find(rest[0])].help(flags)
			return action{}, nil, err
		}
		usage()
		fmt.Fprintln(os.Stdout)
		for _, a := range actions {
			fmt.Fprintf(os.Stdout, "  %s %-48s %s\n", flags.Name(), strings.TrimSpace(a.name+" "+a.arguments), a.summary)
		}
	}
	if err != nil {
		return action{}, nil, err
	}
	if len(rest) == 0 {
		return action{}, nil, wrongUsage(nil, "cli.ACTION_MISSING", "command", flags.Name())
	}
	i := find(rest[0])
	if i < 0 {
		return action{}, nil, wrongUsage(nil, "cli.ACTION_UNKNOWN", "command", flags.Name(), "action", rest[0])
	}
	chosen := actions[i]
	if n := len(rest) - 1; n < chosen.least || n > chosen.most {
		return action{}, nil, wrongUsage(nil, "cli.ACTION_ARGUMENTS", "command", flags.Name(), "action", chosen.name, "arguments", chosen.arguments)
	}
	return chosen, rest[1:], nil
}

// help prints the usage of one action and its flags.
func (a action) help(flags *flag.FlagSet) {
	fmt.Fprintf(os.Stdout, "onewindow %s %s: %s\n\n", flags.Name(), strings.TrimSpace(a.name+" "+a.arguments), a.summary)
	own := flag.NewFlagSet(a.name, flag.ContinueOnError)
	own.SetOutput(os.Stdout)
	for _, name := range a.flags {
		if f := flags.Lookup(name); f != nil {
			own.Var(f.Value, f.Name, f.Usage)
		}
	}
	own.PrintDefaults()
}

// usageError marks what the flag package found wrong, but for a call for help.
func usageError(command string, err error) error {
	if errors.Is(err, flag.ErrHelp) {
		return err
	}
	return wrongUsage(err, "cli.FLAG", "command", command)
}

func versionCommand(_ context.Context, args []string, out *os.File) error {
	if err := parse(newFlags("version", "print the version"), args); err != nil {
		return err
	}
	fmt.Fprintln(out, version())
	return nil
}

// version is the module version, the commit it was built from, and Go's version.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	commit := ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision" && len(s.Value) >= 12:
			commit = " commit " + s.Value[:12]
		case s.Key == "vcs.modified" && s.Value == "true" && commit != "":
			commit += " (modified)"
		}
	}
	return info.Main.Version + commit + " " + info.GoVersion
}
