package ldapsource

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// listener is a test's ear at a registry.
type listener struct {
	*LDAP

	t     *testing.T
	names chan string
	ways  chan Way
	end   context.CancelFunc
}

// listen reads a registry once and watches it then. Polls may be nearer to each other than the configuration lets them.
func listen(t *testing.T, c LDAPConfig) *listener {
	t.Helper()
	others := goleak.IgnoreCurrent()
	poll := c.Poll
	c.Poll = 0
	source, err := NewLDAP(filled(c))
	if err != nil {
		t.Fatal(err)
	}
	source.config.Poll = cmp.Or(poll, source.config.Poll)
	l := &listener{LDAP: source, t: t, names: make(chan string, 1000), ways: make(chan Way, 1000)}
	source.Noticing = func(_ string, by Way, err error) {
		t.Logf("by %s: %v", by, err)
		l.ways <- by
	}
	ctx, cancel := context.WithCancel(t.Context())
	var watch sync.WaitGroup
	watch.Go(func() { source.Watch(ctx, func(name string) { l.names <- name }) })
	l.end = func() {
		cancel()
		watch.Wait()
		goleak.VerifyNone(t, others, goleak.IgnoreAnyFunction("os/exec.(*Cmd).Start.func2"), // a server's that was started again
			goleak.IgnoreAnyFunction("github.com/keyreeve/keyreeve/internal/testenv.(*Slapd).Start.func1"))
	}
	t.Cleanup(l.end)
	if _, err := source.Fetch(ctx); err != nil {
		t.Fatal(err)
	}
	return l
}

const (
	patience = 20 * time.Second
	// aSecond is between two polls: the second of a stamp is over then.
	aSecond = 1100 * time.Millisecond
)

// by waits until changes are noticed in a way.
func (l *listener) by(want Way) {
	l.t.Helper()
	for end := time.After(patience); ; {
		select {
		case got := <-l.ways:
			if got == want {
				return
			}
		case <-end:
			l.t.Fatalf("not noticed by %s", want)
		}
	}
}

// hears waits until all names were named, and fails the test on others.
func (l *listener) hears(want ...string) {
	l.t.Helper()
	missing := make(map[string]bool)
	for _, name := range want {
		missing[name] = true
	}
	for end := time.After(patience); len(missing) > 0; {
		select {
		case got := <-l.names:
			if !slices.Contains(want, got) {
				l.t.Errorf("heard %q, want %q", got, want)
			}
			delete(missing, got)
		case <-end:
			l.t.Fatalf("not heard: %v", missing)
		}
	}
}

// replacing is a change of a user's keys.
func replacing(name string, key byte) string {
	return fmt.Sprintf("dn: %s\nchangetype: modify\nreplace: sshPublicKey\nsshPublicKey: %s\n", userDN(name), keyText(key))
}

// adding is the change that makes an entry.
func adding(e Entry) string {
	_, addition, _ := strings.Cut(strings.Replace(render([]Entry{e}), "\nobjectClass", "\nchangetype: add\nobjectClass", 1), "\n\n")
	return addition
}

// Each change of a user is told at once, by name, whether it makes, changes, renames or deletes an entry, or takes it out of the
// filter; what is nobody's is not.
func TestNoticeBySync(t *testing.T) {
	s := testenv.StartSlapdWith(t, render(people()), testenv.SlapdSetup{Sync: true})
	c := config(s)
	c.Poll = mostPoll
	l := listen(t, c)
	l.by(BySync)
	l.hears("")
	for _, step := range []struct {
		change string
		want   []string
	}{
		{replacing("odd", 70), []string{"odd"}},
		{adding(userEntry("new", 4100, keyText(71))), []string{"new"}},
		{"dn: ou=others," + testenv.SlapdBase + "\nchangetype: add\nobjectClass: organizationalUnit\n\n" + replacing("user3", 72), []string{"user3"}},
		{"dn: " + userDN("user4") + "\nchangetype: modrdn\nnewrdn: uid=renamed\ndeleteoldrdn: 1\n", []string{""}},
		{"dn: " + userDN("user5") + "\nchangetype: modify\ndelete: sshPublicKey\n-\ndelete: objectClass\nobjectClass: ldapPublicKey\n", []string{"user5"}},
		{"dn: " + userDN("user5") + "\nchangetype: modify\nadd: objectClass\nobjectClass: ldapPublicKey\n", []string{"user5"}},
		{"dn: " + userDN("new") + "\nchangetype: delete\n", []string{"new"}},
		{"dn: " + userDN("renamed") + "\nchangetype: delete\n", []string{"renamed"}},
	} {
		s.Modify(step.change)
		l.hears(step.want...)
	}
}

// A server that goes is an occasion to read everything, and so is one that is back; then it is listened to again.
func TestNoticeOutlivesServer(t *testing.T) {
	for name, setup := range map[string]testenv.SlapdSetup{"sync": {Sync: true}, "poll": {}} {
		t.Run(name, func(t *testing.T) {
			s := testenv.StartSlapdWith(t, render(people()), setup)
			c := config(s)
			c.Poll = aSecond
			l := listen(t, c)
			l.by(Way(name))
			for _, end := range []func(){s.Kill, s.Stop} {
				end()
				l.by(ByRefresh)
				s.Start()
				l.by(Way(name))
				l.drain()
				s.Modify(replacing("user7", 73))
				l.hears("user7")
			}
		})
	}
}

// drain forgets what was heard: everything, and everybody whose stamp was new to a poll.
func (l *listener) drain() {
	for quiet := time.After(2*l.config.Poll + l.config.Poll/2); ; {
		select {
		case <-l.names:
		case <-quiet:
			return
		}
	}
}

// Without syncprov entries with a new stamp are asked for: two changes in one second are told of both, and a deletion is not seen.
func TestNoticeByPoll(t *testing.T) {
	s := testenv.StartSlapd(t, render(people()))
	c := config(s)
	c.Poll = aSecond
	l := listen(t, c)
	l.by(ByPoll)
	l.drain()
	for range 3 {
		s.Modify("dn: " + userDN("user1") + "\nchangetype: delete\n\n" + replacing("user2", 74))
		l.hears("user2")
		s.Modify(replacing("user2", 75))
		l.hears("user2")
		s.Modify(adding(userEntry("user1", 4100)))
		for name := ""; name != "user1"; { // and perhaps of the other one once more
			select {
			case name = <-l.names:
			case <-time.After(patience):
				t.Fatal("an entry that was made is not heard of")
			}
		}
	}
}

// A reader whom the server's limit of size keeps from listening polls, page by page.
func TestNoticeRefused(t *testing.T) {
	s := testenv.StartSlapdWith(t, render(append(people(), with(userEntry("reader", 4900), "userPassword", "secret"))), testenv.SlapdSetup{
		Sync: true, Database: "limits dn.exact=\"" + userDN("reader") + "\" size.soft=9 size.hard=9 size.prtotal=unlimited\n",
	})
	c := secured(s, s.LDAPS)
	c.BindDN, c.PasswordFile, c.Poll = userDN("reader"), file(t, "secret"), aSecond
	l := listen(t, c)
	l.by(ByPoll)
	l.drain()
	s.Modify(replacing("user8", 76))
	l.hears("user8")
}
