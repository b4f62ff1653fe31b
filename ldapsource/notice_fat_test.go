package ldapsource

import (
	"fmt"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// Who gives himself megabytes of names keeps nobody's change from being noticed, and the server is listened to again when they are gone.
func TestNoticeBesideFatNames(t *testing.T) {
	for name, setup := range map[string]testenv.SlapdSetup{"poll": {}, "sync": {Sync: true}} {
		t.Run(name, func(t *testing.T) {
			s := testenv.StartSlapdWith(t, render(people()), setup)
			c := config(s)
			c.Poll = aSecond
			l := listen(t, c)
			l.by(Way(name))
			l.drain()
			var names strings.Builder
			fmt.Fprintf(&names, "dn: %s\nchangetype: modify\nadd: uid\n", userDN("user7"))
			for i := range 5000 {
				fmt.Fprintf(&names, "uid: m-%08d-%s\n", i, strings.Repeat("x", 240))
			}
			s.Modify(names.String())
			l.hears("")
			if name == "sync" {
				l.by(ByPoll)
			}
			if _, err := l.Fetch(t.Context()); err != nil {
				t.Fatal(err)
			}
			l.drain()
			s.Modify(replacing("user3", 72))
			l.hears("user3")
			s.Modify("dn: " + userDN("user7") + "\nchangetype: modify\nreplace: uid\nuid: user7\n")
			if _, err := l.Fetch(t.Context()); err != nil {
				t.Fatal(err)
			}
			if name == "sync" {
				l.by(BySync)
			}
			l.drain()
			s.Modify(replacing("user4", 73))
			l.hears("user4")
		})
	}
}
