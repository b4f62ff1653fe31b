package ldapsource

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/registry"
)

// Entry is one entry of a directory.
type Entry struct {
	DN         string
	Attributes []Attribute
	// TooBig names attributes whose values are beyond the bound of maxAttribute, and are not here.
	TooBig []string
}

// Attribute is an attribute description, its name with the options after ";" (RFC 4512 section 2.5), with its values.
type Attribute struct {
	Name   string
	Values [][]byte
}

const (
	// maxQuote bounds the bytes of a value that a Reject repeats, and maxLabel the bytes of a key's comment.
	maxQuote = 32
	maxLabel = 256
	// noUID is the one 32-bit number that chown(2) reads as "leave it", so that it is nobody's.
	noUID = 1<<32 - 1
)

// Layout is how users are read from entries.
type Layout struct {
	Schema Schema
	Hosts  Hosts
}

// Check reports all that is wrong with a layout.
func (l Layout) Check() error {
	err := l.Hosts.Check()
	if err != nil {
		err = fmt.Errorf("hosts: %w", err)
	}
	return errors.Join(l.Schema.Check(), err)
}

// names lists the attributes to ask a server for.
func (l Layout) names() []string {
	names := l.Schema.names()
	if l.Hosts.Attribute != "" {
		names = append(names, l.Hosts.Attribute)
	}
	return names
}

// Decode makes the registry out of the complete list of entries; source names where they come from.
//
// Entries with neither a user name nor a key (a suffix, a folder) are passed over. Keys are compared by their blob: a key that stands
// twice in one entry with the same options counts once. The package comment says what is an error and what a Reject.
func (l Layout) Decode(entries []Entry, source string) (*registry.Snapshot, error) {
	var users []registry.Claim
	for _, e := range entries {
		e = e.bounded()
		keys, err := e.keys(l.Schema.Key)
		if err != nil {
			return nil, fmt.Errorf("%s: entry %q: %w", source, e.DN, err)
		}
		for _, u := range l.users(e, l.Schema.ours(keys)) {
			users = append(users, registry.Claim{Origin: e.DN, User: u})
		}
	}
	if err := l.seen(entries); err != nil {
		return nil, because(Hidden, fmt.Errorf("%s: %w", source, err))
	}
	plain, contested := l.contested(users)
	return registry.NewContested(plain, contested, source)
}

// seen refuses a list in which an attribute is on no entry at all that some must have: directories hide what the reader may not see
// (389 Directory Server and OpenLDAP do, without a word), and so does a wrong name.
func (l Layout) seen(entries []Entry) error {
	needed := []string{l.Schema.Key, l.Hosts.Attribute}
	for _, rule := range l.Schema.rules() {
		if rule.always {
			needed = append(needed, rule.attribute)
		}
	}
	for _, name := range needed {
		if name != "" && !slices.ContainsFunc(entries, func(e Entry) bool { return len(e.values(name)) > 0 }) {
			return fmt.Errorf("none of %d entries has the attribute %s", len(entries), name)
		}
	}
	if l.Schema.Prefix != "" && !slices.ContainsFunc(entries, func(e Entry) bool { return len(l.Schema.ours(e.values(l.Schema.Key))) > 0 }) {
		return fmt.Errorf("no value of %s begins with %s", l.Schema.Key, quote([]byte(l.Schema.Prefix)))
	}
	return nil
}

// keys returns the values of the key attribute, whatever its options ("sshPublicKey;binary").
func (e Entry) keys(name string) ([][]byte, error) {
	for _, a := range e.Attributes {
		base, options, _ := strings.Cut(a.Name, ";")
		if !strings.EqualFold(base, name) {
			continue
		}
		for option := range strings.SplitSeq(strings.ToLower(options), ";") {
			if strings.HasPrefix(option, "range=") && option != "range=0-*" {
				return nil, fmt.Errorf("the server gave a part of its keys only (%q)", a.Name)
			}
		}
	}
	return e.values(name), nil
}

// values returns all values of an attribute, whatever its options.
func (e Entry) values(name string) [][]byte {
	var values [][]byte
	for _, a := range e.Attributes {
		if base, _, _ := strings.Cut(a.Name, ";"); strings.EqualFold(base, name) {
			values = append(values, a.Values...)
		}
	}
	return values
}

// ours leaves those values that are meant to be keys, without the prefix that says so.
func (s Schema) ours(values [][]byte) [][]byte {
	if s.Prefix == "" {
		return values
	}
	var keys [][]byte
	for _, value := range values {
		if n := len(s.Prefix); len(value) >= n && strings.EqualFold(string(value[:n]), s.Prefix) {
			keys = append(keys, bytes.TrimLeft(value[n:], " "))
		}
	}
	return keys
}

// one returns the only value of an attribute.
func (e Entry) one(name string) (string, error) {
	if e.tooBig(name) {
		return "", fmt.Errorf("%s: more than %d KiB of values", name, maxAttribute>>10)
	}
	var values [][]byte
	for _, a := range e.Attributes {
		if strings.EqualFold(a.Name, name) {
			values = append(values, a.Values...)
		}
	}
	switch len(values) {
	case 0:
		return "", fmt.Errorf("%s: no value", name)
	case 1:
		return string(values[0]), nil
	default:
		return "", fmt.Errorf("%s: %d values, where one is needed", name, len(values))
	}
}

