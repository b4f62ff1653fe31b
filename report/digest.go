package report

import (
	"slices"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/policy"
)

// Digest is what a report comes to: what everybody who prints one begins with. Lists are whole and sorted by what matters; who prints
// them bounds them. Its numbers agree with those of Counts, whose lines are those of plans that count: planned, or carried out
// where plans were.
type Digest struct {
	Counts Counts
	// Lockouts are the people who lose a key and have none left in their files; first those who have none registered either.
	Lockouts []Lockout
	// Reasons count lines and files by what becomes of them and why, by actions, the most frequent first.
	Reasons []ReasonTally
	// Keys count lines with a key by type and size, the most frequent first; Ages by how long their registration is known, the newest first.
	Keys []KeyTally
	Ages []AgeTally
	// Homes count accounts by the worst that is to be said of each: they add up to Counts.Accounts.
	Homes []HomeTally
	// Files count the files that are kept by their states, in the order of homes.State.
	Files []FileTally
	// Cluster are keys that a cluster has put into its users' files, as its own tools do.
	Cluster []ClusterKey
	// Private are private keys in the homes, and where one may be; people by the worst of theirs.
	Private []PrivateFinding
	// Modes are files and directories whose owner, mode or links are wrong.
	Modes []Finding
	// Open is what could not be decided, read or changed; those by which somebody may get in first. Nothing of it is clean.
	Open []Finding
}

// Lockout is a person who can no longer log in by the files that are kept.
type Lockout struct {
	User string
	// Mode is that of the account; only in mode enforce does it come to this.
	Mode string
	// Lost are the lines with a key that go, in the order of the files.
	Lost []Lost
	// Granted counts the registered keys that work for the user and are in none of the files: with one he gets in where sshd asks
	// keyreeve, or where homes.install puts it into his file.
	Granted int
	// Unsure is set where one of his files could not be read or decided: he may have a key in it, or may have had none.
	Unsure bool
}

// Lost is a line that goes.
type Lost struct {
	Path string
	enforcer.Decision
}

// What becomes of a line or file, as in the field "action" of the JSON report.
const (
	ActionRemove  = "remove"
	ActionRewrite = "rewrite"
	ActionAdd     = "add"
	ActionReplace = "replace" // of a whole file, whatever its lines
	ActionHold    = "hold"    // a line that is kept though its key is no longer registered
	ActionKeep    = "keep"
)

// ReasonTally counts what one action does for one reason.
type ReasonTally struct {
	Action   string
	Reason   policy.Reason
	Number   int // of lines; of files for ActionReplace
	Accounts int
}

// Fates count lines with a key by what becomes of them.
type Fates struct {
	Stay int // and in a new form
	Go   int
	New  int // lines that are added
	Left int // in files that are not decided, or whose change was not carried out
}

// Lines is how many of them are in the files as they were found.
func (f Fates) Lines() int { return f.Stay + f.Go + f.Left }

// KeyTally counts keys of one type and size.
type KeyTally struct {
	Type string
	Bits int
	Fates
}

// AgeTally counts keys whose registration has been known for a while. Days is the upper bound of that, 0 none; Unknown are keys of
// which it is not known, as of all that were never registered.
type AgeTally struct {
	Days    int
	Unknown bool
	Fates
}

// HomeState is the worst that is to be said of an account.
type HomeState string

// The states, the worst first.
const (
	HomeError   HomeState = "error"     // it could not be looked at, in whole or in part
	HomeOpen    HomeState = "undecided" // a file could not be decided or changed
	HomeLeft    HomeState = "left"      // a change was not carried out
	HomeChange  HomeState = "change"    // a file changes
	HomeUnkept  HomeState = "unkept"    // sshd may read files that are not kept
	HomeExposed HomeState = "exposed"   // others may write where only the user should
	HomeNone    HomeState = "no-home"   // it has none yet
	HomeWithout HomeState = "no-key"    // in line, without any key
	HomeInLine  HomeState = "in-line"   // in line, with keys
)

// homeStates lists them in their order.
func homeStates() []HomeState {
	return []HomeState{HomeError, HomeOpen, HomeLeft, HomeChange, HomeUnkept, HomeExposed, HomeNone, HomeWithout, HomeInLine}
}

// HomeTally counts accounts of one state.
type HomeTally struct {
	State    HomeState
	Accounts int
}

// FileTally counts files of one state.
type FileTally struct {
	State homes.State
	Files int
}

// ClusterKey is a line whose key has the mark of a cluster's own tools.
type ClusterKey struct {
	User, Path string
	Line       authkeys.Line
	Mark       Mark
	Action     string
}

// Finding is a sentence about a file, or about the whole account where Path is empty.
type Finding struct {
	User, Path, Detail string
	// Pressing: somebody may get in by it.
	Pressing bool
	// Mended: the plan puts it right.
	Mended bool
}

// counts reports whether what a plan says of its file is done, or to be done.
func (r Report) counts(p enforcer.Plan) bool { return p.Change && p.Done == r.Applied }

// ClusterUsers counts the people with keys of the cluster, and those of them who lose one.
func (d Digest) ClusterUsers() (users, losers int) {
	all, lose := make(map[string]bool), make(map[string]bool)
	for _, k := range d.Cluster {
		all[k.User] = true
		if k.Action == ActionRemove {
			lose[k.User] = true
		}
	}
	return len(all), len(lose)
}

// Shut counts the lockouts of people of whom no other key is granted.
func (d Digest) Shut() int {
	n := slices.IndexFunc(d.Lockouts, func(l Lockout) bool { return l.Granted > 0 })
	if n < 0 {
		return len(d.Lockouts)
	}
	return n
}
