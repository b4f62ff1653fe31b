package enforcer

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"time"

	"github.com/keyreeve/keyreeve/internal/statefile"
	"github.com/keyreeve/keyreeve/registry"
)

// Kept is a complete reading of the registry as it outlives the process.
type Kept struct {
	Snapshot *registry.Snapshot
	// SourceID is that of the settings by which it was read: another registry's keys are nobody's here.
	SourceID string
	// Read is when it was read. It has a monotonic clock reading, so that its age is right whatever becomes of the wall clock.
	Read time.Time
	// Digest is the snapshot's; empty when it was amended.
	Digest string
	// Amended says that users in it were read later, alone.
	Amended bool

	whole uint64 // which of the gate's readings lies beneath; 0: that of an earlier process
}

// The files of a gate.
const (
	goodFile     = "good"
	heldFile     = "held"
	acceptedFile = "accepted"
	notesFile    = "reading"
)

// keptMagic begins a file with a reading; the SHA-256 of the lines behind its own follows it.
const keptMagic = "keyreeve reading 1 "

// keptBound is how many bytes a reading may have: some two million users.
const keptBound = 512 << 20

// notesBound bounds the small files: an acceptance has a line for each key of half a million people.
const notesBound = 64 << 20

// keptHead is the line between the magic and the snapshot.
type keptHead struct {
	Read     time.Time `json:"read"`
	SourceID string    `json:"source_id"`
}

// write makes dir/name hold the reading.
func (k *Kept) write(dir, name string) error {
	body, err := registry.Marshal(k.Snapshot)
	if err != nil {
		return err
	}
	head, err := json.Marshal(keptHead{Read: k.Read.UTC(), SourceID: k.SourceID})
	if err != nil {
		return err
	}
	sum := sha256.New()
	sum.Write(head)
	sum.Write(body)
	data := fmt.Appendf(nil, "%s%x\n%s\n", keptMagic, sum.Sum(nil), head)
	if data = append(data, body...); len(data) > keptBound {
		return fmt.Errorf("%s: %d bytes are more than %d", filepath.Join(dir, name), len(data), keptBound)
	}
	return statefile.Replace(dir, name, data)
}

