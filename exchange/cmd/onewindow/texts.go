package main

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/onewindow/onewindow/analytics"
	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/exchange"
	"github.com/onewindow/onewindow/exchange/server"
	"github.com/onewindow/onewindow/licenses"
	"github.com/onewindow/onewindow/proto/message"
	"github.com/onewindow/onewindow/signing"
)

//go:embed messages.json
var ownMessages []byte

// catalog merges the messages of all packages.
func catalog() (message.Catalog, error) {
	var all []message.Catalog
	for _, text := range [][]byte{
		ownMessages, exchange.Messages(), server.Messages(), connectors.Messages(), licenses.Messages(), analytics.Messages(), signing.Messages(),
	} {
		c, err := message.Parse(text)
		if err != nil {
			return message.Catalog{}, err
		}
		all = append(all, c)
	}
	return message.Merge(all...)
}

// speaker puts messages for people into one language.
type speaker struct {
	catalog  message.Catalog
	language message.Language
}

// newSpeaker returns a speaker of the language of a configuration, or where
// that names none, of the environment.
func newSpeaker(configured message.Language) speaker {
	if configured == "" {
		configured = environmentLanguage(os.Getenv)
	}
	all, err := catalog()
	if err != nil { // found by a test; codes are still better than nothing
		all = message.Catalog{}
	}
	return speaker{all, configured}
}

// environmentLanguage is Chinese if the locale of messages is, else English.
func environmentLanguage(getenv func(string) string) message.Language {
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if value := getenv(name); value != "" {
			if strings.HasPrefix(strings.ToLower(value), string(message.Chinese)) {
				return message.Chinese
			}
			return message.English
		}
	}
	return message.English
}

// text returns the sentence of a code.
func (s speaker) text(code string, pairs ...string) string {
	sentence, _ := s.catalog.Render(s.language, message.New(code, pairs...))
	return sentence
}

// explained returns the sentence of a code with its hint.
func (s speaker) explained(m message.Message) string {
	sentence, hint := s.catalog.Render(s.language, m)
	switch {
	case hint == "":
		return sentence
	case s.language == message.Chinese:
		return sentence + "。" + hint
	default:
		return sentence + ". " + hint
	}
}

// say prints every error that err joins: the sentence, what to do, and the
// cause as it came. It returns the exit code.
func (s speaker) say(out io.Writer, command string, err error) int {
	code := exitFault
	for _, one := range separate(err) {
		m := diagnose(one)
		if m.usage {
			code = exitUsage
		}
		sentence, hint := s.catalog.Render(s.language, m.message)
		fmt.Fprintf(out, "%s: %s\n", strings.TrimSpace("onewindow "+command), paint(out, colourRed, sentence))
		if hint != "" {
			fmt.Fprintf(out, "  %s: %s\n", s.text("cli.LABEL_HINT"), hint)
		}
		if detail := m.detail(); detail != "" {
			fmt.Fprintf(out, "  %s: %s\n", s.text("cli.LABEL_DETAIL"), strings.ReplaceAll(detail, "\n", "\n    "))
		}
	}
	return code
}

// separate takes what errors.Join has joined apart; nil gives none.
func separate(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || !isJoin(err, joined.Unwrap()) {
		return []error{err}
	}
	var all []error
	for _, one := range joined.Unwrap() {
		all = append(all, separate(one)...)
	}
	return all
}

// isJoin reports whether an error is nothing but its parts, one a line, as
// errors.Join makes it; several %w in one sentence are not.
func isJoin(err error, parts []error) bool {
	return err.Error() == errors.Join(parts...).Error()
}

// The colours of a terminal.
const (
	colourRed    = "31"
	colourGreen  = "32"
	colourYellow = "33"
)

// paint colours a text on a terminal, unless NO_COLOR is set (no-color.org).
func paint(out io.Writer, colour, text string) string {
	if os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" || !isTerminal(out) {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}
