package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/keyreeve/keyreeve/enforcer"
	"github.com/keyreeve/keyreeve/internal/audit"
	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/internal/homes"
	"github.com/keyreeve/keyreeve/internal/host"
	"github.com/keyreeve/keyreeve/internal/plain"
	"github.com/keyreeve/keyreeve/internal/statefile"
	"github.com/keyreeve/keyreeve/internal/watch"
	"github.com/keyreeve/keyreeve/policy"
)

func newDaemon(p process, path *string) *cobra.Command {
	return &cobra.Command{
		Use:   "daemon",
		Short: "Keep the homes in line until told to end",
		Long: "Watch the homes, read the registry again and again, and keep the homes in line with it. With \"mode: report\" or \"warn\" the\n" +
			"daemon changes nothing and logs what it would change.\n\n" +
			"SIGHUP reads the configuration again: a bad one is refused, and the old one stays. SIGTERM ends the daemon.\n" +
			"The log goes to stderr, a JSON object a line.\n\n" +
			"Exit status: 0 it was told to end, 1 an error.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return serve(cmd.Context(), p, *path)
		},
	}
}

// waitingChanges is how many may wait while the loop is busy; whoever tells of more waits with them.
const waitingChanges = 256

// service is a running daemon.
type service struct {
	path    string
	log     *zap.Logger
	config  config.Config
	policy  *policy.Policy
	door    *homes.Door
	hand    *enforcer.Enforcer
	trail   *audit.Log
	watcher *watch.Watcher
	runner  *enforcer.Runner
	metrics *metrics
	// outlets are the files for sshd, denied that of the keys that it refuses; strangers are some of these, where they are wanted.
	outlets   []*outlet
	denied    *outlet
	strangers *strangers
	// tellers tell users what was removed; world is what counts, whose registry has their addresses.
	tellers tellers
	world   atomic.Pointer[enforcer.World]
	// exceptions is read again by the runner.
	exceptions *enforcer.Exceptions
	// ledger is the lock of the ledger's file.
	ledger io.Closer
	// changes names users of whom the registry may have something new.
	changes chan string
	// unwatch ends the watch of the registry, unfollow that of sshd's configuration.
	unwatch, unfollow context.CancelFunc
	sshd              atomic.Pointer[host.SSHD]
	// judged is the host for which keys are judged; moved tells that its name, or the version of its sshd, is another one.
	judged atomic.Pointer[policy.Host]
	moved  chan struct{}
	groups *host.Groups
	soon   *forecast
	modes  atomic.Pointer[modes]
	// ready is set once systemd was told that the daemon has started, deaf once that could not be told.
	ready, deaf atomic.Bool
	warner      *enforcer.Warner
	// statuses are what users are told of themselves.
	statuses *statuses
	// unlatch ends what the latch of the last configuration does.
	unlatch context.CancelFunc
}

func serve(ctx context.Context, p process, path string) (err error) {
	// Before all else: until it is asked for, SIGHUP ends the process.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	defer signal.Stop(hangups)
	s := &service{path: path, log: newLogger(p), metrics: newMetrics(), changes: make(chan string, waitingChanges), moved: make(chan struct{}, 1)}
	if s.config, err = loadConfig(path); err != nil {
		return err
	}
	s.statuses = s.newStatuses()
	sshd := s.sshdOf(s.config.Homes.SSHD)
	settings, err := compile(ctx, s.config, sshd, s.leftServer)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	told, err := channelsOf(s.config.Notify)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	s.tellers = newTellers(told, s.config.Notify.Every, s.tellTrouble)
	s.policy = settings.Policy
	lock, err := s.lock()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := s.open(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()

	s.log.Info("keyreeve starts", zap.String("mode", s.config.Mode), zap.String("policy", settings.Policy.String()),
		zap.String("config", path), zap.String("sha256", s.config.SHA256))
	s.tellOptions(settings.Policy)
	s.askSSHD(ctx, sshd, s.config.Homes, &settings)
	s.rule(ctx, s.config, &settings)
	s.watchRegistry(ctx, settings.Source)
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	s.watchOwn(inner)
	go s.pulse(inner)
	go s.watchMounts(inner)
	go s.reloads(inner, hangups)
	defer s.publish(ctx)()
	defer s.serveMetrics(ctx)()
	defer s.tell(ctx)()
	defer s.statuses.start(inner)()
	for _, o := range s.outlets {
		defer o.keep()()
	}
	s.soon = newForecast(s.log, s.metrics.foretell)
	defer s.soon.keep()()
	err = s.runner.Run(inner, settings)
	s.notify(daemon.SdNotifyStopping + "\nSTATUS=Ending: looks that have begun are waited for")
	s.log.Info("keyreeve ends")
	return err
}

// newLogger logs JSON lines without sampling: a line that was dropped may be the one that mattered.
func newLogger(p process) *zap.Logger {
	encoder := zap.NewProductionEncoderConfig()
	encoder.EncodeTime, encoder.EncodeDuration = zapcore.ISO8601TimeEncoder, zapcore.StringDurationEncoder
	return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(encoder), zapcore.Lock(zapcore.AddSync(ascii{p.Stderr})), zap.InfoLevel))
}

