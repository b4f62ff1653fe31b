package main

import (
	"context"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"go.uber.org/zap"

	"github.com/keyreeve/keyreeve/internal/config"
	"github.com/keyreeve/keyreeve/policy"
)

// reloads reads the configuration again at every SIGHUP, and drops old copies in between.
func (s *service) reloads(ctx context.Context, hangups <-chan os.Signal) {
	trims := time.NewTimer(0)
	defer trims.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-trims.C:
			s.trim()
			trims.Reset(trimPeriod)
			continue
		case <-s.moved:
			s.judgeAnew(ctx)
			continue
		case <-hangups:
		}
		s.notify(daemon.SdNotifyReloading + "\n" + daemon.SdNotifyMonotonicUsec())
		if err := s.reload(ctx); err != nil {
			s.log.Error("configuration not taken; the old one stays in force", zap.Error(err))
		} else {
			s.log.Info("configuration read again", zap.String("mode", s.config.Mode), zap.String("sha256", s.config.SHA256))
		}
		s.notify(daemon.SdNotifyReady + "\nSTATUS=" + s.status())
	}
}

// fixedKeys names what a new configuration changes and a running daemon cannot.
func fixedKeys(old, now config.Config) (keys []string) {
	for key, changed := range map[string]bool{
		"state_dir": now.StateDir != old.StateDir, "runtime_dir": now.RuntimeDir != old.RuntimeDir, "audit.file": now.Audit != old.Audit,
		"metrics": now.Metrics != old.Metrics, "answer.dir": now.Answer != old.Answer, "deny": !reflect.DeepEqual(now.Deny, old.Deny), "homes.guard": now.Homes.Guard != old.Homes.Guard,
	} {
		if changed {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}

// reload takes a new configuration, whole or not at all.
func (s *service) reload(ctx context.Context) error {
	c, err := loadConfig(s.path)
	if err != nil {
		return err
	}
	if keys := fixedKeys(s.config, c); len(keys) > 0 {
		return fmt.Errorf("a change of %s needs a restart of the daemon", strings.Join(keys, ", "))
	}
	return s.adopt(ctx, c)
}

// judgeAnew has the keys judged for the host as it is now. At a start it may not have its name yet.
func (s *service) judgeAnew(ctx context.Context) {
	if err := s.adopt(ctx, s.config); err != nil {
		s.log.Error("this host has another name or another sshd, but keys are judged as before", zap.Error(err), zap.Stringer("sshd", s.judged.Load().SSHD))
		return
	}
	host := s.judged.Load()
	s.log.Info("this host has another name or another sshd: keys are judged by that", zap.Strings("host", host.Names), zap.Stringer("sshd", host.SSHD))
}

// tellOptions says what every line carries on this host.
func (s *service) tellOptions(p *policy.Policy) {
	if forced := p.Forced(); !forced.IsZero() {
		s.log.Info("options are forced", zap.Stringer("options", forced), zap.Strings("host", p.Host().Names))
	}
}

// adopt puts a configuration in force.
func (s *service) adopt(ctx context.Context, c config.Config) error {
	sshd := s.sshdOf(c.Homes.SSHD)
	settings, err := compile(ctx, c, sshd, s.leftServer)
	if err != nil {
		return err
	}
	s.tellOptions(settings.Policy)
	settings.Policy.Remember(s.policy)
	s.policy = settings.Policy
	s.groups.Expire()
	hand := *s.hand // what is under way goes on by the old bounds
	hand.Quarantine = quarantineOf(c)
	s.hand = &hand
	s.askSSHD(ctx, sshd, c.Homes, &settings)
	s.rule(ctx, c, &settings)
	s.config = c
	s.metrics.configured(c)
	s.watchRegistry(ctx, settings.Source) // first, so that no change falls between the reading and the watch
	return s.runner.Reload(ctx, settings)
}
