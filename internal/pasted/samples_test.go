package pasted_test

import (
	"encoding/base64"
	"encoding/json"
	"html"
	"mime/quotedprintable"
	"net/url"
	"os"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/keyreeve/keyreeve/internal/pasted"
)

// keys are those of the vectors, by name.
func keys(tb testing.TB) map[string]string {
	tb.Helper()
	data, err := os.ReadFile("../../authkeys/testdata/vectors/keys.json")
	if err != nil {
		tb.Fatal(err)
	}
	var list map[string]string
	if err := json.Unmarshal(data, &list); err != nil {
		tb.Fatal(err)
	}
	return list
}

// fold breaks text into lines of so many characters.
func fold(text string, width int) string {
	var b strings.Builder
	for len(text) > width {
		b.WriteString(text[:width] + "\n")
		text = text[width:]
	}
	return b.String() + text
}

// utf16Of is what Notepad saves as "Unicode".
func utf16Of(text string, mark, big bool) string {
	if mark {
		text = "\ufeff" + text
	}
	var b strings.Builder
	for _, unit := range utf16.Encode([]rune(text)) {
		low, high := byte(unit), byte(unit>>8)
		if big {
			low, high = high, low
		}
		b.WriteString(string([]byte{low, high}))
	}
	return b.String()
}

func quotedPrintable(tb testing.TB, text string) string {
	tb.Helper()
	var b strings.Builder
	w := quotedprintable.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		tb.Fatal(err)
	}
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return b.String()
}

// sample is a text, what it is, and the name of the key that is to come out of it; none without one.
type sample struct {
	name, text string
	code       pasted.Code
	key        string
}