// ascii writes JSON as ASCII: names, paths and errors hold what users and the registry have written, and zap escapes neither
// C1 controls nor bidi marks.
type ascii struct{ io.Writer }

func (w ascii) Write(text []byte) (int, error) {
	if _, err := w.Writer.Write(plain.JSON(text)); err != nil {
		return 0, err
	}
	return len(text), nil
}

// leftServer tells why the registry does not come from a server, or that it does so again.
func (s *service) leftServer(server string, err error) {
	if err != nil {
		s.log.Warn("the registry comes from another server", zap.String("instead_of", server), zap.Error(err))
		return
	}
	s.log.Info("the registry comes from this server again", zap.String("server", server))
}

// lock keeps a second daemon away, which would plan against the first.
func (s *service) lock() (io.Closer, error) {
	if err := statefile.EnsureDir(s.config.RuntimeDir, 0o755); err != nil {
		return nil, fmt.Errorf("make the runtime directory ready: %w", err)
	}
	lock, err := statefile.Lock(filepath.Join(s.config.RuntimeDir, "daemon.lock"))
	switch {
	case errors.Is(err, fs.ErrPermission):
		return nil, withHint(err, "the daemon runs as root, or as the one user whose homes it keeps")
	case err != nil:
		return nil, withHint(err, "end the other daemon, or give this one another runtime_dir")
	}
	return lock, nil
}

// open opens all that the daemon needs; the trail too, in report mode, so that a mistake in its path shows at once and
// not when somebody sets "mode: enforce".
func (s *service) open() (err error) {
	s.groups = host.NewGroups(func(err error) {
		s.log.Warn("getent does not say in which groups users are; what it said last counts, or /etc/group", zap.Error(err))
	})
	s.door, err = openDoor(s.config, s.groups.Of, func(why string) { s.log.Warn("no file of root's can be kept there", zap.String("why", why)) })
	if err != nil {
		return err
	}
	if s.hand, s.trail, err = newEnforcer(s.config, s.door, func(err error) {
		s.log.Warn("the trail is whole, its copy is not", zap.Error(err))
	}); err != nil {
		return err
	}
	if s.watcher, err = watch.New(); err != nil {
		return fmt.Errorf("watch homes: %w", err)
	}
	// With the exceptions unknown, neither a key that stays nor one that goes would be right; a daemon that does not start is seen.
	if s.exceptions, err = enforcer.OpenExceptions(exceptionsPath(s.config)); err != nil {
		return withHint(err, "repair the file, or move it away to begin without exceptions: their users' keys then go")
	}
	if s.ledger, err = lockLedger(s.config, ledgerTries); err != nil {
		return withHint(err, "a \"keyreeve apply\" that runs has to end first")
	}
	s.runner = enforcer.NewRunner()
	if s.runner.Memory, err = openMemory(s.config, s.hand); err != nil {
		return err
	}
	gate, err := enforcer.OpenGate(registryDir(s.config))
	if err != nil {
		s.log.Error("not all that was kept of the registry can be used", zap.Error(err))
	}
	s.runner.Gate = gate
	s.runner.Exceptions = s.exceptions.Current
	s.runner.Homes, s.runner.Log, s.runner.Workers, s.runner.Hints = s.door, s.log, workers, s.watcher.Hints()
	s.runner.Changes = s.changes
	s.runner.Watch, s.runner.Unwatch, s.runner.Active = s.watch, s.watcher.Drop, homes.ActiveUIDs
	s.runner.Server = s.door.Server
	s.runner.Copies = s.hand.Quarantine.Since
	s.runner.Ready = func() {
		s.ready.Store(true)
		s.notify(daemon.SdNotifyReady + "\nSTATUS=Started: every home is looked at")
	}
	s.runner.Observe, s.runner.Removed = s.metrics.observe, s.metrics.went
	s.metrics.watches = s.watcher.Len
	s.metrics.configured(s.config)
	if err := s.openOutlets(); err != nil {
		return err
	}
	s.hand.Trail = s.metrics.trail(s.hand.Trail)
	s.warner = enforcer.NewWarner(s.hand.Trail, time.Now)
	return nil
}

// openOutlets has the files for sshd written that are configured.
func (s *service) openOutlets() error {
	if s.config.Answer.Dir != "" {
		s.outlets = append(s.outlets, newAnswers(s.config.Answer.Dir, s.log, s.metrics))
	}
	if s.config.Deny.File != "" {
		if s.config.Deny.Unknown {
			s.strangers = new(strangers)
		}
		denied, err := openDenied(s.config.Deny, s.runner.Memory, s.strangers, s.log, s.metrics)
		if err != nil {
			return err
		}
		s.outlets, s.denied = append(s.outlets, denied), denied
	}
	if len(s.outlets) > 0 {
		s.runner.Answer = func(world *enforcer.World, end time.Time) {
			for _, o := range s.outlets {
				o.offer(world, end)
			}
		}
	}
	return nil
}

func (s *service) close() error {
	return errors.Join(s.watcher.Close(), s.trail.Close(), s.door.Close(), s.ledger.Close())
}
