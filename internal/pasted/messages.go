package pasted

import (
	"fmt"
	"strings"

	"github.com/keyreeve/keyreeve/authkeys"
)

// Code is the stable name of what a text is. One that was published never changes its meaning.
type Code string

// The codes. Those of the second group come with a line wherever one could be made out; those of the third without.
const (
	Good Code = "good" // one line, as ssh-keygen writes it

	Spelling        Code = "spelling"          // the line can be read, and is not written as ssh-keygen does
	NoType          Code = "no-type"           // the word for the type is missing
	WrongType       Code = "wrong-type"        // that word is another one than the key's
	Wrapped         Code = "wrapped"           // the line was broken
	Blanks          Code = "blanks"            // there are blanks in the base64
	Plus            Code = "plus"              // each "+" became a blank
	Padding         Code = "padding"           // the "=" at the end are missing
	Invisible       Code = "invisible"         // characters that nobody sees
	UTF16           Code = "utf-16"            // two bytes for each character
	Autocorrect     Code = "autocorrect"       // quotation marks or dashes of a word processor
	HTML            Code = "html"              // escapes or tags of a web page
	QuotedPrintable Code = "quoted-printable"  // escapes of mail
	URLEncoded      Code = "url-encoded"       // escapes of a web address
	Escaped         Code = "escaped"           // escapes of JSON or of a shell
	Base64URL       Code = "base64url"         // the base64 of web addresses
	Base64Twice     Code = "base64-twice"      // the line in base64 once more
	QuotedLines     Code = "quoted-lines"      // the marks of an answered mail
	TextAround      Code = "text-around"       // other text on the line or beside it
	Repeated        Code = "repeated"          // the same key more than once
	Options         Code = "options"           // options in front of the key
	Certificate     Code = "certificate"       // an OpenSSH certificate
	RFC4716         Code = "rfc4716"           // the form of RFC 4716
	PEM             Code = "pem"               // SubjectPublicKeyInfo, which ssh-keygen calls PKCS8
	PKCS1           Code = "pkcs1"             // RSAPublicKey, which ssh-keygen calls PEM
	BinaryKey       Code = "binary-key"        // the bytes of a key, without base64
	PuTTY           Code = "putty-private-key" // PuTTY's file, whose public half is given

	PrivateKey    Code = "private-key"
	Empty         Code = "empty"
	TooLong       Code = "too-long"
	Binary        Code = "binary"
	Cut           Code = "cut"
	CutBlock      Code = "cut-block"
	Damaged       Code = "damaged"
	TinyRSA       Code = "rsa-tiny"
	SeveralKeys   Code = "several-keys"
	HostKey       Code = "host-key"
	CertAuthority Code = "cert-authority"
	X509          Code = "x509"
	PGP           Code = "pgp"
	Fingerprint   Code = "fingerprint"
	Randomart     Code = "randomart"
	KeygenOutput  Code = "keygen-output"
	FileName      Code = "file-name"
	NoSuchFile    Code = "no-such-file"
	SSH1          Code = "ssh1"
	NoKey         Code = "no-key"
	UnknownType   Code = "unknown-type"
	NotAKey       Code = "not-a-key"
)

// Commands that many messages have. NewPair and ShowNew are as they are where ed25519 is accepted: who knows that it is not puts others in
// their place.
const (
	Show    = "cat ~/.ssh/*.pub" // shows the line that should have been pasted
	NewPair = "ssh-keygen -t ed25519"
	ShowNew = "cat ~/.ssh/id_ed25519.pub" // shows what NewPair has made
)

// message is what is said for a code. "{type}" is the key's type, "{missing}" how much of a key is not there.
type message struct {
	says string
	do   []string
}

// messageOf gives the words for a code.
func messageOf(code Code) message {
	if m, is := formMessages()[code]; is {
		return m
	}
	return otherMessages()[code]
}

// formMessages are those about a key that is there.
func formMessages() map[Code]message {
	return map[Code]message{
		Good:            {"This is one public key, as ssh-keygen writes it.", nil},
		Spelling:        {"The key is written in an unusual way; the line below is how ssh-keygen writes it.", nil},
		NoType:          {"The first word is missing: the line must begin with {type} and one blank.", nil},
		WrongType:       {"The word in front of the key is wrong: the line must begin with {type} and one blank.", nil},
		Wrapped:         {"The key was broken into several lines, by an editor, a terminal or a mail program; it must be one line.", nil},
		Blanks:          {"There are blanks in the middle of the key; it must be one word.", nil},
		Plus:            {"Each + of the key has become a blank, which a web form does that decodes too much.", nil},
		Padding:         {"The = at the end of the key are missing.", nil},
		Invisible:       {"There are characters in the text that nobody sees, such as a blank of another kind or a mark at the beginning of the file.", nil},
		UTF16:           {"The file was saved as \"Unicode\", with two bytes for each character; save it as ANSI or as UTF-8.", nil},
		Autocorrect:     {"A word processor has put other quotation marks or dashes in; copy the key with a plain text editor.", nil},
		HTML:            {"The text was copied from the source of a web page, which writes some characters as &#43; and the like.", nil},
		QuotedPrintable: {"The text was copied from the source of a mail, which writes some characters as =3D and breaks lines.", nil},
		URLEncoded:      {"The text was encoded for a web address, which writes some characters as %2B and the like.", nil},
		Escaped:         {"The text has the escapes of a program in it, such as \\n or \\/.", nil},
		Base64URL:       {"The key has - and _ where + and / belong.", nil},
		Base64Twice:     {"The line was encoded in base64 once more, as LDIF and some programs do.", nil},
		QuotedLines:     {"There are the marks of an answered mail in front of the lines.", nil},
		TextAround:      {"There is other text beside the key; only the one line of the key is wanted.", nil},
		Repeated:        {"The same key is there more than once.", nil},
		Options:         {"There are options in front of the key (such as from= or command=). A key is asked for without them.", nil},
		Certificate: {
			"This is a certificate, signed by somebody, and not the key; send the file whose name ends in .pub without -cert.",
			[]string{Show},
		},
		RFC4716:   {"This is a public key in the form of RFC 4716 (SSH2), which PuTTYgen saves; it has to become one line.", []string{"ssh-keygen -i -f FILE"}},
		PEM:       {"This is a public key in the form of OpenSSL (PKCS#8); it has to become one line.", []string{"ssh-keygen -i -m PKCS8 -f FILE"}},
		PKCS1:     {"This is a public key in the form of PKCS#1; it has to become one line.", []string{"ssh-keygen -i -m PEM -f FILE"}},
		BinaryKey: {"These are the bytes of a public key; it has to become one line of text.", nil},
		PuTTY: {
			"This is PuTTY's file with the PRIVATE key in it. Do not send it to anyone. If it has left your computer, make a new pair. " +
				"If not, the line below is the public half, which PuTTYgen shows at the top of its window when it loads the file.",
			[]string{NewPair},
		},
	}
}

