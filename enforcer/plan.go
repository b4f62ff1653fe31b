package enforcer

import (
	"bytes"
	"fmt"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/policy"
)

// FileNames lists the paths of the files that are kept unless sshd names others, in the order in which sshd reads them.
// Both count: a key in the second alone is enough for a login (AuthorizedKeysFile in sshd_config(5)).
func FileNames() []string { return []string{".ssh/authorized_keys", ".ssh/authorized_keys2"} }

// The reasons that plans add to those of the policy. Like them they are a contract.
const (
	// ReasonDuplicate: an earlier line of the file says the same.
	ReasonDuplicate policy.Reason = "duplicate"
	// ReasonForm: the key may stay, but the line is not in the one form that this program writes.
	ReasonForm policy.Reason = "form"
	// ReasonOptions: the key may stay, but not with these options.
	ReasonOptions policy.Reason = "options"
	// ReasonSymlink: the file is a symbolic link, and what it shows can be made to differ from what sshd sees.
	ReasonSymlink policy.Reason = "symlink"
	// ReasonOversize: the file is larger than homes.MaxSize.
	ReasonOversize policy.Reason = "oversize"
	// ReasonUnreadable: the file cannot be read with the user's rights.
	ReasonUnreadable policy.Reason = "unreadable"
	// ReasonBadDir: .ssh is not a directory that may be followed.
	ReasonBadDir policy.Reason = "bad-directory"
	// ReasonUntidy: owner, mode or link count of the file or of .ssh let somebody else write the file or list .ssh, or sshd refuse it.
	ReasonUntidy policy.Reason = "untidy"
	// ReasonUnsteady: the file changed each time before its plan could be carried out.
	ReasonUnsteady policy.Reason = "unsteady"
	// ReasonStuck: somebody keeps a lock of the kernel's that a change of the file waits for.
	ReasonStuck policy.Reason = "stuck"
	// ReasonRestored: keys come back from quarantine.
	ReasonRestored policy.Reason = "restored"
)

// Input is all that a plan is made from.
type Input struct {
	Account homes.Account
	// Name is the path of the file as sshd would have expanded it: clean, absolute or relative to the home.
	Name   string
	File   homes.File
	Grants *policy.Grants
	// Install asks for a line for every granted key, not only for those that are in the file already.
	Install bool
	// Others are the account's other files.
	Others []string
	// Second: another file of the account lies in the same directory, and its plan puts that directory right for both.
	Second bool
	// Heirloom stands for what an Unreadable file held of which nothing could be read.
	Heirloom []byte
	// Bring are lines that are to come back into a file that can be read, those of them whose key is granted.
	Bring []authkeys.Line
	// Restored is the copy that an administrator wants them from: they come back into a file that is missing too.
	Restored string
	// Note is what the user is told at the top of the file.
	Note Note
}

// Decision is what a plan makes of one line.
type Decision struct {
	Line authkeys.Line
	policy.Verdict
}

// Plan says what one file is to become and why. It holds all that apply needs and leaves it nothing to decide.
type Plan struct {
	Account homes.Account
	// Name is the path of the file, absolute or relative to the home; Path is the whole one.
	Name string
	// Others are the account's other files, which a new directory for this one would take along.
	Others []string
	State  homes.State
	// Before is the version that the plan was made from; it must not be applied to any other.
	Before homes.Version
	// Original is what was read: the whole file, or its first homes.MaxSize bytes when State is Oversize.
	Original []byte
	// Keep are the lines that stay byte for byte, Rewrite those that stay in another form, Remove those that go.
	Keep, Rewrite, Remove []Decision
	// Add are the grants whose lines are new in the file, Back the lines that come back into it (Input.Bring).
	Add  []policy.Grant
	Back []authkeys.Line
	// Whole is the reason for which the whole file is replaced, whatever its lines; its Reason is empty otherwise.
	Whole policy.Verdict
	// After is the exact content that the file is to have; it counts only if Change is set.
	After  []byte
	Change bool
	// Noted is set when a note for the user stands at the top of After.
	Noted bool
	// Seize asks to put the file aside, whatever version of it is there. A plan is made without it; it is set when the
	// file did not keep still for its plan to be carried out.
	Seize bool
	// Renew asks to move the directory of the file aside, .ssh as a rule, whatever is in it, and to make a new one with this file
	// alone. Without Seize it does not if what was stuck there has come back.
	Renew bool
	// Done is set when the plan was carried out.
	Done bool
	// Unresolved says what stands in the way of a decision, or of the change that was decided; nothing is changed then.
	Unresolved string
	// Remark is homes.File.Remark, whatever is changed.
	Remark string
	// Harmless is set with Unresolved where sshd finds no key, whatever is not decided: nobody gets in by it.
	Harmless bool
}

// MakePlan decides about one file. It is pure: equal inputs give equal plans, so that two nodes on one shared home
// never fight, and the plan of a planned file is empty.
func MakePlan(in Input) Plan {
	if in.Restored != "" {
		return in.restore()
	}
	p := Plan{Account: in.Account, Name: in.Name, Others: in.Others, State: in.File.State, Before: in.File.Version, Original: in.File.Data, Remark: in.File.Remark}
	switch in.File.State {
	case homes.Missing:
		// A missing file has a detail where none can be made, as behind a link to a file system that is not mounted.
		p.Unresolved, p.Harmless = in.File.Detail, in.File.Detail != ""
		if !p.Harmless {
			p.install(in)
		}
	case homes.Regular:
		p.lines(in)
	case homes.Symlink:
		p.replace(in, ReasonSymlink, in.File.Detail)
	case homes.Oversize:
		p.replace(in, ReasonOversize, in.File.Detail)
	case homes.Unreadable:
		if len(in.File.Data) == 0 {
			in.File.Data = in.Heirloom
		}
		p.replace(in, ReasonUnreadable, in.File.Detail)
	case homes.BadDir:
		if !in.Second {
			p.replace(in, ReasonBadDir, in.File.Detail)
		}
	case homes.Irregular:
		// sshd opens nothing but regular files (auth2-pubkeyfile.c, auth_openfile), so no key gets in by this.
		p.Unresolved, p.Harmless = in.File.Detail, true
		p.install(in)
	default:
		p.Unresolved = fmt.Sprintf("unknown state %d of the file", in.File.State)
	}
	p.bound(in)
	p.note(in)
	if p.Change && in.File.Barred != homes.Free {
		p.Change, p.Unresolved = false, "it has to be changed, but "+in.File.Barred.String()
	}
	return p
}

