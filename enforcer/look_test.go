package enforcer_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/registry"
)

// shelf has the files of one account by their path; what it has not is missing.
type shelf map[string]homes.File

func (s shelf) Read(_ homes.Account, file string) (homes.File, error) {
	if file == "gone" {
		return homes.File{}, homes.ErrNoHome
	}
	return s[file], nil
}

func (s shelf) Replace(homes.Account, string, homes.Version, []byte, ...string) error {
	return errors.New("not here")
}

func (s shelf) Seize(homes.Account, string, []byte, ...string) error { return errors.New("not here") }

func (s shelf) Clean(homes.Account, ...string) {}

func (s shelf) Renew(homes.Account, string, []byte, bool, ...string) error {
	return errors.New("not here")
}

func (s shelf) SameHome(homes.Account, homes.Account) (bool, error) { return false, nil }

// A look goes over the files that sshd reads, in their order. Missing keys come into the first of them; of several in
// one bad directory the first puts it right.
func TestLookGoesOverTheFilesOfSSHD(t *testing.T) {
	odd := homes.Unkept{Path: "/keys/all", Why: "one for all"}
	bad := homes.File{State: homes.BadDir}
	look := enforcer.Looker{
		Homes: shelf{"/keys/alice": regular(""), "a/one": bad, "a/two": bad, "b/one": bad}, Grants: grants(t, lineA), Install: true,
		Files: func(homes.Account) (homes.KeyFiles, error) {
			return homes.KeyFiles{Paths: []string{"gone", "/keys/alice", "a/one", "a/two", "b/one"}, Unkept: []homes.Unkept{odd}}, errors.New("sshd said nothing")
		},
	}
	result := look.Look(alice)
	if result.Err == nil || !result.NoHome || len(result.Unkept) != 1 || result.Unkept[0] != odd {
		t.Errorf("error %v, without a home %v, not kept %v", result.Err, result.NoHome, result.Unkept)
	}
	changes := make(map[string]bool)
	for _, p := range result.Plans {
		changes[p.Name] = p.Change
	}
	want := map[string]bool{"/keys/alice": false, "a/one": true, "a/two": false, "b/one": true}
	if diff := cmp.Diff(want, changes); diff != "" {
		t.Error(diff)
	}
	look.Files = func(homes.Account) (homes.KeyFiles, error) {
		return homes.KeyFiles{Paths: []string{"/keys/alice", ".ssh/authorized_keys"}}, nil
	}
	result = look.Look(alice)
	if result.Err != nil || string(result.Plans[0].After) != lineA+"\n" || result.Plans[1].Change {
		t.Errorf("error %v, plans %+v", result.Err, result.Plans)
	}
	look.Files = func(homes.Account) (homes.KeyFiles, error) { return homes.KeyFiles{}, nil }
	if result = look.Look(alice); result.Err != nil || len(result.Plans) != 0 {
		t.Errorf("an empty list: error %v, plans %+v", result.Err, result.Plans)
	}
}

// twins is a world of three accounts, two of which have one uid.
func twins(t *testing.T) *enforcer.World {
	t.Helper()
	line, err := authkeys.ParseValue([]byte(lineA))
	if err != nil {
		t.Fatal(err)
	}
	var users []registry.User
	for name, uid := range map[string]int{"alice": 2001, "admin": 2001, "bob": 2002} {
		users = append(users, registry.User{Name: name, UID: uid, GID: uid, Home: "/home/" + name, Records: []registry.Record{{Key: line.Key}}})
	}
	snapshot, err := registry.New(users, "test")
	if err != nil {
		t.Fatal(err)
	}
	return enforcer.NewWorld(snapshot, grants(t), enforcer.Scope{MinUID: 1})
}

// By "%U" two accounts with one uid get one file. Kept for either of them, it would lose the keys of the other.
func TestLookLeavesTheFileOfTwoAccountsWithOneUID(t *testing.T) {
	world := twins(t)
	look := world.Looker(shelf{})
	look.Files = func(a homes.Account) (homes.KeyFiles, error) {
		return homes.KeyFiles{Paths: []string{"keys", fmt.Sprintf("/keys/%d", a.UID), "/keys/" + a.Name}}, nil
	}
	for _, account := range world.Accounts() {
		result := look.Look(account)
		var names, unkept []string
		for _, p := range result.Plans {
			names = append(names, p.Name)
		}
		for _, u := range result.Unkept {
			unkept = append(unkept, u.Path)
		}
		want, left := []string{"keys", "/keys/" + account.Name}, []string{"/keys/2001"}
		if account.Name == "bob" {
			want, left = []string{"keys", "/keys/2002", "/keys/bob"}, nil
		}
		if !slices.Equal(names, want) || !slices.Equal(unkept, left) || result.Err != nil {
			t.Errorf("%s: kept %v, not kept %v, error %v", account.Name, names, unkept, result.Err)
		}
	}
}

