package main

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// listening is the state LISTEN of /proc/net/tcp.
const listening = "0A"

// portHolder returns the process that listens on the port of an address. It is
// not ok if /proc does not tell, e.g. when the process belongs to another user.
func portHolder(address string) (pid int, program string, ok bool) {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return 0, "", false
	}
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return 0, "", false
	}
	sockets := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		text, err := os.ReadFile(table)
		if err != nil {
			continue // the other may be there
		}
		for line := range strings.Lines(string(text)) {
			fields := strings.Fields(line)
			if len(fields) > 9 && fields[3] == listening && strings.HasSuffix(fields[1], fmt.Sprintf(":%04X", number)) {
				sockets["socket:["+fields[9]+"]"] = true
			}
		}
	}
	descriptors, err := filepath.Glob("/proc/[0-9]*/fd/*")
	if err != nil || len(sockets) == 0 {
		return 0, "", false
	}
	for _, descriptor := range descriptors {
		target, err := os.Readlink(descriptor)
		if err != nil || !sockets[target] {
			continue // closed meanwhile, or another's
		}
		process := filepath.Dir(filepath.Dir(descriptor))
		name, nameErr := os.ReadFile(filepath.Join(process, "comm"))
		pid, pidErr := strconv.Atoi(filepath.Base(process))
		if nameErr == nil && pidErr == nil {
			return pid, strings.TrimSpace(string(name)), true
		}
	}
	return 0, "", false
}
