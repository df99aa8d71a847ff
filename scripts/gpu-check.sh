#!/usr/bin/env bash
# Builds for the GPU of this machine and proves the CUDA backend on it, correctness first, then speed against PyTorch:
#
#   scripts/gpu-check.sh [STAGE...]
#
# Stages, each well under ten minutes, in this order (default: all):
#   setup       Node, packages and compiled TypeScript out of offline/ (scripts/offline-bundle.sh) where they are missing
#   build       the addon for this GPU's architecture
#   sass        tensor-core instructions in the machine code (needs cuobjdump)
#   ops         tests of every op and of the device on cuda:0
#   golden      reference data of the official implementations on cuda:0; a case that is skipped has failed
#   models      tests of both model families on cuda:0
#   nms         10,000 random cases of NMS against the CPU
#   memcheck    compute-sanitizer memcheck on tests of ops
#   racecheck   compute-sanitizer racecheck on tests of ops
#   bench-ops   every kernel on the shapes of the models, checked against the CPU, and PyTorch's on the same shapes
#   bench-models  both models end to end, and torchvision's Mask R-CNN in its modes
#   report      one JSON and one readable report
#
# Restartable: a stage that passed at this commit is not run again; name it to force it. Needs nvcc 13, cmake, a driver;
# PyTorch with torchvision where a comparison is wanted. Results: $OUT if set, else build-gpu/results.
set -uo pipefail
cd "$(dirname "$0")/.."
root=$PWD
work=$root/build-gpu
results=${OUT:-$work/results}
commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
state=$work/state-$commit
mkdir -p "$work" "$results" "$state"
[ -x "$work/node/bin/node" ] && export PATH="$work/node/bin:$PATH"
export INSTASEG_ADDON=$work/addon/Release/instaseg.node
device=${INSTASEG_TEST_DEVICE:-cuda:0}

have() { command -v "$1" >/dev/null 2>&1; }
architecture() {
  local found
  found=$(nvidia-smi --query-gpu=compute_cap --format=csv,noheader | head -1 | tr -d '. ')
  # Instructions of sm_90 and newer that the kernels use need the exact architecture.
  case $found in 90) echo 90a ;; *) echo "$found" ;; esac
}

stage_setup() {
  if ! have node; then
    [ -f offline/node.xz ] || { echo "no Node here, and no offline/node.xz (scripts/offline-bundle.sh)"; return 1; }
    mkdir -p "$work/node/bin"
    xz -dc offline/node.xz >"$work/node/bin/node" && chmod +x "$work/node/bin/node"
    export PATH="$work/node/bin:$PATH"
  fi
  [ -d node_modules ] || { [ -f offline/modules.tar.xz ] && tar -xJf offline/modules.tar.xz; } || return 1
  [ -d dist/test ] || { [ -f offline/dist.tar.xz ] && tar -xJf offline/dist.tar.xz; } || return 1
  if [ -f offline/reference.tar.xz ] && [ ! -d "$work/reference" ]; then
    mkdir -p "$work/reference" && tar -xJf offline/reference.tar.xz -C "$work/reference"
  fi
  node --version
}

stage_build() {
  local arch
  arch=$(architecture) || return 1
  echo "architecture $arch"
  node node_modules/cmake-js/bin/cmake-js compile --out "$work/addon" --parallel "$(nproc)" \
    --CDINSTASEG_CUDA=ON "--CDINSTASEG_CUDA_ARCHITECTURES=$arch" &&
    node dist/src/cli/main.js devices
}

stage_sass() {
  have cuobjdump || { echo "cuobjdump is not here: nothing was checked"; return 0; }
  cuobjdump --dump-sass "$INSTASEG_ADDON" | grep -oE '\b(HMMA|HGMMA|QGMMA|LDGSTS|LDSM|UTMALDG)\b' | sort | uniq -c |
    tee "$results/sass.txt"
  grep -q HMMA "$results/sass.txt" || return 1
  [ "$(architecture)" != 90a ] || grep -q HGMMA "$results/sass.txt"
}

