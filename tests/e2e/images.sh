#!/bin/bash
# Any image can be a runner image: one with nothing but busybox, one with musl, Debian, and one whose own wishes are hostile.
. "$(dirname "$0")/lib.sh"

engine_start

# A file system of an image from what stands in $WORK/root, with further instructions of a Dockerfile.
image() { # NAME [INSTRUCTION…]
	local name=$1
	shift
	printf '%s\n' 'FROM scratch' 'COPY root /' "$@" >"$WORK/Dockerfile"
	tar -C "$WORK" -c Dockerfile root | DOCKER_BUILDKIT=0 docker build -q -t "$name" - >/dev/null || bail "no image $name"
	rm -rf "$WORK/root"
}
busybox_root() { # with the applets that the tests use
	mkdir -p "$WORK/root/bin"
	cp /bin/busybox "$WORK/root/bin/"
	for applet in sh cat id stat mkdir grep wc sed touch sleep ls test printf tr; do ln -s busybox "$WORK/root/bin/$applet"; done
}

# What every image has to give, said by the step itself. Names of users need a libc that asks for them: busybox here is static.
common='steps:
  - id: first
    run: |
      echo "in $(cat /proc/self/cgroup | wc -c | grep -c .) $PWD $HOME $(id -u):$(id -g)"
      test "$(cat /run/secrets/TOKEN)" = "$TOKEN" && echo "secret $TOKEN"
      touch /task/own /tmp/own
      touch /own 2>/dev/null || echo "root is read-only"
      mkdir -p /task/artifacts && echo kept >/task/artifacts/kept
      echo "answer=42" >>"$DISINTO_OUTPUT"
  - id: second
    run: |
      test -e /task/own && echo "second $INPUT_ANSWER"
'
want='in 1 /task /task 10001:10001|secret [redacted:TOKEN]|root is read-only|second 42|'
runs_in() { # NAME: of formula and action; the image is in the formula
	finished "$1"
	is "$1: it succeeds" "$(field "$1" '[.outcome, .reason, .exit_code] | @json')" '["succeeded",null,0]'
	is "$1: each step as it should" "$(run_log "$1" | tr '\n' '|')" "${2:-$want}"
	is "$1: outputs and artifacts come out" "$(field "$1" '[.outputs.answer, .artifacts[0].name] | @json')" '["42","kept"]'
}

site path <<<'agents: {stub: [stub-agent]}'
secret TOKEN 'some secret value'
dispatcher_start

# Nothing but one static program: no /etc, no /tmp, no /var, no name for any user.
busybox_root
image tiny:1
formula tiny <<<"image: tiny:1
$common"
action tiny tiny '{"secrets": ["TOKEN"]}'
land
runs_in tiny

# A dynamic program of musl's, which asks for the name of its user as ssh does.
busybox_root
mkdir -p "$WORK/root/lib" "$WORK/root/etc"
echo 'root:x:0:0::/root:/bin/sh' >"$WORK/root/etc/passwd" # musl asks nobody where there is no such file
cat >"$WORK/my-name.c" <<-'EOT'
	#include <pwd.h>
	#include <stdio.h>
	#include <unistd.h>

	int main(void)
	{
		struct passwd *p = getpwuid(getuid());
		printf("%s %s\n", p ? p->pw_name : "nobody knows", p ? p->pw_dir : "");
		return 0;
	}
EOT
musl-gcc -o "$WORK/root/bin/my-name" "$WORK/my-name.c" || bail "no musl"
cp -L /lib/ld-musl-x86_64.so.1 "$WORK/root/lib/" 2>/dev/null || cp -L "$(echo /lib/ld-musl-*.so.1)" "$WORK/root/lib/"
image musl:1
formula musl <<<"image: musl:1
$common      my-name
"
action musl musl '{"secrets": ["TOKEN"]}'
land
runs_in musl "${want}disinto /task|"

