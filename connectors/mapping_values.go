package connectors

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/onewindow/onewindow/exchange"
)

// text returns the text of a field before its type is applied; empty for a null.
func (m *mapper) text(f *mappedField, row Row, deleted bool) (string, *exchange.Rejection) {
	text, rejection := m.source(f, row)
	if rejection != nil {
		return "", rejection
	}
	if !f.KeepSpaces {
		text = strings.TrimSpace(text)
	}
	if f.HalfWidth {
		if narrow, changed := halfWidth(text); changed {
			m.findings.fullWidth = true
			text = narrow
			if !f.KeepSpaces {
				text = strings.TrimSpace(text)
			}
		}
	}
	if (f.Type == Date || f.Type == Time) && isZeroDate(text) {
		if f.Required && !deleted {
			return "", f.reject(exchange.RuleMissingField, "is required, but holds a zero date")
		}
		m.findings.zeroDate = true
		return "", nil
	}
	switch {
	case text != "":
	case f.Required && !deleted:
		return "", f.reject(exchange.RuleMissingField, "is required, but empty")
	default:
		return "", nil
	}
	if f.Format != "" {
		plain, ok := formatted(text, f.Format)
		if !ok {
			return "", f.reject(exchange.RuleSchema, whyNotFormat(text, f.Format))
		}
		text = plain
	}
	if f.codes != nil {
		meaning, known := f.codes[text]
		if !known {
			return "", f.reject(exchange.RuleCode, fmt.Sprintf("holds a code that is not in the code list %q; add it there, or mend it at the source", f.Codes))
		}
		text = meaning
	}
	return f.checked(text)
}

// source returns the text of the column, or the value of the expression.
func (m *mapper) source(f *mappedField, row Row) (string, *exchange.Rejection) {
	if f.Value == nil {
		value := &row.Values[f.column]
		if !utf8.ValidString(value.Text) {
			return "", notText(f.pointer, f.label)
		}
		return value.Text, nil
	}
	if rejection := m.encoding(f.Value, f.pointer); rejection != nil {
		return "", rejection
	}
	text, err := f.Value.value(m.row)
	if err != nil {
		return "", f.reject(exchange.RuleMapping, err.Error())
	}
	return text, nil
}

// checked returns the text in the form that its check has for it.
func (f *mappedField) checked(text string) (string, *exchange.Rejection) {
	rule, ok := exchange.RuleSchema, true
	var why string
	switch f.Check {
	case CheckUSCC:
		rule, ok = exchange.RuleCheckDigit, exchange.ValidUSCC(text)
		why = "does not hold a unified social credit code: check its 18 characters and its check character"
	case CheckCitizenNumber:
		if len(text) == 18 && text[17] == 'x' {
			text = text[:17] + "X"
		}
		rule, ok = exchange.RuleCheckDigit, exchange.ValidCitizenNumber(text) || exchange.ValidOldCitizenNumber(text)
		why = "does not hold a citizen number: check its 18 (or 15) digits, the date of birth in it and its check character"
	case CheckRegion:
		ok = exchange.ValidRegion(text)
		why = "does not hold a region code of 6, 9 or 12 digits"
	case CheckPhone:
		ok = exchange.ValidPhone(text)
		why = "does not hold a mobile number, or a landline number with its area code"
	}
	if !ok {
		return "", f.reject(rule, why)
	}
	return text, nil
}

func (f *mappedField) reject(rule, why string) *exchange.Rejection {
	return &exchange.Rejection{Rule: rule, Field: f.pointer, Detail: f.label + " " + why}
}

// isZeroDate says whether text is what MySQL writes for no date.
func isZeroDate(text string) bool {
	const zero = "0000-00-00 00:00:00"
	if len(text) < len("0000-00-00") || text[0] != '0' || text[3] != '0' || text[4] != '-' {
		return false
	}
	text = strings.TrimRight(text, "0")
	text = strings.TrimSuffix(text, ".")
	return strings.HasPrefix(zero, strings.TrimRight(text, "0"))
}

// whyNot says why text is no value of a type.
func whyNot(text string, kind FieldType) string {
	switch kind {
	case Integer:
		return "does not hold a whole number"
	case Decimal:
		return "does not hold a decimal number"
	case Boolean:
		return "does not hold yes or no (true/false, 1/0, 是/否)"
	case Bytes:
		return `does not hold binary data; write it as \x and hexadecimal digits, or as Base64`
	case Date, Time:
		return whyNoTime(text, kind)
	case String:
	}
	return "does not hold text"
}

// whyNotFormat says why text is no time in a format; an empty one stands for the usual ways.
func whyNotFormat(text, format string) string {
	if format == "" || text == "" {
		return whyNoTime(text, Time)
	}
	return fmt.Sprintf("does not hold a time in the format %q", format)
}

// whyNoTime says why text is no date or time.
func whyNoTime(text string, kind FieldType) string {
	lower := strings.ToLower(text)
	switch {
	case text == "":
		return "is empty"
	case isZeroDate(text):
		return "holds a zero date"
	case strings.TrimLeft(lower, "+-") == "infinity":
		return "is infinite, which is no time; leave it empty, or agree on a date that stands for it"
	case strings.HasSuffix(lower, " bc"):
		return "holds a time before the year 1, which is surely a mistake at the source"
	case strings.Contains(text, "民国") || strings.Contains(text, "民國"):
		return "counts its years from 1912 (民国); have it written in years of the common era"
	case kind == Date:
		return "does not hold a date that exists; write it as YYYY-MM-DD"
	}
	return "does not hold a time that exists; write it as YYYY-MM-DD hh:mm:ss"
}
