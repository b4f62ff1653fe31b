package homes

import (
	"errors"
	"os"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// vault is a key of a file system by which directories can be encrypted (Documentation/filesystems/fscrypt.rst); every user may add one.
type vault struct {
	path string
	id   []byte
}

// Requests of ioctl(2), from linux/fscrypt.h.
const (
	setPolicy = requestRead | 12<<16 | 'f'<<8 | 19                // FS_IOC_SET_ENCRYPTION_POLICY
	addKey    = requestRead | requestWrite | 80<<16 | 'f'<<8 | 23 // FS_IOC_ADD_ENCRYPTION_KEY
	removeKey = requestRead | requestWrite | 64<<16 | 'f'<<8 | 24 // FS_IOC_REMOVE_ENCRYPTION_KEY
)

func (v *vault) ask(path string, request uintptr, argument []byte) error {
	dir, err := os.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, dir.Fd(), request, uintptr(unsafe.Pointer(&argument[0]))); errno != 0 {
		return os.NewSyscallError("ioctl", errno)
	}
	return nil
}

// show adds the key.
func (v *vault) show() error {
	argument := make([]byte, 80+64) // struct fscrypt_add_key_arg
	argument[0], argument[40], argument[80] = 2, 64, 7
	err := v.ask(v.path, addKey, argument)
	v.id = argument[8:24]
	return err
}

// hide takes the key away; what is open at that moment stays as it is.
func (v *vault) hide() error {
	argument := make([]byte, 64) // struct fscrypt_remove_key_arg
	argument[0] = 2
	copy(argument[8:], v.id)
	return v.ask(v.path, removeKey, argument)
}

// encrypt makes an empty directory an encrypted one.
func (v *vault) encrypt(path string) error {
	return errors.Join(v.show(), v.ask(path, setPolicy, append([]byte{2, 1, 4, 3, 0, 0, 0, 0}, v.id...))) // struct fscrypt_policy_v2: AES-256
}

// What a user can show for a login and hide again, without any event, counts as a directory that is not fit, whether its key is there or not.
func TestEncryptedDirectory(t *testing.T) {
	t.Parallel()
	for title, hidden := range map[string]bool{"shown": false, "hidden": true} {
		for _, link := range []string{"", "elsewhere"} {
			t.Run(title+" "+link, func(t *testing.T) {
				t.Parallel()
				h := onDisk(t, "ext4", 64<<20, "-O", "encrypt")
				v := &vault{path: h.Home}
				dir := h.path(".ssh")
				if link != "" {
					dir = h.path(link)
					h.link(link, h.path(".ssh"), testUID)
				}
				h.mkdir(dir, 0o700, testUID)
				h.must(h.user(func() error {
					err := errors.Join(v.encrypt(dir), os.WriteFile(h.keys(), []byte(bad), 0o600))
					if hidden {
						err = errors.Join(err, v.hide())
					}
					return err
				}))
				h.enforce(h.expect(BadDir))
			})
		}
	}
}

// So does a directory that is not encrypted, and to which a link leads through one that is: it is there whenever its user likes.
func TestLinkThroughAnEncryptedDirectory(t *testing.T) {
	t.Parallel()
	for title, hidden := range map[string]bool{"shown": false, "hidden": true} {
		t.Run(title, func(t *testing.T) {
			t.Parallel()
			h := onDisk(t, "ext4", 64<<20, "-O", "encrypt")
			v := &vault{path: h.Home}
			h.mkdir(h.path("vault"), 0o700, testUID)
			h.mkdir(h.path("plain"), 0o700, testUID)
			h.write(h.path("plain", name), bad, 0o600, testUID)
			h.link("vault/way", h.path(".ssh"), testUID)
			h.must(h.user(func() error {
				err := errors.Join(v.encrypt(h.path("vault")), os.Symlink("../plain", h.path("vault", "way")))
				if hidden {
					err = errors.Join(err, v.hide())
				}
				return err
			}))
			h.enforce(h.expect(BadDir))
		})
	}
}

// In a home that is encrypted as a whole its key is taken away while the file is open: everybody goes on reading that one, and
// no other can be made there.
func TestEncryptedHomeWithoutItsKey(t *testing.T) {
	t.Parallel()
	h := onDisk(t, "ext4", 64<<20, "-O", "encrypt")
	v := &vault{path: h.base + "/disk"}
	var open *os.File
	h.must(h.user(func() error { return v.encrypt(h.Home) }))
	h.mkdir(h.path(".ssh"), 0o700, testUID)
	h.write(h.keys(), bad, 0o600, testUID)
	h.must(h.user(func() (err error) {
		open, err = os.Open(h.keys())
		return errors.Join(err, v.hide())
	}))
	defer open.Close()
	file := h.read()
	_ = h.door.Replace(h.Account, keyPath, file.Version, []byte(good))
	if text, err := os.ReadFile(h.keys()); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.ENOKEY) || string(text) == bad {
		t.Errorf("the file holds %q, %v", text, err)
	}
}
