#!/usr/bin/env bash
# The sandbox through a client that nobody here wrote: the AWS CLI does by hand what `deploy` does, reads everything back,
# waits with its own waiters, and takes everything away in the order a person would. Real containers.
#
#   tests/aws-cli.sh [PROGRAM]        default: target/debug/docker-ecs-ship
#
# Part of `make test`, by tests/e2e. The CLI is the one that tests/ensure-tools has put into target/clients, else the one on PATH; its
# waiters look every 15 seconds only. State, ports and images are the script's own and are removed at the end.
set -euo pipefail
cd "$(dirname "$0")/.."
ship=${1:-$PWD/target/debug/docker-ecs-ship}

PATH=$PWD/target/clients/bin:$PATH
command -v aws >/dev/null 2>&1 || { echo "there is no AWS CLI: tests/ensure-tools" >&2; exit 2; }
docker version >/dev/null 2>&1 || { echo "no Docker engine answers: tests/ensure-engine" >&2; exit 2; }
[ -x "$ship" ] || { echo "no program at $ship: cargo build" >&2; exit 2; }
[ -x examples/hello/app/hello ] || examples/hello/build.sh

work=$(mktemp -d "${TMPDIR:-/tmp}/ecs-ship-aws-cli.XXXXXX")
unset ECS_SHIP_STATE_DIR
export XDG_STATE_HOME=$work/state
export AWS_ACCESS_KEY_ID=sandbox AWS_SECRET_ACCESS_KEY=sandbox AWS_DEFAULT_REGION=us-east-1 AWS_PAGER= AWS_EC2_METADATA_DISABLED=true
export AWS_CONFIG_FILE=$work/none AWS_SHARED_CREDENTIALS_FILE=$work/none
images=()
finish() {
    code=$?
    trap - EXIT INT TERM
    [ "$code" = 0 ] || { echo "failed; what the sandbox said:" >&2; tail -n 20 "$XDG_STATE_HOME"/docker-ecs-ship/sandbox/sandbox.log >&2 || true; }
    "$ship" sandbox down >/dev/null 2>&1 || true
    [ ${#images[@]} = 0 ] || docker rmi --force "${images[@]}" >/dev/null 2>&1 || true
    rm -rf "$work"
    exit "$code"
}
trap finish EXIT
trap 'exit 130' INT TERM

say() { printf '== %s\n' "$*" >&2; }
die() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }
same() { [ "$2" = "$3" ] || die "$1: expected '$3', got '$2'"; }
has() { case $2 in *"$3"*) ;; *) die "$1: no '$3' in: $2" ;; esac; }
# A call that must be refused: `refused CODE words… -- aws arguments`.
refused() {
    local code=$1 words=$2 out
    shift 2
    if out=$(at "$@" 2>&1); then die "not refused: aws $*"; fi
    has "aws $*" "$out" "($code)"
    has "aws $*" "$out" "$words"
}

