package binlog

import (
	"bytes"
	"errors"
	"math"
	"strconv"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"
)

// errShort means that an event ends within a value.
var errShort = errors.New("the event ends within a row")

// errType means a value that is written in a form that is not known here.
var errType = errors.New("a column is logged in a form that is not known")

// realType tells the types that share MYSQL_TYPE_STRING apart, and gives the length that meta has for them.
func realType(kind byte, meta uint16) (real byte, length int) {
	if kind != mysql.MYSQL_TYPE_STRING {
		return kind, int(meta)
	}
	high, low := byte(meta>>8), int(meta&0xff)
	switch {
	case high == 0:
		return kind, low
	case high&0x30 != 0x30:
		return high | 0x30, low | int(high&0x30^0x30)<<4
	}
	return high, low
}

// fixedSizes are those of the types whose size does not depend on anything.
func fixedSize(real byte) int {
	switch real {
	case mysql.MYSQL_TYPE_TINY, mysql.MYSQL_TYPE_YEAR:
		return 1
	case mysql.MYSQL_TYPE_SHORT:
		return 2
	case mysql.MYSQL_TYPE_INT24, mysql.MYSQL_TYPE_DATE, mysql.MYSQL_TYPE_NEWDATE, mysql.MYSQL_TYPE_TIME:
		return 3
	case mysql.MYSQL_TYPE_LONG, mysql.MYSQL_TYPE_FLOAT, mysql.MYSQL_TYPE_TIMESTAMP:
		return 4
	case mysql.MYSQL_TYPE_LONGLONG, mysql.MYSQL_TYPE_DOUBLE, mysql.MYSQL_TYPE_DATETIME:
		return 8
	}
	return -1
}

// cell returns the bytes of the value that data begins with, without its
// length, and what follows them.
func cell(data []byte, real byte, length int) (value, rest []byte, err error) {
	size, prefix := fixedSize(real), 0
	if size < 0 {
		switch real {
		case mysql.MYSQL_TYPE_NEWDECIMAL:
			size = decimalSize(length>>8, length&0xff)
		case mysql.MYSQL_TYPE_BIT:
			size = (length>>8*8 + length&0xff + 7) / 8
		case mysql.MYSQL_TYPE_TIMESTAMP2:
			size = 4 + (length+1)/2
		case mysql.MYSQL_TYPE_DATETIME2:
			size = 5 + (length+1)/2
		case mysql.MYSQL_TYPE_TIME2:
			size = 3 + (length+1)/2
		case mysql.MYSQL_TYPE_ENUM, mysql.MYSQL_TYPE_SET:
			size = length
		case mysql.MYSQL_TYPE_VARCHAR, mysql.MYSQL_TYPE_VAR_STRING, mysql.MYSQL_TYPE_STRING:
			prefix = 1
			if length > 255 {
				prefix = 2
			}
		case mysql.MYSQL_TYPE_BLOB, mysql.MYSQL_TYPE_GEOMETRY, mysql.MYSQL_TYPE_JSON, mysql.MYSQL_TYPE_VECTOR:
			if prefix = length; prefix < 1 || prefix > 4 {
				return nil, nil, errType
			}
		default:
			return nil, nil, errType
		}
	}
	if prefix > 0 {
		if len(data) < prefix {
			return nil, nil, errShort
		}
		size = int(littleEndian(data[:prefix])) //nolint:gosec // at most 32 bits
		data = data[prefix:]
	}
	if len(data) < size {
		return nil, nil, errShort
	}
	return data[:size], data[size:], nil
}

func littleEndian(b []byte) (n uint64) {
	for i := len(b) - 1; i >= 0; i-- {
		n = n<<8 | uint64(b[i])
	}
	return n
}

func bigEndian(b []byte) (n uint64) {
	for _, c := range b {
		n = n<<8 | uint64(c)
	}
	return n
}

// appendInteger writes an integer of 1 to 8 bytes.
func appendInteger(dst, value []byte, unsigned bool) []byte {
	n := littleEndian(value)
	if unsigned {
		return strconv.AppendUint(dst, n, 10)
	}
	shift := 64 - 8*len(value)
	return strconv.AppendInt(dst, int64(n<<shift)>>shift, 10) //nolint:gosec // the sign is meant
}

