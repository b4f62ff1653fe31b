package host

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
)

// nowhere is the connection that sshd is asked about, from and to addresses that no real one has (RFC 5737, RFC 2606).
// All of it is given: where Match LocalPort or LocalAddress is used, sshd prints nothing without them.
const nowhere = "host=client.invalid,addr=192.0.2.1" + here

// here is this host's end of it.
const here = ",laddr=192.0.2.2,lport=22,rdomain="

// connection is one from an address, whose name sshd does not look up (UseDNS no, the default); nowhere for the zero Addr.
func connection(from netip.Addr) string {
	if !from.IsValid() {
		return nowhere
	}
	return "host=" + from.String() + ",addr=" + from.String() + here
}

// ask asks sshd for the entries of AuthorizedKeysFile that are in force for a user. It prints them as they stand in the
// configuration, tokens unexpanded.
//
// -T wants host keys and the folder for the unprivileged part, which systemd makes when sshd starts; with -G (since 9.3) sshd
// wants nothing but the configuration. -C is refused without -T (main in sshd.c).
func ask(ctx context.Context, program, config, user string) ([]string, error) {
	settings, err := askAll(ctx, program, config, user, nowhere)
	if err != nil {
		return nil, err
	}
	return settings.Words("AuthorizedKeysFile"), nil
}

// askAll is ask for everything that sshd prints.
func askAll(ctx context.Context, program, config, user, connection string) (Settings, error) {
	return askFed(ctx, "", program, config, user, connection)
}

// askFed is askAll for a configuration that may be this text, by the name of stdin.
func askFed(ctx context.Context, text, program, config, user, connection string) (Settings, error) {
	var first error
	for _, mode := range [][]string{{"-T"}, {"-G", "-T"}} {
		out, _, err := runFed(ctx, text, program, append(mode, "-C", "user="+user+","+connection, "-f", config)...)
		if err == nil {
			return parseSettings(out)
		}
		if first == nil {
			first = fmt.Errorf("configuration %s: %w", config, err)
		}
	}
	return nil, first
}

// askList asks what a list of PubkeyAcceptedAlgorithms comes to that a Match block tells by "+", "-" or "^": not what is in force outside of it, changed,
// but what sshd was compiled with (measured with 9.2; sshd_config(5) says "the default set"). It is asked with a configuration of that block alone,
// beside the host keys without which sshd -T says nothing, and what is in force otherwise.
func askList(ctx context.Context, program string, now Settings, list string) ([]string, error) {
	var text strings.Builder
	for _, key := range now.Words("HostKey") {
		fmt.Fprintf(&text, "HostKey %s\n", key)
	}
	fmt.Fprintf(&text, "PubkeyAcceptedAlgorithms %s\nMatch all\n\tPubkeyAcceptedAlgorithms %s\n", now.Text("PubkeyAcceptedAlgorithms"), list)
	settings, err := askFed(ctx, text.String(), program, "/dev/stdin", "root", nowhere)
	return settings.Words("PubkeyAcceptedAlgorithms"), err
}

// Settings are what sshd -T prints: the values of each keyword, which is in lower case here, a line of them behind the other. 9.2 prints
// keywords in lower case, 10.5 as they are spelt in the manual page; for some whose value is "none" 10.5 prints no line. Commands, which it prints with
// their quotes, are parted as sshd does before it runs them.
type Settings map[string][]string

// Words are the words of a keyword's values; none where sshd does not print it.
func (s Settings) Words(keyword string) []string { return s[strings.ToLower(keyword)] }

// Text is a keyword's values as one text, "none" where sshd does not print it.
func (s Settings) Text(keyword string) string {
	if words := s.Words(keyword); len(words) > 0 {
		return strings.Join(words, " ")
	}
	return "none"
}

// Has reports whether sshd knows a keyword that it always prints.
func (s Settings) Has(keyword string) bool { return len(s.Words(keyword)) > 0 }

// parseSettings reads what sshd -T prints. So that an empty answer is not taken for one, a keyword that every sshd prints must be there: Port.
func parseSettings(out string) (Settings, error) {
	settings := make(Settings)
	for line := range strings.Lines(out) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		keyword := strings.ToLower(words[0])
		if keyword == "authorizedkeyscommand" || keyword == "authorizedprincipalscommand" {
			words = argv(strings.TrimSpace(line), false)
		}
		settings[keyword] = append(settings[keyword], words[1:]...)
	}
	if !settings.Has("Port") {
		return nil, fmt.Errorf("sshd -T printed no configuration, but %d bytes of something else", len(out))
	}
	return settings, nil
}

// expands reports whether sshd takes an entry of AuthorizedKeysFile for a pattern of glob(3): from OpenSSH 10.0 on. One that does not say
// its version is taken for a new one.
func expands(ctx context.Context, program string) bool {
	r, ok := askRelease(ctx, program)
	return !ok || r.Major >= 10
}
