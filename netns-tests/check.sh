#!/bin/bash
# All tests, for `make check`: part by part, each with its time, and at the end what failed and a summary.  A
# part that fails doesn't keep the others from running, if only what they need was built.  What is not judged
# by times runs beside the others: they leave processors idle.
set -u
umask 022
exec </dev/null
make="${MAKE:-make} --no-print-directory"
out=build/check
parts=11 n=0 summary=() failed=()
declare -A beside=()
mkdir -p $out
export NEMO_SECOND_TRY=1 # netns-tests/conftest.py

say() { printf '\n=== %s\n' "$*"; }
minutes() { printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }
log() { echo "$out/${1// /-}.log"; }

done_with() # name, exit code, seconds
{
	local how=ok
	(($2)) && how=FAILED failed+=("$1")
	summary+=("$(printf '%-16s %-7s %6s' "$1" $how "$(minutes "$3")")")
	say "$1: $how after $(minutes "$3") min, $(minutes $SECONDS) min in all"
	return "$2"
}

part() # name, command...
{
	local name=$1 begin=$SECONDS
	shift
	say "part $((++n)) of $parts: $name"
	"$@" 2>&1 | tee "$(log "$name")"
	done_with "$name" "${PIPESTATUS[0]}" $((SECONDS - begin))
}

# Begins a part that is waited for later.  It gets what the others leave.
begin() # name, command...
{
	local name=$1
	shift
	nice -n 10 "$@" >"$(log "$name")" 2>&1 &
	beside[$name]=$!
}

finish() # name: the rest of such a part
{
	local begin=$SECONDS code
	say "part $((++n)) of $parts: $1 (rest)"
	wait "${beside[$1]}"
	code=$?
	unset "beside[$1]"
	cat "$(log "$1")"
	done_with "$1" $code $((SECONDS - begin))
}

the_end()
{
	local name
	((${#beside[@]})) && kill "${beside[@]}" 2>/dev/null
	for name in "${failed[@]}"; do
		say "$name FAILED ($(log "$name")):"
		grep -aE '^(FAILED|ERROR) |: (fatal )?error: |\*\*\* |^== .*: FAILED|^soak: |^E   |^[A-Za-z.]*(Error|Timeout): ' "$(log "$name")" 2>/dev/null | head -n 40
	done
	say "summary (minutes)"
	printf '%s\n' "${summary[@]}" "$(printf '%-16s %-7s %6s' all "$( ((${#failed[@]})) && echo FAILED || echo ok)" \
		"$(minutes $SECONDS)")"
	exit $((${#failed[@]} > 0))
}
trap 'failed+=(interrupted); the_end' INT TERM

# As a test that failed, it decides at the second try (NEMO_SECOND_TRY).
soak() { $make soak TIME=60 || { echo "soak: second try"; $make soak TIME=60; }; }

part build $make -j2 all tools unit-bins fuzz-bins || the_end
begin image $make image # waits for downloads most of the time
part lint $make check-lint
part unit $make check-unit
part fuzz $make fuzz TIME=5
finish image && image=yes || image=
[[ $image ]] && begin packages $make check-packages
part net $make check-net
part soak soak
[[ $image ]] && finish packages
part sanitizers $make check-san
[[ $image ]] && part migration $make check-migration
part "stock kernel" $make check-vm
the_end
