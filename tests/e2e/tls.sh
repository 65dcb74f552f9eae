#!/bin/bash
# The git server over TLS, and certificates that are none of its: expired, of nobody that we trust, of another host. Whoever shows one is asked nothing and told no
# credential; the dispatcher says what is wrong, and goes on once it is mended. Needs no engine: what landed waits.
# threat_40_an_expired_certificate guard: libcurl's verification of peer and host, which nothing turns off (lib/git_http.c)
. "$(dirname "$0")/lib.sh"

TLS=$WORK/tls
mkdir -p "$TLS"
cd "$TLS" || bail "no folder"
cat >ca.cnf <<'EOT'
[ca]
default_ca = test
[test]
database = db
new_certs_dir = .
rand_serial = yes
default_md = sha256
policy = names
[names]
commonName = supplied
[here]
subjectAltName = IP:127.0.0.1
[elsewhere]
subjectAltName = DNS:elsewhere.example
EOT
: >db
echo 'unique_subject = no' >db.attr
new=(-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes)
sign() { # NAME EXTENSIONS OPTION…
	openssl ca -batch -notext -config ca.cnf -cert ca.pem -keyfile ca.key -in request -out "$1.pem" -extensions "$2" "${@:3}"
}
{
	openssl req -x509 "${new[@]}" -keyout ca.key -out ca.pem -days 30 -subj '/CN=an authority' &&
		openssl req "${new[@]}" -keyout key.pem -out request -subj '/CN=git' &&
		sign good here -days 30 &&
		sign expired here -startdate 20200101000000Z -enddate 20200201000000Z &&
		sign elsewhere elsewhere -days 30 &&
		openssl req -x509 -key key.pem -out stranger.pem -days 30 -subj '/CN=git' -addext 'subjectAltName = IP:127.0.0.1'
} >openssl.log 2>&1 || bail "no certificates: $(cat openssl.log)"

# Speaks TLS in front of the git server and writes down what it is asked. HUP: shows cert.pem, to new connections, of which it then has no others.
cat >front.mjs <<'EOT'
import fs from 'node:fs'
import http from 'node:http'
import https from 'node:https'
const options = () => ({ key: fs.readFileSync('key.pem'), cert: fs.readFileSync('cert.pem') })
const server = https.createServer(options(), (req, res) => {
	fs.appendFileSync('requests', `${req.url}\n`)
	const to = { host: '127.0.0.1', port: process.argv[2], path: req.url, method: req.method, headers: req.headers }
	req.pipe(http.request(to, from => from.pipe(res.writeHead(from.statusCode, from.headers))))
})
process.on('SIGHUP', () => {
	server.setSecureContext(options())
	server.closeAllConnections()
	fs.writeFileSync('requests', '')
	fs.copyFileSync('cert.pem', 'shown')
})
server.listen(0, '127.0.0.1', () => fs.writeFileSync('port', String(server.address().port)))
EOT

site http
real=${URL#*://*:} real=${real%%/*}
cp good.pem cert.pem
node front.mjs "$real" >front.log 2>&1 </dev/null &
front=$!
CHILDREN+=("$front")
wait_for test -s port || bail "no TLS: $(cat front.log)"
sed -i "s|^ops_repo: .*|ops_repo: https://127.0.0.1:$(cat port)/ops.git|" "$CONFIG"
echo "ca_file: $TLS/ca.pem" >>"$CONFIG"
shows() { # NAME
	cp "$1.pem" cert.pem
	kill -HUP "$front"
	wait_for cmp "$1.pem" shown
}
polls() { api /status | jq -e .poll.ok; }
says() { # REGEX
	api /status | jq -r .poll.reason | grep -qE -- "$1"
}

dispatcher_start
check "a good certificate: polls work" wait_for polls
while IFS='|' read -r name what words; do
	shows "$name"
	check "$what: status says so" wait_for says "$words"
	is "$what: nothing was asked, and no credential shown" "$(cat requests)" ''
	action "after-$name" hello
	land
	shows good
	check "$what: polls go on once it is mended" wait_for polls
	check "$what: and nothing was missed" wait_for eval "state after-$name"
done <<'EOT'
expired|a certificate that has expired|certificate has expired
stranger|one that nobody vouches for|self.signed certificate
elsewhere|one of another host|no alternative certificate subject name matches
EOT
