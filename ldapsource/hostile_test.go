package ldapsource

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"go.uber.org/goleak"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// Tags of RFC 4511 and the object identifier of RFC 2696.
const (
	tagEntry     = 4
	tagDone      = 5
	tagReference = 19
	pagedResults = "1.2.840.113556.1.4.319"
)

func octets(text string) *ber.Packet {
	return ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, text, "")
}

func group(class ber.Class, tag ber.Tag, children ...*ber.Packet) *ber.Packet {
	p := ber.Encode(class, ber.TypeConstructed, tag, nil, "")
	for _, c := range children {
		p.AppendChild(c)
	}
	return p
}

func integer(tag ber.Tag, n int64) *ber.Packet {
	return ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, tag, n, "")
}

// message is an LDAPMessage.
func message(id int64, parts ...*ber.Packet) []byte {
	parts = append([]*ber.Packet{integer(ber.TagInteger, id)}, parts...)
	return group(ber.ClassUniversal, ber.TagSequence, parts...).Bytes()
}

// entryMessage is a SearchResultEntry.
func entryMessage(id int64, e Entry) []byte {
	attributes := group(ber.ClassUniversal, ber.TagSequence)
	for _, a := range e.Attributes {
		values := group(ber.ClassUniversal, ber.TagSet)
		for _, v := range a.Values {
			values.AppendChild(octets(string(v)))
		}
		attributes.AppendChild(group(ber.ClassUniversal, ber.TagSequence, octets(a.Name), values))
	}
	return message(id, group(ber.ClassApplication, tagEntry, octets(e.DN), attributes))
}

// doneMessage is a SearchResultDone without controls.
func doneMessage(id, code int64) []byte { return message(id, result(code)) }

func result(code int64) *ber.Packet {
	return group(ber.ClassApplication, tagDone, integer(ber.TagEnumerated, code), octets(""), octets("said the server"))
}

// pageMessage is a successful SearchResultDone with a paging cookie.
func pageMessage(id int64, cookie string) []byte {
	value := group(ber.ClassUniversal, ber.TagSequence, integer(ber.TagInteger, 0), octets(cookie))
	control := group(ber.ClassUniversal, ber.TagSequence, octets(pagedResults), octets(string(value.Bytes())))
	return message(id, result(0), group(ber.ClassContext, 0, control))
}

// referenceMessage is a SearchResultReference.
func referenceMessage(id int64) []byte {
	return message(id, group(ber.ClassApplication, tagReference, octets("ldap://elsewhere.example.org/dc=x")))
}

// search is one search request of a client, counted from 1 on its connection.
type search struct {
	id, n int64
	conn  net.Conn
}

// answer says what a server sends; without more, it closes the connection then.
type answer func(search) (reply []byte, more bool)

// hostile is an LDAPS server that answers searches as a test wants. It gives the configuration to read it.
func hostile(t *testing.T, reply answer) LDAPConfig {
	t.Helper()
	t.Cleanup(func() { goleak.VerifyNone(t) }) // the last of the cleanups: neither side leaves anything behind
	certificate := testenv.NewCertificate(t)
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate.Server}})
	if err != nil {
		t.Fatal(err)
	}
	var servers sync.WaitGroup
	servers.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			servers.Go(func() { converse(conn, reply) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		servers.Wait()
	})
	return LDAPConfig{
		URLs: []string{"ldaps://" + listener.Addr().String()}, Base: base, CAFile: certificate.CAFile,
		PageSize: 2, Timeout: 20 * time.Second,
	}
}

// converse answers the searches of one client until it goes.
func converse(conn net.Conn, reply answer) {
	defer conn.Close()
	reader := bufio.NewReader(conn)
	for n := int64(1); ; n++ {
		packet, err := ber.ReadPacket(reader)
		if err != nil || len(packet.Children) < 2 {
			return
		}
		id, _ := packet.Children[0].Value.(int64)
		text, more := reply(search{id: id, n: n, conn: conn})
		if _, err := conn.Write(text); err != nil || !more {
			return
		}
	}
}

// crew are the users of the hostile servers, two on a page.
func crew() []Entry {
	return []Entry{userEntry("u1", 1, keyText(1)), userEntry("u2", 2, keyText(2)), userEntry("u3", 3, keyText(3)), userEntry("u4", 4, keyText(4))}
}

// honest answers as a server should: two pages of two users. The tests below change one thing about it each.
func honest(s search) []byte {
	first := crew()[2*(s.n-1):]
	cookie := map[int64]string{1: "next", 2: ""}[s.n]
	return bytes.Join([][]byte{entryMessage(s.id, first[0]), entryMessage(s.id, first[1]), pageMessage(s.id, cookie)}, nil)
}

