package enforcer

import (
	"bytes"
	"errors"
	"path"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/policy"
)

// keep is file, and gets round a call in a directory below the home that is stuck: the directory itself gives way, and the first of
// the user's files in the new one holds what is granted of what was read in the old one. Nothing in there is looked at again, since
// its lock is held. A call that has come back meanwhile is a reason to look again, once.
func (l Looker) keep(in Input, before []Plan, files []string) (Plan, error) {
	in.Heirloom = Plan{Account: in.Account, Name: in.Name}.heirloom(before)
	plan, err := l.file(in)
	if !errors.Is(err, homes.ErrStuck) || l.Act == nil {
		return plan, err
	}
	held := plan
	held.Account, held.Name = in.Account, in.Name // also where nothing could be read
	if !held.below() {
		return plan, err
	}
	first := files[slices.IndexFunc(files, func(file string) bool {
		return path.Dir(Plan{Account: in.Account, Name: file}.Path()) == path.Dir(held.Path())
	})]
	for i := range attempts {
		renewed := renewPlan(first, held, before, l.Grants)
		renewed.Seize, renewed.Others = i > 0, lost(first, held, before, files)
		wrong := l.act(&renewed)
		if renewed.Done {
			return renewed, errors.Join(wrong, l.follow(in, renewed, files))
		}
		if !errors.Is(wrong, homes.ErrChanged) {
			return renewed, wrong
		}
		if plan, err = l.file(in); !errors.Is(err, homes.ErrStuck) {
			return plan, err
		}
		if plan.Name != "" {
			held = plan
		}
	}
	return plan, err
}

// follow sees to the other files of a directory that was renewed, as far as the look has come.
func (l Looker) follow(in Input, renewed Plan, files []string) error {
	var wrong []error
	for _, file := range renewed.Others[:slices.Index(renewed.Others, in.Name)+1] {
		_, err := l.file(Input{Account: in.Account, Name: file, Grants: in.Grants, Others: files, Heirloom: renewed.After})
		wrong = append(wrong, err)
	}
	return errors.Join(wrong...)
}

// lost are the other files that go aside with the directory of one, but for those that are known not to be there.
func lost(first string, held Plan, before []Plan, files []string) []string {
	return slices.DeleteFunc(slices.Clone(files), func(file string) bool {
		return file == first || !held.takes(Plan{Account: held.Account, Name: file}) ||
			slices.ContainsFunc(before, func(p Plan) bool { return p.Name == file && p.State == homes.Missing && !p.Done })
	})
}

// heirloom is what a new directory was given in this look, with the options that narrow: another file of it that went with
// the old one is to have the same.
func (p Plan) heirloom(before []Plan) []byte {
	for _, other := range before {
		if other.Renew && other.Done && other.takes(p) {
			return other.After
		}
	}
	return nil
}

// below reports that the file lies in a directory below the home, which can give way.
func (p Plan) below() bool { return strings.HasPrefix(path.Dir(p.Path()), p.Account.Home+"/") }

// takes reports that another file goes aside with the plan's directory.
func (p Plan) takes(other Plan) bool { return strings.HasPrefix(other.Path(), path.Dir(p.Path())+"/") }

// renewPlan plans a new directory, .ssh as a rule, in place of one in which a call is stuck: held is the plan that could not be carried
// out, or has but a name where the file could not be read; before are those of the look that came before it. It is pure. The one
// file of the new directory, name, has all granted keys, with the options that narrow them, of all files that were read in the old one.
func renewPlan(name string, held Plan, before []Plan, grants *policy.Grants) Plan {
	p := Plan{Account: held.Account, Name: name, State: held.State, Before: held.Before, Renew: true}
	for _, read := range append(slices.Clone(before), held) {
		if !held.takes(read) {
			continue
		}
		text := read.Original
		if read.Done {
			text = read.After
		}
		p.Original = append(p.Original, text...)
		if len(text) > 0 && !bytes.HasSuffix(text, []byte("\n")) {
			p.Original = append(p.Original, '\n')
		}
	}
	p.Original = p.Original[:min(len(p.Original), homes.MaxSize)]
	in := Input{Account: p.Account, Name: p.Name, Grants: grants, File: homes.File{Data: p.Original}}
	p.replace(in, ReasonStuck, "somebody holds a lock of the file or of its directory, which is put aside")
	p.bound(in)
	return p
}
