package binlog

import (
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"strconv"
)

// appendUUID writes a UUID of MariaDB.
func appendUUID(dst []byte, value [16]byte) []byte {
	for i, part := range [][]byte{value[:4], value[4:6], value[6:8], value[8:10], value[10:]} {
		if i > 0 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, part)
	}
	return dst
}

// appendINET4 writes an INET4 of MariaDB.
func appendINET4(dst []byte, value [16]byte) []byte {
	return netip.AddrFrom4([4]byte(value[:4])).AppendTo(dst)
}

// appendINET6 writes an INET6 as MariaDB does: the first of the longest runs of zeros is left out, be it one alone, and
// addresses that hold one of IPv4 end with it.
func appendINET6(dst []byte, value [16]byte) []byte {
	const words = 8
	word := func(i int) uint16 { return binary.BigEndian.Uint16(value[2*i:]) }
	gap, length := -1, 0
	for i := 0; i < words; i++ {
		n := 0
		for i+n < words && word(i+n) == 0 {
			n++
		}
		if n > length {
			gap, length = i, n
		}
		i += n
	}
	mapped := gap == 0 && (length == 6 || length == 5 && word(5) == 0xffff)
	for i := 0; i < words; i++ {
		switch {
		case i == gap:
			if dst = append(dst, ':'); i == 0 {
				dst = append(dst, ':')
			}
			i += length - 1
		case i == 6 && mapped:
			return netip.AddrFrom4([4]byte(value[12:])).AppendTo(dst)
		default:
			if dst = strconv.AppendUint(dst, uint64(word(i)), 16); i < words-1 {
				dst = append(dst, ':')
			}
		}
	}
	return dst
}
