# keyreeve: each target is one line of meaning; "make" alone lists them.

GO            ?= go
FUZZTIME      ?= 2000x
BENCHTIME     ?= 1s
GOLANGCI      := v2.15.0
PACKAGES      := ./...
# Parts that must be there: as root every test runs or fails, for others a missing part is a skip with its reason.
ifeq ($(shell id -u),0)
export KEYREEVE_TEST_REQUIRE ?= root,sshd,slapd,logrotate,strace,mount,ext4,xfs,btrfs,overlay,journald,systemd,fuse,kdc,dirsrv,tinycdb,puttygen,chromium,packages,lintian,rpm,mandoc,bash-completion,zsh,fish,promtool,pids
endif

.PHONY: help build demo test deps check lint race fuzz bench soak notice gate page bench-sshd package docs clean

help: ## list the targets
	@grep -E '^[a-z]+:.*##' Makefile | sed 's/:.*## /\t/'

build: ## build bin/keyreeve, and bin/keyreeve-keys for sshd
	CGO_ENABLED=0 $(GO) build -trimpath -buildvcs=auto -ldflags='-s -w' -o bin/ ./cmd/...

demo: build ## show the main job on a throw-away tree (KEEP=1 keeps it)
	@$(GO) run ./internal/demo -keyreeve bin/keyreeve $(if $(KEEP),-keep)

deps: ## install what the tests need that is not there
	@.ci/deps

test: deps ## run every test, and each fuzz target for FUZZTIME
	@GO="$(GO)" .ci/test
	@$(MAKE) --no-print-directory fuzz

check: lint ## run every check that is no test
	$(GO) vet $(PACKAGES)
	$(GO) mod tidy -diff
	$(GO) fix -diff $(PACKAGES)
	@GO="$(GO)" .ci/vuln

lint: bin/golangci-lint-$(GOLANGCI)
	$< fmt --diff
	$< run $(PACKAGES)

bin/golangci-lint-$(GOLANGCI):
	GOBIN=$(CURDIR)/bin $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI)
	mv bin/golangci-lint $@

race: deps ## run every test with the race detector
	$(GO) test -race -timeout 30m $(PACKAGES)

fuzz: ## run each fuzz target for FUZZTIME (make fuzz FUZZTIME=5m)
	@GO="$(GO)" .ci/fuzz $(FUZZTIME)

bench: ## run the benchmarks; the output is benchstat's input
	$(GO) test -run '^$$' -bench . -benchtime $(BENCHTIME) -timeout 30m $(PACKAGES)

soak: deps ## a thousand users rewrite their files at once; prints what it took
	$(GO) test -v -run '^TestSoak$$' -timeout 15m ./cmd/keyreeve -args -soak 1000

notice: deps ## ten thousand users in a slapd; prints how soon a revoked key is gone
	$(GO) test -v -run '^TestNotice$$' -timeout 15m ./cmd/keyreeve -args -notice 10000

gate: deps ## a loop writes a key into a home while 200 logins try it, by homes, gate and answers; prints how many got in
	$(GO) test -v -run '^TestRace$$' -timeout 30m ./cmd/keyreeve -args -race 200

page: deps ## the HTML report of 100,000 accounts; prints its size, and how soon Chromium shows, sorts and searches it
	$(GO) test -v -run '^TestHTMLFigures$$' -timeout 15m ./report -args -page 100000

bench-sshd: deps ## what sshd waits for at a login with a hundred thousand users, beside sssd and ldapsearch (packages hyperfine, sssd-ldap)
	$(GO) test -v -run '^TestFigures$$' -timeout 30m ./cmd/keyreeve-keys -args -figures 100000

package: build ## make the deb and the rpm in dist; the same commit gives the same bytes
	GO="$(GO)" packaging/build

docs: ## make docs/config.md anew from configs/keyreeve.yaml
	$(GO) run ./internal/generate config.md >docs/config.md.new && mv docs/config.md.new docs/config.md

clean: ## remove what was built
	rm -rf bin dist
