"""The sandbox through botocore, the library under the AWS CLI and boto3, which nobody here wrote.

    python botocore_client.py PROGRAM LIST

Starts a sandbox on paper and does three things with it:

1. goes through a whole life of repositories, balancers, services and logs, with botocore's own waiters and paginators;
2. asks for every operation that botocore knows of the services, and compares those that are refused as not emulated with
   LIST; UPDATE=1 writes LIST anew;
3. holds every answer against botocore's models: members it does not know, members that must be there, types, words of enums.

Every operation that is emulated must have been answered well at least once. Exits 1 and says what is wrong.
"""

import base64
import collections
import hashlib
import io
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
import xml.etree.ElementTree as xml

import botocore.config
import botocore.session
from botocore.exceptions import ClientError

SERVICES = ["ecs", "ecr", "elbv2", "logs", "ssm", "secretsmanager", "sts", "cloudwatch"]
NOT_EMULATED = {"UnknownOperationException", "InvalidAction"}
# Members that ECS has and this botocore does not know yet; with the operation that shows them.
NEWER = {
    "deploymentCircuitBreaker.resetOnHealthyTask",
    "deploymentCircuitBreaker.thresholdConfiguration",
    "deploymentConfiguration.earlySuccessCriteria",
}
NEWER_WORDS = {"dualStackIPv6"}

problems = collections.Counter()
answered = set()


def walk(shape, value, path):
    """What is wrong with a decoded JSON answer."""
    kind = shape.type_name
    if value is None:
        yield f"{path} is null"
    elif kind == "structure":
        if not isinstance(value, dict):
            yield f"{path} is no structure"
            return
        for name in shape.required_members:
            if name not in value:
                yield f"{path} lacks {name}"
        for name, inner in value.items():
            if name in shape.members:
                yield from walk(shape.members[name], inner, f"{path}.{name}")
            elif not any(f"{path}.{name}".endswith(newer) for newer in NEWER):
                yield f"{path} has the unknown member {name}"
    elif kind == "list":
        if not isinstance(value, list):
            yield f"{path} is no list"
            return
        for inner in value:
            yield from walk(shape.member, inner, f"{path}[]")
    elif kind == "map":
        for inner in value.values():
            yield from walk(shape.value, inner, f"{path}{{}}")
    elif kind == "string":
        if not isinstance(value, str):
            yield f"{path} is no string: {value!r}"
        elif shape.enum and value not in shape.enum and value not in NEWER_WORDS:
            yield f"{path} has the unknown word {value!r}"
    elif kind in ("integer", "long"):
        if isinstance(value, bool) or not isinstance(value, int):
            yield f"{path} is no whole number: {value!r}"
    elif kind in ("double", "float", "timestamp"):
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            yield f"{path} is no number: {value!r}"
    elif kind == "boolean" and not isinstance(value, bool):
        yield f"{path} is neither true nor false: {value!r}"


def walk_xml(shape, node, path):
    """The same for the XML of the Query protocol."""
    local = lambda element: element.tag.rpartition("}")[2]
    kind = shape.type_name
    if kind == "structure":
        for name in shape.required_members:
            if not any(local(child) == name for child in node):
                yield f"{path} lacks {name}"
        for child in node:
            name = local(child)
            if name in shape.members:
                yield from walk_xml(shape.members[name], child, f"{path}.{name}")
            else:
                yield f"{path} has the unknown member {name}"
    elif kind == "list":
        for child in node:
            if local(child) != "member":
                yield f"{path} has {local(child)} where a member should be"
            else:
                yield from walk_xml(shape.member, child, f"{path}[]")
    elif kind == "string" and shape.enum and (node.text or "") not in shape.enum:
        yield f"{path} has the unknown word {node.text!r}"
    elif kind in ("integer", "long"):
        try:
            int(node.text or "")
        except ValueError:
            yield f"{path} is no whole number: {node.text!r}"
    elif kind == "boolean" and node.text not in ("true", "false"):
        yield f"{path} is neither true nor false: {node.text!r}"


def judge(operation_model, response_dict, **_):
    """Hears every answer before botocore reads it, and drops what it does not know."""
    service, name = operation_model.service_model.service_name, operation_model.name
    if service == "ec2":
        return
    if not any(key.lower() == "x-amzn-requestid" for key in response_dict["headers"]):
        problems[f"{service} {name}: no request id"] += 1
    if response_dict["status_code"] != 200:
        return
    answered.add((service, name))
    shape, body = operation_model.output_shape, response_dict["body"]
    if shape is None:
        return
    if operation_model.service_model.resolved_protocol == "query":
        root = xml.fromstring(body)
        result = next((child for child in root if child.tag.endswith(f"{name}Result")), None)
        wrong = walk_xml(shape, result, name) if result is not None else [f"{name} has no result"]
    else:
        wrong = walk(shape, json.loads(body or b"{}"), name)
    for one in wrong:
        problems[f"{service} {one}"] += 1


