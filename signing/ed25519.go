package signing

import (
	"crypto/ed25519"
	"math/big"
	"slices"
)

// The y coordinates, in the little-endian encoding of RFC 8032 §5.1.2, of all
// points of order 1, 2, 4 and 8; each stands for both signs of x.
const (
	ff10          = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"
	zero10        = "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	orderOne      = "\x01" + zero10 + zero10 + zero10 + "\x00"
	orderTwo      = "\xec" + ff10 + ff10 + ff10 + "\x7f"
	orderFour     = "\x00" + zero10 + zero10 + zero10 + "\x00"
	orderEight    = "\x26\xe8\x95\x8f\xc2\xb2\x27\xb0\x45\xc3\xf4\x89\xf2\xef\x98\xf0\xd5\xdf\xac\x05\xd3\xc6\x33\x39\xb1\x38\x02\x88\x6d\x53\xfc\x05"
	orderEightToo = "\xc7\x17\x6a\x70\x3d\x4d\xd8\x4f\xba\x3c\x0b\x76\x0d\x10\x67\x0f\x2a\x20\x53\xfa\x2c\x39\xcc\xc6\x4e\xc7\xfd\x77\x92\xac\x03\x7a"
)

// smallOrder tells whether the key is one of the eight points that a factor
// of 8 takes to zero. crypto/ed25519 verifies with them, and a signature can
// be made for them without any private key.
func smallOrder(key ed25519.PublicKey) bool {
	y := [ed25519.PublicKeySize]byte(key)
	y[31] &= 0x7f // the sign of x
	switch string(y[:]) {
	case orderOne, orderTwo, orderFour, orderEight, orderEightToo:
		return true
	}
	// y of p and above is another spelling of y−p, of small order again for
	// some, and refused by RFC 8032 §5.1.3; Go's decoder takes it.
	return y[0] >= 0xed && string(y[1:]) == ff10+ff10+ff10+"\x7f"
}

// onEdwards25519 tells whether 32 bytes are the encoding of a point: whether
// x² = (y²−1)/(dy²+1) has a solution. crypto/ed25519 only finds out, and does
// not tell, when it verifies. It takes tens of microseconds.
func onEdwards25519(key ed25519.PublicKey) bool {
	p := new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), 255), big.NewInt(19))
	// d = −121665/121666
	d := new(big.Int).ModInverse(big.NewInt(121666), p)
	d.Mul(d, big.NewInt(-121665)).Mod(d, p)

	encoding := slices.Clone(key)
	encoding[31] &= 0x7f
	slices.Reverse(encoding)
	y := new(big.Int).SetBytes(encoding)
	if y.Cmp(p) >= 0 {
		return false
	}
	square := y.Mul(y, y)
	numerator := new(big.Int).Sub(square, big.NewInt(1))
	denominator := d.Mul(d, square).Add(d, big.NewInt(1))
	// u/v is a square when uv is; dy²+1 is never zero, as −1/d is not a square.
	product := numerator.Mul(numerator, denominator)
	return big.Jacobi(product.Mod(product, p), p) >= 0
}
