package ldapsource

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"go.uber.org/goleak"
)

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
	want, err := posix().Decode(crew(), "")
	if err != nil {
		t.Fatal(err)
	}
	if d := diff(users(want), users(got)); d != "" {
		t.Error(d)
	}
}

// hostileCase is a server that no registry must come from, and what the error says.
type hostileCase struct {
	name  string
	reply answer
	fault Fault
	want  []string
}

func (c hostileCase) run(t *testing.T) {
	t.Helper()
	t.Run(c.name, func(t *testing.T) {
		config := hostile(t, c.reply)
		got, err := fetch(t, config)
		wantError(t, got, err, append(c.want, config.URLs[0])...)
		wantFault(t, err, c.fault)
	})
}

// second changes the second page and leaves the first as it is.
func second(change func(s search) []byte) answer {
	return func(s search) ([]byte, bool) {
		if s.n == 1 {
			return honest(s), true
		}
		return change(s), true
	}
}

// entry is a SearchResultEntry for a search.
func entry(s search, e Entry) []byte { return entryMessage(s.id, e) }

// TestHostile holds the promise of the package comment: a registry comes whole or not at all.
func TestHostile(t *testing.T) {
	u3 := crew()[2]
	for _, c := range []hostileCase{
		{"closes at once", func(search) ([]byte, bool) { return nil, false }, Lost, []string{"page 1", "EOF"}},
		{"closes within page 1", func(s search) ([]byte, bool) { return entry(s, u3), false }, Lost, []string{"page 1", "EOF"}},
		{"closes after page 1", func(s search) ([]byte, bool) { return honest(s), false }, Lost, []string{"page"}},
		{"closes within a message", func(s search) ([]byte, bool) { return honest(s)[:100], false }, Lost, []string{"page 1", "EOF"}},
		{"closes instead of page 2", func(s search) ([]byte, bool) {
			if s.n == 2 {
				return nil, false
			}
			return honest(s), true
		}, Lost, []string{"page 2", "EOF"}},
		{"size limit", second(func(s search) []byte { return append(entry(s, u3), doneMessage(s.id, 4)...) }), Refused, []string{"page 2", "Size Limit Exceeded"}},
		{"busy", second(func(s search) []byte { return doneMessage(s.id, 51) }), Refused, []string{"page 2", "Busy"}},
		{"referral", second(func(s search) []byte { return doneMessage(s.id, 10) }), Referred, []string{"page 2", "Referral"}},
		{"continuation", second(func(s search) []byte { return append(referenceMessage(s.id), honest(s)...) }), Referred, []string{"page 2", "another place", "elsewhere.example.org"}},
		{"no paging control", second(func(s search) []byte { return append(entry(s, u3), doneMessage(s.id, 0)...) }), Incomplete, []string{"page 2", "no paging control"}},
		{"no paging control at all", func(s search) ([]byte, bool) { return append(entry(s, u3), doneMessage(s.id, 0)...), true }, Incomplete, []string{"page 1", "no paging control"}},
		{"the same page again", func(s search) ([]byte, bool) { return honest(search{n: 1, id: s.id}), true }, Incomplete, []string{"came twice", "page 2"}},
		{"empty pages for ever", func(s search) ([]byte, bool) { return pageMessage(s.id, "on"), true }, Incomplete, []string{"does not end"}},
	} {
		c.run(t)
	}
}

// TestHostileEntries goes on with servers that end the search well but send what cannot be right.
func TestHostileEntries(t *testing.T) {
	u3 := crew()[2]
	for _, c := range []hostileCase{
		{"keys hidden", func(s search) ([]byte, bool) {
			return bytes.Join([][]byte{entry(s, with(u3, "sshPublicKey")), pageMessage(s.id, "")}, nil), true
		}, Hidden, []string{"none of 1 entries has the attribute sshPublicKey"}},
		{"nobody", func(s search) ([]byte, bool) { return pageMessage(s.id, ""), true }, Hidden, []string{"none of 0 entries"}},
		{"outside the base", second(func(s search) []byte {
			other := u3
			other.DN = "uid=u3,dc=example,dc=com"
			return append(entry(s, other), pageMessage(s.id, "")...)
		}), Foreign, []string{"outside the base"}},
		{"a broken name", second(func(s search) []byte {
			other := u3
			other.DN = "u3"
			return append(entry(s, other), pageMessage(s.id, "")...)
		}), Foreign, []string{`entry "u3"`}},
		{"another's message", second(func(s search) []byte { return append(entryMessage(s.id+7, u3), pageMessage(s.id, "")...) }), Malformed, []string{"page 2", "unexpected message"}},
		{"a notice of disconnection", second(func(s search) []byte {
			return append(message(0, group(ber.ClassApplication, 24, integer(ber.TagEnumerated, 52), octets(""), octets(""))), honest(s)...)
		}), Malformed, []string{"page 2", "unexpected message 0"}},
		{"an entry without attributes", second(func(s search) []byte {
			return append(message(s.id, group(ber.ClassApplication, tagEntry, octets(userDN("u3")))), pageMessage(s.id, "")...)
		}), Malformed, []string{"page 2"}},
		{"no LDAP", func(search) ([]byte, bool) { return []byte("HTTP/1.1 400 Bad Request\r\n\r\n"), false }, Malformed, []string{"page 1"}},
		{"a message of 2 GiB", func(search) ([]byte, bool) { return []byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff, 0x02}, false }, Malformed, []string{"page 1", "a message of 2147483647 bytes"}},
		{"an entry that is no message", second(func(s search) []byte {
			lost := bytes.Clone(entry(s, u3))
			lost[0] = byte(ber.TagOctetString)
			return append(lost, pageMessage(s.id, "")...)
		}), Malformed, []string{"page 2", "no LDAP message"}},
		{"an entry without a number", second(func(s search) []byte {
			whole := message(s.id, group(ber.ClassApplication, tagEntry, octets(userDN("u3"))))
			whole[2] = byte(ber.TagOctetString)
			return append(whole, pageMessage(s.id, "")...)
		}), Malformed, []string{"page 2", "no LDAP message"}},
		{"a flood", func(s search) ([]byte, bool) {
			return bytes.Repeat(entry(s, with(u3, "cn", strings.Repeat("x", 1<<20))), 40), true
		}, Malformed, []string{"page 1", "a message of 1048895 bytes"}},
		{"a flood of entries", func(s search) ([]byte, bool) {
			return bytes.Repeat(entry(s, with(u3, "cn", strings.Repeat("x", 1<<19))), 40), true
		}, Malformed, []string{"page 1", "more than 4 MiB"}},
	} {
		c.run(t)
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
	l, err := NewLDAP(filled(config))
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
