package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
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
	return strings.NewReplacer("/usr/libexec/keyreeve-keys --", d.program+" --file="+d.dir+"/keys.cdb --", "_keyreeve", d.account.Name).Replace(string(text))
}

// Who gets in is the same by files, by answers and by both, and with answers nothing else than the registry gets anybody in.
func TestAnswerLogins(t *testing.T) {
	testenv.Need(t, "root", "sshd", "slapd")
	for _, c := range []struct {
		name, dropIn   string
		files, answers bool
	}{
		{"files", "", true, false}, {"answers", "10-keyreeve-strong.conf", false, true}, {"both", "10-keyreeve-both.conf", true, true},
	} {
		t.Run(c.name, func(t *testing.T) { testAnswerLogins(t, c.dropIn, c.files, c.answers) })
	}
}

func testAnswerLogins(t *testing.T, dropIn string, files, answers bool) {
	t.Helper()
	d, s := newDesk(t), newSite(t)
	config := ""
	if answers {
		config = d.dropIn(t, dropIn)
	}
	server := testenv.StartSSHD(t, config)
	goodFile, good := testenv.NewKey(t)
	lostFile, lost := testenv.NewKey(t)
	badFile, bad := testenv.NewKey(t)
	farFile, far := testenv.NewKey(t)
	nearFile, near := testenv.NewKey(t)
	endedFile, ended := testenv.NewKey(t)
	ada := guest(t, good)
	ada.keys = append(ada.keys, lost, `from="192.0.2.1" `+far, `from="127.0.0.1",restrict `+near, `expiry-time="20200101" `+ended)
	// Somebody whose entry would let a stranger's key in as an account of this host with another uid.
	local := testenv.NewAccount(t)
	claimed := member{name: local.Name, uid: local.UID + 1, gid: local.GID, home: ada.home + "2", keys: []string{bad}}
	ldap := testenv.StartSlapd(t, entries(ada, claimed))
	text := strings.Join(ada.keys, "\n") + "\n"
	ada.does(t, "mkdir .ssh; cat >.ssh/authorized_keys", text)
	s.configure("enforce", startTLS(ldap, "1h"))
	config = ""
	if answers {
		config = fmt.Sprintf("answer: {dir: %s}\n", d.dir)
	}
	s.more(config)

	in := func(who, key string) {
		t.Helper()
		if err := server.Login(who, key); err != nil {
			t.Error(err)
		}
	}
	out := func(who, key string) {
		t.Helper()
		if err := server.Login(who, key); !errors.Is(err, testenv.ErrRefused) {
			t.Errorf("%s: got %v, want ErrRefused", who, err)
		}
	}
	if !files {
		out(ada.name, goodFile) // before the first reading nobody knows
	}
	daemon := s.start()
	daemon.await("registry read", 1)
	if answers {
		eventually(t, "sshd is answered", func() bool { _, err := os.Stat(filepath.Join(d.dir, "keys.cdb")); return err == nil })
	}
	in(ada.name, goodFile)
	in(ada.name, nearFile)
	in(ada.name, lostFile)
	out(ada.name, farFile)
	out(ada.name, endedFile)
	out(ada.name, badFile)
	out(local.Name, badFile)
	out("root", badFile)

	ada.append(t, "authorized_keys", bad+"\n")
	if files {
		ada.loses(t, "authorized_keys", bad)
	}
	out(ada.name, badFile)

	ldap.Modify(fmt.Sprintf("dn: uid=%s,ou=people,dc=example,dc=org\nchangetype: modify\ndelete: sshPublicKey\nsshPublicKey: %s\n", ada.name, lost))
	turnedAway(t, server, ada.name, lostFile)
	in(ada.name, goodFile)

	ldap.Stop()
	in(ada.name, goodFile)
	daemon.signal(syscall.SIGKILL)
	<-daemon.ended
	in(ada.name, goodFile)
	out(ada.name, lostFile)
	if !answers {
		return
	}
	if err := os.Remove(filepath.Join(d.dir, "keys.cdb")); err != nil {
		t.Fatal(err)
	}
	if files {
		in(ada.name, goodFile)
		return
	}
	out(ada.name, goodFile)
}

// Who repairs the host gets in by what he has in his home, with nothing made ready for him, although sshd is told nothing.
func TestAnswerBreakGlass(t *testing.T) {
	testenv.Need(t, "root", "sshd")
	d, saved := newDesk(t), testenv.NewAccount(t)
	file, key := testenv.NewKey(t)
	config := d.dropIn(t, "10-keyreeve-strong.conf")
	other := guest(t, key)
	server := testenv.StartSSHD(t, strings.Replace(config, "Match User root", "Match User "+saved.Name, 1))
	authorize(t, saved, key)
	other.does(t, "mkdir .ssh; cat >.ssh/authorized_keys", key+"\n")
	if err := server.Login(saved.Name, file); err != nil {
		t.Error(err)
	}
	if err := server.Login(other.name, file); !errors.Is(err, testenv.ErrRefused) {
		t.Errorf("somebody else: got %v, want ErrRefused", err)
	}
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
