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
// Each record carries its number and the SHA-256 of the line before it. [Verify] finds a line that was changed, taken out or
// moved. What it cannot find is an end that was cut off, or a trail that root wrote anew: the copy that the log's reader
// keeps elsewhere is for that.
package audit

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/buffer"
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
)

// Record is one entry of the trail.
type Record struct {
	Time    time.Time
	ID      string // shared by the records of one change (event.id)
	Action  string // event.action
	Outcome string // event.outcome
	User    string // user.name
	UID     int    // user.id
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
}

// commentBound is how many bytes of a comment the trail takes: enough for a mail address.
const commentBound = 64

// Log is the trail's file. It is safe for concurrent use, by several processes too: each write takes a lock on the file
// and goes on from the line that is the last one then.
type Log struct {
	path    string
	host    string
	encoder zapcore.Encoder

	mu   sync.Mutex
	file *os.File
	last head
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
	return &Log{path: path, host: host, file: file, encoder: zapcore.NewJSONEncoder(zapcore.EncoderConfig{
		TimeKey: "@timestamp", MessageKey: "message", LineEnding: "\n", EncodeTime: zapcore.RFC3339NanoTimeEncoder,
	})}, nil
}

// open: openat(O_APPEND|O_CREAT|O_NOFOLLOW|O_NONBLOCK|O_CLOEXEC), fstat. O_NONBLOCK keeps a FIFO in the file's place from holding
// the daemon up for ever.
func open(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600) //nolint:gosec // the configured path of the trail
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil {
		err = syncDir(filepath.Dir(path)) // a file that was just made has no name on disk before
	}
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = fmt.Errorf("%s is not a regular file", path)
	case info.Mode().Perm()&0o022 != 0:
		err = fmt.Errorf("%s may be written by others than its owner (mode %v)", path, info.Mode().Perm())
	default:
		return file, nil
	}
	return nil, errors.Join(err, file.Close())
}

func syncDir(path string) error {
	dir, err := os.Open(path) //nolint:gosec // the folder of the configured trail
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// Write appends the records and returns when they are on disk: all of them, or none and an error.
func (l *Log) Write(records ...Record) error {
	if len(records) == 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.locked(records); err != nil {
		return fmt.Errorf("write the audit trail %s: %w", l.path, err)
	}
	return nil
}

// locked: flock(LOCK_EX), lseek(end), pread of the last line if somebody else wrote it, write, fsync, flock(LOCK_UN).
func (l *Log) locked(records []Record) (err error) {
	fd := int(l.file.Fd())
	if err := syscall.Flock(fd, syscall.LOCK_EX); err != nil {
		return fmt.Errorf("lock it: %w", err)
	}
	defer func() { err = errors.Join(err, syscall.Flock(fd, syscall.LOCK_UN)) }()
	last, err := l.last.now(l.file)
	if err != nil {
		return err
	}
	var text []byte
	if last.torn {
		text = append(text, '\n')
	}
	start := last.end
	for _, r := range records {
		line, err := l.encode(r, last)
		if err != nil {
			return fmt.Errorf("encode a record: %w", err)
		}
		text = append(text, line.Bytes()...)
		last = last.next(line.Bytes())
		line.Free()
	}
	if err := l.append(text, start); err != nil {
		return err
	}
	last.end = start + int64(len(text))
	l.last = last
	return nil
}

// append takes a part that was written back off the file, so that the next record does not stand on half a line.
func (l *Log) append(text []byte, start int64) error {
	_, err := l.file.Write(text)
	if err == nil {
		err = l.file.Sync()
	}
	if err != nil {
		return errors.Join(err, l.file.Truncate(start))
	}
	return nil
}

// Reopen opens the path again, for logrotate. On an error the file that was open stays in use.
func (l *Log) Reopen() error {
	file, err := open(l.path)
	if err != nil {
		return fmt.Errorf("reopen the audit trail: %w", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	old := l.file
	l.file = file
	l.last.end = 0 // the chain goes on in the new file, if that is empty
	return old.Close()
}

// Close closes the file.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Close()
}

func (l *Log) encode(r Record, last head) (*buffer.Buffer, error) {
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
	fields = append(fields, zap.Uint64(sequenceField, last.sequence+1), zap.String(previousField, last.sum))
	return l.encoder.EncodeEntry(zapcore.Entry{Time: r.Time, Message: plain.Cut(r.Message, 4*commentBound)}, fields)
}

func digest(line []byte) string {
	sum := sha256.Sum256(line)
	return hex.EncodeToString(sum[:])
}
