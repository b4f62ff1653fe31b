package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/krl"
	"github.com/keyreeve/keyreeve/internal/statefile"
)

// maxExcept bounds a file whose keys are never refused, maxDenied the list: more than enforcer.MaxRevoked keys take.
const (
	maxExcept = 1 << 20
	maxDenied = 1 << 20
)

// denied keeps the list of the keys that sshd refuses everybody (RevokedKeys).
//
// sshd refuses all keys of everybody where that file is missing or damaged (sshkey_check_revoked in OpenSSH's authfile.c), so there is always a whole
// one, on the disk before it has its name. And a key on it is refused to whoever it belongs to by now. So an error leaves the old
// list only as long as nothing is on it that is not to be: else one of the others takes its place, for which a full disk has room.
type denied struct {
	spare  statefile.Spare
	except []string
	memory enforcer.Memory
	log    *zap.Logger
	listed map[krl.Hash]bool // what may be on the list
	others *strangers        // that are refused as well; nil: none are
}

// openDenied makes sure that there is a list, and keeps it.
func openDenied(c config.Deny, memory enforcer.Memory, others *strangers, log *zap.Logger, m *metrics) (*outlet, error) {
	d := &denied{spare: statefile.Spare{Dir: filepath.Dir(c.File), Name: filepath.Base(c.File)}, except: c.Except, memory: memory, others: others, log: log}
	if err := d.begin(c.File); err != nil {
		return nil, fmt.Errorf("make the list of keys that sshd refuses ready: %w", err)
	}
	return newOutlet(d.replace, func(err error) {
		m.refusing(len(d.listed), err == nil)
		if err != nil {
			log.Error("the list of keys that sshd refuses could not be brought up to date", zap.String("file", c.File),
				zap.Int("keys_that_may_be_on_it", len(d.listed)), zap.Error(err))
		}
	}), nil
}

// begin reads the list of an earlier daemon. What is no such list is left alone.
func (d *denied) begin(path string) error {
	if err := statefile.EnsureDir(d.spare.Dir, 0o700); err != nil {
		return err
	}
	data, err := statefile.Read(path, maxDenied)
	if errors.Is(err, fs.ErrNotExist) {
		return d.put(nil)
	}
	if err != nil {
		return err
	}
	hashes, ours, damage := krl.Parse(data)
	if !ours {
		return withHint(fmt.Errorf("%s: is not a list that keyreeve wrote", path), "name another file as deny.file; sshd 10.3 and later reads several (RevokedKeys)")
	}
	if damage != nil {
		return d.put(nil)
	}
	d.listed = setOf(hashes)
	return nil
}

// replace brings the list up to date.
func (d *denied) replace(s said) error {
	keys, leftOut := d.memory.Revoked(s.world, time.Now())
	if d.others != nil {
		keys = append(keys, s.world.Grants.Nobodys(d.others.known(time.Now()))...)
	}
	spared, err := d.spared()
	want := make([]krl.Hash, 0, len(keys))
	for _, key := range keys {
		// Where it is not known who is to be spared, nobody is refused who was not.
		if h := krl.Hash(key); !spared[key] && (err == nil || d.listed[h]) {
			want = append(want, h)
		}
	}
	if leftOut > 0 {
		d.log.Warn("more keys were revoked than sshd can be told to refuse", zap.Int("left_out", leftOut))
	}
	return errors.Join(err, d.put(want))
}

// spared are the keys that are never refused.
func (d *denied) spared() (map[authkeys.Sum]bool, error) {
	keys := make(map[authkeys.Sum]bool)
	for _, path := range d.except {
		text, err := statefile.Read(path, maxExcept)
		if err != nil {
			return nil, fmt.Errorf("deny.except: %w", err)
		}
		// A key that is not read right would be refused as soon as somebody registers it and withdraws it.
		list, err := authkeys.Keys(text)
		if err != nil {
			return nil, fmt.Errorf("deny.except: %s: %w", path, err)
		}
		for _, key := range list {
			keys[key.Sum()] = true
		}
	}
	return keys, nil
}

// put makes the list one of these keys.
func (d *denied) put(want []krl.Hash) error {
	set, list := setOf(want), krl.Make(want)
	// It is the file that is asked: somebody may have removed it, or put another in its place.
	there, err := statefile.Read(filepath.Join(d.spare.Dir, d.spare.Name), maxDenied)
	if err == nil && bytes.Equal(there, list) {
		d.listed = set
		return d.spare.Ready(len(list))
	}
	_, err = d.spare.Replace(list)
	if err == nil {
		if len(set) != len(d.listed) {
			d.log.Info("sshd is told which keys to refuse", zap.Int("keys", len(set)))
		}
		d.listed = set
		return d.spare.Ready(len(list))
	}
	if subset(d.listed, set) {
		d.listed = set // of which some may not be on it
		return err
	}
	still, _, _ := krl.Parse(there)
	still = slices.DeleteFunc(still, func(h krl.Hash) bool { return !set[h] })
	if _, again := d.spare.Replace(krl.Make(still)); again != nil {
		for h := range set {
			d.listed[h] = true
		}
		return errors.Join(err, fmt.Errorf("nor without those that are new: %w", again))
	}
	d.listed = setOf(still)
	return err
}

func setOf(hashes []krl.Hash) map[krl.Hash]bool {
	set := make(map[krl.Hash]bool, len(hashes))
	for _, h := range hashes {
		set[h] = true
	}
	return set
}

func subset(a, b map[krl.Hash]bool) bool {
	for h := range a {
		if !b[h] {
			return false
		}
	}
	return true
}
