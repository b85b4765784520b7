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
}

func commands() []command {
	return []command{
		{"run", "start the hub, or some of its roles, from a configuration file", runCommand},
		{"demo", "start the hub with the sample county and stay up; with --report run once and write the figures", demoCommand},
		{"connector", "check and run connector definitions; show, lead and prove the sources of a running hub", connectorCommand},
		{"check", "read a configuration and the connector definitions, list every fault, and exit", checkCommand},
		{"county", "serve the sample county's three systems (its own process, outside the hub)", countyCommand},
		{"drill", "kill -9 the hub at random points of the load and compare the counts", drillCommand},
		{"drill-rotation", "rotate the licence key while signing and verifying go on", rotationCommand},
		{"drill-connectors", "kill -9 the hub while a department's table is changed, and compare the two", drillConnectorsCommand},
		{"keys", "show the keys of a running hub and lead them through their lives", keysCommand},
		{"reset", "give up one store of a stopped hub that is lost, so that the next start makes it again", resetCommand},
		{"verify", "verify an OFD file or a licence token offline, step by step", verifyCommand},
		{"bench", "measure: ready, push, load, signing", benchCommand},
		{"version", "print the version", versionCommand},
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

// dispatch runs one command and returns the exit code.
func dispatch(ctx context.Context, args []string, out *os.File, errs io.Writer) int {
	if len(args) == 0 || args[0] == "help" || args[0] == "-h" || args[0] == "--help" {
		usage(out)
		return exitOK
	}
	for _, c := range commands() {
		if c.name != args[0] {
			continue
		}
		err := c.run(ctx, args[1:], out)
		switch {
		case err == nil, errors.Is(err, flag.ErrHelp):
			return exitOK
		case errors.Is(err, errUsage):
			fmt.Fprintf(errs, "onewindow %s: %v\n", c.name, err)
			return exitUsage
		default:
			fmt.Fprintf(errs, "onewindow %s: %v\n", c.name, err)
			return exitFault
		}
	}
	fmt.Fprintf(errs, "onewindow: there is no command %q; onewindow help lists them\n", args[0])
	return exitUsage
}

func usage(out io.Writer) {
	fmt.Fprint(out, "onewindow: data-sharing exchange and e-licence hub\n\nCommands (onewindow COMMAND -h shows the options):\n")
	for _, c := range commands() {
		fmt.Fprintf(out, "  %-14s  %s\n", c.name, c.summary)
	}
	fmt.Fprint(out, "\nExit codes: 0 done, 1 something is wrong (it says what), 2 wrong arguments or configuration.\n")
}

// newFlags makes a flag set whose errors are usage errors.
func newFlags(name, synopsis string) *flag.FlagSet {
	flags := flag.NewFlagSet("onewindow "+name, flag.ContinueOnError)
	flags.SetOutput(os.Stderr)
	flags.Usage = func() {
		fmt.Fprintf(flags.Output(), "onewindow %s: %s\n\n", name, synopsis)
		flags.PrintDefaults()
	}
	return flags
}

// parse reads the flags of a command that takes no other arguments.
func parse(flags *flag.FlagSet, args []string) error {
	if err := flags.Parse(args); err != nil {
		return usageError(err)
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%w: unexpected argument %q", errUsage, flags.Arg(0))
	}
	return nil
}

// usageError marks what the flag package found wrong, but for a call for help.
func usageError(err error) error {
	if errors.Is(err, flag.ErrHelp) {
		return err
	}
	return fmt.Errorf("%w: %w", errUsage, err)
}

func versionCommand(_ context.Context, args []string, out *os.File) error {
	if err := parse(newFlags("version", "print the version"), args); err != nil {
		return err
	}
	fmt.Fprintln(out, version())
	return nil
}

// version is the module version and the revision it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	revision := ""
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			revision = " " + s.Value[:12]
		}
	}
	return info.Main.Version + revision + " " + info.GoVersion
}
