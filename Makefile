# millrace - the only build file. `make help` lists what it can do; tools/setup installs what it needs.
#
# Every mode has a directory of its own (build, build/asan, build/tsan, ...), so nothing ever needs a clean.
# A folder is an archive; tests link archives, so what must not depend on something does not link with it.

MODE    ?=
B       := build$(if $(MODE),/$(MODE))
CC      ?= gcc
PY      ?= python3

CFLAGS  := -std=gnu17 -O2 -g -march=x86-64-v2 -fno-common -fno-strict-aliasing -fno-omit-frame-pointer \
           -Wall -Wextra -Wshadow -Wmissing-prototypes -Wvla -Wundef -Wcast-align=strict \
           -Wframe-larger-than=8192 -Werror -include assert.h -D_GNU_SOURCE
CFLAGS  += -iquote include -iquote build/gen $(MODE_CFLAGS)
LDFLAGS := -pthread $(MODE_LDFLAGS)
LDLIBS  := -luring -lisal -llz4 -lzstd -lsnappy -lz -lmicrohttpd -lm

ifeq ($(MODE),asan)
MODE_CFLAGS  := -fsanitize=address,undefined -fno-sanitize-recover=undefined -DMILLRACE_SLOW_CHECKS
MODE_LDFLAGS := -fsanitize=address,undefined
endif
ifeq ($(MODE),tsan)
MODE_CFLAGS  := -fsanitize=thread -DMILLRACE_SLOW_CHECKS
MODE_LDFLAGS := -fsanitize=thread
endif
ifeq ($(MODE),coverage)
MODE_CFLAGS  := --coverage -O0
MODE_LDFLAGS := --coverage
endif

# ── sources ──────────────────────────────────────────────────────────────────────────────────────────────
FOLDERS   := dataplane/proto dataplane/conn dataplane/net dataplane/kafka dataplane storage control
PROGRAM_C := dataplane/main.c
GEN       := build/gen/messages.h build/gen/messages.c
SCHEMAS   := $(wildcard dataplane/proto/schema/*.k)

lib        = $(B)/lib$(subst /,_,$(1)).a
LIBS      := $(foreach f,$(FOLDERS),$(if $(wildcard $(f)/*.c),$(call lib,$(f)))) $(if $(SCHEMAS),$(B)/libgen.a)
obj        = $(patsubst %.c,$(B)/%.o,$(1))

all: $(B)/millraced $(B)/millrace tests-build ## build the broker, the command line and the unit tests

define folder_rules
$(call lib,$(1)): $(call obj,$(filter-out $(PROGRAM_C),$(wildcard $(1)/*.c)))
	@mkdir -p $$(@D) && rm -f $$@ && ar rcs $$@ $$^
endef
$(foreach f,$(FOLDERS),$(eval $(call folder_rules,$(f))))

$(B)/libgen.a: $(B)/gen/messages.o
	@rm -f $@ && ar rcs $@ $^
$(B)/gen/messages.o: build/gen/messages.c
	@mkdir -p $(@D) && $(CC) $(CFLAGS) -iquote dataplane/proto -MMD -MP -c $< -o $@
build/gen/messages.c build/gen/messages.h &: $(SCHEMAS) $(wildcard tools/kgen.py)
	@mkdir -p build/gen && $(PY) tools/kgen.py dataplane/proto/schema build/gen

$(B)/%.o: %.c | $(if $(SCHEMAS),$(GEN))
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS) -iquote $(<D) -MMD -MP -c $< -o $@

link = $(CC) $(LDFLAGS) $(1) -Wl,--start-group $(LIBS) -Wl,--end-group $(LDLIBS) -o $(2)

$(B)/millraced: $(call obj,$(wildcard $(PROGRAM_C))) $(LIBS)
	@$(call link,$(call obj,$(PROGRAM_C)),$@)

# ── unit tests: tests/unit/<path>_test.c, one program each ──────────────────────────────────────────────
UNIT_C   := $(shell find tests/unit -name '*_test.c' 2>/dev/null)
UNIT     := $(patsubst tests/unit/%.c,$(B)/unit/%,$(UNIT_C))

tests-build: $(UNIT)
$(B)/unit/%: tests/unit/%.c $(LIBS) | $(if $(SCHEMAS),$(GEN))
	@mkdir -p $(@D)
	@$(CC) $(CFLAGS) -DMILLRACE_SLOW_CHECKS $(foreach f,$(FOLDERS) tests,-iquote $(f)) -MMD -MP -MF $@.d \
	  $(LDFLAGS) $< -Wl,--start-group $(LIBS) -Wl,--end-group $(LDLIBS) -lcmocka -o $@

unit: tests-build ## run the unit tests (T=name: only those whose path holds it)
	@for t in $(filter %$(T)%,$(UNIT)) $(foreach u,$(UNIT),$(if $(findstring $(T),$(u)),$(u))); do echo $$t; done | sort -u | \
	  xargs -r -n1 -P2 sh -c 'timeout 120 $$0 > $$0.log 2>&1 || { cat $$0.log; echo "FAILED $$0"; exit 1; }'
	@cat $(addsuffix .log,$(UNIT)) 2>/dev/null | grep -E '^\[ +(PASSED|FAILED) +\]' | \
	  awk '/PASSED/{p+=$$4} /FAILED/{f+=$$4} END{printf "%d passed, %d failed\n",p,f; exit f>0}'

-include $(shell find $(B) -name '*.d' 2>/dev/null)

help: ## this list
	@grep -hE '^[a-z][a-z-]*:.*## ' Makefile | awk -F':.*## ' '{printf "  make %-14s %s\n",$$1,$$2}'

.PHONY: all unit tests-build help