// formed are faults of a line that has a key of a type that needs no padding (A), and of one that needs it (R4096).
func formed(tb testing.TB) (list []sample) {
	tb.Helper()
	all := keys(tb)
	for _, name := range []string{"A", "R4096", "E256", "SKED", "SKEC", "DSA", "MLDSA"} {
		line := all[name]
		kind, blob, _ := strings.Cut(line, " ")
		half := len(blob) / 2
		add := func(what, text string, code pasted.Code) {
			list = append(list, sample{name + ": " + what, text, code, name})
		}
		add("as it is", line, pasted.Good)
		add("with a comment", line+" ann@laptop", pasted.Good)
		add("with a comment of other letters", line+" Jürgen’s\u00a0laptop", pasted.Good)
		add("of Windows", "\r\n"+line+" ann@laptop\r\n\r\n", pasted.Good)
		add("indented", "  "+line+"\t\n", pasted.Good)
		add("two blanks", kind+"  "+blob+" ann", pasted.Spelling)
		add("a comment like a key's beginning", kind+" "+blob+" AAAA", pasted.Good)
		add("blank lines", "\r\n \n"+kind+" "+blob+" ann\r\n\r\n", pasted.Good)
		add("a carriage return before it", "\r"+kind+" "+blob+" ann", pasted.Spelling)
		add("no type", blob, pasted.NoType)
		add("no type, comment", blob+" ann@laptop\n", pasted.NoType)
		add("type in capitals", strings.ToUpper(kind)+" "+blob, pasted.WrongType)
		add("first letter of the type lost", line[1:], pasted.WrongType)
		add("no blank", kind+blob+" ann", pasted.WrongType)
		add("underscore", strings.ReplaceAll(kind, "-", "_")+" "+blob, pasted.WrongType)
		add("a dash in front", "- "+blob, pasted.NoType)
		add("a name in front", "laptop.example.org "+blob, pasted.NoType)
		add("another type", "ssh-foo "+blob, pasted.WrongType)
		add("wrapped by mail", fold(line+" ann@laptop", 72), pasted.Wrapped)
		add("wrapped by a terminal", strings.ReplaceAll(fold(line, 60), "\n", "\r\n"), pasted.Wrapped)
		add("wrapped after the type", kind+"\n"+blob, pasted.Wrapped)
		add("wrapped and indented", kind+"\n    "+blob[:half]+"\n    "+blob[half:], pasted.Wrapped)
		add("a blank inside", kind+" "+blob[:half]+" "+blob[half:]+" ann@laptop", pasted.Blanks)
		add("byte order mark", "\ufeff"+line, pasted.Invisible)
		add("blank that does not break", kind+"\u00a0"+blob+" ann", pasted.Invisible)
		add("blank of Latin-1", kind+"\xa0"+blob+" ann", pasted.Invisible)
		add("zero width", kind+" "+blob[:half]+"\u200b"+blob[half:], pasted.Invisible)
		add("soft hyphen", kind+" "+blob[:half]+"\u00ad"+blob[half:], pasted.Invisible)
		add("NUL", line+"\x00", pasted.Invisible)
		add("bidi", "\u202e"+line+"\u202c", pasted.Invisible)
		add("coloured", "\x1b[01;31m\x1b[K"+kind+"\x1b[m\x1b[K "+blob, pasted.Invisible)
		add("Notepad, Unicode", utf16Of(line+" ann\r\n", true, false), pasted.UTF16)
		add("Unicode, big endian", utf16Of(line, true, true), pasted.UTF16)
		add("Unicode without a mark", utf16Of(line, false, false), pasted.UTF16)
		add("dash of a word processor", strings.ReplaceAll(kind, "-", "\u2013")+" "+blob, pasted.Autocorrect)
		add("quoted mail", "> "+kind+" "+blob[:half]+"\n> "+blob[half:]+" ann\n", pasted.Wrapped)
		add("quoted mail, one line", "> > "+line+" ann\n", pasted.QuotedLines)
		add("quotation marks", `"`+line+` ann"`, pasted.TextAround)
		add("smart quotation marks", "\u201c"+line+" ann\u201d", pasted.TextAround)
		add("backticks", "```\n"+line+" ann\n```", pasted.TextAround)
		add("a word in front", "My key: "+line+" ann", pasted.TextAround)
		add("prompt and command", "ann@laptop:~$ cat .ssh/id.pub\n"+line+" ann@laptop\nann@laptop:~$ ", pasted.TextAround)
		add("echo", "echo '"+line+" ann' >> ~/.ssh/authorized_keys", pasted.TextAround)
		add("a comment line", "# Ann's key\n"+line, pasted.TextAround)
		add("a letter", "Dear all,\n\nplease add this:\n\n"+line+"\n\nThanks, Ann", pasted.TextAround)
		add("twice", line+" ann\n"+line, pasted.Repeated)
		add("option", "restrict,pty "+line, pasted.Options)
		add("options with blanks", `command="echo hi",from="10.0.0.0/8" `+line, pasted.Options)
		add("smart quotes in options", "command=\u201cecho hi\u201d "+line, pasted.Options)
		add("option that is none", "no-such-thing "+line, pasted.Options)
		add("JSON", `{"key": "`+strings.ReplaceAll(line, "/", `\/`)+` ann\n"}`, pasted.TextAround)
		add("base64 twice", base64.StdEncoding.EncodeToString([]byte(line+" ann\n")), pasted.Base64Twice)
		add("LDIF", "sshPublicKey:: "+strings.ReplaceAll(fold(base64.StdEncoding.EncodeToString([]byte(line)), 60), "\n", "\n "), pasted.TextAround)
		add("wire", string(decode(tb, blob)), pasted.BinaryKey)
		if strings.ContainsAny(blob, "+/=") {
			add("web address", url.QueryEscape(line+" ann"), pasted.URLEncoded)
			add("web address, part", "key="+url.PathEscape(line+" ann")+"&user=ann", pasted.TextAround)
		}
		if strings.ContainsAny(blob, "+/") {
			add("other base64", kind+" "+strings.NewReplacer("+", "-", "/", "_").Replace(blob)+" ann", pasted.Base64URL)
		}
		if strings.Contains(blob, "+") {
			add("plus lost", kind+" "+strings.ReplaceAll(blob, "+", " ")+" ann@laptop", pasted.Plus)
			add("plus lost, no comment", kind+" "+strings.ReplaceAll(blob, "+", " "), pasted.Plus)
			add("HTML", strings.ReplaceAll(html.EscapeString(line), "+", "&#43;")+"<br>", pasted.HTML)
			add("HTML, doubtful", "<p>"+strings.ReplaceAll(line, "+", "&plus;")+"&nbsp;ann</p>", pasted.HTML)
		}
		if strings.HasSuffix(blob, "=") {
			add("no padding", strings.TrimRight(line, "="), pasted.Padding)
			add("no padding, comment", strings.TrimRight(line, "=")+" ann@laptop", pasted.Padding)
			add("quoted-printable", quotedPrintable(tb, line+" ann"), pasted.QuotedPrintable)
		}
	}
	return list
}

