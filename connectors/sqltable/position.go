package sqltable

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/onewindow/onewindow/connectors"
)

// position is how far the reading has come.
type position struct {
	// At has the texts of the order columns (cursor, then key) of the last row; nil at the beginning.
	At []string `json:"at,omitempty"`
	// Pass is the reading again of the overlap, if it is under way, LastPass when one began last.
	Pass     *pass     `json:"pass,omitempty"`
	LastPass time.Time `json:"last_pass,omitzero"`
	// Marks say where the head of the table was, oldest first.
	Marks   []mark    `json:"marks,omitempty"`
	Rereads []request `json:"rereads,omitempty"`
}

// pass reads rows again from a cursor, inclusive, to the row where the reading was when it began.
type pass struct {
	From  []string `json:"from,omitempty"`
	After []string `json:"after,omitempty"`
	Until []string `json:"until"`
}

// mark says that the greatest cursor was Head at Time. A cursor set after that is not below it.
type mark struct {
	Time time.Time `json:"time"`
	Head []string  `json:"head"`
}

// request is a range of the key that is read again.
type request struct {
	ID    string              `json:"id"`
	Range connectors.KeyRange `json:"range"`
	After []string            `json:"after,omitempty"`
}

// former is the position that earlier versions saved: text, or whole numbers of SQLite.
type former struct {
	Cursor json.RawMessage `json:"cursor"`
	Key    json.RawMessage `json:"key"`
}

// parsePosition reads what was saved for a table that is ordered by order columns, key of them the key.
func parsePosition(saved json.RawMessage, order, key int) (position, error) {
	var p position
	if saved == nil {
		return p, nil
	}
	foreign := fmt.Errorf("%w: what was saved is no position in a table", connectors.ErrPosition) // it has keys of rows
	if err := strict(saved, &p); err != nil {
		var old former
		if strict(saved, &old) != nil {
			return position{}, foreign
		}
		cursor, cerr := plain(old.Cursor)
		k, kerr := plain(old.Key)
		if p = (position{At: []string{cursor, k}}); cerr != nil || kerr != nil {
			return position{}, foreign
		}
	}
	of := func(values []string, lengths ...int) bool {
		return values == nil || slices.Contains(lengths, len(values))
	}
	valid := of(p.At, order)
	if p.Pass != nil {
		valid = valid && of(p.Pass.From, 1) && of(p.Pass.After, order) && len(p.Pass.Until) == order
	}
	for _, m := range p.Marks {
		valid = valid && len(m.Head) == 1
	}
	for _, r := range p.Rereads {
		valid = valid && key > 0 && of(r.Range.From, key) && of(r.Range.To, key) && of(r.After, key)
	}
	if !valid || len(p.Marks) > 2*maxMarks {
		return position{}, foreign
	}
	return p, nil
}

func strict(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if len(text) == 0 || text[0] != '{' {
		return connectors.ErrPosition
	}
	if err := decoder.Decode(into); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return connectors.ErrPosition
	}
	return nil
}

// plain is the text of a JSON string or whole number.
func plain(part json.RawMessage) (string, error) {
	if len(part) > 0 && part[0] == '"' {
		var text string
		err := json.Unmarshal(part, &text)
		return text, err
	}
	_, err := strconv.ParseInt(string(part), 10, 64)
	return string(part), err
}
