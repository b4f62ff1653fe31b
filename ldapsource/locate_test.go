package ldapsource

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// helpdesk is an account of the directory that may write users' keys.
const helpdesk = "cn=helpdesk,dc=example,dc=org"

// staffed is a directory with the helpdesk's account.
func staffed(t *testing.T, access string, entries ...Entry) *testenv.Slapd {
	t.Helper()
	return testenv.StartSlapdWith(t, render(entries)+fmt.Sprintf(`
dn: %s
objectClass: organizationalRole
objectClass: simpleSecurityObject
cn: helpdesk
userPassword: let me
`, helpdesk), testenv.SlapdSetup{Access: access + fmt.Sprintf("access to attrs=sshPublicKey by dn.exact=%q write by * break\n", helpdesk)})
}

// Who wrote an entry, and when, is what the directory itself noted, of those entries alone that were asked for.
func TestLocate(t *testing.T) {
	mallory := userEntry("mallory", 3003, keyText(3))
	mallory = with(mallory, "uid", "mallory", "bob")
	s := staffed(t, "", userEntry("alice", 3001), userEntry("bob", 3002, keyText(2)), mallory)
	before := time.Now().Add(-2 * time.Second)
	s.ModifyAs(helpdesk, "let me", "dn: "+userDN("alice")+"\nchangetype: modify\nadd: sshPublicKey\nsshPublicKey: "+keyText(1)+"\n")
	l, err := NewLDAP(config(s))
	if err != nil {
		t.Fatal(err)
	}
	got, err := l.Locate(t.Context(), "alice")
	if err != nil || len(got) != 1 {
		t.Fatalf("%v, %v", got, err)
	}
	if p := got[0]; p.DN != userDN("alice") || p.Modifier != helpdesk || p.Creator == "" || p.Creator == helpdesk || p.Modified.Before(before) ||
		p.Created.After(p.Modified) || p.Created.IsZero() || p.Line != 0 || p.Silent() {
		t.Errorf("%+v", p)
	}
	got, err = l.Locate(t.Context(), "bob", "nobody", "ALICE", "*")
	if err != nil || len(got) != 2 {
		t.Fatalf("of others' names: %v, %v", got, err)
	}
	for _, p := range got {
		if want := map[string][]string{userDN("bob"): {"bob"}, userDN("mallory"): {"mallory", "bob"}}[p.DN]; cmp.Diff(want, p.Users) != "" {
			t.Errorf("%q has the names %q", p.DN, p.Users)
		}
	}
	s.Stop()
	if got, err := l.Locate(t.Context(), "alice"); err == nil || FaultOf(err) != Unreachable || got != nil {
		t.Errorf("without a directory: %v, %v", got, err)
	}
}

// What the reader may not see is not told, and is no error.
func TestLocateHidden(t *testing.T) {
	s := staffed(t, "access to attrs=creatorsName,modifiersName,createTimestamp,modifyTimestamp by * none\n", userEntry("alice", 3001, keyText(1)))
	l, err := NewLDAP(config(s))
	if err != nil {
		t.Fatal(err)
	}
	got, err := l.Locate(t.Context(), "alice")
	if err != nil || len(got) != 1 || !got[0].Silent() || !got[0].Is("UID=alice, ou=people,"+base) || got[0].Is(userDN("bob")) {
		t.Errorf("%+v, %v", got, err)
	}
}

// A server that takes the connection and says nothing costs what one user's reading may cost.
func TestLocateSilentServer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	l, err := NewLDAP(filled(LDAPConfig{URLs: []string{"ldapi://" + url.PathEscape(path)}, External: true, Base: base}))
	if err != nil {
		t.Fatal(err)
	}
	l.alone = 50 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second) // below the time-out of a step
	defer cancel()
	if _, err := l.Locate(ctx, "alice"); err == nil || ctx.Err() != nil {
		t.Errorf("%v, %v", err, ctx.Err())
	}
}

// A file tells the line on which the entry begins, and what it has of operational attributes, as slapcat(8) writes them.
func TestLocateInFile(t *testing.T) {
	alice := with(userEntry("alice", 3001, keyText(1)), "creatorsName", "cn=admin,"+base)
	alice = with(with(alice, "createTimestamp", "20260102030405Z"), "modifyTimestamp", "yesterday")
	ad := with(userEntry("bob", 3002, keyText(2)), "whenChanged", "20260304050607.0Z")
	text := render([]Entry{alice, ad})
	got, err := NewLDIF(file(t, text), posix()).Locate(t.Context(), "bob", "alice", "carol")
	line := strings.Count(text[:strings.Index(text, "dn: uid=bob")], "\n") + 1
	want := []Place{
		{DN: userDN("alice"), Users: []string{"alice"}, Line: 3, Creator: "cn=admin," + base, Created: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)},
		{DN: userDN("bob"), Users: []string{"bob"}, Line: line, Modified: time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)},
	}
	if d := cmp.Diff(want, got); d != "" || err != nil {
		t.Errorf("%v\n%s", err, d)
	}
	if got, err := NewLDIF("/nowhere", posix()).Locate(t.Context(), "bob"); err == nil || got != nil {
		t.Errorf("without a file: %v, %v", got, err)
	}
}
