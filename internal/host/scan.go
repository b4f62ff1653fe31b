package host

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// The bounds of reading sshd's configuration. sshd's own bound of depth is 16 (SERVCONF_MAX_DEPTH in servconf.c).
const (
	maxDepth  = 16
	maxFiles  = 1000
	maxConfig = 1 << 20 // bytes of one file
)

// sshdDir is what sshd takes relative Include paths from, whatever its -f says (SSHDIR in servconf.c).
const sshdDir = "/etc/ssh"

// text is what sshd's configuration files say of AuthorizedKeysFile, as far as one answer of sshd does not show it.
type text struct {
	// files were read, or are to be; folders hold them, or would.
	files, folders []string
	// perUser: a Match block sets the keyword, so that the answer may differ from user to user.
	perUser bool
	// beside are values that may be in force for some connection and that the answer for one connection need not show.
	beside []string
	// named are all values.
	named []string
	wrong []error
}

// kind is what decides whether a line is in force. Of nested ones, by Include in a Match block, the greatest counts.
type kind int

const (
	always kind = iota
	byUser      // and his groups
	byName      // of the user, as it was typed
	byConnection
)

// scanner reads the files in the order in which sshd does.
type scanner struct {
	text
	each       func(Line) // is given every line, if it is not nil
	global     []string   // the values outside of Match blocks
	connection bool       // a block that a connection decides about has set the keyword
	name       bool       // so has one that the user's name decides about
}

// scan reads a configuration file and what it includes.
//
// Files only add keys, and a file that nobody reads does no harm when it is kept. So, where a Match block that a connection
// decides about (Address, Host, LocalAddress, LocalPort, RDomain, ...) sets the keyword, its value counts for everybody,
// and with it all that it may hide from an answer: what stands outside of blocks and in blocks behind it, since the
// first that applies wins. An entry with a blank counts too: sshd prints it without quotes.
//
// Where a Match User sets the keyword, what stands outside of blocks counts for everybody as well: sshd compares the name as it
// was typed at the login, and NSS may take other spellings of it (ALICE, or alice@example.org with sssd), which lead past
// the block.
func scan(config string) text {
	var s scanner
	s.file(config, "", always, 0)
	if s.connection || s.name {
		if s.global == nil {
			s.global = defaultFiles()
		}
		s.beside = append(s.beside, s.global...)
	}
	// What cannot be read may hold anything.
	s.perUser = s.perUser || len(s.wrong) > 0
	return s.text
}

// file reads one file. around is the kind of the block that includes it, match its text.
func (s *scanner) file(name, match string, around kind, depth int) {
	s.place(name)
	if slices.Contains(s.files, name) && depth == 0 || len(s.files) >= maxFiles || depth > maxDepth {
		s.wrong = append(s.wrong, fmt.Errorf("%s: included too deep, or one file too many", name))
		return
	}
	s.files = append(s.files, name)
	data, err := readConfig(name)
	if err != nil {
		s.wrong = append(s.wrong, err)
		return
	}
	now, block, number := around, match, 0
	for line := range strings.Lines(data) {
		keyword, values := split(line)
		keyword = canonical(strings.ToLower(keyword))
		if number++; s.each != nil && keyword != "" {
			s.each(Line{File: name, Number: number, Match: block, Keyword: keyword, Values: values})
		}
		switch keyword {
		case "match":
			now, block = max(around, matchKind(values)), joinMatch(match, values)
		case "include":
			for _, pattern := range values {
				s.include(pattern, block, now, depth+1)
			}
		case "authorizedkeysfile":
			s.values(values, now)
		}
	}
}

func (s *scanner) values(values []string, now kind) {
	for i, value := range values {
		if rest, found := strings.CutPrefix(value, "~/"); found {
			values[i] = "/root/" + rest // tilde_expand_filename for the uid of sshd
		}
	}
	s.named = append(s.named, values...)
	s.perUser = s.perUser || now != always
	s.connection = s.connection || now == byConnection
	s.name = s.name || now == byName
	for _, value := range values {
		if now != always && s.connection || strings.ContainsAny(value, " \t") {
			s.beside = append(s.beside, value)
		}
	}
	if now == always {
		s.global = append(s.global, values...)
	}
}

