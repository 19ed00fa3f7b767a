#!/bin/bash
# All tests, for `make check`: part by part, each with its time, and a summary at the end.  A part
# that fails doesn't keep the others from running, if only what they need was built.
set -u
make="${MAKE:-make} --no-print-directory"
out=build/check
summary=() failed=0 n=0 parts=9 image=
mkdir -p $out
export NEMO_SECOND_TRY=1 # netns-tests/conftest.py

say() { printf '\n=== %s\n' "$*"; }
minutes() { printf '%d:%02d' $(($1 / 60)) $(($1 % 60)); }

done_with() # name, exit code, seconds
{
	local how=ok
	(($2)) && how=FAILED failed=1
	summary+=("$(printf '%-16s %-7s %6s' "$1" $how "$(minutes "$3")")")
	say "$1: $how after $(minutes "$3") min, $(minutes $SECONDS) min in all"
}

part() # name, command...
{
	local name=$1 begin=$SECONDS code
	shift
	say "part $((++n)) of $parts: $name"
	"$@"
	code=$?
	done_with "$name" $code $((SECONDS - begin))
	return $code
}

the_end()
{
	[[ -n $image ]] && kill "$image" 2>/dev/null
	say "summary (minutes)"
	printf '%s\n' "${summary[@]}" "$(printf '%-16s %-7s %6s' all "$( ((failed)) && echo FAILED || echo ok)" \
		"$(minutes $SECONDS)")"
	exit $failed
}
trap 'failed=1; the_end' INT TERM

wait_for_image()
{
	local code
	wait "$image"
	code=$?
	image=
	cat $out/image.log
	return $code
}

part build $make -j2 all tools unit-bins fuzz-bins || the_end
# It waits for downloads most of the time; what runs meanwhile is not judged by times.
$make image >$out/image.log 2>&1 &
image=$!
part lint $make check-lint
part unit $make check-unit
part fuzz $make fuzz TIME=5
part "image (rest)" wait_for_image && migration=yes || migration=
part net $make check-net
part sanitizers $make check-san
[[ $migration ]] && part migration $make check-migration
part "stock kernel" $make check-vm
the_end
