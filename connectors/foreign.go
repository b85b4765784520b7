package connectors

import (
	"context"
	"strings"
	"unicode/utf8"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/onewindow/onewindow/exchange"
)

// Texts that come from a source may have any bytes and any length: a name in another charset, the answer of a server
// that is no database. This file makes them what the API, the state database and a page can take. What enters the
// runner passes [foreign]; what leaves by the API passes [validResponses] once more.

const (
	// maxFaultText bounds the text of a fault, maxOrigin where a row lies, maxName the name or type of a column.
	maxFaultText = 4 << 10
	maxOrigin    = 1 << 10
	maxName      = 256
)

// foreign returns text as valid UTF-8 without control characters, of about most bytes.
func foreign(text string, most int) string {
	if len(text) <= most && plain(text) {
		return text
	}
	cut := ""
	if len(text) > most {
		for most > 0 && !utf8.RuneStart(text[most]) {
			most--
		}
		text, cut = text[:most], "…"
	}
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f {
			return '�'
		}
		return r
	}, strings.ToValidUTF8(text, "�")) + cut
}

// plain reports whether foreign has nothing to do.
func plain(text string) bool {
	for i := range len(text) {
		if b := text[i]; b < ' ' && b != '\n' && b != '\t' || b == 0x7f {
			return false
		}
	}
	return utf8.ValidString(text)
}

// foreignRows makes the texts about rows fit to be shown; their values and raw bytes stay as they are.
func foreignRows(rows []Row) {
	for i := range rows {
		rows[i].Origin = foreign(rows[i].Origin, maxOrigin)
		if r := rows[i].Rejection; r != nil {
			rows[i].Rejection = &exchange.Rejection{Rule: r.Rule, Field: foreign(r.Field, maxName), Detail: foreign(r.Detail, maxFaultText)}
		}
	}
}

// foreignColumns makes the names and types of columns fit to be shown and kept. The result may be the argument.
func foreignColumns(columns []Column) []Column {
	for i, c := range columns {
		name, kind := foreign(c.Name, maxName), foreign(c.Type, maxFaultText)
		if name == c.Name && kind == c.Type {
			continue
		}
		changed := make([]Column, len(columns))
		copy(changed, columns[:i])
		for j := i; j < len(columns); j++ {
			changed[j] = Column{Name: foreign(columns[j].Name, maxName), Type: foreign(columns[j].Type, maxFaultText), Nullable: columns[j].Nullable}
		}
		return changed
	}
	return columns
}

// validResponses wraps a registrar: no response or error of its services has a text that is not valid UTF-8, by which
// the whole response would fail.
type validResponses struct{ grpc.ServiceRegistrar }

// RegisterService registers the methods of desc, wrapped.
func (v validResponses) RegisterService(desc *grpc.ServiceDesc, impl any) {
	wrapped := *desc
	wrapped.Methods = make([]grpc.MethodDesc, len(desc.Methods))
	for i, method := range desc.Methods {
		handle := method.Handler
		method.Handler = func(srv any, ctx context.Context, decode func(any) error, outer grpc.UnaryServerInterceptor) (any, error) {
			return handle(srv, ctx, decode, func(ctx context.Context, req any, info *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
				valid := func(ctx context.Context, req any) (any, error) {
					res, err := next(ctx, req)
					if m, ok := res.(proto.Message); ok && m != nil {
						makeValid(m.ProtoReflect())
					}
					if err != nil && !utf8.ValidString(err.Error()) {
						err = validError{err}
					}
					return res, err
				}
				if outer == nil {
					return valid(ctx, req)
				}
				return outer(ctx, req, info, valid)
			})
		}
		wrapped.Methods[i] = method
	}
	v.ServiceRegistrar.RegisterService(&wrapped, impl)
}

// validError has the text of an error as valid UTF-8.
type validError struct{ error }

func (e validError) Error() string { return strings.ToValidUTF8(e.error.Error(), "�") }
func (e validError) Unwrap() error { return e.error }

// makeValid makes every text of a message valid UTF-8.
func makeValid(m protoreflect.Message) {
	m.Range(func(field protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		switch {
		case field.IsMap():
			validMap(field, value.Map())
		case field.IsList():
			list := value.List()
			for i := range list.Len() {
				switch item := list.Get(i); {
				case field.Kind() == protoreflect.MessageKind:
					makeValid(item.Message())
				case field.Kind() == protoreflect.StringKind && !utf8.ValidString(item.String()):
					list.Set(i, validText(item))
				}
			}
		case field.Kind() == protoreflect.MessageKind:
			makeValid(value.Message())
		case field.Kind() == protoreflect.StringKind && !utf8.ValidString(value.String()):
			m.Set(field, validText(value))
		}
		return true
	})
}

func validMap(field protoreflect.FieldDescriptor, all protoreflect.Map) {
	all.Range(func(key protoreflect.MapKey, value protoreflect.Value) bool {
		if field.MapValue().Kind() == protoreflect.MessageKind {
			makeValid(value.Message())
			return true
		}
		if field.MapValue().Kind() == protoreflect.StringKind {
			value = validText(value)
		}
		all.Clear(key)
		if field.MapKey().Kind() == protoreflect.StringKind {
			key = validText(key.Value()).MapKey()
		}
		all.Set(key, value)
		return true
	})
}

func validText(value protoreflect.Value) protoreflect.Value {
	return protoreflect.ValueOfString(strings.ToValidUTF8(value.String(), "�"))
}
