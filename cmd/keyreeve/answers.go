package main

import (
	"crypto/sha256"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/answer"
	"github.com/keyreeve/keyreeve/internal/statefile"
)

// answerRetry is the first pause after a file of answers that could not be written, and answerPatience the longest: until then sshd is answered by the
// old one.
const (
	answerRetry    = time.Second
	answerPatience = time.Minute
)

// answers keeps the file by which keyreeve-keys answers sshd.
type answers struct {
	dir     string
	log     *zap.Logger
	metrics *metrics
	latest  chan said
	last    [sha256.Size]byte // of the file's bytes
	mark    statefile.Mark    // of the file, once it was written
}

// said is what sshd is to be told.
type said struct {
	world *enforcer.World
	end   time.Time
}

func newAnswers(dir string, log *zap.Logger, m *metrics) *answers {
	if err := statefile.Tidy(dir); err != nil {
		log.Warn("what an earlier daemon left half written stays", zap.String("dir", dir), zap.Error(err))
	}
	return &answers{dir: dir, log: log, metrics: m, latest: make(chan said, 1)}
}

// offer takes what is to be told from now on, in place of what waits to be written. It has one caller, and does not wait.
func (a *answers) offer(world *enforcer.World, end time.Time) {
	select {
	case <-a.latest:
	default:
	}
	a.latest <- said{world, end}
}

// keep writes until it is told to end; what waits then is written as well.
func (a *answers) keep() (end func()) {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case s := <-a.latest:
				a.write(s, stop)
			case <-stop:
				select {
				case s := <-a.latest:
					a.write(s, stop)
				default:
				}
				return
			}
		}
	}()
	return func() {
		close(stop)
		<-done
	}
}

// write writes until it has, or there is something newer to write, or the daemon ends.
func (a *answers) write(s said, stop <-chan struct{}) {
	for pause := answerRetry; ; pause = min(2*pause, answerPatience) {
		err := a.replace(s)
		a.metrics.answered(err == nil)
		if err == nil {
			return
		}
		a.log.Error("what sshd is told could not be written: logins by keyreeve-keys go by the old file", zap.String("dir", a.dir), zap.Duration("retry_in", pause), zap.Error(err))
		select {
		case s = <-a.latest:
		case <-time.After(pause):
		case <-stop:
			return
		}
	}
}

// replace writes the file, unless the one that it wrote last is there still, untouched, and says the same.
func (a *answers) replace(s said) error {
	data, err := answer.Make(s.world.Answers(), s.end)
	if err != nil {
		return err
	}
	path, sum := filepath.Join(a.dir, answer.Name), sha256.Sum256(data)
	if mark, err := statefile.MarkOf(path); err == nil && mark == a.mark && sum == a.last {
		return nil
	}
	a.mark = statefile.Mark{}
	if err := statefile.ReplaceShared(a.dir, answer.Name, data); err != nil {
		return err
	}
	a.last = sum
	a.mark, err = statefile.MarkOf(path)
	return err
}
