"""The sandbox through Ansible's modules for AWS, which nobody here wrote.

    python ansible_client.py PROGRAM

One playbook: every resource is created, asked for again, changed, asked for again and taken away, and taken away again. What
has nothing to do must say so: an answer that differs from AWS's in a member that a module compares is a playbook that
changes something with every run.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

from botocore_client import Sandbox, free_port

CLIENTS = pathlib.Path(sys.prefix)

# Every resource is written down as what it is first and what it is made into later.
LOG_GROUP = "amazon.aws.cloudwatchlogs_log_group", [
    {"log_group_name": "/shop/web", "retention": 14, "tags": {"team": "shop"}},
    {"log_group_name": "/shop/web", "retention": 7, "tags": {"team": "shop", "stage": "test"}},
]
REPOSITORY = "community.aws.ecs_ecr", [
    {"name": "shop/web", "scan_on_push": True, "image_tag_mutability": "immutable", "lifecycle_policy": {"rules": [{
        "rulePriority": 1, "description": "few", "action": {"type": "expire"},
        "selection": {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 14}}]}},
    {"name": "shop/web", "scan_on_push": False, "image_tag_mutability": "mutable", "purge_lifecycle_policy": True,
     "policy": {"Version": "2012-10-17", "Statement": [
         {"Sid": "pull", "Effect": "Allow", "Principal": "*", "Action": ["ecr:BatchGetImage"]}]}},
]
CLUSTER = "community.aws.ecs_cluster", [
    {"name": "shop"},
    {"name": "shop", "capacity_providers": ["FARGATE", "FARGATE_SPOT"],
     "capacity_provider_strategy": [{"capacity_provider": "FARGATE", "weight": 1, "base": 1}]},
]
GROUP = "community.aws.elb_target_group", [
    {"name": "shop-web", "protocol": "http", "port": 8080, "vpc_id": "vpc-1", "target_type": "ip", "health_check_protocol": "http",
     "health_check_path": "/health", "health_check_interval": 15, "health_check_timeout": 4, "healthy_threshold_count": 2,
     "unhealthy_threshold_count": 3, "successful_response_codes": "200-299", "deregistration_delay_timeout": 30,
     "modify_targets": False, "tags": {"team": "shop"}, "wait": True},
    {"name": "shop-web", "protocol": "http", "port": 8080, "vpc_id": "vpc-1", "target_type": "ip", "health_check_protocol": "http",
     "health_check_path": "/ready", "health_check_interval": 10, "successful_response_codes": "200", "deregistration_delay_timeout": 5,
     "stickiness_enabled": True, "stickiness_type": "lb_cookie", "stickiness_lb_cookie_duration": 600,
     "load_balancing_algorithm_type": "least_outstanding_requests", "modify_targets": False, "tags": {"stage": "test"}},
]
CONTAINER = {
    "name": "web", "image": "busybox:1", "essential": True, "cpu": 0, "portMappings": [{"containerPort": 8080, "hostPort": 8080}],
    "environment": [{"name": "COLOUR", "value": "green"}], "logConfiguration": {"logDriver": "awslogs", "options": {
        "awslogs-group": "/shop/web", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "web"}}}
DEFINITION = {
    "family": "shop-web", "launch_type": "FARGATE", "network_mode": "awsvpc", "cpu": "256", "memory": "512",
    "execution_role_arn": "arn:aws:iam::000000000000:role/execution"}
DEFINITIONS = "community.aws.ecs_taskdefinition", [
    {**DEFINITION, "containers": [CONTAINER]},
    {**DEFINITION, "containers": [{**CONTAINER, "image": "busybox:2"}]},
]


def balancer(port, other):
    common = {"name": "shop", "subnets": ["subnet-1", "subnet-2"], "security_groups": ["sg-0a1b2c3d"], "scheme": "internet-facing"}
    forward = [{"Type": "forward", "TargetGroupName": "shop-web"}]
    gone = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404", "ContentType": "text/plain", "MessageBody": "no"}}
    away = {"Type": "redirect", "RedirectConfig": {
        "Protocol": "HTTP", "Host": "#{host}", "Path": "/#{path}", "Port": "8080", "Query": "#{query}", "StatusCode": "HTTP_301"}}
    path = {"Field": "path-pattern", "Values": ["/static/*"]}
    host = {"Field": "host-header", "Values": ["shop.example.com"]}
    # Listener first and rules later: this release of the module looks for the rules of a listener it has just made without its ARN.
    return "amazon.aws.elb_application_lb", [
        {**common, "wait": True, "tags": {"team": "shop"}, "listeners": [{"Protocol": "HTTP", "Port": port, "DefaultActions": forward}]},
        {**common, "idle_timeout": 30, "tags": {"team": "shop"}, "listeners": [
            {"Protocol": "HTTP", "Port": port, "DefaultActions": forward, "Rules": [
                {"Priority": "1", "Conditions": [path], "Actions": forward},
                {"Priority": "2", "Conditions": [host, path], "Actions": [gone]}]}]},
        {**common, "idle_timeout": 90, "tags": {"stage": "test"}, "http_drop_invalid_header_fields": True, "listeners": [
            {"Protocol": "HTTP", "Port": port, "DefaultActions": [gone], "Rules": [
                {"Priority": "1", "Conditions": [host], "Actions": forward},
                {"Priority": "7", "Conditions": [path], "Actions": [away]}]},
            {"Protocol": "HTTP", "Port": other, "DefaultActions": forward}]},
    ]


def service(revision, count, **more):
    return {
        "name": "web", "cluster": "shop", "task_definition": f"shop-web:{revision}", "desired_count": count, "launch_type": "FARGATE",
        "network_configuration": {"subnets": ["subnet-1"], "security_groups": ["sg-0a1b2c3d"], "assign_public_ip": True},
        "load_balancers": [
            {"targetGroupArn": "{{ group.target_group_arn }}", "containerName": "web", "containerPort": 8080}],
        "deployment_configuration": {
            "minimum_healthy_percent": 100, "maximum_percent": 200, "deployment_circuit_breaker": {"enable": True, "rollback": True}},
        **more}


SERVICE = "community.aws.ecs_service", [
    service(1, 2, health_check_grace_period_seconds=30, tags={"team": "shop"}),
    service(2, 1, health_check_grace_period_seconds=10, tags={"team": "shop"}, enable_execute_command=True),
]

tasks = []


def step(name, module, members, changed, **more):
    """A task that fails if it changes something and should not, or the other way round."""
    so = "not " if changed else ""
    tasks.append({
        "name": name, module: members, "register": "done", "failed_when": f"done is failed or done is {so}changed", **more})


def expect(name, *facts):
    tasks.append({"name": name, "ansible.builtin.assert": {"that": list(facts)}})


def present(resource, version):
    module, versions = resource
    name = f"{module.rpartition('.')[2]} {version + 1}"
    step(name, module, {"state": "present", **versions[version]}, True)
    step(f"{name}, again", module, {"state": "present", **versions[version]}, False)


def absent(resource, **members):
    module, _ = resource
    name = module.rpartition(".")[2]
    step(f"{name}, taken away", module, {"state": "absent", **members}, True)
    step(f"{name}, taken away again", module, {"state": "absent", **members}, False)


def steady(revision, count):
    """The service as the module that only looks sees it, once it runs as it was asked to."""
    tasks.append({
        "name": f"{count} tasks of revision {revision} run", "community.aws.ecs_service_info": {
            "cluster": "shop", "service": "web", "details": True, "events": True},
        "register": "seen", "retries": 60, "delay": 0.5,
        "until": f"seen.services[0].runningCount == {count} and (seen.services[0].deployments | length) == 1"
                 f" and seen.services[0].taskDefinition.endswith('shop-web:{revision}')"})


def playbook(port, other):
    lb = balancer(port, other)
    present(LOG_GROUP, 0)
    present(LOG_GROUP, 1)
    present(REPOSITORY, 0)
    present(REPOSITORY, 1)
    present(CLUSTER, 0)
    present(CLUSTER, 1)
    present(GROUP, 0)
    tasks.append({"name": "group", "ansible.builtin.set_fact": {"group": "{{ done }}"}})
    present(lb, 0)
    present(lb, 1)
    expect("listener", "done.listeners | length == 1", "done.listeners[0].rules | length == 3", "done.state.code == 'active'")
    present(lb, 2)
    expect("listeners", "done.listeners | length == 2", "done.idle_timeout_timeout_seconds == '90'")
    present(DEFINITIONS, 0)
    present(SERVICE, 0)
    steady(1, 2)
    present(GROUP, 1)
    present(DEFINITIONS, 1)
    present(SERVICE, 1)
    steady(2, 1)
    module, versions = SERVICE
    step("forced", module, {"state": "present", **versions[1], "force_new_deployment": True}, True)
    step("service, taken away", module, {
        "state": "absent", "name": "web", "cluster": "shop", "force_deletion": True, "wait": True, "delay": 1, "repeat": 60}, True)
    step("service, taken away again", module, {"state": "absent", "name": "web", "cluster": "shop"}, False)
    for revision in (2, 1):
        members = {"family": "shop-web", "revision": revision, "containers": []}
        tasks.append({"name": "described", "community.aws.ecs_taskdefinition_info": {"task_definition": f"shop-web:{revision}"},
                      "register": "seen", "failed_when": f"seen is failed or seen.revision != {revision} or seen.status != 'ACTIVE'"})
        absent(DEFINITIONS, **members)
    absent(lb, name="shop", wait=True)
    absent(GROUP, name="shop-web")
    absent(CLUSTER, name="shop")
    absent(REPOSITORY, name="shop/web", force_absent=True)
    absent(LOG_GROUP, log_group_name="/shop/web")
    return [{"hosts": "localhost", "connection": "local", "gather_facts": False, "module_defaults": {
        name: {"endpoint_url": "{{ endpoint }}", "access_key": "sandbox", "secret_key": "sandbox", "region": "us-east-1"}
        for name in ("group/amazon.aws.aws", "group/community.aws.aws")}, "tasks": tasks}]


def main(program):
    with tempfile.TemporaryDirectory(prefix="ecs-ship-ansible.") as folder:
        folder = pathlib.Path(folder)
        with Sandbox(program, folder) as aws:
            book = folder / "playbook.json"
            book.write_text(json.dumps(playbook(free_port(), free_port())))
            env = {
                "PATH": f"{CLIENTS / 'bin'}:{os.environ['PATH']}", "HOME": str(folder), "LANG": "C.UTF-8", "ANSIBLE_PIPELINING": "1",
                "ANSIBLE_COLLECTIONS_PATH": str(CLIENTS / "collections"), "ANSIBLE_LOCALHOST_WARNING": "0",
                "ANSIBLE_INVENTORY_UNPARSED_WARNING": "0", "ANSIBLE_DEPRECATION_WARNINGS": "0", "ANSIBLE_NOCOLOR": "1"}
            done = subprocess.run(
                [CLIENTS / "bin" / "ansible-playbook", book, "-e", f"endpoint={aws.endpoint}",
                 "-e", f"ansible_python_interpreter={sys.executable}"],
                env=env, cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        print(done.stdout, done.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