// otherMessages are those about what cannot become a line.
func otherMessages() map[Code]message {
	return map[Code]message{
		PrivateKey: {"This is a PRIVATE key, or a part of one. Do not send this to anyone. It is not secret any more where it was pasted: " +
			"make a new pair, and send the file whose name ends in .pub.", []string{NewPair, ShowNew}},
		Empty:    {"There is nothing here. Copy the one line of the file whose name ends in .pub.", []string{Show}},
		TooLong:  {"This is far too long for a public key, which is one line.", []string{Show}},
		Binary:   {"This is no text. A public key is one line of text, in the file whose name ends in .pub.", []string{Show}},
		Cut:      {"The key is cut: {missing} missing. Copy the whole line, from its first word to its end.", []string{Show}},
		CutBlock: {"The text between BEGIN and END is not whole. Copy all of it, or better the one line of the file that ends in .pub.", []string{Show}},
		Damaged: {
			"The key is damaged: a character of it was changed, added or lost on the way. Copy the line again from the file that ends in .pub.",
			[]string{Show},
		},
		TinyRSA: {"This RSA key has less than 1024 bits, and no SSH server takes it. Make a new pair.", []string{NewPair, ShowNew}},
		SeveralKeys: {
			"There is more than one key here. Send one line for each, one after the other, and only those that you use.",
			[]string{"ssh-keygen -l -f FILE"},
		},
		HostKey:       {"This is the key of a host, from known_hosts or ssh-keyscan, and not one of yours.", []string{Show}},
		CertAuthority: {"This is the line of a certificate authority, which lets others' keys in. It cannot be registered.", []string{Show}},
		X509:          {"This is a certificate for web or mail (X.509), and not an SSH key.", []string{NewPair, ShowNew}},
		PGP:           {"This is a key or text of PGP, for mail, and not an SSH key.", []string{NewPair, ShowNew}},
		Fingerprint:   {"This is the fingerprint of a key, by which keys are compared. The key itself is in the file that ends in .pub.", []string{Show}},
		Randomart:     {"This is the picture that ssh-keygen draws of a key. The key itself is in the file that ends in .pub.", []string{Show}},
		KeygenOutput:  {"This is what ssh-keygen says when it makes a pair. The key is in the file that it names, the one that ends in .pub.", []string{Show}},
		FileName:      {"This is the name of a file. What is asked for is the one line in it.", []string{Show}},
		NoSuchFile:    {"This is an error message: there is no such file on your computer. If you have no pair yet, make one.", []string{NewPair, ShowNew}},
		SSH1:          {"This is a key for version 1 of SSH, which no server takes any more. Make a new pair.", []string{NewPair, ShowNew}},
		NoKey:         {"There is the type of a key, but no key behind it. Copy the whole line.", []string{Show}},
		UnknownType:   {"This is a key of a type that OpenSSH does not know. Make a new pair.", []string{NewPair, ShowNew}},
		NotAKey: {
			"This is no public key. A public key is one line that begins with a word such as ssh-ed25519 or ssh-rsa, in the file that ends in .pub.",
			[]string{Show},
		},
	}
}

// Say is the diagnosis of a code without a line, for who knows better than the text.
func Say(code Code) Diagnosis { return say(code) }

// say makes a diagnosis without a line; missing is how many characters of a key are, where that is known.
func say(code Code, missing ...int) Diagnosis {
	m, words := messageOf(code), "some characters"
	if len(missing) > 0 {
		words = fmt.Sprintf("%d characters", missing[0])
	}
	verb := " are"
	if len(missing) > 0 && missing[0] == 1 {
		words, verb = "1 character", " is"
	}
	return Diagnosis{Code: code, Says: strings.ReplaceAll(m.says, "{missing}", words+verb), Do: m.do}
}

// tell makes a diagnosis with a line.
func tell(code Code, line authkeys.Line) Diagnosis {
	m := messageOf(code)
	return Diagnosis{Code: code, Says: strings.ReplaceAll(m.says, "{type}", line.Key.Type()), Do: m.do, Line: line}
}
