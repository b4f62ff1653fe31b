package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/answer"
	"github.com/keyreeve/keyreeve/internal/statefile"
	"github.com/keyreeve/keyreeve/policy"
)

// The bounds of what another program may take, and of what it may say.
const (
	otherPatience = 2 * time.Second
	otherMost     = 256 << 10
)

// words gives the program and its arguments: blanks divide them, and then sshd's words take the place of %u, %U, %h, %f, %t and %k, each within one
// argument, whatever is in it. A program without arguments is given the user's name, as by sshd.
func (r request) words() ([]string, error) {
	values := map[byte]string{'u': r.user, 'U': r.uid, 'h': r.home, 'f': r.fingerprint, 't': r.keyType, 'k': r.key, '%': "%"}
	words := strings.Fields(r.also)
	if len(words) == 1 {
		words = append(words, "%u")
	}
	for i, word := range words {
		var b strings.Builder
		for at := 0; at < len(word); at++ {
			if word[at] != '%' {
				b.WriteByte(word[at])
				continue
			}
			if at++; at == len(word) || values[word[at]] == "" {
				return nil, fmt.Errorf("%q asks for a word that sshd's configuration does not give keyreeve-keys: it is to end with \"-- %%u %%U %%h %%f %%t %%k\"", word)
			}
			b.WriteString(values[word[at]])
		}
		words[i] = b.String()
	}
	if strings.HasPrefix(r.user, "-") {
		return nil, fmt.Errorf("the user's name %q looks like a flag", r.user)
	}
	return words, nil
}

// others are the lines of those keys of the other program that may let the user in.
func others(file io.ReaderAt, size int64, r request, now time.Time) ([]byte, error) {
	c, err := startOther(r)
	if err != nil {
		return nil, err
	}
	confine()
	text, err := c.text(otherMost)
	if err != nil {
		return nil, err
	}
	return foreign(file, size, r, text, now)
}

// startOther starts the program that the request names. This process must not be confined yet: its child would be as well.
func startOther(r request) (*child, error) {
	words, err := r.words()
	if err != nil {
		return nil, err
	}
	path, err := statefile.Program(words[0])
	if err != nil {
		return nil, err
	}
	// sshd ends the group of this process alone, when LoginGraceTime is over (grace_alarm_handler in OpenSSH's sshd.c), and then what it has started goes
	// with it. If it is killed, the program itself does, as it ends with this thread (prctl(2), PR_SET_PDEATHSIG).
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP)
	runtime.LockOSThread()
	c, err := begin(otherPatience, os.Environ(), syscall.SIGKILL, path, words...)
	if err != nil {
		signal.Stop(terminated)
		return nil, err
	}
	go func() {
		<-terminated
		c.end()
		signal.Reset()
		_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
	}()
	return c, nil
}

// foreign gives the canonical lines of those keys of another program that may let the user in. What the file says of a key stands above that:
// those that it grants, or that have ended since, have their own lines, and those that it refuses have none.
func foreign(file io.ReaderAt, size int64, r request, text []byte, now time.Time) ([]byte, error) {
	refused, err := answer.FindRefused(file, size, r.user, now)
	if err != nil {
		return nil, err
	}
	rules, err := answer.FindRules(file, size, now)
	if err != nil {
		return nil, err
	}
	of, _, err := answer.Find(file, size, r.user, time.Time{}) // at a time when none had ended
	if err != nil {
		return nil, err
	}
	taken := map[string]bool{}
	for _, f := range refused {
		if f == answer.Everything {
			return nil, nil
		}
		taken[f] = true
	}
	for _, key := range of.Keys {
		taken[key.Fingerprint] = true
	}
	var candidates []authkeys.Line
	for _, line := range authkeys.Parse(text) {
		f := line.Key.Fingerprint()
		if line.Kind == authkeys.Entry && !taken[f] && r.wants(f) {
			candidates = append(candidates, line)
		}
	}
	return accepted(candidates, rules, now)
}

// accepted renders those lines that the rules take at a moment.
func accepted(candidates []authkeys.Line, rules answer.Rules, now time.Time) (lines []byte, err error) {
	if len(candidates) == 0 {
		return nil, nil // compiling rules takes a millisecond
	}
	compiled := policy.Rules{Keys: make([]policy.Rule, 0, len(rules.Keys)), Options: policy.OptionRules{Allow: rules.Allow}}
	for _, rule := range rules.Keys {
		compiled.Keys = append(compiled.Keys, policy.Rule{
			Type: rule.Type, MinBits: rule.MinBits, From: policy.Day(rule.From), Until: policy.Day(rule.Until),
		})
	}
	if rules.Force != "" {
		compiled.Options.Force = []policy.Force{{Options: rules.Force}}
	}
	if compiled.Host.SSHD, err = authkeys.ParseVersion(rules.SSHD); err != nil {
		return nil, err
	}
	p, err := policy.Compile(compiled)
	if err != nil {
		return nil, err
	}
	for _, line := range candidates {
		if line, verdict := p.Foreign(line, now); verdict.Granted() {
			lines = line.AppendTo(lines)
		}
	}
	return lines, nil
}