// include reads the files of a pattern. That of glob(3) and that of Go differ in "[!" alone.
func (s *scanner) include(pattern, match string, now kind, depth int) {
	if !filepath.IsAbs(pattern) {
		pattern = filepath.Join(sshdDir, pattern)
	}
	names, err := filepath.Glob(strings.ReplaceAll(pattern, "[!", "[^"))
	if err != nil {
		s.wrong = append(s.wrong, fmt.Errorf("the pattern of Include %s: %w", pattern, err))
	}
	// What is made here may match.
	before, _, _ := strings.Cut(pattern, "*")
	before, _, _ = strings.Cut(before, "?")
	before, _, _ = strings.Cut(before, "[")
	s.place(before + "x")
	for _, name := range names {
		s.file(name, match, now, depth)
	}
}

// place notes the folders whose changes matter to a file: that of its name, and that of the file behind a link.
func (s *scanner) place(name string) {
	list := []string{filepath.Dir(name)}
	if target, err := filepath.EvalSymlinks(name); err == nil {
		list = append(list, filepath.Dir(target))
	}
	for _, folder := range list {
		if !slices.Contains(s.folders, folder) {
			s.folders = append(s.folders, folder)
		}
	}
}

func readConfig(name string) (string, error) {
	info, err := os.Stat(name)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("%s: not a regular file", name)
	}
	file, err := os.Open(name) //nolint:gosec // a file that sshd reads as root
	if err != nil {
		return "", err
	}
	data, err := io.ReadAll(io.LimitReader(file, maxConfig+1))
	if err = errors.Join(err, file.Close()); err != nil {
		return "", err
	}
	if len(data) > maxConfig {
		return "", fmt.Errorf("%s: more than %d bytes", name, maxConfig)
	}
	return string(data), nil
}

// matchKind says what a Match line asks for. What is not known here is a matter of the connection: that errs towards
// keeping a file too many.
func matchKind(criteria []string) kind {
	found := byUser
	for i := 0; i < len(criteria); i++ {
		word, _, whole := strings.Cut(strings.ToLower(criteria[i]), "=") // user=NAME since 10.0
		switch word {
		case "all", "invalid-user":
		case "user", "group", "version":
			if word == "user" {
				found = byName
			}
			if !whole {
				i++ // its pattern
			}
		default:
			return byConnection
		}
	}
	return found
}

// canonical is the keyword that sshd prints for another one of the same meaning (keywords in servconf.c).
func canonical(keyword string) string {
	switch keyword {
	case "pubkeyacceptedkeytypes":
		return "pubkeyacceptedalgorithms"
	case "challengeresponseauthentication", "skeyauthentication":
		return "kbdinteractiveauthentication"
	case "dsaauthentication":
		return "pubkeyauthentication"
	}
	return keyword
}

// split parts a line into its keyword and its words (strdelim in misc.c): blanks or one "=" behind the keyword.
func split(line string) (keyword string, words []string) {
	line = strings.Trim(line, " \t\r\n\f")
	if rest, quoted := strings.CutPrefix(line, `"`); quoted {
		keyword, line, _ = strings.Cut(rest, `"`)
	} else {
		end := strings.IndexAny(line, " \t\r\"=")
		if end < 0 {
			return line, nil
		}
		keyword, line = line[:end], line[end:]
	}
	line = strings.TrimLeft(line, " \t\r")
	line = strings.TrimPrefix(line, "=")
	if strings.HasPrefix(keyword, "#") {
		return "", nil
	}
	return keyword, argv(line, true)
}

// argv parts a text into words (argv_split in misc.c): quotes of both kinds, backslash before a quote, a backslash or a blank, and in a configuration "#"
// for a comment.
func argv(line string, comments bool) (words []string) {
	var word []byte
	var quote byte
	open := false // a word has begun, which may be empty
	for i := 0; i < len(line); i++ {
		c := line[i]
		switch {
		case c == '\\' && i+1 < len(line) && (strings.IndexByte(`"'\`, line[i+1]) >= 0 || quote == 0 && line[i+1] == ' '):
			i++
			word, open = append(word, line[i]), true
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote, open = c, true
		case quote == 0 && (c == ' ' || c == '\t'):
			if open {
				words = append(words, string(word))
			}
			word, open = nil, false
		case comments && quote == 0 && c == '#' && !open:
			return words
		default:
			word, open = append(word, c), true
		}
	}
	if open {
		words = append(words, string(word))
	}
	return words
}