# An image without a shell can't run steps, and says so before any secret is decrypted.
mkdir -p "$WORK/root/bin"
cp /bin/busybox "$WORK/root/bin/true"
image shell-less:1
formula shell-less <<<"image: shell-less:1
$common"
action shell-less shell-less '{"secrets": ["TOKEN"]}'
land
finished shell-less
is "no shell: refused" "$(field shell-less .outcome)" refused
like "no shell: it is named" "$(field shell-less .reason)" '/bin/sh'

# Nor is one that lacks what the action counts on. guard: check_tools in runner/check.c, before `ready`
action tool-less tiny '{"secrets": ["TOKEN"], "tools": ["sh", "clawhub", "git"]}'
land
finished tool-less
is "no tools: refused" "$(field tool-less '[.outcome, .steps] | @json')" '["refused",[]]'
like "no tools: they are named, all of them and no others" "$(field tool-less .reason)" 'lacks tools that the action names: clawhub, git \('
for id in shell-less tool-less; do refute "$id: no secret was decrypted for it" grep -q "secrets decrypted.*id=$id\$" "$LOG"; done
check "the control: where nothing was lacking there was one" grep -q 'secrets decrypted.*id=tiny$' "$LOG"

# Everything that an image may wish for, against us. guard: spec_build in dispatcher/engine/spec.c; PATH alone is the image's
busybox_root
mkdir -p "$WORK/root/evil" "$WORK/root/etc" "$WORK/root/var/run/nscd" "$WORK/root/task" "$WORK/root/tmp" "$WORK/root/run/secrets"
chmod 0777 "$WORK/root/run/secrets" # runc would give these modes to what is mounted there
chmod 0755 "$WORK/root/tmp"
printf 'root:x:0:0::/root:/bin/sh\nevil:x:10001:0:evil:/evil:/evil/sh\n' >"$WORK/root/etc/passwd"
echo 'echo evil was here' >"$WORK/root/evil/env.sh"
echo planted >"$WORK/root/var/run/nscd/socket"
echo planted >"$WORK/root/task/artifacts"
image hostile:1 'ENV LD_PRELOAD=/evil/lib.so' 'ENV PATH=/bin:/evil' 'ENV BASH_ENV=/evil/env.sh' 'ENV ENV=/evil/env.sh' 'ENV HOME=/evil' \
	'ENV INPUT_ANSWER=fake' 'ENV DISINTO_OUTPUT=/evil/out' 'ENV TOKEN=fake' 'ENV IFS=x' 'ENV GIT_ASKPASS=/evil/askpass' \
	'ENTRYPOINT ["/bin/sh", "-c", "echo entrypoint"]' 'CMD ["evil"]' 'USER 12345:0' 'WORKDIR /evil' 'STOPSIGNAL SIGKILL' \
	'HEALTHCHECK --interval=1s CMD touch /tmp/healthcheck' 'VOLUME ["/tmp/cache", "/data", "/task/cache"]' 'EXPOSE 80' \
	'LABEL disinto.dispatcher=other disinto.action=other traefik.enable=true' 'ONBUILD RUN false'
formula hostile <<<"image: hostile:1
network: default
$common      cat /proc/self/environ | tr '\\0' '\\n' | grep -c -e evil -e fake || :
      grep -c -e ' /tmp/cache tmpfs ' -e ' /data tmpfs ' -e ' /task/cache tmpfs ' /proc/mounts
      until [ -e /tmp/open ]; do sleep 0.1; done
"
action hostile hostile '{"secrets": ["TOKEN"]}'
land
check "hostile: it runs to its gate" wait_for log_has hostile '^3$'
container=$(containers hostile | tr -d /)
is "hostile: no volume but the runner's" "$(docker inspect -f '{{range .Mounts}}{{.Type}} {{.Destination}} {{.RW}};{{end}}' "$container")" \
	'volume /disinto false;'
is "hostile: its labels are ours or empty" "$(docker inspect -f '{{json .Config.Labels}}' "$container" |
	jq -r '[.["disinto.action"], .["traefik.enable"]] | @json')" '["hostile",""]'
