#!/usr/bin/env bash
# Builds the images that k8s/ names: build.sh [cluster] [cluster-cuda] [agent] [loadtest] [bundle]
# Without a name it builds all but cluster-cuda. From the environment it takes
#   ENGINE      docker or podman; otherwise whichever of them runs here
#   REGISTRY    what the names begin with; localhost
#   PLATFORMS   linux/amd64; or linux/arm64, or both with a comma between them
#   BUNDLE      the folder of the bundle; bundles/efficientnet-lite0
#   PIP_CONF    a pip.conf of your own, which no layer keeps
set -euo pipefail
cd "$(dirname "$0")/../.."

stop() {
    echo "build.sh: $1" >&2
    exit 2
}

find_engine() {
    for name in docker podman; do
        if "$name" info > /dev/null 2>&1; then
            echo "$name"
            return
        fi
    done
    stop "neither docker nor podman runs here: install one of them, or start its engine"
}

REGISTRY=${REGISTRY:-localhost}
PLATFORMS=${PLATFORMS:-linux/amd64}
BUNDLE=${BUNDLE:-bundles/efficientnet-lite0}
VERSION=$(sed -n '/^\[project\]/,/^\[/s/^version = "\(.*\)"$/\1/p' pyproject.toml)
TOLD=(--build-arg "VERSION=$VERSION" --build-arg "REVISION=$(git rev-parse HEAD 2> /dev/null || echo unknown)")

build() { # IMAGE:TAG FOLDER CONTEXT OPTION...
    local name=$REGISTRY/isthmus-$1 file=k8s/images/$2/Dockerfile context=$3 as=--tag
    shift 3
    local options=("$@" --platform "$PLATFORMS")
    [ -z "${PIP_CONF:-}" ] || options+=(--secret "id=pip,src=$PIP_CONF")
    if [ "$ENGINE" = podman ]; then
        # Only docker's own format has a place for a health check.
        options+=(--format docker)
        if [[ $PLATFORMS == *,* ]]; then
            as=--manifest
            podman manifest rm "$name" > /dev/null 2>&1 || true
        fi
    fi
    "$ENGINE" build --file "$file" "$as" "$name" "${options[@]}" "$context"
    echo "built $name"
}

build_bundle() {
    [ -f "$BUNDLE/manifest.json" ] || stop "there is no bundle in $BUNDLE: make one with \`isthmus bundle build\`"
    local digest
    digest=$(sha256sum "$BUNDLE/manifest.json" | cut -d ' ' -f 1)
    build "bundle:${digest:0:12}" bundle k8s/images/bundle --build-context "bundle=$BUNDLE" \
        --build-arg "NAME=$(basename "$BUNDLE")" --build-arg "DIGEST=$digest"
}

[ $# -gt 0 ] || set -- cluster agent loadtest bundle
for image in "$@"; do
    case $image in
        cluster | cluster-cuda | agent | loadtest | bundle) ;;
        *) stop "there is no image $image: name cluster, cluster-cuda, agent, loadtest or bundle" ;;
    esac
done
ENGINE=${ENGINE:-$(find_engine)}
for image in "$@"; do
    case $image in
        cluster) build "cluster:$VERSION" cluster . "${TOLD[@]}" ;;
        cluster-cuda) build "cluster:$VERSION-cuda" cluster . "${TOLD[@]}" --build-arg EXTRA=cluster ;;
        agent) build "agent:$VERSION" agent . "${TOLD[@]}" ;;
        loadtest) build "loadtest:$VERSION" loadtest . "${TOLD[@]}" ;;
        bundle) build_bundle ;;
    esac
done
