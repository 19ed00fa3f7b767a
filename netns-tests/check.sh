#!/bin/bash
# All tests, for `make check`: part by part, each with its time, and at the end what failed and a summary.  A
# part that fails doesn't keep the others from running, if only what they need was built.  What is not judged
# by times runs beside the others: they leave processors idle.
set -u
umask 022
exec </dev/null
make="${MAKE:-make} --no-print-directory -s"
out=build/check
parts=11 n=0 summary=() failed=()
declare -A beside=()
mkdir -p $out
rm -f $out/*.failed build/failed/reports-*.txt

say() { printf '\n=== %s\n' "$*"; }
minutes() { printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }
log() { echo "$out/${1// /-}.log"; }
names() { echo "$PWD/$out/${1// /-}.failed"; } # of tests that failed each time, netns-tests/lib/tries.py

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

# Where emulation, a download or times take part, the second or third try decides: test by test, and all of
# it if no test is named.
tests() # name, tries, command...
{
	local name=$1
	export NEMO_TRIES=$2 NEMO_FAILED
	shift 2
	NEMO_FAILED=$(names "$name")
	"$@" && return
	[[ -s $NEMO_FAILED ]] || ((SECONDS > 2400)) && return 1 # named, or there is no time left
	echo "$name has failed without naming a test: once more"
	"$@"
}

# Begins a part that is waited for later.  It gets what the others leave.
begin() # name, tries, command...
{
	(
		renice -n 10 "$BASHPID" >/dev/null
		tests "$@"
	) >"$(log "$1")" 2>&1 &
	beside[$1]=$!
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

why() # name: in few words, for who sees the end of the output only
{
	if [[ -s $(names "$1") ]]; then
		sed 's/\t/: /' "$(names "$1")" | head -n 20
		return
	fi
	grep -aE '^(FAILED|ERROR) |: (fatal )?error: |\*\*\* |^== .*: FAILED|^soak: |^vm: |^E   |^[A-Za-z.]*(Error|Timeout): ' \
		"$(log "$1")" 2>/dev/null | cut -c 1-300 | tail -n 20
}

the_end()
{
	local name
	for name in "${!beside[@]}"; do
		kill $(ps -o pid= --ppid "${beside[$name]}") "${beside[$name]}" 2>/dev/null
	done
	say "summary (minutes)"
	printf '%s\n' "${summary[@]}" "$(printf '%-16s %-7s %6s' all "$( ((${#failed[@]})) && echo FAILED || echo ok)" \
		"$(minutes $SECONDS)")"
	for name in "${failed[@]}"; do
		say "$name FAILED ($(log "$name")):"
		why "$name"
	done
	exit $((${#failed[@]} > 0))
}
trap 'failed+=(interrupted); the_end' INT TERM

soak() { $make soak TIME=60 || { echo "soak: second try"; $make soak TIME=60; }; } # with another SEED

part build $make -j2 all tools unit-bins fuzz-bins || the_end
begin image 1 $make image # waits for downloads most of the time
part lint $make check-lint
part unit $make check-unit
part fuzz $make fuzz TIME=5
finish image && image=yes || image=
[[ $image ]] && begin packages 3 $make check-packages
part net tests net 2 $make check-net
part soak soak
[[ $image ]] && finish packages
part sanitizers tests sanitizers 2 $make check-san
[[ $image ]] && part migration tests migration 3 $make check-migration
part "stock kernel" tests "stock kernel" 3 $make check-vm
the_end
