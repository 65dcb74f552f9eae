# disinto. `make` builds the three programs into bin/; README.md says the rest.
#   V=1 shows commands    CC=clang    RELEASE=0 for -O0    DESTDIR= PREFIX=/usr/local for install
#   make deps demo images test torture lint bench install clean compile_commands.json     make image-edge (-agents, -runner): one of the images
#   make check-unit T=json     one unit test (tests/unit/test_json.c)     make fuzz T=frame SECONDS=60     one fuzz target
#   BUILD=dir keeps objects elsewhere

ifeq ($(origin CC),default)
CC = gcc
endif
CLANG ?= clang
PREFIX ?= /usr/local
RELEASE ?= 1
BUILD ?= build/$(notdir $(CC))$(if $(filter 0,$(RELEASE)),-debug)
SECONDS ?= 20

PKGS = libgit2 libcurl jansson libsodium yaml-0.1 libmicrohttpd
# Packages that building and the demo need, and those that testing needs besides; `make deps` installs what is missing.
DEPS = build-essential pkg-config git libgit2-dev libcurl4-openssl-dev libjansson-dev libsodium-dev libyaml-dev \
       libmicrohttpd-dev docker.io iptables iproute2 procps busybox-static jq curl ca-certificates
TEST_DEPS = libcmocka-dev zlib1g-dev age lighttpd openssh-server openssh-client clang libclang-rt-14-dev clang-format clang-tidy \
            shellcheck mmdebstrap nodejs npm docker-registry musl-tools \
            e2fsprogs chromium openssl docker-compose caddy python3-jsonschema python3-yaml scdoc mandoc

Q = $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' $(1) $(2);)

WARN = -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror
HARDEN = -fPIE -fstack-protector-strong -fstack-clash-protection
CFLAGS ?= $(if $(filter 0,$(RELEASE)),-O0 -g,-O2 -g -D_FORTIFY_SOURCE=2)
PKG_CFLAGS := $(shell pkg-config --cflags $(PKGS) 2>/dev/null)
LIBS := $(shell pkg-config --libs $(PKGS) 2>/dev/null)
BASE_CFLAGS = -std=gnu17 -I. -D_GNU_SOURCE $(WARN) -pthread $(PKG_CFLAGS) -MMD -MP
ALL_CFLAGS = $(BASE_CFLAGS) $(HARDEN) $(CFLAGS)
LINK = -pie -Wl,-z,relro,-z,now,-z,noexecstack -pthread
# The runner is one static program: jansson and sodium only.
RUNNER_LIBS = -l:libjansson.a -l:libsodium.a

# lib/ and vault/ that the static runner links (no git, curl or YAML).
RUNNER_SRC = $(wildcard runner/*.c) lib/err.c lib/buf.c lib/json.c lib/json_reader.c lib/text.c lib/file.c vault/name.c vault/check.c vault/action.c vault/formula_json.c \
             vault/frame.c $(wildcard vault/redact/*.c)
LIB_SRC = $(wildcard lib/*.c vault/*.c vault/*/*.c compose/*.c)
DISPATCHER_SRC = $(wildcard dispatcher/*.c dispatcher/*/*.c)
CLI_SRC = $(wildcard cli/*.c)
obj = $(patsubst %.c,$(BUILD)/%.o,$(1))

PROGRAMS = bin/disinto bin/disinto-dispatcher bin/disinto-runner

all: $(PROGRAMS)

# bin/ holds what was built last, with whatever compiler.
$(PROGRAMS): build/made-with
build/made-with: always
	$(Q)mkdir -p build && echo '$(BUILD)' | cmp -s - $@ || echo '$(BUILD)' >$@

$(BUILD)/%.o: %.c
	$(Q)mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(ALL_CFLAGS) -c -o $@ $<

# The dashboard's files and the templates stand in the programs as they are.
$(BUILD)/compose/model.o $(BUILD)/san/compose/model.o $(BUILD)/fuzz/compose/model.o: templates/compose.yaml templates/Caddyfile templates/env.example
$(BUILD)/dispatcher/web/page.o $(BUILD)/san/dispatcher/web/page.o: $(wildcard dispatcher/web/page/*) docs/openapi.yaml
$(BUILD)/cli/templates.o $(BUILD)/san/cli/templates.o: $(wildcard templates/*.yaml templates/*/*)

