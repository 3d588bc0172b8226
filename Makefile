# SPDX-License-Identifier: GPL-2.0-only
# Recipes call scripts; what they do stands there.

# folders of patches/; the source of one that Debian has no more is skipped
KERNELS ?= $(notdir $(wildcard patches/[0-9]*))

all: tool

tool:
	@$(MAKE) -s -C tools

# The two to begin with: each installs what it needs (apt-get) and says what it does.
demo:
	@scripts/deps.sh
	@FIRMWARE='$(FIRMWARE)' scripts/demo.sh

test:
	@scripts/deps.sh
	@$(MAKE) -s tool
	@scripts/prove.sh tests/*.t

# What needs no lab; and what needs no build.
check:
	@scripts/deps.sh
	@$(MAKE) -s tool
	@scripts/prove.sh tests/[0-2]*.t

lint:
	@scripts/lint.sh

stress:
	@scripts/deps.sh
	@scripts/stress.sh $(STRESS)

mutants:
	@scripts/deps.sh
	@$(MAKE) -s tool
	@scripts/mutants.sh $(MUTANTS)

# exitdump's own times as well, where nothing else is asked for
bench:
	@scripts/deps.sh build lab tool bench plot
	@$(MAKE) -s tool
	@scripts/bench.sh $(BENCH)
	@[ -n '$(BENCH)' ] || tests/bench/exitdump.sh

report:
	@scripts/boot-report.sh $(REPORT)

kernel:
	@scripts/deps.sh
	@for k in $(KERNELS); do scripts/kernel.sh -k $$k build || [ $$? = 3 ] || exit; done

install install-fleet uninstall clean:
	@$(MAKE) -s -C tools $@

# The patched KVM on this host, and off it again (root).
install-kvm uninstall-kvm:
	@scripts/install.sh $(@:-kvm=)

help:
	@echo 'make           build exitdump (needs cc, ncurses; for --bpf clang, bpftool, libbpf; for serve libmicrohttpd)'
	@echo 'make demo      a VM on a patched kernel, in a lab: host and guest count the same (minutes)'
	@echo 'make test      all tests, the lab included (an hour or more the first time)'
	@echo 'make check     the tests that need no lab (some minutes)'
	@echo 'make lint      shellcheck, checkpatch, compiler warnings'
	@echo 'make stress    long tests, and on kernels that check themselves (hours)'
	@echo 'make mutants   small bugs, planted one at a time: does a test fail? (hours; MUTANTS=-h)'
	@echo 'make bench     what it costs, and what perf, ftrace and BPF cost (options: BENCH=-h)'
	@echo 'make report    a VM boots, and ./report gets a page of its exits (REPORT=-h)'
	@echo '               scripts/report.sh CAPTURE: such a page of any capture'
	@echo 'make kernel    the lab kernels and their modules, into the cache'
	@echo 'make install   exitdump and its manual (PREFIX, DESTDIR)'
	@echo 'make install-fleet  its services, rules and dashboard for Prometheus'
	@echo 'make uninstall      removes what these two installed'
	@echo 'make install-kvm    the patched KVM on this host (root, Debian kernels)'
	@echo 'make uninstall-kvm  the stock KVM again'
	@echo 'make clean     exitdump, as built here (the cache stays)'

.PHONY: all tool demo test check lint stress mutants bench report kernel install install-fleet uninstall install-kvm uninstall-kvm clean help
