package main

import (
	"flag"
	"fmt"
	"os/exec"
	"sync"
	"syscall"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

var raceLogins = flag.Int("race", 4, "logins that each part of TestRace tries")

// A loop that renames a key into place can win against clean-up; it wins nothing against the gate, and nothing against an sshd that does
// not read homes. The figures are printed; "make figures" tries 200 times.
func TestRace(t *testing.T) {
	testenv.Need(t, "root", "sshd")
	for _, c := range []struct {
		name   string
		dropIn string
		gate   bool
	}{{"homes alone", "", false}, {"gate", "", true}, {"strong", "10-keyreeve-strong.conf", false}} {
		t.Run(c.name, func(t *testing.T) {
			d, s := newDesk(t), newSite(t)
			goodFile, good := testenv.NewKey(t)
			badFile, bad := testenv.NewKey(t)
			ada := guest(t, good)
			s.put("registry.ldif", entries(ada))
			s.configure("enforce", s.ldifRegistry())
			s.more(fmt.Sprintf("answer: {dir: %s}\n", d.dir))
			config := ""
			if c.dropIn != "" {
				config = d.dropIn(t, c.dropIn)
			}
			start := testenv.StartSSHD
			if c.gate {
				start = func(tb testing.TB, config string) *testenv.SSHD {
					tb.Helper()
					return testenv.StartPAM(tb, d.gateStack(t, s, ""), config)
				}
			}
			server := start(t, config)
			daemon := s.start()
			daemon.await("every home was looked at", 1)
			loop := exec.CommandContext(t.Context(), "/bin/sh", "-c", fmt.Sprintf("umask 077; mkdir -p .ssh; while :; do echo '%s' >.ssh/new; mv .ssh/new .ssh/authorized_keys; done", bad))
			loop.Dir, loop.SysProcAttr = ada.home, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(ada.uid), Gid: uint32(ada.gid)}}
			if err := loop.Start(); err != nil {
				t.Fatal(err)
			}
			stop := func() { _, _ = loop.Process.Kill(), loop.Wait() }
			t.Cleanup(stop)
			command := ways()["command"]
			won := 0
			var mu sync.Mutex
			var group sync.WaitGroup
			for range 2 {
				group.Go(func() {
					for range *raceLogins / 2 {
						if command.try(t, server, ada.name, badFile) {
							mu.Lock()
							won++
							mu.Unlock()
						}
					}
				})
			}
			group.Wait()
			t.Logf("%s: %d of %d logins with an unregistered key", c.name, won, *raceLogins)
			if c.name != "homes alone" && won > 0 {
				t.Errorf("%d of %d logins with an unregistered key", won, *raceLogins)
			}
			stop()
			if c.name != "homes alone" {
				eventually(t, "the registered key gets in", func() bool { // a last mv of the loop's may come after the first write
					ada.write(t, "authorized_keys", good+"\n")
					return command.try(t, server, ada.name, goodFile)
				})
			}
		})
	}
}