func decode(tb testing.TB, blob string) []byte {
	tb.Helper()
	wire, err := base64.StdEncoding.DecodeString(blob)
	if err != nil {
		tb.Fatal(err)
	}
	return wire
}

// refused are texts that no line comes of.
func refused(tb testing.TB) []sample {
	tb.Helper()
	all := keys(tb)
	a, r := all["A"], all["R4096"]
	_, blob, _ := strings.Cut(a, " ")
	art := "+--[ED25519 256]--+\n|      .o.        |\n|     o.+ .       |\n+----[SHA256]-----+\n"
	list := []sample{
		{"nothing", "", pasted.Empty, ""},
		{"blanks", " \r\n\t\u00a0\ufeff", pasted.Empty, ""},
		{"cut", a[:70], pasted.Cut, ""},
		{"cut, comment", a[:70] + " ann@laptop", pasted.Cut, ""},
		{"cut by one", a[:len(a)-1], pasted.Cut, ""},
		{"cut, comment of the right length", a[:len(a)-4] + " ann", pasted.Cut, ""},
		{"cut, long comment", a[:len(a)-6] + " annmiller@laptop", pasted.Cut, ""},
		{"RSA, cut", r[:300] + "\n", pasted.Cut, ""},
		{"RSA, shortened by a program", r[:40] + "..." + r[600:], pasted.Cut, ""},
		{"RSA, first part of a wrapped line", r[:76] + "\nann@laptop", pasted.Cut, ""},
		{"beginning lost", "ssh-ed25519 " + blob[4:], pasted.Cut, ""},
		{"beginning lost, RSA", r[12:], pasted.Cut, ""},
		{"a letter too many", strings.Replace(a, "AAAAC3", "AAAAC33", 1), pasted.Damaged, ""},
		{"a strange letter", a[:50] + "é" + a[51:], pasted.Damaged, ""},
		{"a star", a[:50] + "*" + a[51:], pasted.Damaged, ""},
		{"something behind it", a + "xyz", pasted.Damaged, ""},
		{"only the type", "ssh-ed25519", pasted.NoKey, ""},
		{"type and comment", "ssh-rsa ann@laptop", pasted.NoKey, ""},
		{"two keys", a + "\n" + r + "\n", pasted.SeveralKeys, ""},
		{"two keys on one line", a + " " + r, pasted.SeveralKeys, ""},
		{"known_hosts", "head1.example.org,192.0.2.1 " + a, pasted.HostKey, ""},
		{"known_hosts, hashed", "|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg= " + a, pasted.HostKey, ""},
		{"known_hosts, port", "[head1.example.org]:2222 " + a, pasted.HostKey, ""},
		{"known_hosts, revoked", "@revoked * " + a, pasted.HostKey, ""},
		{"ssh-keyscan", "# head1:22 SSH-2.0-OpenSSH_9.2\nhead1 " + a + "\n", pasted.HostKey, ""},
		{"authority", "cert-authority " + a, pasted.CertAuthority, ""},
		{"authority, principals", `principals="ann" ` + a, pasted.CertAuthority, ""},
		{"authority of hosts", "@cert-authority *.example.org " + a, pasted.CertAuthority, ""},
		{"fingerprint", "SHA256:MENnGbrKf3MA+qJqq5h1BSPVhqTDVFscU6bEzdP/Vv8", pasted.Fingerprint, ""},
		{"ssh-keygen -l", "256 SHA256:MENnGbrKf3MA+qJqq5h1BSPVhqTDVFscU6bEzdP/Vv8 ann@laptop (ED25519)\n", pasted.Fingerprint, ""},
		{"MD5", "2048 MD5:16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48 ann (RSA)", pasted.Fingerprint, ""},
		{"MD5, old", "16:27:ac:a5:76:28:2d:36:63:1b:56:4d:eb:df:a6:48", pasted.Fingerprint, ""},
		{"ssh-keygen -lv", "256 SHA256:MENnGbrKf3MA+qJqq5h1BSPVhqTDVFscU6bEzdP/Vv8 ann@laptop (ED25519)\n" + art, pasted.Randomart, ""},
		{"randomart", art, pasted.Randomart, ""},
		{"ssh-keygen's words", "Generating public/private ed25519 key pair.\nYour identification has been saved in id\nThe key fingerprint is:\nSHA256:MENnGbrKf3MA+qJqq5h1BSPVhqTDVFscU6bEzdP/Vv8 ann\n" + art, pasted.KeygenOutput, ""},
		{"name of a file", "~/.ssh/id_ed25519.pub", pasted.FileName, ""},
		{"name of a file, command", "cat ~/.ssh/id_ed25519.pub\n", pasted.FileName, ""},
		{"name of a file, Windows", `C:\Users\Ann Miller\.ssh\id_rsa.pub`, pasted.FileName, ""},
		{"name of a file, quoted", `"/home/ann/.ssh/id_rsa"`, pasted.FileName, ""},
		{"name alone", "mykey.ppk", pasted.FileName, ""},
		{"URL", "file:///home/ann/.ssh/id_rsa.pub", pasted.FileName, ""},
		{"no such file", "cat: /home/ann/.ssh/id_rsa.pub: No such file or directory", pasted.NoSuchFile, ""},
		{"SSH 1", "1024 65537 " + strings.Repeat("1234567890", 30) + " ann@laptop", pasted.SSH1, ""},
		{"tiny RSA", "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAQQDJgcv/x+wsZKjdEMP9Jq51yJgcv/x+wsZKjdEMP9Jq51yJgcv/x+wsZKjdEMP9Jq51yJgcv/x+wsZKjdEMP9Jq51yJgQ==", pasted.Damaged, ""},
		{"unknown type", "ssh-quantum AAAAC3NzaC1xdWFudHVtAAAAIHnxoe+mmuhR7yxm ann", pasted.UnknownType, ""},
		{"X.509", "-----BEGIN CERTIFICATE-----\nMIIBtjCCAVugAwIBAgITBmyf1XSXNmY\n-----END CERTIFICATE-----", pasted.X509, ""},
		{"PGP", "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDMEZ\n-----END PGP PUBLIC KEY BLOCK-----\n", pasted.PGP, ""},
		{"signature", "-----BEGIN SSH SIGNATURE-----\nU1NIU0lH\n-----END SSH SIGNATURE-----", pasted.NotAKey, ""},
		{"PEM, cut", "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n", pasted.CutBlock, ""},
		{"RFC 4716, cut", "---- BEGIN SSH2 PUBLIC KEY ----\nAAAAC3NzaC1lZDI1NTE5\n---- END SSH2 PUBLIC KEY ----\n", pasted.CutBlock, ""},
		{"two blocks", strings.Repeat("-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n", 2), pasted.SeveralKeys, ""},
		{"a word", "hello", pasted.NotAKey, ""},
		{"a password", "correct horse battery staple", pasted.NotAKey, ""},
		{"base64 of something", base64.StdEncoding.EncodeToString([]byte(strings.Repeat("something", 30))), pasted.NotAKey, ""},
		{"picture", "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + strings.Repeat("\x01\x02\x03\x00", 20), pasted.Binary, ""},
		{"too long", strings.Repeat("x", pasted.MaxSize+1), pasted.TooLong, ""},
		{"long with a key", a + "\n" + strings.Repeat("x", pasted.MaxSize), pasted.TooLong, ""},
		{"long, and what is behind is not looked at", strings.Repeat("x", pasted.MaxSize) + "-----BEGIN OPENSSH PRIVATE KEY-----", pasted.TooLong, ""},
		{"certificate", all["D_by_CA"], pasted.Certificate, "D"},
		{"certificate, wrapped", fold(all["D_by_CA"], 70), pasted.Certificate, "D"},
	}
	return list
}
