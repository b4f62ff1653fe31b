package doctor

import (
	"maps"
	"slices"
	"strings"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/host"
)

// blocks are the lines of each Match block, but for those of the sample.
func blocks(said host.Said) [][]host.Line {
	var list [][]host.Line
	var now []host.Line
	flush := func() {
		if len(now) > 0 && !answered(said, now[0].Match) {
			list = append(list, now)
		}
		now = nil
	}
	for _, line := range said.Lines {
		if line.Keyword == "match" || len(now) > 0 && now[0].Match != line.Match {
			flush()
		}
		if line.Match != "" && line.Keyword != "match" && line.Keyword != "include" {
			now = append(now, line)
		}
	}
	flush()
	return list
}

// answered reports whether a block is for users whom sshd was asked about, and for nobody else.
func answered(said host.Said, match string) bool {
	return onlyFor(match, func(name string) bool {
		_, asked := said.Users[name]
		return asked
	})
}

// onlyFor reports whether a block is for users by name, each of whom is one of those.
func onlyFor(match string, those func(name string) bool) bool {
	words := strings.Fields(match)
	return len(words) == 2 && strings.EqualFold(words[0], "user") &&
		!slices.ContainsFunc(strings.Split(words[1], ","), func(name string) bool { return !those(name) })
}

// within are the settings that are in force for a user while a block holds, and whether they are others than those of the answer. A line counts
// unless the block is not for him, or one of a block that surely is for him comes before it (sshd_config(5): the first value counts).
func within(said host.Said, block []host.Line, user string) (settings host.Settings, other bool) {
	now := said.Users[user]
	if !mayHold(block[0].Match, user) {
		return now, false
	}
	settings = maps.Clone(now)
	for _, line := range slices.Backward(block) {
		if !shadowed(said, line, user) {
			settings[line.Keyword] = changed(said, now.Words(line.Keyword), line)
		}
	}
	return settings, !maps.EqualFunc(settings, now, slices.Equal[[]string])
}

func shadowed(said host.Said, line host.Line, user string) bool {
	for _, before := range said.Lines {
		if at(before) == at(line) {
			return false
		}
		if before.Keyword == line.Keyword && surely(before.Match, user) {
			return true
		}
	}
	return false
}

// mayHold reports whether a block can be for a user: no criterion says that it is not.
func mayHold(match, user string) bool {
	words := strings.Fields(match)
	for i := 0; i+1 < len(words); i++ {
		if strings.EqualFold(words[i], "user") && !inList(strings.TrimSuffix(words[i+1], ","), user) {
			return false
		}
	}
	return true
}

// surely reports whether a block is for a user whatever his connection.
func surely(match, user string) bool {
	words := strings.Fields(match)
	return len(words) == 1 && strings.EqualFold(words[0], "all") || len(words) == 2 && strings.EqualFold(words[0], "user") && inList(words[1], user)
}

// byConnection reports whether a block depends on more than the user: sshd's answer for him does not show it.
func byConnection(match string) bool {
	words := strings.Fields(match)
	for i := 0; i < len(words); i += 2 {
		if !slices.Contains([]string{"user", "group", "all"}, strings.ToLower(words[i])) {
			return true
		}
	}
	return false
}

// inList matches a name with a list of patterns as match_pattern_list in OpenSSH's match.c does: one that is negated counts above all others.
func inList(list, name string) bool {
	found := false
	for pattern := range strings.SplitSeq(list, ",") {
		pattern, not := strings.CutPrefix(pattern, "!")
		if authkeys.Match(pattern, name) {
			if not {
				return false
			}
			found = true
		}
	}
	return found
}
