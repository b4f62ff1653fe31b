// Keyreeve-keys tells sshd the keys of one user, as its AuthorizedKeysCommand (sshd_config(5)):
//
//	AuthorizedKeysCommand /usr/libexec/keyreeve/keyreeve-keys -- %u %U %h %f
//	AuthorizedKeysCommandUser _keyreeve
//
// It reads one file, which keyreeve's daemon replaces whenever an answer changes (package internal/answer), and prints the canonical lines of
// the keys that are granted now. It asks nobody: no directory, no daemon, no configuration. With %U the user's uid must be the one for
// whom the keys are meant; with %f only the line of the offered key is printed. A word that is missing or empty asks for nothing.
//
//	--file=PATH  another file than /var/lib/keyreeve-sshd/keys.cdb
//	--also=PROGRAM
//	             another AuthorizedKeysCommand, with its arguments, whose keys are printed as well if the centre's policy takes
//	             them (also.go); what becomes of it makes no difference to the others
//	--           what follows is a user's name, whatever it looks like
//
// With --pam as the first word it is the gate in sshd's PAM stack instead, which lets no session begin whose key is not granted (gate.go).
//
// Exit status: 0 these are the user's keys, also if there are none; 1 it is not known which they are, and nothing was printed. Why is on
// stderr, which sshd hands to its log. sshd takes no key from a command that fails (subprocess in OpenSSH's misc.c), so nobody is let
// in by half an answer.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/keyreeve/keyreeve/internal/answer"
)

func main() {
	var err error
	if args := os.Args[1:]; len(args) > 0 && args[0] == "--pam" {
		err = runGate(args[1:])
	} else {
		err = run(args, descriptor(syscall.Stdout), os.Stderr, time.Now())
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "keyreeve-keys: %v\n", err)
		os.Exit(1)
	}
}

// request is what sshd asks.
type request struct {
	file, also                                 string
	user, uid, home, fingerprint, keyType, key string
}

// single reports whether one key is asked for. A fingerprint by another hash than SHA-256 (FingerprintHash in sshd_config(5)) asks for nothing.
func (r request) single() bool { return strings.HasPrefix(r.fingerprint, "SHA256:") }

// wants reports whether a key is asked for.
func (r request) wants(fingerprint string) bool { return !r.single() || fingerprint == r.fingerprint }

func run(args []string, stdout, stderr io.Writer, now time.Time) error {
	asked, err := parse(args)
	if err != nil {
		return err
	}
	file, size, err := open(asked.file)
	if err != nil {
		return fmt.Errorf("read the keys of %q: %w", asked.user, err)
	}
	if asked.also == "" {
		confine()
	}
	text, err := granted(file, size, asked, now)
	if err == nil {
		_, err = stdout.Write(text)
	}
	// The other program, which could end this process, is not started for a key that is granted.
	if err == nil && asked.also != "" && (!asked.single() || len(text) == 0) {
		text, trouble := others(file, size, asked, now)
		if trouble != nil {
			fmt.Fprintf(stderr, "keyreeve-keys: no key of %q is taken: %v\n", asked.also, trouble)
		} else {
			_, err = stdout.Write(text)
		}
	}
	if errors.Is(err, syscall.EPIPE) {
		return nil // sshd has read enough
	}
	return err
}

// granted are the lines of the keys that are granted to the user.
func granted(file io.ReaderAt, size int64, asked request, now time.Time) ([]byte, error) {
	user, found, err := answer.Find(file, size, asked.user, now)
	switch {
	case err != nil:
		return nil, fmt.Errorf("read the keys of %q in %s: %w", asked.user, asked.file, err)
	case found && asked.uid != "" && asked.uid != strconv.Itoa(user.UID):
		return nil, fmt.Errorf("the keys of %q are for the uid %d, and sshd asks for the uid %q: nobody is let in by them", asked.user, user.UID, asked.uid)
	}
	var text []byte
	for _, key := range user.Keys {
		if asked.wants(key.Fingerprint) {
			text = append(text, key.Line...)
		}
	}
	return text, nil
}

func defaultFile() string { return filepath.Join(answer.Dir, answer.Name) }

// parse takes the words of sshd's configuration. Package flag is not used: it would take a user's name for a flag.
func parse(args []string) (request, error) {
	asked := request{file: defaultFile()}
	for len(args) > 0 && strings.HasPrefix(args[0], "-") {
		flag := args[0]
		args = args[1:]
		if flag == "--" {
			break
		}
		name, value, ok := strings.Cut(flag, "=")
		switch {
		case name == "--file" && ok:
			asked.file = value
		case name == "--also" && strings.TrimSpace(value) != "":
			asked.also = value
		default:
			return request{}, fmt.Errorf("unknown flag %q: a user's name stands behind \"--\"", flag)
		}
	}
	words := append(args, make([]string, 6)...)
	asked.user, asked.uid, asked.home, asked.fingerprint, asked.keyType, asked.key = words[0], words[1], words[2], words[3], words[4], words[5]
	if asked.user == "" {
		return request{}, errors.New("no user: the configuration of sshd says \"AuthorizedKeysCommand …/keyreeve-keys -- %u %U %h %f\"")
	}
	return asked, nil
}

// open opens the file of answers. Only one that root alone can change is believed: whoever can write it decides who logs in.
func open(path string) (file *os.File, size int64, err error) {
	file, err = os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0) //nolint:gosec // root names it in the configuration of sshd
	if err != nil {
		return nil, 0, err
	}
	info, err := file.Stat()
	if err != nil {
		return nil, 0, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.Mode().IsRegular() || stat.Uid != 0 || info.Mode().Perm()&0o022 != 0 {
		return nil, 0, fmt.Errorf("%s is not a regular file that root alone can write", path)
	}
	return file, info.Size(), nil
}

// descriptor writes to a descriptor past package os, which ends the process by SIGPIPE where nobody reads descriptor 1.
type descriptor int

func (d descriptor) Write(text []byte) (n int, err error) {
	for n < len(text) {
		wrote, err := syscall.Write(int(d), text[n:])
		if err != nil && !errors.Is(err, syscall.EINTR) && !errors.Is(err, syscall.EAGAIN) {
			return n, err
		}
		n += max(wrote, 0)
	}
	return n, nil
}
