package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// guest makes an account of the system whose owner holds a registered key.
func guest(t *testing.T, key string) member {
	t.Helper()
	a := testenv.NewAccount(t)
	return member{name: a.Name, uid: a.UID, gid: a.GID, home: a.Home, keys: []string{key}}
}

// The main job, on real parts: whoever holds a registered key gets in, and whoever writes another one does not, wherever sshd reads it.
func TestLogins(t *testing.T) {
	testenv.Need(t, "root", "sshd")
	server, s := testenv.StartSSHD(t, ""), newSite(t)
	goodFile, good := testenv.NewKey(t)
	badFile, bad := testenv.NewKey(t)
	alice, bob := guest(t, good), guest(t, good)
	both := good + " mine\n" + bad + " planted\n"

	// in wants the registered key to log in, out the other one to be refused.
	in := func(t *testing.T, m member) {
		t.Helper()
		if err := server.Login(m.name, goodFile); err != nil {
			t.Errorf("the registered key: %v", err)
		}
	}
	out := func(t *testing.T, m member, since time.Time, name string) {
		t.Helper()
		m.loses(t, name, bad)
		// No limit: sweep and fast check are far off here, so the watch alone finds it, and a busy machine is no error.
		t.Logf("%s: %.1f ms from the write to the moment the key was gone", name, float64(time.Since(since).Microseconds())/1000)
		if err := server.Login(m.name, badFile); !errors.Is(err, testenv.ErrRefused) {
			t.Errorf("the unknown key: got %v, want ErrRefused", err)
		}
		in(t, m)
	}

	alice.does(t, "mkdir .ssh; cat >.ssh/authorized_keys", both)
	if err := server.Login(alice.name, badFile); err != nil {
		t.Fatalf("without keyreeve the unknown key must log in, or nothing is proven: %v", err)
	}
	s.put("registry.ldif", entries(alice, bob))
	s.configure("enforce", s.ldifRegistry())
	d := s.start()
	d.await("registry read", 1)

	t.Run("was there before", func(t *testing.T) { out(t, alice, time.Now(), "authorized_keys") })
	t.Run("appended", func(t *testing.T) {
		now := time.Now()
		alice.append(t, "authorized_keys", bad+" again\n")
		out(t, alice, now, "authorized_keys")
	})
	t.Run("in the second file", func(t *testing.T) {
		now := time.Now()
		alice.does(t, "cat >.ssh/authorized_keys2", both)
		out(t, alice, now, "authorized_keys2")
	})
	t.Run("in a new folder", func(t *testing.T) {
		now := time.Now()
		bob.does(t, "mkdir .ssh; cat >.ssh/authorized_keys", both)
		out(t, bob, now, "authorized_keys")
	})
	t.Run("in a folder renamed into place", func(t *testing.T) {
		bob.does(t, "mkdir new; tee new/authorized_keys >new/authorized_keys2", both)
		now := time.Now()
		bob.does(t, "mv .ssh old; mv new .ssh", "")
		bob.loses(t, "authorized_keys", bad)
		out(t, bob, now, "authorized_keys2")
	})
	t.Run("appended there", func(t *testing.T) {
		now := time.Now()
		bob.append(t, "authorized_keys2", bad+" again\n")
		out(t, bob, now, "authorized_keys2")
	})

	d.stop()
	for _, m := range []member{alice, bob} {
		if odd := m.leftovers(t, "authorized_keys", "authorized_keys2"); len(odd) > 0 {
			t.Errorf("keyreeve left %q in the home", odd)
		}
		if text := m.read(t, "authorized_keys"); text != good+" mine\n" {
			t.Errorf("%s has %q", m.name, text)
		}
	}
	if text := strings.Join(d.log, "\n"); strings.Contains(text, `"level":"error"`) {
		t.Error("the daemon had errors")
	}
}
