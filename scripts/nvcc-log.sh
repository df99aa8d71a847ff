#!/usr/bin/env bash
# Compiler launcher of scripts/check-cuda.mjs: runs the compiler and keeps what it says beside the object file.
set -euo pipefail
object=''
previous=''
for argument in "$@"; do
  if [[ $previous == -o ]]; then object=$argument; fi
  previous=$argument
done
status=0
"$@" 2>&1 | tee "$object.log" || status=$?
exit "$status"
