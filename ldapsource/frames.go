package ldapsource

import (
	"errors"
	"fmt"
	"net"
	"sync/atomic"
)

// errFrame says that what came is no LDAP message (RFC 4511 section 4.1.1).
var errFrame = errors.New("the server sent something that is no LDAP message")

// maxMessage bounds the bytes of a message. The library reads messages of up to 2 GiB; its limit is a variable of the whole
// process, and this one is not.
const maxMessage = 1 << 20

// frames is the connection that the library reads from. The library skips what does not begin as a message must, and
// goes on: an entry would be lost that way from a search that ends well. Here it is an error.
type frames struct {
	net.Conn

	head []byte // of the message that begins: all that came of it, until begins can judge it
	rest int    // bytes of the message that are still to come
	err  error

	broken atomic.Bool // err came
}

// Read reads from the connection, up to the first message that is none.
func (f *frames) Read(p []byte) (int, error) {
	if f.err != nil {
		return 0, f.err
	}
	n, err := f.Conn.Read(p)
	for i := 0; i < n && f.err == nil; {
		if f.rest > 0 {
			step := min(f.rest, n-i)
			f.rest -= step
			i += step
			continue
		}
		f.head = append(f.head, p[i])
		i++
		var whole bool
		if f.rest, whole, f.err = begins(f.head); whole {
			f.head = f.head[:0]
		}
	}
	if f.err != nil {
		f.broken.Store(true)
		return 0, f.err
	}
	return n, err
}

// begins judges the first bytes of a message, as soon as there are enough of them: an outer SEQUENCE of a definite length
// (RFC 4511 section 5.1), in it first an INTEGER of one to four bytes, the message's number. rest is what is to come
// after head.
func begins(head []byte) (rest int, whole bool, err error) {
	const sequence, integer = 0x30, 0x02
	if head[0] != sequence {
		return 0, false, errFrame
	}
	if len(head) < 2 {
		return 0, false, nil
	}
	length, at := int(head[1]), 2
	if length >= 0x80 {
		count := length & 0x7f
		if count == 0 || count > 4 {
			return 0, false, errFrame
		}
		if at += count; len(head) < at {
			return 0, false, nil
		}
		length = 0
		for _, b := range head[2:at] {
			length = length<<8 | int(b)
		}
	}
	if length > maxMessage {
		return 0, false, fmt.Errorf("%w: a message of %d bytes", errFlood, length)
	}
	if len(head) < at+2 && len(head) < at+length {
		return 0, false, nil
	}
	if length < 3 || head[at] != integer || head[at+1] < 1 || head[at+1] > 4 || int(head[at+1])+2 > length {
		return 0, false, errFrame
	}
	return length - 2, true, nil
}
