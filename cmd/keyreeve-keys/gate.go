package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/answer"
)

// gate is the program in sshd's PAM stack (pam_exec(8)), where it says of a session that is about to begin whether it may:
//
//	session requisite pam_exec.so quiet type=open_session /usr/libexec/keyreeve/keyreeve-keys --pam
//
// It is the one check of the key that was really used, however sshd came by it: sshd names it in SSH_AUTH_INFO_0 (sshd_config(5),
// ExposeAuthInfo; do_pam_putenv in OpenSSH's session.c), by the time that a session begins.
type gate struct {
	file string
	// allow names the methods of sshd beside "publickey" that may begin a session, and authorities the fingerprints of the keys that
	// may sign certificates.
	allow, authorities []string
	// record is the program that writes refusals into the audit trail.
	record   string
	patience time.Duration
	// syslog is the path of syslog's socket.
	syslog string
	// lookUp asks for the account of a name: its canonical name and its uid.
	lookUp func(name string) (answer.User, error)
}

// The reasons of refusals, as the audit trail has them.
const (
	notGranted  = "not-granted"
	certificate = "certificate"
	method      = "method"
	unknown     = "unknown" // what is granted, or how sshd let the user in
)

// refusal is why a session may not begin.
type refusal struct {
	reason string
	key    authkeys.Key // the zero Key where there is none
	err    error
}

func (r *refusal) Error() string { return r.err.Error() }

func refuse(reason string, key authkeys.Key, format string, args ...any) *refusal {
	return &refusal{reason, key, fmt.Errorf(format, args...)}
}

// parseGate takes the words behind --pam.
func parseGate(args []string) (gate, error) {
	g := gate{file: defaultFile(), record: "/usr/bin/keyreeve", patience: recordPatience, syslog: "/dev/log", lookUp: lookUp}
	for _, arg := range args {
		flag, value, ok := strings.Cut(arg, "=")
		if !ok || value == "" {
			return gate{}, fmt.Errorf("%q is not FLAG=VALUE", arg)
		}
		switch flag {
		case "--file":
			g.file = value
		case "--record":
			g.record = value
		case "--allow":
			g.allow = append(g.allow, strings.Split(value, ",")...)
		case "--authority":
			if !strings.HasPrefix(value, "SHA256:") {
				return gate{}, fmt.Errorf("--authority=%s: a fingerprint as \"ssh-keygen -l\" prints it begins with SHA256", value)
			}
			g.authorities = append(g.authorities, value)
		default:
			return gate{}, fmt.Errorf("unknown flag %q", flag)
		}
	}
	if slices.Contains(g.allow, "publickey") {
		return gate{}, errors.New("--allow=publickey would let in every key")
	}
	return g, nil
}

func runGate(args []string) error {
	g, err := parseGate(args)
	if err != nil {
		return err
	}
	text, err := os.ReadFile("/proc/self/environ")
	if err != nil {
		return fmt.Errorf("read what PAM says: %w", err)
	}
	return g.pass(environment(string(text)), time.Now())
}

// told is what PAM and sshd say of a session, and which of what decides was said twice: pam_exec puts PAM's environment first, into which a module may
// have read a file of the user's (pam_env with user_readenv=1: in the auth stack too, as sshd calls pam_setcred before pam_open_session), and its own
// variables behind it (call_exec in Linux-PAM's pam_exec.c).
type told struct {
	values map[string]string
	twice  string
}

// environment takes apart what environ(7) holds. Package os is not used: it forgets all but the first of several that have one name.
func environment(text string) told {
	t := told{values: map[string]string{}}
	for entry := range strings.SplitSeq(text, "\x00") {
		name, value, _ := strings.Cut(entry, "=")
		if _, there := t.values[name]; there {
			switch name {
			case "PAM_TYPE", "PAM_USER", "PAM_RHOST", "SSH_AUTH_INFO_0":
				t.twice = name
			}
		}
		t.values[name] = value
	}
	return t
}

