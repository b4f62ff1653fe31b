// Package audit writes the trail: one JSON object a line, on disk before the change that it tells of.
//
// A change has two kinds of record that share an identifier: before it an "intent" for every line and file it will
// touch, after it one "success" or "failure". An intent without its second record is a change that was interrupted. The
// caller must not change anything when [Log.Write] returns an error.
//
// Field names follow the Elastic Common Schema 8 (@timestamp, event.*, user.*, file.*, host.name, message) and, for what the
// schema has no name for, ssh.key.* and keyreeve.*; docs/audit.md lists them. Content from a home never reaches the trail
// but as a fingerprint, a SHA-256 and a comment of printable ASCII, cut short: what a hostile user writes must not forge a
// record or a terminal's screen.
//
// Each record carries its number and the SHA-256 of the line before it. A [Verifier] finds a line that was changed, taken out or
// moved. What it cannot find is an end that was cut off, or a trail that root wrote anew: a copy that is kept elsewhere is for
// that, such as the one that [Log.CopyTo] sends to the journal.
//
// The trail may be moved away at any time, as logrotate(8) does. It goes on in a new file, from the last record of the old one;
// [Files] finds them all.
package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/keyreeve/keyreeve/authkeys"
	"github.com/keyreeve/keyreeve/internal/plain"
)

// The outcomes of a record (event.outcome). Intent is the word for what is not done yet.
const (
	Intent  = "intent"
	Success = "success"
	Failure = "failure"
)

// The actions of a record (event.action).
const (
	RemoveLine  = "remove-line"
	RewriteLine = "rewrite-line"
	AddKey      = "add-key"
	ReplaceFile = "replace-file"
	DropCopy    = "drop-copy"
	// WarnFile and WarnLine tell what would be done to a file that is only looked at.
	WarnFile = "warn-file"
	WarnLine = "warn-line"
	// KeepCopy has the outcome Failure alone: a file was changed without a copy.
	KeepCopy = "keep-copy"
	// AddException and EndException are about one key of one user; event.id is the exception's.
	AddException = "add-exception"
	EndException = "end-exception"
	// TripBrake and ReleaseBrake have a record for each person who lost a key before.
	TripBrake    = "trip-brake"
	ReleaseBrake = "release-brake"
	// AcceptRegistry is about a reading of the registry that was held because it lost too much.
	AcceptRegistry = "registry-accepted"
	// RefuseSession is about a login that the gate in sshd's PAM stack did not let become a session.
	RefuseSession = "refuse-session"
)

// Record is one entry of the trail.
type Record struct {
	Time    time.Time
	ID      string // shared by the records of one change (event.id)
	Action  string // event.action
	Outcome string // event.outcome
	User    string // user.name
	UID     int    // user.id; -1 where it is not known
	File    string // file.path
	Reason  string // event.reason: the stable code
	Message string // message: a sentence for people
	// Line is the line's number in the file, from 1; 0 where the record tells of the whole file (keyreeve.line).
	Line int
	// Key is the key of the line, where it has one (ssh.key.fingerprint, ssh.key.type, ssh.key.bits).
	Key authkeys.Key
	// Comment is what stands after the key (ssh.key.comment); Raw is the whole line, of which only its SHA-256 is written.
	Comment, Raw string
	// Quarantine is the path of the copy that was kept, where there is one (keyreeve.quarantine).
	Quarantine string
	// Source is the address that a login came from, as sshd has it (source.address).
	Source string
}

// commentBound is how many bytes of a comment the trail takes: enough for a mail address.
const commentBound = 64

// Log is the trail's file. It is safe for concurrent use, by several processes too: each batch of records takes a lock on the
// file and goes on from the line that is the last one then.
type Log struct {
	path    string
	host    string
	encoder zapcore.Encoder
	journal *journal // nil: no copy

	mu      sync.Mutex
	waiting []*caller // for the next batch

	batch sync.Mutex // held while a batch is written; it guards what follows
	file  *os.File
	last  head
}

