package ldapsource

import (
	"bufio"
	"crypto/tls"
	"net"
	"sync"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
	"go.uber.org/goleak"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// Tags of RFC 4511 and the object identifier of RFC 2696.
const (
	tagSearch    = 3
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
	// base and attributes are what was asked for.
	base       string
	attributes []string
	cookie     string // of the paging control
}

// answer says what a server sends; without more, it closes the connection then.
type answer func(search) (reply []byte, more bool)

// hostile is an LDAPS server that answers searches as a test wants. It gives the configuration to read it.
func hostile(t *testing.T, reply answer) LDAPConfig {
	t.Helper()
	others := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, others) }) // the last of the cleanups: neither side leaves anything behind
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
		asked := search{id: id, n: n, conn: conn}
		if request := packet.Children[1]; request.Tag == tagSearch && len(request.Children) == 8 {
			asked.base, _ = request.Children[0].Value.(string)
			for _, a := range request.Children[7].Children {
				name, _ := a.Value.(string)
				asked.attributes = append(asked.attributes, name)
			}
		}
		if len(packet.Children) == 3 {
			controls := packet.Children[2].Children
			for _, part := range controls[len(controls)-1].Children {
				if value, err := ber.DecodePacketErr(part.ByteValue); err == nil && len(value.Children) == 2 {
					asked.cookie, _ = value.Children[1].Value.(string)
				}
			}
		}
		text, more := reply(asked)
		if _, err := conn.Write(text); err != nil || !more {
			return
		}
	}
}
