# disinto. `make` builds the three programs into bin/; README.md says the rest.
#   V=1 shows commands    CC=clang    RELEASE=0 for -O0    DESTDIR= PREFIX=/usr/local for install

CC ?= gcc
PREFIX ?= /usr/local
BUILD ?= build/$(notdir $(CC))

PKGS = libgit2 libcurl jansson libsodium yaml-0.1 libmicrohttpd
# Packages that building, testing and the demo need; `make deps` installs what is missing.
DEPS = build-essential pkg-config git libgit2-dev libcurl4-openssl-dev libjansson-dev libsodium-dev libyaml-dev \
       libmicrohttpd-dev docker.io iptables busybox-static jq curl ca-certificates
TEST_DEPS = libcmocka-dev age lighttpd openssh-server openssh-client clang libclang-rt-14-dev clang-format clang-tidy \
            cppcheck shellcheck

Q = $(if $(V),,@)
say = $(if $(V),,@printf '  %-7s %s\n' $(1) $(2);)

WARN = -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla -Werror
HARDEN = -fPIE -fstack-protector-strong -fstack-clash-protection
CFLAGS ?= -O2 -g -D_FORTIFY_SOURCE=2
ALL_CFLAGS = -std=gnu17 -I. -D_GNU_SOURCE $(WARN) $(HARDEN) -pthread $(shell pkg-config --cflags $(PKGS)) -MMD -MP $(CFLAGS)
LINK = -pie -Wl,-z,relro,-z,now,-z,noexecstack -pthread
LIBS = $(shell pkg-config --libs $(PKGS))
# The runner is one static program: jansson and sodium only.
RUNNER_LIBS = -l:libjansson.a -l:libsodium.a

# lib/ and vault/ that the static runner links (no git, curl or YAML).
RUNNER_SRC = $(wildcard runner/*.c) lib/err.c lib/buf.c lib/json.c lib/text.c lib/file.c vault/name.c vault/action.c vault/formula_json.c \
             vault/frame.c vault/redact.c
LIB_SRC = $(wildcard lib/*.c vault/*.c compose/*.c)
DISPATCHER_SRC = $(wildcard dispatcher/*.c dispatcher/*/*.c)
CLI_SRC = $(wildcard cli/*.c)
obj = $(patsubst %.c,$(BUILD)/%.o,$(1))

PROGRAMS = bin/disinto bin/disinto-dispatcher bin/disinto-runner

all: $(PROGRAMS)

$(BUILD)/%.o: %.c
	$(Q)mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(ALL_CFLAGS) -c -o $@ $<

$(BUILD)/libdisinto.a: $(call obj,$(LIB_SRC))
	$(call say,AR,$@)rm -f $@ && ar rcs $@ $^

bin/disinto: $(call obj,$(CLI_SRC)) $(BUILD)/libdisinto.a
	$(call say,LINK,$@)$(CC) $(CFLAGS) $(LINK) -o $@ $^ $(LIBS)

bin/disinto-dispatcher: $(call obj,$(DISPATCHER_SRC)) $(BUILD)/libdisinto.a
	$(call say,LINK,$@)$(CC) $(CFLAGS) $(LINK) -o $@ $^ $(LIBS)

bin/disinto-runner: $(call obj,$(RUNNER_SRC))
	$(call say,LINK,$@)$(CC) $(CFLAGS) -static-pie -Wl,-z,relro,-z,now,-s -o $@ $^ $(RUNNER_LIBS)

clean:
	$(Q)rm -rf build $(PROGRAMS) compile_commands.json

.PHONY: all clean
-include $(shell find build -name '*.d' 2>/dev/null)
