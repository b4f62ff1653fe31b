package homes

import (
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"reflect"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/keyreeve/keyreeve/internal/testenv"
)

// doorMode says which Door the tests attack: "" one of their own process, else
// one of another process, see confinement. serveDoor makes a process serve it.
const (
	doorMode  = "KEYREEVE_TEST_DOOR"
	serveDoor = "KEYREEVE_TEST_SERVE_DOOR"
)

// confinement is the capabilities that a process with a Door of the mode is given.
func confinement(tb testing.TB, mode string) []int {
	tb.Helper()
	const unit = "../../systemd/keyreeve.service"
	switch mode {
	case "unit":
		return testenv.UnitCapabilities(tb, unit)
	case "guard":
		return testenv.UnitCapabilities(tb, unit, "../../systemd/keyreeve.service.d/guard-root.conf")
	}
	tb.Fatalf("there is no mode %q", mode)
	return nil
}

func TestMain(m *testing.M) {
	if status, child := testenv.Child(); child {
		os.Exit(status)
	}
	if mode := os.Getenv(serveDoor); mode != "" {
		if err := serve(mode, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// attacked is the Door that a test attacks, here or in another process.
type attacked interface {
	Read(a Account, name string) (File, error)
	Replace(a Account, name string, before Version, after []byte, others ...string) error
	Seize(a Account, name string, after []byte, others ...string) error
	Renew(a Account, name string, after []byte, anyway bool, others ...string) error
	Clean(a Account, files ...string)
	Stuck() int
	Dirs(a Account, files ...string) ([]Dir, error)
	Glob(a Account, files KeyFiles) (KeyFiles, error)
	SameHome(a, b Account) (bool, error)
	Close() error
}

// ask is one call of a remoteDoor, answer what came of it.
type ask struct {
	Call    string
	Account Account
	Twin    Account
	Name    string
	Others  []string
	Files   KeyFiles
	Version []byte
	Data    []byte
	Number  int // of setUp
}

type answer struct {
	File   []byte
	Data   []byte
	Detail string
	Remark string
	Dirs   []Dir
	Files  KeyFiles
	Same   bool
	Number int
	Err    string
	Told   []string // by Options.Unguarded, so far
	Is     []int    // what errors.Is finds in the error: an index of known, or an errno
}

var known = []error{ErrChanged, ErrNoHome, ErrRefused, ErrStuck, ErrSilent}

// Versions go through the pipe as they are in memory: both ends are one program.
func raw[T any](value *T) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(value)), unsafe.Sizeof(*value))
}

func cooked[T any](data []byte) (value T) {
	copy(raw(&value), data)
	return value
}

// What holds a pointer cannot go that way.
func TestVersionsAreFlat(t *testing.T) {
	var flat func(of reflect.Type) bool
	flat = func(of reflect.Type) bool {
		if of.Kind() != reflect.Struct {
			return of.Kind() <= reflect.Complex128
		}
		for field := range of.Fields() {
			if !flat(field.Type) {
				return false
			}
		}
		return true
	}
	for field := range reflect.TypeFor[File]().Fields() {
		if field.Name != "Data" && field.Name != "Detail" && field.Name != "Remark" && !flat(field.Type) {
			t.Errorf("File.%s holds a pointer: remoteDoor has to learn how to carry it", field.Name)
		}
	}
}

// remoteError is an error of another process.
type remoteError struct {
	text string
	is   []error
}

func (e *remoteError) Error() string   { return e.text }
func (e *remoteError) Unwrap() []error { return e.is }

func (a answer) err() error {
	if a.Err == "" {
		return nil
	}
	e := &remoteError{text: a.Err}
	for _, kind := range a.Is {
		if kind < 0 {
			e.is = append(e.is, known[-1-kind])
		} else {
			e.is = append(e.is, unix.Errno(kind))
		}
	}
	return e
}

// remoteDoor is a Door in a process with few capabilities.
type remoteDoor struct {
	child   *exec.Cmd
	to      io.WriteCloser
	calls   *gob.Encoder
	answers *gob.Decoder
	alone   chan struct{} // one call at a time
	told    []string
}

