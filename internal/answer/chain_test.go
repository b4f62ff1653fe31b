package answer

import (
	"bytes"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"
)

func TestFindRules(t *testing.T) {
	rules := Rules{
		Keys: []Rule{{Type: "ed25519", MinBits: 0}, {Type: "rsa", MinBits: 4096}, {Type: "rsa", MinBits: 2048, From: "2020-01-01", Until: "2026-12-31"}, {Type: "rsa", MinBits: 3072, From: "2027-01-01"}}, Allow: []string{"from", "restrict"}, Force: `restrict,from="10.0.0.0/8",command="ls \"a b\""`, SSHD: "9.2",
	}
	users := people(20)
	users[3].Refused = []string{"SHA256:a", "SHA256:b"}
	users[4].Refused, users[4].Keys = []string{Everything}, nil
	end := now.Add(time.Minute)
	data, err := Make(slices.Values(users), end, rules)
	if err != nil {
		t.Fatal(err)
	}
	file, size := bytes.NewReader(data), int64(len(data))
	if got, err := FindRules(file, size, now); err != nil || !reflect.DeepEqual(got, rules) {
		t.Errorf("%v, %v", got, err)
	}
	for i, u := range users {
		if got, err := FindRefused(file, size, u.Name, now); err != nil || !slices.Equal(got, u.Refused) {
			t.Errorf("%s: %v, %v", u.Name, got, err)
		}
		if got, found, err := find(data, u.Name, now); err != nil || found != (i != 4) || len(got.Keys) != len(u.Keys) {
			t.Errorf("%s: %d keys, found %v, %v", u.Name, len(got.Keys), found, err)
		}
	}
	if _, err := FindRules(file, size, end); !errors.Is(err, ErrStale) {
		t.Errorf("the rules of a stale file: %v", err)
	}
	if _, err := FindRefused(file, size, users[3].Name, end); !errors.Is(err, ErrStale) {
		t.Errorf("what a stale file refuses: %v", err)
	}
	for n := range data { // cut off, it says all or nothing
		part, size := bytes.NewReader(data[:n]), int64(n)
		if got, err := FindRules(part, size, now); err == nil && !reflect.DeepEqual(got, rules) {
			t.Fatalf("%d of %d bytes: the rules %v", n, len(data), got)
		}
		if got, err := FindRefused(part, size, users[3].Name, now); err == nil && !slices.Equal(got, users[3].Refused) {
			t.Fatalf("%d of %d bytes: refused are %v", n, len(data), got)
		}
	}
	few := Rules{Keys: rules.Keys[:1], Allow: []string{}} // no option at all is another thing than any
	if data, err := Make(slices.Values(users), end, few); err != nil {
		t.Error(err)
	} else if got, err := FindRules(bytes.NewReader(data), int64(len(data)), now); err != nil || !reflect.DeepEqual(got, few) {
		t.Errorf("%v, %v", got, err)
	}
	none, err := Make(slices.Values(users), end, Rules{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := FindRules(bytes.NewReader(none), int64(len(none)), now); err == nil {
		t.Error("a file without rules has some")
	}
}
