package notify_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/notify"
)

// clerk tells nobody, and writes down whom he was to tell.
type clerk struct {
	*notify.Teller

	mu      sync.Mutex
	told    []notify.Event
	trouble []string
	fail    error
	slow    time.Duration
	tries   int
	begun   time.Time
	stop    func() int
}

// newClerk starts a Teller, within a bubble of synctest.
func newClerk(t *testing.T) *clerk {
	t.Helper()
	c := &clerk{begun: time.Now()}
	c.Teller = notify.NewTeller(c.tell, time.Hour, func(err error, failed int) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.trouble = append(c.trouble, fmt.Sprint(failed, " ", err))
	})
	ctx, cancel := context.WithCancel(t.Context())
	left := make(chan int)
	go func() { left <- c.Run(ctx) }()
	c.stop = func() int {
		cancel()
		return <-left
	}
	return c
}

func (c *clerk) tell(ctx context.Context, e notify.Event) error {
	c.mu.Lock()
	slow := c.slow
	c.tries++
	c.mu.Unlock()
	select {
	case <-time.After(slow):
	case <-ctx.Done():
		return ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fail == nil {
		c.told = append(c.told, e)
	}
	return c.fail
}

// is has the clerk fail, and be slow.
func (c *clerk) is(fail error, slow time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail, c.slow = fail, slow
}

// loses notes that a user lost a key.
func (c *clerk) loses(user, comment string) {
	e := lost(loss(comment))
	e.User, e.First, e.Last = user, time.Now(), time.Now()
	c.Note(e)
}

// words are what was told, and how long after the beginning the last time was.
func (c *clerk) words() (list []string) {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.told {
		var comments []string
		for _, l := range e.Removed {
			comments = append(comments, l.Comment)
		}
		list = append(list, fmt.Sprintf("%s: %d changes in %v: %s +%d", e.User, e.Changes, e.Last.Sub(e.First), strings.Join(comments, ","), e.More))
	}
	c.told = nil
	return list
}

func (c *clerk) want(t *testing.T, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, c.words()); diff != "" {
		t.Errorf("after %v: %s", time.Since(c.begun), diff)
	}
}

// A user who writes the same again and again, or another key each second, is told once an hour.
func TestTellerCoalesces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClerk(t)
		c.loses("alice", "one")
		c.loses("alice", "two")
		c.loses("bob", "three")
		c.want(t)
		time.Sleep(2 * time.Second)
		c.want(t, "alice: 2 changes in 0s: one,two +0", "bob: 1 changes in 0s: three +0")
		for i := range 1000 {
			c.loses("alice", fmt.Sprint(i%25))
			c.loses("carol", "the same")
			time.Sleep(900 * time.Millisecond)
		}
		c.want(t, "carol: 3 changes in 1.8s: the same +0")
		time.Sleep(time.Hour)
		var twenty []string
		for i := range 20 {
			twenty = append(twenty, fmt.Sprint(i))
		}
		// Of five keys that are not named it is not known whether they are the same.
		c.want(t, "alice: 1000 changes in 14m59.1s: "+strings.Join(twenty, ",")+" +200", "carol: 997 changes in 14m56.4s: the same +0")
		time.Sleep(2 * time.Hour)
		c.loses("alice", "later")
		time.Sleep(2 * time.Second)
		c.want(t, "alice: 1 changes in 0s: later +0")
		if left := c.stop(); left != 0 || len(c.trouble) != 0 {
			t.Errorf("%d left, %q", left, c.trouble)
		}
	})
}

// One who tells slowly, or not at all, is not waited for by who notes; what failed is told with what comes later, thrice at most; and trouble is
// told once.
func TestTellerFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClerk(t)
		c.is(errors.New("no"), 30*time.Second)
		begun := time.Now()
		for i := range 100 {
			c.loses(fmt.Sprintf("user%d", i), "x")
		}
		if time.Since(begun) != 0 {
			t.Error("it was waited for")
		}
		time.Sleep(time.Minute)
		c.is(errors.New("no"), 0)
		time.Sleep(time.Minute)
		c.want(t)
		if len(c.trouble) != 1 || !strings.HasPrefix(c.trouble[0], "0 tell user") || !strings.HasSuffix(c.trouble[0], ": no") {
			t.Errorf("trouble: %q", c.trouble)
		}
		c.loses("user7", "y")
		time.Sleep(time.Hour)
		c.is(nil, 0)
		time.Sleep(time.Hour)
		if words := c.words(); len(words) != 100 || !strings.Contains(strings.Join(words, "\n"), "user7: 2 changes in 2m0s: x,y +0") {
			t.Errorf("%d: %q", len(words), words)
		}
		if len(c.trouble) != 2 || !strings.HasSuffix(c.trouble[1], "<nil>") {
			t.Errorf("trouble: %q", c.trouble)
		}
		c.is(errors.New("no"), 0)
		c.loses("alice", "x")
		time.Sleep(4 * time.Hour)
		c.is(nil, 0)
		time.Sleep(4 * time.Hour)
		c.want(t)
		c.stop()
	})
}