class Sandbox:
    """A sandbox on paper with a state folder of its own, and clients for it."""

    def __init__(self, program, folder):
        self.program, self.folder = program, folder
        self.env = {**os.environ, "XDG_STATE_HOME": str(folder), "HOME": str(folder)}
        self.env.pop("ECS_SHIP_STATE_DIR", None)

    def ship(self, *words):
        done = subprocess.run([self.program, "sandbox", *words], env=self.env, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"sandbox {' '.join(words)} ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def __enter__(self):
        self.ship("up", "--paper", "--port", "0", "--speed", "1000")
        self.endpoint = json.loads(self.ship("status", "--format", "json"))["endpoint"]
        session = botocore.session.get_session()
        session.register("before-parse", judge)
        # The streaming operations of Logs go to a host name of their own, which loopback has not.
        config = botocore.config.Config(retries={"max_attempts": 1}, inject_host_prefix=False)
        for name in [*SERVICES, "ec2"]:
            client = session.create_client(
                name, region_name="us-east-1", endpoint_url=self.endpoint, aws_access_key_id="sandbox",
                aws_secret_access_key="sandbox", config=config)
            setattr(self, name, client)
        return self

    def __exit__(self, *_):
        self.ship("down")


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def refused(code, call, **members):
    try:
        call(**members)
    except ClientError as error:
        found = error.response["Error"]["Code"]
        if found != code:
            problems[f"{call.__name__}: refused with {found}, not {code}"] += 1
    else:
        problems[f"{call.__name__}: not refused, {code} was expected"] += 1


def same(what, found, expected):
    if found != expected:
        problems[f"{what}: {found!r}, not {expected!r}"] += 1


def wait(client, waiter, **members):
    client.get_waiter(waiter).wait(**members, WaiterConfig={"Delay": 1, "MaxAttempts": 30})


def pages(client, operation, key, **members):
    """Everything, one at a time."""
    paginator = client.get_paginator(operation)
    return [one for page in paginator.paginate(**members, PaginationConfig={"PageSize": 1}) for one in page.get(key, [])]


# A whole life of each service


def sts(aws):
    same("account", aws.sts.get_caller_identity()["Account"], "000000000000")
    aws.sts.assume_role(RoleArn="arn:aws:iam::000000000000:role/deploy", RoleSessionName="ci")
    # A token as a build service gives it: its claims are read, its signature is nobody's.
    coded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in (
        {"alg": "RS256"}, {"iss": "https://token.example.com", "sub": "repo:shop", "aud": "sts.amazonaws.com", "exp": int(time.time()) + 60})]
    assumed = aws.sts.assume_role_with_web_identity(
        RoleArn="arn:aws:iam::000000000000:role/deploy", RoleSessionName="ci", WebIdentityToken=".".join([*coded, "c2lnbmVk"]))
    same("web identity", assumed["SubjectFromWebIdentityToken"], "repo:shop")
    presigned(aws)


def presigned(aws):
    """Addresses that carry their signature, as tools hand them to one another: good ones, and one that was changed."""
    def fetch(url):
        try:
            with urllib.request.urlopen(url) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as refusal:
            return refusal.code, refusal.read().decode()

    who = aws.sts.generate_presigned_url("get_caller_identity", ExpiresIn=60, HttpMethod="GET")
    status, answer = fetch(who)
    same("presigned", [status, "<Arn>arn:aws:iam::000000000000:user/sandbox</Arn>" in answer], [200, True])
    groups = aws.elbv2.generate_presigned_url("describe_target_groups", ExpiresIn=60, HttpMethod="GET")
    same("presigned, of ELB", fetch(groups)[0], 200)
    status, answer = fetch(who.replace("X-Amz-Expires=60", "X-Amz-Expires=6000"))
    same("presigned and changed", [status, "SignatureDoesNotMatch" in answer], [403, True])
    late = aws.sts.generate_presigned_url("get_caller_identity", ExpiresIn=1, HttpMethod="GET")
    time.sleep(2.1)
    status, answer = fetch(late)
    same("presigned and too late", [status, "expired" in answer], [403, True])


def layer(ecr, name, content):
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    upload = ecr.initiate_layer_upload(repositoryName=name)["uploadId"]
    ecr.upload_layer_part(
        repositoryName=name, uploadId=upload, partFirstByte=0, partLastByte=len(content) - 1, layerPartBlob=content)
    ecr.complete_layer_upload(repositoryName=name, uploadId=upload, layerDigests=[digest])
    return {"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": len(content)}