stage_ops() { INSTASEG_TEST_DEVICE=$device node scripts/test.mjs 'dist/test/ops/**/*.test.js' 'dist/test/runtime/{cuda,exit,addon}.test.js'; }

stage_golden() {
  local folder=$work/reference
  [ -d "$folder" ] || folder=../shared/reference
  [ -d "$folder" ] || folder=ts/test/fixtures
  echo "reference data: $folder"
  node dist/test/golden/main.js "$folder" --device "$device" | tee "$results/golden.txt"
  [ "${PIPESTATUS[0]}" -eq 0 ] && grep -q ' 0 failed, 0 skipped' "$results/golden.txt"
}

stage_models() { INSTASEG_TEST_DEVICE=$device node scripts/test.mjs 'dist/test/models/device*.test.js'; }

stage_nms() { INSTASEG_TEST_DEVICE=$device INSTASEG_NMS_CASES=10000 node scripts/test.mjs 'dist/test/ops/nms.test.js'; }

sanitize() {
  have compute-sanitizer || { echo "compute-sanitizer is not here: nothing was checked"; return 0; }
  # ava runs each file in a process of its own; the sanitizer follows them.
  INSTASEG_TEST_DEVICE=$device timeout 570 compute-sanitizer --tool "$1" --target-processes all --error-exitcode 99 \
    node scripts/test.mjs --concurrency=1 \
    'dist/test/ops/{conv2d,deform-conv2d,linear,roi-align,nms,fast-nms,top-k,sort,paste-masks}*.test.js' \
    >"$results/$1.txt" 2>&1
  local code=$?
  tail -5 "$results/$1.txt"
  if grep -q 'Device not supported' "$results/$1.txt"; then
    echo "compute-sanitizer does not support this machine: nothing was checked"
    return 0
  fi
  return $code
}
stage_memcheck() { sanitize memcheck; }
stage_racecheck() { sanitize racecheck; }

has_torch() { have python3 && python3 -c 'import torch, torchvision; assert torch.cuda.is_available()' 2>/dev/null; }

stage_bench-ops() {
  node benchmarks/gpu/ops.mjs --device "$device" --json "$results/ops.json" || return 1
  has_torch || { echo "no PyTorch with a GPU here: ours alone"; return 0; }
  python3 benchmarks/gpu/torch_ops.py --json "$results/torch-ops.json"
}

stage_bench-models() {
  node benchmarks/gpu/models.mjs --device "$device" --weights "$work/weights" --json "$results/models.json" || return 1
  has_torch || { echo "no PyTorch with a GPU here: ours alone"; return 0; }
  python3 benchmarks/gpu/torch_models.py --weights "$work/weights" --ours "$results/models.json" \
    --json "$results/torch-models.json"
}

stage_report() { node benchmarks/gpu/report.mjs --results "$results" --state "$state" --commit "$commit"; }

all=(setup build sass ops golden models nms memcheck racecheck bench-ops bench-models report)
forced=$#
stages=("$@")
[ $# -gt 0 ] || stages=("${all[@]}")
failed=0
for stage in "${stages[@]}"; do
  if [ "$forced" -eq 0 ] && [ "$stage" != setup ] && [ "$stage" != report ] && [ "$(cat "$state/$stage" 2>/dev/null)" = passed ]; then
    echo "== $stage: passed before"
    continue
  fi
  echo "== $stage"
  started=$SECONDS
  if "stage_$stage"; then verdict=passed; else verdict=failed; failed=1; fi
  echo "$verdict" >"$state/$stage"
  echo "== $stage: $verdict in $((SECONDS - started)) s"
  # Without a build nothing else can be right.
  if [ "$verdict" = failed ] && { [ "$stage" = setup ] || [ "$stage" = build ]; }; then break; fi
done
exit $failed