// At the end those who wait are told, as far as that is done in three seconds; the number of the others is known.
func TestTellerEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClerk(t)
		c.loses("alice", "one")
		time.Sleep(3 * time.Second)
		c.loses("alice", "two")
		c.loses("bob", "three")
		if left := c.stop(); left != 0 {
			t.Errorf("%d left", left)
		}
		c.want(t, "alice: 1 changes in 0s: one +0", "bob: 1 changes in 0s: three +0", "alice: 1 changes in 0s: two +0")
		c = newClerk(t)
		c.is(nil, time.Minute)
		c.loses("alice", "one")
		time.Sleep(3 * time.Second) // he is being told
		c.loses("bob", "two")
		begun := time.Now()
		if left := c.stop(); left != 2 || time.Since(begun) != 3*time.Second {
			t.Errorf("%d left after %v", left, time.Since(begun))
		}
		c = newClerk(t)
		c.is(errors.New("no"), 0)
		for i := range 100 {
			c.loses(fmt.Sprint(i), "x")
		}
		if left := c.stop(); left != 100 || c.tries != 5 {
			t.Errorf("%d left after %d tries", left, c.tries)
		}
	})
}

// Memory is bounded, whoever loses keys, and free again when their time is over; nobody is told where nobody is to be.
func TestTellerIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClerk(t)
		c.Set(c.tell, time.Minute)
		for i := range 10_100 {
			c.loses(fmt.Sprint(i), "x")
		}
		time.Sleep(2 * time.Second)
		if words := c.words(); len(words) != 10_000 || len(c.trouble) != 1 || !strings.Contains(c.trouble[0], notify.ErrCrowd.Error()) {
			t.Errorf("%d words, %q", len(words), c.trouble)
		}
		time.Sleep(2 * time.Minute)
		c.loses("alice", "x")
		time.Sleep(2 * time.Second)
		c.want(t, "alice: 1 changes in 0s: x +0")
		c.loses("alice", "y")
		c.Set(nil, time.Hour)
		c.loses("alice", "z")
		time.Sleep(2 * time.Hour)
		c.want(t)
		c.Set(c.tell, time.Minute)
		c.loses("alice", "x")
		time.Sleep(2 * time.Second)
		c.want(t, "alice: 1 changes in 0s: x +0")
		c.stop()
	})
}

// The JSON is a contract.
func TestJSON(t *testing.T) {
	e := lost(loss("\x1b[2J \u202e é "+strings.Repeat("x", 1000)), notify.Loss{File: "/home/alice/.ssh/\xff\n", Reason: "symlink", Detail: "the whole file was replaced"}.Plain())
	e.Mail, e.More, e.Text = "alice@example.org", 2, []string{"Schlüssel"}
	text, err := e.JSON()
	if err != nil {
		t.Fatal(err)
	}
	want := `{"version":1,"user":"alice","uid":2001,"mail":"alice@example.org","host":"login1","first":"2026-11-26T12:00:00Z","last":"2026-11-26T12:00:00Z","changes":1,` +
		`"removed":[{"file":"/home/alice/.ssh/authorized_keys","reason":"unregistered","detail":"the key registry does not list this key for the user","type":"ssh-ed25519",` +
		`"fingerprint":"SHA256:8O248R5MYQAJpvyalKqVsiVm3TSeFzqEb7VKVZ1CYVA","comment":"\\x1b[2J \\u202e \\u00e9 ` + strings.Repeat("x", 244) + `..."},` +
		`{"file":"/home/alice/.ssh/\\xff\\n","reason":"symlink","detail":"the whole file was replaced"}],"more":2,"text":["Schl\u00fcssel"]}` + "\n"
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Error(diff)
	}
	var back notify.Event
	if err := json.Unmarshal(text, &back); err != nil || !cmp.Equal(back, e) {
		t.Errorf("%v: %+v", err, back)
	}
}
