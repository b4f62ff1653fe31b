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

// answerRetry is the first pause after a file for sshd that could not be written, and answerPatience the longest: until then the old one counts.
const (
	answerRetry    = time.Second
	answerPatience = time.Minute
)

// outlet writes what follows from the present world into a file, beside the loop, which does not wait for it.
type outlet struct {
	replace func(said) error
	// tell is told how each attempt ended.
	tell   func(error)
	latest chan said
}

// said is what sshd is to be told.
type said struct {
	world *enforcer.World
	end   time.Time
}

func newOutlet(replace func(said) error, tell func(error)) *outlet {
	return &outlet{replace: replace, tell: tell, latest: make(chan said, 1)}
}

// offer takes what is to be told from now on, in place of what waits to be written. It has one caller, and does not wait.
func (o *outlet) offer(world *enforcer.World, end time.Time) {
	select {
	case <-o.latest:
	default:
	}
	o.latest <- said{world, end}
}

// keep writes until it is told to end; what waits then is written as well.
func (o *outlet) keep() (end func()) {
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case s := <-o.latest:
				o.write(s, stop)
			case <-stop:
				select {
				case s := <-o.latest:
					o.write(s, stop)
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
func (o *outlet) write(s said, stop <-chan struct{}) {
	for pause := answerRetry; ; pause = min(2*pause, answerPatience) {
		err := o.replace(s)
		o.tell(err)
		if err == nil {
			return
		}
		select {
		case s = <-o.latest:
		case <-time.After(pause):
		case <-stop:
			return
		}
	}
}

// answers is the file by which keyreeve-keys answers sshd.
type answers struct {
	dir  string
	last [sha256.Size]byte // of the file's bytes
	mark statefile.Mark    // of the file, once it was written
}

// newAnswers keeps that file.
func newAnswers(dir string, log *zap.Logger, m *metrics) *outlet {
	a := &answers{dir: dir}
	if err := statefile.Tidy(dir, 0); err != nil {
		log.Warn("what an earlier daemon left half written stays", zap.String("dir", dir), zap.Error(err))
	}
	return newOutlet(a.replace, func(err error) {
		m.answered(err == nil)
		if err != nil {
			log.Error("what sshd is told could not be written: logins by keyreeve-keys go by the old file", zap.String("dir", dir), zap.Error(err))
		}
	})
}

// replace writes the file, unless the one that it wrote last is there still, untouched, and says the same.
func (a *answers) replace(s said) error {
	data, err := answer.Make(s.world.Answers(), s.end, s.world.Rules())
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