def ecr(aws):
    ecr, name = aws.ecr, "jobs/api"
    refused("RepositoryNotFoundException", ecr.describe_repositories, repositoryNames=[name])
    arn = ecr.create_repository(repositoryName=name)["repository"]["repositoryArn"]
    ecr.create_repository(repositoryName="jobs/other")
    same("repositories", [one["repositoryName"] for one in pages(ecr, "describe_repositories", "repositories")],
         [name, "jobs/other"])
    token = ecr.get_authorization_token()["authorizationData"][0]["authorizationToken"]
    same("user", base64.b64decode(token).decode().partition(":")[0], "AWS")
    ecr.describe_registry()
    ecr.tag_resource(resourceArn=arn, tags=[{"Key": "team", "Value": "jobs"}])
    ecr.list_tags_for_resource(resourceArn=arn)
    ecr.untag_resource(resourceArn=arn, tagKeys=["team"])
    ecr.put_account_setting(name="BLOB_MOUNTING", value="ENABLED")
    ecr.get_account_setting(name="BLOB_MOUNTING")
    ecr.put_image_tag_mutability(
        repositoryName=name, imageTagMutability="IMMUTABLE_WITH_EXCLUSION",
        imageTagMutabilityExclusionFilters=[{"filterType": "WILDCARD", "filter": "dev*"}])
    ecr.put_image_scanning_configuration(repositoryName=name, imageScanningConfiguration={"scanOnPush": False})
    ecr.put_registry_scanning_configuration(scanType="BASIC", rules=[])
    ecr.get_registry_scanning_configuration()
    ecr.batch_get_repository_scanning_configuration(repositoryNames=[name, "nope"])
    ecr.put_replication_configuration(replicationConfiguration={"rules": []})
    policy = json.dumps({"Version": "2012-10-17", "Statement": []})
    for of in ("registry", "repository"):
        members = {"repositoryName": name} if of == "repository" else {}
        getattr(ecr, "set_repository_policy" if members else "put_registry_policy")(**members, policyText=policy)
        getattr(ecr, f"get_{of}_policy")(**members)
        getattr(ecr, f"delete_{of}_policy")(**members)
        refused("RegistryPolicyNotFoundException" if not members else "RepositoryPolicyNotFoundException",
                getattr(ecr, f"get_{of}_policy"), **members)

    config, content = layer(ecr, name, b"{}"), layer(ecr, name, b"layer")
    kind = "application/vnd.oci.image.manifest.v1+json"
    manifest = {"schemaVersion": 2, "mediaType": kind, "config": config, "layers": [content]}
    put = ecr.put_image(repositoryName=name, imageManifest=json.dumps(manifest), imageTag="v1")["image"]
    refused("ImageAlreadyExistsException", ecr.put_image, repositoryName=name, imageManifest=json.dumps(manifest), imageTag="v1")
    subject = {"mediaType": kind, "digest": put["imageId"]["imageDigest"], "size": 1}
    about = {**manifest, "artifactType": "application/x.sbom", "subject": subject}
    ecr.put_image(repositoryName=name, imageManifest=json.dumps(about))
    referrers = ecr.list_image_referrers(repositoryName=name, subjectId={"imageDigest": subject["digest"]})["referrers"]
    same("referrers", len(referrers), 1)
    same("images", len(pages(ecr, "describe_images", "imageDetails", repositoryName=name)), 2)
    same("ids", len(pages(ecr, "list_images", "imageIds", repositoryName=name)), 2)
    ecr.batch_get_image(repositoryName=name, imageIds=[{"imageTag": "v1"}, {"imageTag": "v9"}])
    ecr.batch_check_layer_availability(repositoryName=name, layerDigests=[content["digest"], "sha256:" + "0" * 64])
    ecr.get_download_url_for_layer(repositoryName=name, layerDigest=content["digest"])
    image = {"repositoryName": name, "imageId": {"imageTag": "v1"}}
    ecr.describe_image_replication_status(**image)
    refused("ScanNotFoundException", ecr.describe_image_scan_findings, **image)
    state = next(aws.folder.glob("**/sandbox.json")).parent
    finding = {"name": "CVE-2026-1", "severity": "HIGH", "attributes": [{"key": "package_name", "value": "zlib"}]}
    (state / "findings.json").write_text(json.dumps({name: [finding, {**finding, "name": "CVE-2026-2"}]}))
    ecr.start_image_scan(**image)
    wait(ecr, "image_scan_complete", **image)
    ecr.describe_images(repositoryName=name, imageIds=[{"imageTag": "v1"}])
    found = [one["name"] for page in ecr.get_paginator("describe_image_scan_findings").paginate(
        **image, PaginationConfig={"PageSize": 1}) for one in page["imageScanFindings"]["findings"]]
    same("findings", found, ["CVE-2026-1", "CVE-2026-2"])
    rule = {"rulePriority": 1, "action": {"type": "expire"},
            "selection": {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 1}}
    ecr.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=json.dumps({"rules": [rule]}))
    ecr.get_lifecycle_policy(repositoryName=name)
    ecr.start_lifecycle_policy_preview(repositoryName=name)
    wait(ecr, "lifecycle_policy_preview_complete", repositoryName=name)
    same("previews", len(pages(ecr, "get_lifecycle_policy_preview", "previewResults", repositoryName=name)), 1)
    ecr.delete_lifecycle_policy(repositoryName=name)
    ecr.batch_delete_image(repositoryName=name, imageIds=[{"imageTag": "v1"}, {"imageTag": "v9"}])
    ecr.delete_repository(repositoryName=name, force=True)
    ecr.delete_repository(repositoryName="jobs/other")


