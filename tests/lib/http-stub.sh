#!/bin/bash
# An HTTP server of one answer, one request on standard input, its answer on standard output: for `nc -ll -e`.
#
#   http-stub.sh DIR     DIR/status ("200 OK") and DIR/body are answered; the request's head is kept in DIR/head-N, its body in DIR/request-N
set -u
dir=$1
exec 8>"$dir/lock" && flock 8
number=$(($(cat "$dir/number" 2>/dev/null || echo 0) + 1))
echo $number >"$dir/number"
length=0
while IFS= read -r line && line=${line%$'\r'} && [ -n "$line" ]; do
	echo "$line"
	case ${line,,} in content-length:*) length=${line#*:} ;; esac
done >"$dir/head-$number"
head -c $((length)) >"$dir/request-$number"
printf 'HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %s\r\nConnection: close\r\n\r\n' "$(cat "$dir/status")" \
	"$(wc -c <"$dir/body")"
cat "$dir/body"
