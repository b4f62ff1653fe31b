package ldapsource

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/plain"
	"github.com/keyreeve/keyreeve/registry"
)

// Schema names the attributes of a user's entry. Names are compared without regard to case (RFC 4512 section 1.4).
type Schema struct {
	// User has one value: the account's name.
	User string `yaml:"user"`
	// Key has any number of values: one line of authorized_keys each, or the bare key blob that FreeIPA also stores.
	Key string `yaml:"key"`
	// UID and GID have one value each: a decimal number.
	UID string `yaml:"uid"`
	GID string `yaml:"gid"`
	// Home has one value: an absolute path.
	Home string `yaml:"home"`
}

// DefaultSchema is posixAccount (RFC 2307) with the key attribute of the openssh-lpk schema.
func DefaultSchema() Schema {
	return Schema{User: "uid", Key: "sshPublicKey", UID: "uidNumber", GID: "gidNumber", Home: "homeDirectory"}
}

// Entry is one entry of a directory.
type Entry struct {
	DN         string
	Attributes []Attribute
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

// Decode makes the registry out of the complete list of entries; source names where they come from.
//
// Entries with neither a user name nor a key (a suffix, a folder) are passed over. Keys are compared by their blob: a key that stands
// twice in one entry with the same options counts once. The package comment says what is an error and what a Reject.
func Decode(entries []Entry, schema Schema, source string) (*registry.Snapshot, error) {
	var users []registry.User
	seen := false
	for _, e := range entries {
		keys, err := e.keys(schema.Key)
		if err != nil {
			return nil, fmt.Errorf("%s: entry %q: %w", source, e.DN, err)
		}
		seen = seen || len(keys) > 0
		users = append(users, schema.users(e, keys)...)
	}
	if !seen {
		return nil, because(Hidden, fmt.Errorf("%s: none of %d entries has the attribute %s", source, len(entries), schema.Key))
	}
	return registry.New(users, source)
}

// Check reports the names that cannot be those of attributes, all of them.
func (s Schema) Check() error {
	var errs []error
	for _, name := range s.names() {
		errs = append(errs, checkDescription(name))
	}
	return errors.Join(errs...)
}

// names lists the attributes to ask a server for.
func (s Schema) names() []string { return []string{s.User, s.Key, s.UID, s.GID, s.Home} }

// keys returns the values of the key attribute, whatever its options ("sshPublicKey;binary").
func (e Entry) keys(name string) ([][]byte, error) {
	var keys [][]byte
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
		keys = append(keys, a.Values...)
	}
	return keys, nil
}

// one returns the only value of an attribute.
func (e Entry) one(name string) (string, error) {
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
func (s Schema) users(e Entry, keys [][]byte) []registry.User {
	name, err := e.name(s.User)
	if err != nil && len(keys) == 0 && !e.has(s.User) {
		return nil
	}
	u := registry.User{Name: name, UID: -1, GID: -1}
	if err != nil {
		// Nobody can say whose keys these are. The entry stays visible under a name that no account can have.
		u.Name = "entry " + strconv.QuoteToASCII(e.DN)
		u.Rejects = []registry.Reject{{Origin: e.DN, Detail: err.Error()}}
		return []registry.User{u}
	}
	s.account(&u, e)
	for _, value := range keys {
		record, err := decodeKey(value)
		if err != nil {
			u.Rejects = append(u.Rejects, registry.Reject{Origin: e.DN, Detail: fmt.Sprintf("%s %s: %s", s.Key, quote(value), plain.Text(err.Error()))})
			continue
		}
		record.Origin = e.DN
		u.Records = append(u.Records, record)
	}
	sortUser(&u)
	return []registry.User{u}
}

// has says whether an attribute has any value.
func (e Entry) has(name string) bool {
	return slices.ContainsFunc(e.Attributes, func(a Attribute) bool {
		return strings.EqualFold(a.Name, name) && len(a.Values) > 0
	})
}

// name returns the user name, one value without control bytes.
func (e Entry) name(attribute string) (string, error) {
	name, err := e.one(attribute)
	switch {
	case err != nil:
		return "", err
	case name == "":
		return "", fmt.Errorf("%s: an empty value", attribute)
	case strings.ContainsFunc(name, unicode.IsControl):
		return "", fmt.Errorf("%s: %s holds control bytes", attribute, quote([]byte(name)))
	}
	return name, nil
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
			u.Rejects = append(u.Rejects, registry.Reject{Origin: e.DN, Detail: err.Error()})
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

// decodeKey reads one value of the key attribute.
func decodeKey(value []byte) (registry.Record, error) {
	// A line of text never begins with NUL; the length of a blob's type name, below 2^24, always does (RFC 4251 section 5).
	if len(value) > 0 && value[0] == 0 {
		key, err := authkeys.ParseBlob(value)
		return registry.Record{Key: key}, err
	}
	line, err := authkeys.ParseValue(value)
	if err != nil {
		return registry.Record{}, err
	}
	return registry.Record{Key: line.Key, Options: line.Options, Label: label(line.Comment)}, nil
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
	slices.SortFunc(u.Rejects, func(a, b registry.Reject) int { return strings.Compare(a.Detail, b.Detail) })
}

// label makes a key's comment fit for people: what does not print is a question mark.
func label(comment string) string {
	comment = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, comment)
	if len(comment) > maxLabel {
		comment = strings.ToValidUTF8(comment[:maxLabel], "")
	}
	return comment
}

// quote shows the beginning of a value in plain ASCII.
func quote(value []byte) string {
	if len(value) > maxQuote {
		return strconv.QuoteToASCII(string(value[:maxQuote])) + "..."
	}
	return strconv.QuoteToASCII(string(value))
}
