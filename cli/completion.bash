# Completion for bash: disinto answers for itself, out of its table of commands; disinto-dispatcher's options are those of its --help.

_disinto() {
	local program=${COMP_WORDS[0]/#\~/$HOME} IFS=$'\n'
	# What comes back are options, words of the table, and names without blanks. Where it is nothing, files are offered (-o default).
	mapfile -t COMPREPLY < <("$program" complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
}
complete -o default -F _disinto disinto

_disinto_dispatcher() {
	local program=${COMP_WORDS[0]/#\~/$HOME} word=${COMP_WORDS[COMP_CWORD]}
	COMPREPLY=()
	[[ $word == -* ]] || return
	mapfile -t COMPREPLY < <(compgen -W "$("$program" --help 2>/dev/null | grep -oE -- '--[a-z]+' | sort -u)" -- "$word")
}
complete -o default -F _disinto_dispatcher disinto-dispatcher