// readKept reads a file that write made; nil where there is none. Whatever is wrong with it is an error, never an empty registry.
// A reading that says it is younger than now comes with errFuture.
func readKept(dir, name string, now time.Time) (*Kept, error) {
	path := filepath.Join(dir, name)
	data, err := statefile.Read(path, keptBound)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil //nolint:nilnil // no reading and no error is an answer of its own
	}
	if err != nil {
		return nil, err
	}
	k, err := parseKept(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	age := now.Sub(k.Read)
	if age < 0 {
		err = fmt.Errorf("%s: it was read at %s, and now it is %s: the clock was set back, its age counts from now", path,
			k.Read.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	k.Read = now.Add(-max(age, 0))
	return k, err
}

func parseKept(data []byte) (*Kept, error) {
	first, rest, _ := bytes.Cut(data, []byte("\n"))
	hexed, found := bytes.CutPrefix(first, []byte(keptMagic))
	if !found {
		return nil, errors.New("it is no reading of version 1")
	}
	text, body, _ := bytes.Cut(rest, []byte("\n"))
	sum := sha256.New()
	sum.Write(text)
	sum.Write(body)
	if hex.EncodeToString(sum.Sum(nil)) != string(hexed) {
		return nil, errors.New("its checksum is wrong: it was damaged")
	}
	var head keptHead
	if err := strictJSON(text, &head); err != nil {
		return nil, err
	}
	snapshot, err := registry.Unmarshal(body)
	if err != nil {
		return nil, err
	}
	return &Kept{Snapshot: snapshot, SourceID: head.SourceID, Read: head.Read, Digest: snapshot.Digest()}, nil
}

// notes are what a gate remembers beside readings.
type notes struct {
	// Digest and Read are those of the last good reading: its file is written only when its content is another one.
	Digest string    `json:"digest"`
	Read   time.Time `json:"read"`
	Reach
	// Users and Keys say when people lost something in readings that were accepted nevertheless, within the window.
	Users map[string]time.Time `json:"lost_users"`
	Keys  map[string]time.Time `json:"lost_keys"`
}

func (n notes) clone() notes {
	n.Users, n.Keys = maps.Clone(n.Users), maps.Clone(n.Keys)
	return n
}

// Reach says whether the registry answers.
type Reach struct {
	// OK: the last attempt to read it gave a complete reading, held or not.
	OK bool `json:"reachable"`
	// Since is when that began; zero before the first attempt.
	Since time.Time `json:"since"`
	// Error is what the first attempt that failed said.
	Error string `json:"error"`
}

// accepted is an administrator's word that a loss is right although it is large.
type accepted struct {
	SourceID string `json:"source_id"`
	// Digest is that of the loss, Items are its texts.
	Digest string    `json:"digest"`
	Items  []string  `json:"items"`
	By     string    `json:"by"`
	At     time.Time `json:"at"`
	// Past is his second word, if he gave one.
	Past *Past `json:"past_brake,omitempty"`
}

// document is a small file: one of version 1 with a value.
type document[T any] struct {
	versioned

	Value T `json:"value"`
}

// readSmall reads a small file; found is false where there is none.
func readSmall[T any](dir, name string) (value T, found bool, err error) {
	var d document[T]
	if found, err := readDocument(filepath.Join(dir, name), notesBound, 1, &d); err != nil || !found {
		return value, false, err
	}
	return d.Value, true, nil
}

func writeSmall[T any](dir, name string, value T) error {
	text, err := json.Marshal(document[T]{versioned{1}, value})
	if err != nil {
		return err
	}
	if len(text) >= notesBound {
		return fmt.Errorf("%s: %d bytes are more than %d", filepath.Join(dir, name), len(text), notesBound)
	}
	return statefile.Replace(dir, name, append(text, '\n'))
}

// Commit brings to the disk what has changed. What failed is tried again by the next one; the verdicts hold all the same.
func (g *Gate) Commit() error {
	g.writing.Lock()
	defer g.writing.Unlock()
	g.mu.Lock()
	left := g.dirty
	b := burden{good: g.good, held: g.held, notes: g.notes.clone()}
	g.dirty = dirt{}
	g.mu.Unlock()
	if left == (dirt{}) {
		return nil
	}
	err := b.write(g.dir, &left)
	if err == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.dirty.good, g.dirty.held = g.dirty.good || left.good, g.dirty.held || left.held
	g.dirty.notes, g.dirty.accepted = g.dirty.notes || left.notes, g.dirty.accepted || left.accepted
	return fmt.Errorf("keep what was read of the registry: %w", err)
}

// burden is what goes to the disk. A gate is free while that takes its time.
type burden struct {
	good  *Kept
	held  *Verdict
	notes notes
}

// write brings to a directory what is left, and takes from that what is done. The good reading is written before the held one and
// its acceptance go: who stops in between begins with the acceptance again.
func (b burden) write(at string, left *dirt) error {
	for _, dir := range []string{filepath.Dir(at), at} {
		if err := statefile.EnsureDir(dir, 0o700); err != nil {
			return err
		}
	}
	steps := []struct {
		due  *bool
		make func() error
	}{
		{&left.good, func() error { return b.good.write(at, goodFile) }},
		{&left.notes, func() error { return writeSmall(at, notesFile, b.notes) }},
		{&left.accepted, func() error { return statefile.Remove(filepath.Join(at, acceptedFile)) }},
		{&left.held, func() error {
			if b.held != nil {
				return b.held.write(at, heldFile)
			}
			return statefile.Remove(filepath.Join(at, heldFile))
		}},
	}
	for _, step := range steps {
		if !*step.due {
			continue
		}
		if err := step.make(); err != nil {
			return err
		}
		*step.due = false
	}
	return nil
}
