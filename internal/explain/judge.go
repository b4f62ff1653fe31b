package explain

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/keyreeve/keyreeve/authkeys"
)

// Version is that of the document.
const version = 1

// maxKeys bounds how many keys are judged each for itself: a file holds thousands of lines.
const maxKeys = 64

// Judge says what becomes of logins. Equal facts give equal answers.
func Judge(f Facts) Answer {
	a := Answer{
		Version: version, User: f.User, UID: f.uid(), Asked: f.Wanted, Registry: f.registry(),
		Servers: []ServerAnswer{}, Removed: []RemovedAnswer{}, Hints: []Step{}, Notes: append([]string{}, f.Notes...), Unknown: append([]string{}, f.Unknown...),
	}
	if f.From.IsValid() {
		a.From = f.From.String()
	}
	switch {
	case f.Account != nil:
		a.Home = f.Account.Home
	case f.Registry.Listed:
		a.Home = f.Registry.Home
	}
	sure := len(f.Servers) > 0 && (len(f.Unknown) == 0 || f.Account == nil) // of who is no account no more need be known
	for _, s := range f.Servers {
		v := visit{Facts: f, Server: s}
		v.judge()
		a.Servers = append(a.Servers, v.answer)
		a.LogsIn = a.LogsIn || v.answer.LogsIn
		sure = sure && !v.unsure
		a.Known = a.Known || v.answer.LogsIn && s.Err == nil
	}
	a.Known = a.Known || sure && !a.LogsIn
	if !a.LogsIn && len(a.Servers) > 0 {
		a.Stop = a.Servers[0].Stop
	}
	for _, r := range f.Removed {
		if f.Wanted == "" || f.Wanted == r.Fingerprint {
			a.Removed = append(a.Removed, RemovedAnswer(r))
		}
	}
	a.Hints = append(a.Hints, f.hints()...)
	return a
}

// visit is a login at one server.
type visit struct {
	Facts
	Server

	answer ServerAnswer
	unsure bool
	// before is what stops all keys before sshd looks at one, after what does so when it has taken one.
	before, after []Step
	// sources are the files and the command's answer, with what keeps sshd from it.
	sources []source
}

// source is a place in which sshd looks for keys.
type source struct {
	file  string // "": the command
	step  *Step  // why sshd takes nothing from it
	lines []authkeys.Line
	// opaque: which keys it has is not known.
	opaque bool
	// asked: of the command's answer to the question for one key.
	asked string
}

func (v *visit) judge() {
	v.answer = ServerAnswer{Config: v.Config, Steps: []Step{}, Lines: []Line{}, Keys: []KeyAnswer{}}
	v.account()
	v.server()
	v.lists()
	v.before = slices.DeleteFunc(slices.Clone(v.answer.Steps), func(s Step) bool { return s.State != Stops })
	for _, file := range v.Files {
		v.file(file)
	}
	for _, u := range v.Unkept {
		v.unsure = true
		v.step(Step{Code: "file-not-looked-at", State: Unknown, Where: u.Path, What: u.Why})
	}
	v.command()
	v.session()
	for _, s := range v.sources {
		v.answer.Lines = append(v.answer.Lines, v.linesOf(s, v.Wanted, maxLines)...)
	}
	v.keys()
	v.first()
	if v.Account == nil { // whatever else is not known
		v.unsure = false
	}
}

func (v *visit) step(s Step) *Step {
	v.answer.Steps = append(v.answer.Steps, s)
	return &s
}

// first finds what stops the login, and marks it.
func (v *visit) first() {
	a := &v.answer
	for i := range a.Keys {
		a.LogsIn = a.LogsIn || a.Keys[i].LogsIn
	}
	if a.LogsIn {
		return
	}
	var stop *Step
	switch at := v.hopeful(); {
	case len(v.before) > 0:
		stop = &v.before[0]
	case at >= 0:
		stop = &a.Keys[at].Stops[0]
	default:
		stop = v.noKeys()
	}
	stop.First = true
	a.Stop = stop
	for i := range a.Steps {
		if s := &a.Steps[i]; s.Code == stop.Code && s.Where == stop.Where {
			s.First = true
			break
		}
	}
}

