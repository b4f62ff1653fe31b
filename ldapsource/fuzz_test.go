package ldapsource

import (
	"bytes"
	"net"
	"strings"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// FuzzBER: whatever a server sends, the read ends, nothing panics, and entries come only with a complete answer.
func FuzzBER(f *testing.F) {
	one := entryMessage(1, crew()[0])
	add := func(parts ...[]byte) { f.Add(bytes.Join(parts, nil), []byte{}) }
	add(one, pageMessage(1, ""))
	add(one, entryMessage(1, crew()[1]), pageMessage(1, ""))
	add(one, doneMessage(1, 0))
	add(one, doneMessage(1, 4))
	add(referenceMessage(1), pageMessage(1, ""))
	f.Add(bytes.Join([][]byte{one, pageMessage(1, "more")}, nil), append(entryMessage(2, crew()[1]), pageMessage(2, "")...))
	many := userEntry("many", 2, manyKeys(4)...)
	rest := part(many, 0, 9)
	rest.Attributes[len(rest.Attributes)-1].Name = "sshPublicKey;range=0-*"
	f.Add(bytes.Join([][]byte{entryMessage(1, part(many, 0, 2)), pageMessage(1, "")}, nil), append(entryMessage(2, rest), doneMessage(2, 0)...))
	add([]byte{0x04, 0x03, 'u', '6', 0x02}, one, pageMessage(1, "")) // the library skips what is no message
	add([]byte{0x30, 0x80, 0x02, 0x01, 0x01, 0x65, 0x00})
	l, err := NewLDAP(filled(LDAPConfig{URLs: []string{"ldaps://h"}, Base: base, Timeout: 300 * time.Millisecond}))
	if err != nil {
		f.Fatal(err)
	}
	l.config.Referrals = []string{"ldap://elsewhere.example.org/dc=x"}
	f.Fuzz(func(t *testing.T, reply, second []byte) {
		client, server := net.Pipe()
		go func() {
			defer server.Close()
			if _, err := ber.ReadPacket(server); err != nil {
				return
			}
			_, _ = server.Write(reply)
			if _, whole := countEntries(reply, 1); !whole {
				return
			}
			if _, err := ber.ReadPacket(server); err != nil { // until the client goes or asks for more
				return
			}
			_, _ = server.Write(second)
			if _, whole := countEntries(second, 2); whole {
				_, _ = ber.ReadPacket(server)
			}
		}()
		g := &guard{Conn: client}
		c := newConn(t.Context(), g, g, false, l.config.Timeout)
		defer c.close()
		entries, err := l.search(t.Context(), c, l.all())
		switch {
		case err != nil && entries != nil:
			t.Errorf("%d entries came with the error %v", len(entries), err)
		case err == nil:
			if n, whole := countEntries(reply, 1); !whole || len(entries) < n || (len(second) == 0 && len(entries) > n) {
				t.Errorf("%d entries without an error, the server sent %d (whole: %t)", len(entries), n, whole)
			}
			for _, e := range entries {
				for _, a := range e.Attributes {
					if strings.Contains(strings.ToLower(a.Name), ";range=") {
						t.Errorf("a part of an attribute is taken for the whole: %q", a.Name)
					}
				}
			}
		}
	})
}

// countEntries counts the entries before the end of one search in a server's bytes; whole says that there is an end.
func countEntries(reply []byte, search int64) (n int, whole bool) {
	for reader := bytes.NewReader(reply); ; {
		p, err := ber.ReadPacket(reader)
		if err != nil || len(p.Children) < 2 {
			return n, false
		}
		if id, ok := p.Children[0].Value.(int64); !ok || id != search {
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
