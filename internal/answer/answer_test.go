package answer

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// people are n users with two keys each.
func people(n int) []User {
	list := make([]User, n)
	for i := range list {
		list[i] = User{Name: fmt.Sprintf("user%d", i), UID: 10000 + i, Keys: []Key{key(i, 0, time.Time{}), key(i, 1, now.Add(time.Hour))}}
	}
	return list
}

func key(user, n int, until time.Time) Key {
	fingerprint := fmt.Sprintf("SHA256:%043d", user*10+n)
	return Key{Fingerprint: fingerprint, Line: fmt.Sprintf("ssh-ed25519 AAAA%s user%d\n", fingerprint[7:], user), Until: until}
}

func file(t *testing.T, end time.Time, users ...User) []byte {
	t.Helper()
	data, err := Make(slices.Values(users), end)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func find(data []byte, name string, at time.Time) (User, bool, error) {
	return Find(bytes.NewReader(data), int64(len(data)), name, at)
}

func TestFind(t *testing.T) {
	users := people(1000)
	data := file(t, time.Time{}, users...)
	for _, want := range users {
		got, found, err := find(data, want.Name, now)
		if err != nil || !found {
			t.Fatalf("%s: found %v, %v", want.Name, found, err)
		}
		for i := range want.Keys {
			if !got.Keys[i].Until.Equal(want.Keys[i].Until) {
				t.Fatalf("%s: ends %v, want %v", want.Name, got.Keys[i].Until, want.Keys[i].Until)
			}
			got.Keys[i].Until = want.Keys[i].Until
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
	for _, name := range []string{"", "user", "user1000", "USER1", "user1\x00", "user1 ", "\x00"} {
		if user, found, err := find(data, name, now); found || err != nil {
			t.Errorf("%q: got %v, found %v, %v", name, user, found, err)
		}
	}
	if _, found, err := find(file(t, time.Time{}), "user1", now); found || err != nil {
		t.Errorf("a file of nobody: found %v, %v", found, err)
	}
}

// A key that has ended is not there, from its second on; a file that has ended has no answer, which is another thing than no keys.
func TestEnds(t *testing.T) {
	u := User{Name: "ada", UID: 1000, Keys: []Key{key(0, 0, now.Add(1500*time.Millisecond)), key(0, 1, time.Time{})}}
	for _, c := range []struct {
		at   time.Time
		keys int
	}{{now, 2}, {now.Add(time.Second - 1), 2}, {now.Add(time.Second), 1}, {now.Add(1000 * time.Hour), 1}} {
		if got, _, err := find(file(t, time.Time{}, u), "ada", c.at); err != nil || len(got.Keys) != c.keys {
			t.Errorf("at %v: %d keys, %v; want %d", c.at, len(got.Keys), err, c.keys)
		}
	}
	data := file(t, now.Add(time.Minute), u)
	if _, found, err := find(data, "ada", now); !found || err != nil {
		t.Errorf("a file that counts: found %v, %v", found, err)
	}
	if got, found, err := find(data, "ada", now.Add(time.Minute)); found || !errors.Is(err, ErrStale) || got.Keys != nil {
		t.Errorf("a file that has ended: %v, found %v, %v", got, found, err)
	}
	// A moment before 1970 is one that has passed, not "never".
	if got, _, err := find(file(t, time.Time{}, User{Name: "ada", Keys: []Key{key(0, 0, time.Unix(-5, 0))}}), "ada", now); err != nil || len(got.Keys) != 0 {
		t.Errorf("a key that ended before 1970: %v, %v", got, err)
	}
}

// Cut off anywhere, a file has an error or the whole answer, never a part of it, and never somebody else's.
func TestCutOff(t *testing.T) {
	users := people(20)
	data := file(t, time.Time{}, users...)
	for size := range len(data) {
		for _, want := range users[:3] {
			got, found, err := find(data[:size], want.Name, now)
			if err == nil && found && len(got.Keys) == 2 && got.Keys[0] == want.Keys[0] {
				continue
			}
			if err == nil {
				t.Fatalf("%d of %d bytes: %s has %v, found %v, without an error", size, len(data), want.Name, got, found)
			}
		}
	}
}

// What one user has is bounded, where it is written and where it is read.
func TestTooMuchOfOne(t *testing.T) {
	u := User{Name: "ada", Keys: slices.Repeat([]Key{key(0, 0, time.Time{})}, maxValue/100)}
	m := newMaker()
	err := m.add([]byte(u.Name), appendUser(nil, u, time.Time{}))
	data, wrong := m.finish()
	if err := errors.Join(err, wrong); err != nil {
		t.Fatal(err)
	}
	if _, found, err := find(data, u.Name, now); found || !errors.Is(err, errDamaged) {
		t.Errorf("found %v, %v", found, err)
	}
	if _, err := Make(slices.Values([]User{u}), time.Time{}); err == nil {
		t.Error("a user who would not be read back was written")
	}
}

// The format is the public one: tinycdb reads what is written here, and what it writes is read here.
func TestTinyCDB(t *testing.T) {
	testenv.Need(t, "tinycdb")
	program, err := testenv.Program("cdb")
	if err != nil {
		t.Fatal(err)
	}
	users := people(500)
	ours := filepath.Join(t.TempDir(), "ours")
	if err := os.WriteFile(ours, file(t, time.Time{}, users...), 0o600); err != nil {
		t.Fatal(err)
	}
	dump := cdb(t, program, "", "-d", ours)
	for _, u := range users {
		value := string(appendUser(nil, u, time.Time{}))
		record := fmt.Sprintf("+%d,%d:%s->%s\n", len(u.Name), len(value), u.Name, value)
		if !strings.Contains(dump, record) {
			t.Fatalf("tinycdb does not list %q", record)
		}
		if got := cdb(t, program, "", "-q", ours, u.Name); got != value {
			t.Fatalf("tinycdb finds %q, want %q", got, value)
		}
	}
	theirs := filepath.Join(t.TempDir(), "theirs")
	cdb(t, program, dump, "-c", theirs)
	data, err := os.ReadFile(theirs)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range users {
		if got, found, err := find(data, want.Name, now); err != nil || !found || got.Keys[0] != want.Keys[0] {
			t.Fatalf("in tinycdb's file %s has %v, found %v, %v", want.Name, got, found, err)
		}
	}
}

func cdb(t *testing.T, program, input string, arguments ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), program, arguments...)
	command.Stdin = strings.NewReader(input)
	output, err := command.Output()
	if err != nil {
		t.Fatalf("cdb %v: %v", arguments, err)
	}
	return string(output)
}

// Whatever the file holds, a look-up ends, and every line that comes back stands in the file.
func FuzzFind(f *testing.F) {
	data, err := Make(slices.Values(people(3)), time.Time{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data, "user1")
	f.Add(data[:len(data)-9], "user2")
	f.Add(data[:headerSize], "")
	f.Fuzz(func(t *testing.T, data []byte, name string) {
		user, found, err := find(data, name, now)
		if err != nil && (found || user.Keys != nil) {
			t.Fatalf("%v beside the error %v", user, err)
		}
		for _, key := range user.Keys {
			if !bytes.Contains(data, []byte(key.Fingerprint+" "+key.Line)) || strings.Count(key.Line, "\n") != 1 {
				t.Fatalf("the line %q is not in the file", key.Line)
			}
		}
	})
}

func BenchmarkMake(b *testing.B) {
	users := people(100_000)
	for b.Loop() {
		if _, err := Make(slices.Values(users), time.Time{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFind(b *testing.B) {
	data, err := Make(slices.Values(people(100_000)), time.Time{})
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, found, err := find(data, "user4711", now); !found || err != nil {
			b.Fatal(found, err)
		}
	}
}
