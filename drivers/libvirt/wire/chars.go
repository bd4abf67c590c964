package wire

// MaxSASLData is REMOTE_AUTH_SASL_DATA_MAX, in bytes before they are widened.
const MaxSASLData = 65536

// Chars reads a variable array of char. Unlike opaque, it has each byte in a word of its
// own, of which the lowest 8 bits count. It returns nil for an empty array.
func (d *Decoder) Chars(limit int) []byte {
	n := d.Count(limit, 4)
	if n == 0 {
		return nil
	}
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(d.Uint32())
	}
	return b
}

// Chars appends a variable array of char: a word for each byte, sign-extended as a C
// compiler with signed char does it.
func (e *Encoder) Chars(b []byte) {
	e.Uint32(uint32(len(b)))
	for _, c := range b {
		e.Int32(int32(int8(c)))
	}
}
