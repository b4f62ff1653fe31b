package config_test

import (
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"

	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/ldapsource"
	"github.com/keyreeve/keyreeve/policy"
)

const small = "registry: {source: ldif, ldif: {path: /etc/keyreeve/registry.ldif}}\n"

func TestSmallestFile(t *testing.T) {
	c, err := config.Parse("k.yaml", []byte(small))
	if err != nil {
		t.Fatal(err)
	}
	want := config.Default()
	want.Registry.Source, want.Registry.LDIF.Path, want.SHA256 = "ldif", "/etc/keyreeve/registry.ldif", c.SHA256
	if diff := cmp.Diff(want, c); diff != "" {
		t.Error(diff)
	}
	if c.Mode != config.Report || c.Homes.MinUID != 1000 || c.Registry.Refresh != 5*time.Minute || len(c.SHA256) != 64 {
		t.Errorf("defaults: %+v", c)
	}
}

func TestValues(t *testing.T) {
	c, err := config.Parse("k.yaml", []byte(small+`
mode: enforce
homes: {install: all, include: [root], sweep: 1h, fast_check: 0s, min_uid: 500, sshd: {program: /opt/sshd, configs: []}}
policy:
  keys: [{type: rsa, min_bits: 3072, from: 2026-01-01}, {type: rsa, min_bits: 2048, until: "2025-12-31"}]
  warn: 14d
  blocklist: /etc/keyreeve/blocklist.dat
  options: {allow: [], force: [{options: restrict}, {hosts: ["login*"], options: 'from="10.0.0.0/8"'}], lift: [no-pty]}
brake: {people: 30, window: 2h}
quarantine_full: remove
quarantine_max_age: 36h
quarantine_max_size: 20MiB
`))
	if err != nil {
		t.Fatal(err)
	}
	rules := policy.Rules{Keys: []policy.Rule{{Type: "rsa", MinBits: 3072, From: "2026-01-01"}, {Type: "rsa", MinBits: 2048, Until: "2025-12-31"}}, Warn: 14, Blocklist: "/etc/keyreeve/blocklist.dat", Options: policy.OptionRules{
		Allow: []string{}, // none, and not the default
		Force: []policy.Force{{Options: "restrict"}, {Hosts: []string{"login*"}, Options: `from="10.0.0.0/8"`}}, Lift: []string{"no-pty"},
	}}
	if diff := cmp.Diff(rules, c.Policy); diff != "" {
		t.Errorf("a list in the file must replace the default one, not add to it: %s", diff)
	}
	if c.QuarantineFull != "remove" || c.QuarantineMaxAge != config.Age(36*time.Hour) || c.QuarantineMaxSize != 20<<20 {
		t.Errorf("quarantine: %s %v %d", c.QuarantineFull, c.QuarantineMaxAge, c.QuarantineMaxSize)
	}
	if c.Brake != (config.Brake{People: 30, Window: 2 * time.Hour}) {
		t.Errorf("brake: %+v", c.Brake)
	}
	want := config.Default().Homes
	want.Install, want.Include, want.Sweep, want.FastCheck, want.MinUID = "all", []string{"root"}, time.Hour, 0, 500
	want.SSHD = config.SSHD{Program: "/opt/sshd", Configs: []string{}}
	if diff := cmp.Diff(want, c.Homes); diff != "" {
		t.Error(diff)
	}
}

func TestLDAPValues(t *testing.T) {
	c, err := config.Parse("k.yaml", []byte(`registry: {source: ldap, ldap: {srv: example.org, ca_file: /ca, base: dc=x, gssapi: {keytab: $CREDENTIALS_DIRECTORY/k, principal: a@B}}}`))
	if err != nil {
		t.Fatal(err)
	}
	want := config.Default().Registry.LDAP
	want.SRV, want.CAFile, want.Base = "example.org", "/ca", "dc=x"
	want.GSSAPI.Keytab, want.GSSAPI.Principal = "$CREDENTIALS_DIRECTORY/k", "a@B"
	if diff := cmp.Diff(want, c.Registry.LDAP); diff != "" {
		t.Errorf("the part that is not named must keep its default: %s", diff)
	}
}