func TestHonest(t *testing.T) {
	got, err := fetch(t, hostile(t, func(s search) ([]byte, bool) { return honest(s), true }))
	if err != nil {
		t.Fatal(err)
	}
	want, err := Decode(crew(), Schema{}, "")
	if err != nil {
		t.Fatal(err)
	}
	if d := diff(users(want), users(got)); d != "" {
		t.Error(d)
	}
}

// TestHostile holds the promise of the package comment: a registry comes whole or not at all.
func TestHostile(t *testing.T) {
	entry := func(s search, e Entry) []byte { return entryMessage(s.id, e) }
	// second changes the second page and leaves the first as it is.
	second := func(change func(s search) []byte) answer {
		return func(s search) ([]byte, bool) {
			if s.n == 1 {
				return honest(s), true
			}
			return change(s), true
		}
	}
	u3 := crew()[2]
	for _, c := range []struct {
		name  string
		reply answer
		want  []string
	}{
		{"closes at once", func(search) ([]byte, bool) { return nil, false }, []string{"page 1", "EOF"}},
		{"closes within page 1", func(s search) ([]byte, bool) { return entry(s, u3), false }, []string{"page 1", "EOF"}},
		{"closes after page 1", func(s search) ([]byte, bool) { return honest(s), false }, []string{"page"}},
		{"closes within a message", func(s search) ([]byte, bool) { return honest(s)[:100], false }, []string{"page 1", "EOF"}},
		{"closes instead of page 2", func(s search) ([]byte, bool) {
			if s.n == 2 {
				return nil, false
			}
			return honest(s), true
		}, []string{"page 2", "EOF"}},
		{"size limit", second(func(s search) []byte { return append(entry(s, u3), doneMessage(s.id, 4)...) }), []string{"page 2", "Size Limit Exceeded"}},
		{"busy", second(func(s search) []byte { return doneMessage(s.id, 51) }), []string{"page 2", "Busy"}},
		{"referral", second(func(s search) []byte { return doneMessage(s.id, 10) }), []string{"page 2", "Referral"}},
		{"continuation", second(func(s search) []byte { return append(referenceMessage(s.id), honest(s)...) }), []string{"page 2", "other places", "elsewhere.example.org"}},
		{"no paging control", second(func(s search) []byte { return append(entry(s, u3), doneMessage(s.id, 0)...) }), []string{"page 2", "no paging control"}},
		{"no paging control at all", func(s search) ([]byte, bool) { return append(entry(s, u3), doneMessage(s.id, 0)...), true }, []string{"page 1", "no paging control"}},
		{"the same page again", func(s search) ([]byte, bool) { return honest(search{n: 1, id: s.id}), true }, []string{"came twice", "page 2"}},
		{"empty pages for ever", func(s search) ([]byte, bool) { return pageMessage(s.id, "on"), true }, []string{"does not end"}},
		{"keys hidden", func(s search) ([]byte, bool) {
			return bytes.Join([][]byte{entry(s, with(u3, "sshPublicKey")), pageMessage(s.id, "")}, nil), true
		}, []string{"none of 1 entries has the attribute sshPublicKey"}},
		{"nobody", func(s search) ([]byte, bool) { return pageMessage(s.id, ""), true }, []string{"none of 0 entries"}},
		{"outside the base", second(func(s search) []byte {
			other := u3
			other.DN = "uid=u3,dc=example,dc=com"
			return append(entry(s, other), pageMessage(s.id, "")...)
		}), []string{"outside the base"}},
		{"a broken name", second(func(s search) []byte {
			other := u3
			other.DN = "u3"
			return append(entry(s, other), pageMessage(s.id, "")...)
		}), []string{`entry "u3"`}},
		{"another's message", second(func(s search) []byte { return append(entryMessage(s.id+7, u3), pageMessage(s.id, "")...) }), []string{"page 2", "unexpected message"}},
		{"a notice of disconnection", second(func(s search) []byte {
			return append(message(0, group(ber.ClassApplication, 24, integer(ber.TagEnumerated, 52), octets(""), octets(""))), honest(s)...)
		}), []string{"page 2", "unexpected message 0"}},
		{"an entry without attributes", second(func(s search) []byte {
			return append(message(s.id, group(ber.ClassApplication, tagEntry, octets(userDN("u3")))), pageMessage(s.id, "")...)
		}), []string{"page 2"}},
		{"no LDAP", func(search) ([]byte, bool) { return []byte("HTTP/1.1 400 Bad Request\r\n\r\n"), false }, []string{"page 1"}},
		{"a message of 2 GiB", func(search) ([]byte, bool) { return []byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff, 0x02}, false }, []string{"page 1"}},
		{"a flood", func(s search) ([]byte, bool) {
			return bytes.Repeat(entry(s, with(u3, "cn", strings.Repeat("x", 1<<20))), 40), true
		}, []string{"page 1", "more than 32 MiB"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := hostile(t, c.reply)
			got, err := fetch(t, config)
			wantError(t, got, err, append(c.want, config.URLs[0])...)
		})
	}
}

