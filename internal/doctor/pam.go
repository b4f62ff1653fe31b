package doctor

import (
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/keyreeve/keyreeve/internal/host"
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
		case before.skips(distance) && f.forAll(before):
			list = append(list, Finding{"gate-order", Defeats, before.place(), "the stack can end here in favour of a session, before the gate: " + before.Control + " " + before.Module, "move the lines of configs/pam.d/keyreeve before it"})
		}
	}
	return list
}

// skips reports whether a line that succeeds takes the stack past the gate, which is so many lines behind it: sufficient, or an action that
// ends the stack or jumps so far (pam.conf(5)).
func (l PAMLine) skips(distance int) bool {
	if l.Control == "sufficient" {
		return true
	}
	return slices.ContainsFunc(strings.Fields(l.Control), func(word string) bool {
		result, action, _ := strings.Cut(word, "=")
		jump, err := strconv.Atoi(action)
		return (result == "success" || result == "default") && (action == "done" || err == nil && jump >= distance)
	})
}

// forAll reports whether a line is for others than those who have to get in: any but pam_succeed_if, and one of those that holds for
// another one of the sample.
func (f Facts) forAll(line PAMLine) bool {
	return !line.is("pam_succeed_if") || slices.ContainsFunc(f.Accounts, func(a Account) bool { return !a.Glass && line.holds(a) })
}

// holds judges the conditions of pam_succeed_if(8), all of which must be so. One that asks for something else, such as a group, is
// taken for one that sorts out those who have to get in.
func (l PAMLine) holds(a Account) bool {
	flags := []string{"debug", "use_uid", "quiet", "quiet_fail", "quiet_success", "audit"}
	words := slices.DeleteFunc(slices.Clone(l.Args), func(word string) bool { return slices.Contains(flags, word) })
	for ; len(words) >= 3; words = words[3:] {
		holds, known := a.is(words[0], words[1], words[2])
		if known && !holds || !known && !a.Glass {
			return false
		}
	}
	return true
}

func (a Account) is(field, operator, value string) (holds, known bool) {
	number, err := strconv.Atoi(value)
	switch field + " " + operator {
	case "user =":
		return a.Name == value, true
	case "user !=":
		return a.Name != value, true
	case "user in":
		return slices.Contains(strings.Split(value, ":"), a.Name), true
	case "user notin":
		return !slices.Contains(strings.Split(value, ":"), a.Name), true
	case "uid =", "uid eq":
		return a.UID == number, err == nil
	case "uid !=", "uid ne":
		return a.UID != number, err == nil
	case "uid <", "uid lt":
		return a.UID < number, err == nil
	case "uid <=", "uid le":
		return a.UID <= number, err == nil
	case "uid >", "uid gt":
		return a.UID > number, err == nil
	case "uid >=", "uid ge":
		return a.UID >= number, err == nil
	}
	return false, false
}

// gateFindings are what is wrong with the gate, if it stands.
func (f Facts) gateFindings() []Finding {
	g := f.gate()
	if !g.there {
		return nil
	}
	list := f.beside(g)
	if file := f.PAM[g.line].File; file != f.Stack {
		list = append(list, Finding{
			"gate-everywhere", LocksOut, g.where, "the gate stands in a file that other services than sshd have too: login, su and cron begin no session, as no sshd names a key to them",
			"move the lines of configs/pam.d/keyreeve into " + f.Stack,
		})
	}
	for _, account := range f.glass() {
		if !f.spared(g, account) && !f.barred(account.Name) {
			list = append(list, Finding{
				"gate-break-glass", LocksOut, g.where, account.Name + " begins no session while the file of answers is missing or stale: no line before the gate lets him past it",
				"session [success=1 default=ignore] pam_succeed_if.so quiet user in " + f.glassNames(":") + ", directly before the gate",
			})
		}
	}
	return list
}

// spared reports whether a line before the gate lets somebody past it.
func (f Facts) spared(g gate, account Account) bool {
	distance := 0
	for _, line := range slices.Backward(f.PAM[:g.line]) {
		if line.Type != "session" {
			continue
		}
		if distance++; line.is("pam_succeed_if") && line.skips(distance) && line.holds(account) {
			return true
		}
	}
	return false
}

// barred: root, where no sshd lets him in anyway.
func (f Facts) barred(name string) bool {
	return name == "root" && len(f.Said) > 0 && !slices.ContainsFunc(f.Said, func(said host.Said) bool {
		return said.Users[name].Text("PermitRootLogin") != "no"
	})
}

// glassNames are those who have to get in.
func (f Facts) glassNames(between string) string {
	var names []string
	for _, account := range f.glass() {
		names = append(names, account.Name)
	}
	return strings.Join(names, between)
}
