package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// desk is where sshd asks: the helper, the account that it runs as, and the directory that the daemon writes for it.
type desk struct {
	account testenv.Account
	program string
	dir     string
}

// newDesk builds the helper into a directory below which nobody but root writes, as sshd wants it (auth_secure_path).
func newDesk(t *testing.T) desk {
	t.Helper()
	d := desk{account: testenv.NewAccount(t)}
	below := filepath.Dir(d.account.Home)
	d.program, d.dir = filepath.Join(below, "keyreeve-keys"), filepath.Join(below, "answers")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-o", d.program, "../keyreeve-keys")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if said, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	// The order matters: a chown takes the set-group-ID bit away.
	if err := errors.Join(os.Mkdir(d.dir, 0o750), os.Chown(d.dir, 0, d.account.GID), os.Chmod(d.dir, 0o750|os.ModeSetgid)); err != nil {
		t.Fatal(err)
	}
	return d
}

// dropIn is a configuration for sshd as keyreeve brings it, for this desk.
func (d desk) dropIn(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("../../configs/sshd_config.d", name))
	if err != nil {
		t.Fatal(err)
	}
	return strings.NewReplacer("/usr/libexec/keyreeve/keyreeve-keys --", d.program+" --file="+d.dir+"/keys.cdb --", "_keyreeve", d.account.Name).Replace(string(text))
}

// turnedAway waits until a key is refused.
func turnedAway(t *testing.T, server *testenv.SSHD, user, key string) {
	t.Helper()
	eventually(t, "the key that is no longer registered is refused", func() bool { return errors.Is(server.Login(user, key), testenv.ErrRefused) })
}

// A directory to which capitals are no other letters has JSmith, and the name service, and so sshd, jsmith: he gets in, his home is kept, and what is
// revoked goes.
func TestAnswerLoginsOfNamesInCapitals(t *testing.T) {
	testenv.Need(t, "root", "sshd")
	d, s := newDesk(t), newSite(t)
	goodFile, good := testenv.NewKey(t)
	lostFile, lost := testenv.NewKey(t)
	ada := guest(t, good)
	ada.does(t, "mkdir .ssh; cat >.ssh/authorized_keys", good+"\n"+lost+"\n")
	directory := ada
	directory.name = strings.ToUpper(ada.name)
	put := func(keys ...string) {
		directory.keys = keys
		s.put("registry.ldif", entries(directory))
	}
	put(good, lost)
	registry := strings.Replace(s.ldifRegistry(), "}, refresh", ", attributes: {lower: true}}, refresh", 1)
	s.configure("enforce", registry)
	s.more(fmt.Sprintf("answer: {dir: %s}\n", d.dir))
	server := testenv.StartSSHD(t, d.dropIn(t, "10-keyreeve-strong.conf"))
	daemon := s.start()
	eventually(t, "who is registered gets in", func() bool { return server.Login(ada.name, goodFile) == nil && server.Login(ada.name, lostFile) == nil })
	put(good)
	turnedAway(t, server, ada.name, lostFile)
	eventually(t, "the home is kept", func() bool { return ada.read(t, "authorized_keys") == good+"\n" })
	daemon.stop()
}