def networks(ec2):
    """What tools look up before they create anything."""
    vpc = ec2.describe_vpcs(Filters=[{"Name": "isDefault", "Values": ["true"]}])["Vpcs"][0]
    same("VPC", [vpc["VpcId"], vpc["IsDefault"], vpc["State"]], ["vpc-sandbox", True, "available"])
    subnets = ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}])["Subnets"]
    same("subnets", [[one["VpcId"], one["AvailabilityZone"], one["AvailableIpAddressCount"]] for one in subnets],
         [["vpc-sandbox", "us-east-1a", 250]] * 2)
    groups = ec2.describe_security_groups(GroupIds=["sg-1", "sg-2"])["SecurityGroups"]
    same("security groups", [[one["GroupId"], one["VpcId"]] for one in groups], [["sg-1", "vpc-sandbox"], ["sg-2", "vpc-sandbox"]])
    refused("InvalidGroup.NotFound", ec2.describe_security_groups, GroupNames=["web"])
    refused("InvalidAction", ec2.describe_instances)
    refused("InvalidParameterValue", ec2.describe_vpcs, Filters=[{"Name": "tag:Name", "Values": ["prod"]}])


def balanced(elb):
    """A load balancer with a listener and a group; their ARNs."""
    refused("LoadBalancerNotFound", elb.describe_load_balancers, Names=["web"])
    balancer = elb.create_load_balancer(Name="web", Subnets=["subnet-1", "subnet-2"])["LoadBalancers"][0]["LoadBalancerArn"]
    wait(elb, "load_balancer_exists", LoadBalancerArns=[balancer])
    wait(elb, "load_balancer_available", LoadBalancerArns=[balancer])
    groups = [
        elb.create_target_group(Name=name, Protocol="HTTP", Port=80, VpcId="vpc-1", TargetType="ip")["TargetGroups"][0]
        ["TargetGroupArn"] for name in ("web", "other")]
    forward = {"Type": "forward", "ForwardConfig": {
        "TargetGroups": [{"TargetGroupArn": arn, "Weight": weight} for arn, weight in zip(groups, (9, 0))],
        "TargetGroupStickinessConfig": {"Enabled": True, "DurationSeconds": 60}}}
    listener = elb.create_listener(
        LoadBalancerArn=balancer, Protocol="HTTP", DefaultActions=[forward])["Listeners"][0]["ListenerArn"]
    return balancer, groups, listener


def elb(aws, balancer, groups, listener):
    elb = aws.elbv2
    same("groups", len(pages(elb, "describe_target_groups", "TargetGroups")), 2)
    same("balancers", len(pages(elb, "describe_load_balancers", "LoadBalancers")), 1)
    same("listeners", len(pages(elb, "describe_listeners", "Listeners", LoadBalancerArn=balancer)), 1)
    fixed = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404", "MessageBody": "no", "ContentType": "text/plain"}}
    conditions = [
        {"Field": "path-pattern", "Values": ["/a/*"]},
        {"Field": "host-header", "HostHeaderConfig": {"Values": ["*.example.com"]}},
        {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "X-Stage", "Values": ["green"]}},
        {"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["GET"]}},
        {"Field": "query-string", "QueryStringConfig": {"Values": [{"Key": "v", "Value": "1*"}]}},
        {"Field": "source-ip", "SourceIpConfig": {"Values": ["10.0.0.0/8"]}},
        {"Field": "host-header", "HostHeaderConfig": {"RegexValues": ["^(www\\.)?example\\.com$"]}},
        {"Field": "path-pattern", "PathPatternConfig": {"RegexValues": ["^/v[0-9]+/"]}},
        {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "User-Agent", "RegexValues": ["^curl/"]}},
    ]
    rules = [
        elb.create_rule(ListenerArn=listener, Priority=at + 1, Conditions=[condition], Actions=[fixed])["Rules"][0]["RuleArn"]
        for at, condition in enumerate(conditions)]
    same("rules", len(pages(elb, "describe_rules", "Rules", ListenerArn=listener)), len(conditions) + 1)
    redirect = {"Type": "redirect", "RedirectConfig": {"StatusCode": "HTTP_301", "Path": "/new"}}
    elb.modify_rule(RuleArn=rules[0], Actions=[redirect])
    elb.set_rule_priorities(RulePriorities=[{"RuleArn": rules[0], "Priority": 100}])
    refused("PriorityInUse", elb.create_rule, ListenerArn=listener, Priority=100, Conditions=conditions[:1], Actions=[fixed])
    transforms = [
        {"Type": "host-header-rewrite", "HostHeaderRewriteConfig": {"Rewrites": [{"Regex": "^(.+)[.]com$", "Replace": "$1.internal"}]}},
        {"Type": "url-rewrite", "UrlRewriteConfig": {"Rewrites": [{"Regex": "^/api/(.*)$", "Replace": "/$1"}]}}]
    elb.modify_rule(RuleArn=rules[1], Transforms=transforms)
    same("transforms", elb.describe_rules(RuleArns=rules[1:2])["Rules"][0]["Transforms"], transforms)
    refused("ValidationError", elb.modify_rule, RuleArn=rules[1], Transforms=[transforms[0], transforms[0]])
    refused("ValidationError", elb.modify_rule, RuleArn=rules[1], Transforms=transforms, ResetTransforms=True)
    same("no transforms", elb.modify_rule(RuleArn=rules[1], ResetTransforms=True)["Rules"][0]["Transforms"], [])
    for rule in rules:
        elb.delete_rule(RuleArn=rule)
    elb.modify_listener(ListenerArn=listener, Port=elb.describe_listeners(ListenerArns=[listener])["Listeners"][0]["Port"])
    elb.modify_listener_attributes(ListenerArn=listener, Attributes=[
        {"Key": "routing.http.response.x_frame_options.header_value", "Value": "DENY"},
        {"Key": "routing.http.response.server.enabled", "Value": "false"}])
    found = {one["Key"]: one["Value"] for one in elb.describe_listener_attributes(ListenerArn=listener)["Attributes"]}
    same("listener attributes", [found["routing.http.response.x_frame_options.header_value"],
                                 found["routing.http.response.server.enabled"],
                                 found["routing.http.response.access_control_max_age.header_value"]], ["DENY", "false", ""])
    elb.describe_capacity_reservation(LoadBalancerArn=balancer)
    elb.set_security_groups(LoadBalancerArn=balancer, SecurityGroups=["sg-1"])
    elb.set_subnets(LoadBalancerArn=balancer, Subnets=["subnet-3", "subnet-4"])
    elb.set_ip_address_type(LoadBalancerArn=balancer, IpAddressType="ipv4")
    elb.describe_load_balancer_attributes(LoadBalancerArn=balancer)
    elb.modify_load_balancer_attributes(
        LoadBalancerArn=balancer, Attributes=[{"Key": "idle_timeout.timeout_seconds", "Value": "30"}])
    elb.modify_target_group(TargetGroupArn=groups[0], HealthCheckPath="/health", Matcher={"HttpCode": "200-299"})
    elb.modify_target_group_attributes(
        TargetGroupArn=groups[0], Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "10"}])
    elb.describe_target_group_attributes(TargetGroupArn=groups[0])
    elb.add_tags(ResourceArns=[balancer], Tags=[{"Key": "a", "Value": "1"}])
    elb.describe_tags(ResourceArns=[balancer])
    elb.remove_tags(ResourceArns=[balancer], TagKeys=["a"])
    target = {"TargetGroupArn": groups[1], "Targets": [{"Id": "127.0.0.1", "Port": 1}]}
    elb.register_targets(**target)
    elb.describe_target_health(TargetGroupArn=groups[1])
    elb.deregister_targets(**target)
    wait(elb, "target_deregistered", **target)