// Who left the registry is kept, also where an account of this host has his uid by now: his home is cleaned, and the file that is that
// account's too, by its uid, stays as it is. So it is for who is in the registry. The account's other name is what tells it from one
// that /etc/passwd has of the user himself.
func TestLookBesideALocalAccountWithTheUID(t *testing.T) {
	line, err := authkeys.ParseValue([]byte(lineA))
	if err != nil {
		t.Fatal(err)
	}
	snapshot, err := registry.New([]registry.User{{Name: "alice", UID: 2002, GID: 100, Home: "/home/alice", Records: []registry.Record{{Key: line.Key}}}}, "test")
	if err != nil {
		t.Fatal(err)
	}
	gone := enforcer.Gone{Account: homes.Account{Name: "bob", UID: 2001, GID: 100, Home: "/home/bob"}, Since: noon}
	for title, c := range map[string]struct {
		here []homes.Account
		left map[string]bool // the file by uid stays
	}{
		"none":            {},
		"of others":       {[]homes.Account{{Name: "svc", UID: 2003, GID: 1, Home: "/srv"}}, nil},
		"himself":         {[]homes.Account{{Name: "bob", UID: 2001, GID: 100, Home: "/home/bob"}, {Name: "alice", UID: 2002, GID: 100, Home: "/home/alice"}}, nil},
		"of who left":     {[]homes.Account{{Name: "svc", UID: 2001, GID: 1, Home: "/srv/svc"}}, map[string]bool{"bob": true}},
		"without a home":  {[]homes.Account{{Name: "svc", UID: 2001, GID: 1, Home: "/"}}, map[string]bool{"bob": true}},
		"of who is there": {[]homes.Account{{Name: "svc", UID: 2002, GID: 1, Home: "/srv/svc"}}, map[string]bool{"alice": true}},
	} {
		scope := enforcer.Scope{MinUID: 1, Local: func() ([]homes.Account, error) { return c.here, nil }}
		world := enforcer.NewWorld(snapshot, grants(t), scope, gone)
		file := regular(lineB + "\n")
		look := world.Looker(twoPaths{shelf{"keys": file, "/keys/2001": file, "/keys/2002": file}, func(_, b homes.Account) (bool, error) {
			if b.Home == "/" {
				return false, errors.New("refused")
			}
			return false, nil
		}})
		look.Files = func(a homes.Account) (homes.KeyFiles, error) {
			return homes.KeyFiles{Paths: []string{"keys", fmt.Sprintf("/keys/%d", a.UID)}}, nil
		}
		for _, name := range []string{"alice", "bob"} {
			account, kept := world.Account(name)
			if !kept {
				t.Fatalf("%s: %s is left alone: %v", title, name, world.Skips())
			}
			result := look.Look(account)
			cleaned := make(map[string]bool)
			for _, p := range result.Plans {
				cleaned[p.Name] = p.Change && len(p.After) == 0
			}
			byUID := fmt.Sprintf("/keys/%d", account.UID)
			if !cleaned["keys"] || cleaned[byUID] == c.left[name] || (len(result.Unkept) == 1) != c.left[name] || result.Err != nil {
				t.Errorf("%s: of %s's files %v are cleaned, %v not kept, error %v", title, name, cleaned, result.Unkept, result.Err)
			}
		}
	}
	// A home that is that account's too, by another path, is left alone.
	scope := enforcer.Scope{MinUID: 1, Local: func() ([]homes.Account, error) {
		return []homes.Account{{Name: "svc", UID: 2001, GID: 1, Home: "/export/bob"}}, nil
	}}
	world := enforcer.NewWorld(snapshot, grants(t), scope, gone)
	result := world.Looker(twoPaths{shelf{}, func(_, _ homes.Account) (bool, error) { return true, nil }}).Look(gone.Account)
	if result.Err == nil || len(result.Plans) != 0 {
		t.Errorf("one home: error %v, plans %v", result.Err, result.Plans)
	}
}

