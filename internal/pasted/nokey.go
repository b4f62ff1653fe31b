package pasted

import (
	"regexp"
	"strings"
)

// What people send instead of a key. The patterns are linear (package regexp), and the text has 64 KiB at most.
var (
	// ssh-keygen -l, and the form before OpenSSH 6.8.
	fingerprints = regexp.MustCompile(`SHA256:[A-Za-z0-9+/]{43}|(?i:\b(?:[0-9a-f]{2}:){15}[0-9a-f]{2}\b)`)
	// The frame of sshkey_fingerprint_randomart (sshkey.c).
	randomart = regexp.MustCompile(`(?m)^\s*\+-+\[?[A-Z0-9 -]*\]?-*\+\s*$`)
	// What ssh-keygen prints when it makes a pair (ssh-keygen.c).
	keygenSays = regexp.MustCompile(`Your (?:public key|identification) has been saved|Generating public/private`)
	// What shells and cat print.
	noFile = regexp.MustCompile(`(?i)no such file|cannot find the (?:file|path)|not found`)
	// Bits, exponent and modulus (sshd(8) of OpenSSH before 7.6).
	versionOne = regexp.MustCompile(`(?m)^\s*\d{3,5} \d{1,10} \d{100,}`)
	// A path, or the name of a file that ssh-keygen or PuTTYgen makes, also behind a command.
	fileName = regexp.MustCompile(`(?i)^(?:[a-z]+ )?["']?(?:file:|~|\.|/|[a-z]:[\\/]|%|\$HOME)?[^"'=]*(?:[/\\]|\.pub|\.ppk|\.pem|\.key|id_[a-z0-9_]+|authorized_keys)["']?$`)
	// The word of a key's type that OpenSSH knows, and one that looks like it with base64 behind it.
	typeWord    = regexp.MustCompile(`\b(?:ssh-(?:rsa|dss|ed25519)|ecdsa-sha2-nistp\d+|sk-(?:ssh-ed25519|ecdsa-sha2-nistp256)@openssh\.com)(?:\s|$)`)
	foreignWord = regexp.MustCompile(`(?:^|\s)[a-z0-9-]+(?:@[a-z0-9.-]+)?\s+AAAA[A-Za-z0-9+/]{20}`)
	// The names of types in base64, wherever in three bytes they begin: the key lost its beginning.
	innerWord = regexp.MustCompile(`NzaC1yc2E|NzaC1lZDI1NTE5|NzaC1kc3M|VjZHNhLXNoYTI|NrLXNzaC1lZDI1NTE5|NrLWVjZHNh`)
)

// longestName is the most that is taken for the name of a file.
const longestName = 300

// without says what a text without a key is.
func without(text string) Diagnosis {
	text = strings.TrimSpace(text)
	oneLine := !strings.ContainsAny(text, "\r\n") && len(text) <= longestName
	switch {
	case text == "":
		return say(Empty)
	case keygenSays.MatchString(text):
		return say(KeygenOutput)
	case len(randomart.FindAllString(text, 2)) == 2:
		return say(Randomart)
	case fingerprints.MatchString(text):
		return say(Fingerprint)
	case versionOne.MatchString(text):
		return say(SSH1)
	case innerWord.MatchString(text):
		ahead := text[:innerWord.FindStringIndex(text)[0]]
		if strings.Contains(ahead[strings.LastIndexAny(ahead, " \t\r\n")+1:], beginning) {
			return say(Damaged)
		}
		return say(Cut)
	case noFile.MatchString(text):
		return say(NoSuchFile)
	case oneLine && fileName.MatchString(text):
		return say(FileName)
	case foreignWord.MatchString(text):
		return say(UnknownType)
	case typeWord.MatchString(text):
		return say(NoKey)
	}
	return say(NotAKey)
}
