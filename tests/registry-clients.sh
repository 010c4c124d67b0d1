#!/usr/bin/env bash
# The sandbox's registry through crane and skopeo, which nobody here wrote: log in, push, pull, copy, tag, index, delete, and the
# refusals they show. No engine is needed.
#
#   tests/registry-clients.sh [PROGRAM]        default: target/debug/docker-ecs-ship
#
# Part of `make test`, by tests/conformance. Exits 3 where one of the two is missing; tests/ensure-tools puts them there.
set -euo pipefail
cd "$(dirname "$0")/.."
ship=${1:-$PWD/target/debug/docker-ecs-ship}

PATH=$PWD/target/clients/bin:$PATH
for tool in crane skopeo aws; do
    command -v $tool >/dev/null 2>&1 || { echo "there is no $tool: tests/ensure-tools" >&2; exit 3; }
done
[ -x "$ship" ] || { echo "no program at $ship: cargo build" >&2; exit 2; }

work=$(mktemp -d "${TMPDIR:-/tmp}/ecs-ship-registry.XXXXXX")
unset ECS_SHIP_STATE_DIR
export HOME=$work XDG_STATE_HOME=$work/state DOCKER_CONFIG=$work/docker REGISTRY_AUTH_FILE=$work/auth.json
export AWS_ACCESS_KEY_ID=sandbox AWS_SECRET_ACCESS_KEY=sandbox AWS_DEFAULT_REGION=us-east-1 AWS_PAGER= AWS_EC2_METADATA_DISABLED=true
finish() {
    code=$?
    trap - EXIT INT TERM
    "$ship" sandbox down >/dev/null 2>&1 || true
    rm -rf "$work"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM

die() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }
same() { [ "$2" = "$3" ] || die "$1: expected '$3', got '$2'"; }
has() { case $2 in *"$3"*) ;; *) die "$1: no '$3' in: $2" ;; esac; }
refused() { # words… -- command
    local words=$1 out
    shift
    if out=$("$@" 2>&1); then die "not refused: $*"; fi
    has "$*" "$out" "$words"
}

"$ship" sandbox up --paper --port 0 >/dev/null 2>&1
endpoint=$("$ship" sandbox status --format json | sed 's/.*"endpoint":"\([^"]*\)".*/\1/')
registry=${endpoint#http://}
ask() { aws --endpoint-url "$endpoint" "$@" --output text; }
web=$(ask ecr create-repository --repository-name shop/web --query repository.repositoryUri)
copy=$(ask ecr create-repository --repository-name shop/copy --image-tag-mutability IMMUTABLE --query repository.repositoryUri)
# skopeo wants a policy, and is told that this registry has no TLS.
skopeo() { command skopeo --insecure-policy "$@"; }
plain=(--src-tls-verify=false --dest-tls-verify=false)

mkdir "$work/layer"
printf 'hello\n' >"$work/layer/hello"
tar -C "$work/layer" -cf "$work/layer.tar" hello

# Nobody may do anything without a password.
refused "401" crane ls --insecure "$web"
ask ecr get-login-password | crane auth login "$registry" --username AWS --password-stdin >/dev/null 2>&1
ask ecr get-login-password | skopeo login --tls-verify=false --username AWS --password-stdin "$registry" >/dev/null

# crane: an image of one layer, and back.
crane append --insecure --new_layer "$work/layer.tar" --new_tag "$web:v1" >/dev/null 2>&1
digest=$(crane digest --insecure "$web:v1")
has digest "$digest" sha256:
same "ECR's word on it" "$(ask ecr describe-images --repository-name shop/web --image-ids imageTag=v1 --query 'imageDetails[0].imageDigest')" "$digest"
same "what the image holds" "$(crane export --insecure "$web:v1" - | tar -xOf - hello)" hello
crane validate --insecure --remote "$web:v1" >/dev/null 2>&1 || die "crane finds the image broken"
crane tag --insecure "$web:v1" v2
same tags "$(crane ls --insecure "$web" | sort | tr '\n' ' ')" "v1 v2 "
same catalog "$(crane catalog --insecure "$registry" | tr '\n' ' ')" "shop/copy shop/web "
crane index append --insecure --manifest "$web:v1" --tag "$web:all" >/dev/null 2>&1
has index "$(crane manifest --insecure "$web:all")" "$digest"
crane copy --insecure "$web:v1" "$copy:v1" >/dev/null 2>&1
same "the copy" "$(crane digest --insecure "$copy:v1")" "$digest"
crane append --insecure --new_layer "$work/layer.tar" --base "$web:v1" --new_tag "$web:v3" >/dev/null 2>&1
refused "The image tag 'v1' already exists in the 'shop/copy' repository and cannot be overwritten because the tag is immutable." \
    crane copy --insecure "$web:v3" "$copy:v1"
refused "The repository with name 'shop/none' does not exist in the registry with id '000000000000'" \
    crane copy --insecure "$web:v1" "$registry/shop/none:v1"
refused MANIFEST_UNKNOWN crane manifest --insecure "$web:v9"

# skopeo: between repositories, to a folder and back, whole indexes.
has inspect "$(skopeo inspect --tls-verify=false "docker://$web:v1")" "\"Digest\": \"$digest\""
skopeo copy --quiet "${plain[@]}" "docker://$web:v1" "docker://$copy:skopeo"
skopeo copy --quiet --src-tls-verify=false "docker://$web:v1" "oci:$work/oci:v1"
skopeo copy --quiet --dest-tls-verify=false "oci:$work/oci:v1" "docker://$copy:oci"
skopeo copy --quiet --all "${plain[@]}" "docker://$web:all" "docker://$copy:all"
has tags "$(skopeo list-tags --tls-verify=false "docker://$copy")" '"skopeo"'
same "what came back" "$(crane export --insecure "$copy:oci" - | tar -xOf - hello)" hello
refused "name unknown" skopeo copy --quiet --dest-tls-verify=false "oci:$work/oci:v1" "docker://$registry/shop/none:v1"
skopeo delete --tls-verify=false "docker://$copy:oci"
refused "manifest unknown" skopeo inspect --tls-verify=false "docker://$copy:oci"
crane delete --insecure "$web@$(crane digest --insecure "$web:v3")"
same "tags at the end" "$(crane ls --insecure "$web" | sort | tr '\n' ' ')" "all v1 v2 "
echo "registry-clients: ok"
