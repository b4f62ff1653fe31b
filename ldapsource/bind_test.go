package ldapsource

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// The password may be a credential that systemd keeps for the service.
func TestCredential(t *testing.T) {
	s := testenv.StartSlapd(t, render(people()))
	config := secured(s, s.LDAPS)
	config.PasswordFile = "$CREDENTIALS_DIRECTORY/ldap"
	l, err := NewLDAP(config)
	if err != nil {
		t.Fatal(err)
	}
	got, err := l.Fetch(t.Context())
	wantError(t, got, err, "$CREDENTIALS_DIRECTORY/ldap: the service manager gave no credentials")
	wantFault(t, err, Credential)
	dir := t.TempDir()
	l.Credentials = dir
	got, err = l.Fetch(t.Context())
	wantError(t, got, err, filepath.Join(dir, "ldap"), "no such file")
	if err := os.WriteFile(filepath.Join(dir, "ldap"), []byte(read(t, s.PasswordFile)), 0o400); err != nil {
		t.Fatal(err)
	}
	if got, err := l.Fetch(t.Context()); err != nil || got.Len() != 27 {
		t.Error(err)
	}
}

// A password that everybody may read is none.
func TestPasswordOfEverybody(t *testing.T) {
	s := testenv.StartSlapd(t, render(people()))
	config := secured(s, s.LDAPS)
	for mode, want := range map[os.FileMode]string{0o604: "mode 0604 lets everybody read", 0o620: "lets group or others write"} {
		config.PasswordFile = file(t, read(t, s.PasswordFile))
		if err := os.Chmod(config.PasswordFile, mode); err != nil {
			t.Fatal(err)
		}
		got, err := fetch(t, config)
		wantError(t, got, err, config.PasswordFile, want)
		wantFault(t, err, Credential)
	}
}
