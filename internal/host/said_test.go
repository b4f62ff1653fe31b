package host

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The answers of sshd are there for each user, and the lines of all files with the blocks around them, in the order in which sshd reads them.
func TestAsk(t *testing.T) {
	f := newFolder(t)
	f.config("Include DIR/drop/*.conf\nStrictModes no # why not\nMatch User bob\n\tInclude DIR/inner\n\tRequiredRSASize=3072\n")
	f.put("inner", "Match Address 10.0.0.0/8\n PermitTTY no\n")
	said := NewSSHD("", []string{f.path("sshd_config"), f.path("gone")}).Ask(t.Context(), []string{"alice", "bob"})
	if len(said) != 2 || said[0].Err != nil {
		t.Fatalf("%+v", said)
	}
	if got := said[0].Users["alice"].Text("RequiredRSASize") + said[0].Users["bob"].Text("requiredrsasize") + said[0].Users["bob"].Text("StrictModes"); got != "10243072no" {
		t.Errorf("got %s", got)
	}
	if s := said[0].Users["bob"]; s.Has("NoSuchKeyword") || s.Text("NoSuchKeyword") != "none" {
		t.Error("a keyword that sshd does not know")
	}
	var got []Line
	for _, line := range said[0].Lines {
		line.File = strings.TrimPrefix(line.File, f.dir+"/")
		if line.Keyword != "hostkey" && line.Keyword != "include" {
			got = append(got, line)
		}
	}
	want := []Line{
		{"sshd_config", 3, "", "strictmodes", []string{"no"}},
		{"sshd_config", 4, "", "match", []string{"User", "bob"}},
		{"inner", 1, "User bob", "match", []string{"Address", "10.0.0.0/8"}},
		{"inner", 2, "User bob, Address 10.0.0.0/8", "permittty", []string{"no"}},
		{"sshd_config", 6, "User bob", "requiredrsasize", []string{"3072"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if said[1].Err == nil || len(said[1].Users) > 0 {
		t.Errorf("of a file that is not there: %+v", said[1])
	}
	if list := NewSSHD("/nowhere/sshd", nil).Ask(t.Context(), nil); len(list) > 0 {
		t.Errorf("without a configuration: %+v", list)
	}
}

// A list that a Match block tells by "+", "-" or "^" is asked of sshd, which changes its own default there, whatever is in force outside of the block; a
// keyword's old name is the one that sshd prints, and a command has the words that sshd gives it.
func TestAskLists(t *testing.T) {
	f := newFolder(t)
	users := []string{"nobody-a", "nobody-b", "nobody-c"}
	var blocks strings.Builder
	blocks.WriteString("PubkeyAcceptedKeyTypes rsa-sha2-512\nAuthorizedKeysCommand /bin/x \"--also=/y  %%u\" -- %u #1\nAuthorizedKeysCommandUser nobody\n")
	changes := []string{"-*-cert-v01@openssh.com,*ecdsa*", "+ssh-dss", "^rsa-sha2-256"}
	for i, user := range users {
		blocks.WriteString("Match User " + user + "\n\tPubkeyAcceptedAlgorithms " + changes[i] + "\n")
	}
	f.config(blocks.String())
	said := NewSSHD("", []string{f.path("sshd_config")}).Ask(t.Context(), append(users, "root"))[0]
	if len(said.Users) != 4 || said.Err != nil {
		t.Fatalf("%+v", said)
	}
	for i, user := range users {
		if got, want := strings.Join(said.Lists[changes[i]], " "), said.Users[user].Text("PubkeyAcceptedAlgorithms"); got != want || got == "none" || !strings.Contains(got, "ssh-ed25519") {
			t.Errorf("%s: %s, and for a user for whom the block holds %s", changes[i], got, want)
		}
	}
	if slices.ContainsFunc(said.Lines, func(line Line) bool { return line.Keyword == "pubkeyacceptedkeytypes" }) {
		t.Error("an old name stays")
	}
	if diff := cmp.Diff([]string{"/bin/x", "--also=/y  %%u", "--", "%u", "#1"}, said.Users["root"].Words("AuthorizedKeysCommand")); diff != "" {
		t.Error(diff)
	}
}

// What a block says for an address is there for connections from that address.
func TestAskFrom(t *testing.T) {
	f := newFolder(t)
	f.config("Match Address 192.0.2.7,2001:db8::/32\n\tPubkeyAuthentication no\n")
	sshd := NewSSHD("", []string{f.path("sshd_config")})
	for address, want := range map[string]string{"192.0.2.7": "no", "2001:db8::1": "no", "192.0.2.8": "yes", "": "yes"} {
		from, _ := netip.ParseAddr(address)
		said := sshd.AskFrom(t.Context(), from, []string{"alice"})
		if len(said) != 1 || said[0].Err != nil || said[0].Users["alice"].Text("PubkeyAuthentication") != want {
			t.Errorf("from %q: %+v", address, said)
		}
	}
}
