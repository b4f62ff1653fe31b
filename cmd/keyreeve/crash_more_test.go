package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/homes"
)

// seizing is a door that seizes each file which is to be replaced, renewing one to a file in whose directory every call is stuck until
// that has given way.
type (
	seizing  struct{ enforcer.Homes }
	renewing struct {
		enforcer.Homes
		done atomic.Bool
	}
)

func (d seizing) Replace(a homes.Account, file string, _ homes.Version, after []byte, others ...string) error {
	return d.Seize(a, file, after, others...)
}

func (d *renewing) Replace(a homes.Account, file string, before homes.Version, after []byte, others ...string) error {
	if !d.done.Load() {
		return homes.ErrStuck
	}
	return d.Homes.Replace(a, file, before, after, others...)
}

// Renew does not ask what is stuck: nothing is.
func (d *renewing) Renew(a homes.Account, file string, after []byte, _ bool, others ...string) error {
	err := d.Homes.Renew(a, file, after, true, others...)
	d.done.Store(err == nil)
	return err
}

// force is "keyreeve apply" by way of such a door, as a program.
func force(through func(enforcer.Homes) enforcer.Homes) {
	ctx, p := context.Background(), process{Stdout: os.Stdout, Stderr: os.Stderr}
	one, err := newPass(ctx, p, os.Args[len(os.Args)-1], nil)
	if err == nil {
		err = forced(ctx, p, one, through)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(statusError)
	}
}

func forced(ctx context.Context, p process, one *pass, through func(enforcer.Homes) enforcer.Homes) error {
	hand, trail, err := newEnforcer(one.config, one.door, p.warn)
	if err != nil {
		return err
	}
	hand.Homes = through(hand.Homes)
	one.memory.Hand = hand
	r, err := one.run(ctx, one.modes.act(one.act(hand)))
	return errors.Join(err, one.verdict(r, false), trail.Close())
}

// small mounts a file system of 64 KiB on the home.
func (r ruin) small(t *testing.T) {
	t.Helper()
	options := fmt.Sprintf("size=64k,mode=755,uid=%d,gid=%d", r.member.uid, r.member.gid)
	if err := syscall.Mount("none", r.member.home, "tmpfs", 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(r.member.home, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
}

// mixture reports that the file has all of its new content, and behind that what is left of the old one.
func (r ruin) mixture(t *testing.T) bool {
	t.Helper()
	text := r.member.read(t, "authorized_keys")
	return strings.HasPrefix(text, r.comment+r.key+"\n") && len(text) == len(r.text)
}

// oldCopy is one of the user's in quarantine, as large as all that he may have.
func (r ruin) oldCopy() string {
	return r.site.path("state/quarantine/" + r.member.name + "/20260101T000000.000000Z-authorized_keys-A")
}

// dropped reports that the old copy is gone, of which the trail must have told before.
func (r ruin) dropped(t *testing.T, when string) bool {
	t.Helper()
	_, err := os.Lstat(r.oldCopy())
	gone := errors.Is(err, fs.ErrNotExist)
	if r.old && gone && !slices.ContainsFunc(r.site.trail(), func(i intent) bool {
		return i.Action == "drop-copy" && i.Outcome == "intent" && i.Copy == r.oldCopy()
	}) {
		t.Errorf("%s: the old copy is gone, and the trail does not tell of it", when)
	}
	return gone
}
