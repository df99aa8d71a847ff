#!/usr/bin/env bash
# Packs what a machine without a package registry needs to run scripts/gpu-check.sh into offline/ (ignored by git):
# Node itself, the packages that building and testing need, the compiled TypeScript, and reference data.
#
#   scripts/offline-bundle.sh [REFERENCE]     REFERENCE: a folder of golden cases, for example ../shared/reference
#
# Copy the checkout together with offline/ to that machine and run scripts/gpu-check.sh there. The bundle is for the
# architecture and the C library of the machine that made it.
set -euo pipefail
cd "$(dirname "$0")/.."
reference=${1:-}
out=offline
rm -rf "$out"
mkdir -p "$out"

npm run --silent build:ts

xz -T0 -6 --stdout "$(node -p process.execPath)" >"$out/node.xz"

# Packages at run time, for building, and ava. sharp's binaries are for this platform already.
modules=$(mktemp -d)
trap 'rm -rf "$modules"' EXIT
node -e '
  const { readFileSync } = require("fs");
  const lock = JSON.parse(readFileSync("package-lock.json", "utf8")).packages;
  const wanted = new Set();
  const find = (name, from) => {
    for (let at = from; ; at = at.slice(0, Math.max(at.lastIndexOf("/node_modules/"), 0))) {
      const path = (at ? at + "/" : "") + "node_modules/" + name;
      if (lock[path]) return path;
      if (!at) return undefined;
    }
  };
  const visit = (name, from) => {
    const path = find(name, from);
    if (!path || wanted.has(path)) return;
    wanted.add(path);
    const { dependencies = {}, optionalDependencies = {} } = lock[path];
    for (const next of Object.keys({ ...dependencies, ...optionalDependencies })) visit(next, path);
  };
  for (const name of [...Object.keys(lock[""].dependencies), "cmake-js", "node-addon-api", "ava", "node-api-headers"]) visit(name, "");
  for (const path of wanted) if (require("fs").existsSync(path)) console.log(path);
' >"$modules/list"
tar -cf - --exclude='*.md' --exclude='*.map' --exclude='*.ts' --files-from="$modules/list" | xz -T0 -6 >"$out/modules.tar.xz"
tar -cf - dist | xz -T0 -6 >"$out/dist.tar.xz"
if [ -n "$reference" ]; then
  # Pictures of others stay where they are; the cases hold what they were decoded to.
  tar -cf - -C "$reference" . | xz -T0 -6 >"$out/reference.tar.xz"
fi
du -h "$out"/*
