package enforcer

import (
	"slices"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/policy"
)

// lineKey is what two lines share that say the same to sshd.
type lineKey struct {
	key     authkeys.Key
	options authkeys.Options
}

// writer renders the lines of one file that may stay.
//
// A key that is granted once and without options is free: its lines keep the user's own narrowing options, with those that are forced
// behind them. A key that
// is granted with options, or with several sets of them, is bound: where its first line stands the registry's lines are
// written, all of them, and the file's other lines with that key go. Bound line by line instead, several sets would
// change places at every look.
type writer struct {
	own     func(authkeys.Options) (authkeys.Options, error)
	grants  []policy.Grant
	bound   map[authkeys.Key]*group
	written map[lineKey]bool // lines of free keys
	present map[authkeys.Key]bool
	out     []byte
}

// group is the lines of one bound key.
type group struct {
	texts   []string // canonical, with newline
	unused  []string // those of texts that no line of the file has stood for yet
	written bool
}

func newWriter(lines []authkeys.Line, in Input) *writer {
	grants := in.Grants.For(in.Account.Name)
	w := &writer{
		own:     in.Grants.Own,
		grants:  grants,
		bound:   make(map[authkeys.Key]*group),
		written: make(map[lineKey]bool),
		present: make(map[authkeys.Key]bool),
	}
	sets := make(map[authkeys.Key][]policy.Grant)
	for _, g := range grants {
		sets[g.Key] = append(sets[g.Key], g)
	}
	for key, set := range sets {
		if len(set) == 1 && set[0].Free {
			continue
		}
		w.bound[key] = newGroup(lines, set)
	}
	return w
}

// newGroup renders the lines of one key. Each keeps the comment of the file's own line with these options, or else that
// of the file's first line with the key, or else the registry's label.
func newGroup(lines []authkeys.Line, set []policy.Grant) *group {
	g := &group{}
	for _, grant := range set {
		line := grant.Line()
		own := slices.IndexFunc(lines, func(l authkeys.Line) bool { return loginKey(l, grant.Key) && l.Options == grant.Options })
		if own < 0 {
			own = slices.IndexFunc(lines, func(l authkeys.Line) bool { return loginKey(l, grant.Key) })
		}
		if own >= 0 {
			line.Comment = lines[own].Comment
		}
		g.texts = append(g.texts, string(line.AppendTo(nil)))
	}
	g.unused = slices.Clone(g.texts)
	return g
}

// loginKey reports whether a line admits the holder of a key, and not those whom the key has certified.
func loginKey(line authkeys.Line, key authkeys.Key) bool {
	return line.Kind == authkeys.Entry && line.Key == key && !line.Options.CertAuthority()
}

// write appends what becomes of a line that may stay, and says whether it is kept, rewritten or said already.
func (w *writer) write(line authkeys.Line) policy.Verdict {
	if line.Kind != authkeys.Entry {
		return w.append(line, line)
	}
	if g := w.bound[line.Key]; g != nil {
		w.present[line.Key] = true
		return w.writeBound(g, line)
	}
	free := line
	var err error
	if free.Options, err = w.own(line.Options); err != nil {
		// As one whose own options alone are too many, which is no line of ours either.
		return policy.Verdict{Reason: authkeys.ReasonMalformedOptions, Detail: err.Error()}
	}
	w.present[line.Key] = true
	at := lineKey{free.Key, free.Options}
	if w.written[at] {
		return duplicate()
	}
	w.written[at] = true
	verdict := w.append(free, line)
	switch {
	case free.Options == line.Options:
	case line.Options.Narrowing() != line.Options:
		return policy.Verdict{Reason: ReasonOptions, Detail: "options that widen what the registered key may do are taken out"}
	default:
		return policy.Verdict{Reason: ReasonOptions, Detail: "the options that the policy forces stand behind the line's own"}
	}
	return verdict
}

// append writes a line and compares it with the one in the file.
func (w *writer) append(line, file authkeys.Line) policy.Verdict {
	from := len(w.out)
	w.out = line.AppendTo(w.out)
	if string(w.out[from:]) == file.Raw+"\n" {
		return policy.Verdict{Reason: policy.ReasonGranted}
	}
	return form()
}

func (w *writer) writeBound(g *group, line authkeys.Line) policy.Verdict {
	first := !g.written
	if first {
		g.written = true
		for _, text := range g.texts {
			w.out = append(w.out, text...)
		}
	}
	if i := slices.Index(g.unused, line.Raw+"\n"); i >= 0 {
		g.unused = slices.Delete(g.unused, i, i+1)
		return policy.Verdict{Reason: policy.ReasonGranted}
	}
	if !first {
		return duplicate()
	}
	text := string(line.AppendTo(nil))
	if i := slices.Index(g.unused, text); i >= 0 {
		g.unused = slices.Delete(g.unused, i, i+1)
		return form()
	}
	return policy.Verdict{Reason: ReasonOptions, Detail: "the line gets the options that the key registry demands"}
}

// bring writes lines whose key is granted, neither only held nor withheld, and not there, and returns them.
func (w *writer) bring(lines []authkeys.Line) (back []authkeys.Line) {
	for _, line := range lines {
		granted := slices.ContainsFunc(w.grants, func(g policy.Grant) bool { return g.Held == "" && g.Withheld == "" && loginKey(line, g.Key) })
		if granted && !w.present[line.Key] {
			w.write(line)
			back = append(back, line)
		}
	}
	return back
}

// missing lists the grants of which the file has no line. What is held stays where it is, and comes nowhere else; nor does what is withheld,
// but for a file that may have hidden it.
func (w *writer) missing(withheld bool) []policy.Grant {
	var list []policy.Grant
	for _, g := range w.grants {
		if !w.present[g.Key] && g.Held == "" && (withheld || g.Withheld == "") {
			list = append(list, g)
		}
	}
	return list
}

func duplicate() policy.Verdict {
	return policy.Verdict{Reason: ReasonDuplicate, Detail: "an earlier line has the same key with the same options"}
}

func form() policy.Verdict {
	return policy.Verdict{Reason: ReasonForm, Detail: "the line is written in its plain form"}
}
