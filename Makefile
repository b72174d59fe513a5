# millrace - the only build file. `make help` lists what it can do; tools/setup installs what it needs.
#
# Every mode has a directory of its own (build, build/asan, build/tsan, ...), so nothing ever needs a clean.
# A folder is an archive; tests link archives, so what must not depend on something does not link with it.

MODE    ?=
NEW     := $(if $(filter command%,$(origin B)),$(B),-1) # B= of bench-diff; B is the directory of a mode everywhere else
override B := build$(if $(MODE),/$(MODE))
PY      ?= python3
ifeq ($(MODE),fuzz)
CC      := clang-14
else
CC      := gcc
endif
ifeq ($(MAKELEVEL)$(filter -j%,$(MAKEFLAGS)),0)
MAKEFLAGS += -j$(shell nproc)
endif
MAKEFLAGS += --no-print-directory

CFLAGS  := -std=gnu17 -O2 -g -march=x86-64-v2 -fno-common -fno-strict-aliasing -fno-omit-frame-pointer \
           -Wall -Wextra -Wshadow -Wmissing-prototypes -Wvla -Wundef \
           -Wframe-larger-than=8192 -include assert.h -D_GNU_SOURCE
ifneq ($(MODE),fuzz)
CFLAGS  += -Werror -Wcast-align=strict
endif
VERSION := $(shell git describe --always --dirty 2>/dev/null || echo unknown)
LDFLAGS  = -pthread -rdynamic $(MODE_LDFLAGS)
LDLIBS  := -Wl,--as-needed -luring -lisal -llz4 -lzstd -lsnappy -lz -lmicrohttpd -lpcre2-8 -lm

ifeq ($(MODE),asan)
MODE_CFLAGS  := -fsanitize=address,undefined -fno-sanitize-recover=undefined -DMILLRACE_SLOW_CHECKS \
                -Wframe-larger-than=65536
MODE_LDFLAGS := -fsanitize=address,undefined
endif
ifeq ($(MODE),tsan)
MODE_CFLAGS  := -fsanitize=thread -DMILLRACE_SLOW_CHECKS -Wframe-larger-than=65536
MODE_LDFLAGS := -fsanitize=thread
endif
ifeq ($(MODE),coverage)
MODE_CFLAGS  := --coverage -O0 -fprofile-update=atomic -Wframe-larger-than=65536
MODE_LDFLAGS := --coverage
endif
ifeq ($(MODE),fuzz)
MODE_CFLAGS  := -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=undefined \
                -DMILLRACE_SLOW_CHECKS -Wframe-larger-than=65536
MODE_LDFLAGS := -fsanitize=fuzzer,address,undefined
endif
CFLAGS  += -iquote include -iquote build/gen $(MODE_CFLAGS)

