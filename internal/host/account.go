package host

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strconv"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/internal/homes"
)

// Account is an account as NSS has it, which is how sshd finds it (getpwnam(3)).
type Account struct {
	homes.Account

	Shell string
}

// ErrNoAccount says that NSS answered and knows nobody of the name.
var ErrNoAccount = errUnknown

// LookUp asks NSS for an account by a name that homes.Account.Check admits.
func LookUp(ctx context.Context, name string) (Account, error) {
	fields, err := entry(ctx, "passwd", name, 7)
	if err != nil {
		return Account{}, err
	}
	ids, err := numbers(fields[2:4])
	if err != nil {
		return Account{}, fmt.Errorf("getent passwd %s: %w", name, err)
	}
	return Account{homes.Account{Name: fields[0], UID: ids[0], GID: ids[1], Home: fields[5]}, fields[6]}, nil
}

// Shut is what shadow(5) has against a login.
type Shut struct {
	// Locked: the password begins with "!", for which sshd without PAM lets nobody in (LOCKED_PASSWD_PREFIX in OpenSSH's configure.ac).
	Locked bool
	// Expired: the account ended (auth_shadow_acctexpired in auth-shadow.c; with PAM it is pam_unix that says so).
	Expired bool
}

// LookUpShadow asks NSS for the entry in shadow(5), which is root's to read. Who has none is not shut. Nothing of the password leaves this function.
func LookUpShadow(ctx context.Context, name string, now time.Time) (Shut, error) {
	fields, err := entry(ctx, "shadow", name, 9)
	if errors.Is(err, errUnknown) {
		return Shut{}, nil
	}
	if err != nil {
		return Shut{}, err
	}
	shut := Shut{Locked: strings.HasPrefix(fields[1], "!")}
	if day, err := strconv.ParseInt(fields[7], 10, 64); err == nil && day >= 0 {
		shut.Expired = now.Unix()/86400 > day
	}
	return shut, nil
}

// entry asks getent for one entry of a database; it ends with 2 when there is none (getent(1)).
func entry(ctx context.Context, database, key string, fields int) ([]string, error) {
	program := find("getent")
	if program == "" {
		return nil, errNoGetent
	}
	out, err := run(ctx, program, database, key)
	if exit, ended := errors.AsType[*exec.ExitError](err); ended && exit.ExitCode() == 2 {
		return nil, fmt.Errorf("getent %s %s: %w", database, key, errUnknown)
	}
	if err != nil {
		return nil, err
	}
	first, _, _ := strings.Cut(out, "\n")
	list := strings.Split(first, ":")
	if len(list) < fields {
		return nil, fmt.Errorf("getent %s %s: an answer of %d fields, not %d", database, key, len(list), fields)
	}
	return list, nil
}

// GroupName is the name of a group; empty where NSS does not know it.
func GroupName(ctx context.Context, gid int) (string, error) {
	fields, err := entry(ctx, "group", strconv.Itoa(gid), 4)
	if errors.Is(err, errUnknown) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	return fields[0], nil
}

// OwnGroup reports whether a group is one user's alone: it is the primary group of no other account and has no other member, and he is in it. It is the rule by which
// the sshd of Debian and its kin lets group members write to key files (secure_permissions in their user-group-modes.patch). Accounts are those that
// NSS lists.
func OwnGroup(ctx context.Context, gid int, a homes.Account) (bool, error) {
	fields, err := entry(ctx, "group", strconv.Itoa(gid), 4)
	if errors.Is(err, errUnknown) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if fields[3] != "" && fields[3] != a.Name {
		return false, nil
	}
	is := fields[3] != ""
	out, err := run(ctx, find("getent"), "passwd")
	if err != nil {
		return false, err
	}
	for line := range strings.Lines(out) {
		fields := strings.Split(line, ":")
		if len(fields) < 4 || fields[3] != strconv.Itoa(gid) {
			continue
		}
		if fields[2] != strconv.Itoa(a.UID) {
			return false, nil
		}
		is = true
	}
	return is, nil
}
