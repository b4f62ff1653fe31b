package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Two head nodes share one home, each with a daemon of its own. Equal plans from equal inputs let them agree: the unknown
// key goes, the file keeps still after that, and neither undoes the other's work.
func TestTwoDaemonsOnOneHome(t *testing.T) {
	s := newSite(t)
	_, keys := vectors(t)
	user := s.newMember(1, keys["A"], keys["D"])
	s.put("registry.ldif", entries(user))
	first, second := s.node("first"), s.node("second")
	daemons := []*child{first.start(), second.start()}
	for _, d := range daemons {
		d.await("every home was looked at", 1)
	}
	const rounds = 5
	for n := range rounds {
		user.does(t, "cat >new; mv new .ssh/authorized_keys", fmt.Sprintf("%s  round %d\nrestrict,pty  %s\n%s\n", keys["A"], n, keys["B"], keys["D"]))
		user.loses(t, "authorized_keys", keys["B"])
	}
	want := fmt.Sprintf("%s round %d\n%s\n", keys["A"], rounds-1, keys["D"])
	eventually(t, "the file is what both plan", func() bool { return user.read(t, "authorized_keys") == want })
	for _, d := range daemons {
		d.stop()
	}
	if text := user.read(t, "authorized_keys"); text != want {
		t.Errorf("in the end the file is %q", text)
	}
	for _, node := range []site{first, second} {
		if n := node.removals()[user.name].intents; n > 2*rounds { // one that comes too late plans again
			t.Errorf("the trail of %s tells of %d removals of %d keys: the daemons fight", node.dir, n, rounds)
		}
	}
	if odd := user.leftovers(t, "authorized_keys"); len(odd) > 0 {
		t.Errorf("the daemons left %q in the home", odd)
	}
}

// One of the two reads a registry that lags behind, and does not know a key that the other one grants. What they do to each other's
// work is bounded, and over when it knows the key: both come to the same file, with the key.
func TestTwoDaemonsWithUnequalRegistries(t *testing.T) {
	for _, install := range []string{"present", "all"} {
		t.Run("install "+install, func(t *testing.T) {
			s := newSite(t)
			_, keys := vectors(t)
			user := s.newMember(1, keys["A"], keys["D"])
			late := user
			late.keys = late.keys[:1]
			want := keys["A"] + "\n" + keys["D"] + "\n"
			user.write(t, "authorized_keys", want)
			first, second := s.node("first"), s.node("second")
			begun := time.Now()
			var daemons []*child
			for _, one := range []struct {
				node  site
				known member
			}{{second, late}, {first, user}} {
				one.node.put("registry.ldif", entries(one.known))
				one.node.configure("enforce", one.node.ldifRegistry())
				one.node.edit("homes: {", "homes: {install: "+install+", ")
				daemons = append(daemons, one.node.start())
			}
			said := func(text string) int { return daemons[0].said(text) + daemons[1].said(text) }
			eventually(t, "both have begun", func() bool { return said("every home was looked at") == 2 })
			eventually(t, "the late one takes the key away", func() bool { return second.removals()[user.name].done > 0 })
			if install == "all" {
				eventually(t, "the fight is told of", func() bool { return said("changed again and again") > 0 })
			}
			second.put("registry.ldif", entries(user))
			eventually(t, "both know the key", func() bool { return said("registry read") >= 3 })
			eventually(t, "the key is there", func() bool { return user.read(t, "authorized_keys") == want })
			for _, d := range daemons { // the late one first: a removal may have been under way when it read the key
				d.stop()
				eventually(t, "the key is there in the end", func() bool { return d != daemons[0] || user.read(t, "authorized_keys") == want })
			}
			if text := user.read(t, "authorized_keys"); text != want {
				t.Errorf("in the end the file is %q", text)
			}
			bound := 1
			if install == "all" { // ten at once, and then one a second (rest.go in enforcer); one that comes too late plans again
				bound = 2 * (12 + int(time.Since(begun)/time.Second))
			}
			if n := second.removals()[user.name].intents; n > bound {
				t.Errorf("%d removals of one key, want %d at most", n, bound)
			}
			if odd := user.leftovers(t, "authorized_keys"); len(odd) > 0 {
				t.Errorf("the daemons left %q in the home", odd)
			}
		})
	}
}

// node is a second installation beside the homes and the registry of a site.
func (s site) node(name string) site {
	s.t.Helper()
	n := site{s.t, s.path(name)}
	if err := os.Mkdir(n.dir, 0o755); err != nil {
		s.t.Fatal(err)
	}
	n.configure("enforce", s.ldifRegistry())
	return n
}

// A home that is made after the daemon has begun, moved away, and made anew is looked at each time, without a sweep.
func TestHomeThatComesLater(t *testing.T) {
	s := newSite(t)
	_, keys := vectors(t)
	user := s.newMember(1, keys["A"])
	user.write(t, "authorized_keys", keys["B"]+" old\n"+keys["A"]+" old\n")
	away := user.home + ".away"
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Rename(user.home, away))
	s.put("registry.ldif", entries(user))
	s.configure("enforce", s.ldifRegistry())
	d := s.start()
	d.await("every home was looked at", 1)

	must(os.Rename(away, user.home))
	user.loses(t, "authorized_keys", keys["B"])
	must(os.Rename(user.home, away))
	s.newMember(1)
	user.write(t, "authorized_keys", keys["B"]+" new\n"+keys["A"]+" new\n")
	user.loses(t, "authorized_keys", keys["B"])
	must(os.RemoveAll(user.home))
	s.newMember(1)
	user.write(t, "authorized_keys", keys["B"]+" newer\n"+keys["A"]+" newer\n")
	user.loses(t, "authorized_keys", keys["B"])
	d.stop()
	if text := user.read(t, "authorized_keys"); text != keys["A"]+" newer\n" {
		t.Errorf("in the end the file is %q", text)
	}
	if text, err := os.ReadFile(filepath.Join(away, ".ssh", "authorized_keys")); err != nil || strings.Contains(string(text), keys["B"]) {
		t.Errorf("the home that went has %q, %v", text, err)
	}
}

// A key that is registered after its removal comes back from quarantine, though the daemon was started again in between.
func TestDaemonRecallsOverARestart(t *testing.T) {
	s := newSite(t)
	_, keys := vectors(t)
	user := s.newMember(1, keys["A"])
	user.write(t, "authorized_keys", keys["A"]+"\n"+`command="uptime" `+keys["B"]+" new laptop\n")
	s.put("registry.ldif", entries(user))
	s.configure("enforce", s.ldifRegistry())
	first := s.start()
	user.loses(t, "authorized_keys", keys["B"])
	first.stop()

	second := s.start()
	second.await("every home was looked at", 1)
	user.keys = append(user.keys, keys["B"])
	s.put("registry.ldif", entries(user))
	eventually(t, "the key comes back, with its options", func() bool {
		return user.read(t, "authorized_keys") == keys["A"]+"\n"+`command="uptime" `+keys["B"]+" new laptop\n"
	})
	second.stop()
}
