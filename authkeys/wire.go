package authkeys

import (
	"encoding/binary"
	"strings"
)

// maxBignum is the most bytes of an integer that OpenSSH reads (SSHBUF_MAX_BIGNUM, 16384 bits).
const maxBignum = 16384 / 8

// reader takes the fields of a wire blob (RFC 4251 section 5) one after the other, as sshbuf-getput-basic.c does.
// After the first field that is not there, bad stays true and every field is empty.
type reader struct {
	rest string
	bad  bool
}

// text takes a string of any bytes.
func (r *reader) text() string {
	if r.bad || len(r.rest) < 4 {
		r.bad = true
		return ""
	}
	size := int64(binary.BigEndian.Uint32([]byte(r.rest[:4])))
	body := r.rest[4:]
	if size > int64(len(body)) {
		r.bad = true
		return ""
	}
	r.rest = body[size:]
	return body[:size]
}

// skip takes a field of so many bytes.
func (r *reader) skip(size int) {
	if r.bad || len(r.rest) < size {
		r.bad = true
		return
	}
	r.rest = r.rest[size:]
}

// cstring takes a string that becomes a C string: a NUL may stand at its end only, and is then no part of the value
// (sshbuf_get_cstring).
func (r *reader) cstring() string {
	value := strings.TrimSuffix(r.text(), "\x00")
	if strings.Contains(value, "\x00") {
		r.bad = true
		return ""
	}
	return value
}

// bignum takes an integer and gives its bytes without leading zeros; negative and overlong ones are refused
// (sshbuf_get_bignum2_bytes_direct).
func (r *reader) bignum() string {
	value := r.text()
	if value == "" {
		return ""
	}
	if value[0]&0x80 != 0 || len(value) > maxBignum+1 || (len(value) == maxBignum+1 && value[0] != 0) {
		r.bad = true
		return ""
	}
	return strings.TrimLeft(value, "\x00")
}

// appendText writes a wire string.
func appendText(dst []byte, value string) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(value))) //nolint:gosec // fields come from a blob that is shorter than its own 32-bit lengths
	return append(dst, value...)
}

// appendBignum writes trimmed integer bytes as an mpint: with one leading zero where the sign bit would be set.
func appendBignum(dst []byte, trimmed string) []byte {
	if trimmed != "" && trimmed[0]&0x80 != 0 {
		trimmed = "\x00" + trimmed
	}
	return appendText(dst, trimmed)
}
