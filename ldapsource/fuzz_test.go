package ldapsource

import (
	"bytes"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// FuzzBER: whatever a server sends, the read ends, nothing panics, and entries come only with a complete answer.
func FuzzBER(f *testing.F) {
	one := entryMessage(1, crew()[0])
	f.Add(append(bytes.Clone(one), pageMessage(1, "")...))
	f.Add(append(bytes.Clone(one), append(entryMessage(1, crew()[1]), pageMessage(1, "")...)...))
	f.Add(append(bytes.Clone(one), doneMessage(1, 0)...))
	f.Add(append(bytes.Clone(one), doneMessage(1, 4)...))
	f.Add(append(referenceMessage(1), pageMessage(1, "")...))
	f.Add(append(bytes.Clone(one), pageMessage(1, "more")...))
	f.Add(append([]byte{0x04, 0x03, 'u', '6', 0x02}, append(bytes.Clone(one), pageMessage(1, "")...)...)) // the library skips what is no message
	f.Add([]byte{0x30, 0x80, 0x02, 0x01, 0x01, 0x65, 0x00})
	l, err := NewLDAP(filled(LDAPConfig{URLs: []string{"ldaps://h"}, Base: base, Timeout: 5 * time.Second}))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, reply []byte) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			if _, err := ber.ReadPacket(server); err != nil {
				return
			}
			_, _ = server.Write(reply)
			if _, whole := countEntries(reply); whole {
				_, _ = ber.ReadPacket(server) // until the client goes or asks for more
			}
		}()
		g := &guard{Conn: client}
		c := newConn(t.Context(), g, g, false, l.config.Timeout)
		defer c.close()
		entries, err := l.search(t.Context(), c)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			t.Error("the read did not end by itself")
		case err != nil && entries != nil:
			t.Errorf("%d entries came with the error %v", len(entries), err)
		case err == nil:
			if n, whole := countEntries(reply); !whole || n != len(entries) {
				t.Errorf("%d entries without an error, the server sent %d (whole: %t)", len(entries), n, whole)
			}
		}
	})
}

// countEntries counts the entries before the end of the first search in a server's bytes; whole says that there is an end.
func countEntries(reply []byte) (n int, whole bool) {
	for reader := bytes.NewReader(reply); ; {
		p, err := ber.ReadPacket(reader)
		if err != nil || len(p.Children) < 2 {
			return n, false
		}
		if id, ok := p.Children[0].Value.(int64); !ok || id != 1 {
			return n, false // an answer to nothing
		}
		if p.Children[1].Tag == tagDone {
			return n, true
		}
		if p.Children[1].Tag == tagEntry {
			n++
		}
	}
}
