package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/onewindow/onewindow/analytics"
	"github.com/onewindow/onewindow/analytics/engine"
	"github.com/onewindow/onewindow/connectors"
	"github.com/onewindow/onewindow/exchange/bus"
	"github.com/onewindow/onewindow/exchange/server"
	"github.com/onewindow/onewindow/exchange/sqldb"
	"github.com/onewindow/onewindow/proto/message"
	"github.com/onewindow/onewindow/signing/keys"
	"github.com/onewindow/onewindow/signing/pkcs11"
)

// mistake is an error that the operator can mend. Its message says what is
// wrong and what to do; its cause, which may be nil, is the detail.
type mistake struct {
	message message.Message
	usage   bool // the command did not run
	cause   error
}

// wrongUsage is a mistake in the arguments or the configuration; pairs are the
// names and values of the message's arguments.
func wrongUsage(cause error, code string, pairs ...string) error {
	return &mistake{message: message.New(code, pairs...), usage: true, cause: cause}
}

// wrong is any other mistake.
func wrong(cause error, code string, pairs ...string) error {
	return &mistake{message: message.New(code, pairs...), cause: cause}
}

// Error is the English sentence with the cause, for logs and other programs.
func (m *mistake) Error() string {
	sentence, _ := newSpeaker(message.English).catalog.Render(message.English, m.message)
	if detail := m.detail(); detail != "" {
		return sentence + ": " + detail
	}
	return sentence
}

// Unwrap returns the cause.
func (m *mistake) Unwrap() error { return m.cause }

// Is reports whether target is [errUsage] and m a mistake of usage.
func (m *mistake) Is(target error) bool { return target == errUsage && m.usage }

// detail is the cause as it came.
func (m *mistake) detail() string {
	if m.cause == nil {
		return ""
	}
	text := m.cause.Error()
	for _, mark := range []string{errUsage.Error() + ": ", errUsage.Error() + ":\n"} {
		text = strings.TrimPrefix(text, mark)
	}
	return text
}

// operatorRule maps a sentinel error of a package to a message.
type operatorRule struct {
	err  error
	code string
}

// operatorRules are tried in order: the first that matches by errors.Is wins.
func operatorRules() []operatorRule {
	return []operatorRule{
		{engine.ErrLibraryMissing, "cli.ENGINE_LIBRARY"},
		{engine.ErrInUse, "cli.DATA_IN_USE"},
		{bus.ErrInUse, "cli.DATA_IN_USE"},
		{engine.ErrOpen, "cli.ENGINE_NOT_OPENED"},
		{keys.ErrPassphrase, "cli.PASSPHRASE_WRONG"},
		{keys.ErrTampered, "cli.KEYS_DAMAGED"},
		{keys.ErrDamaged, "cli.KEYS_DAMAGED"},
		{keys.ErrJournal, "cli.KEYS_DAMAGED"},
		{pkcs11.ErrModule, "cli.HSM_MODULE"},
		{pkcs11.ErrPINLocked, "cli.HSM_PIN_LOCKED"},
		{pkcs11.ErrPIN, "cli.HSM_PIN"},
		{pkcs11.ErrToken, "cli.HSM_TOKEN"},
		{errLost, "cli.STORE_LOST"},
		{sqldb.ErrDamaged, "cli.STATE_DAMAGED"},
		{sqldb.ErrSchema, "cli.DATA_NEWER"},
		{sqldb.ErrUnavailable, "cli.DATABASE_UNAVAILABLE"},
		{analytics.ErrUnavailable, "cli.CLICKHOUSE_UNAVAILABLE"},
		{analytics.ErrConflict, "cli.SINK_TWICE"},
		{connectors.ErrConflict, "cli.SOURCE_TWICE"},
		{connectors.ErrDefinition, "cli.DEFINITION_REFUSED"},
		{server.ErrListen, "cli.PORT_UNUSABLE"},
		{syscall.ENOSPC, "cli.DISK_FULL"},
		{fs.ErrPermission, "cli.FILE_FORBIDDEN"},
		{fs.ErrNotExist, "cli.FILE_MISSING"},
		{context.DeadlineExceeded, "cli.TOO_LATE"},
	}
}

// diagnose finds the message of any error. One that nothing maps is shown as
// it is.
func diagnose(err error) *mistake {
	var known *mistake
	if errors.As(err, &known) {
		return known
	}
	usage := errors.Is(err, errUsage)
	var call interface{ GRPCStatus() *status.Status }
	if errors.As(err, &call) {
		return diagnoseCall(err, call.GRPCStatus())
	}
	for _, rule := range operatorRules() {
		if errors.Is(err, rule.err) {
			return &mistake{message: message.New(rule.code), usage: usage, cause: err}
		}
	}
	if usage {
		return &mistake{message: message.New("cli.USAGE"), usage: true, cause: err}
	}
	return &mistake{message: message.New("cli.FAILED"), cause: err}
}

// diagnoseCall is the message of a call that the hub refused: that of its
// reason, with the hub's own text and the request id as detail.
func diagnoseCall(err error, s *status.Status) *mistake {
	where, _, _ := strings.Cut(err.Error(), "rpc error: code")
	text := where + s.Message()
	m := &mistake{message: message.New("cli.CALL_FAILED", "code", s.Code().String()), cause: errors.New(text)}
	for _, detail := range s.Details() {
		info, ok := detail.(*errdetails.ErrorInfo)
		if !ok {
			continue
		}
		m.message = message.Message{Code: server.ReasonPrefix + info.GetReason(), Args: info.GetMetadata()}
		if id := info.GetMetadata()["request_id"]; id != "" {
			m.cause = fmt.Errorf("%s (request id %s)", text, id)
		}
	}
	return m
}

// withoutCancel removes from a joined error what only says that the work was
// stopped. A real error beside it stays.
func withoutCancel(err error) error {
	var real []error
	for _, one := range separate(err) {
		if !isCancel(one) {
			real = append(real, one)
		}
	}
	return errors.Join(real...)
}

// isCancel reports whether an error says nothing but that the work was stopped.
func isCancel(err error) bool {
	if err == context.Canceled { //nolint:errorlint // the chain is walked here
		return true
	}
	switch wrapped := err.(type) { //nolint:errorlint // as above
	case interface{ Unwrap() error }:
		return isCancel(wrapped.Unwrap())
	case interface{ Unwrap() []error }:
		parts := wrapped.Unwrap()
		cancelled := 0
		for _, part := range parts {
			if isCancel(part) {
				cancelled++
			}
		}
		return cancelled == len(parts) || cancelled > 0 && !isJoin(err, parts)
	}
	s, ok := status.FromError(err)
	return ok && s.Code() == codes.Canceled
}
