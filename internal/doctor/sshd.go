package doctor

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/keyreeve/keyreeve/internal/host"
)

// daemons judges what each sshd says.
func (f Facts) daemons() []Finding {
	var list []Finding
	for _, said := range f.Said {
		for _, c := range checks() {
			all := f.inForce(said, c)
			for _, one := range f.inBlocks(said, c) {
				same := func(other Finding) bool { return other.Code == one.Code && other.Where == one.Where }
				if !slices.ContainsFunc(all, same) {
					all = append(all, one)
				}
			}
			list = append(list, all...)
		}
	}
	return list
}

// inForce judges the answers; what is said of several users is one finding.
func (f Facts) inForce(said host.Said, c check) []Finding {
	users := make(map[Finding][]string)
	for _, user := range f.concerned(said, c) {
		settings := said.Users[user]
		if v := c.judge(f, settings); v.severity != "" {
			one := Finding{c.code, v.severity, place(said, c.keywords[0], settings), v.what, v.do}
			users[one] = append(users[one], user)
		}
	}
	var list []Finding
	for one, names := range users {
		if len(names) < len(f.concerned(said, c)) {
			one.What += " (for " + strings.Join(names, ", ") + ")"
		}
		list = append(list, one)
	}
	return list
}

// concerned are those of the sample whom a check is about.
func (f Facts) concerned(said host.Said, c check) []string {
	users := slices.Sorted(maps.Keys(said.Users))
	return slices.DeleteFunc(users, func(user string) bool {
		return slices.ContainsFunc(f.Accounts, func(a Account) bool {
			return a.Name == user && (c.of != everybody && !a.Kept || c.of == others && a.Glass)
		})
	})
}

// inBlocks judges each Match block, as if it were in force for everybody of the sample: an answer for one connection does not show it.
// Blocks for users of the sample alone are in the answers.
func (f Facts) inBlocks(said host.Said, c check) []Finding {
	var list []Finding
	for _, block := range blocks(said) {
		first := slices.IndexFunc(block, func(line host.Line) bool { return slices.Contains(c.keywords, line.Keyword) })
		if first < 0 {
			continue
		}
		for _, user := range f.concerned(said, c) {
			settings, other := within(said, block, user)
			if !other {
				continue
			}
			if v := c.judge(f, settings); v.severity.Bad() {
				list = append(list, Finding{c.code, v.severity, at(block[first]), v.what + " (where \"Match " + block[first].Match + "\" holds)", v.do})
				break
			}
		}
	}
	return list
}

// changed is a value after a line; a list may be told by what is added to it (PubkeyAcceptedAlgorithms in sshd_config(5)).
func changed(now, line []string) []string {
	if len(line) != 1 || line[0] == "" || !strings.ContainsAny(line[0][:1], "+-^") {
		return line
	}
	more := strings.Split(line[0][1:], ",")
	list := strings.Split(strings.Join(now, ","), ",")
	if line[0][0] == '-' {
		list = slices.DeleteFunc(list, func(name string) bool { return slices.Contains(more, name) })
	} else {
		list = append(list, more...)
	}
	return []string{strings.Join(list, ",")}
}

func at(line host.Line) string { return line.File + ":" + strconv.Itoa(line.Number) }

// place is the line to change: the first that says what is in force, else the first outside of blocks, which would count.
func place(said host.Said, keyword string, settings host.Settings) string {
	var global string
	for _, line := range said.Lines {
		if line.Keyword != keyword {
			continue
		}
		if strings.EqualFold(strings.Join(line.Values, " "), settings.Text(keyword)) {
			return at(line)
		}
		if line.Match == "" && global == "" {
			global = at(line)
		}
	}
	if global != "" {
		return global
	}
	return said.Config + " (a default: no line says it)"
}