$(BUILD)/libdisinto.a: $(call obj,$(LIB_SRC))
	$(call say,AR,$@)rm -f $@ && ar rcs $@ $^

bin/disinto: $(call obj,$(CLI_SRC)) $(BUILD)/libdisinto.a
	$(call say,LINK,$@)$(CC) $(CFLAGS) $(LINK) -o $@ $(filter %.o %.a,$^) $(LIBS)

bin/disinto-dispatcher: $(call obj,$(DISPATCHER_SRC)) $(BUILD)/libdisinto.a
	$(call say,LINK,$@)$(CC) $(CFLAGS) $(LINK) -o $@ $(filter %.o %.a,$^) $(LIBS)

bin/disinto-runner: $(call obj,$(RUNNER_SRC))
	$(call say,LINK,$@)$(CC) $(CFLAGS) -static-pie -Wl,-z,relro,-z,now,-s -o $@ $(filter %.o %.a,$^) $(RUNNER_LIBS)

# Unit tests and the simulator: one program for each tests/unit/test_*.c, under sanitizers, linked with what the programs are made of but
# their main.c. test_cli_* gets cli/, test_runner_* runner/, all others dispatcher/; what tests share is in support.a.
SAN = $(BUILD)/san
SAN_CFLAGS = $(BASE_CFLAGS) -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all
UNIT_TESTS = $(patsubst tests/unit/%.c,$(SAN)/%,$(wildcard tests/unit/test_*.c))
parts = $(patsubst %.c,$(1)/%.o,$(filter-out %/main.c,$(2)))

$(SAN)/%.o: %.c
	$(Q)mkdir -p $(@D)
	$(call say,CC,'$< (san)')$(CC) $(SAN_CFLAGS) -c -o $@ $<

