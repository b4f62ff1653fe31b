package main

import (
	"bytes"
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// A long pass tells how far it is: over one line on a terminal, in which other messages do not drown, and in lines elsewhere.
func TestProgress(t *testing.T) {
	for _, c := range []struct {
		name string
		live bool
		want string
	}{
		{"plain", false, "keyreeve: looked at 0 of 100 accounts\nkeyreeve: a message\nkeyreeve: looked at 50 of 100 accounts, 2 a second, 20s left\n"},
		{"terminal", true, "keyreeve: looked at 0 of 100 accounts\r\x1b[Kkeyreeve: a message\nkeyreeve: looked at 50 of 100 accounts, 2 a second, 20s left\r\x1b[K"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var out bytes.Buffer
				g := newProgress(&out)
				g.live = c.live
				end := g.begin(100)
				time.Sleep(plainEvery + time.Second)
				fmt.Fprintln(g, "keyreeve: a message")
				for range 50 {
					g.step()
				}
				time.Sleep(plainEvery)
				end()
				if got := out.String(); got != c.want {
					t.Errorf("%q\nwant %q", got, c.want)
				}
			})
		})
	}
}

// A pass that is over soon says nothing.
func TestProgressOfAShortPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		g := newProgress(&out)
		end := g.begin(1)
		time.Sleep(plainEvery - time.Millisecond)
		end()
		if out.Len() > 0 {
			t.Errorf("%q", out.String())
		}
	})
}
