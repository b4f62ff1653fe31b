package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/answer"
	"github.com/keyreeve/keyreeve/internal/testenv"
	"github.com/keyreeve/keyreeve/policy"
	"github.com/keyreeve/keyreeve/registry"
)

// answerDir is a directory of answers, and who writes there.
type answerDir struct {
	*outlet
	dir     string
	logs    *observer.ObservedLogs
	metrics *metrics
}

func newAnswerDir(t *testing.T) answerDir {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "answers")
	if err := errors.Join(os.Mkdir(dir, 0o750), os.Chmod(dir, 0o750|os.ModeSetgid)); err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zapcore.InfoLevel)
	m := newMetrics()
	return answerDir{newAnswers(dir, zap.New(core), m), dir, logs, m}
}

// worldWith is a world in which ada has a key with this comment.
func worldWith(t *testing.T, comment string) *enforcer.World {
	t.Helper()
	_, text := testenv.NewKey(t)
	line, err := authkeys.ParseValue([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	user := registry.User{Name: "ada", UID: 2001, GID: 2001, Home: "/home/ada", Records: []registry.Record{{Key: line.Key, Label: comment}}}
	snapshot, err := registry.New([]registry.User{user}, "test")
	if err != nil {
		t.Fatal(err)
	}
	rules, err := policy.Compile(policy.DefaultRules())
	if err != nil {
		t.Fatal(err)
	}
	return enforcer.NewWorld(snapshot, rules.Evaluate(snapshot, time.Now()), enforcer.Scope{})
}

// file is the file of answers now; nil where there is none.
func (o answerDir) file(t *testing.T) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(o.dir, answer.Name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	return data
}

// says reports whether the file is what a world says, but for zeros behind it.
func (o answerDir) says(t *testing.T, world *enforcer.World) bool {
	t.Helper()
	want, err := answer.MakeOf(world.Snapshot.Digest(), world.Answers(), time.Time{}, world.Rules())
	if err != nil {
		t.Fatal(err)
	}
	got := o.file(t)
	return got != nil && bytes.Equal(bytes.TrimRight(got, "\x00"), bytes.TrimRight(want, "\x00"))
}

// breakIt makes the directory one that nothing is written into, or mends it.
func (o answerDir) breakIt(t *testing.T, broken bool) {
	t.Helper()
	mode := 0o750 | os.ModeSetgid
	if broken {
		mode = 0o755
	}
	if err := os.Chmod(o.dir, mode); err != nil {
		t.Fatal(err)
	}
}

// A file that somebody removed, replaced or touched comes back, and one that nobody did is not written again.
func TestAnswersHeal(t *testing.T) {
	o, world := newAnswerDir(t), worldWith(t, "now")
	path := filepath.Join(o.dir, answer.Name)
	write := func() {
		t.Helper()
		if err := o.replace(said{world: world}); err != nil {
			t.Fatal(err)
		}
	}
	write()
	first, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	write()
	if second, err := os.Lstat(path); err != nil || !os.SameFile(first, second) {
		t.Errorf("written again: %v", err)
	}
	old, err := answer.Make(worldWith(t, "before").Answers(), time.Time{}, answer.Rules{})
	if err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func() error{
		"removed": func() error { return os.Remove(path) }, "an older one": func() error { return os.WriteFile(path, old, 0o640) },
		"cut off": func() error { return os.Truncate(path, 100) },
		"shut":    func() error { return os.Chmod(path, 0o600) },
		"another": func() error { return errors.Join(os.WriteFile(path+"2", old, 0o640), os.Rename(path+"2", path)) },
		"a link":  func() error { return errors.Join(os.Rename(path, path+"2"), os.Symlink(path+"2", path)) },
		"set back": func() error {
			return errors.Join(os.WriteFile(path, old, 0o640), os.Chtimes(path, first.ModTime(), first.ModTime()))
		},
		"others' own it": func() error { return os.Chmod(path, 0o666) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		write()
		info, err := os.Lstat(path)
		if err != nil || info.Mode() != 0o640 || !o.says(t, world) {
			t.Errorf("%s: not as it was: %v, %v", name, info, err)
		}
	}
}

// What cannot be written is tried again, at longer and longer intervals; the newest of what waits is written, also when the daemon ends.
func TestAnswersFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o, one, two, three := newAnswerDir(t), worldWith(t, "one"), worldWith(t, "two"), worldWith(t, "three")
		end := o.keep()
		o.breakIt(t, true)
		o.offer(one, time.Time{})
		time.Sleep(time.Hour)
		if n := o.logs.Len(); n < 10 || n > 70 || !o.metrics.answer || o.file(t) != nil {
			t.Errorf("%d attempts in an hour; failing is %v", n, o.metrics.answer)
		}
		o.breakIt(t, false)
		time.Sleep(answerPatience)
		synctest.Wait()
		if o.metrics.answer || !o.says(t, one) {
			t.Errorf("not written when it could be; failing is %v", o.metrics.answer)
		}
		o.breakIt(t, true)
		o.offer(two, time.Time{})
		synctest.Wait()
		if !o.metrics.answer || !o.says(t, one) {
			t.Error("written where nothing can be")
		}
		o.breakIt(t, false)
		o.offer(three, time.Time{})
		synctest.Wait()
		if !o.says(t, three) {
			t.Error("what is newer waits for what failed")
		}
		// It fails at something else than the world before it, which counted as written must not be.
		o.breakIt(t, true)
		o.offer(two, time.Time{})
		synctest.Wait()
		o.breakIt(t, false)
		o.offer(two, time.Time{})
		synctest.Wait()
		if !o.says(t, two) {
			t.Error("what failed counts as written")
		}
		o.breakIt(t, true)
		o.offer(three, time.Time{})
		synctest.Wait()
		begun := time.Now()
		end()
		if waited := time.Since(begun); waited != 0 {
			t.Errorf("the end waits %v for a file that cannot be written", waited)
		}
	})
}