// Who names another's home in his entry takes it out of nobody's care: it is looked at for whose it is, and refused to who names it,
// whose own file elsewhere is looked at all the same. One that is root's may be both's, and is left alone.
func TestLookAtAHomeThatTwoName(t *testing.T) {
	line, err := authkeys.ParseValue([]byte(lineA))
	if err != nil {
		t.Fatal(err)
	}
	entry := func(name string, uid int) registry.User {
		return registry.User{Name: name, UID: uid, GID: 100, Home: "/home/alice", Records: []registry.Record{{Key: line.Key}}}
	}
	snapshot, err := registry.New([]registry.User{entry("alice", 2001), entry("mallory", 2002)}, "test")
	if err != nil {
		t.Fatal(err)
	}
	world := enforcer.NewWorld(snapshot, grants(t), enforcer.Scope{MinUID: 1})
	for title, c := range map[string]struct {
		owner   int
		refusal error           // to others
		kept    map[string]bool // the file in the home
	}{
		"alice's":                   {2001, homes.ErrStranger, map[string]bool{"alice": true}},
		"alice's, and out of reach": {2001, homes.ErrRefused, map[string]bool{"alice": true}},
		"mallory's":                 {2002, homes.ErrStranger, map[string]bool{"mallory": true}},
		"silent":                    {2001, errors.New("input/output error"), nil},
		"root's":                    {0, nil, nil},
	} {
		file := regular(lineB + "\n")
		house := house{shelf{"keys": file, "/keys/alice": file, "/keys/mallory": file}, c.owner, c.refusal}
		look := world.Looker(house)
		look.Files = func(a homes.Account) (homes.KeyFiles, error) {
			return homes.KeyFiles{Paths: []string{"keys", "/keys/" + a.Name}}, nil
		}
		for _, name := range []string{"alice", "mallory"} {
			account, _ := world.Account(name)
			result := look.Look(account)
			cleaned := make(map[string]bool)
			for _, p := range result.Plans {
				cleaned[p.Name] = p.Change && len(p.After) == 0
			}
			if cleaned["keys"] != c.kept[name] || cleaned["/keys/"+name] != (c.kept != nil) || (result.Err == nil) != c.kept[name] {
				t.Errorf("a home that is %s: of %s's files %v are cleaned, error %v", title, name, cleaned, result.Err)
			}
		}
	}
}

// house is a shelf in the home of one uid, as homes.Door is.
type house struct {
	shelf

	owner   int
	refusal error // to others
}

func (h house) mine(a homes.Account) error {
	if h.owner != a.UID && h.owner != 0 {
		return fmt.Errorf("account %s: %w", a.Name, h.refusal)
	}
	return nil
}

func (h house) Read(a homes.Account, file string) (homes.File, error) {
	if err := h.mine(a); err != nil && !strings.HasPrefix(file, "/") {
		return homes.File{}, err
	}
	return h.shelf.Read(a, file)
}

func (h house) SameHome(a, b homes.Account) (bool, error) {
	if err := errors.Join(h.mine(a), h.mine(b)); err != nil {
		return false, err
	}
	return true, nil
}

// twoPaths is a shelf for accounts whose homes may be one.
type twoPaths struct {
	shelf
	same func(a, b homes.Account) (bool, error)
}

func (h twoPaths) SameHome(a, b homes.Account) (bool, error) { return h.same(a, b) }

// Accounts with one uid and one home are left alone, whoever is looked at first; so is one of which that is not known. One
// with another home, or with none, is kept.
func TestLookLeavesAHomeThatHasTwoPaths(t *testing.T) {
	world := twins(t)
	unknown := errors.New("input/output error")
	for title, c := range map[string]struct {
		same bool
		err  error
		left []string
	}{
		"one home":        {same: true, left: []string{"admin", "alice"}},
		"nobody can tell": {err: unknown, left: []string{"admin", "alice"}},
		"two homes":       {},
	} {
		look := world.Looker(twoPaths{shelf{".ssh/authorized_keys": regular(lineB + "\n")}, func(homes.Account, homes.Account) (bool, error) { return c.same, c.err }})
		acts := map[string]bool{}
		look.Act = func(p enforcer.Plan) error { acts[p.Account.Name] = true; return nil }
		for _, account := range world.Accounts() {
			result := look.Look(account)
			left := slices.Contains(c.left, account.Name)
			if (result.Err != nil) != left || left == acts[account.Name] || left && c.err != nil && !errors.Is(result.Err, c.err) {
				t.Errorf("%s: %s: error %v, acted %v", title, account.Name, result.Err, acts[account.Name])
			}
		}
	}
}
