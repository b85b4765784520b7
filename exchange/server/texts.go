package server

import (
	"errors"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/status"

	"github.com/onewindow/onewindow/proto/message"
)

// ReasonPrefix stands before a reason in the catalogue of messages.
const ReasonPrefix = "reason."

// texts renders reasons for callers.
type texts struct {
	catalog  message.Catalog
	language message.Language // of a caller who asks for none
}

// of returns the sentence and the hint of a reason; it is not ok if the
// catalogue lacks the reason.
func (t texts) of(reason string, args map[string]string, l message.Language) (sentence, hint string, ok bool) {
	m := message.Message{Code: ReasonPrefix + reason, Args: args}
	if !t.catalog.Has(m.Code) {
		return "", "", false
	}
	sentence, hint = t.catalog.Render(l, m)
	return sentence, hint, true
}

// localize adds the reason's sentence and hint to a status. What has one
// already, from a service behind this one, keeps it.
func (t texts) localize(s *status.Status, l message.Language) *status.Status {
	info := infoOf(s)
	for _, detail := range s.Details() {
		if _, done := detail.(*errdetails.LocalizedMessage); done {
			return s
		}
	}
	sentence, hint, ok := t.of(info.GetReason(), info.GetMetadata(), l)
	if info == nil || !ok {
		return s
	}
	if hint != "" {
		sentence += separator(l) + hint
	}
	localized, err := s.WithDetails(&errdetails.LocalizedMessage{Locale: string(l), Message: sentence})
	if err != nil { // only for code OK
		return s
	}
	return localized
}

// separator stands between a sentence and its hint.
func separator(l message.Language) string {
	if l == message.Chinese {
		return "。"
	}
	return ". "
}

// argsOf returns the arguments of the message that err carries, if it does, as
// pairs of name and value.
func argsOf(err error) []string {
	var carrier interface{ MessageArgs() map[string]string }
	if !errors.As(err, &carrier) {
		return nil
	}
	var pairs []string
	for name, value := range carrier.MessageArgs() {
		pairs = append(pairs, name, value)
	}
	return pairs
}