// digitsSize is how many bytes so many decimal digits take, at most nine of them.
func digitsSize(digits int) int { return [10]int{0, 1, 1, 2, 2, 3, 3, 4, 4, 4}[digits] }

// decimalSize is how many bytes a DECIMAL takes.
func decimalSize(precision, scale int) int {
	whole := max(precision-scale, 0)
	return whole/9*4 + digitsSize(whole%9) + scale/9*4 + digitsSize(scale%9)
}

// appendDecimal writes a DECIMAL: groups of nine digits, the incomplete ones
// outside, inverted if it is negative, the sign in the first bit.
func appendDecimal(dst, value []byte, precision, scale int) []byte {
	if len(value) == 0 {
		return append(dst, '0')
	}
	whole := precision - scale
	mask := byte(0xff)
	if value[0]&0x80 != 0 {
		mask = 0
	} else {
		dst = append(dst, '-')
	}
	first := true
	group := func(digits int) (n uint64) {
		size := digitsSize(digits)
		for _, b := range value[:size] {
			b ^= mask
			if first {
				b ^= 0x80
				first = false
			}
			n = n<<8 | uint64(b)
		}
		value = value[size:]
		return n
	}
	start := len(dst)
	for digits := whole; digits > 0; {
		size := (digits-1)%9 + 1
		if n := group(size); len(dst) > start {
			dst = appendPadded(dst, n, size)
		} else if n > 0 {
			dst = strconv.AppendUint(dst, n, 10)
		}
		digits -= size
	}
	if len(dst) == start {
		dst = append(dst, '0')
	}
	if scale > 0 {
		dst = append(dst, '.')
	}
	for digits := scale; digits > 0; {
		size := min(digits, 9)
		dst = appendPadded(dst, group(size), size)
		digits -= size
	}
	return dst
}

// appendPadded writes n with at least so many digits.
func appendPadded(dst []byte, n uint64, digits int) []byte {
	var buffer [20]byte
	at := len(buffer)
	for n > 0 || digits > 0 {
		at--
		buffer[at] = byte('0' + n%10)
		n /= 10
		digits--
	}
	return append(dst, buffer[at:]...)
}

// appendFloat writes a FLOAT or DOUBLE without declared decimals as the server
// does: at most so many significant digits (-1 for as many as tell the value
// apart), an exponent only when the point is more than 15 places away and
// there are no digits behind it.
func appendFloat(dst []byte, value float64, digits int) []byte {
	if value == 0 {
		if math.Signbit(value) {
			dst = append(dst, '-')
		}
		return append(dst, '0')
	}
	var buffer [32]byte
	text := strconv.AppendFloat(buffer[:0], value, 'e', max(digits-1, -1), 64)
	if text[0] == '-' {
		dst = append(dst, '-')
		text = text[1:]
	}
	at := len(text) - 1
	for text[at] != 'e' {
		at--
	}
	exponent, err := strconv.Atoi(string(text[at+1:]))
	if err != nil { // infinite or no number, which these databases do not store
		return append(dst, text...)
	}
	figures := text[:1]
	if at > 2 {
		figures = append(figures, text[2:at]...)
	}
	for len(figures) > 1 && figures[len(figures)-1] == '0' {
		figures = figures[:len(figures)-1]
	}
	switch point := exponent + 1; {
	case point > 15 && len(figures) <= point || point < -14:
		dst = append(dst, figures[0])
		if len(figures) > 1 {
			dst = append(append(dst, '.'), figures[1:]...)
		}
		return strconv.AppendInt(append(dst, 'e'), int64(exponent), 10)
	case point <= 0:
		dst = append(dst, "0."...)
		for range -point {
			dst = append(dst, '0')
		}
		return append(dst, figures...)
	default:
		for i := range max(point, len(figures)) {
			if i == point {
				dst = append(dst, '.')
			}
			if i < len(figures) {
				dst = append(dst, figures[i])
			} else {
				dst = append(dst, '0')
			}
		}
		return dst
	}
}

