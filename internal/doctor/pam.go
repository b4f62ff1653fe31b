package doctor

import (
	"path"
	"slices"
	"strconv"
	"strings"
)

// gate is keyreeve-keys in sshd's stack (pam_exec(8)).
type gate struct {
	there bool
	// binds: its refusal ends the session, and nothing before it lets sessions past it, or tells it another key.
	binds       bool
	where       string
	line        int // its index in the stack
	program     string
	file        string
	allow       []string
	authorities []string
}

// gate finds it.
func (f Facts) gate() gate {
	for i, line := range f.PAM {
		words := line.Args
		at := slices.IndexFunc(words, func(word string) bool { return path.Base(word) == "keyreeve-keys" })
		if line.Type != "session" || !line.is("pam_exec") || at < 0 || !slices.Contains(words[at+1:], "--pam") {
			continue
		}
		g := gate{there: true, line: i, where: line.place(), program: words[at], file: fileOf(words[at+1:])}
		for _, word := range words[at+1:] {
			if list, ok := strings.CutPrefix(word, "--allow="); ok {
				g.allow = append(g.allow, strings.Split(list, ",")...)
			}
			if key, ok := strings.CutPrefix(word, "--authority="); ok {
				g.authorities = append(g.authorities, key)
			}
		}
		g.binds = !slices.ContainsFunc(f.beside(g), func(one Finding) bool { return one.Severity == Defeats })
		return g
	}
	return gate{}
}

func (l PAMLine) place() string { return l.File + ":" + strconv.Itoa(l.Number) }

// is reports whether a line names a module, with or without its path and ending.
func (l PAMLine) is(module string) bool {
	return strings.TrimSuffix(path.Base(l.Module), ".so") == module
}

// beside is what takes the gate's force from it: its own control, and the lines before it.
func (f Facts) beside(g gate) []Finding {
	var list []Finding
	line := f.PAM[g.line]
	const own = "session requisite pam_exec.so quiet type=open_session " + program + " --pam"
	if line.Control != "requisite" && line.Control != "required" {
		list = append(list, Finding{"gate-control", Defeats, g.where, "a session begins although the gate refuses it: its control is " + line.Control, own})
	}
	for _, word := range line.Args {
		if phase, ok := strings.CutPrefix(word, "type="); ok && phase != "open_session" {
			list = append(list, Finding{"gate-control", Defeats, g.where, "the gate is not run when a session begins: " + word, own})
		}
	}
	distance := 0
	for _, before := range slices.Backward(f.PAM[:g.line]) {
		if before.Type != "session" {
			continue
		}
		distance++
		switch {
		case before.is("pam_env") && slices.Contains(before.Args, "user_readenv=1"):
			list = append(list, Finding{"gate-order", Defeats, before.place(), "the user's own file of variables is read before the gate, and can name another key than he used", "move the lines of configs/pam.d/keyreeve before it"})
		case before.lets(distance):
			list = append(list, Finding{"gate-order", Defeats, before.place(), "the stack can end here in favour of a session, before the gate: " + before.Control + " " + before.Module, "move the lines of configs/pam.d/keyreeve before it"})
		}
	}
	return list
}

// lets reports whether a line may let a session past the gate, which is so many lines behind it, whoever it is: sufficient, or an action
// that ends the stack or jumps so far (pam.conf(5)). pam_succeed_if asks for somebody, which is what break-glass is.
func (l PAMLine) lets(distance int) bool {
	if l.is("pam_succeed_if") {
		return false
	}
	if l.Control == "sufficient" {
		return true
	}
	return slices.ContainsFunc(strings.Fields(l.Control), func(word string) bool {
		result, action, _ := strings.Cut(word, "=")
		jump, err := strconv.Atoi(action)
		return (result == "success" || result == "default") && (action == "done" || err == nil && jump >= distance)
	})
}

// spares reports whether a line lets a user past the gate, which stands next behind those that it skips.
func (l PAMLine) spares(user string, distance int) bool {
	if l.Type != "session" || !l.is("pam_succeed_if") || !strings.Contains(l.Control, "success="+strconv.Itoa(distance)) && l.Control != "sufficient" && !strings.Contains(l.Control, "success=done") {
		return false
	}
	for i := range l.Args {
		if i+2 >= len(l.Args) {
			return false
		}
		value := l.Args[i+2]
		switch l.Args[i] + " " + l.Args[i+1] {
		case "user =", "user in":
			if slices.Contains(strings.Split(value, ":"), user) {
				return true
			}
		case "uid =", "uid eq":
			if user == "root" && value == "0" {
				return true
			}
		case "user ingroup":
			return true // who is in it is NSS's word
		}
	}
	return false
}

// gateFindings are what is wrong with the gate, if it stands.
func (f Facts) gateFindings() []Finding {
	g := f.gate()
	if !g.there {
		return nil
	}
	list := f.beside(g)
	for _, account := range f.glass() {
		if !f.spared(g, account.Name) {
			list = append(list, Finding{
				"gate-break-glass", LocksOut, g.where, account.Name + " begins no session while the file of answers is missing or stale: no line before the gate lets him past it",
				"session [success=1 default=ignore] pam_succeed_if.so quiet user in " + f.glassNames(":") + ", directly before the gate",
			})
		}
	}
	return list
}

// spared counts the lines of sessions between a line and the gate: jumps do.
func (f Facts) spared(g gate, user string) bool {
	distance := 0
	for _, line := range slices.Backward(f.PAM[:g.line]) {
		if line.Type != "session" {
			continue
		}
		if distance++; line.spares(user, distance) {
			return true
		}
	}
	return false
}

// glassNames are those who have to get in.
func (f Facts) glassNames(between string) string {
	var names []string
	for _, account := range f.glass() {
		names = append(names, account.Name)
	}
	return strings.Join(names, between)
}