// The example is the reference: it names every key, and where it shows a default, that is the default.
func TestExample(t *testing.T) {
	const path = "../../configs/keyreeve.yaml"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	c, err := config.Parse(path, data)
	if err != nil {
		t.Fatal(err)
	}
	want := config.Default()
	want.SHA256, want.Registry.Source = c.SHA256, "ldap"
	want.Registry.LDAP.URLs = []string{"ldaps://ldap1.example.org", "ldaps://ldap2.example.org"}
	want.Registry.LDAP.Base = "ou=people,dc=example,dc=org"
	want.Homes.Include, want.Registry.LDAP.Hosts.Names = []string{}, []string{}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("the example differs from the defaults: %s", diff)
	}
	var tree map[string]any
	if err := yaml.Load(uncommented(data), &tree); err != nil {
		t.Fatal(err)
	}
	shown := paths(tree)
	for _, key := range keys(reflect.TypeFor[config.Config](), "") {
		// The attributes of a file are shown once, with those of a directory.
		same := strings.Replace(key, "registry.ldif.attributes.", "registry.ldap.attributes.", 1)
		if !slices.Contains(shown, same) {
			t.Errorf("the example does not show %s", key)
		}
	}
}

// A schema decides about the filter and the attributes, but for those that the file names itself, wherever in the file they stand.
func TestSchemas(t *testing.T) {
	ipa, filter, _ := ldapsource.Preset(ldapsource.FreeIPA)
	ldap := func(more string) string {
		return "registry: {source: ldap, ldap: {urls: [ldaps://h], base: 'dc=x', " + more + "}}\n"
	}
	c, err := config.Parse("k.yaml", []byte(ldap("schema: freeipa")))
	if err != nil || c.Registry.LDAP.Schema != ipa || c.Registry.LDAP.Filter != filter {
		t.Errorf("%+v, %v", c.Registry.LDAP, err)
	}
	c, err = config.Parse("k.yaml", []byte(ldap("attributes: {key: sshKey, locked: ''}, filter: (uid=*), schema: freeipa")))
	ipa.Key, ipa.Locked = "sshKey", ""
	if err != nil || c.Registry.LDAP.Schema != ipa || c.Registry.LDAP.Filter != "(uid=*)" {
		t.Errorf("%+v, %v", c.Registry.LDAP, err)
	}
	c, err = config.Parse("k.yaml", []byte("registry: {source: ldif, ldif: {path: /r, schema: ad, attributes: {key: k, prefix: 'SSH:'}, hosts: {attribute: host, names: [a]}}}\n"))
	ad, _, _ := ldapsource.Preset(ldapsource.ActiveDirectory)
	ad.Key, ad.Prefix = "k", "SSH:"
	if layout := c.Registry.LDIF.Layout(); err != nil || layout.Schema != ad || layout.Hosts.Attribute != "host" || len(layout.Hosts.Names) != 1 {
		t.Errorf("%+v, %v", layout, err)
	}
	for text, want := range map[string]string{
		ldap("schema: nis"):              `k.yaml: registry.ldap: schema "nis" is not one of openssh-lpk, freeipa, 389ds, ad`,
		ldap("schema: ad"):               "k.yaml: registry.ldap: key: no attribute is named",
		ldap("hosts: {attribute: host}"): "k.yaml: registry.ldap: hosts: an attribute without names, which would make every account one of other hosts",
		"registry: {source: ldif, ldif: {path: /r, schema: nis}}\n":         `k.yaml: registry.ldif.schema: "nis" is not one of openssh-lpk, freeipa, 389ds, ad`,
		"registry: {source: ldif, ldif: {path: /r, hosts: {names: [a]}}}\n": "k.yaml: registry.ldif: hosts: names without an attribute",
	} {
		if _, err := config.Parse("k.yaml", []byte(text)); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// uncommented turns the example's optional keys, "#key: value" and "# ldif: ...", into keys.
func uncommented(data []byte) []byte {
	data = regexp.MustCompile(`(?m)^( *)#- `).ReplaceAll(data, []byte("$1- "))
	return regexp.MustCompile(`(?m)^( *)#( ?)(srv|ca_file|server_name|client_cert|client_key|bind_dn|password_file|gssapi|referrals|canary|ldif|groups|users|options):`).ReplaceAll(data, []byte("$1$3:"))
}

// paths lists the keys of a tree, with those above them.
func paths(tree map[string]any) []string {
	var list []string
	for key, value := range tree {
		list = append(list, key)
		switch value := value.(type) {
		case map[string]any:
			for _, below := range paths(value) {
				list = append(list, key+"."+below)
			}
		case []any:
			for _, item := range value {
				if item, ok := item.(map[string]any); ok {
					for _, below := range paths(item) {
						list = append(list, key+"."+below)
					}
				}
			}
		}
	}
	return list
}

// keys lists the keys of a configuration in the same way.
func keys(t reflect.Type, above string) []string {
	var list []string
	for field := range t.Fields() {
		key := field.Tag.Get("yaml")
		if key == "-" || key == "" {
			continue
		}
		list = append(list, above+key)
		for t = field.Type; t.Kind() == reflect.Slice; t = t.Elem() {
		}
		if t.Kind() == reflect.Struct {
			list = append(list, keys(t, above+key+".")...)
		}
	}
	return list
}

func TestErrors(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"empty":          {"", []string{"k.yaml: the file is empty, or all of it is a comment"}},
		"no mapping":     {"- a\n", []string{"k.yaml:1: what stands here is no group of keys"}},
		"two documents":  {small + "---\n" + small, []string{"k.yaml: expected single document, found multiple"}},
		"no source":      {"mode: report\n", []string{`k.yaml: registry.source: "" is not one of ldap, ldif`}},
		"broken":         {"mode: [", []string{"k.yaml:2: did not find expected node content"}},
		"double":         {small + "mode: report\nmode: enforce\n", []string{`k.yaml:3: mapping key "mode" already defined at line 2`}},
		"misspelt":       {small + "mod: enforce\n", []string{"k.yaml:2: unknown key mod (did you mean mode?)"}},
		"misspelt below": {small + "homes:\n  minuid: 5\n", []string{"k.yaml:3: unknown key homes.minuid (did you mean min_uid?)"}},
		"in a list":      {small + "policy:\n  keys:\n  - {type: rsa, bits: 4096}\n", []string{"k.yaml:4: unknown key policy.keys[0].bits (did you mean min_bits?)"}},
		"far off":        {small + "zzzzzz: 1\n", []string{"k.yaml:2: unknown key zzzzzz"}},
		"two at once":    {small + "mod: 1\nhome: 2\n", []string{"k.yaml:2: unknown key mod (did you mean mode?)", "k.yaml:3: unknown key home (did you mean homes?)"}},
		"no value":       {small + "policy:\n  keys:\n", []string{"k.yaml:3: policy.keys has no value"}},
		"number":         {small + "homes: {sweep: 10}\n", []string{"k.yaml:2: `10` is no time such as 90s, 10m or 24h"}},
		"bad options":    {small + "policy: {options: {allow: [form], force: [{options: tunnel=\"0\"}]}}\n", []string{`k.yaml: policy.options.allow[0]: "form" is no option of authorized_keys`, "k.yaml: policy.options.force[0]: tunnel cannot be forced"}},
		"forced option":  {small + "policy: {options: {force: [{host: [a], options: pty}]}}\n", []string{"k.yaml:2: unknown key policy.options.force[0].host (did you mean hosts?)"}},
		"empty keys":     {small + "policy: {keys: []}\n", []string{"k.yaml: policy.keys: the list is empty, which would refuse every key"}},
		"bad rules":      {small + "policy: {keys: [{type: dsa}, {type: rsa}]}\n", []string{`k.yaml: policy.keys[0]: the type "dsa" is not one of ed25519, sk-ed25519, rsa`, "k.yaml: policy.keys[1]: min_bits is 0; an rsa rule needs 2048 to 16384"}},
		"stale, refuse":  {"registry: {source: ldif, ldif: {path: /r}, stale: refuse, refresh: 5m, max_stale: 9m}\n", []string{`k.yaml: registry.max_stale: with "stale: refuse", 9m0s is less than two of registry.refresh, 5m0s`}},
		"stale":          {"registry: {source: ldif, ldif: {path: /r}, stale: ask, max_stale: 1m}\n", []string{`k.yaml: registry.stale: "ask" is not one of serve, refuse`, "k.yaml: registry.max_stale: 1m0s is less than registry.refresh, 5m0s"}},
		"hold":           {"registry: {source: ldif, ldif: {path: /r}, hold: {percent: 51, least: 101}}\n", []string{"k.yaml: registry.hold.percent: 51 is not between 0 and 50", "k.yaml: registry.hold.least: 101 is not between 0 and 100"}},
		"relative":       {small + "state_dir: var/lib\n", []string{`k.yaml: state_dir: "var/lib" is not a plain absolute path`}},
		"mode":           {small + "mode: enforcing\n", []string{`k.yaml: mode: "enforcing" is not one of report, warn, enforce`}},
		"not built":      {small + "homes: {guard: wheel, accounts: nss}\n", []string{`homes.guard: "wheel" is not one of user, root`, `"nss" is not built yet`}},
		"doctor":         {small + "doctor: {passwords: never}\n", []string{`doctor.passwords: "never" is not one of allow, forbid`}},
		"quarantine":     {small + "quarantine_full: drop\nquarantine_max_age: 23h\nquarantine_max_size: 1MiB\n", []string{`quarantine_full: "drop" is not one of stop, remove`, "quarantine_max_age: 23h0m0s is less than 1d", "quarantine_max_size: 1048576 bytes are less than 16MiB"}},
		"age":            {small + "quarantine_max_age: 5w\n", []string{"k.yaml:2: "}},
		"size":           {small + "quarantine_max_size: 4GB\n", []string{"k.yaml:2: "}},
		"brake":          {small + "brake: {people: 0, window: 30s}\n", []string{"brake.people: 0 is not between 1 and 1000", "brake.window: 30s is not between 1m0s and 168h0m0s"}},
		"seldom":         {small + "homes: {sweep: 61m}\n", []string{"homes.sweep: 1h1m0s is not between 1s and 1h0m0s"}},
		"uid 0":          {small + "homes: {min_uid: 0}\n", []string{"homes.min_uid: 0 is below 1"}},
		"textfile":       {small + "metrics: {textfile: keyreeve.prom}\n", []string{`k.yaml: metrics.textfile: "keyreeve.prom" is not a plain absolute path`}},
		"answer":         {small + "answer: {dir: keys}\n", []string{`k.yaml: answer.dir: "keys" is not a plain absolute path`}},
		"deny unknown":   {small + "deny: {unknown: true}\n", []string{"k.yaml: deny.unknown: there is no list: deny.file is empty"}},
		"deny":           {small + "deny: {file: list, except: [/a, b]}\n", []string{`k.yaml: deny.file: "list" is not a plain absolute path`, `k.yaml: deny.except[1]: "b" is not`}},
		"no prom":        {small + "metrics: {textfile: /run/keyreeve.txt}\n", []string{`k.yaml: metrics.textfile: "/run/keyreeve.txt" does not end with .prom`}},
		"listen name":    {small + "metrics: {listen: \"localhost:9100\"}\n", []string{`k.yaml: metrics.listen: "localhost:9100" is neither`}},
		"listen all":     {small + "metrics: {listen: \":9100\"}\n", []string{`k.yaml: metrics.listen: ":9100" is neither`}},
		"listen any":     {small + "metrics: {listen: \"0.0.0.0:9100\"}\n", []string{`k.yaml: metrics.listen: "0.0.0.0:9100" is neither`}},
		"listen other":   {small + "metrics: {listen: \"127.0.0.2:9100\"}\n", []string{`k.yaml: metrics.listen: "127.0.0.2:9100" is neither`}},
		"listen mapped":  {small + "metrics: {listen: \"[::ffff:127.0.0.1]:9100\"}\n", []string{`k.yaml: metrics.listen: "[::ffff:127.0.0.1]:9100" is neither`}},
		"listen zone":    {small + "metrics: {listen: \"[::1%eth0]:9100\"}\n", []string{`k.yaml: metrics.listen: "[::1%eth0]:9100" is neither`}},
		"listen port":    {small + "metrics: {listen: \"127.0.0.1:0\"}\n", []string{`k.yaml: metrics.listen: "127.0.0.1:0" is neither`}},
		"listen path":    {small + "metrics: {listen: /run/../metrics.sock, textfile: x.prom}\n", []string{`k.yaml: metrics.textfile: "x.prom"`, `k.yaml: metrics.listen: "/run/../metrics.sock" is not a plain`}},
		"ldap":           {"registry: {source: ldap}\n", []string{`registry.ldap: base "" is not`, "registry.ldap: no server's URL"}},
		"canary":         {"registry: {source: ldif, ldif: {path: /r}, canary: {user: x}}\n", []string{"registry.canary: a user and a fingerprint"}},
		"group mode":     {small + "groups: [{group: a, mode: enforce}, {group: b}]\n", []string{`groups[1].mode: "" is not one of report, warn, enforce`}},
		"user mode":      {small + "users: [{user: a, mode: off}]\n", []string{`users[0].mode: "off" is not one of`}},
		"group twice":    {small + "groups: [{group: a, mode: warn}, {group: a, mode: enforce}]\n", []string{`groups[1]: "a" stands there twice`}},
		"no group":       {small + "groups: [{mode: warn}]\nusers: [{mode: warn}]\n", []string{`groups[0]: "" is no name`, `users[0]: "" is no name`}},
		"option":         {small + "groups: [{group: -s, mode: warn}]\n", []string{`groups[0]: "-s" is no name`}},
		"admins":         {small + "admins: [root, root]\n", []string{`admins[1]: "root" stands there twice`}},
		"scalar":         {"registry: 5\n", []string{"k.yaml:1: `5` is no group of keys"}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := config.Parse("k.yaml", []byte(c.text))
			if err == nil {
				t.Fatalf("no error; config %+v", got)
			}
			if diff := cmp.Diff(config.Config{}, got); diff != "" {
				t.Errorf("an error came with a configuration: %s", diff)
			}
			lines := strings.Split(err.Error(), "\n")
			if len(lines) != len(c.want) {
				t.Fatalf("errors:\n%v\nwant %d of them", err, len(c.want))
			}
			for i, want := range c.want {
				if !strings.HasPrefix(lines[i], "k.yaml") || !strings.Contains(lines[i], want) {
					t.Errorf("error %q, want %q", lines[i], want)
				}
			}
		})
	}
}