# ── sources ──────────────────────────────────────────────────────────────────────────────────────────────
FOLDERS   := dataplane/proto dataplane/conn dataplane/net dataplane/kafka dataplane storage control tools bench/load
PROGRAM_C := dataplane/main.c
TOOL_C    := $(wildcard tools/millrace.c)
SIM_C     := $(wildcard tests/sim/*.c)
NETSIM_C  := $(wildcard tests/sim/net/*.c)
GEN       := build/gen/messages.h build/gen/messages.c build/gen/hot.c
SCHEMAS   := $(wildcard dataplane/proto/schema/*.k)
GEN_H     := $(if $(SCHEMAS),build/gen/messages.h)

lib        = $(B)/lib$(subst /,_,$(1)).a
folder_c   = $(filter-out $(PROGRAM_C) $(TOOL_C),$(wildcard $(1)/*.c))
LIBS      := $(foreach f,$(FOLDERS),$(if $(call folder_c,$(f)),$(call lib,$(f)))) \
             $(if $(SCHEMAS),$(B)/libgen.a)
obj        = $(patsubst %.c,$(B)/%.o,$(1))
IQUOTES   := $(foreach f,$(FOLDERS) dataplane/port tests,-iquote $(f))
PROGRAMS  := $(if $(wildcard $(PROGRAM_C)),$(B)/millraced) $(if $(TOOL_C),$(B)/millrace)
# Ports over DPDK are a library of their own, loaded when dpdk.ports is set; without libdpdk-dev it is left out. The
# drivers in it are linked statically; DPDK_DRIVERS=... for others.
PORT_C    := $(wildcard dataplane/port/*.c)
DPDK_DRIVERS ?= af_packet af_xdp tap memif ring null virtio vhost e1000 igc ixgbe i40e iavf ice ena vmxnet3
DPDK_A    := eal kvargs telemetry ring mempool mempool_ring mbuf net meter ethdev pci bus_pci bus_vdev timer hash rcu gso \
             cryptodev dmadev vhost security common_iavf $(DPDK_DRIVERS:%=net_%)
PORTS_SO  := $(if $(wildcard /usr/include/dpdk/rte_ethdev.h),$(if $(filter fuzz,$(MODE)),,$(B)/millrace-dpdk.so))
link       = $(CC) $(LDFLAGS) $(1) -Wl,--start-group $(LIBS) -Wl,--end-group $(LDLIBS)

all: $(PROGRAMS) $(PORTS_SO) tests-build ## build the broker, the command line and the tests (the default)
	@echo "built $(strip $(PROGRAMS)) and $(words $(UNIT)) unit test programs; next: make test, make run, make help"

# A change of flags rebuilds; a change of this file alone does not.
FLAGS     := $(B)/.flags
$(shell mkdir -p $(B); echo '$(CC) $(CFLAGS)' | cmp -s - $(FLAGS) || echo '$(CC) $(CFLAGS)' > $(FLAGS))

# After an archive's member list shrank, the archive must be rebuilt too: it depends on its folder.
define folder_rules
$(call lib,$(1)): $(call obj,$(call folder_c,$(1))) $(1)
	@rm -f $$@ && ar rcs $$@ $$(filter %.o,$$^)
endef
$(foreach f,$(FOLDERS),$(if $(call folder_c,$(f)),$(eval $(call folder_rules,$(f)))))

$(B)/libgen.a: $(B)/gen/messages.o $(B)/gen/hot.o
	@rm -f $@ && ar rcs $@ $^
$(B)/gen/%.o: build/gen/%.c $(FLAGS)
	@mkdir -p $(@D) && $(CC) $(CFLAGS) -iquote dataplane/proto -MMD -MP -c $< -o $@
$(GEN) &: $(SCHEMAS) tools/kgen.py tools/khot.py dataplane/proto/digests.txt
	@mkdir -p build/gen && $(PY) tools/kgen.py dataplane/proto/schema build/gen

$(B)/%.o: %.c $(FLAGS) | $(GEN_H)
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS) -iquote $(<D) -MMD -MP -c $< -o $@
$(B)/tests/%.o: CFLAGS += -DMILLRACE_SLOW_CHECKS -Wframe-larger-than=65536 $(IQUOTES)
$(B)/bench/%.o: CFLAGS += $(IQUOTES)
$(B)/tools/%.o: CFLAGS += -iquote storage

# The version is compiled into the two programs' main objects alone, and again only when it changed.
$(shell echo '$(VERSION)' | cmp -s - $(B)/.version || echo '$(VERSION)' > $(B)/.version)
$(B)/dataplane/main.o $(B)/tools/millrace.o: CFLAGS += -DMILLRACE_VERSION='"$(VERSION)"'
$(B)/dataplane/main.o $(B)/tools/millrace.o: $(B)/.version

$(B)/millraced: $(call obj,$(PROGRAM_C)) $(LIBS)
	@$(call link,$<) -o $@
$(B)/millrace: $(call obj,$(TOOL_C)) $(LIBS)
	@$(call link,$(call obj,$(TOOL_C))) -lrdkafka -ljansson -o $@

$(B)/millrace-dpdk.so: $(call obj,$(PORT_C))
	@$(CC) -shared -o $@ $^ -Wl,--whole-archive $(DPDK_A:%=-l:librte_%.a) -Wl,--no-whole-archive -Wl,--exclude-libs,ALL -Wl,--wrap=setsockopt \
	  -Wl,--as-needed -lnuma -lbpf -lxdp -lelf -lz -lbsd -lfdt -lm -ldl -pthread
$(call obj,$(PORT_C)): CFLAGS := $(filter-out -march=% -fsanitize=% --coverage,$(CFLAGS)) -march=corei7 -fPIC \
  -iquote dataplane/net -isystem /usr/include/dpdk -isystem /usr/include/$(shell $(CC) -print-multiarch)/dpdk
$(filter-out %_check.o,$(call obj,$(PORT_C))): CFLAGS += -include rte_config.h

# ── tests: one program per tests/unit/<path>_test.c and per tests/fuzz/fuzz_<name>.c ──────────────────────
UNIT_C   := $(shell find tests/unit -name '*_test.c' 2>/dev/null)
UNIT     := $(patsubst tests/unit/%.c,$(B)/unit/%,$(UNIT_C))
BUDGET   := $(patsubst tests/budgets/%.txt,%,$(wildcard tests/budgets/*.txt))
BUDGETED := $(BUDGET:%=$(B)/bench-micro/bench_%)
FUZZ     := $(patsubst tests/fuzz/fuzz_%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
REPLAY   := $(FUZZ:%=$(B)/replay/%)
BENCH    := $(patsubst bench/micro/%.c,$(B)/bench-micro/%,$(wildcard bench/micro/bench_*.c))
SIM      := $(if $(SIM_C),$(B)/sim)
NETSIM   := $(if $(NETSIM_C),$(B)/netsim)
SYSTEM   := $(wildcard tests/system/run)
SEEDS    ?= 20
TEST_SEEDS ?= 500
SIM_RUN   = $(if $(SEED),$(SIM) --seed=$(SEED),$(SIM) --seeds=$(SEEDS))
T        ?=
TESTRUN  := $(PY) tools/testrun.py --log $(B)/log --only '$(T)'

tests-build: $(UNIT) $(BUDGETED) $(REPLAY) $(SIM) $(NETSIM)
$(B)/unit/%: $(B)/tests/unit/%.o $(LIBS)
	@mkdir -p $(@D) && $(call link,$<) -lcmocka -ljansson -o $@
$(B)/unit/dataplane/port/%_test: $(B)/tests/unit/dataplane/port/%_test.o $(B)/dataplane/port/%.o $(LIBS)
	@mkdir -p $(@D) && $(call link,$< $(word 2,$^)) -lcmocka -o $@
$(B)/replay/%: $(B)/tests/fuzz/fuzz_%.o $(B)/tests/fuzz/replay.o $(LIBS)
	@mkdir -p $(@D) && $(call link,$< $(B)/tests/fuzz/replay.o) -o $@
$(B)/fuzzers/%: $(B)/tests/fuzz/fuzz_%.o $(LIBS)
	@mkdir -p $(@D) && $(call link,$<) -o $@
$(B)/bench-micro/%: $(B)/bench/micro/%.o $(LIBS)
	@mkdir -p $(@D) && $(call link,$<) -o $@
$(B)/callgrind_wait.so: bench/callgrind_wait.c
	@$(CC) -std=gnu17 -O2 -Wall -Wextra -shared -fPIC $< -o $@
$(B)/bench-tcp/pump: $(call obj,$(wildcard bench/tcp/*.c)) $(LIBS)
	@mkdir -p $(@D) && $(call link,$(call obj,$(wildcard bench/tcp/*.c))) -ldl -o $@
$(B)/test-dpdk/devices: $(call obj,tests/dpdk/devices.c) $(LIBS)
	@mkdir -p $(@D) && $(call link,$<) -ldl -o $@
$(B)/sim: $(call obj,$(SIM_C)) $(LIBS)
	@$(call link,$(call obj,$(SIM_C))) -o $@
$(B)/netsim: $(call obj,$(NETSIM_C)) $(LIBS)
	@$(call link,$(call obj,$(NETSIM_C))) -o $@

BUDGETS   = $(foreach b,$(BUDGET),"$(PY) tools/budget.py tests/budgets/$(b).txt $(B)/bench-micro/bench_$(b)")
REPLAYS   = $(foreach f,$(FUZZ),"$(B)/replay/$(f) tests/fuzz/corpus/$(f)")

unit: $(UNIT) $(REPLAY) ## run the unit tests and the saved fuzz inputs (T=name: only those whose path holds it)
	@$(TESTRUN) --stage unit $(UNIT) --stage replay $(REPLAYS)

test: $(PROGRAMS) tests-build ## everything that needs no root: unit, replay, budgets, simulator, real clients
	@$(TESTRUN) --stage unit $(UNIT) --stage replay $(REPLAYS) --stage budget $(BUDGETS) \
	  --stage sim $(if $(SIM),"$(SIM) --seeds=$(TEST_SEEDS) --canary" "$(SIM) --admin --canary") $(if $(NETSIM),"$(NETSIM) --seeds 2000" "$(NETSIM) --systematic") --stage system $(SYSTEM)

DIFFERENTIAL := c_admin c_errors c_groups c_migration c_next_groups c_tools c_versions
test-kafka: ## the differential scripts against a live Apache Kafka: golden/ is what it answers (CAPTURE=1: write it anew)
	@SYSTEM_KAFKA=1 $(PY) tests/system/run $(DIFFERENTIAL)

sim: $(SIM) ## whole broker in simulation: SEEDS=n (20), or SEED=n to repeat one
	@$(if $(SIM),$(SIM_RUN),echo "no simulator here: tests/sim has no .c file"; exit 1)

SOAK_SEEDS ?= 1000000
soak: $(NETSIM) $(SIM) ## a million seeds of the TCP engine, 10,000 of the broker in one run, a fourth of these over it, with every planted bug; half an hour on one core; then make power
	@nice $(NETSIM) --systematic && nice $(NETSIM) --seeds $(SOAK_SEEDS) && nice $(SIM) --seeds 10000 --canary && nice $(SIM) --admin --canary
	@nice $(MAKE) power

CUTS     ?= 200
power: $(PROGRAMS) ## power cuts of ext4 and XFS in a QEMU guest on a disk of ours (CUTS=200, 8 s each; ARGS=--canary: planted bugs)
	@tests/power/run --cuts $(CUTS) $(ARGS)

asan: ## unit tests and 20 simulator seeds with AddressSanitizer and UBSan
	@$(MAKE) MODE=asan unit T='$(T)' && $(if $(SIM),$(MAKE) MODE=asan sim SEEDS=20,true) \
	  && echo "asan: clean" || { echo "asan: failed; again: make MODE=asan unit T=<name>"; exit 1; }

tsan: ## unit tests with ThreadSanitizer
	@$(MAKE) MODE=tsan unit T='$(T)' \
	  && echo "tsan: clean" || { echo "tsan: failed; again: make MODE=tsan unit T=<name>"; exit 1; }

F        ?=
MINUTES  ?= 1
FUZZ_S   ?= $(shell echo $$(($(MINUTES) * 60)))
fuzz: ## fuzz every target (F=name,name: these) for MINUTES=1 each with libFuzzer, ASan and UBSan
	@$(if $(FUZZ),$(MAKE) MODE=fuzz fuzzers && $(PY) tools/fuzz.py build/fuzz/fuzzers '$(F)' $(FUZZ_S),\
	  echo "fuzz: no target here (tests/fuzz/fuzz_*.c)")
fuzzers: $(FUZZ:%=$(B)/fuzzers/%)

SCALE    ?= 1
BENCH_SCALE = $(if $(filter command%,$(origin SCALE)),$(SCALE),0.5) # its parts repeat; 1 takes nine minutes or more
FULL     ?=
bench: $(BENCH) $(PROGRAMS) $(B)/callgrind_wait.so ## our score card, figures beside their floors (RECORD=1 keeps it; SCALE=0.5, 0.2 quick, FILL=quarter: restart on a full disk)
	@$(PY) bench/scorecard.py --scale $(BENCH_SCALE) $(if $(filter 1,$(RECORD)),--record) $(if $(FILL),--fill $(FILL)) $(ARGS)
bench-record: ## the score card, kept in bench/results.jsonl: the next one has something to be compared with
	@$(MAKE) bench RECORD=1
bench-micro: $(BENCH) ## nanoseconds per operation of single parts
	@for b in $(BENCH); do echo "$$b"; $$b || exit 1; done
bench-kafka: $(PROGRAMS) ## beside Apache Kafka, < 40 min (FULL=1 everything, SCALE=0.1 quick look, ARGS=...)
	@$(PY) bench/peers/bench_kafka.py --scale $(SCALE) $(if $(filter 1,$(FULL)),--full) $(ARGS)
bench-tcp: $(B)/bench-tcp/pump $(B)/bench-micro/bench_net $(B)/bench-micro/bench_net_scale $(PROGRAMS) $(PORTS_SO) ## our TCP beside the kernel's and beside testpmd, < 5 min, root (ARGS=--only name)
	@$(PY) bench/tcp/bench_tcp.py $(ARGS)
A        ?= -2
bench-diff: ## two score cards: A=, B= a commit, a number of bench/results.jsonl (-1: last) or a JSON file
	@$(PY) tools/benchdiff.py bench/results.jsonl '$(A)' '$(strip $(NEW))'

coverage: ## lines reached by the unit tests, per folder and file (gcov)
	@$(MAKE) MODE=coverage coverage-run
coverage-run: $(UNIT) $(REPLAY)
	@find $(B) -name '*.gcda' -delete
	@$(TESTRUN) --stage unit $(UNIT) --stage replay $(REPLAYS) | tail -1
	@$(PY) tools/coverage.py $(B)

# ── checks of the code's own rules ───────────────────────────────────────────────────────────────────────
HEADERS  := $(shell find include dataplane storage control tests bench tools -name '*.h' 2>/dev/null)
HEADER_OK := $(HEADERS:%=$(B)/headers/%.ok)

$(B)/headers/%.ok: % $(FLAGS) | $(GEN_H)
	@mkdir -p $(@D)
	@echo '#include "$*"' | $(CC) $(CFLAGS) -DMILLRACE_SLOW_CHECKS -iquote . -iquote $(dir $*) $(IQUOTES) -fsyntax-only \
	  -MMD -MP -MF $@.d -MT $@ -x c - && touch $@

headers: $(HEADER_OK) ## every header compiles alone
	@echo "headers: $(words $(HEADERS)) compile alone"

lint: headers $(LIBS) ## layers, rules of style, map of the code, every header alone, cppcheck
	@$(PY) tools/layers.py $(B) && $(PY) tools/tidy.py && $(PY) tools/mapcheck.py && $(PY) tools/ledger.py && $(PY) tools/cppcheck.py $(B) \
	  && echo "lint: clean"

format: ## clang-format what you changed since main, in place (ALL=1: the whole tree)
	@files=$$({ git diff --name-only --diff-filter=d $$(git merge-base HEAD main 2>/dev/null || echo HEAD); \
	  git ls-files -o --exclude-standard; $(if $(ALL),git ls-files;) } | grep -E '\.[ch]$$' | sort -u); \
	  [ -z "$$files" ] || clang-format-14 -i $$files; echo "format: $$(echo $$files | wc -w) files"

schema: ## compare our schemas with their digests, and with Kafka's own: KAFKA_SCHEMA=dir
	@$(PY) tools/kcheck.py '$(KAFKA_SCHEMA)'
digests: ## after a schema was changed on purpose: write its digests anew
	@$(PY) tools/kgen.py --digests dataplane/proto/schema > $(B)/digests.txt && \
	  mv $(B)/digests.txt dataplane/proto/digests.txt && git diff --stat dataplane/proto/digests.txt

budget: $(BUDGETED) ## instructions per operation against tests/budgets (callgrind)
	@$(TESTRUN) --stage budget $(BUDGETS)

check: ## before each commit: lint, unit, asan, 20 simulator seeds, 20 s of fuzzing per target
	@$(MAKE) lint && $(MAKE) unit && $(MAKE) asan && $(if $(SIM),$(MAKE) sim SEEDS=20,true) \
	  && $(MAKE) fuzz FUZZ_S=20 && echo "check: passed"

# ── running ──────────────────────────────────────────────────────────────────────────────────────────────
run: $(B)/millraced ## the broker in the foreground on 127.0.0.1:9092, data in ./data (ARGS=... for more)
	@exec $(B)/millraced --hint $(ARGS)

run-dpdk: $(B)/millraced $(PORTS_SO) ## root: the broker on its own TCP (veth; KIND=tap, af_xdp, memif; PORT=0000:xx:yy.z ADDRESS=a/n a NIC)
	@BROKER=$(B)/millraced tools/run_dpdk $(ARGS)
test-dpdk: $(PROGRAMS) $(PORTS_SO) $(B)/test-dpdk/devices ## root: real clients over af_packet, tap and af_xdp, also with loss, duplicates and reordering
	@$(PY) tools/ledger.py && { $(PY) tests/dpdk/run $(T) || [ $$? -eq 77 ]; }
test-pci: $(PROGRAMS) $(PORTS_SO) ## the broker on e1000e and virtio-net by vfio-pci, log on NVMe, in a QEMU guest; half a minute
	@tests/pci/run

help: ## this list
	@grep -hE '^[a-z][a-z-]*:.*## ' Makefile | awk -F':.*## ' '{printf "  make %-10s %s\n",$$1,$$2}'

-include $(shell find $(wildcard $(addprefix $(B)/,dataplane storage control tests tools bench gen headers)) \
                 -name '*.d' 2>/dev/null)

.PHONY: run-dpdk test-dpdk test-pci power all unit tests-build test test-kafka sim soak asan tsan fuzz fuzzers bench bench-record bench-micro bench-tcp bench-kafka bench-diff coverage coverage-run headers lint format schema digests budget check run help
.SECONDARY:
.DELETE_ON_ERROR:
