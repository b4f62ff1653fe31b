package privkey

import (
	"bytes"
	"strconv"

	"github.com/keyreeve/keyreeve/authkeys"
)

// putty reads a file of PuTTY's (its manual, appendix C): lines "Name: value" in an order that never changes, with base64 below some of them.
func putty(head []byte) (key Key, is bool) {
	const first = "PuTTY-User-Key-File-" // with a version, and the type of the key
	if !bytes.HasPrefix(head, []byte(first)) {
		return Key{}, false
	}
	key = Key{Form: PuTTY, State: Unclear}
	p := puttyFile{rest: head}
	p.line()
	encryption, label := p.value("Encryption: "), p.value("Comment: ")
	if p.bad {
		return key, true
	}
	key.Comment = comment(label)
	key.Public, _ = authkeys.ParseBlob(decode(p.lines("Public-Lines: ")))
	if string(encryption) != "none" {
		key.State = Encrypted
		return key, true
	}
	private := decode(p.lines("Private-Lines: "))
	defer clear(private)
	if !p.bad && len(private) > 0 {
		key.State = Plain
	}
	return key, true
}

// puttyFile is read line by line.
type puttyFile struct {
	rest []byte
	bad  bool // a line was not the one that was asked for
}

// line is the next one. It ends with LF, CR, or both (read_body in sshpubk.c).
func (p *puttyFile) line() []byte {
	n := bytes.IndexAny(p.rest, "\r\n")
	if n < 0 {
		line := p.rest
		p.rest = nil
		return line
	}
	line, ending := p.rest[:n], 1
	if bytes.HasPrefix(p.rest[n:], []byte("\r\n")) {
		ending = 2
	}
	p.rest = p.rest[n+ending:]
	return line
}

// value is that of the next line, which has a name.
func (p *puttyFile) value(name string) []byte {
	value, is := bytes.CutPrefix(p.line(), []byte(name))
	p.bad = p.bad || !is
	return value
}

// lines are as many as the next line says, which has a name.
func (p *puttyFile) lines(name string) []byte {
	count, err := strconv.Atoi(string(p.value(name)))
	from := p.rest
	for range count {
		if len(p.rest) == 0 {
			p.bad = true
			break
		}
		p.line()
	}
	p.bad = p.bad || err != nil
	return from[:len(from)-len(p.rest)]
}