def gone(aws, balancer, groups, listener):
    elb = aws.elbv2
    elb.delete_listener(ListenerArn=listener)
    elb.delete_load_balancer(LoadBalancerArn=balancer)
    wait(elb, "load_balancers_deleted", LoadBalancerArns=[balancer])
    for group in groups:
        elb.delete_target_group(TargetGroupArn=group)


def logs(aws):
    logs, group = aws.logs, "/jobs/api"
    for name in (group, "/jobs/other"):
        logs.create_log_group(logGroupName=name)
    refused("ResourceAlreadyExistsException", logs.create_log_group, logGroupName=group)
    same("groups", len(pages(logs, "describe_log_groups", "logGroups")), 2)
    logs.put_retention_policy(logGroupName=group, retentionInDays=7)
    logs.delete_retention_policy(logGroupName=group)
    arn = next(one["logGroupArn"] for one in pages(logs, "describe_log_groups", "logGroups") if one["logGroupName"] == group)
    logs.tag_resource(resourceArn=arn, tags={"team": "jobs", "stage": "test"})
    logs.untag_resource(resourceArn=arn, tagKeys=["team"])
    same("tags", logs.list_tags_for_resource(resourceArn=arn)["tags"], {"stage": "test"})
    logs.tag_log_group(logGroupName=group, tags={"team": "shop"})
    logs.untag_log_group(logGroupName=group, tags=["stage"])
    same("tags by name", logs.list_tags_log_group(logGroupName=group)["tags"], {"team": "shop"})
    for name in ("one", "two"):
        logs.create_log_stream(logGroupName=group, logStreamName=name)
    same("streams", len(pages(logs, "describe_log_streams", "logStreams", logGroupName=group)), 2)
    now = int(time.time() * 1000)
    events = [{"timestamp": now + at, "message": f"line {at}"} for at in range(3)]
    logs.put_log_events(logGroupName=group, logStreamName="one", logEvents=events)
    found = logs.get_log_events(logGroupName=group, logStreamName="one", startFromHead=True)["events"]
    same("lines", [event["message"] for event in found], ["line 0", "line 1", "line 2"])
    same("matches", len(pages(logs, "filter_log_events", "events", logGroupName=group, filterPattern="line")), 3)
    logs.delete_log_stream(logGroupName=group, logStreamName="two")
    logs.delete_log_group(logGroupName=group)
    logs.delete_log_group(logGroupName="/jobs/other")


def alarms(aws):
    watch = aws.cloudwatch
    watch.put_metric_alarm(AlarmName="errors", ComparisonOperator="GreaterThanThreshold", EvaluationPeriods=1,
                           MetricName="5XX", Namespace="jobs", Threshold=1.0, Period=60, Statistic="Sum")
    watch.set_alarm_state(AlarmName="errors", StateValue="ALARM", StateReason="a test")
    same("alarms", [one["StateValue"] for one in pages(watch, "describe_alarms", "MetricAlarms")], ["ALARM"])
    watch.set_alarm_state(AlarmName="errors", StateValue="OK", StateReason="a test")
    watch.delete_alarms(AlarmNames=["errors"])


