package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// codec is the JSON of the gateway: a message's own MarshalJSON and
// UnmarshalJSON where it has them (package jsondoc), else protojson.
type codec struct{}

// ContentType returns the type of every JSON answer.
func (codec) ContentType(any) string { return "application/json" }

// Marshal encodes a message.
func (codec) Marshal(v any) ([]byte, error) {
	switch m := v.(type) {
	case json.Marshaler:
		return m.MarshalJSON()
	case proto.Message:
		return protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(m)
	}
	return nil, fmt.Errorf("server: %T is not a message", v)
}

// Unmarshal decodes a message, or a pointer to one, which it makes.
func (codec) Unmarshal(data []byte, v any) error {
	m, err := target(v)
	if err != nil {
		return err
	}
	if own, ok := m.(json.Unmarshaler); ok {
		return own.UnmarshalJSON(data)
	}
	return protojson.Unmarshal(data, m)
}

// NewEncoder returns an encoder of single messages.
func (c codec) NewEncoder(w io.Writer) runtime.Encoder {
	return runtime.EncoderFunc(func(v any) error {
		text, err := c.Marshal(v)
		if err != nil {
			return err
		}
		_, err = w.Write(text)
		return err
	})
}

// NewDecoder returns a decoder that takes all of r as one message; nothing at
// all is io.EOF. What is wrong is left in r, when it is a [body], for the
// error handler, because the generated code passes on the text alone.
func (c codec) NewDecoder(r io.Reader) runtime.Decoder {
	return runtime.DecoderFunc(func(v any) error {
		b, ok := r.(*body)
		if !ok {
			return fmt.Errorf("server: unguarded body %T", r)
		}
		data, err := b.all()
		if err != nil {
			b.fault = err
			return err
		}
		if len(bytes.TrimSpace(data)) == 0 {
			return io.EOF
		}
		if err := c.Unmarshal(data, v); err != nil {
			fault := explain(data, err)
			if m, err := target(v); err == nil {
				fault.detail = withExample(m.ProtoReflect().Descriptor(), fault.detail)
			}
			b.fault = fault
			return b.fault
		}
		return nil
	})
}

// target returns the message that v is or points to.
func target(v any) (proto.Message, error) {
	if m, ok := v.(proto.Message); ok {
		return m, nil
	}
	p := reflect.ValueOf(v)
	if p.Kind() == reflect.Pointer && !p.IsNil() && p.Elem().Kind() == reflect.Pointer {
		if p.Elem().IsNil() {
			p.Elem().Set(reflect.New(p.Elem().Type().Elem()))
		}
		if m, ok := p.Elem().Interface().(proto.Message); ok {
			return m, nil
		}
	}
	return nil, fmt.Errorf("server: %T is not a message", v)
}

// body is a request's body with a limit, and what was wrong with it.
type body struct {
	io.ReadCloser
	size  int64 // as the caller stated it, -1 if unknown
	fault error
}

func (b *body) all() ([]byte, error) {
	var data bytes.Buffer
	if b.size > 0 {
		data.Grow(int(b.size) + bytes.MinRead)
	}
	_, err := data.ReadFrom(b)
	return data.Bytes(), err
}

// jsonFault says what is wrong with a JSON text.
type jsonFault struct {
	reason string
	detail string
}

// Error returns the detail.
func (f *jsonFault) Error() string { return f.detail }

// explain sorts an error of the decoders by what the caller has to do about
// it. Protojson has texts but no types, so the texts decide; tests hold them.
func explain(data []byte, err error) *jsonFault {
	detail := err.Error()
	detail = strings.TrimPrefix(detail, "jsondoc:")
	detail = strings.TrimPrefix(detail, "proto:")
	// protojson puts in a no-break space at random, to discourage what is done here.
	detail = strings.TrimSpace(strings.ReplaceAll(detail, "\u00a0", " "))
	reason := reasonInvalidValue
	switch {
	case !json.Valid(data):
		reason = reasonMalformedJSON
	case strings.Contains(detail, "): unknown field "):
		reason = reasonUnknownField
	case strings.Contains(detail, "): duplicate field "):
		reason = reasonDuplicateField
	}
	return &jsonFault{reason: reason, detail: "body " + detail}
}

// bodyProblem turns what was wrong with a body into a problem.
func bodyProblem(fault error, limit int64) problem {
	var text *jsonFault
	var large *http.MaxBytesError
	switch {
	case errors.As(fault, &text):
		return problem{Status: http.StatusBadRequest, Reason: text.reason, Detail: text.detail}
	case errors.As(fault, &large):
		return tooLarge(limit)
	}
	return problem{Status: http.StatusBadRequest, Reason: reasonBodyIncomplete, Detail: "the body ended early or came too slowly; send it again"}
}

func tooLarge(limit int64) problem {
	return problem{
		Status: http.StatusRequestEntityTooLarge, Reason: reasonBodyTooLarge,
		Detail: fmt.Sprintf("the body is larger than %d bytes; send less at once", limit),
	}
}
