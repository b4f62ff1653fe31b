package audit

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// JournalSocket is where systemd-journald takes entries (systemd.io/JOURNAL_NATIVE_PROTOCOL).
const JournalSocket = "/run/systemd/journal/socket"

// The bounds of a copy. journalQueue records may wait for the journal, about 4 MB of memory; what comes beyond that is not copied.
// One that hangs has journalPatience to take a record, and at the end of the program all that waits has it. A failure is told
// once in journalSilence.
const (
	journalQueue    = 4096
	journalPatience = time.Second
	journalSilence  = time.Hour
)

// journal copies records to systemd-journald. The trail is the truth: nothing waits for a copy. A nil journal copies nothing.
//
// The program speaks the protocol itself. The usual package, go-systemd's journal, sends from a socket that is not connected
// and without a deadline: while the queue of a journal that hangs is full it waits, and need not be woken when there is room.
type journal struct {
	socket string
	tell   func(error)
	lines  chan []byte
	lost   atomic.Int64 // records that did not fit into the queue
	ended  chan struct{}

	conn *net.UnixConn
	told time.Time
}

// CopyTo sends a copy of each record, once it is on disk, to the journal whose socket that is; where there is no socket nothing
// is copied. It is called before the first Write. tell hears of copies that fail, from another goroutine.
func (l *Log) CopyTo(socket string, tell func(error)) {
	if info, err := os.Stat(socket); err != nil || info.Mode().Type() != os.ModeSocket {
		return
	}
	l.journal = &journal{socket: socket, tell: tell, lines: make(chan []byte, journalQueue), ended: make(chan struct{})}
	go l.journal.run()
}

// copy hands lines over without waiting.
func (j *journal) copy(lines [][]byte) {
	if j == nil {
		return
	}
	for _, line := range lines {
		select {
		case j.lines <- line:
		default:
			j.lost.Add(1)
		}
	}
}

// close lets what waits be copied, as far as the journal takes it in time.
func (j *journal) close() {
	if j == nil {
		return
	}
	close(j.lines)
	select {
	case <-j.ended:
	case <-time.After(journalPatience):
	}
}

func (j *journal) run() {
	defer close(j.ended)
	for line := range j.lines {
		err := j.send(line)
		if lost := j.lost.Swap(0); lost > 0 {
			err = errors.Join(err, fmt.Errorf("%d records came faster than it took them", lost))
		}
		if err != nil && time.Since(j.told) > journalSilence {
			j.told = time.Now()
			j.tell(fmt.Errorf("copy the audit trail to the journal: %w", err))
		}
	}
	if j.conn != nil {
		_ = j.conn.Close() // every datagram was sent, or its failure was told
	}
}

// send sends one record; a journal that was started anew since the last one has another socket.
func (j *journal) send(line []byte) error {
	text, err := entry(line)
	if err != nil {
		return err
	}
	for again := j.conn != nil; ; again = false {
		if j.conn == nil {
			if j.conn, err = net.DialUnix("unixgram", nil, &net.UnixAddr{Name: j.socket, Net: "unixgram"}); err != nil {
				j.conn = nil
				return err
			}
		}
		err = j.conn.SetWriteDeadline(time.Now().Add(journalPatience))
		if err == nil {
			_, err = j.conn.Write(text)
		}
		if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		err = errors.Join(err, j.conn.Close())
		j.conn = nil
		if !again || !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, syscall.ENOTCONN) {
			return err
		}
	}
}

// entry makes a journal entry of a line of the trail: the same fields under the same names, as the journal spells names.
func entry(line []byte) ([]byte, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(line, &fields); err != nil {
		return nil, fmt.Errorf("read a record: %w", err)
	}
	values := make(map[string]string, len(fields))
	unquote := strings.NewReplacer(`\\`, `\`, `\"`, `"`) // all other escapes stay: a value is one line of ASCII, as in the trail
	for name, raw := range fields {
		values[name] = string(raw) // a number
		if raw[0] == '"' {
			values[name] = unquote.Replace(string(raw[1 : len(raw)-1]))
		}
	}
	out := fmt.Appendf(nil, "SYSLOG_IDENTIFIER=keyreeve\nPRIORITY=%d\nKEYREEVE_SHA256=%s\n",
		priority(values["event.outcome"]), digest(line[:len(line)-1]))
	out = fmt.Appendf(out, "MESSAGE=%s %s: %s: %s\n", values["event.action"], values["event.outcome"], values["file.path"], values["message"])
	delete(values, "message")
	for name, value := range values {
		out = fmt.Appendf(out, "%s=%s\n", journalName(name), value)
	}
	return out, nil
}

// priority is that of syslog(3): notice for what was done, error for what failed, informational for an intent.
func priority(outcome string) int {
	switch outcome {
	case Success:
		return 5
	case Failure:
		return 3
	default:
		return 6
	}
}

// journalName spells a field's name in capital letters, digits and "_", which cannot come first.
func journalName(name string) string {
	return strings.ToUpper(strings.ReplaceAll(strings.TrimPrefix(name, "@"), ".", "_"))
}
