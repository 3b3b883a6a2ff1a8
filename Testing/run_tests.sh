#!/bin/sh
# All tests, in two processes side by side: the unit tests, and those of the panel, its scene and its views.
# Usage: run_tests.sh BIN_FOLDER
set -u
# Threads of torch that wait sleep instead of spinning, or two processes would slow each other down.
export OMP_WAIT_POLICY=PASSIVE
log=$(mktemp)
trap 'rm -f "$log"' EXIT

"$1/python" -m pytest Testing/mrml Testing/panel Testing/render >"$log" 2>&1 &
"$1/python" -m pytest Testing/unit
unit=$?
wait $!
slicer=$?
cat "$log"
# pytest's 5: nothing was collected, which it has explained (nothing to draw with).
[ "$slicer" = 5 ] && slicer=0
exit $((unit > slicer ? unit : slicer))
