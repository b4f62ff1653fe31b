package main

import (
	"time"

	"github.com/keyreeve/keyreeve/enforcer"
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
	news   chan struct{}
}

// said is what sshd is to be told.
type said struct {
	world *enforcer.World
	end   time.Time
}

func newOutlet(replace func(said) error, tell func(error)) *outlet {
	return &outlet{replace: replace, tell: tell, latest: make(chan said, 1), news: make(chan struct{}, 1)}
}

// again has the file written once more, for a reason that is no other world. It does not wait.
func (o *outlet) again() {
	select {
	case o.news <- struct{}{}:
	default:
	}
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
		var last said
		for {
			select {
			case s := <-o.latest:
				last = o.write(s, stop)
			case <-o.news:
				if last.world != nil {
					last = o.write(last, stop)
				}
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

// write writes until it has, also what is newer, or the daemon ends, and gives what it tried last.
func (o *outlet) write(s said, stop <-chan struct{}) said {
	for pause := answerRetry; ; pause = min(2*pause, answerPatience) {
		err := o.replace(s)
		o.tell(err)
		if err == nil {
			return s
		}
		select {
		case s = <-o.latest:
		case <-time.After(pause):
		case <-stop:
			return s
		}
	}
}
