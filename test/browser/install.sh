#!/usr/bin/env bash
# Installs the checker of accessibility that the browser tests use, where it is not there yet.
set -euo pipefail
cd "$(dirname "$0")"
cmp -s package-lock.json node_modules/.installed || { npm ci --ignore-scripts --no-fund --no-audit >&2 && cp package-lock.json node_modules/.installed; }