say "sandbox up"
"$ship" sandbox up --port 0 --speed "${SPEED:-20}" >/dev/null 2>&1
endpoint=$("$ship" sandbox status --format json | sed 's/.*"endpoint":"\([^"]*\)".*/\1/')
registry=${endpoint#http://}
at() { aws --endpoint-url "$endpoint" "$@"; }
ask() { at "$@" --output text; }
# All pages as one answer: as text every page would be printed by itself.
all() { at "$@" --page-size 1 --output json | tr -d ' \n'; }

say "sts"
same account "$(ask sts get-caller-identity --query Account)" 000000000000

say "repository, login, push"
refused RepositoryNotFoundException "The repository with name 'cli/hello' does not exist in the registry with id '000000000000'" \
    ecr describe-repositories --repository-names cli/hello
uri=$(ask ecr create-repository --repository-name cli/hello --query repository.repositoryUri)
same uri "$uri" "$registry/cli/hello"
refused RepositoryAlreadyExistsException "already exists" ecr create-repository --repository-name cli/hello
export DOCKER_CONFIG=$work/docker
mkdir -p "$DOCKER_CONFIG"
at ecr get-login-password | docker login --username AWS --password-stdin "$registry" >/dev/null 2>&1 || die "docker login"
for version in 1 2; do
    images+=("$uri:v$version")
    DOCKER_BUILDKIT=0 docker build --quiet --build-arg VERSION=$version --tag "$uri:v$version" examples/hello >/dev/null 2>&1
    docker push --quiet "$uri:v$version" >/dev/null
done
digest=$(ask ecr describe-images --repository-name cli/hello --image-ids imageTag=v1 --query 'imageDetails[0].imageDigest')
has digest "$digest" sha256:
same "tags, a page at a time" "$(all ecr list-images --repository-name cli/hello --query 'sort(imageIds[].imageTag)')" '["v1","v2"]'
has manifest "$(ask ecr batch-get-image --repository-name cli/hello --image-ids imageTag=v1 --query 'images[0].imageManifest')" schemaVersion
refused ImageNotFoundException "The image with imageId" ecr describe-images --repository-name cli/hello --image-ids imageTag=v9

say "cluster, log group, task definition"
refused ClusterNotFoundException "Cluster not found." ecs list-services --cluster jobs
same cluster "$(ask ecs create-cluster --cluster-name jobs --query cluster.status)" ACTIVE
at logs create-log-group --log-group-name /jobs/hello
refused ResourceAlreadyExistsException "The specified log group already exists" logs create-log-group --log-group-name /jobs/hello
register() { # image
    ask ecs register-task-definition --family hello --execution-role-arn arn:aws:iam::000000000000:role/execution \
        --query taskDefinition.taskDefinitionArn --container-definitions "[{
        \"name\": \"hello\", \"image\": \"$1\", \"memory\": 64, \"cpu\": 64, \"stopTimeout\": 5,
        \"portMappings\": [{\"containerPort\": 8080}],
        \"environment\": [{\"name\": \"WHO\", \"value\": \"cli\"}],
        \"secrets\": [{\"name\": \"GREETING\", \"valueFrom\": \"/jobs/greeting\"},
                    {\"name\": \"DB_USER\", \"valueFrom\": \"$secret:user::\"}],
        \"logConfiguration\": {\"logDriver\": \"awslogs\", \"options\": {
            \"awslogs-group\": \"/jobs/hello\", \"awslogs-region\": \"us-east-1\", \"awslogs-stream-prefix\": \"hello\"}}}]"
}
at ssm put-parameter --name /jobs/greeting --type SecureString --value 'good morning' >/dev/null
secret=$(ask secretsmanager create-secret --name jobs/db --secret-string '{"user": "me"}' --query ARN)
first=$(register "$uri:v1")
refused ClientException "Unable to describe task definition." ecs describe-task-definition --task-definition hello:9
same filled "$(ask ecs describe-task-definition --task-definition hello --query 'taskDefinition.containerDefinitions[0].[essential,portMappings[0].protocol]')" "True	tcp"

say "load balancer, target group, listener"
lb=$(ask elbv2 create-load-balancer --name cli --subnets subnet-1 subnet-2 --query 'LoadBalancers[0].LoadBalancerArn')
at elbv2 wait load-balancer-available --load-balancer-arns "$lb"
group=$(ask elbv2 create-target-group --name cli --protocol HTTP --port 80 --vpc-id vpc-1 --target-type ip --health-check-path /health \
    --health-check-interval-seconds 10 --healthy-threshold-count 2 --query 'TargetGroups[0].TargetGroupArn')
at elbv2 modify-target-group-attributes --target-group-arn "$group" --attributes Key=deregistration_delay.timeout_seconds,Value=10 >/dev/null
refused InvalidParameterException "does not have an associated load balancer" ecs create-service --cluster jobs --service-name hello \
    --task-definition hello --desired-count 2 --load-balancers "targetGroupArn=$group,containerName=hello,containerPort=8080"
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
listener=$(ask elbv2 create-listener --load-balancer-arn "$lb" --protocol HTTP --port "$port" \
    --default-actions "Type=forward,TargetGroupArn=$group" --query 'Listeners[0].ListenerArn')
same "listener port" "$(ask elbv2 describe-listeners --load-balancer-arn "$lb" --query 'Listeners[0].Port')" "$port"

say "service"
ask ecs create-service --cluster jobs --service-name hello --task-definition "$first" --desired-count 2 \
    --load-balancers "targetGroupArn=$group,containerName=hello,containerPort=8080" \
    --deployment-configuration 'deploymentCircuitBreaker={enable=true,rollback=true}' --query service.status >/dev/null
at ecs wait services-stable --cluster jobs --services hello
at elbv2 wait target-in-service --target-group-arn "$group"
at ecs wait tasks-running --cluster jobs --tasks $(ask ecs list-tasks --cluster jobs --service-name hello --query taskArns)
has answer "$(curl -fsS -D - -o /dev/null "http://127.0.0.1:$port/")" "x-hello-version: 1"
container=$(docker ps --quiet --filter "label=ecs-ship.sandbox=$(cat "$XDG_STATE_HOME"/docker-ecs-ship/sandbox/id)" | head -n 1)
env=$(docker inspect --format '{{join .Config.Env "\n"}}' "$container")
has "a parameter in the container" "$env" "GREETING=good morning"
has "a member of a secret in the container" "$env" "DB_USER=me"
case $(at ecs describe-tasks --cluster jobs --tasks $(ask ecs list-tasks --cluster jobs --query taskArns)) in
    *"good morning"*) die "a secret is shown with the tasks" ;;
esac

say "second revision"
second=$(register "$uri:v2")
deployment=$(ask ecs update-service --cluster jobs --service hello --task-definition "$second" --query service.currentServiceDeployment)
at ecs wait services-stable --cluster jobs --services hello
same deployment "$(ask ecs describe-service-deployments --service-deployment-arns "$deployment" --query 'serviceDeployments[0].status')" SUCCESSFUL
same deployments "$(ask ecs list-service-deployments --cluster jobs --service hello --query 'length(serviceDeployments)')" 2
revision=$(ask ecs describe-service-deployments --service-deployment-arns "$deployment" --query 'serviceDeployments[0].targetServiceRevision.arn')
has "image digest" "$(ask ecs describe-service-revisions --service-revision-arns "$revision" --query 'serviceRevisions[0].containerImages[0].imageDigest')" sha256:
has answer "$(curl -fsS -D - -o /dev/null "http://127.0.0.1:$port/")" "x-hello-version: 2"

say "blue/green: a pause, and an alarm that gives the traffic back"
green=$(ask elbv2 create-target-group --name cli-green --protocol HTTP --port 80 --vpc-id vpc-1 --target-type ip --health-check-path /health \
    --health-check-interval-seconds 10 --healthy-threshold-count 2 --query 'TargetGroups[0].TargetGroupArn')
rule=$(ask elbv2 describe-rules --listener-arn "$listener" --query 'Rules[0].RuleArn')
refused ResourceNotFound "Alarm errors does not exist" cloudwatch set-alarm-state --alarm-name errors --state-value OK --state-reason none
at cloudwatch put-metric-alarm --alarm-name errors --comparison-operator GreaterThanThreshold --evaluation-periods 1
same alarm "$(ask cloudwatch describe-alarms --alarm-names errors --query 'MetricAlarms[0].StateValue')" INSUFFICIENT_DATA
refused UnsupportedFeatureException "lifecycle hooks of the type AWS_LAMBDA" ecs update-service --cluster jobs --service hello \
    --deployment-configuration 'strategy=BLUE_GREEN,lifecycleHooks=[{hookTargetArn=arn:aws:lambda:x,lifecycleStages=[PRE_SCALE_UP]}]'
shift=$(ask ecs update-service --cluster jobs --service hello --task-definition "$first" --query service.currentServiceDeployment \
    --load-balancers "targetGroupArn=$group,containerName=hello,containerPort=8080,advancedConfiguration={alternateTargetGroupArn=$green,productionListenerRule=$rule,roleArn=arn:aws:iam::000000000000:role/ecs}" \
    --deployment-configuration 'strategy=BLUE_GREEN,bakeTimeInMinutes=60,lifecycleHooks=[{targetType=PAUSE,lifecycleStages=[POST_SCALE_UP]}],alarms={alarmNames=[errors],enable=true,rollback=true}')
# Waits until a query about the deployment says so.
becomes() { # query value
    local left=300
    until [ "$(ask ecs describe-service-deployments --service-deployment-arns "$shift" --query "serviceDeployments[0].$1")" = "$2" ]; do
        [ $((left -= 1)) -gt 0 ] || die "$1 never became $2: $(ask ecs describe-service-deployments --service-deployment-arns "$shift")"
    done
}
becomes 'lifecycleHookDetails[0].status' AWAITING_ACTION
has "before the shift" "$(curl -fsS -D - -o /dev/null "http://127.0.0.1:$port/")" "x-hello-version: 2"
hook=$(ask ecs describe-service-deployments --service-deployment-arns "$shift" --query 'serviceDeployments[0].lifecycleHookDetails[0].hookId')
at ecs continue-service-deployment --service-deployment-arn "$shift" --hook-id "$hook" --action CONTINUE >/dev/null
becomes lifecycleStage BAKE_TIME
has "after the shift" "$(curl -fsS -D - -o /dev/null "http://127.0.0.1:$port/")" "x-hello-version: 1"
at cloudwatch set-alarm-state --alarm-name errors --state-value ALARM --state-reason "a rehearsal"
becomes status ROLLBACK_SUCCESSFUL
has "after the alarm" "$(curl -fsS -D - -o /dev/null "http://127.0.0.1:$port/")" "x-hello-version: 2"
same "alarm of the deployment" "$(ask ecs describe-service-deployments --service-deployment-arns "$shift" --query 'serviceDeployments[0].alarms.[status,triggeredAlarmNames[0]]')" "TRIGGERED	errors"
at cloudwatch delete-alarms --alarm-names errors

say "settings and protection"
same providers "$(ask ecs put-cluster-capacity-providers --cluster jobs --capacity-providers FARGATE --default-capacity-provider-strategy capacityProvider=FARGATE --query cluster.capacityProviders)" FARGATE
same insights "$(ask ecs update-cluster-settings --cluster jobs --settings name=containerInsights,value=enabled --query 'cluster.settings[0].value')" enabled
same setting "$(ask ecs put-account-setting --name containerInsights --value enabled --query setting.value)" enabled
same "all settings, a page at a time" "$(all ecs list-account-settings --effective-settings --query 'length(settings)')" 11
protected=$(ask ecs list-tasks --cluster jobs --service-name hello --query 'taskArns[0]')
same protected "$(ask ecs update-task-protection --cluster jobs --tasks "$protected" --protection-enabled --query 'protectedTasks[0].protectionEnabled')" True
same protected "$(ask ecs get-task-protection --cluster jobs --tasks "$protected" --query 'protectedTasks[0].protectionEnabled')" True

say "read everything back"
for output in json text table; do
    at ecs describe-clusters --clusters jobs --include TAGS SETTINGS --output $output >/dev/null
    at ecs describe-services --cluster jobs --services hello --include TAGS --output $output >/dev/null
    at elbv2 describe-load-balancers --output $output >/dev/null
    at elbv2 describe-target-groups --output $output >/dev/null
    at elbv2 describe-target-health --target-group-arn "$group" --output $output >/dev/null
done
task=$(ask ecs list-tasks --cluster jobs --service-name hello --query 'taskArns[0]')
same "task" "$(ask ecs describe-tasks --cluster jobs --tasks "$task" --query 'tasks[0].[lastStatus,desiredStatus,group]')" "RUNNING	RUNNING	service:hello"
has "log" "$(ask logs get-log-events --log-group-name /jobs/hello --log-stream-name "hello/hello/${task##*/}" --query 'events[].message')" "version 2 listens"
same "two pages of tasks" "$(all ecs list-tasks --cluster jobs --query 'length(taskArns)')" 2
same "task definitions" "$(all ecs list-task-definitions --family-prefix hello --sort DESC --query taskDefinitionArns)" "[\"$second\",\"$first\"]"
has event "$(ask ecs describe-services --cluster jobs --services hello --query 'services[0].events[0].message')" "(service hello) has reached a steady state."

say "what is not emulated is refused by name"
refused UnknownOperationException DiscoverPollEndpoint ecs discover-poll-endpoint
refused UnknownOperationException DescribePullThroughCacheRules ecr describe-pull-through-cache-rules
refused UnknownOperationException DescribeQueries logs describe-queries
refused InvalidAction DescribeSSLPolicies elbv2 describe-ssl-policies
refused InvalidAction GetSessionToken sts get-session-token

say "take everything away"
refused InvalidParameterException "The service cannot be stopped while it is scaled above 0." ecs delete-service --cluster jobs --service hello
refused ClusterContainsServicesException "The Cluster cannot be deleted while Services are active." ecs delete-cluster --cluster jobs
refused ResourceInUse "is currently in use by a listener or a rule" elbv2 delete-target-group --target-group-arn "$group"
targets=$(ask elbv2 describe-target-health --target-group-arn "$group" --query 'TargetHealthDescriptions[].join(``, [`Id=`, Target.Id, `,Port=`, to_string(Target.Port)])')
same draining "$(ask ecs delete-service --cluster jobs --service hello --force --query service.status)" DRAINING
at ecs wait services-inactive --cluster jobs --services hello
at elbv2 wait target-deregistered --target-group-arn "$group" --targets $targets
at elbv2 delete-listener --listener-arn "$listener"
at elbv2 delete-load-balancer --load-balancer-arn "$lb"
at elbv2 wait load-balancers-deleted --load-balancer-arns "$lb"
at elbv2 delete-target-group --target-group-arn "$group"
at elbv2 delete-target-group --target-group-arn "$green"
refused RepositoryNotEmptyException "cannot be deleted because it still contains images" ecr delete-repository --repository-name cli/hello
at ecr delete-repository --repository-name cli/hello --force >/dev/null
at logs delete-log-group --log-group-name /jobs/hello
at ssm delete-parameter --name /jobs/greeting
at secretsmanager delete-secret --secret-id jobs/db --force-delete-without-recovery >/dev/null
same deregistered "$(ask ecs deregister-task-definition --task-definition "$second" --query taskDefinition.status)" INACTIVE
same inactive "$(ask ecs delete-cluster --cluster jobs --query cluster.status)" INACTIVE
same clusters "$(ask ecs list-clusters --query 'length(clusterArns)')" 0
same containers "$(docker ps --all --quiet --filter "label=ecs-ship.sandbox=$(cat "$XDG_STATE_HOME"/docker-ecs-ship/sandbox/id)" | wc -l)" 0
echo "aws-cli: ok"
