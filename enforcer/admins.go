package enforcer

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/policy"
)

// Admin is an administrator who must not be locked out.
type Admin struct {
	Name string
	// Result is a look at his account without an act. Kept says that such plans are to be carried out; else his files stay as
	// they are.
	Result Result
	Kept   bool
	// Err says why there was no such look.
	Err error
}

// Alike reports whether an account is kept as in another world, and is granted the same keys.
func (w *World) Alike(other *World, user string) bool {
	account, kept := w.accounts[user]
	before, was := other.accounts[user]
	return kept == was && account == before && slices.Equal(other.Grants.For(user), w.Grants.For(user))
}

// ErrNoAdmin says that nobody of the administrators would have a key that logs in.
var ErrNoAdmin = errors.New("no administrator would have a key that logs in")

// CheckAdmins wraps ErrNoAdmin unless one administrator at least has a key that logs in when the plans have been carried out, or
// none is named. What could not be read has no such key. It is pure.
//
// It is for the moment before anything is changed. Asked all the time, it would let whoever is the only administrator, or can
// make their homes unreadable, keep everybody's unknown keys.
func CheckAdmins(list []Admin, grants *policy.Grants) error {
	var why []string
	for _, a := range list {
		wrong := a.shut(grants)
		if wrong == nil {
			return nil
		}
		why = append(why, fmt.Sprintf("%s: %v", a.Name, wrong))
	}
	if len(why) == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s", ErrNoAdmin, strings.ReplaceAll(strings.Join(why, "; "), "\n", "; "))
}

// shut says why no key of an administrator would log in; nil: one would.
func (a Admin) shut(grants *policy.Grants) error {
	if a.Err != nil {
		return a.Err
	}
	for _, p := range a.Result.Plans {
		if p.opens(a.Kept, grants) {
			return nil
		}
	}
	if a.answered() && slices.ContainsFunc(grants.For(a.Name), func(g policy.Grant) bool { return shell(g.Line(), grants) }) {
		return nil
	}
	switch {
	case a.Result.Err != nil:
		return a.Result.Err
	case a.Kept && len(grants.For(a.Name)) == 0:
		return errors.New("the registry and the policy grant him no key")
	case a.Result.NoHome:
		return errors.New("he has no home")
	case a.Kept && forced(grants):
		return errors.New("policy.options.force binds every key to a command, or to an end")
	case a.Kept:
		return errors.New("no key in his files is granted")
	}
	return errors.New("there is no key in his files")
}

// answered reports whether sshd reads no file of his (AuthorizedKeysFile none), so that none is changed: what logs him in is what
// he is granted.
func (a Admin) answered() bool {
	r := a.Result
	return a.Kept && r.Err == nil && !r.NoHome && len(r.Plans) == 0 && len(r.Unkept) == 0
}

// forced reports whether no line can have a key that opens.
func forced(grants *policy.Grants) bool {
	rules, _ := grants.OptionRules()
	return slices.ContainsFunc(rules.Force, func(f policy.Force) bool {
		o, err := authkeys.ParseOptions(f.Options)
		return err == nil && (o.Has("command") || o.Has("expiry-time"))
	})
}

// opens reports whether a file has a key for a shell once its plan was carried out, if it is to be: every key in a planned file is
// granted.
func (p Plan) opens(kept bool, grants *policy.Grants) bool {
	text := p.Original
	switch {
	case p.Remark != "": // others may change it, and sshd does not read it then
		return false
	case kept && p.Unresolved != "":
		return false
	case kept && p.Change:
		text = p.After
	case p.Whole.Reason != "": // it is no file that can be read whole, or one that sshd may refuse
		return false
	}
	return slices.ContainsFunc(authkeys.Parse(text), func(line authkeys.Line) bool { return shell(line, grants) })
}

// shell reports whether a line lets its key in for a shell that stays.
func shell(line authkeys.Line, grants *policy.Grants) bool {
	o := line.Options
	return line.Kind == authkeys.Entry && !o.CertAuthority() && !o.Has("command") && !o.Has("expiry-time") && grants.Taken(o)
}
