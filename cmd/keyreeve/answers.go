package main

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/answer"
	"github.com/keyreeve/keyreeve/internal/statefile"
)

// maxAnswers bounds the file of answers: a cdb file has no more bytes.
const maxAnswers = 1 << 32

// answers is the file by which keyreeve-keys answers sshd.
//
// Its last content counts for as long as no other can be written, so a user who fills the disk, or a state that was lost, must not keep a key that
// was revoked in it. Where there is no room for all that is to be said, or the registry was read last by a daemon that could not keep
// what it read, the file says less: of what it said before, that which is granted still.
type answers struct {
	spare  statefile.Spare
	log    *zap.Logger
	last   [sha256.Size]byte // of the file's bytes
	mark   statefile.Mark    // of the file, once it was written
	begun  bool              // the file of an earlier daemon was looked at
	newer  string            // the reading from which that follows, if it is not the last one that is known and the registry was not read since
	cramps string            // why there is no spare, once it was told
}

// newAnswers keeps that file.
func newAnswers(dir string, log *zap.Logger, m *metrics) *outlet {
	a := &answers{spare: statefile.Spare{Dir: dir, Name: answer.Name, Shared: true, Padded: true}, log: log}
	if err := statefile.Tidy(dir, 0); err != nil {
		log.Warn("what an earlier daemon left half written stays", zap.String("dir", dir), zap.Error(err))
	}
	return newOutlet(a.replace, func(err error) {
		m.answered(err == nil)
		if err != nil {
			log.Error("what sshd is told could not be written: logins by keyreeve-keys go by the old file", zap.String("dir", dir), zap.Error(err))
		}
	})
}

func (a *answers) path() string { return filepath.Join(a.spare.Dir, a.spare.Name) }

// replace writes the file, unless the one that it wrote last is there still, untouched, and says the same.
func (a *answers) replace(s said) error {
	users, origin := s.world.Answers(), s.world.Snapshot.Digest()
	if a.overtaken(s.world, origin) {
		if less, err := a.lessened(users, exempt(s.world)); err == nil {
			users, origin = slices.Values(less), a.newer
		} else { // it lets nobody in
			a.log.Error("the answers of an earlier daemon cannot be read; those of the last reading that is known take their place", zap.Error(err))
			a.newer = ""
		}
	}
	data, err := answer.MakeOf(origin, users, s.end, s.world.Rules())
	if err != nil {
		return err
	}
	err = a.write(data)
	if statefile.Full(err) {
		return errors.Join(err, a.squeeze(s, origin))
	}
	return err
}

// overtaken reports whether the file follows from a reading that is not known any more, and so must be the newer one.
func (a *answers) overtaken(world *enforcer.World, origin string) bool {
	if !a.begun {
		a.begun = true
		if old, err := statefile.Read(a.path(), maxAnswers); err == nil {
			a.newer, _ = answer.FindOrigin(bytes.NewReader(old), int64(len(old)))
		}
		if a.newer == origin {
			a.newer = ""
		}
		if a.newer != "" && world.Away() {
			a.log.Warn("what sshd is told follows from a reading of the registry that could not be kept: until it answers no key is added", zap.String("file", a.path()))
		}
	}
	if !world.Away() {
		a.newer = ""
	}
	return a.newer != ""
}

// squeeze writes what there is room for: nothing that the file does not say already.
func (a *answers) squeeze(s said, origin string) error {
	less, err := a.lessened(s.world.Answers(), nil)
	if err != nil {
		return err
	}
	data, err := answer.MakeOf(origin, slices.Values(less), s.end, s.world.Rules())
	if err != nil {
		return err
	}
	if err := a.write(data); err != nil {
		return fmt.Errorf("nor without what is new: %w", err)
	}
	return errors.New("without what is new it could: nobody has a key that he had not")
}

// write makes these bytes the file's.
func (a *answers) write(data []byte) error {
	sum := sha256.Sum256(data)
	if mark, err := statefile.MarkOf(a.path()); err != nil || mark != a.mark || sum != a.last {
		if a.mark, err = a.spare.Replace(data); err != nil {
			a.mark = statefile.Mark{}
			return err
		}
		a.last = sum
	}
	a.tellCramped(a.spare.Ready(len(data)))
	return nil
}

// tellCramped tells once that the next answers may find a full disk.
func (a *answers) tellCramped(err error) {
	said := ""
	if err != nil {
		said = err.Error()
	}
	if said != "" && a.cramps == "" {
		a.log.Error("who fills the disk can keep sshd from being told of the next key that is revoked", zap.Error(err))
	}
	a.cramps = said
}

// exempt are the keys that an exception grants, by user and fingerprint: nobody's reading has them.
func exempt(world *enforcer.World) map[[2]string]bool {
	keys := make(map[[2]string]bool)
	for _, e := range world.Exceptions() {
		if e.Idle == "" {
			keys[[2]string{e.User, e.Key.Fingerprint()}] = true
		}
	}
	return keys
}

// lessened are users with those lines alone that the file has for them already, or whose keys are exempt. What other programs may not let somebody
// in with is everything where that is news.
func (a *answers) lessened(users iter.Seq[answer.User], exempt map[[2]string]bool) (list []answer.User, err error) {
	old, err := statefile.Read(a.path(), maxAnswers)
	if err != nil {
		return nil, err
	}
	file, size := bytes.NewReader(old), int64(len(old))
	for user := range users {
		had, _, err := answer.Find(file, size, user.Name, time.Time{}) // at a time when nothing had ended
		if err != nil {
			return nil, err
		}
		refused, err := answer.FindRefused(file, size, user.Name, time.Time{})
		if err != nil {
			return nil, err
		}
		var keys []answer.Key
		for _, key := range user.Keys {
			at := slices.IndexFunc(had.Keys, func(k answer.Key) bool { return k.Fingerprint == key.Fingerprint && k.Line == key.Line })
			switch {
			case exempt[[2]string{user.Name, key.Fingerprint}]:
				keys = append(keys, key)
			case at >= 0 && had.UID == user.UID:
				if end := had.Keys[at].Until; !end.IsZero() && (key.Until.IsZero() || end.Before(key.Until)) {
					key.Until = end
				}
				keys = append(keys, key)
			}
		}
		user.Keys = keys
		if len(user.Refused) > 0 && !slices.Equal(user.Refused, refused) {
			user.Refused = []string{answer.Everything}
		}
		if len(user.Keys)+len(user.Refused) > 0 || !user.Until.IsZero() {
			list = append(list, user)
		}
	}
	return list, nil
}
