package ldapsource

import (
	"slices"
	"testing"
	"time"

	ber "github.com/go-asn1-ber/asn1-ber"
)

// Object identifiers of RFC 4533.
const (
	syncState = "1.3.6.1.4.1.4203.1.9.1.2"
	syncInfo  = "1.3.6.1.4.1.4203.1.9.1.4"
)

// Members of RFC 4533's SyncInfoMessage.
const (
	newCookie      = 0
	refreshDelete  = 1
	refreshPresent = 2
	syncIDSet      = 3
)

// told is a SearchResultEntry with a state; without attributes the entry is gone.
func told(id int64, e Entry, state int64, number byte) []byte {
	value := group(ber.ClassUniversal, ber.TagSequence, integer(ber.TagEnumerated, state), octets(string(number16(number))))
	control := group(ber.ClassUniversal, ber.TagSequence, octets(syncState), octets(string(value.Bytes())))
	plain, _ := ber.DecodePacketErr(entryMessage(id, e))
	return message(id, plain.Children[1], group(ber.ClassContext, 0, control))
}

// number16 is the UUID of an entry of the tests.
func number16(n byte) []byte { return append(make([]byte, 15), n) }

// intermediate is a message about many entries.
func intermediate(id int64, tag ber.Tag, parts ...*ber.Packet) []byte {
	value := group(ber.ClassContext, tag, parts...)
	if tag == newCookie {
		value = ber.NewString(ber.ClassContext, ber.TypePrimitive, tag, "csn=1", "")
	}
	return message(id, group(ber.ClassApplication, 25,
		ber.NewString(ber.ClassContext, ber.TypePrimitive, 0, syncInfo, ""), ber.NewString(ber.ClassContext, ber.TypePrimitive, 1, string(value.Bytes()), "")))
}

// idSet names entries by number.
func idSet(id int64, deletes bool, numbers ...byte) []byte {
	ids := group(ber.ClassUniversal, ber.TagSet)
	for _, n := range numbers {
		ids.AppendChild(octets(string(number16(n))))
	}
	return intermediate(id, syncIDSet, ber.NewBoolean(ber.ClassUniversal, ber.TypePrimitive, ber.TagBoolean, deletes, ""), ids)
}

// Whatever a server tells that cannot be said of one user is said of everybody, and so is the end of what it tells.
func TestNoticeDoubts(t *testing.T) {
	alice, bob := userEntry("alice", 3001, keyText(1)), userEntry("bob", 3002, keyText(2))
	named := func(names ...string) Entry { return with(alice, "uid", names...) }
	for name, c := range map[string]struct {
		tell func(id int64) []byte
		want []string
		lost bool
	}{
		"a change":                    {func(id int64) []byte { return told(id, alice, 2, 1) }, []string{"alice"}, false},
		"a known one is gone":         {func(id int64) []byte { return told(id, Entry{DN: alice.DN}, 3, 1) }, []string{"alice"}, false},
		"an unknown one is gone":      {func(id int64) []byte { return told(id, Entry{DN: "uid=x"}, 3, 9) }, []string{""}, false},
		"gone twice":                  {func(id int64) []byte { return slices.Concat(told(id, bob, 3, 2), told(id, bob, 3, 2)) }, []string{"bob", ""}, false},
		"known ones are gone":         {func(id int64) []byte { return idSet(id, true, 1, 2) }, []string{"alice", "bob"}, false},
		"an unknown one among them":   {func(id int64) []byte { return idSet(id, true, 2, 9) }, []string{"bob", ""}, false},
		"present ones, one unknown":   {func(id int64) []byte { return idSet(id, false, 2, 9) }, []string{""}, false},
		"another user's entry now":    {func(id int64) []byte { return told(id, named("carol"), 2, 1) }, []string{""}, false},
		"an entry without a user":     {func(id int64) []byte { return told(id, named(), 2, 1) }, []string{""}, false},
		"an entry of two users":       {func(id int64) []byte { return told(id, named("alice", "carol"), 2, 1) }, []string{""}, false},
		"no state":                    {func(id int64) []byte { return entryMessage(id, alice) }, []string{""}, true},
		"e-syncRefreshRequired":       {func(id int64) []byte { return doneMessage(id, 4096) }, []string{""}, true},
		"newer than the provider":     {func(id int64) []byte { return doneMessage(id, 53) }, []string{""}, true},
		"success":                     {func(id int64) []byte { return doneMessage(id, 0) }, []string{""}, true},
		"no message":                  {func(int64) []byte { return []byte("HTTP/1.1 400 Bad Request\r\n\r\n") }, []string{""}, true},
		"an intermediate of no form":  {func(id int64) []byte { return message(id, group(ber.ClassApplication, 25)) }, []string{""}, true},
		"a cookie, and then a change": {func(id int64) []byte { return slices.Concat(intermediate(id, newCookie), told(id, bob, 2, 2)) }, []string{"bob"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			begun, again := 0, make(chan struct{})
			l := listen(t, hostile(t, func(s search) ([]byte, bool) {
				switch {
				case slices.Contains(s.attributes, "sshPublicKey"):
					return slices.Concat(entryMessage(s.id, alice), entryMessage(s.id, bob), pageMessage(s.id, "")), true
				case s.base == "":
					return slices.Concat(entryMessage(s.id, Entry{Attributes: []Attribute{attribute("supportedControl", syncRequest)}}), doneMessage(s.id, 0)), true
				case s.n == 1: // over a connection of its own
					begun++
					if begun == 2 {
						close(again)
					}
					refresh := slices.Concat(told(s.id, alice, 1, 1), told(s.id, bob, 1, 2), intermediate(s.id, refreshDelete))
					if begun > 1 { // the second time it is all
						return refresh, true
					}
					return slices.Concat(refresh, c.tell(s.id)), true
				}
				return pageMessage(s.id, ""), true
			}))
			l.by(BySync)
			l.hears(append(c.want, "")...)
			if c.lost {
				select {
				case <-again:
				case <-time.After(patience):
					t.Error("the server was not asked again")
				}
			}
		})
	}
}
