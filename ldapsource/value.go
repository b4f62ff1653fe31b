package ldapsource

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/pasted"
	"github.com/keyreeve/keyreeve/internal/plain"
	"github.com/keyreeve/keyreeve/registry"
)

// The codes of rejects and remarks. They are a contract (registry.Reject).
const (
	// codeUnparsable: the value is no line of authorized_keys and no key.
	codeUnparsable = "unparsable"
	// codeOptions: a key whose options sshd, or this program, does not take.
	codeOptions = "options"
	// codePrivate: a private key, or a part of one.
	codePrivate = "private-key"
	// codeSeveral: more than one key in one value.
	codeSeveral = "several-keys"
	// codeCRLF: the value ends with a newline or a carriage return. The key counts.
	codeCRLF = "crlf"
	// codeNUL: a NUL byte. The key counts where it is the last byte, as a program in C may have left it.
	codeNUL = "nul"
	// codeTooMany: more keys than a user may have.
	codeTooMany = "too-many-keys"
	// codeTooBig: more values, by their bytes, than are read of one entry.
	codeTooBig = "too-big"
	// codeTaken: the name is another entry's.
	codeTaken = "name-taken"
	// codeMore: more rejects, or remarks, than are told.
	codeMore = "more"
	// codeMail: the value is no mail address.
	codeMail = "mail"
	// codeAccount: the entry does not tell what the account is.
	codeAccount = "account"
)

// finding is what is wrong with a value.
type finding struct{ code, detail string }

// reject adds a value that is not used, with a sentence in ASCII.
func reject(u *registry.User, e Entry, code, detail string) {
	u.Rejects = append(u.Rejects, registry.Reject{Origin: e.DN, Code: code, Detail: detail})
}

// key adds one value of the key attribute to its user.
func (s Schema) key(u *registry.User, e Entry, value []byte) {
	record, remarks, err := decodeKey(value)
	if err != nil {
		reject(u, e, err.code, s.told(value, *err))
		return
	}
	record.Origin = e.DN
	u.Records = append(u.Records, record)
	for _, remark := range remarks {
		u.Remarks = append(u.Remarks, registry.Reject{Origin: e.DN, Code: remark.code, Detail: record.Key.Fingerprint() + ": " + remark.detail})
	}
}

// told names a value by its size and digest. Nothing of it is repeated but options before a key: it may be a piece of a private key
// that somebody has pasted line by line, which nothing tells from any other text.
func (s Schema) told(value []byte, f finding) string {
	sum := sha256.Sum256(value)
	return fmt.Sprintf("%s, a value of %d bytes with the SHA-256 %x...: %s", s.Key, len(value), sum[:6], plain.Text(f.detail))
}

// decodeKey reads one value of the key attribute.
func decodeKey(value []byte) (record registry.Record, remarks []finding, wrong *finding) {
	if pasted.Private(value) {
		return record, nil, &finding{codePrivate, "it holds a private key or a part of one, which whoever may read the directory has now"}
	}
	// A line of text never begins with NUL; the length of a blob's type name, below 2^24, always does (RFC 4251 section 5).
	if len(value) > 0 && value[0] == 0 {
		key, err := authkeys.ParseBlob(value)
		return registry.Record{Key: key}, nil, unparsable(err)
	}
	if text, ended := bytes.CutSuffix(value, []byte{0}); ended {
		value, remarks = text, append(remarks, finding{codeNUL, "the value ends with a NUL byte, which does not count"})
	}
	if text := bytes.TrimRight(value, "\r\n"); len(text) < len(value) {
		value, remarks = text, append(remarks, finding{codeCRLF, "the value ends with a line break, which makes it another value to the directory than without"})
	}
	switch {
	case bytes.IndexByte(value, 0) >= 0:
		return record, nil, &finding{codeNUL, "it holds a NUL byte"}
	case bytes.ContainsAny(value, "\r\n"):
		return record, nil, severalLines(value)
	}
	line, err := authkeys.ParseValue(value)
	if err != nil {
		return record, nil, unparsable(err)
	}
	return registry.Record{Key: line.Key, Options: line.Options, Label: label(line.Comment)}, remarks, nil
}

// unparsable says why a value is no key, in words that repeat nothing of it.
func unparsable(err error) *finding {
	parse, ok := errors.AsType[*authkeys.ParseError](err)
	switch {
	case err == nil:
		return nil
	case !ok:
		return &finding{codeUnparsable, err.Error()}
	case parse.Reason == authkeys.ReasonTypeUnknown:
		return &finding{codeUnparsable, "it has no type of key that OpenSSH knows"}
	case parse.Reason == authkeys.ReasonMalformedOptions:
		return &finding{codeOptions, parse.Detail}
	}
	return &finding{codeUnparsable, parse.Detail}
}

// severalLines says what a value of several lines is.
func severalLines(value []byte) *finding {
	keys := 0
	for line := range bytes.FieldsFuncSeq(value, func(r rune) bool { return r == '\r' || r == '\n' }) {
		if _, err := authkeys.ParseValue(line); err == nil {
			keys++
		}
	}
	_, joined := authkeys.ParseValue([]byte(strings.NewReplacer("\r", "", "\n", "").Replace(string(value))))
	switch {
	case keys > 1:
		return &finding{codeSeveral, fmt.Sprintf("%d keys in one value: none of them counts, each needs a value of its own", keys)}
	case joined == nil:
		return &finding{codeUnparsable, "one key that was broken into several lines"}
	case bytes.Contains(value, []byte("BEGIN SSH2 PUBLIC KEY")):
		return &finding{codeUnparsable, "the form of RFC 4716, which ssh-keygen -i turns into a line"}
	}
	return &finding{codeUnparsable, "more than one line"}
}

// label makes a key's comment fit for people: what does not print is a question mark.
func label(comment string) string {
	comment = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, comment)
	if len(comment) > maxLabel {
		comment = strings.ToValidUTF8(comment[:maxLabel], "")
	}
	return comment
}

// quote shows the beginning of a value in plain ASCII.
func quote(value []byte) string {
	if len(value) > maxQuote {
		return strconv.QuoteToASCII(string(value[:maxQuote])) + "..."
	}
	return strconv.QuoteToASCII(string(value))
}