// What is told as the daemon ends is written. Nobody who tells waits, whether somebody writes or not.
func TestAnswersOfTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, last := worldWith(t, "first"), worldWith(t, "last")
		for range 20 { // whether the end or the world is seen first is chance
			o := newAnswerDir(t)
			o.offer(first, time.Time{})
			o.offer(last, time.Time{})
			end := o.keep()
			end()
			if !o.says(t, last) {
				t.Fatal("what waited at the end was not written")
			}
		}
	})
}

// So is what crashes left in the other directories, but for what another command may be writing there now.
func TestDaemonTidies(t *testing.T) {
	s := newSite(t)
	s.put("registry.ldif", entries(s.newMember(1, newKeyLine(t))))
	s.configure("report", s.ldifRegistry())
	s.more(fmt.Sprintf("deny: {file: %s}\n", s.path("lists", "revoked.krl")))
	var left, stay []string
	for _, dir := range []string{"state", "state/registry", "state/refused", "lists"} {
		old, young, named := s.path(dir, ".new-1"), s.path(dir, ".new-2"), s.path(dir, "new-3")
		if err := os.MkdirAll(s.path(dir), 0o700); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{old, young, named} {
			if err := os.WriteFile(path, []byte("half"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		ago := time.Now().Add(-2 * leftAge)
		if err := errors.Join(os.Chtimes(old, ago, ago), os.Chtimes(named, ago, ago)); err != nil {
			t.Fatal(err)
		}
		left, stay = append(left, old), append(stay, young, named)
	}
	daemon := s.start()
	daemon.await("registry read", 1)
	for _, path := range left {
		eventually(t, path+" is gone", func() bool { _, err := os.Lstat(path); return errors.Is(err, os.ErrNotExist) })
	}
	daemon.stop()
	for _, path := range stay {
		if _, err := os.Lstat(path); err != nil {
			t.Error(err)
		}
	}
}

// What a daemon that was killed left half written is gone when the next one begins; nothing else is.
func TestAnswersTidy(t *testing.T) {
	o := newAnswerDir(t)
	left, other := filepath.Join(o.dir, ".new-123"), filepath.Join(o.dir, "other")
	if err := errors.Join(os.WriteFile(left, []byte("half"), 0o600), os.WriteFile(other, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	newAnswers(o.dir, zap.NewNop(), newMetrics())
	_, err := os.Lstat(left)
	if _, wrong := os.Lstat(other); !errors.Is(err, os.ErrNotExist) || wrong != nil {
		t.Errorf("%v, %v", err, wrong)
	}
}