is "hostile: no port is published" "$(docker inspect -f '{{len .HostConfig.PortBindings}} {{.HostConfig.PublishAllPorts}}' "$container")" '0 false'
sleep 1.5 # longer than the healthcheck's interval
refute "hostile: its healthcheck does not run" docker exec "$container" test -e /tmp/healthcheck
docker exec "$container" touch /tmp/open
# The environment of the step's own shell is clean: only PATH names the image's folder.
runs_in hostile "${want}1|3|"
is "hostile: nothing of it stays" "$(docker volume ls -q | grep -cv '^disinto-runner-')" 0

# threat_25: volumes where secrets are, by any spelling, and by a link. guard: volume_check in dispatcher/engine/image.c, the tmpfs that the runner wants
n=0
for volume in /run/secrets/x /run /var/run/secrets /tmp/../run/secrets /disinto /proc/x; do
	n=$((n + 1))
	busybox_root
	image "volume$n:1" "VOLUME [\"$volume\"]"
	formula "volume$n" <<<"image: volume$n:1
$common"
	action "volume$n" "volume$n" '{"secrets": ["TOKEN"]}'
done
busybox_root
mkdir -p "$WORK/root/run" "$WORK/root/data/inner"
ln -s /data/inner "$WORK/root/run/secrets"
image linked:1 'VOLUME ["/data"]'
formula linked <<<"image: linked:1
$common"
action linked linked '{"secrets": ["TOKEN"]}'
land
for i in $(seq "$n"); do
	finished "volume$i"
	is "threat_25: volume $i is refused" "$(field "volume$i" .outcome)" refused
	like "threat_25: volume $i is named" "$(field "volume$i" .reason)" 'declares a volume at /'
done
finished linked
like "threat_25: a link from the secrets' folder leads to a tmpfs or to a refusal" "$(field linked '[.outcome, .reason] | @json')" 'succeeded|refused'
refute "threat_25: no secret on the engine's disk" grep -rqaF 'some secret value' "$ENGINE/data"

# Debian as templates/runner makes it, if there is a mirror to make it of.
if debian_image; then
	formula debian <<<"image: disinto/runner-debian
$common      id -un; ssh -G nowhere >/dev/null 2>&1 && echo ssh works
"
	formula stranger <<<"image: disinto/runner-debian
user: 4711
steps:
  - id: a
    run: id -un; id -gn; ssh -G nowhere 2>/dev/null | grep -c '^user disinto\$'"
	action debian debian '{"secrets": ["TOKEN"], "tools": ["git", "ssh", "jq", "curl", "tmux"]}'
	action stranger stranger
	land
	finished debian
	is "debian: it succeeds" "$(field debian '[.outcome, .reason] | @json')" '["succeeded",null]'
	is "debian: each step as it should" "$(run_log debian | tr '\n' '|')" "${want}disinto|ssh works|"
	finished stranger
	is "debian: a user without an entry has a name" "$(run_log stranger | tr '\n' '|')" 'disinto|disinto|1|'
fi

# The same with agents by build argument: npm installs them where PATH finds them.
if debian_image node; then
	formula asks <<<$'image: disinto/runner-node\nsteps: [{id: a, prompt: Say it., agent: stub}]'
	formula asks-in-vain <<<$'image: disinto/runner-debian\nsteps: [{id: a, prompt: Say it., agent: stub}]'
	action asks asks '{"tools": ["node", "npm", "git"]}'
	action asks-in-vain asks-in-vain
	land
	finished asks
	is "agents: one that was installed runs" "$(field asks '[.outcome, .reason] | @json')" '["succeeded",null]'
	like "agents: and is told" "$(run_log asks)" '^told: Say it\.$'
	finished asks-in-vain
	like "the control: without the build argument it is missing" "$(field asks-in-vain '.outcome + ": " + .reason')" '^refused: vault/formulas/asks-in-vain.yaml: line [0-9]+, step a: steps\[0\].agent: the image lacks the agent of step a: stub-agent'
fi
