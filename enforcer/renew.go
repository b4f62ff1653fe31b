package enforcer

import (
	"bytes"
	"path"
	"slices"

	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/policy"
)

// sshDir is the directory below the home in which files can be renewed together.
const sshDir = ".ssh"

// renewPlan plans a new .ssh in place of one in which the change of a file is stuck: held is the plan that could not be carried
// out, before are those of the look that came before it. It is pure. The one file of the new .ssh, name, has all granted keys,
// with the options that narrow them, of all files that were read in the old one.
func renewPlan(name string, held Plan, before []Plan, grants *policy.Grants) Plan {
	p := Plan{Account: held.Account, Name: name, State: held.State, Before: held.Before, Renew: true}
	for _, read := range append(slices.Clone(before), held) {
		if path.Dir(read.Name) != sshDir {
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
	p.bound(in, grants.For(p.Account.Name))
	return p
}
