package enforcer

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/policy"
)

// attempts bounds how often a file that changes under the look is planned again: its owner may write in a loop, and
// must not keep a worker for himself.
const attempts = 5

// Result is what a look at one account's files found.
type Result struct {
	Account homes.Account
	// Plans are those of the files, in the order in which sshd reads them; the last of each, where it was made more than once.
	Plans []Plan
	// Tried are all plans that were to be carried out, in their order, whatever came of them: an error does not say that nothing was changed.
	Tried []Plan
	// Unkept are files that sshd may read beside those.
	Unkept []homes.Unkept
	// NoHome is set when the account has no home yet, or when its user left the registry and it is somebody else's by now; there
	// are no plans for files in it then.
	NoHome bool
	// Err says what kept a file from being read or changed.
	Err error
	// Private are private keys in the home, if they were looked for (Looker.Private).
	Private []PrivateKey
}

// Changed reports whether a plan was carried out.
func (r Result) Changed() bool {
	return slices.ContainsFunc(r.Plans, func(p Plan) bool { return p.Done })
}

// Looker looks at accounts.
type Looker struct {
	Homes  Homes
	Grants *policy.Grants
	// Files lists the files that sshd reads for an account. What comes with an error is looked at all the same. Nil: those of
	// FileNames.
	Files func(homes.Account) (homes.KeyFiles, error)
	// Install asks for a line for every granted key in the first of the files.
	Install bool
	// Note is what users are told at the top of their files.
	Note Note
	// Act is called with every plan that has a change. Nil looks only.
	Act func(Plan) error
	// Clean removes what a crash left beside the files, if there is an Act: for the first look of a run.
	Clean bool
	// Bring are lines that are to come back, by the path of their file.
	Bring map[string][]authkeys.Line
	// Server says what serves a home, as for a Runner; Sweep alone asks it. Nil: each home is served by itself.
	Server func(home string) string
	// Patient leaves a file that may not be finished for a later look, and says so by ErrUnsettled: one that its owner
	// cannot read, since root may be making it, as useradd and a restore do, who create it first and give it away then; and
	// one that somebody has open for writing, unless a key is to go from it.
	Patient bool
	// Private finds private keys in a home, for a report; it changes nothing. Nil: nobody looks for any.
	Private func(homes.Account) []PrivateKey

	twins    map[int][]homes.Account    // as in a World
	shared   map[string][]homes.Account // as in a World
	departed map[string]time.Time       // as in a World
	claims   map[string][]homes.Account // as in a World
	restored string                     // the copy that Bring is of
}

// ErrUnsettled is in a result whose look was patient: nothing was done about a file that may not be finished.
var ErrUnsettled = errors.New("it may not be finished: its owner cannot read it, or somebody has it open for writing")

// Look reads the files of one account, plans each of them and acts on the plans. A file that changed between the reading
// and the act is read and planned again, a bounded number of times.
func (l Looker) Look(account homes.Account) Result {
	if err := l.SharedHome(account); errors.Is(err, errOthers) {
		return Result{Account: account, NoHome: true}
	} else if err != nil {
		return Result{Account: account, Err: err}
	}
	files, err := homes.KeyFiles{Paths: FileNames()}, error(nil)
	if l.Files != nil {
		files, err = l.Files(account)
		l.part(account, &files)
	}
	result := Result{Account: account, Unkept: files.Unkept}
	if carry := l.Act; carry != nil {
		l.Act = func(p Plan) error {
			err := carry(p)
			if !errors.Is(err, errAbandoned) && !errors.Is(err, ErrBraked) {
				result.Tried = append(result.Tried, p)
			}
			return err
		}
	}
	var wrong []error
	if err != nil {
		wrong = append(wrong, err)
	}
	for i, name := range files.Paths {
		in := Input{
			Account: account, Name: name, Grants: l.Grants, Install: l.Install && i == 0, Note: l.Note, Bring: l.Bring[name], Others: slices.Concat(files.Paths[:i], files.Paths[i+1:]),
			Second: slices.ContainsFunc(files.Paths[:i], func(other string) bool { return path.Dir(other) == path.Dir(name) }),
		}
		if len(in.Bring) > 0 {
			in.Restored = l.restored
		}
		plan, err := l.keep(in, result.Plans, files.Paths)
		if _, left := l.departed[account.Name]; errors.Is(err, homes.ErrNoHome) || left && errors.Is(err, homes.ErrStranger) {
			result.NoHome = true // sshd reads the files outside of it all the same
			continue
		}
		if err != nil {
			wrong = append(wrong, err)
		}
		if plan.Name != "" {
			result.Plans = append(result.Plans, plan)
		}
	}
	result.Err = errors.Join(wrong...)
	l.lookForPrivate(&result)
	if l.Clean && l.Act != nil {
		l.Homes.Clean(account, files.Paths...) // last: whatever this waits for, no key is in force for it
	}
	return result
}

