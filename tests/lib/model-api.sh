#!/bin/bash
# A stand-in for the model's HTTP API, one request on standard input, its answer on standard output: for `nc -ll -e`.
#
#   model-api.sh DIR     DIR/key holds the API key that requests must carry
#
# What is asked is checked against the public description of POST /v1/messages: headers, members, types, roles, content blocks. Each
# request leaves a line in DIR/requests ("ok METHOD PATH MODEL", or "bad …: why") and its body in DIR/body-N. The model that answers
# first uses the tool Bash, once, with the command in DIR/command, and says DIR/answer when it has been given the tool's result.
set -u
dir=$1

respond() { # STATUS CONTENT-TYPE, the body on standard input
	local body
	body=$(cat; echo .)
	body=${body%.}
	printf 'HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %s\r\nrequest-id: req_1\r\nConnection: close\r\n\r\n%s' "$1" "$2" \
		"$(printf %s "$body" | wc -c)" "$body"
}

refuse() { # STATUS TYPE WHY
	echo "bad $method $path: $3" >>"$dir/requests"
	jq -cn --arg type "$2" --arg why "$3" '{type: "error", error: {type: $type, message: $why}}' | respond "$1" application/json
	exit
}

IFS=' ' read -r method path _ || exit
declare -A header
while IFS= read -r line && line=${line%$'\r'} && [ -n "$line" ]; do
	name=${line%%:*} value=${line#*:}
	header[${name,,}]=${value# }
done
exec 8>"$dir/lock" && flock 8 # one after the other, so that the files are whole
number=$(($(cat "$dir/number" 2>/dev/null || echo 0) + 1))
echo $number >"$dir/number"
body=$dir/body-$number
head -c "${header[content-length]:-0}" >"$body"

[ "${header[x-api-key]:-}" = "$(cat "$dir/key")" ] || refuse '401 Unauthorized' authentication_error 'x-api-key is not the key'
[ "${header[anthropic-version]:-}" = 2023-06-01 ] || refuse '400 Bad Request' invalid_request_error 'anthropic-version'
[ "$method $path" != 'HEAD /' ] || { respond '200 OK' text/plain </dev/null && exit; }
case "$method ${path%%\?*}" in
'POST /v1/messages') ;;
*) refuse '404 Not Found' not_found_error "there is no $method $path" ;;
esac
[[ ${header[content-type]:-} == application/json* ]] || refuse '400 Bad Request' invalid_request_error 'content-type'

# The first thing that is not as described, or nothing.
why=$(jq -r '
	def text_block: .type == "text" and (.text | type == "string");
	def block: type == "object" and (text_block or .type == "image" or .type == "document" or .type == "thinking"
		or (.type == "tool_use" and (.id | type == "string") and (.name | type == "string") and (.input | type == "object"))
		or (.type == "tool_result" and (.tool_use_id | type == "string")
			and (.content == null or (.content | type == "string") or (.content | type == "array" and all(.[]; type == "object")))));
	def content: type == "string" or (type == "array" and length > 0 and all(.[]; block));
	def tool: (.name | type == "string") and (.type == null or (.type | type == "string")) and
		(.input_schema == null or (.input_schema | type == "object" and .type == "object"));
	if type != "object" then "no object"
	elif (.model | type != "string") then "model"
	elif (.max_tokens | type != "number" or . < 1 or . != floor) then "max_tokens"
	elif (.messages | type != "array" or length == 0) then "messages"
	elif (.messages | all(.[]; (.role == "user" or .role == "assistant" or .role == "system") and (.content | content)) | not) then "a message"
	elif .messages[0].role != "user" then "the first message is not of the user"
	elif (.system == null or (.system | type == "string") or (.system | type == "array" and all(.[]; text_block))) | not then "system"
	elif (.stream == null or (.stream | type == "boolean")) | not then "stream"
	elif (.tools == null or (.tools | type == "array" and all(.[]; tool))) | not then "tools"
	elif (.temperature == null or (.temperature | type == "number" and . >= 0 and . <= 1)) | not then "temperature"
	elif ([.messages[].content | arrays | .[] | select(.type == "tool_result") | .tool_use_id]
		- [.messages[].content | arrays | .[] | select(.type == "tool_use") | .id] | length) > 0 then "a tool_result without its tool_use"
	else "" end' "$body" 2>&1) || why='no JSON'
[ -z "$why" ] || refuse '400 Bad Request' invalid_request_error "$why"
model=$(jq -r .model "$body")
echo "ok $method ${path%%\?*} $model" >>"$dir/requests"

# What the model does: one block of content.
if jq -e '[.messages[].content | arrays | .[] | select(.type == "tool_result")] | length > 0 ' "$body" >/dev/null ||
	! jq -e 'any(.tools[]?; .name == "Bash")' "$body" >/dev/null; then
	stop=end_turn
	block=$(jq -cn --rawfile text "$dir/answer" '{type: "text", text: $text}')
else
	stop=tool_use
	block=$(jq -cn --rawfile command "$dir/command" '{type: "tool_use", id: "toolu_1", name: "Bash", input: {command: $command, description: "as told"}}')
fi
message=$(jq -cn --arg model "$model" '{id: "msg_1", type: "message", role: "assistant", model: $model, content: [], stop_reason: null, stop_sequence: null,
	usage: {input_tokens: 1000, output_tokens: 1, cache_creation_input_tokens: 0, cache_read_input_tokens: 0}}')

if ! jq -e .stream "$body" >/dev/null; then
	jq -cn --argjson m "$message" --argjson b "$block" --arg stop "$stop" '$m + {content: [$b], stop_reason: $stop}' | respond '200 OK' application/json
	exit
fi
# As a stream: each event its name and its data, the block's content in two pieces.
jq -rn --argjson m "$message" --argjson b "$block" --arg stop "$stop" '
	def event: "event: \(.type)\ndata: \(tojson)\n";
	def halves: [.[:(length / 2 | floor)], .[(length / 2 | floor):]] | .[];
	({type: "message_start", message: $m} | event),
	({type: "content_block_start", index: 0, content_block: (if $b.type == "text" then $b + {text: ""} else $b + {input: {}} end)} | event),
	({type: "ping"} | event),
	(if $b.type == "text" then $b.text | halves | {type: "content_block_delta", index: 0, delta: {type: "text_delta", text: .}}
	 else $b.input | tojson | halves | {type: "content_block_delta", index: 0, delta: {type: "input_json_delta", partial_json: .}} end | event),
	({type: "content_block_stop", index: 0} | event),
	({type: "message_delta", delta: {stop_reason: $stop, stop_sequence: null}, usage: {output_tokens: 100}} | event),
	({type: "message_stop"} | event)' | respond '200 OK' 'text/event-stream; charset=utf-8'
