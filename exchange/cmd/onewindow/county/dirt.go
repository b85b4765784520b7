package county

import "github.com/onewindow/onewindow/exchange"

// dirt is what is wrong with a row. A row has at most one kind.
type dirt uint8

const (
	clean         dirt = iota
	checkDigit         // the key's check character is wrong
	missing            // a required field is empty
	breach             // a value that the schema does not know
	malformed          // a line with too few or too many fields, or a quote that is not closed
	notGBK             // bytes that are not GBK
	columnChanged      // in the file of the night on which a column had another name
	wide               // full-width digits; they can be put right
	late               // entered days after the event
	twice              // the same row comes a second time
)

// rule is the exchange's name for the reason of a rejection; empty when the
// row is accepted.
func (d dirt) rule() string {
	switch d {
	case checkDigit:
		return exchange.RuleCheckDigit
	case missing:
		return exchange.RuleMissingField
	case breach:
		return exchange.RuleSchema
	case malformed:
		return exchange.RuleMalformed
	case notGBK:
		return exchange.RuleEncoding
	case columnChanged:
		return exchange.RuleColumn
	default:
		return ""
	}
}

// finding is the exchange's name for what it notes on an accepted row.
func (d dirt) finding() string {
	switch d {
	case wide:
		return exchange.FindingFullWidth
	case late:
		return exchange.FindingLate
	default:
		return ""
	}
}

// quota is how many rows of a source get one kind of dirt, in the full county.
type quota struct {
	dirt  dirt
	count int
}

// plant chooses which of total rows get which dirt: evenly over the rows, the
// kinds mixed, each exactly as often as its quota at this scale says. A row
// that is not eligible passes its turn to the next.
func plant(total, scale int, quotas []quota, eligible func(i int, d dirt) bool) map[int]dirt {
	var turns []dirt
	for i, q := range quotas {
		quotas[i].count = max(2, q.count/scale)
	}
	for more := true; more; {
		more = false
		for i := range quotas {
			if quotas[i].count > 0 {
				quotas[i].count--
				turns = append(turns, quotas[i].dirt)
				more = true
			}
		}
	}
	planted := make(map[int]dirt, len(turns))
	for turn, d := range turns {
		// Half a step in, so that neither the first nor the last row is dirty.
		i := (2*turn + 1) * total / (2 * len(turns))
		for tries := 0; planted[i] != clean || !eligible(i, d); tries++ {
			if tries == total {
				panic("county: more dirt than rows") // the quotas are part of the program
			}
			i = (i + 1) % total
		}
		planted[i] = d
	}
	return planted
}
