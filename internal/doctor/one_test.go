package doctor

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/testenv"
)

// The stack of one host, as it is for one account.
func TestStackOfOneAccount(t *testing.T) {
	const gate = "session requisite pam_exec.so quiet type=open_session /usr/libexec/keyreeve-keys --pam --file=/a/keys.cdb\n"
	ada := homes.Account{Name: "ada", UID: 2001}
	for stack, want := range map[string]Gate{
		"account required pam_nologin.so\n": {},
		gate:                                {Where: "/etc/pam.d/sshd:1", File: "/a/keys.cdb"},
		"session [success=1 default=ignore] pam_succeed_if.so quiet user in root:ada\n" + gate:   {Where: "/etc/pam.d/sshd:2", File: "/a/keys.cdb", Passed: true},
		"session [success=1 default=ignore] pam_succeed_if.so quiet user in root:admin\n" + gate: {Where: "/etc/pam.d/sshd:2", File: "/a/keys.cdb"},
		"session optional pam_exec.so quiet /usr/libexec/keyreeve-keys --pam\n":                  {Where: "/etc/pam.d/sshd:1", File: "/var/lib/keyreeve-sshd/keys.cdb", Passed: true},
	} {
		root := t.TempDir()
		path := filepath.Join(root, "etc", "pam.d")
		if err := os.MkdirAll(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(path, "sshd"), []byte(stack), 0o600); err != nil {
			t.Fatal(err)
		}
		facts := Stack(root, nil)
		if diff := cmp.Diff(want, facts.GateOf(ada)); diff != "" {
			t.Errorf("%s%s", stack, diff)
		}
		if got := facts.Asks("account", "pam_nologin"); got != (want == Gate{}) {
			t.Errorf("%sasks for nologin: %v", stack, got)
		}
	}
}

// Of a list of either form it is said which keys are on it; of one that sshd cannot read, that.
func TestRevokedKeysOfSomebody(t *testing.T) {
	testenv.Need(t, "sshd")
	dir := t.TempDir()
	_, listed := testenv.NewKey(t)
	_, other := testenv.NewKey(t)
	var keys []authkeys.Key
	for _, line := range []string{listed, other} {
		parsed, err := authkeys.ParseValue([]byte(line))
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, parsed.Key)
	}
	flat, broken := filepath.Join(dir, "flat"), filepath.Join(dir, "broken")
	for path, text := range map[string]string{flat: listed + "\n", broken: listed + "\nnothing\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]bool{keys[0].Fingerprint(): true, keys[1].Fingerprint(): false}
	if r, on, err := Revoked(t.Context(), flat, keys); err != nil || r.Damage != "" || cmp.Diff(want, on) != "" {
		t.Errorf("%+v %v %v", r, on, err)
	}
	if r, _, err := Revoked(t.Context(), broken, keys); err != nil || r.Damage == "" {
		t.Errorf("%+v %v", r, err)
	}
	if r, _, err := Revoked(t.Context(), filepath.Join(dir, "gone"), keys); err != nil || !r.Missing {
		t.Errorf("%+v %v", r, err)
	}
}
