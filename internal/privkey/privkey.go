// Package privkey knows the file of a private key by its content, and says of it what everybody may know: its form, whether a
// passphrase protects it, and its public half where the file shows that.
//
// [Find] is pure and takes the beginning of any file, of which a key has some 13 KiB (RSA of 16384 bits); what OpenSSL passes over before a key has no
// bound. It knows what ssh and PuTTY read:
//
//   - OpenSSH's own form (PROTOCOL.key of OpenSSH);
//   - PEM of OpenSSL's: PKCS #1, SEC 1, and its form of DSA, encrypted or not by the headers of RFC 1421;
//   - PKCS #8 (RFC 5958), whose label says whether it is encrypted;
//   - PuTTY's files of the versions 1 to 3 (PuTTY's manual, appendix C).
//
// A key is Plain only if what no passphrase protects can be read as a private key. What has the marks of one and cannot is Unclear, whatever its
// label says, so that an encrypted key is never taken for a plain one, nor a damaged one for no key. No byte of a private half is part of what is returned, and no
// error quotes the file: there is none.
package privkey

import (
	"bytes"
	"encoding/base64"

	"github.com/keyreeve/keyreeve/authkeys"
)

// State is how a private key is protected; a stable code.
type State string

// The states, the worst first.
const (
	// Plain: by nothing. Who reads the file can log in with it.
	Plain State = "plain"
	// Unclear: it has the marks of a private key, and is damaged, cut, or of a form that is not known here.
	Unclear State = "unclear"
	// Hardware: without the device that made it the file is of no use (PROTOCOL.u2f of OpenSSH).
	Hardware State = "hardware"
	// Encrypted: by a passphrase.
	Encrypted State = "encrypted"
)

// Form is that of the file; a stable code.
type Form string

// The forms.
const (
	OpenSSH Form = "openssh"
	PEM     Form = "pem"
	PKCS8   Form = "pkcs8"
	PuTTY   Form = "putty"
)

// Key is what everybody may know of a private key. Keys are comparable.
type Key struct {
	Form  Form
	State State
	// Public is the public half, the zero Key where the file does not show it, or where sshd would not take it.
	Public authkeys.Key
	// Comment is the user's own text, at most maxComment bytes of it.
	Comment string
}

const maxComment = 256

// Find looks for a private key in the first bytes of a file. Of several the one that is protected least counts: which of them a program takes, is its
// own affair.
func Find(head []byte) (found Key, is bool) {
	found, is = putty(head)
	for {
		label, block, rest, more := nextBlock(head)
		if !more {
			return found, is
		}
		if key := block.key(label); !is || key.State.rank() < found.State.rank() {
			found, is = key, true
		}
		head = rest
	}
}

func (s State) rank() int {
	switch s {
	case Plain:
		return 0
	case Unclear:
		return 1
	case Hardware:
		return 2
	case Encrypted:
	}
	return 3
}

// block is what stands between the first and the last line of PEM (RFC 7468 section 2).
type block struct {
	text  []byte
	whole bool // there is a last line
}

const (
	begin = "-----BEGIN "
	end   = "-----END "
	mark  = "PRIVATE KEY-----"
)

// nextBlock finds the next private key whose first line begins a line, as OpenSSL wants it (get_name in crypto/pem/pem_lib.c).
func nextBlock(text []byte) (label string, found block, rest []byte, more bool) {
	for len(text) > 0 {
		line, after, _ := bytes.Cut(text, []byte("\n"))
		text = after
		name, is := bytes.CutPrefix(bytes.TrimRight(line, " \t\r"), []byte(begin))
		if !is || !bytes.HasSuffix(name, []byte(mark)) {
			continue
		}
		found.text, rest, found.whole = bytes.Cut(text, []byte(end))
		if next := bytes.Index(found.text, []byte(begin)); next >= 0 { // nothing may hide another one
			found, rest = block{text: text[:next]}, text[next:]
		}
		return string(bytes.TrimSuffix(name, []byte("-----"))), found, rest, true
	}
	return "", block{}, nil, false
}

// key reads a block by its label.
func (b block) key(label string) Key {
	key := Key{Form: PEM, State: Unclear}
	switch label {
	case "OPENSSH PRIVATE KEY":
		key.Form = OpenSSH
	case "PRIVATE KEY":
		key.Form = PKCS8
	case "ENCRYPTED PRIVATE KEY":
		return Key{Form: PKCS8, State: Encrypted}
	}
	if header := b.header(); len(header) > 0 {
		if bytes.HasPrefix(header, []byte("Proc-Type: 4,ENCRYPTED")) {
			key.State = Encrypted // PEM_get_EVP_CIPHER_INFO in crypto/pem/pem_lib.c: of whatever label
		}
		return key
	}
	data := decode(b.text)
	defer clear(data)
	if !b.whole {
		data = nil // nobody reads it
	}
	switch label {
	case "OPENSSH PRIVATE KEY":
		return openssh(data)
	case "PRIVATE KEY":
		return key.read(data, pkcs8)
	case "RSA PRIVATE KEY":
		return key.read(data, pkcs1)
	case "DSA PRIVATE KEY":
		return key.read(data, dsa)
	case "EC PRIVATE KEY":
		return key.read(data, sec1)
	}
	return key
}

// read makes a key plain if it can be read, with its public half where that shows.
func (k Key) read(der []byte, read func([]byte) (public []byte, is bool)) Key {
	public, is := read(der)
	if is {
		k.State = Plain
		k.Public, _ = authkeys.ParseBlob(public) // nothing, or what sshd does not take
	}
	return k
}

// header is the part before the empty line, if there is one: no line of base64 has a colon.
func (b block) header() []byte {
	return b.text[:bytes.LastIndexByte(b.text, ':')+1]
}

// decode reads base64 between blanks; nil of anything else.
func decode(text []byte) []byte {
	dense := bytes.Join(bytes.Fields(text), nil)
	defer clear(dense)
	data := make([]byte, base64.StdEncoding.DecodedLen(len(dense)))
	n, err := base64.StdEncoding.Decode(data, dense)
	if err != nil {
		clear(data)
		return nil
	}
	return data[:n]
}

// comment is what is kept of one.
func comment(text []byte) string { return string(text[:min(len(text), maxComment)]) }