// pass lets the session of PAM's environment begin, or is an error. Of what was said twice the last is pam_exec's, and goes into the trail.
func (g gate) pass(t told, now time.Time) error {
	if phase := t.values["PAM_TYPE"]; phase != "open_session" && t.twice == "" {
		return fmt.Errorf("it was called in the phase %q of PAM, and sshd names the key at \"open_session\" alone: the line in PAM's stack has type=open_session", phase)
	}
	user, address := t.values["PAM_USER"], t.values["PAM_RHOST"]
	r := refuse(unknown, authkeys.Key{}, "the variable %s was said twice: another module of PAM believes a file of the user's", t.twice)
	if t.twice == "" {
		r = g.judge(user, t.values["SSH_AUTH_INFO_0"], now)
	}
	if r == nil {
		return nil
	}
	err := fmt.Errorf("the session of %q from %q may not begin: %w", user, address, r)
	err = errors.Join(err, g.tell(user, address, r))
	return errors.Join(err, syslog(g.syslog, err.Error()))
}

// judge says why a user may not begin a session after he went through these methods, a line each: "METHOD[/SUBMETHOD][ TYPE BASE64]"
// (auth2_update_session_info in OpenSSH's auth2.c). Each of them has to be good.
func (g gate) judge(user, methods string, now time.Time) *refusal {
	if strings.TrimSpace(methods) == "" {
		return refuse(unknown, authkeys.Key{}, "sshd does not say how the user was let in (SSH_AUTH_INFO_0)")
	}
	for line := range strings.Lines(methods) {
		how, rest, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
		how, _, _ = strings.Cut(how, "/")
		if how != "publickey" {
			if !slices.Contains(g.allow, how) {
				return refuse(method, authkeys.Key{}, "the method %q is not one of those that may", how)
			}
			continue
		}
		if r := g.judgeKey(user, rest, now); r != nil {
			return r
		}
	}
	return nil
}

// judgeKey says why a key, "TYPE BASE64" and whatever a later sshd may say behind it, may not begin a session.
func (g gate) judgeKey(user, text string, now time.Time) *refusal {
	_, encoded, _ := strings.Cut(text, " ")
	encoded, _, _ = strings.Cut(encoded, " ")
	blob, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return refuse(unknown, authkeys.Key{}, "the key %q is no base64", text)
	}
	key, err := authkeys.ParseBlob(blob)
	if errors.Is(err, authkeys.ErrCertificate) {
		var authority authkeys.Key
		if key, authority, err = authkeys.ParseCertificate(blob); err == nil && !slices.Contains(g.authorities, authority.Fingerprint()) {
			return refuse(certificate, key, "the certificate of the key %s was signed by %s, which is none of --authority", key.Fingerprint(), authority.Fingerprint())
		}
	}
	if err != nil {
		return refuse(unknown, authkeys.Key{}, "the key is not one that can be judged: %w", err)
	}
	return g.granted(user, key, now)
}

// granted says why a key may not begin a session of the account that has this name.
func (g gate) granted(name string, key authkeys.Key, now time.Time) *refusal {
	account, err := g.lookUp(name)
	if err != nil {
		return refuse(unknown, key, "whose session it is is not known: %w", err)
	}
	file, size, err := open(g.file)
	if err != nil {
		return refuse(unknown, key, "what is granted is not known: %w", err)
	}
	defer file.Close() //nolint:errcheck // nothing was written
	user, found, err := answer.Find(file, size, account.Name, now)
	switch {
	case err != nil:
		return refuse(unknown, key, "what is granted is not known: %w", err)
	case found && user.UID != account.UID:
		return refuse(notGranted, key, "the keys of %q are for the uid %d, and the account has %d", account.Name, user.UID, account.UID)
	case !slices.ContainsFunc(user.Keys, func(k answer.Key) bool { return k.Fingerprint == key.Fingerprint() }):
		return refuse(notGranted, key, "the key %s is not granted", key.Fingerprint())
	}
	return nil
}