// hopeful is the key of which a person would expect most: one that the policy grants, else one that is registered, else any.
func (v *visit) hopeful() int {
	best, at := 0, -1
	for i, k := range v.answer.Keys {
		rank := 1
		if k.Registered {
			rank = 2
		}
		if k.Reason == granted {
			rank = 3
		}
		if rank > best && len(k.Stops) > 0 {
			best, at = rank, i
		}
	}
	return at
}

// noKeys is what stops somebody who has no key at all.
func (v *visit) noKeys() *Step {
	for _, s := range v.answer.Steps {
		if s.State == Skips {
			return &s
		}
	}
	what := fmt.Sprintf("no key is registered to %s, and no line that sshd reads has one", v.User)
	if !v.Registry.Listed {
		what = fmt.Sprintf("the registry does not list %s, and no line that sshd reads has a key of his", v.User)
	}
	if v.Registry.Away.Reason != "" {
		return v.step(Step{Code: string(v.Registry.Away.Reason), State: Stops, What: v.Registry.Away.Detail})
	}
	return v.step(Step{Code: cmp.Or(map[bool]string{false: "no-entry"}[v.Registry.Listed], "no-keys"), State: Stops, What: what, Do: "register a key"})
}

// Listed is what the registry has of somebody of whom no more is known.
func Listed(r Registry) RegistryAnswer { return Facts{Registry: r}.registry() }

// registry is what the registry lists.
func (f Facts) registry() RegistryAnswer {
	r := RegistryAnswer{Listed: f.Registry.Listed, Mode: f.Registry.Mode, Steps: []Step{}, Keys: []KeyRecord{}}
	note := func(code string, state State, what string) {
		r.Steps = append(r.Steps, Step{Code: code, State: state, What: what})
	}
	switch {
	case len(f.Registry.Said) > 0:
		r.Steps = f.Registry.Said
	case !f.Registry.Listed:
		note("no-entry", Note, "the registry does not list him: no key is granted, but by an exception")
	case f.Registry.Away.Reason != "":
		note(string(f.Registry.Away.Reason), Skips, f.Registry.Away.Detail+": no key of his is granted")
	default:
		note("entry", OK, "the registry lists him")
	}
	if asked := len(f.Registry.Said) == 0; asked && f.Registry.Listed && f.Account != nil && f.Account.UID != f.Registry.UID {
		note("other-uid", Note, fmt.Sprintf("the registry has uid %d for him, and this host %d: keyreeve-keys gives no key of his", f.Registry.UID, f.Account.UID))
	}
	if asked := len(f.Registry.Said) == 0; asked && f.Registry.Listed && f.Account != nil && f.Account.Home != f.Registry.Home {
		note("other-home", Note, fmt.Sprintf("the registry has the home %s for him, and this host %s: keyreeve keeps the first, and sshd reads the second", f.Registry.Home, f.Account.Home))
	}
	if f.Registry.LeftAlone != "" {
		note("left-alone", Note, "keyreeve leaves his files alone: "+f.Registry.LeftAlone)
	}
	for _, k := range f.Registry.Keys {
		if f.wants(k.Key) {
			record := recordOf(k.Key)
			record.Label, record.Options, record.Reason, record.Detail = k.Label, k.Options, string(k.Reason), k.Detail
			if !k.Until.IsZero() {
				record.Until = &k.Until
			}
			r.Keys = append(r.Keys, record)
		}
	}
	return r
}

func (f Facts) wants(k authkeys.Key) bool { return f.Wanted == "" || k.Fingerprint() == f.Wanted }

func recordOf(k authkeys.Key) KeyRecord {
	return KeyRecord{Type: k.Type(), Bits: k.Bits(), Fingerprint: k.Fingerprint()}
}