func openRemote(tb testing.TB, mode string) *remoteDoor {
	tb.Helper()
	capabilities := confinement(tb, mode)
	self, err := os.Executable()
	if err != nil {
		tb.Fatal(err)
	}
	child := exec.Command(self)
	child.Env = append(os.Environ(), serveDoor+"="+mode)
	child.Stderr = os.Stderr
	to, err := child.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	from, err := child.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := testenv.Confined(child.Start, capabilities...); err != nil {
		tb.Fatal(err)
	}
	d := &remoteDoor{child: child, to: to, calls: gob.NewEncoder(to), answers: gob.NewDecoder(from), alone: make(chan struct{}, 1)}
	testenv.OnlyCapabilities(tb, child.Process.Pid, capabilities)
	return d
}

func (d *remoteDoor) call(call ask) (answer, error) {
	d.alone <- struct{}{}
	defer func() { <-d.alone }()
	var said answer
	err := d.calls.Encode(call)
	if err == nil {
		err = d.answers.Decode(&said)
	}
	if err != nil {
		return said, fmt.Errorf("the process of the door: %w", err)
	}
	d.told = said.Told
	return said, said.err()
}

func (d *remoteDoor) Read(a Account, name string) (File, error) {
	said, err := d.call(ask{Call: "read", Account: a, Name: name})
	if err != nil {
		return File{}, err
	}
	file := cooked[File](said.File)
	file.Data, file.Detail, file.Remark = said.Data, said.Detail, said.Remark
	return file, nil
}

func (d *remoteDoor) Replace(a Account, name string, before Version, after []byte, others ...string) error {
	_, err := d.call(ask{Call: "replace", Account: a, Name: name, Others: others, Version: raw(&before), Data: after})
	return err
}

func (d *remoteDoor) Seize(a Account, name string, after []byte, others ...string) error {
	_, err := d.call(ask{Call: "seize", Account: a, Name: name, Others: others, Data: after})
	return err
}

func (d *remoteDoor) Renew(a Account, name string, after []byte, anyway bool, others ...string) error {
	ask := ask{Call: "renew", Account: a, Name: name, Others: others, Data: after}
	if anyway {
		ask.Number = 1
	}
	_, err := d.call(ask)
	return err
}

func (d *remoteDoor) Clean(a Account, files ...string) {
	_, _ = d.call(ask{Call: "clean", Account: a, Others: files})
}

// Stuck is -1 if the process of the door is no more.
func (d *remoteDoor) Stuck() int {
	said, err := d.call(ask{Call: "stuck"})
	if err != nil {
		return -1
	}
	return said.Number
}

func (d *remoteDoor) Dirs(a Account, files ...string) ([]Dir, error) {
	said, err := d.call(ask{Call: "dirs", Account: a, Others: files})
	return said.Dirs, err
}

func (d *remoteDoor) Glob(a Account, files KeyFiles) (KeyFiles, error) {
	said, err := d.call(ask{Call: "glob", Account: a, Files: files})
	return said.Files, err
}

func (d *remoteDoor) SameHome(a, b Account) (bool, error) {
	said, err := d.call(ask{Call: "same home", Account: a, Twin: b})
	return said.Same, err
}

// late is late in the process of the door.
func (d *remoteDoor) late(a Account, before Version, edit func() error) error {
	_, err := d.call(ask{Call: "late", Account: a, Version: raw(&before)})
	if err == nil {
		err = edit()
	}
	if err == nil {
		_, err = d.call(ask{Call: "go on"})
	}
	return err
}

func (d *remoteDoor) Close() error {
	return errors.Join(d.to.Close(), d.child.Wait())
}

// inside is the Door of a test that looks behind it, which no other process can
// lend: such a test is one of insiders.
func (h *home) inside() *Door {
	h.Helper()
	door, ok := h.door.(*Door)
	if !ok {
		h.Fatal("the test looks behind the door, and is not among the insiders")
	}
	return door
}

// user does something with the rights of the home's owner, as he would.
func (h *home) user(deed func() error) error {
	return (&Door{own: anyUser}).As(h.Account, deed)
}
