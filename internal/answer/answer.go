// Package answer is the file from which sshd is told the keys of a user: the daemon writes it, keyreeve-keys reads it, and nothing
// else stands between the two, no socket and no daemon that has to run at a login.
//
// The file is a cdb file. Its keys are user names, and a value is text, which "cdb -q FILE USER" of the package tinycdb shows:
//
//	1 UID END
//	END FINGERPRINT LINE
//	…
//
// The first line holds the version of the format, the user's uid, and the moment from which on the file does not count any more; each other
// one the moment at which a key ends, its fingerprint as ssh-keygen -l shows it, and its line of authorized_keys. Moments are seconds since
// 1970, and 0 is never. Each value says for itself when it ends, so that one look-up is all that a login costs.
//
// Records whose keys begin with a NUL, as no user's name does, say how the keys of other programs are judged (chain.go), and from which
// reading of the registry the file follows. Zeros behind the tables say nothing.
package answer

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"strconv"
	"strings"
	"time"
)

// Name is the file's name in its directory, and Dir the directory that the service has for it.
const (
	Name = "keys.cdb"
	Dir  = "/var/lib/keyreeve-sshd"
)

const (
	version = "1"
	// maxValue bounds what is believed of one user: more than the 256 KiB that the registry may say of one, in canonical lines.
	maxValue = 4 << 20
)

// Key is one line for sshd.
type Key struct {
	// Fingerprint is "SHA256:" and the unpadded base64 of the hash of the wire encoding.
	Fingerprint string
	// Line is the line of authorized_keys, with its LF.
	Line string
	// Until is the moment at which the key ends; the zero time is never.
	Until time.Time
}

// User is what is to be said of one user.
type User struct {
	Name string
	UID  int
	Keys []Key
	// Refused are the fingerprints of keys that no other program can let this user in with; [Everything] is all of them.
	Refused []string
	// Until is the moment from which on they are all; the zero time is never.
	Until time.Time
}

// Make gives the bytes of a file for these users, each of whom is named once. It does not count from the moment end on; the zero time is never.
// Equal users in equal order give equal bytes. Rules are those by which the keys of other programs are judged;
// without keys there are none.
func Make(users iter.Seq[User], end time.Time, rules Rules) ([]byte, error) {
	return MakeOf("", users, end, rules)
}

// originKey is that of the record with the digest of a reading.
const originKey = "\x00origin"

// MakeOf is Make for a file that says from which reading of the registry it follows, by any word for that; an empty one says nothing.
func MakeOf(origin string, users iter.Seq[User], end time.Time, rules Rules) ([]byte, error) {
	m := newMaker()
	if origin != "" {
		if err := m.add([]byte(originKey), []byte(origin)); err != nil {
			return nil, err
		}
	}
	if len(rules.Keys) > 0 {
		if err := m.add([]byte(rulesKey), appendRules(nil, rules, end)); err != nil {
			return nil, err
		}
	}
	var value []byte
	for user := range users {
		if len(user.Refused) > 0 || !user.Until.IsZero() {
			value = appendRefused(value[:0], user, end)
			if err := m.add([]byte(refusedKey+user.Name), value); err != nil {
				return nil, err
			}
			if len(user.Keys) == 0 {
				continue
			}
		}
		value = appendUser(value[:0], user, end)
		if len(value) > maxValue {
			return nil, fmt.Errorf("the keys of %q take %d bytes, more than %d", user.Name, len(value), maxValue)
		}
		if err := m.add([]byte(user.Name), value); err != nil {
			return nil, err
		}
	}
	return m.finish()
}

func appendUser(dst []byte, user User, end time.Time) []byte {
	dst = append(dst, version+" "...)
	dst = strconv.AppendInt(dst, int64(user.UID), 10)
	dst = append(appendMoment(append(dst, ' '), end), '\n')
	for _, key := range user.Keys {
		dst = append(appendMoment(dst, key.Until), ' ')
		dst = append(append(dst, key.Fingerprint...), ' ')
		dst = append(dst, key.Line...)
	}
	return dst
}

// appendMoment rounds down: a key may end a part of a second too soon, not too late.
func appendMoment(dst []byte, at time.Time) []byte {
	if at.IsZero() {
		return append(dst, '0')
	}
	return strconv.AppendInt(dst, max(at.Unix(), 1), 10) // 0 would be never
}

// ErrStale is the error of a file that does not count any more.
var ErrStale = errors.New("the file is too old to count: no reading of the registry has come for too long")

// Find gives what a file of size bytes says of a user at the moment now: the keys that have not ended. A user whom it does not have has none,
// and found is false. With any error there is no key at all.
func Find(file io.ReaderAt, size int64, name string, now time.Time) (user User, found bool, err error) {
	value, found, err := cdbGet(file, size, []byte(name), maxValue)
	if err != nil || !found {
		return User{}, false, err
	}
	user, err = parseUser(name, string(value), now)
	if err != nil {
		return User{}, false, err
	}
	return user, true, nil
}

// FindOrigin gives the word for the reading from which a file of size bytes follows; it is empty where the file does not say.
func FindOrigin(file io.ReaderAt, size int64) (string, error) {
	value, _, err := cdbGet(file, size, []byte(originKey), maxValue)
	return string(value), err
}

func parseUser(name, value string, now time.Time) (User, error) {
	head, rest, _ := strings.Cut(value, "\n")
	fields := strings.Split(head, " ")
	if len(fields) != 3 || fields[0] != version {
		return User{}, fmt.Errorf("the keys of %q are in another format than %s: %w", name, version, errDamaged)
	}
	uid, err := strconv.ParseUint(fields[1], 10, 32)
	if err != nil {
		return User{}, fmt.Errorf("the uid of %q: %w: %w", name, err, errDamaged)
	}
	end, err := parseMoment(fields[2])
	if err != nil {
		return User{}, err
	}
	if ended(end, now) {
		return User{}, ErrStale
	}
	user := User{Name: name, UID: int(uid)}
	for rest != "" {
		line, after, whole := strings.Cut(rest, "\n")
		until, key, ok1 := strings.Cut(line, " ")
		fingerprint, text, ok2 := strings.Cut(key, " ")
		if !whole || !ok1 || !ok2 || text == "" || !strings.HasPrefix(fingerprint, "SHA256:") {
			return User{}, fmt.Errorf("a key of %q is not whole: %w", name, errDamaged)
		}
		at, err := parseMoment(until)
		if err != nil {
			return User{}, err
		}
		if !ended(at, now) {
			user.Keys = append(user.Keys, Key{Fingerprint: fingerprint, Line: text + "\n", Until: at})
		}
		rest = after
	}
	return user, nil
}

func parseMoment(text string) (time.Time, error) {
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds < 0 || seconds > math.MaxInt64/2 {
		return time.Time{}, fmt.Errorf("no moment: %q: %w", text, errDamaged)
	}
	if seconds == 0 {
		return time.Time{}, nil
	}
	return time.Unix(seconds, 0), nil
}

func ended(at, now time.Time) bool { return !at.IsZero() && !now.Before(at) }
