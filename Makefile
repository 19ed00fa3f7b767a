# NEMO suite.  `make help` lists the targets; everything built goes to build/.
SHELL   := /bin/bash
CC      := gcc
CLANG   := clang
PYTHON  := /usr/bin/python3
B       := build
ARCH_INC := -I/usr/include/$(shell uname -m)-linux-gnu
prefix  ?= /usr/local

# Debian packages: to build, to test, and for the virtual machine of check-vm.
DEPS := gcc libc6-dev make pkg-config clang llvm libclang-rt-14-dev clang-format linux-libc-dev \
	libbpf-dev bpftool libnl-3-dev libnl-route-3-dev libnftables-dev libmnl-dev libssl-dev libcap-ng-dev zlib1g-dev \
	libconfig-dev libsystemd-dev libjansson-dev libmicrohttpd-dev uthash-dev libcmocka-dev \
	iproute2 iputils-ping procps kmod ethtool nftables radvd iperf3 tcpdump tshark \
	python3 python3-pytest python3-pytest-xdist python3-scapy python3-cryptography tayga bird2 \
	qemu-system-x86 cpio busybox-static zstd xz-utils \
	debhelper lintian bash-completion mmdebstrap qemu-utils syslinux syslinux-common mtools dosfstools e2fsprogs fdisk python3-matplotlib \
	libvirt-daemon libvirt-clients

WARN    := -Wall -Wextra -Wshadow -Wswitch-enum -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror
CFLAGS  ?= -O2 -g
HARDEN  := -fstack-protector-strong -D_FORTIFY_SOURCE=2
LDFLAGS += -Wl,-z,relro,-z,now
CPPFLAGS_ALL = -std=gnu11 -D_GNU_SOURCE -I. -I$(B)/gen -I/usr/include/libnl3
ALL_CFLAGS = $(CPPFLAGS_ALL) $(WARN) $(CFLAGS) -fno-strict-overflow -MMD -MP
SANITIZE := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
ifdef SAN # all programs are built with these, from the unit tests' objects
CFLAGS  := $(SANITIZE)
OUT     := $(B)/asan
export NEMO_BUILD := $(CURDIR)/$(OUT)
# A daemon that forbids debuggers can't look for its own leaks; the unit tests and the soak test do.
export ASAN_OPTIONS := detect_leaks=0
else
OUT     := $(B)
endif
LDLIBS  := -lsystemd -lnl-route-3 -lnl-3 -lconfig -ljansson -lbpf -lnftables -lmnl -lssl -lcrypto -lcap-ng -lz

