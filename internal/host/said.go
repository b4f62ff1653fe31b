package host

import (
	"context"
	"errors"
	"maps"
	"net/netip"
	"slices"
	"strings"
)

// Line is one line of sshd's configuration.
type Line struct {
	File    string
	Number  int      // from 1
	Match   string   // what the Match block around it asks for; empty outside of blocks
	Keyword string   // in lower case, of several that mean the same the one that sshd prints
	Values  []string // without quotes
}

// Said is what the sshd of one configuration says of it.
type Said struct {
	Config string
	// Users has the answers for users. One that could not be had is in Err.
	Users map[string]Settings
	// Lines are those of the configuration's files in the order in which sshd reads them, with all that they include.
	Lines []Line
	// Lists are what PubkeyAcceptedAlgorithms comes to in a Match block, by what stands there: what begins with "+", "-" or "^". One that sshd did not say
	// is not there.
	Lists map[string][]string
	Err   error
}

// Ask asks the sshd of each configuration about some users, by the names that homes.Account.Check admits. On a host without sshd nobody answers.
func (s *SSHD) Ask(ctx context.Context, users []string) []Said {
	return s.AskFrom(ctx, netip.Addr{}, users)
}

// AskFrom is Ask about connections from an address.
func (s *SSHD) AskFrom(ctx context.Context, from netip.Addr, users []string) []Said {
	var list []Said
	for _, server := range s.servers {
		program := server.find()
		if program == "" {
			continue
		}
		said := Said{Config: server.config, Users: make(map[string]Settings), Lists: make(map[string][]string)}
		reader := scanner{each: func(line Line) { said.Lines = append(said.Lines, line) }}
		reader.file(server.config, "", always, 0)
		wrong := reader.wrong
		for _, user := range users {
			settings, err := askAll(ctx, program, server.config, user, connection(from))
			if err != nil {
				// The next user would get the same answer, or none for as long.
				wrong = append(wrong, err)
				break
			}
			said.Users[user] = settings
		}
		said.askLists(ctx, program)
		said.Err = errors.Join(wrong...)
		list = append(list, said)
	}
	return list
}

// askLists fills Lists. What one user is told otherwise makes no difference to them.
func (s *Said) askLists(ctx context.Context, program string) {
	users := slices.Sorted(maps.Keys(s.Users))
	if len(users) == 0 {
		return
	}
	for _, line := range s.Lines {
		if line.Match == "" || line.Keyword != "pubkeyacceptedalgorithms" || len(line.Values) != 1 || !IsChange(line.Values[0]) {
			continue
		}
		if _, asked := s.Lists[line.Values[0]]; asked {
			continue
		}
		if list, err := askList(ctx, program, s.Users[users[0]], line.Values[0]); err == nil {
			s.Lists[line.Values[0]] = list
		}
	}
}

// IsChange reports whether a list of algorithms is told by what is added to sshd's default one, taken from it, or put before it.
func IsChange(list string) bool { return list != "" && strings.ContainsAny(list[:1], "+-^") }

// joinMatch is what a Match line asks for, in the block that includes its file: both have to be so (Include in sshd_config(5)).
func joinMatch(around string, criteria []string) string {
	text := strings.Join(criteria, " ")
	if around == "" || strings.EqualFold(around, "all") {
		return text
	}
	return around + ", " + text
}