// errOthers says that the home of one who left is another account's by now.
var errOthers = errors.New("it is not his any more")

// SharedHome says that an account must be left alone: another one with its uid has the same home under another path, or one names the
// same home that is root's, and each would lose its keys to the other. What a twin's home is must be known for that, unless there
// is none. Where only one of two uids may use the home, it is that one's: to the other the look at its files is refused. (Of one home
// only accounts of one uid can change the files: it is theirs, or root's.) Of one who left the home is then another one's: the error wraps
// errOthers.
func (l Looker) SharedHome(account homes.Account) error {
	claims := l.claims[account.Name]
	for i, twin := range slices.Concat(claims, l.twins[account.UID], l.shared[account.Home]) {
		if twin == account || twin.Check() != nil { // a home that is refused is that of nobody who is kept
			continue
		}
		switch same, err := l.Homes.SameHome(account, twin); {
		case twin.UID != account.UID && errors.Is(err, homes.ErrRefused):
		case err != nil:
			return fmt.Errorf("is the home of %s that of %s too? %w", account.Name, twin.Name, err)
		case same && i < len(claims):
			return fmt.Errorf("the home %s of %s, who left, is that of %s: %w", account.Home, account.Name, twin.Name, errOthers)
		case same:
			return fmt.Errorf("the home %s of %s is that of %s too, by the path %s: both are left alone", account.Home, account.Name, twin.Name, twin.Home)
		}
	}
	return nil
}

// part takes from the files of an account those that are another one's as well, whose granted keys would go.
func (l Looker) part(account homes.Account, files *homes.KeyFiles) {
	for _, twin := range l.twins[account.UID] {
		if twin == account {
			continue
		}
		theirs, _ := l.Files(twin) // what is in force in spite of an error
		files.Paths = slices.DeleteFunc(slices.Clone(files.Paths), func(name string) bool {
			both := path.IsAbs(name) && slices.Contains(theirs.Paths, name)
			if both {
				files.Unkept = append(slices.Clip(files.Unkept), homes.Unkept{Path: name, Why: "one file for several accounts with one uid: keyreeve does not keep it"})
			}
			return both
		})
	}
}

// file looks at one file, of which in has all but its content; the plan's Name is empty when no plan could be made.
func (l Looker) file(in Input) (Plan, error) {
	var plan Plan
	for range attempts {
		file, err := l.Homes.Read(in.Account, in.Name)
		if err != nil {
			return Plan{}, fmt.Errorf("read %s of %s: %w", in.Name, in.Account.Name, err)
		}
		in.File = file
		plan = MakePlan(in)
		if !plan.Change || l.Act == nil {
			return plan, nil
		}
		if l.Patient && (plan.State == homes.Unreadable || file.Busy && !plan.removesKey()) {
			return plan, fmt.Errorf("%s of %s: %w", in.Name, in.Account.Name, ErrUnsettled)
		}
		if err = l.act(&plan); !errors.Is(err, homes.ErrChanged) {
			return plan, err
		}
	}
	// Whatever stands there now is put aside, and the file of the last plan takes its place. Giving up instead would let a
	// loop keep an unregistered key for good.
	plan.Seize = true
	plan.Whole = policy.Verdict{Reason: ReasonUnsteady, Detail: "the file kept changing while it was looked at; it is put aside"}
	err := l.act(&plan)
	return plan, err
}

// removesKey reports whether a line that has a key goes.
func (p Plan) removesKey() bool {
	return slices.ContainsFunc(p.Remove, func(d Decision) bool { return d.Line.Kind == authkeys.Entry })
}

func (l Looker) act(plan *Plan) error {
	err := l.Act(*plan)
	plan.Done = err == nil || errors.Is(err, ErrUntold)
	return err
}
