package main

import (
	"os"
	"strings"
	"syscall"
	"time"
)

// start starts the daemon where the directory answers, and returns when it has done all that there is to do.
func (w *world) start() {
	w.t.Helper()
	w.daemon = w.s.start()
	w.daemon.await("the server tells of changes in the registry", 1)
	w.daemon.await(`"registry read"`, 2) // at the start, and when the server was heard
	w.daemon.await("every home was looked at", 1)
	eventually(w.t, "sshd is answered", func() bool { _, ok := w.answered(w.ada, "good"); return ok })
}

// forget empties the state directory.
func (w *world) forget() {
	w.t.Helper()
	if err := os.RemoveAll(w.s.path("state")); err != nil {
		w.t.Fatal(err)
	}
}

const blind = "the registry could not be read; no home is looked at before it was"

func (w *world) bootWithoutDirectory() {
	w.ldap.Stop()
	w.daemon = w.s.start()
	w.daemon.await(blind, 1)
	w.daemon.signal(syscall.SIGHUP)
	w.daemon.await(blind, 2)
}

func (w *world) bootWithDirectory() {
	w.daemon.stop()
	w.forget()
	w.ldap.Start()
	w.start()
	w.cleaned()
}

func (w *world) writeUnknownKeyInVain() {
	w.plant()
	w.cleaned()
}

func (w *world) revoke() {
	for way, server := range w.servers {
		w.sessions[way] = newSession(w.t, server, w.ada.name, w.key("lost").file)
	}
	w.modify(w.ada, "delete: sshPublicKey\nsshPublicKey: "+w.key("lost").value())
	w.ada.loses(w.t, "authorized_keys", w.key("lost").line)
	eventually(w.t, "sshd is told no more of it", func() bool { _, ok := w.answered(w.ada, "lost"); return !ok })
}

// accountEnds gives an account another end.
func (w *world) accountEnds(of member, at time.Time) {
	w.t.Helper()
	w.modify(of, "replace: description\ndescription: "+stamp(at))
}

func (w *world) passTheEnd() {
	at := soon(3 * time.Second)
	w.accountEnds(w.leaver, at)
	w.registrationEnds("ending", at)
	w.passed(at)
	w.leaver.loses(w.t, "authorized_keys", w.key("good").line)
}

// killAndPassTheEnd kills the daemon before an end, so that nobody but sshd and the program that it asks compare the clock. A machine that is
// too late for that is given another end, twice as far away: what was written before the kill tells it.
func (w *world) killAndPassTheEnd() {
	good := w.key("good").line
	for ahead := 3 * time.Second; ; ahead *= 2 {
		at := soon(ahead)
		w.accountEnds(w.later, at)
		w.registrationEnds("ending later", at)
		eventually(w.t, "the end of the account is in the answer, or past", func() bool {
			told, ok := w.answered(w.later, "good")
			return !ok || told.Until.Equal(at)
		})
		w.kill()
		_, told := w.answered(w.later, "good")
		if told && strings.Contains(w.later.read(w.t, "authorized_keys"), good) {
			w.plant()
			w.passed(at)
			return
		}
		w.accountEnds(w.later, never)
		w.start()
		w.later.does(w.t, "cat >.ssh/authorized_keys", good+"\n")
	}
}

func (w *world) restart() {
	w.start()
	w.cleaned()
	w.later.loses(w.t, "authorized_keys", w.key("good").line)
}

func (w *world) stopDirectory() {
	w.ldap.Stop()
	w.daemon.signal(syscall.SIGHUP) // which reads the registry
	w.daemon.await("the registry could not be read", 1)
	w.plant()
	w.cleaned()
}

func (w *world) restartWithoutDirectory() {
	w.kill()
	w.plant()
	w.daemon = w.s.start()
	w.daemon.await("homes are kept by the last good reading until the registry answers", 1)
	w.cleaned()
}

func (w *world) loseTheState() {
	w.kill()
	w.forget()
	w.daemon = w.s.start()
	w.daemon.await(blind, 1)
	w.plant()
	w.daemon.signal(syscall.SIGHUP)
	w.daemon.await(blind, 2)
}