# The pure part: no I/O, no clock (checked by netns-tests/lib/purity.py).
NAT64_IO := main edge conf mappings import routes dev keep engine_tun engine_ebpf
PURE    := $(wildcard common/core/*.c common/wire/*.c common/sec/*.c) \
	$(filter-out %/main.c %/edge.c ha/edge_%.c mr/edge_%.c %/conf.c %/conf_check.c %/policy.c %/homeio.c %/routeio.c %/networkd.c %/hook.c,$(wildcard mr/*.c ha/*.c)) \
	$(filter-out $(NAT64_IO:%=nat64/%.c),$(wildcard nat64/*.c))
OS      := $(wildcard common/os/*.c)
TUNNEL  := $(wildcard common/tunnel/*.c)
COMMON  := $(wildcard common/core/*.c common/wire/*.c common/sec/*.c) $(OS) $(TUNNEL)
BPF     := $(wildcard common/*/bpf/*.bpf.c nat64/bpf/*.bpf.c)
SKEL    := $(patsubst %.bpf.c,$(B)/gen/%.skel.h,$(notdir $(filter common/%,$(BPF))))
SKEL_NAT64 := $(patsubst %.bpf.c,$(B)/gen/%.skel.h,$(notdir $(filter nat64/%,$(BPF))))
UNIT    := $(wildcard common/*/t/test_*.c mr/t/test_*.c ha/t/test_*.c nat64/t/test_*.c)
FUZZ    := $(wildcard common/*/t/fuzz_*.c mr/t/fuzz_*.c ha/t/fuzz_*.c nat64/t/fuzz_*.c)
SOURCES := $(shell find common mr ha nat64 netns-tests -name '*.[ch]')
TOOLS   := $(wildcard netns-tests/tools/*.c)

obj     = $(patsubst %.c,$(B)/$(if $(SAN),san,obj)/%.o,$(1))
san     = $(patsubst %.c,$(B)/san/%.o,$(1))
vpath %.bpf.c $(sort $(dir $(BPF)))

BINS    := $(OUT)/nemo-ha $(OUT)/nemo-mr $(OUT)/nemo-nat64 $(OUT)/nemoctl
UNIT_BINS := $(patsubst %.c,$(B)/t/%,$(subst /,-,$(UNIT)))
FUZZ_BINS := $(patsubst %.c,$(B)/fuzz/%,$(notdir $(FUZZ)))
TOOL_BINS := $(patsubst netns-tests/tools/%.c,$(OUT)/tools/%,$(TOOLS))
IMAGE   := $(B)/image/nemo-mr.qcow2

.PHONY: deb check-packages all tools unit-bins fuzz-bins help deps check check-fast check-unit check-lint check-net check-san check-migration check-vm demo drill bench soak \
	fuzz install image lab lab-migrate lab-down drill-vm clean format
.DELETE_ON_ERROR:
.SECONDARY:

all: $(BINS) ## build the daemons and nemoctl
tools: all $(TOOL_BINS)
unit-bins: $(UNIT_BINS)
fuzz-bins: $(FUZZ_BINS)

help: ## this list
	@awk -F':.*## ' '/^[a-z -]+:.*## /{printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  variables:   BENCH=tunnel|nat64|flood|scale  DRILL=name  TIME=60 (seconds per fuzzer)  K=expression (pytest -k)"
	@echo "               SAN=1 (daemons with ASan and UBSan, for check-net)"

deps: ## install what is missing from Debian's packages
	@missing=$$(for p in $(DEPS); do \
		dpkg-query -W -f='$${Status}' $$p 2>/dev/null | grep -q 'ok installed' || echo $$p; done); \
	if [ -z "$$missing" ]; then echo "deps: everything is installed"; exit 0; fi; \
	echo "deps: installing" $$missing; \
	if [ "$$(id -u)" != 0 ]; then echo "deps: run as root" >&2; exit 1; fi; \
	apt-get update -qq -o Acquire::Retries=3 && DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -qq -o Acquire::Retries=3 --no-install-recommends $$missing >/tmp/nemo-deps.log 2>&1 \
		|| { tail -n 20 /tmp/nemo-deps.log >&2; exit 1; }

# --- build ---
$(OUT)/nemo-ha: $(call obj,$(COMMON) $(wildcard ha/*.c))
$(OUT)/nemo-mr: $(call obj,$(COMMON) $(wildcard mr/*.c))
$(OUT)/nemo-nat64: $(call obj,$(COMMON) $(wildcard nat64/*.c))
$(OUT)/nemoctl: $(call obj,$(wildcard common/ctl/*.c))
$(OUT)/nemoctl: LDLIBS := -lsystemd -ljansson -lmicrohttpd -lconfig
$(BINS):
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(B)/obj/%.o: %.c | $(SKEL)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(HARDEN) -c -o $@ $<
$(B)/san/%.o: %.c | $(SKEL)
	@mkdir -p $(@D)
	$(CC) $(ALL_CFLAGS) $(SANITIZE) -c -o $@ $<

$(call obj,nat64/engine_ebpf.c $(TOOLS)): | $(SKEL_NAT64)

$(B)/bpf/%.bpf.o: %.bpf.c
	@mkdir -p $(@D)
	$(CLANG) -target bpf -O2 -g -mcpu=v3 $(WARN) -Wno-missing-prototypes $(ARCH_INC) -I. \
		-MMD -MP -MF $(@:.o=.d) -c -o $@ $<
	llvm-strip -g $@
$(B)/gen/%.skel.h: $(B)/bpf/%.bpf.o
	@mkdir -p $(@D)
	bpftool gen skeleton $< > $@

$(filter $(OUT)/tools/nat64-%,$(TOOL_BINS)): $(call obj,$(filter-out %/main.c,$(wildcard nat64/*.c)))
$(OUT)/tools/%: $(call obj,netns-tests/tools/%.c) $(call obj,$(COMMON))
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# --- tests ---
# A unit test links everything that has no main(), built with ASan and UBSan, but for what it has a stand-in for.
STANDS_IN_test_esptun := common/os/xfrm.c
TESTED := $(COMMON) $(filter-out %/main.c %/edge.c ha/edge_%.c mr/edge_%.c %/policy.c %/homeio.c,$(wildcard mr/*.c ha/*.c))
TESTED_NAT64 := $(COMMON) $(filter nat64/%,$(PURE)) nat64/conf.c nat64/mappings.c nat64/import.c
define unit_rule
$(B)/t/$(subst /,-,$(1:.c=)): \
		$(call san,$(1) $(filter-out $(STANDS_IN_$(notdir $(1:.c=))),$(if $(filter nat64/%,$(1)),$(TESTED_NAT64),$(TESTED))))
	@mkdir -p $$(@D)
	$$(CC) $$(SANITIZE) -o $$@ $$^ $$(LDLIBS) -lcmocka
endef
$(foreach t,$(UNIT),$(eval $(call unit_rule,$(t))))

check-unit: $(UNIT_BINS) ## unit tests and simulator, under ASan and UBSan
	@printf '%s\n' $(UNIT_BINS) | xargs -P 2 -I@ sh -c 'out=$$(@ 2>&1) && echo "== @: ok" || { \
		printf "== @\n%s\n" "$$out"; exit 1; }'

check-lint: $(call obj,$(PURE)) ## formatting, dependency rule, purity of the cores, traceability, log and counters explained
	@clang-format --dry-run -Werror $(SOURCES)
	@$(PYTHON) netns-tests/lib/purity.py $(B)/obj $(PURE)
	@$(PYTHON) netns-tests/lib/trace.py
	@$(PYTHON) -m pytest -q -p no:cacheprovider -k operations netns-tests/test_units.py | tail -n 20; exit $${PIPESTATUS[0]}

PYTEST := $(PYTHON) -m pytest -q -o cache_dir=$(CURDIR)/$(B)/pytest $(if $(K),-k '$(K)')

# Prometheus' checker, out of its package, which is not installed: that would start a server.
$(B)/promtool:
	@mkdir -p $(B)/prometheus
	cd $(B)/prometheus && get="apt-get -qq -o APT::Sandbox::User=root -o Acquire::Retries=3" && \
		{ $$get download prometheus || { $$get update && $$get download prometheus; }; }
	dpkg-deb --fsys-tarfile $(B)/prometheus/prometheus_*.deb | tar -xO ./usr/bin/promtool >$@
	chmod 755 $@
$(B)/asan/promtool: $(B)/promtool
	ln -sf ../promtool $@

check-net: tools $(OUT)/promtool ## network tests in namespaces, on this kernel
	$(PYTEST) $(if $(K),$(N:%=-n %),-n $(or $(N),4)) netns-tests --ignore=netns-tests/vm

# What listens to strangers, a move, and the control protocol, by daemons with ASan and UBSan.
SAN_PART := silence or malformed or no_whole or forged or key_port or strangers or connections_survive_a_move or \
	live_ or translator_and or hostile_input or reload_under_load or must_not_be_believed or not_for_this_update or \
	can_not_be_true or payload_can
check-san: ## a part of check-net, with SAN=1
	@$(MAKE) --no-print-directory -s -j2 SAN=1 tools $(B)/asan/promtool
	@$(MAKE) --no-print-directory SAN=1 check-net N=6 K='$(SAN_PART)'

check-migration: deps tools $(IMAGE) ## the image boots; a router and a service live-migrate in QEMU
	$(PYTEST) netns-tests/vm --ignore netns-tests/vm/test_packages.py

check-packages: deps tools $(IMAGE) ## packages: clean, come and go, live under a real systemd in QEMU (three minutes)
	$(PYTEST) -p no:cacheprovider netns-tests/vm/test_packages.py

check-vm: deps tools ## the network tests on Debian's stock kernel in QEMU, both engines
	$(PYTHON) netns-tests/vm/run.py $(if $(K),-k '$(K)')

check-fast: deps check-lint check-unit check-net ## everything but the virtual machine

check: deps ## all tests: unit, network, and these on the stock kernel
	@MAKE="$(MAKE)" netns-tests/check.sh

demo: deps ## the main job: ten networks move between two sites under live traffic
	@$(MAKE) --no-print-directory -j2 all tools
	@$(PYTHON) netns-tests/drills/run.py demo

drill: tools ## list the drills; DRILL=name runs one
	@$(PYTHON) netns-tests/drills/run.py $(DRILL)

soak: tools ## moves, restarts, floods and reloads at once on 200 routers, for TIME seconds (default 600)
	@TIME=$(or $(TIME),600) $(PYTHON) netns-tests/soak.py

bench: deps ## measure: BENCH=tunnel (default), nat64, flood or scale
	@$(MAKE) --no-print-directory -j2 all tools
	@$(PYTHON) netns-tests/bench/$(or $(BENCH),tunnel).py

# --- fuzzers: the pure part again, built by clang with libFuzzer ---
FUZZED := $(sort $(COMMON) $(PURE) nat64/import.c nat64/mappings.c ha/conf_check.c $(foreach d,ha mr nat64,$(d)/conf.c))
FUZZ_SAN := -O1 -g -fsanitize=address,undefined -fno-sanitize-recover=all
$(B)/fuzzobj/%.o: %.c | $(SKEL)
	@mkdir -p $(@D)
	$(CLANG) $(CPPFLAGS_ALL) $(FUZZ_SAN) -fsanitize=fuzzer-no-link -MMD -MP -c -o $@ $<

define fuzz_rule
$(B)/fuzz/$(notdir $(1:.c=)): $(patsubst %.c,$(B)/fuzzobj/%.o,$(1) $(FUZZED))
	@mkdir -p $$(@D)
	$(CLANG) $(FUZZ_SAN) -fsanitize=fuzzer -o $$@ $$^ $(LDLIBS)
endef
$(foreach f,$(FUZZ),$(eval $(call fuzz_rule,$(f))))

fuzz: $(FUZZ_BINS) ## run every fuzzer for TIME seconds (default 60), two at a time
	@mkdir -p $(B)/failed
	@printf '%s\n' $(notdir $(FUZZ_BINS)) | xargs -P 2 -I@ sh -c 'mkdir -p $(B)/corpus/@; log=$(B)/corpus/@.log; \
		seed=netns-tests/corpus/@; [ -d $$seed ] || seed=; case @ in *_conf) seed="$$seed conf/wide-cloud"; esac; \
		if $(B)/fuzz/@ -max_total_time=$(or $(TIME),60) -max_len=2304 -print_final_stats=1 -verbosity=0 \
			-artifact_prefix=$(B)/failed/@- $(B)/corpus/@ $$seed >$$log 2>&1; \
		then echo "== @: ok," $$(sed -n "s/^stat::number_of_executed_units: *//p" $$log) runs; \
		else echo "== @: FAILED"; tail -n 100 $$log; exit 1; fi'

format: ## clang-format the tree
	clang-format -i $(SOURCES)

# The settings in section 5 are the daemon's own table of keys.
$(B)/man/%.conf.5: doc/man/%.conf.5.in doc/man/keys.awk $(B)/%
	@mkdir -p $(@D)
	$(B)/$* --config-help | awk -f doc/man/keys.awk > $@.keys
	sed -e '/@CONFIG@/{r $@.keys' -e 'd}' $< > $@
	@rm $@.keys

DAEMONS := nemo-ha nemo-mr nemo-nat64
UNITS   := $(DAEMONS) nemo-metrics
install: all $(DAEMONS:%=$(B)/man/%.conf.5) ## install to $(prefix)
	install -D -m755 -t $(DESTDIR)$(prefix)/sbin $(DAEMONS:%=$(B)/%)
	install -D -m755 -t $(DESTDIR)$(prefix)/bin $(B)/nemoctl
	install -D -m644 -t $(DESTDIR)$(prefix)/share/man/man1 doc/man/nemoctl.1
	install -D -m644 -t $(DESTDIR)$(prefix)/share/man/man5 $(DAEMONS:%=$(B)/man/%.conf.5)
	install -D -m644 -t $(DESTDIR)$(prefix)/share/man/man8 $(DAEMONS:%=doc/man/%.8)
	install -D -m644 -t $(DESTDIR)$(prefix)/share/nemo/wide-cloud conf/wide-cloud/*
	install -D -m644 -t $(DESTDIR)$(prefix)/share/nemo/bird conf/bird/*
	install -D -m755 -t $(DESTDIR)$(prefix)/share/nemo/libvirt conf/libvirt/*
	install -D -m755 -t $(DESTDIR)$(prefix)/share/nemo/qemu conf/qemu/nemo_migrate.py
	install -D -m644 -t $(DESTDIR)$(prefix)/share/nemo/prometheus conf/prometheus/*
	for p in nemoctl $(DAEMONS); do install -D -m644 conf/completion/nemo \
		$(DESTDIR)$(prefix)/share/bash-completion/completions/$$p; done
	install -D -m644 -t $(DESTDIR)$(prefix)/lib/sysctl.d conf/sysctl/*
	install -d $(DESTDIR)/etc/nemo $(DESTDIR)$(prefix)/lib/systemd/system
	install -d $(DESTDIR)/etc/nemo/keys # a reload reads new ones as the daemon's user
	for u in $(UNITS); do sed 's|@prefix@|$(prefix)|' conf/systemd/$$u.service \
		>$(DESTDIR)$(prefix)/lib/systemd/system/$$u.service; done
	for u in nemo nemo-metrics; do install -D -m644 conf/systemd/$$u.sysusers \
		$(DESTDIR)$(prefix)/lib/sysusers.d/$$u.conf; done

DEB := $(B)/deb
deb: all ## Debian packages: build/deb/*.deb
	@rm -rf $(DEB) && mkdir -p $(DEB)/nemo
	@cp -r conf/debian $(DEB)/nemo/debian
	@cd $(DEB)/nemo && NEMO_TREE=$(CURDIR) dpkg-buildpackage -b -us -uc -d >../build.log 2>&1 || \
		{ tail -n 40 ../build.log >&2; exit 1; }
	@ls $(DEB)/*.deb

$(IMAGE): $(B)/nemo-mr $(B)/nemoctl $(shell find mr/image conf/systemd conf/debian -type f)
	@$(MAKE) --no-print-directory -s deb
	@B=$(B) mr/image/build.sh

lab: deps tools $(IMAGE) ## two hypervisors, a router and a service as virtual machines, to play with
	@cd netns-tests && $(PYTHON) -m vm.lab up

lab-migrate lab-down: ## migrate the lab's machines to the other hypervisor; end the lab
	@cd netns-tests && $(PYTHON) -m vm.lab $(@:lab-%=%)

drill-vm: deps tools $(IMAGE) ## live migrations under traffic: MOVES=20; ORDERS=1; MATRIX=1; TURNS=1
	@$(PYTHON) netns-tests/vm/drill.py

image: deps all $(IMAGE) ## the mobile router as a virtual machine: build/image/nemo-mr.qcow2

clean: ## remove build/
	rm -rf $(B)

-include $(shell find $(B)/obj $(B)/san $(B)/fuzzobj $(B)/bpf -name '*.d' 2>/dev/null)