// appendFixed writes a FLOAT(M,D) or DOUBLE(M,D) as the server does: with so many decimals, of which those behind the
// shortest text that identifies the value are zeros.
func appendFixed(dst []byte, value float64, decimals int) []byte {
	start := len(dst)
	dst = strconv.AppendFloat(dst, value, 'f', -1, 64)
	have := 0
	if point := bytes.IndexByte(dst[start:], '.'); point >= 0 {
		have = len(dst) - start - point - 1
	} else if decimals > 0 {
		dst = append(dst, '.')
	}
	if have > decimals {
		return strconv.AppendFloat(dst[:start], value, 'f', decimals, 64)
	}
	for ; have < decimals; have++ {
		dst = append(dst, '0')
	}
	return dst
}

// appendDate writes a DATE of three bytes.
func appendDate(dst, value []byte) []byte {
	n := littleEndian(value)
	return appendYMD(dst, n>>9, n>>5&15, n&31)
}

func appendYMD(dst []byte, year, month, day uint64) []byte {
	dst = append(appendPadded(dst, year, 4), '-')
	dst = append(appendPadded(dst, month, 2), '-')
	return appendPadded(dst, day, 2)
}

func appendHMS(dst []byte, hour, minute, second uint64) []byte {
	dst = append(appendPadded(dst, hour, 2), ':')
	dst = append(appendPadded(dst, minute, 2), ':')
	return appendPadded(dst, second, 2)
}

// appendFraction writes the fraction of a second, stored in hundreds as two digits a byte.
func appendFraction(dst []byte, stored uint64, digits int) []byte {
	if digits == 0 {
		return dst
	}
	if digits%2 == 1 {
		stored /= 10
	}
	return appendPadded(append(dst, '.'), stored, digits)
}

// appendDatetime writes a DATETIME of any precision.
func appendDatetime(dst, value []byte, digits int) []byte {
	n := bigEndian(value[:5]) & (1<<39 - 1)
	months := n >> 22
	dst = append(appendYMD(dst, months/13, months%13, n>>17&31), ' ')
	dst = appendHMS(dst, n>>12&31, n>>6&63, n&63)
	return appendFraction(dst, bigEndian(value[5:]), digits)
}

// appendOldDatetime writes a DATETIME as tables from before MySQL 5.6 have it.
func appendOldDatetime(dst, value []byte) []byte {
	n := littleEndian(value)
	date, clock := n/1_000_000, n%1_000_000
	dst = append(appendYMD(dst, date/10000, date/100%100, date%100), ' ')
	return appendHMS(dst, clock/10000, clock/100%100, clock%100)
}

// appendTimestamp writes a TIMESTAMP, which is stored in UTC, in UTC.
func appendTimestamp(dst []byte, seconds, fraction uint64, digits int) []byte {
	if seconds == 0 && fraction == 0 {
		dst = append(dst, "0000-00-00 00:00:00"...)
	} else {
		dst = time.Unix(int64(seconds), 0).UTC().AppendFormat(dst, time.DateTime) //nolint:gosec // 32 bits
	}
	return appendFraction(dst, fraction, digits)
}

// appendTime writes a TIME of any precision: of negative ones the fraction counts upwards.
func appendTime(dst, value []byte, digits int) []byte {
	size := 8 * (len(value) - 3)
	n := int64(bigEndian(value)) - 1<<(23+size) //nolint:gosec // at most 6 bytes
	if n < 0 {
		dst = append(dst, '-')
		n = -n
	}
	whole := uint64(n) >> size //nolint:gosec // not negative
	dst = appendHMS(dst, whole>>12&1023, whole>>6&63, whole&63)
	return appendFraction(dst, uint64(n)&(1<<size-1), digits) //nolint:gosec // not negative
}

// appendOldTime writes a TIME as tables from before MySQL 5.6 have it.
func appendOldTime(dst, value []byte) []byte {
	n := int32(littleEndian(value)<<8) >> 8 //nolint:gosec // 24 bits with a sign
	if n < 0 {
		dst = append(dst, '-')
		n = -n
	}
	return appendHMS(dst, uint64(n/10000), uint64(n/100%100), uint64(n%100)) //nolint:gosec // not negative
}
