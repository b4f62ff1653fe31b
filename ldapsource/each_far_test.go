package ldapsource

import (
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// distant is a way to a server on which each byte takes half of a round trip. It gives the address of its near end.
func distant(t *testing.T, address string, trip time.Duration) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var ends sync.WaitGroup
	t.Cleanup(func() {
		listener.Close()
		ends.Wait()
	})
	ends.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", address)
			if err != nil {
				near.Close()
				return
			}
			ends.Go(func() { carry(far, near, trip/2) })
			ends.Go(func() { carry(near, far, trip/2) })
		}
	})
	return listener.Addr().String()
}

// carry brings bytes from one connection to another, each so much later.
func carry(to, from net.Conn, later time.Duration) {
	type load struct {
		due  time.Time
		text []byte
	}
	loads := make(chan load, 10_000)
	go func() {
		defer close(loads)
		for {
			text := make([]byte, 64<<10)
			n, err := from.Read(text)
			loads <- load{time.Now().Add(later), text[:n]}
			if err != nil {
				return
			}
		}
	}()
	for l := range loads {
		time.Sleep(time.Until(l.due))
		_, _ = to.Write(l.text)
	}
	to.Close()
}

// Somebody's fat entry does not make a reading take a round trip for each user: with a thousand users and this distance that would be
// more than a reading may take.
func TestFatFarAway(t *testing.T) {
	const trip = 40 * time.Millisecond
	entries := []Entry{fat("fat", 9000, 3, 600<<10)}
	for i := range 1000 {
		entries = append(entries, userEntry(fmt.Sprint("u", i), 3000+i, keyText(byte(i))))
	}
	entries = append(entries, fat("zfat", 9001, 3, 600<<10))
	s := testenv.StartSlapd(t, render(entries))
	c := secured(s, "ldaps://"+distant(t, strings.TrimPrefix(s.LDAPS, "ldaps://"), trip))
	c.PageSize, c.Timeout = 100, 1500*time.Millisecond
	began := time.Now()
	got, err := fetch(t, c)
	if err != nil || got.Len() != 1002 || got.Keys() != 1000 {
		t.Fatalf("%v, %v after %s", got, err, time.Since(began))
	}
	t.Log(time.Since(began))
}

// What was deleted or renamed since it was listed costs no reading, and nobody is lost by it.
func TestFatMeanwhile(t *testing.T) {
	alice, bob, fat := userEntry("alice", 3001, keyText(1)), userEntry("bob", 3002, keyText(2)), fat("fat", 9000, 3, 600<<10)
	moved := bob
	moved.DN = "uid=bob,ou=others," + base
	for name, c := range map[string]struct {
		after []Entry // what there is when bob is asked for
		code  int64   // what the server says of him then
		users int
	}{
		"deleted":     {[]Entry{fat, alice}, 32, 2},
		"not found":   {[]Entry{fat, alice}, 0, 2},
		"renamed":     {[]Entry{fat, alice, moved}, 32, 3},
		"there again": {[]Entry{fat, alice, bob}, 32, 3},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			now := directory(fat, alice, bob)
			changed := false
			got, err := fetch(t, hostile(t, func(s search) ([]byte, bool) {
				mu.Lock()
				defer mu.Unlock()
				if s.base == bob.DN && !changed {
					changed, now = true, directory(c.after...)
					return doneMessage(s.id, c.code), true
				}
				return now(s)
			}))
			if err != nil || got.Len() != c.users || got.Keys() != c.users-1 {
				t.Errorf("%+v, %v", users(got), err)
			}
		})
	}
}
