package testenv

import (
	"bytes"
	"crypto/tls"
	"errors"
	"time"
)

// The kinds of messages, by the tag of their operation (RFC 4511 section 4.2 to 4.5).
const (
	Bound = 0x61
	Entry = 0x64
	Done  = 0x65
)

// Message is one LDAPMessage of a server, to one client.
type Message struct {
	Kind byte
	// Page counts the searches of the connection from 1, Entries those that came before it on the page, Before all bytes.
	Page, Entries, Before int
	Bytes                 []byte
}

// Client is who waits for messages.
type Client struct {
	*tls.Conn

	gone <-chan struct{}
}

// pass passes bytes on.
func (c Client) pass(data []byte) error {
	_, err := c.Write(data)
	return err
}

// Fault decides what a client gets in place of a message. An error ends the connection.
type Fault func(Client, Message) error

// errCut ends a connection.
var errCut = errors.New("cut")

func passOn(c Client, m Message) error { return c.pass(m.Bytes) }

// First is for the first message of a kind on a page.
func First(kind byte, page int) func(Message) bool {
	return func(m Message) bool { return m.Kind == kind && m.Page == page && m.Entries == 0 }
}

// Cut ends the connection within a message, after some of its bytes.
func Cut(when func(Message) bool, after int) Fault {
	return func(c Client, m Message) error {
		if !when(m) {
			return passOn(c, m)
		}
		return errors.Join(c.pass(m.Bytes[:min(after, len(m.Bytes))]), errCut)
	}
}

// CutAt ends the connection when so many bytes of the server have passed.
func CutAt(at int) Fault {
	return func(c Client, m Message) error {
		if left := max(at-m.Before, 0); left < len(m.Bytes) { // an old connection is beyond it
			return errors.Join(c.pass(m.Bytes[:left]), errCut)
		}
		return passOn(c, m)
	}
}

// Freeze says nothing more from a message on, until the client goes.
func Freeze(when func(Message) bool) Fault {
	return func(c Client, m Message) error {
		if !when(m) {
			return passOn(c, m)
		}
		<-c.gone
		return errCut
	}
}

// Drip sends single bytes, with a pause behind each.
func Drip(pause time.Duration) Fault {
	return func(c Client, m Message) error {
		for _, b := range m.Bytes {
			if err := c.pass([]byte{b}); err != nil {
				return err
			}
			select {
			case <-c.gone:
				return errCut
			case <-time.After(pause):
			}
		}
		return nil
	}
}

// Truncate keeps all entries but the first ones back, and says that the first page was the last: what a client gets is right in itself.
func Truncate(entries int) Fault {
	return func(c Client, m Message) error {
		switch {
		case m.Kind == Entry && m.Entries >= entries:
			return nil
		case m.Kind == Done:
			return c.pass(done(m, 0, control()))
		}
		return passOn(c, m)
	}
}

// Answer ends a page with a result code (RFC 4511 appendix A).
func Answer(page int, code byte) Fault {
	return func(c Client, m Message) error {
		if m.Kind != Done || m.Page != page {
			return passOn(c, m)
		}
		return c.pass(done(m, code, nil))
	}
}

// Garble sends something else in place of a message.
func Garble(when func(Message) bool, text string) Fault {
	return func(c Client, m Message) error {
		if !when(m) {
			return passOn(c, m)
		}
		return errors.Join(c.pass([]byte(text)), errCut)
	}
}

// Meanwhile does something before each message is passed on.
func Meanwhile(do func(Message)) Fault {
	return func(c Client, m Message) error {
		do(m)
		return passOn(c, m)
	}
}

// Tags of BER.
const (
	berSequence    = 0x30
	berOctets      = 0x04
	berInteger     = 0x02
	berEnumerated  = 0x0a
	ldapControls   = 0xa0
	controlOfPages = "1.2.840.113556.1.4.319" // RFC 2696
)

// done is a SearchResultDone with the number of another message.
func done(m Message, code byte, controls []byte) []byte {
	id := body(m.Bytes)
	id = id[:2+id[1]]
	result := ber(Done, ber(berEnumerated, []byte{code}), ber(berOctets), ber(berOctets, []byte("said the proxy")))
	return ber(berSequence, id, result, controls)
}

// control is a paging control that says that there are no more pages.
func control() []byte {
	value := ber(berSequence, ber(berInteger, []byte{0}), ber(berOctets))
	return ber(ldapControls, ber(berSequence, ber(berOctets, []byte(controlOfPages)), ber(berOctets, value)))
}

// ber is an element of BER, of at most 127 bytes.
func ber(tag byte, parts ...[]byte) []byte {
	value := bytes.Join(parts, nil)
	return append([]byte{tag, byte(len(value))}, value...) //nolint:gosec // see above
}

// body is what a message holds: its number, its operation, its controls.
func body(message []byte) []byte {
	size := 2
	if message[1] >= 0x80 {
		size += int(message[1] & 0x7f)
	}
	return message[size:]
}

// kindOf is the tag of a message's operation, which comes behind its number.
func kindOf(message []byte) byte {
	content := body(message)
	if len(content) < 2 || len(content) <= 2+int(content[1]) {
		return 0
	}
	return content[2+content[1]]
}