// users makes the user of an entry, or none of an entry that is no user's.
func (l Layout) users(e Entry, keys [][]byte) []registry.User {
	s := l.Schema
	name, err := e.name(s)
	if err != nil && len(keys) == 0 && !e.has(s.User) && !e.tooBig(s.Key) {
		return nil
	}
	u := registry.User{Name: name, UID: -1, GID: -1}
	if err != nil {
		// Nobody can say whose keys these are. The entry stays visible under a name that no account can have.
		return []registry.User{nobody(e.DN, codeAccount, err.Error())}
	}
	s.account(&u, e)
	s.mail(&u, e)
	s.status(&u, e)
	if u.Status == registry.Active && l.Hosts.Attribute != "" && !l.Hosts.admit(e.values(l.Hosts.Attribute)) {
		u.Status = registry.Elsewhere
	}
	if e.tooBig(s.Key) {
		reject(&u, e, codeTooBig, fmt.Sprintf("%s: more than %d KiB of values, of which none counts", s.Key, maxAttribute>>10))
	}
	for _, value := range keys {
		s.key(&u, e, value)
	}
	sortUser(&u)
	boundUser(&u)
	u.Rejects, u.Remarks = boundRejects(u.Rejects), boundRejects(u.Remarks)
	return []registry.User{u}
}

// has says whether an attribute has any value.
func (e Entry) has(name string) bool {
	return e.tooBig(name) || slices.ContainsFunc(e.Attributes, func(a Attribute) bool {
		return strings.EqualFold(a.Name, name) && len(a.Values) > 0
	})
}

// name returns the user name, one value without control bytes.
func (e Entry) name(s Schema) (string, error) {
	attribute := s.User
	name, err := e.one(attribute)
	switch {
	case err != nil:
		return "", err
	case name == "":
		return "", fmt.Errorf("%s: an empty value", attribute)
	case strings.HasPrefix(s.fold(name), nobodys):
		return "", fmt.Errorf("%s: %s is what entries without a user are called here", attribute, quote([]byte(name)))
	case strings.ContainsFunc(name, unicode.IsControl):
		return "", fmt.Errorf("%s: %s holds control bytes", attribute, quote([]byte(name)))
	case !utf8.ValidString(name): // in JSON two of them could become one
		return "", fmt.Errorf("%s: %s is not UTF-8", attribute, quote([]byte(name)))
	}
	return s.fold(name), nil
}

// account fills in uid, gid and home. Any that cannot be used makes the uid -1: half an account is none.
func (s Schema) account(u *registry.User, e Entry) {
	var errUID, errGID, errHome error
	u.UID, errUID = e.number(s.UID)
	u.GID, errGID = e.number(s.GID)
	u.Home, errHome = e.one(s.Home)
	for _, err := range []error{errUID, errGID, errHome} {
		if err != nil {
			u.UID = -1
			reject(u, e, codeAccount, err.Error())
		}
	}
}

// number returns a uid or gid in the one form that the INTEGER syntax of RFC 4517 section 3.3.16 has for it; -1 comes
// with every error.
func (e Entry) number(attribute string) (int, error) {
	text, err := e.one(attribute)
	if err != nil {
		return -1, err
	}
	n, err := strconv.ParseUint(text, 10, 32)
	if err != nil || n == noUID || strconv.FormatUint(n, 10) != text {
		return -1, fmt.Errorf("%s: %s is not the number of an account", attribute, quote([]byte(text)))
	}
	return int(n), nil
}

// sortUser makes a user the same whatever the order of the values, which a directory does not keep (RFC 4512 section
// 2.2), and drops keys that stand twice.
func sortUser(u *registry.User) {
	slices.SortFunc(u.Records, func(a, b registry.Record) int {
		return cmp.Or(
			strings.Compare(a.Key.String(), b.Key.String()),
			strings.Compare(a.Options.String(), b.Options.String()),
			strings.Compare(a.Label, b.Label),
		)
	})
	u.Records = slices.CompactFunc(u.Records, func(a, b registry.Record) bool {
		return a.Key == b.Key && a.Options == b.Options
	})
	for _, list := range [][]registry.Reject{u.Rejects, u.Remarks} {
		slices.SortFunc(list, func(a, b registry.Reject) int {
			return cmp.Or(strings.Compare(a.Code, b.Code), strings.Compare(a.Detail, b.Detail))
		})
	}
}

// The bounds of one user's keys: whoever may write his own entry must neither make his file too large to be read again
// (homes.MaxSize) nor keep the daemon busy with comparing them.
const (
	maxKeys = 2048
	maxText = 256 << 10
)

// boundUser drops the keys beyond the bounds, in the order of their blobs.
func boundUser(u *registry.User) {
	size := 0
	for i, r := range u.Records {
		line := authkeys.Line{Kind: authkeys.Entry, Key: r.Key, Options: r.Options, Comment: r.Label}
		size += len(line.AppendTo(nil)) + len("\n")
		if i < maxKeys && size <= maxText {
			continue
		}
		u.Rejects = append(u.Rejects, registry.Reject{
			Origin: r.Origin, Code: codeTooMany,
			Detail: fmt.Sprintf("%d keys, of which %d count: a user has no more than %d, and no more than %d bytes of them", len(u.Records), i, maxKeys, maxText),
		})
		u.Records = slices.Clip(u.Records[:i])
		return
	}
}
