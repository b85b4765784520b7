package engine

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// repairDeduplication makes every table's deduplication log say no more than
// its parts do, and returns how many entries it took out. It must run before
// libchdb opens the folder.
//
// ClickHouse writes an insert's token to the log first and renames the part
// into place after. A process killed in between leaves a token without rows,
// and the insert repeated under this token is taken for a duplicate: its rows
// are lost, in that table alone, without an error. So an entry whose part is
// neither there nor merged into another is taken out, as is a line that was
// cut off. The price: a token whose rows were since dropped, detached or
// expired is forgotten, too.
func repairDeduplication(dir string) (int, error) {
	logs, err := filepath.Glob(filepath.Join(dir, "store", "*", "*", "deduplication_logs", "deduplication_log_*.txt"))
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrOpen, err)
	}
	removed := 0
	for _, path := range logs {
		n, err := repairLog(path, filepath.Join(dir, "engine.repair"))
		if err != nil {
			return removed, fmt.Errorf("%w: deduplication log: %w", ErrOpen, err)
		}
		removed += n
	}
	return removed, nil
}

// repairLog repairs one file of a table's log: lines of operation (1 adds, 2
// drops), part and block id, separated by tabs. The new file is written at
// scratch: ClickHouse refuses a table with a strange name among its logs.
func repairLog(path, scratch string) (int, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	parts, err := partsOf(filepath.Dir(filepath.Dir(path)))
	if err != nil {
		return 0, err
	}
	var kept bytes.Buffer
	removed := 0
	for line := range bytes.Lines(content) {
		fields := strings.Split(string(line), "\t")
		whole := len(fields) == 3 && line[len(line)-1] == '\n'
		if whole {
			name, known := parsePart(fields[1])
			whole = fields[0] != "1" || !known || parts.cover(name)
		}
		if !whole {
			removed++
			continue
		}
		kept.Write(line)
	}
	if removed == 0 {
		return 0, nil
	}
	return removed, replaceFile(path, scratch, kept.Bytes())
}

// part is a part's name: the range of block numbers that it holds.
type part struct {
	partition string
	low, high int64
}

// parsePart reads partition_low_high_level or partition_low_high_level_mutation.
func parsePart(name string) (part, bool) {
	fields := strings.Split(name, "_")
	if len(fields) != 4 && len(fields) != 5 {
		return part{}, false
	}
	var numbers []int64
	for _, field := range fields[1:] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return part{}, false
		}
		numbers = append(numbers, n)
	}
	return part{partition: fields[0], low: numbers[0], high: numbers[1]}, true
}

// tableParts are the parts in a table's folder, by partition.
type tableParts map[string][]part

func partsOf(table string) (tableParts, error) {
	entries, err := os.ReadDir(table)
	if err != nil {
		return nil, err
	}
	parts := tableParts{}
	for _, entry := range entries {
		if p, ok := parsePart(entry.Name()); ok && entry.IsDir() {
			parts[p.partition] = append(parts[p.partition], p)
		}
	}
	return parts, nil
}

// cover reports whether the rows of p are in one of the parts.
func (t tableParts) cover(p part) bool {
	return slices.ContainsFunc(t[p.partition], func(other part) bool {
		return other.low <= p.low && p.high <= other.high
	})
}

// replaceFile puts content in place of the file at path, whole or not at all.
func replaceFile(path, scratch string, content []byte) error {
	file, err := os.OpenFile(scratch, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o640) //nolint:gosec // as ClickHouse's own
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err == nil {
		err = file.Sync()
	}
	if closeErr := file.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	if err := os.Rename(scratch, path); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer func() { _ = folder.Close() }()
	return folder.Sync()
}
