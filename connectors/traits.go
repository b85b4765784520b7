package connectors

// BlindSpot names a loss or a fault that a proof of a source cannot see, for programs and for the page.
type BlindSpot string

// The blind spots.
const (
	// BlindSameReader means that the proof decodes and maps the rows by the same code as the reading, so that what it
	// reads wrongly is wrong on both sides.
	BlindSameReader BlindSpot = "SAME_READER"
	// BlindSamePages means that the proof asks the same pages: a row that no page shows is on neither side.
	BlindSamePages BlindSpot = "SAME_PAGES"
	// BlindSameFiles means that the proof reads the files that are there now: what was archived, deleted or never
	// delivered is not compared.
	BlindSameFiles BlindSpot = "SAME_FILES"
	// BlindRetention means that the proof reads what the broker still keeps: older messages are not compared.
	BlindRetention BlindSpot = "RETENTION"
	// BlindDelivery means that the owner of the source decides what is in it: rows that left the system before are not seen.
	BlindDelivery BlindSpot = "OWNERS_DELIVERY"
	// BlindDeletes means that a row which the source no longer shows is reported, and not taken as deleted.
	BlindDeletes BlindSpot = "DELETES"
	// BlindKeyless means that rows whose key has a null are neither read nor compared.
	BlindKeyless BlindSpot = "ROWS_WITHOUT_KEY"
)

// kindTraits are what the runner has to know of a kind of source.
type kindTraits struct {
	// keepsRows reports that a row which the source no longer shows is deleted there: a table says so, while a topic,
	// a folder or an endpoint may only have put it away.
	keepsRows bool
	// blind are the spots that a proof does not see.
	blind []BlindSpot
}

// asksByCursor reports whether rows are found by a cursor, which does not move when columns are added with a default or
// rewritten: such rows have to be read again on request. A log finds out by itself, and bulk mode compares all rows.
func (d Definition) asksByCursor() bool { return d.SQL != nil && d.SQL.Mode != Bulk }

// traits returns those of the definition's kind.
func (d Definition) traits() kindTraits {
	switch d.Kind {
	case KindSQL, KindLog:
		return kindTraits{keepsRows: true, blind: []BlindSpot{BlindSameReader, BlindKeyless}}
	case KindFiles:
		return kindTraits{blind: []BlindSpot{BlindSameReader, BlindSameFiles, BlindDelivery, BlindDeletes}}
	case KindHTTP:
		return kindTraits{blind: []BlindSpot{BlindSameReader, BlindSamePages, BlindDelivery, BlindDeletes}}
	case KindTopic:
		return kindTraits{blind: []BlindSpot{BlindSameReader, BlindRetention, BlindDelivery, BlindDeletes}}
	}
	return kindTraits{blind: []BlindSpot{BlindSameReader}}
}
