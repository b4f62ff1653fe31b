package keyreeve_test

import (
	"bufio"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// What sshd reads must be what the daemon sees. These settings of systemd.exec(5) hide a place that users can write to, put another one there, or
// keep mounts from coming through; those that only make the system read-only hide nothing.
func TestUnitSeesTheMountsOfSSHD(t *testing.T) {
	hiding := []string{
		"PrivateTmp", "ProtectHome", "PrivateMounts", "TemporaryFileSystem", "InaccessiblePaths", "InaccessibleDirectories", "DynamicUser", "PrivateUsers",
		"RootDirectory", "RootImage", "RootEphemeral", "MountAPIVFS", "MountFlags", "BindPaths", "BindReadOnlyPaths", "ExtensionImages", "ExtensionDirectories",
		"MountImages", "JoinsNamespaceOf",
	}
	files, err := filepath.Glob("systemd/keyreeve.service.d/*.conf")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, path := range append(files, "systemd/keyreeve.service") {
		file, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(file); lines.Scan(); {
			name, value, _ := strings.Cut(lines.Text(), "=")
			if slices.Contains(hiding, name) && value != "no" {
				t.Errorf("%s: %s", path, lines.Text())
			}
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
