package topic

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/connectors/charset"
	"github.com/onewindow/onewindow/connectors/jsonrow"
	"github.com/onewindow/onewindow/exchange"
	"github.com/onewindow/onewindow/exchange/bus"
)

// The columns that are not members of the message's value.
const (
	keyColumn       = "__key"
	partitionColumn = "__partition"
	offsetColumn    = "__offset"
	timeColumn      = "__timestamp"
	headerColumn    = "__header."
)

// rowMaker makes rows of messages.
type rowMaker struct {
	columns []string // of the mapping, then those of the key that are not among them
	mapped  int
	keys    []int // indexes of the columns of the key
	decoder *charset.Decoder
	value   *jsonrow.Parser // of columns
	key     *jsonrow.Parser // of the columns of the key
}

func newRowMaker(m connectors.Mapping, decoder *charset.Decoder) *rowMaker {
	r := &rowMaker{columns: m.Columns(), decoder: decoder, key: jsonrow.NewParser(m.KeyColumns())}
	r.mapped = len(r.columns)
	for _, name := range m.KeyColumns() {
		i := slices.Index(r.columns, name)
		if i < 0 {
			i = len(r.columns)
			r.columns = append(r.columns, name)
		}
		r.keys = append(r.keys, i)
	}
	r.value = jsonrow.NewParser(r.columns)
	return r
}

// row makes the row of a message.
func (r *rowMaker) row(m *bus.Message, at time.Time) connectors.Row {
	origin := m.Topic + "/" + strconv.Itoa(m.Partition) + "/" + strconv.FormatInt(m.Offset, 10)
	var row connectors.Row
	if m.Value == nil {
		row = r.tombstone(m, origin)
	} else {
		row = r.value.Row(m.Value, r.decoder, origin)
	}
	row.ChangedAt = at
	if row.Rejection == nil {
		row.Rejection = r.fill(m, &row)
	}
	if row.Rejection != nil {
		row.Values, row.Operation = nil, ""
		return row
	}
	for _, i := range r.keys {
		row.Key = append(row.Key, row.Values[i].Text)
	}
	row.Values = row.Values[:r.mapped]
	return row
}

// fill sets the columns that are not members of the value. Of a delete only those of the key are set.
func (r *rowMaker) fill(m *bus.Message, row *connectors.Row) *exchange.Rejection {
	for i, column := range r.columns {
		if !strings.HasPrefix(column, "__") || row.Operation == exchange.Delete && !slices.Contains(r.keys, i) {
			continue
		}
		v := &row.Values[i]
		ok := true
		switch {
		case column == keyColumn:
			*v, ok = r.text(m.Key)
		case column == partitionColumn:
			*v = connectors.Value{Text: strconv.Itoa(m.Partition)}
		case column == offsetColumn:
			*v = connectors.Value{Text: strconv.FormatInt(m.Offset, 10)}
		case column == timeColumn:
			*v = connectors.Value{Text: m.Time.UTC().Format("2006-01-02T15:04:05.000Z07:00")}
		case strings.HasPrefix(column, headerColumn):
			*v = connectors.Value{Null: true}
			for _, h := range m.Headers {
				if h.Key == column[len(headerColumn):] {
					*v, ok = r.text(h.Value)
				}
			}
		}
		if !ok {
			return &exchange.Rejection{
				Rule: exchange.RuleEncoding, Field: column,
				Detail: fmt.Sprintf("%s is longer than %d bytes, or holds bytes that are not of the character set %s", column, connectors.MaxRowBytes, r.decoder.Name()),
			}
		}
	}
	return nil
}

func (r *rowMaker) text(raw []byte) (connectors.Value, bool) {
	if raw == nil {
		return connectors.Value{Null: true}, true
	}
	text, valid := r.decoder.Decode(nil, raw)
	return connectors.Value{Text: string(text)}, valid && len(raw) <= connectors.MaxRowBytes
}

// tombstone makes the row of a message without a value: a delete, if its key can be told.
func (r *rowMaker) tombstone(m *bus.Message, origin string) connectors.Row {
	raw := m.Key
	if raw == nil {
		raw = []byte{}
	}
	row := connectors.Row{Raw: raw[:min(len(raw), connectors.RowHead)], Origin: origin, Operation: exchange.Delete}
	row.Values = make([]connectors.Value, len(r.columns))
	for i := range row.Values {
		row.Values[i].Null = true
	}
	reject := func(detail string) connectors.Row {
		row.Values, row.Operation = nil, ""
		row.Rejection = &exchange.Rejection{Rule: exchange.RuleKey, Detail: detail}
		return row
	}
	// Columns beginning with __ come with fill.
	members := slices.DeleteFunc(slices.Clone(r.keys), func(i int) bool { return strings.HasPrefix(r.columns[i], "__") })
	key, valid := r.text(m.Key)
	switch {
	case len(r.keys) == 0:
		return reject("the message has no value, and the mapping's key is not made of columns, so that it is not known what is deleted")
	case key.Null || key.Text == "":
		return reject("the message has neither a value nor a key, so that it is not known what is deleted")
	case !valid:
		return reject("the message has no value, and its key is not of the character set " + r.decoder.Name())
	case len(members) == 0:
		return row
	}
	if object := r.key.Row(m.Key, r.decoder, origin); object.Rejection == nil {
		for k, i := range r.keys {
			row.Values[i] = object.Values[k]
		}
	} else if len(members) == 1 && !strings.HasPrefix(strings.TrimSpace(key.Text), "{") {
		if quoted := strings.TrimSpace(key.Text); strings.HasPrefix(quoted, `"`) {
			if err := json.Unmarshal([]byte(quoted), &key.Text); err != nil || strings.Contains(key.Text, "\ufffd") {
				return reject("the message has no value, and its key is neither text nor JSON")
			}
		}
		row.Values[members[0]] = key
	}
	for _, i := range members {
		if row.Values[i].Null {
			return reject(fmt.Sprintf("the message has no value, and its key does not tell %q; it has to be a JSON object that does", r.columns[i]))
		}
	}
	return row
}

// maxAhead is how far ahead of our clock a timestamp may lie to be believed.
const maxAhead = 24 * time.Hour

// changedAt makes the timestamps of a partition grow strictly, by the microseconds that the exchange keeps. One that
// is missing (old producers), or lies before 1970 or far ahead of now, is taken for that of the message before: if it
// were believed, all that comes behind it would have to lie ahead as well. Without a message before, it is 1970,
// so that whatever comes next is later.
func changedAt(at, last, now time.Time) time.Time {
	at = at.UTC().Truncate(time.Microsecond)
	if at.Unix() < 0 || at.After(now.Add(maxAhead)) {
		at = time.Unix(0, 0).UTC()
	}
	if after := last.Add(time.Microsecond); !last.IsZero() && at.Before(after) {
		return after
	}
	return at
}

// digest tells a message from another one at the same offset.
func digest(m *bus.Message) string {
	h := sha256.New()
	var head [24]byte
	binary.BigEndian.PutUint64(head[:], uint64(m.Time.UnixMilli()))
	binary.BigEndian.PutUint64(head[8:], uint64(len(m.Key)))
	binary.BigEndian.PutUint64(head[16:], uint64(len(m.Value)))
	h.Write(head[:])
	h.Write(m.Key)
	h.Write(m.Value)
	return hex.EncodeToString(h.Sum(nil)[:8])
}