def ssm(aws):
    ssm = aws.ssm
    refused("ParameterNotFound", ssm.get_parameter, Name="/jobs/db")
    ssm.put_parameter(Name="/jobs/db", Value="one", Type="SecureString", Tags=[{"Key": "team", "Value": "jobs"}])
    ssm.put_parameter(Name="/jobs/ttl", Value="5", Type="String", AllowedPattern="[0-9]+")
    refused("ParameterAlreadyExists", ssm.put_parameter, Name="/jobs/db", Value="two", Type="SecureString")
    refused("ParameterPatternMismatchException", ssm.put_parameter, Name="/jobs/ttl", Value="soon", Overwrite=True)
    same("version", ssm.put_parameter(Name="/jobs/db", Value="two", Overwrite=True)["Version"], 2)
    ssm.label_parameter_version(Name="/jobs/db", ParameterVersion=1, Labels=["live"])
    same("labelled", ssm.get_parameter(Name="/jobs/db:live", WithDecryption=True)["Parameter"]["Value"], "one")
    same("by label", [one["Value"] for one in ssm.get_parameters_by_path(
        Path="/jobs", WithDecryption=True, ParameterFilters=[{"Key": "Label", "Values": ["live"]}])["Parameters"]], ["one"])
    ssm.label_parameter_version(Name="/jobs/db", Labels=["live"])
    same("labels of the versions", [one["Labels"] for one in ssm.get_parameter_history(Name="/jobs/db")["Parameters"]], [[], ["live"]])
    ssm.unlabel_parameter_version(Name="/jobs/db", ParameterVersion=2, Labels=["live"])
    refused("ParameterVersionNotFound", ssm.get_parameter, Name="/jobs/db:live")
    same("value", ssm.get_parameter(Name="/jobs/db", WithDecryption=True)["Parameter"]["Value"], "two")
    same("earlier", ssm.get_parameter(Name="/jobs/db:1", WithDecryption=True)["Parameter"]["Value"], "one")
    got = ssm.get_parameters(Names=["/jobs/ttl", "nope"])
    same("several", ([one["Value"] for one in got["Parameters"]], got["InvalidParameters"]), (["5"], ["nope"]))
    same("below", [one["Name"] for one in pages(ssm, "get_parameters_by_path", "Parameters", Path="/jobs")],
         ["/jobs/db", "/jobs/ttl"])
    same("all", len(pages(ssm, "describe_parameters", "Parameters")), 2)
    # As Terraform reads one back.
    found = ssm.describe_parameters(ParameterFilters=[{"Key": "Name", "Option": "Equals", "Values": ["/jobs/db"]}])
    same("found", [one["Type"] for one in found["Parameters"]], ["SecureString"])
    same("history", len(pages(ssm, "get_parameter_history", "Parameters", Name="/jobs/db")), 2)
    resource = {"ResourceType": "Parameter", "ResourceId": "/jobs/db"}
    ssm.add_tags_to_resource(**resource, Tags=[{"Key": "a", "Value": "1"}])
    ssm.remove_tags_from_resource(**resource, TagKeys=["team"])
    same("tags", ssm.list_tags_for_resource(**resource)["TagList"], [{"Key": "a", "Value": "1"}])
    ssm.delete_parameter(Name="/jobs/db")
    ssm.delete_parameters(Names=["/jobs/ttl", "nope"])


def secrets(aws):
    secrets, name = aws.secretsmanager, "jobs/db"
    refused("ResourceNotFoundException", secrets.get_secret_value, SecretId=name)
    made = secrets.create_secret(Name=name, SecretString='{"user": "me"}', Tags=[{"Key": "team", "Value": "jobs"}])
    secrets.create_secret(Name="jobs/bytes", SecretBinary=b"\x00\x01")
    refused("ResourceExistsException", secrets.create_secret, Name=name, SecretString="other")
    same("bytes", secrets.get_secret_value(SecretId="jobs/bytes")["SecretBinary"], b"\x00\x01")
    secrets.put_secret_value(SecretId=name, SecretString='{"user": "you"}')
    same("current", secrets.get_secret_value(SecretId=made["ARN"])["SecretString"], '{"user": "you"}')
    same("previous", secrets.get_secret_value(SecretId=name, VersionStage="AWSPREVIOUS")["VersionId"], made["VersionId"])
    current = secrets.update_secret(SecretId=name, SecretString="third", Description="of the jobs")["VersionId"]
    secrets.update_secret_version_stage(
        SecretId=name, VersionStage="AWSCURRENT", RemoveFromVersionId=current, MoveToVersionId=made["VersionId"])
    same("moved", secrets.get_secret_value(SecretId=name)["VersionId"], made["VersionId"])
    secrets.describe_secret(SecretId=name)
    same("versions", len(secrets.list_secret_version_ids(SecretId=name)["Versions"]), 2)
    same("secrets", len(pages(secrets, "list_secrets", "SecretList")), 2)
    secrets.get_resource_policy(SecretId=name)
    secrets.tag_resource(SecretId=name, Tags=[{"Key": "a", "Value": "1"}])
    secrets.untag_resource(SecretId=name, TagKeys=["a"])
    secrets.delete_secret(SecretId=name, RecoveryWindowInDays=7)
    refused("InvalidRequestException", secrets.get_secret_value, SecretId=name)
    secrets.restore_secret(SecretId=name)
    for one in (name, "jobs/bytes"):
        secrets.delete_secret(SecretId=one, ForceDeleteWithoutRecovery=True)
    refused("ResourceNotFoundException", secrets.describe_secret, SecretId=name)