// caller waits for its records to be on disk.
type caller struct {
	records []Record
	done    chan error
}

// Open opens the trail for appending and makes it, mode 0600, where it is not there. The folder must exist. A file that is
// not regular, or that others than its owner may write, is refused.
func Open(path string) (*Log, error) {
	file, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("open the audit trail: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("open the audit trail: %w", err), file.Close())
	}
	return &Log{path: path, host: host, file: file, last: head{end: -1}, encoder: zapcore.NewJSONEncoder(zapcore.EncoderConfig{
		TimeKey: "@timestamp", MessageKey: "message", LineEnding: "\n", EncodeTime: zapcore.RFC3339NanoTimeEncoder,
	})}, nil
}

// Write appends the records and returns when they are on disk: all of them, or none and an error. Callers that come while a
// batch is written share the next one, and its fsync; if it fails it fails for all of them.
func (l *Log) Write(records ...Record) error {
	if len(records) == 0 {
		return nil
	}
	c := &caller{records: records, done: make(chan error, 1)}
	l.mu.Lock()
	l.waiting = append(l.waiting, c)
	leads := len(l.waiting) == 1
	l.mu.Unlock()
	if leads {
		l.lead()
	}
	return <-c.done
}

// lead writes all that wait when the batch before is on disk.
func (l *Log) lead() {
	l.batch.Lock()
	defer l.batch.Unlock()
	l.mu.Lock()
	callers := l.waiting
	l.waiting = nil
	l.mu.Unlock()
	var records []Record
	for _, c := range callers {
		records = append(records, c.records...)
	}
	err := l.write(records)
	if err != nil {
		err = fmt.Errorf("write the audit trail %s: %w", l.path, err)
	}
	for _, c := range callers {
		c.done <- err
	}
}

// Close closes the file; what is written then is an error.
func (l *Log) Close() error {
	l.batch.Lock()
	defer l.batch.Unlock()
	l.journal.close()
	l.journal = nil
	return l.file.Close()
}

// encode makes the line of a record, newline included. It is ASCII whatever a path or a name holds.
func (l *Log) encode(r Record, last head) ([]byte, error) {
	fields := []zapcore.Field{
		zap.String("event.action", r.Action),
		zap.String("event.outcome", r.Outcome),
		zap.String("event.reason", r.Reason),
		zap.String("event.id", r.ID),
		zap.String("host.name", l.host),
		zap.String("user.name", r.User),
		zap.Int("user.id", r.UID),
		zap.String("file.path", r.File),
	}
	if r.Line > 0 {
		fields = append(fields, zap.Int("keyreeve.line", r.Line), zap.String("keyreeve.line.sha256", digest([]byte(r.Raw))))
	}
	if !r.Key.IsZero() {
		fields = append(fields, zap.String("ssh.key.type", r.Key.Type()), zap.Int("ssh.key.bits", r.Key.Bits()),
			zap.String("ssh.key.fingerprint", r.Key.Fingerprint()))
	}
	if r.Comment != "" {
		fields = append(fields, zap.String("ssh.key.comment", plain.Cut(r.Comment, commentBound)))
	}
	if r.Quarantine != "" {
		fields = append(fields, zap.String("keyreeve.quarantine", r.Quarantine))
	}
	if r.Source != "" {
		fields = append(fields, zap.String("source.address", plain.Cut(r.Source, commentBound)))
	}
	fields = append(fields, zap.Uint64(sequenceField, last.sequence+1), zap.String(previousField, last.sum))
	text, err := l.encoder.EncodeEntry(zapcore.Entry{Time: r.Time, Message: plain.Cut(r.Message, 4*commentBound)}, fields)
	if err != nil {
		return nil, fmt.Errorf("encode a record: %w", err)
	}
	defer text.Free()
	return plain.JSON(text.Bytes()), nil
}

func digest(line []byte) string {
	sum := sha256.Sum256(line)
	return hex.EncodeToString(sum[:])
}
