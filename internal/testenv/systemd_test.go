package testenv

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"
)

// A test inside may do to its system what it likes: nothing of it is seen outside, and nothing stays.
func TestSystemdLeavesNothing(t *testing.T) {
	Need(t, "root", "systemd")
	var inside *Systemd
	t.Run("booted", func(t *testing.T) {
		inside = StartSystemd(t)
		inside.Run("useradd", "--create-home", "keyreeve-inside")
		inside.Put("/usr/local/bin/keyreeve-inside", 0o755, "#!/bin/sh\necho inside\n")
		if said := inside.Run("keyreeve-inside"); said != "inside\n" {
			t.Errorf("the program says %q", said)
		}
		inside.Run("hostname", "keyreeve-inside")
		inside.Run("systemd-run", "--unit", "keyreeve-inside", "sleep", "infinity")
		if state := inside.Property("keyreeve-inside", "ActiveState"); state != "active" {
			t.Errorf("the service is %s", state)
		}
		if out, err := inside.Command("sh", "-c", "echo 1 >/proc/sys/kernel/printk").CombinedOutput(); err == nil || !strings.Contains(string(out), "Read-only") {
			t.Errorf("a setting of the kernel's: %v: %s", err, out)
		}
		if _, err := os.Stat("/usr/local/bin/keyreeve-inside"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("its file is seen outside: %v", err)
		}
		if text, err := os.ReadFile("/etc/passwd"); err != nil || strings.Contains(string(text), "keyreeve-inside") {
			t.Errorf("its account is seen outside: %v", err)
		}
		if name, err := os.Hostname(); err != nil || name == "keyreeve-inside" {
			t.Errorf("its name is seen outside: %v", err)
		}
	})
	if _, err := os.Stat(inside.cgroup); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its cgroup stays: %v", err)
	}
	if _, err := os.Stat(inside.Path("/")); err == nil {
		t.Error("its processes stay")
	}
}
