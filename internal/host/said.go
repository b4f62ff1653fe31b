package host

import (
	"context"
	"errors"
	"strings"
)

// Line is one line of sshd's configuration.
type Line struct {
	File    string
	Number  int      // from 1
	Match   string   // what the Match block around it asks for; empty outside of blocks
	Keyword string   // in lower case
	Values  []string // without quotes
}

// Said is what the sshd of one configuration says of it.
type Said struct {
	Config string
	// Users has the answers for users. One that could not be had is in Err.
	Users map[string]Settings
	// Lines are those of the configuration's files in the order in which sshd reads them, with all that they include.
	Lines []Line
	Err   error
}

// Ask asks the sshd of each configuration about some users, by the names that homes.Account.Check admits. On a host without sshd nobody answers.
func (s *SSHD) Ask(ctx context.Context, users []string) []Said {
	var list []Said
	for _, server := range s.servers {
		program := server.find()
		if program == "" {
			continue
		}
		said := Said{Config: server.config, Users: make(map[string]Settings)}
		reader := scanner{each: func(line Line) { said.Lines = append(said.Lines, line) }}
		reader.file(server.config, "", always, 0)
		wrong := reader.wrong
		for _, user := range users {
			settings, err := askAll(ctx, program, server.config, user)
			if err != nil {
				// The next user would get the same answer, or none for as long.
				wrong = append(wrong, err)
				break
			}
			said.Users[user] = settings
		}
		said.Err = errors.Join(wrong...)
		list = append(list, said)
	}
	return list
}

// joinMatch is what a Match line asks for, in the block that includes its file: both have to be so (Include in sshd_config(5)).
func joinMatch(around string, criteria []string) string {
	text := strings.Join(criteria, " ")
	if around == "" || strings.EqualFold(around, "all") {
		return text
	}
	return around + ", " + text
}