def ecs(aws, group):
    ecs = aws.ecs
    refused("ClusterNotFoundException", ecs.list_services, cluster="jobs")
    cluster = ecs.create_cluster(clusterName="jobs", tags=[{"key": "team", "value": "jobs"}])["cluster"]["clusterArn"]
    ecs.create_cluster(clusterName="other")
    same("clusters", len(pages(ecs, "list_clusters", "clusterArns")), 2)
    ecs.update_cluster(cluster="jobs", settings=[{"name": "containerInsights", "value": "enabled"}])
    ecs.update_cluster_settings(cluster="jobs", settings=[{"name": "containerInsights", "value": "disabled"}])
    ecs.put_cluster_capacity_providers(cluster="jobs", capacityProviders=["FARGATE"], defaultCapacityProviderStrategy=[])
    ecs.describe_capacity_providers()
    ecs.describe_clusters(clusters=["jobs", "nope"], include=["TAGS", "SETTINGS", "STATISTICS"])
    same("instances", pages(ecs, "list_container_instances", "containerInstanceArns", cluster="jobs"), [])
    ecs.describe_container_instances(cluster="jobs", containerInstances=["nope"])
    ecs.put_account_setting(name="containerInsights", value="enabled")
    ecs.put_account_setting_default(name="containerInsights", value="disabled")
    pages(ecs, "list_account_settings", "settings", effectiveSettings=True)
    ecs.delete_account_setting(name="containerInsights")
    ecs.list_tags_for_resource(resourceArn=cluster)
    ecs.tag_resource(resourceArn=cluster, tags=[{"key": "a", "value": "1"}])
    ecs.untag_resource(resourceArn=cluster, tagKeys=["a"])

    def register(version):
        return ecs.register_task_definition(family="api", containerDefinitions=[{
            "name": "api", "image": f"busybox:{version}", "memory": 64, "portMappings": [{"containerPort": 8080}]}])[
                "taskDefinition"]["taskDefinitionArn"]

    first, second = register(1), register(2)
    same("definitions", pages(ecs, "list_task_definitions", "taskDefinitionArns", familyPrefix="api"), [first, second])
    same("families", pages(ecs, "list_task_definition_families", "families"), ["api"])
    ecs.describe_task_definition(taskDefinition="api", include=["TAGS"])
    behind = [{"targetGroupArn": group, "containerName": "api", "containerPort": 8080}]
    ecs.create_service(
        cluster="jobs", serviceName="api", taskDefinition=first, desiredCount=2, loadBalancers=behind,
        deploymentConfiguration={"deploymentCircuitBreaker": {"enable": True, "rollback": True}})
    wait(ecs, "services_stable", cluster="jobs", services=["api"])
    wait(aws.elbv2, "target_in_service", TargetGroupArn=group)
    aws.elbv2.describe_target_health(TargetGroupArn=group)
    service = ecs.update_service(cluster="jobs", service="api", taskDefinition=second)["service"]
    wait(ecs, "services_stable", cluster="jobs", services=["api"])
    described = ecs.describe_services(cluster="jobs", services=["api", "nope"], include=["TAGS"])
    same("missing", described["failures"][0]["reason"], "MISSING")
    deployment = ecs.describe_service_deployments(serviceDeploymentArns=[service["currentServiceDeployment"]])
    revision = deployment["serviceDeployments"][0]["targetServiceRevision"]["arn"]
    ecs.describe_service_revisions(serviceRevisionArns=[revision])
    ecs.list_service_deployments(cluster="jobs", service="api")
    same("services", len(pages(ecs, "list_services", "serviceArns", cluster="jobs")), 1)
    pages(ecs, "list_services_by_namespace", "serviceArns", namespace="nope")
    tasks = pages(ecs, "list_tasks", "taskArns", cluster="jobs", serviceName="api")
    same("tasks", len(tasks), 2)
    wait(ecs, "tasks_running", cluster="jobs", tasks=tasks)
    ecs.describe_tasks(cluster="jobs", tasks=[*tasks, "nope"], include=["TAGS"])
    ecs.update_task_protection(cluster="jobs", tasks=tasks[:1], protectionEnabled=True, expiresInMinutes=5)
    ecs.get_task_protection(cluster="jobs", tasks=tasks)
    ecs.update_task_protection(cluster="jobs", tasks=tasks[:1], protectionEnabled=False)
    held(ecs, first, second)
    # One that is stopped.
    stopping = ecs.update_service(cluster="jobs", service="api", taskDefinition=first, forceNewDeployment=True)["service"]
    ecs.stop_service_deployment(serviceDeploymentArn=stopping["currentServiceDeployment"])
    wait(ecs, "services_stable", cluster="jobs", services=["api"])
    ran = ecs.run_task(cluster="jobs", taskDefinition=second)["tasks"][0]["taskArn"]
    ecs.stop_task(cluster="jobs", task=ran, reason="enough")
    wait(ecs, "tasks_stopped", cluster="jobs", tasks=[ran])
    refused("InvalidParameterException", ecs.delete_service, cluster="jobs", service="api")
    ecs.delete_service(cluster="jobs", service="api", force=True)
    wait(ecs, "services_inactive", cluster="jobs", services=["api"])
    ecs.deregister_task_definition(taskDefinition=first)
    ecs.delete_task_definitions(taskDefinitions=[first])
    for name in ("jobs", "other"):
        ecs.delete_cluster(cluster=name)


