package engine

import (
	"bufio"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// trim takes the library's code and constants that were only needed to start
// out of the resident set, about 100 MB. They are clean pages of a file: what
// runs later comes back from the page cache, a few pages at a time.
func trim(library string) error {
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		return err
	}
	defer func() { _ = maps.Close() }()
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		// address perms offset dev inode path
		fields := strings.Fields(lines.Text())
		if len(fields) < 6 || !strings.HasSuffix(lines.Text(), " "+library) {
			continue
		}
		// Code, and the constants at the file's beginning. The other read-only
		// mapping holds addresses that the loader has filled in: never that one.
		constant := fields[1] == "r--p" && strings.Trim(fields[2], "0") == ""
		if fields[1] != "r-xp" && !constant {
			continue
		}
		var from, to uintptr
		if _, err := fmt.Sscanf(fields[0], "%x-%x", &from, &to); err != nil {
			return fmt.Errorf("mapping %s: %w", fields[0], err)
		}
		if _, _, failed := unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED); failed != 0 {
			return fmt.Errorf("mapping %s: %w", fields[0], failed)
		}
	}
	return nil
}