func TestUnits(t *testing.T) {
	for text, want := range map[string]time.Duration{"0d": 0, "1d": 24 * time.Hour, "400d": 9600 * time.Hour, "36h": 36 * time.Hour, "90m": 90 * time.Minute} {
		var a config.Age
		if err := a.UnmarshalText([]byte(text)); err != nil || time.Duration(a) != want {
			t.Errorf("%s is %v, %v", text, a, err)
		}
		if again := a.String(); a != 0 && a.UnmarshalText([]byte(again)) != nil {
			t.Errorf("%s is written %s", text, again)
		}
	}
	for text, want := range map[string]config.Size{"0": 0, "5": 5, "1KiB": 1024, "4GiB": 4 << 30, "8388607TiB": 8388607 << 40} {
		var s config.Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%s is %d, %v", text, s, err)
		}
	}
	for _, text := range []string{"", "d", "-1d", "1.5d", "99999d", "-1h", "4", "1w"} {
		if new(config.Age).UnmarshalText([]byte(text)) == nil {
			t.Errorf("%q is an age", text)
		}
	}
	for _, text := range []string{"", "GiB", "-1", "4GB", "4 GiB", "1KiBMiB", "8388608TiB", "1e3"} {
		if new(config.Size).UnmarshalText([]byte(text)) == nil {
			t.Errorf("%q is a size", text)
		}
	}
}

func TestListen(t *testing.T) {
	for _, address := range []string{"127.0.0.1:9100", "[::1]:9100", "/run/keyreeve/metrics.sock", ""} {
		c, err := config.Parse("k.yaml", []byte(small+"metrics: {listen: \""+address+"\"}\n"))
		if err != nil || c.Metrics.Listen != address {
			t.Errorf("%q: %q, %v", address, c.Metrics.Listen, err)
		}
	}
}
