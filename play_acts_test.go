package keyreeve_test

import (
	"strings"
	"time"
)

// The users by what becomes of them.
const (
	departed  = 12 // u01 to u12, by the reading that is held and then accepted; the brake stops it at ten
	discarded = 16 // u13 to u16, past the brake
	keeper    = 20 // the administrator
	intruded  = 19 // who adds keys of nobody's
)

// named is what stands for USER.
func named(n int) func(*stage) map[string]string {
	return func(*stage) map[string]string { return map[string]string{"USER": user(n)} }
}

// acts are for the blocks of the documents, in their order; each begins where the one before has ended.
var acts = []act{
	{heading: "Ten minutes to a real centre", has: "registry fetch"},
	{heading: "Ten minutes to a real centre", has: "keyreeve plan", before: func(s *stage) map[string]string {
		s.intrude(intruded)
		return nil
	}, after: func(s *stage) {
		s.says("1 line.* would|unregistered", "keyreeve", "plan")
		if !s.has(intruded, s.keys[0]) {
			s.Error("a plan has changed a file")
		}
	}},
	{heading: "Ten minutes to a real centre", has: "mode: warn", after: func(s *stage) {
		s.says("warn-line", "cat", "/var/log/keyreeve/audit.jsonl")
		if !s.has(intruded, s.keys[0]) {
			s.Error("mode warn has changed a file")
		}
	}},
	{heading: "Ten minutes to a real centre", has: "mode: enforce", before: named(keeper), after: func(s *stage) {
		s.keeps(intruded, s.keys[0], false)
		s.keeps(intruded, s.keys[intruded], true)
		s.says("^OK: ", "keyreeve", "status")
	}},
	{heading: "Ten minutes to a real centre", has: "systemctl restart", after: func(s *stage) {
		s.says("keys.cdb", "ls", "/var/lib/keyreeve-sshd")
	}},
	{heading: "Ten minutes to a real centre", has: "sshd -t", before: named(keeper)},
	{heading: "Ten minutes to a real centre", has: "systemctl reload ssh", after: func(s *stage) {
		s.says("^20001\n$", "ssh", "-i", "/root/keys/1", "-o", "StrictHostKeyChecking=no", "-o", "BatchMode=yes", user(1)+"@localhost", "id", "-u")
	}},
	{heading: "The service", has: "journalctl", before: named(intruded), after: func(s *stage) {
		s.says("remove-line", "journalctl", "-u", "keyreeve", "EVENT_ACTION=remove-line", "USER_NAME="+user(intruded), "-o", "json")
	}},
	// In strong mode no file is kept, and the brake is about files.
	{heading: "Is it well?", before: func(s *stage) map[string]string {
		s.Run("rm", "/etc/ssh/sshd_config.d/10-keyreeve.conf")
		s.Run("systemctl", "reload", "ssh", "keyreeve")
		s.says("^OK: homes kept: 20, mode enforce", "keyreeve", "status")
		return nil
	}, after: func(s *stage) { s.says("^OK: homes kept: 20, mode enforce", "keyreeve", "status") }},
	{heading: "The daemon does not run", has: "journalctl", before: func(s *stage) map[string]string {
		s.Run("sed", "-i", "s/^mode: .*/mode: perhaps/", "/etc/keyreeve/keyreeve.yaml")
		_ = s.Command("systemctl", "restart", "keyreeve").Run() // it cannot start
		s.says(`"perhaps" is not one of`, "journalctl", "-u", "keyreeve", "-n", "50")
		return nil
	}, may: map[string][]int{"systemctl status": {3}}},
	{heading: "The daemon does not run", has: "config check", may: map[string][]int{"keyreeve config check": {1}}, after: func(s *stage) {
		s.Run("sed", "-i", "s/^mode: .*/mode: enforce/", "/etc/keyreeve/keyreeve.yaml")
	}},
	{heading: "The daemon does not run", has: "restart", after: func(s *stage) { s.says("^OK: ", "keyreeve", "status") }},
	{heading: "Snapshot held", has: "registry status", before: func(s *stage) map[string]string {
		s.bereave(1, departed)
		return nil
	}, after: func(s *stage) { s.keeps(1, s.keys[1], true) }},
	{heading: "Snapshot held", has: "registry accept DIGEST\n", before: loss, after: func(s *stage) {
		s.says("the brake is on", "keyreeve", "status")
	}},
	{heading: "Snapshot held", has: "--past-brake", before: func(s *stage) map[string]string {
		s.bereave(departed+1, discarded)
		return loss(s)
	}, after: func(s *stage) {
		for n := departed + 1; n <= discarded; n++ {
			s.keeps(n, s.keys[n], false)
		}
	}},
	{heading: "LDAP down", before: func(s *stage) map[string]string {
		s.serve(false)
		s.Run("systemctl", "reload", "keyreeve")
		s.says("the registry cannot be read since", "keyreeve", "status")
		return nil
	}, may: map[string][]int{"keyreeve registry fetch": {1}}, after: func(s *stage) {
		s.serve(true)
		s.Run("systemctl", "reload", "keyreeve")
		s.says("it answers: yes", "keyreeve", "status")
		s.keeps(keeper, s.keys[keeper], true)
	}},
	{heading: "Brake tripped", has: "brake status", after: func(s *stage) { s.says("brake +on", "keyreeve", "brake", "status") }},
	{heading: "Brake tripped", has: "brake release", after: func(s *stage) {
		for n := 1; n <= departed; n++ {
			s.keeps(n, s.keys[n], false)
		}
		s.says("brake +off", "keyreeve", "brake", "status")
	}},
	{heading: "No administrator could log in", before: func(s *stage) map[string]string {
		s.Run("sed", "-i", "s/^admins: .*/admins: ["+user(1)+"]/", "/etc/keyreeve/keyreeve.yaml")
		s.Run("systemctl", "restart", "keyreeve")
		s.says("enforcing does not begin", "keyreeve", "status")
		return nil
	}, may: map[string][]int{"keyreeve plan": {1}}, after: func(s *stage) {
		s.Run("sed", "-i", "s/^admins: .*/admins: ["+user(keeper)+"]/", "/etc/keyreeve/keyreeve.yaml")
		s.Run("systemctl", "restart", "keyreeve")
		s.says("^OK: ", "keyreeve", "status")
	}},
	{heading: "User locked out", has: "explain", before: func(s *stage) map[string]string {
		fields := strings.Fields(s.Run("ssh-keygen", "-l", "-f", "/root/keys/1.pub"))
		return map[string]string{"USER": user(1), "FINGERPRINT": fields[1]}
	}},
	{heading: "User locked out", has: "audit.jsonl", before: named(1)},
	{heading: "User locked out", has: "doctor", before: named(1)},
	{heading: "Restoring a key", has: "quarantine restore ID\n", before: func(s *stage) map[string]string {
		s.modify("add", 1, 1)
		s.keeps(1, s.keys[1], true) // it comes back by itself so soon; later it would not, and so it does when its owner took it out
		s.Run("/bin/sh", "-c", ": >/home/"+user(1)+"/.ssh/authorized_keys")
		return map[string]string{"USER": user(1), "ID": s.copyOf(1)}
	}, after: func(s *stage) { s.keeps(1, s.keys[1], true) }},
	{heading: "Restoring a key", has: "--override", before: func(s *stage) map[string]string {
		s.intrude(intruded)
		s.keeps(intruded, s.keys[0], false)
		return map[string]string{"USER": user(intruded), "ID": s.copyOf(intruded), "UNTIL": time.Now().UTC().AddDate(0, 1, 0).Format(time.DateOnly)}
	}, after: func(s *stage) { s.keeps(intruded, s.keys[0], true) }},
	{heading: "Disk full", has: "df -h"},
	{heading: "Disk full", has: "reload"},
	{heading: "Disk full", has: "audit verify"},
	{heading: "A home that is not resolved", before: func(s *stage) map[string]string {
		dir := "/home/" + user(18) + "/.ssh"
		s.Run("systemctl", "stop", "keyreeve")
		s.intrude(18)
		s.Run("/bin/sh", "-euc", "mount --bind "+dir+" "+dir+"; mount -o remount,bind,ro "+dir)
		s.Run("systemctl", "start", "keyreeve")
		s.says("homes that are not resolved: 1", "keyreeve", "status")
		return map[string]string{"USER": user(18)}
	}, may: map[string][]int{"keyreeve plan": {1}}, after: func(s *stage) {
		s.Run("umount", "/home/"+user(18)+"/.ssh")
		s.keeps(18, s.keys[0], false)
		s.says("^OK: ", "keyreeve", "status")
	}},
	{heading: "Homes are looked at late"},
	{heading: "Moving to a new directory", has: "registry fetch", before: func(s *stage) map[string]string {
		s.Run("/bin/sh", "-c", "sed 's/^    base: .*/    base: dc=example,dc=org/' /etc/keyreeve/keyreeve.yaml >/etc/keyreeve/new.yaml")
		return nil
	}, may: map[string][]int{"keyreeve plan": {1}}},
	{heading: "Moving to a new directory", has: "cp", after: func(s *stage) { s.says("registry +ldaps", "keyreeve", "registry", "status") }},
	{heading: "Moving to a new directory", has: "registry status", after: func(s *stage) { s.says("^OK: ", "keyreeve", "status") }},
}

// loss is what stands for DIGEST: that of the reading which is held now.
func loss(s *stage) map[string]string {
	return map[string]string{"DIGEST": s.says(`loss +([0-9a-f]+)`, "keyreeve", "registry", "status")}
}

// bereave takes users' keys from the directory at once: while the daemon runs, the first of them would count before there are too many.
func (s *stage) bereave(first, last int) {
	s.Helper()
	s.Run("systemctl", "stop", "keyreeve")
	s.modify("delete", first, last)
	s.Run("systemctl", "start", "keyreeve")
	s.says("a reading of the registry is held", "keyreeve", "status")
}

// intrude puts a key of nobody's into the file of a user, by his rights.
func (s *stage) intrude(n int) {
	s.Helper()
	s.Run("/bin/sh", "-euc", "runuser -u "+user(n)+" -- /bin/sh -c 'cat >>/home/"+user(n)+"/.ssh/authorized_keys' </root/keys/0.pub")
}