$(SAN)/lib.a: $(call parts,$(SAN),$(LIB_SRC))
$(SAN)/dispatcher.a: $(call parts,$(SAN),$(DISPATCHER_SRC))
$(SAN)/cli.a: $(call parts,$(SAN),$(CLI_SRC))
$(SAN)/runner.a: $(call parts,$(SAN),$(wildcard runner/*.c))
$(SAN)/support.a: $(call parts,$(SAN),$(filter-out tests/unit/test_%,$(wildcard tests/*.c tests/unit/*.c)))
%.a:
	$(Q)mkdir -p $(@D)
	$(call say,AR,$@)rm -f $@ && ar rcs $@ $^

link_san = $(call say,LINK,$@)$(CC) $(SAN_CFLAGS) -o $@ $^ -lcmocka -lz $(LIBS)
$(SAN)/test_cli_%: $(SAN)/tests/unit/test_cli_%.o $(SAN)/support.a $(SAN)/cli.a $(SAN)/lib.a
	$(link_san)
$(SAN)/test_runner_%: $(SAN)/tests/unit/test_runner_%.o $(SAN)/support.a $(SAN)/runner.a $(SAN)/lib.a | bin/disinto-runner $(SAN)/disinto-runner
	$(link_san)
$(SAN)/runner/%.o: SAN_CFLAGS += -DDISINTO_TEST
$(SAN)/disinto-runner: $(SAN)/runner/main.o $(SAN)/runner.a $(SAN)/lib.a
	$(link_san)
$(SAN)/test_engine $(SAN)/test_engine_faults: | bin/disinto-runner
# A dispatcher for the tests that need it to be impatient (DISINTO_TEST in dispatcher/pulse.c).
$(SAN)/dispatcher/%.o: SAN_CFLAGS += -DDISINTO_TEST
$(SAN)/bin/disinto-dispatcher: $(SAN)/dispatcher/main.o $(SAN)/dispatcher.a $(SAN)/lib.a | bin/disinto-runner
	$(Q)mkdir -p $(@D) && ln -sf $(CURDIR)/bin/disinto-runner $(@D)/
	$(call say,LINK,$@)$(CC) $(SAN_CFLAGS) -o $@ $^ $(LIBS)
$(SAN)/test_%: $(SAN)/tests/unit/test_%.o $(SAN)/support.a $(SAN)/dispatcher.a $(SAN)/lib.a
	$(link_san)
# Servers that the end-to-end tests talk to.
$(SAN)/forge_server: $(SAN)/tests/servers/forge_server.o $(SAN)/support.a $(SAN)/lib.a
	$(link_san)
$(SAN)/sim: $(patsubst %.c,$(SAN)/%.o,$(wildcard tests/sim/*.c)) $(SAN)/dispatcher.a $(SAN)/lib.a
	$(link_san)

# The simulator without sanitizers, for many seeds: SEEDS stories from FROM on, and 10000 actions over 8 dispatchers.
SEEDS ?= 1000000
FROM ?= 1
$(BUILD)/sim: $(call obj,$(wildcard tests/sim/*.c)) $(call obj,$(filter-out %/main.c,$(DISPATCHER_SRC))) $(BUILD)/libdisinto.a
	$(call say,LINK,$@)$(CC) $(CFLAGS) $(LINK) -o $@ $(filter %.o %.a,$^) $(LIBS)
sim: $(BUILD)/sim
	$(Q)$< --many 10000
	$(Q)$< --seeds $(SEEDS) --from $(FROM)
# Bugs that the simulator must find.
mutants: $(BUILD)/sim
	$(Q)CC='$(CC)' CFLAGS='$(ALL_CFLAGS)' LINK='$(LINK)' LIBS='$(LIBS)' tests/sim/mutants.sh $(BUILD)

# Whether the tests of docs/threats.md fail where a guard is missing; T=threat_05 for those alone.
guards: programs-for-guards
	$(Q)SAN=$(SAN) tests/guards/run $(T)
programs-for-guards: all $(UNIT_TESTS)

check-unit: $(if $(T),$(SAN)/test_$(T),$(UNIT_TESTS))
	$(Q)code=0; for t in $^; do $$t || code=1; done; exit $$code

# The official age vectors, of the folder AGE_TESTKIT where it is set: one line "N passed, N failed, N skipped".
test-age: $(SAN)/test_age
	$(Q)$< testkit

# The dispatcher that the fault harness ends at its named points, and what it puts in the way of it (tests/torture/run).
TORTURE = $(BUILD)/torture
$(TORTURE)/%.o: BASE_CFLAGS += -DDISINTO_CRASH
$(TORTURE)/%.o: %.c
	$(Q)mkdir -p $(@D)
	$(call say,CC,'$< (torture)')$(CC) $(ALL_CFLAGS) -c -o $@ $<
$(TORTURE)/disinto-dispatcher: $(patsubst %.c,$(TORTURE)/%.o,$(DISPATCHER_SRC) $(LIB_SRC) tests/torture/crash.c) bin/disinto-runner
	$(call say,LINK,$@)$(CC) $(CFLAGS) $(LINK) -o $@ $(filter %.o,$^) $(LIBS)
	$(Q)ln -sf $(CURDIR)/bin/disinto-runner $(@D)/disinto-runner
# A dispatcher whose runner stands beside it, and fails where the image says so.
$(TORTURE)/failing/disinto-dispatcher: $(TORTURE)/disinto-dispatcher $(TORTURE)/failing/disinto-runner
	$(Q)ln -f $< $@
WRAP = malloc calloc realloc write open openat fork pipe2
$(TORTURE)/failing/disinto-runner: $(call obj,$(RUNNER_SRC)) $(TORTURE)/tests/torture/runner_fail.o
	$(Q)mkdir -p $(@D)
	$(call say,LINK,$@)$(CC) $(CFLAGS) -static-pie -Wl,-z,relro,-z,now,-s $(WRAP:%=-Wl,--wrap=%) -o $@ $^ $(RUNNER_LIBS)
$(TORTURE)/faulty: $(TORTURE)/tests/torture/faulty.o
	$(call say,LINK,$@)$(CC) $(CFLAGS) $(LINK) -o $@ $^
$(TORTURE)/shim.so: tests/torture/shim.c
	$(Q)mkdir -p $(@D)
	$(call say,LINK,$@)$(CC) $(BASE_CFLAGS) $(CFLAGS) -U_FORTIFY_SOURCE -fPIC -shared -o $@ $< -ldl

# Every point and many pairs of points, failing calls, bad servers; hours. It goes on where it stopped; rm -r build/torture-results to begin anew.
torture: test-deps
	$(again) programs-for-torture
	$(Q)tests/torture/run $(TORTURE) build/torture-results
	$(Q)CANARY_RUNS=1000 tests/e2e/canary-many.sh
	$(Q)tests/torture/many
programs-for-torture: all $(TORTURE)/failing/disinto-dispatcher $(TORTURE)/faulty $(TORTURE)/shim.so

# Fuzz targets: LLVMFuzzerTestOneInput in tests/fuzz/fuzz_*.c; seeds, where there are any, in tests/fuzz/seeds/<name>/.
FUZZ = $(BUILD)/fuzz
FUZZ_CFLAGS = $(BASE_CFLAGS) -O1 -g -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
FUZZ_TESTS = $(patsubst tests/fuzz/%.c,$(FUZZ)/%,$(wildcard tests/fuzz/fuzz_*.c))

$(FUZZ)/%.o: %.c
	$(Q)mkdir -p $(@D)
	$(call say,CC,'$< (fuzz)')$(CLANG) $(FUZZ_CFLAGS) -c -o $@ $<

$(FUZZ)/lib.a: $(call parts,$(FUZZ),$(LIB_SRC))
$(FUZZ)/runner.a: $(call parts,$(FUZZ),$(wildcard runner/*.c))
link_fuzz = $(call say,LINK,$@)$(CLANG) $(FUZZ_CFLAGS) -fsanitize=fuzzer,address,undefined -o $@ $^ $(LIBS)
$(FUZZ)/fuzz_runner_%: $(FUZZ)/tests/fuzz/fuzz_runner_%.o $(FUZZ)/runner.a $(FUZZ)/lib.a
	$(link_fuzz)
$(FUZZ)/fuzz_%: $(FUZZ)/tests/fuzz/fuzz_%.o $(FUZZ)/lib.a
	$(link_fuzz)

fuzz: $(if $(T),$(FUZZ)/fuzz_$(T),$(FUZZ_TESTS))
	$(Q)for t in $^; do tests/lib/fuzz.sh $$t $(SECONDS) || exit 1; done

# The order of things for people: packages first, then everything else in a second make, which then finds them.
again = $(Q)$(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc))

deps:
	$(Q)tests/lib/deps.sh $(DEPS)
test-deps:
	$(Q)tests/lib/deps.sh $(DEPS) $(TEST_DEPS)

demo: deps
	$(again) all
	$(Q)tests/lib/demo.sh

test: test-deps
	$(again) programs-for-tests
	$(Q)CC=$(CC) SAN=$(SAN) FUZZ=$(FUZZ) TORTURE=$(TORTURE) tests/run
programs-for-tests: programs-for-torture $(UNIT_TESTS) $(FUZZ_TESTS) $(SAN)/sim $(SAN)/bin/disinto-dispatcher \
                    $(SAN)/forge_server

bench: test-deps
	$(again) all $(BUILD)/bare $(BUILD)/redact $(BUILD)/frames $(BUILD)/clock $(BUILD)/load $(BUILD)/polls $(BUILD)/disinto-runner-uncapped
	$(Q)tests/bench/run $(BUILD)/bare
$(BUILD)/bare $(BUILD)/redact $(BUILD)/frames: $(BUILD)/%: $(BUILD)/tests/bench/%.o $(BUILD)/libdisinto.a
	$(call say,LINK,$@)$(CC) $(CFLAGS) $(LINK) -o $@ $^ $(LIBS)

$(BUILD)/polls: $(BUILD)/tests/bench/polls.o $(call obj,$(filter-out %/main.c,$(DISPATCHER_SRC))) $(BUILD)/libdisinto.a
	$(call say,LINK,$@)$(CC) $(CFLAGS) $(LINK) -o $@ $^ $(LIBS)
$(BUILD)/load: $(BUILD)/tests/bench/load.o
	$(call say,LINK,$@)$(CC) $(CFLAGS) $(LINK) -o $@ $^
$(BUILD)/clock: tests/bench/clock.c
	$(call say,LINK,$@)mkdir -p $(@D) && $(CC) $(CFLAGS) -static -o $@ $<
# The runner without the bound on a run's output, for its throughput.
$(BUILD)/disinto-runner-uncapped: $(call obj,$(filter-out runner/output.c,$(RUNNER_SRC))) $(BUILD)/uncapped/runner/output.o
	$(call say,LINK,$@)$(CC) $(CFLAGS) -static-pie -Wl,-z,relro,-z,now,-s -o $@ $^ $(RUNNER_LIBS)
$(BUILD)/uncapped/%.o: %.c
	$(Q)mkdir -p $(@D)
	$(call say,CC,'$< (uncapped)')$(CC) $(ALL_CFLAGS) -DOUTPUT_HEAD=SIZE_MAX -DOUTPUT_HEAD_COST=SIZE_MAX -c -o $@ $<

# The site's images, with what is in bin/ where this machine is the Debian of their base, else compiled in the image. BASE: another base image.  DOCKER_BUILD_FLAGS: more for it.
VERSION = $(shell sed -n 's/^.define DISINTO_VERSION "\(.*\)"/\1/p' vault/version.h)
BASE ?= docker.io/library/debian:bookworm-slim
SAME_DEBIAN = $(shell grep -x VERSION_CODENAME=bookworm /etc/os-release)
docker_build = docker build $(DOCKER_BUILD_FLAGS) --build-arg BASE=$(BASE) $(1) -f templates/$(2)/Dockerfile -t disinto/$(2):$(VERSION) -t disinto/$(2):latest
images:
	$(again) image-edge image-agents image-runner
image-edge: $(if $(SAME_DEBIAN),all)
	$(Q)$(call docker_build,$(if $(SAME_DEBIAN),--build-arg PREBUILT=1),edge) .
image-agents:
	$(Q)$(call docker_build,,agents) .
image-runner:
	$(Q)$(call docker_build,,runner) templates/runner

SOURCES = $(sort $(wildcard *.[ch] */*.[ch] */*/*.[ch]))
lint: test-deps compile_commands.json
	$(Q)tests/lib/lint.sh $(filter-out build/%,$(SOURCES))

compile_commands.json: Makefile $(filter-out build/%,$(SOURCES))
	$(Q){ comma='['; for f in $(filter %.c,$(filter-out build/%,$(SOURCES))); do \
		printf '%s\n{"directory": "%s", "file": "%s", "command": "%s"}' "$$comma" '$(CURDIR)' "$$f" \
			'$(CC) $(filter-out -MMD -MP,$(ALL_CFLAGS)) -c '"$$f"; comma=,; done; printf '\n]\n'; } >$@

install: all
	install -d $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/share/doc/disinto/docs
	install -m 0755 $(PROGRAMS) $(DESTDIR)$(PREFIX)/bin
	install -m 0644 README.md LICENSE $(DESTDIR)$(PREFIX)/share/doc/disinto
	install -m 0644 $(wildcard docs/*.md docs/*.yaml) $(DESTDIR)$(PREFIX)/share/doc/disinto/docs
	install -D -m 0644 cli/completion.bash $(DESTDIR)$(PREFIX)/share/bash-completion/completions/disinto
	ln -sf disinto $(DESTDIR)$(PREFIX)/share/bash-completion/completions/disinto-dispatcher
ifeq ($(shell command -v scdoc),)
	@echo 'the manual pages are left out: scdoc is missing (apt-get install scdoc)'
else
	$(Q)docs/man/make.sh build/man
	install -d $(DESTDIR)$(PREFIX)/share/man/man1 $(DESTDIR)$(PREFIX)/share/man/man5
	install -m 0644 build/man/*.1 $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 0644 build/man/*.5 $(DESTDIR)$(PREFIX)/share/man/man5
endif

# The manual pages alone, in build/man; scdoc makes them.
man: all
	$(Q)docs/man/make.sh build/man

clean:
	$(Q)rm -rf build $(PROGRAMS) compile_commands.json

.PHONY: all always clean sim mutants guards programs-for-guards check-unit test-age fuzz deps test-deps demo images image-edge image-agents image-runner test torture programs-for-tests programs-for-torture bench lint install man
.PRECIOUS: $(SAN)/%.o $(FUZZ)/%.o
-include $(shell find build $(BUILD) -name '*.d' 2>/dev/null)
