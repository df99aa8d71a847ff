#!/usr/bin/env bash
# Installs what compiling the CUDA backend needs (nvcc, cuobjdump, the static runtime; no driver) on Ubuntu 24.04, x86-64, from
# NVIDIA's own packages, and puts nvcc on the PATH of later steps of a GitHub job. For machines that are thrown away afterwards.
# Not run yet.
set -euo pipefail
keyring=$(mktemp --suffix=.deb)
curl --fail --silent --show-error --location --output "$keyring" \
  https://developer.download.nvidia.com/compute/cuda/repos/ubuntu2404/x86_64/cuda-keyring_1.1-1_all.deb
dpkg --install "$keyring"
apt-get update -qq
apt-get install -y -qq --no-install-recommends cuda-minimal-build-13-0
if [ -n "${GITHUB_PATH:-}" ]; then echo /usr/local/cuda-13.0/bin >>"$GITHUB_PATH"; fi
/usr/local/cuda-13.0/bin/nvcc --version
