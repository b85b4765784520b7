package analytics

import (
	"fmt"
	"strconv"
	"strings"
)

// offsets is a set of log offsets in ascending order.
type offsets []int64

// maxOffsets bounds what parseOffsets accepts: more than any batch holds.
const maxOffsets = 1 << 20

// String writes runs as "first-last", separated by commas.
func (o offsets) String() string {
	var b strings.Builder
	for i := 0; i < len(o); {
		j := i
		for j+1 < len(o) && o[j+1] == o[j]+1 {
			j++
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(strconv.FormatInt(o[i], 10))
		if j > i {
			b.WriteByte('-')
			b.WriteString(strconv.FormatInt(o[j], 10))
		}
		i = j + 1
	}
	return b.String()
}

// parseOffsets reads what String wrote.
func parseOffsets(text string) (offsets, error) {
	if text == "" {
		return nil, nil
	}
	var out offsets
	for run := range strings.SplitSeq(text, ",") {
		from, to, isRun := strings.Cut(run, "-")
		first, err := strconv.ParseInt(from, 10, 64)
		last := first
		if err == nil && isRun {
			last, err = strconv.ParseInt(to, 10, 64)
		}
		if err != nil {
			return nil, fmt.Errorf("analytics: offsets %.40q: %w", run, err)
		}
		if first < 0 || last < first || last-first >= maxOffsets || len(out) > maxOffsets || len(out) > 0 && first <= out[len(out)-1] {
			return nil, fmt.Errorf("analytics: offsets %.40q are not ascending or too many", run)
		}
		for at := first; at <= last; at++ {
			out = append(out, at)
		}
	}
	return out, nil
}