// A server that says nothing, before TLS or after, is given up when the time is over.
func TestStalled(t *testing.T) {
	config := hostile(t, func(s search) ([]byte, bool) {
		if s.n == 1 {
			return honest(s), true
		}
		_, _ = s.conn.Read(make([]byte, 1)) // until the client goes
		return nil, false
	})
	config.Timeout = 300 * time.Millisecond
	got, err := fetch(t, config)
	wantError(t, got, err, "page 2", "i/o timeout")

	listener, err := net.Listen("tcp", "127.0.0.1:0") // the kernel accepts, and nobody answers
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	for scheme, want := range map[string]string{"ldap": "StartTLS", "ldaps": "TLS"} {
		config.URLs, config.StartTLS = []string{scheme + "://" + listener.Addr().String()}, true
		got, err := fetch(t, config)
		wantError(t, got, err, want, "i/o timeout")
	}
}

// A server that agrees to StartTLS and then never shakes hands: the library alone would wait for ever.
func TestStalledHandshake(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var server sync.WaitGroup
	server.Go(func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		reader := bufio.NewReader(conn)
		if _, err := ber.ReadPacket(reader); err != nil {
			return
		}
		_, _ = conn.Write(message(1, group(ber.ClassApplication, 24, integer(ber.TagEnumerated, 0), octets(""), octets(""))))
		_, _ = reader.WriteTo(new(bytes.Buffer)) // until the client goes
	})
	got, err := fetch(t, LDAPConfig{URLs: []string{"ldap://" + listener.Addr().String()}, StartTLS: true, Base: base, Timeout: 300 * time.Millisecond})
	wantError(t, got, err, "StartTLS", "i/o timeout")
	listener.Close()
	server.Wait()
}

// A server that refuses StartTLS is not talked to in the clear.
func TestStartTLSRefused(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	heard := make(chan []byte, 1)
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		reader := bufio.NewReader(conn)
		if _, err := ber.ReadPacket(reader); err != nil {
			return
		}
		_, _ = conn.Write(message(1, group(ber.ClassApplication, 24, integer(ber.TagEnumerated, 52), octets(""), octets("no TLS here"))))
		var rest bytes.Buffer
		_, _ = reader.WriteTo(&rest)
		heard <- rest.Bytes()
	}()
	defer listener.Close()
	got, err := fetch(t, LDAPConfig{
		URLs: []string{"ldap://" + listener.Addr().String()}, StartTLS: true, Base: base,
		BindDN: "cn=reader", PasswordFile: file(t, "secret"),
	})
	wantError(t, got, err, "StartTLS", "no TLS here")
	if rest := <-heard; len(rest) > 0 {
		t.Errorf("after the refusal the server heard %q", rest)
	}
}

// A context that ends between two pages ends the read with its own error, not with the first page.
func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	config := hostile(t, func(s search) ([]byte, bool) {
		if s.n == 2 {
			cancel()
		}
		return honest(s), true
	})
	l, err := NewLDAP(config)
	if err != nil {
		t.Fatal(err)
	}
	got, err := l.Fetch(ctx)
	wantError(t, got, err, config.URLs[0])
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v, want context.Canceled", err)
	}
}

// All servers are tried, and the error tells about each.
func TestAllServersFail(t *testing.T) {
	first := hostile(t, func(s search) ([]byte, bool) { return doneMessage(s.id, 51), true })
	first.URLs = append(first.URLs, "ldaps://127.0.0.1:1", "ldapi:///none/ldapi")
	got, err := fetch(t, first)
	wantError(t, got, err, first.URLs[0], "Busy", "127.0.0.1:1", "connection refused", "/none/ldapi", "no such file")
	if n := strings.Count(fmt.Sprint(err), "\n"); n != 2 {
		t.Errorf("%d lines for 3 servers: %v", n+1, err)
	}
}

// FuzzBER: whatever a server sends, the read ends, nothing panics, and entries come only with a complete answer.
func FuzzBER(f *testing.F) {
	one := entryMessage(1, crew()[0])
	f.Add(append(bytes.Clone(one), pageMessage(1, "")...))
	f.Add(append(bytes.Clone(one), append(entryMessage(1, crew()[1]), pageMessage(1, "")...)...))
	f.Add(append(bytes.Clone(one), doneMessage(1, 0)...))
	f.Add(append(bytes.Clone(one), doneMessage(1, 4)...))
	f.Add(append(referenceMessage(1), pageMessage(1, "")...))
	f.Add(append(bytes.Clone(one), pageMessage(1, "more")...))
	f.Add([]byte{0x30, 0x80, 0x02, 0x01, 0x01, 0x65, 0x00})
	l, err := NewLDAP(LDAPConfig{URLs: []string{"ldaps://h"}, Base: base, Timeout: 5 * time.Second})
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
		switch p.Children[1].Tag {
		case tagEntry:
			n++
		case tagDone:
			return n, true
		}
	}
}