// install plans a file of all grants where none can be read and the centre wants one.
func (p *Plan) install(in Input) {
	missing := newWriter(nil, in).missing(false)
	if !in.Install || len(missing) == 0 {
		return
	}
	p.Unresolved, p.Harmless = "", false
	p.Add = missing
	p.After, p.Change = appendGrants(nil, missing), true
}

// replace plans a file of all grants in place of one whose lines cannot be trusted or seen whole: what it hides must neither
// let anybody in nor lock a registered user out. Of what could be read the options that narrow a granted key stay, since a
// key that its owner has bound to one command is not to become one for everything; and what goes is told.
func (p *Plan) replace(in Input, reason policy.Reason, detail string) {
	p.Whole = policy.Verdict{Reason: reason, Detail: detail}
	p.Keep, p.Rewrite, p.Remove = nil, nil, nil
	lines := authkeys.Parse(firstLines(in.File.Data))
	w := newWriter(lines, in)
	for _, line := range lines {
		if line.Kind != authkeys.Entry {
			continue
		}
		verdict := in.Grants.Judge(in.Account.Name, line)
		if !verdict.Stays() {
			p.Remove = append(p.Remove, Decision{line, verdict})
			continue
		}
		w.write(line)
	}
	p.Add = w.missing(true) // another host, whose sshd is newer, may read the file
	p.After, p.Change = appendGrants(w.out, p.Add), true
}

// maxLines is how many lines of one file are looked at. A file of homes.MaxSize can hold a hundred thousand, each of which
// costs some hundred bytes of memory; nobody has thousands of keys.
const maxLines = 4096

// firstLines is the text up to maxLines.
func firstLines(text []byte) []byte {
	end := 0
	for range maxLines {
		i := bytes.IndexByte(text[end:], '\n')
		if i < 0 {
			return text
		}
		end += i + 1
	}
	return text[:end]
}

// bound holds the plan to a file that can be read again. Where not even the granted keys fit, the first of them do: to leave the
// file as it is would keep whatever is in it.
func (p *Plan) bound(in Input) {
	if len(p.After) <= homes.MaxSize {
		return
	}
	before := in.File.Data
	in.File.Data = nil
	p.replace(in, ReasonOversize, "with its missing keys the file would be too large to be read again")
	if len(p.After) <= homes.MaxSize {
		return
	}
	granted, fitting := len(p.Add), p.After[:homes.MaxSize]
	p.After = fitting[:bytes.LastIndexByte(fitting, '\n')+1]
	p.Add = p.Add[:bytes.Count(p.After, []byte("\n"))]
	p.Whole.Detail = fmt.Sprintf("of the user's %d granted keys only %d fit into %d bytes", granted, len(p.Add), homes.MaxSize)
	if in.File.State == homes.Regular && in.File.Tidy && bytes.Equal(p.After, before) {
		p.Unresolved, p.Harmless = p.Whole.Detail, true
		p.Whole, p.Add, p.After, p.Change = policy.Verdict{}, nil, nil, false
	}
}

// lines plans a file that was read whole.
func (p *Plan) lines(in Input) {
	if len(firstLines(in.File.Data)) < len(in.File.Data) {
		p.replace(in, ReasonOversize, fmt.Sprintf("it has more than %d lines", maxLines))
		return
	}
	lines := authkeys.Parse(in.File.Data)
	w := newWriter(lines, in)
	for i, line := range lines {
		verdict := in.Grants.Judge(in.Account.Name, line)
		if verdict.Stays() {
			if written := w.write(line); !written.Granted() {
				verdict = written
			}
		}
		if verdict.Stays() && i == len(lines)-1 && !bytes.HasSuffix(in.File.Data, []byte("\n")) {
			verdict = policy.Verdict{Reason: ReasonForm, Detail: "the last line has no newline: what is appended next would be glued to it"}
		}
		p.decide(Decision{line, verdict})
	}
	p.Back = w.bring(in.Bring)
	if in.Install {
		p.Add = w.missing(false)
		w.out = appendGrants(w.out, p.Add)
	}
	p.After = w.out
	p.Change = !bytes.Equal(p.After, in.File.Data)
	if !in.File.Tidy {
		p.Whole = policy.Verdict{Reason: ReasonUntidy, Detail: in.File.Detail}
		p.Change = true
	}
}

func (p *Plan) decide(d Decision) {
	switch {
	case d.Stays():
		p.Keep = append(p.Keep, d)
	case d.Reason == ReasonForm || d.Reason == ReasonOptions:
		p.Rewrite = append(p.Rewrite, d)
	default:
		p.Remove = append(p.Remove, d)
	}
}

func appendGrants(dst []byte, grants []policy.Grant) []byte {
	for _, g := range grants {
		dst = g.Line().AppendTo(dst)
	}
	return dst
}