def held(ecs, first, second):
    """Lets a blue/green deployment wait at a pause, and go on."""
    configuration = {
        "strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0,
        "lifecycleHooks": [{"targetType": "PAUSE", "lifecycleStages": ["POST_SCALE_UP"]}]}
    ecs.create_service(
        cluster="jobs", serviceName="blue", taskDefinition=first, desiredCount=1,
        deploymentConfiguration={"strategy": "BLUE_GREEN", "bakeTimeInMinutes": 0})
    wait(ecs, "services_stable", cluster="jobs", services=["blue"])
    service = ecs.update_service(
        cluster="jobs", service="blue", taskDefinition=second, deploymentConfiguration=configuration)["service"]
    arn = service["currentServiceDeployment"]
    for _ in range(100):
        deployment = ecs.describe_service_deployments(serviceDeploymentArns=[arn])["serviceDeployments"][0]
        waiting = [hook for hook in deployment.get("lifecycleHookDetails", []) if hook.get("status") == "AWAITING_ACTION"]
        if waiting:
            ecs.continue_service_deployment(serviceDeploymentArn=arn, hookId=waiting[0]["hookId"], action="CONTINUE")
            break
        time.sleep(0.05)
    else:
        problems["a paused deployment never waited"] += 1
    wait(ecs, "services_stable", cluster="jobs", services=["blue"])
    ecs.delete_service(cluster="jobs", service="blue", force=True)
    wait(ecs, "services_inactive", cluster="jobs", services=["blue"])


# Every operation there is


def least(shape, depth=0):
    """The least that botocore lets through."""
    kind = shape.type_name
    if kind == "structure":
        names = list(shape.members)[:1] if shape.is_tagged_union else shape.required_members
        return {name: least(shape.members[name], depth + 1) for name in names} if depth < 8 else {}
    if kind == "list":
        return [least(shape.member, depth + 1)] * max(1, shape.metadata.get("min", 1)) if depth < 8 else []
    if kind == "map":
        return {}
    if kind == "string":
        return shape.enum[0] if shape.enum else "x" * max(1, shape.metadata.get("min", 1))
    if kind in ("integer", "long", "float", "double"):
        return max(1, shape.metadata.get("min", 1))
    return {"boolean": False, "timestamp": 0, "blob": io.BytesIO(b"x").getvalue()}.get(kind)


def sweep(aws):
    """Calls every operation with as little as possible; answers those that are refused as not emulated."""
    missing = set()
    for service in SERVICES:
        client = getattr(aws, service)
        for method, operation in sorted(client.meta.method_to_api_mapping.items()):
            model = client.meta.service_model.operation_model(operation)
            before = set(answered)
            try:
                getattr(client, method)(**(least(model.input_shape) if model.input_shape else {}))
            except ClientError as error:
                if error.response["Error"]["Code"] in NOT_EMULATED:
                    if operation not in error.response["Error"]["Message"]:
                        problems[f"{service} {operation}: the refusal does not name it"] += 1
                    missing.add((service, operation))
            except Exception as error:  # an answer that botocore cannot read, or a call it cannot make
                problems[f"{service} {operation}: {type(error).__name__}: {error}"] += 1
            # What was answered here was answered to nonsense: only the life above counts.
            answered.intersection_update(before)
    return missing


def main(program, known):
    with tempfile.TemporaryDirectory(prefix="ecs-ship-botocore.") as folder:
        with Sandbox(program, pathlib.Path(folder)) as aws:
            sts(aws)
            networks(aws.ec2)
            ecr(aws)
            logs(aws)
            alarms(aws)
            ssm(aws)
            secrets(aws)
            balancer = balanced(aws.elbv2)
            elb(aws, *balancer)
            ecs(aws, balancer[1][0])
            gone(aws, *balancer)
            missing = sweep(aws)
    every = {(service, name) for service in SERVICES for name in
             botocore.session.get_session().get_service_model(service).operation_names}
    for service, name in sorted(every - missing - answered):
        problems[f"{service} {name}: emulated, but never answered well here"] += 1
    text = "".join(f"{service} {name}\n" for service, name in sorted(missing))
    list_ = pathlib.Path(known)
    if os.environ.get("UPDATE"):
        list_.write_text(text)
    elif list_.read_text() != text:
        was = set(list_.read_text().splitlines())
        for line in sorted(was ^ set(text.splitlines())):
            problems[f"{line}: {'emulated now: UPDATE=1' if line in was else 'not emulated any more'}"] += 1
    for problem, count in sorted(problems.items()):
        print(f"{problem}" + (f" ({count} times)" if count > 1 else ""))
    print(f"{len(every - missing)} operations emulated, {len(answered)} answered well, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
