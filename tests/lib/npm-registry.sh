#!/bin/bash
# A stand-in for an npm registry, one request on standard input, its answer on standard output: for `nc -ll -e`. It takes new packages as the
# registry's API has them: PUT /NAME with the document of the package and its tarball; who may is known by DIR/token.
#
#   npm-registry.sh DIR     DIR/requests: "ok PUT /NAME VERSION" or "bad …: why"; what was published is DIR/NAME-VERSION.tgz
set -u
dir=$1

answer() { # STATUS BODY
	printf 'HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %s\r\nConnection: close\r\n\r\n%s' "$1" ${#2} "$2"
}
refuse() { # STATUS WHY
	echo "bad $method $path: $2" >>"$dir/requests"
	answer "$1" '{"error": "refused"}'
	exit
}

IFS=' ' read -r method path _ || exit
declare -A header
while IFS= read -r line && line=${line%$'\r'} && [ -n "$line" ]; do
	name=${line%%:*} value=${line#*:}
	header[${name,,}]=${value# }
done
body=$(mktemp "$dir/body.XXXXXX")
trap 'rm -f "$body"' EXIT
head -c "${header[content-length]:-0}" >"$body"
package=${path#/}

case $method in
GET) answer '404 Not Found' '{"error": "not found"}' && exit ;;
PUT) ;;
*) refuse '405 Method Not Allowed' 'no such method' ;;
esac
[ "${header[authorization]:-}" = "Bearer $(cat "$dir/token")" ] || refuse '401 Unauthorized' 'authorization'
version=$(jq -er '.["dist-tags"].latest' "$body") || refuse '400 Bad Request' 'dist-tags'
[ "$(jq -r --arg v "$version" '[._id, .name, .versions[$v].name, .versions[$v].version] | join(" ")' "$body")" = "$package $package $package $version" ] ||
	refuse '400 Bad Request' 'names and versions differ'
file=$dir/$package-$version.tgz
jq -er '._attachments[] | .data' "$body" | base64 -d >"$file" || refuse '400 Bad Request' 'attachment'
[ "$(jq -r '._attachments[] | .length' "$body")" = "$(wc -c <"$file")" ] || refuse '400 Bad Request' 'length'
[ "$(jq -r --arg v "$version" '.versions[$v].dist.integrity' "$body")" = "sha512-$(sha512sum <"$file" | cut -d' ' -f1 | tr a-f A-F | basenc --base16 -d | base64 -w0)" ] ||
	refuse '400 Bad Request' 'integrity'
echo "ok PUT $path $version" >>"$dir/requests"
answer '201 Created' '{"ok": true}'
