"""The sandbox through the calls that the Terraform provider for AWS makes, in the order in which it makes them.

    python terraform_client.py PROGRAM

There is no Terraform here; what its provider calls to create, read, update and delete its resources is written down below,
resource by resource, with the members it sends and what it reads back to compare with its plan. A member that it would
find changed would be a plan that never ends. Answers are held against botocore's models, as in botocore_client.py.
"""

import json
import pathlib
import sys
import tempfile
import time
import uuid

from botocore_client import Sandbox, free_port, problems, refused, same, wait


def tags(old, new, upper=False):
    """What the provider does with tags that change: take away, then add."""
    key, value = ("Key", "Value") if upper else ("key", "value")
    gone = [name for name in old if name not in new]
    added = [{key: name, value: text} for name, text in new.items() if old.get(name) != text]
    return gone, added


def until(what, look):
    """The provider's own waiters: look until it is so."""
    for _ in range(300):
        if look():
            return
        time.sleep(0.1)
    problems[f"{what}: never"] += 1


def repository(ecr):
    """aws_ecr_repository, aws_ecr_lifecycle_policy and aws_ecr_repository_policy"""
    name = "shop/web"
    made = ecr.create_repository(
        repositoryName=name, imageTagMutability="MUTABLE", encryptionConfiguration={"encryptionType": "AES256"},
        imageScanningConfiguration={"scanOnPush": True}, tags=[{"Key": "team", "Value": "shop"}])["repository"]

    def read():
        found = ecr.describe_repositories(repositoryNames=[name])["repositories"][0]
        listed = ecr.list_tags_for_resource(resourceArn=found["repositoryArn"])["tags"]
        return found, {tag["Key"]: tag["Value"] for tag in listed}

    found, tagged = read()
    same("repository", [found["imageTagMutability"], found["imageScanningConfiguration"], found["encryptionConfiguration"], tagged],
         ["MUTABLE", {"scanOnPush": True}, {"encryptionType": "AES256"}, {"team": "shop"}])
    ecr.put_image_tag_mutability(repositoryName=name, imageTagMutability="IMMUTABLE")
    ecr.put_image_scanning_configuration(repositoryName=name, imageScanningConfiguration={"scanOnPush": False})
    gone, added = tags(tagged, {"stage": "test"}, upper=True)
    ecr.untag_resource(resourceArn=made["repositoryArn"], tagKeys=gone)
    ecr.tag_resource(resourceArn=made["repositoryArn"], tags=added)
    found, tagged = read()
    same("repository, updated", [found["imageTagMutability"], found["imageScanningConfiguration"], tagged],
         ["IMMUTABLE", {"scanOnPush": False}, {"stage": "test"}])
    refused("LifecyclePolicyNotFoundException", ecr.get_lifecycle_policy, repositoryName=name)
    rule = {"rulePriority": 1, "description": "few", "action": {"type": "expire"},
            "selection": {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days", "countNumber": 14}}
    ecr.put_lifecycle_policy(repositoryName=name, lifecyclePolicyText=json.dumps({"rules": [rule]}))
    same("lifecycle policy", json.loads(ecr.get_lifecycle_policy(repositoryName=name)["lifecyclePolicyText"]), {"rules": [rule]})
    ecr.delete_lifecycle_policy(repositoryName=name)
    policy = {"Version": "2012-10-17", "Statement": [
        {"Sid": "pull", "Effect": "Allow", "Principal": "*", "Action": ["ecr:BatchGetImage"]}]}
    ecr.set_repository_policy(repositoryName=name, policyText=json.dumps(policy))
    same("repository policy", json.loads(ecr.get_repository_policy(repositoryName=name)["policyText"]), policy)
    ecr.delete_repository_policy(repositoryName=name, registryId=made["registryId"])
    ecr.delete_repository(repositoryName=name, registryId=made["registryId"], force=True)
    refused("RepositoryNotFoundException", ecr.describe_repositories, repositoryNames=[name])


def log_group(logs):
    """aws_cloudwatch_log_group"""
    name = "/shop/web"
    logs.create_log_group(logGroupName=name, logGroupClass="STANDARD", tags={"team": "shop"})
    logs.put_retention_policy(logGroupName=name, retentionInDays=14)

    def read():
        found = [group for group in logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"] if group["logGroupName"] == name]
        if not found:
            return None
        arn = found[0]["arn"].removesuffix(":*")
        return found[0], arn, logs.list_tags_for_resource(resourceArn=arn)["tags"]

    found, arn, tagged = read()
    same("log group", [found["retentionInDays"], found.get("logGroupClass"), tagged], [14, "STANDARD", {"team": "shop"}])
    logs.put_retention_policy(logGroupName=name, retentionInDays=7)
    gone, added = tags(tagged, {"stage": "test"})
    logs.untag_resource(resourceArn=arn, tagKeys=gone)
    logs.tag_resource(resourceArn=arn, tags={tag["key"]: tag["value"] for tag in added})
    found, arn, tagged = read()
    same("log group, updated", [found["retentionInDays"], tagged], [7, {"stage": "test"}])
    logs.delete_retention_policy(logGroupName=name)
    same("log group, for ever", read()[0].get("retentionInDays"), None)
    logs.delete_log_group(logGroupName=name)
    same("log group, deleted", read(), None)


def parameter(ssm):
    """aws_ssm_parameter"""
    name = "/shop/db-url"
    ssm.put_parameter(Name=name, Value="one", Type="SecureString", Description="where", KeyId="alias/aws/ssm", Tier="Standard",
                      AllowedPattern="", Tags=[{"Key": "team", "Value": "shop"}])

    def read():
        got = ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]
        filters = [{"Key": "Name", "Option": "Equals", "Values": [name]}]
        shown = ssm.describe_parameters(ParameterFilters=filters)["Parameters"][0]
        listed = ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=name)["TagList"]
        return [got["Value"], got["Version"], shown["Description"], shown["Tier"], shown["KeyId"], listed]

    same("parameter", read(), ["one", 1, "where", "Standard", "alias/aws/ssm", [{"Key": "team", "Value": "shop"}]])
    ssm.put_parameter(Name=name, Value="two", Type="SecureString", Description="where", Overwrite=True, Tier="Standard")
    ssm.remove_tags_from_resource(ResourceType="Parameter", ResourceId=name, TagKeys=["team"])
    ssm.add_tags_to_resource(ResourceType="Parameter", ResourceId=name, Tags=[{"Key": "stage", "Value": "test"}])
    same("parameter, updated", read(), ["two", 2, "where", "Standard", "alias/aws/ssm", [{"Key": "stage", "Value": "test"}]])
    ssm.delete_parameter(Name=name)
    refused("ParameterNotFound", ssm.get_parameter, Name=name, WithDecryption=True)


def secret(secrets):
    """aws_secretsmanager_secret and aws_secretsmanager_secret_version"""
    made = secrets.create_secret(
        Name="shop/db", Description="of the shop", ForceOverwriteReplicaSecret=False, ClientRequestToken=str(uuid.uuid4()),
        Tags=[{"Key": "team", "Value": "shop"}])
    arn = made["ARN"]
    read = secrets.describe_secret(SecretId=arn)
    same("secret", [read["Name"], read["Description"], read["Tags"]],
         ["shop/db", "of the shop", [{"Key": "team", "Value": "shop"}]])
    secrets.get_resource_policy(SecretId=arn)
    put = secrets.put_secret_value(SecretId=arn, SecretString="one", ClientRequestToken=str(uuid.uuid4()))
    got = secrets.get_secret_value(SecretId=arn, VersionId=put["VersionId"])
    same("secret version", [got["SecretString"], got["VersionStages"]], ["one", ["AWSCURRENT"]])
    secrets.update_secret(SecretId=arn, Description="of another shop", ClientRequestToken=str(uuid.uuid4()))
    secrets.untag_resource(SecretId=arn, TagKeys=["team"])
    secrets.tag_resource(SecretId=arn, Tags=[{"Key": "stage", "Value": "test"}])
    read = secrets.describe_secret(SecretId=arn)
    same("secret, updated", [read["Description"], read["Tags"]], ["of another shop", [{"Key": "stage", "Value": "test"}]])
    secrets.delete_secret(SecretId=arn, RecoveryWindowInDays=30)
    same("secret, deleted", "DeletedDate" in secrets.describe_secret(SecretId=arn), True)


def cluster(ecs):
    """aws_ecs_cluster and aws_ecs_cluster_capacity_providers; gives back the ARN"""
    arn = ecs.create_cluster(
        clusterName="shop", configuration={"executeCommandConfiguration": {"logging": "DEFAULT"}},
        settings=[{"name": "containerInsights", "value": "enabled"}], tags=[{"key": "team", "value": "shop"}])["cluster"]["clusterArn"]

    def read():
        return ecs.describe_clusters(clusters=[arn], include=["TAGS", "CONFIGURATIONS", "SETTINGS"])["clusters"][0]

    until("the cluster is active", lambda: read()["status"] == "ACTIVE")
    found = read()
    same("cluster", [found["settings"], found["configuration"], found["tags"]],
         [[{"name": "containerInsights", "value": "enabled"}], {"executeCommandConfiguration": {"logging": "DEFAULT"}},
          [{"key": "team", "value": "shop"}]])
    ecs.update_cluster(cluster=arn, settings=[{"name": "containerInsights", "value": "disabled"}],
                       configuration={"executeCommandConfiguration": {"logging": "NONE"}})
    gone, added = tags({"team": "shop"}, {"stage": "test"})
    ecs.untag_resource(resourceArn=arn, tagKeys=gone)
    ecs.tag_resource(resourceArn=arn, tags=added)
    found = read()
    same("cluster, updated", [found["settings"][0]["value"], found["configuration"]["executeCommandConfiguration"]["logging"], found["tags"]],
         ["disabled", "NONE", [{"key": "stage", "value": "test"}]])
    same("tags of the cluster", ecs.list_tags_for_resource(resourceArn=arn)["tags"], [{"key": "stage", "value": "test"}])
    strategy = [{"capacityProvider": "FARGATE", "base": 1, "weight": 100}]
    ecs.put_cluster_capacity_providers(cluster="shop", capacityProviders=["FARGATE", "FARGATE_SPOT"],
                                       defaultCapacityProviderStrategy=strategy)
    until("the capacity providers are attached", lambda: read().get("attachmentsStatus") in (None, "UPDATE_COMPLETE"))
    same("capacity providers", [read()["capacityProviders"], read()["defaultCapacityProviderStrategy"]],
         [["FARGATE", "FARGATE_SPOT"], strategy])
    ecs.put_cluster_capacity_providers(cluster="shop", capacityProviders=[], defaultCapacityProviderStrategy=[])
    same("no capacity providers", read()["capacityProviders"], [])
    return arn


CONTAINERS = [{
    "name": "web", "image": "busybox:1", "memory": 64, "essential": True, "portMappings": [{"containerPort": 8080, "protocol": "tcp"}],
    "environment": [{"name": "A", "value": "1"}], "mountPoints": [{"sourceVolume": "data", "containerPath": "/data", "readOnly": False}],
    "secrets": [{"name": "URL", "valueFrom": "/shop/url"}]}]


def definition(ecs):
    """aws_ecs_task_definition; gives back the ARN"""
    made = ecs.register_task_definition(
        family="shop-web", containerDefinitions=CONTAINERS, networkMode="awsvpc", requiresCompatibilities=["FARGATE"], cpu="256",
        memory="512", executionRoleArn="arn:aws:iam::000000000000:role/execution", taskRoleArn="arn:aws:iam::000000000000:role/task",
        runtimePlatform={"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"}, ephemeralStorage={"sizeInGiB": 21},
        volumes=[{"name": "data"}], enableFaultInjection=False, tags=[{"key": "team", "value": "shop"}])["taskDefinition"]
    arn = made["taskDefinitionArn"]
    read = ecs.describe_task_definition(taskDefinition=arn, include=["TAGS"])
    found = read["taskDefinition"]
    same("task definition", [found["cpu"], found["memory"], found["networkMode"], found["requiresCompatibilities"], found["volumes"],
                             found["runtimePlatform"], found["ephemeralStorage"], found["executionRoleArn"], read["tags"]],
         ["256", "512", "awsvpc", ["FARGATE"], [{"name": "data"}], {"cpuArchitecture": "X86_64", "operatingSystemFamily": "LINUX"},
          {"sizeInGiB": 21}, "arn:aws:iam::000000000000:role/execution", [{"key": "team", "value": "shop"}]])
    container = found["containerDefinitions"][0]
    for member, value in CONTAINERS[0].items():
        if member != "portMappings":
            same(f"container definition's {member}", container[member], value)
    same("port mappings", container["portMappings"], [{"containerPort": 8080, "hostPort": 8080, "protocol": "tcp"}])
    ecs.tag_resource(resourceArn=arn, tags=[{"key": "stage", "value": "test"}])
    same("tags of the task definition", ecs.list_tags_for_resource(resourceArn=arn)["tags"],
         [{"key": "team", "value": "shop"}, {"key": "stage", "value": "test"}])
    return arn


def balancer(elb):
    """aws_lb, aws_lb_target_group, aws_lb_listener, aws_lb_listener_rule; gives back their ARNs"""
    refused("LoadBalancerNotFound", elb.describe_load_balancers, Names=["shop"])
    arn = elb.create_load_balancer(
        Name="shop", Scheme="internet-facing", Type="application", IpAddressType="ipv4", Subnets=["subnet-1", "subnet-2"],
        SecurityGroups=["sg-1"], Tags=[{"Key": "team", "Value": "shop"}])["LoadBalancers"][0]["LoadBalancerArn"]
    until("the load balancer is active", lambda: elb.describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"][0]["State"]["Code"] == "active")
    wanted = {
        "access_logs.s3.enabled": "false", "client_keep_alive.seconds": "3600", "connection_logs.s3.enabled": "false",
        "deletion_protection.enabled": "false", "health_check_logs.s3.enabled": "false", "idle_timeout.timeout_seconds": "60",
        "routing.http.desync_mitigation_mode": "defensive", "routing.http.drop_invalid_header_fields.enabled": "false",
        "routing.http.preserve_host_header.enabled": "false", "routing.http.x_amzn_tls_version_and_cipher_suite.enabled": "false",
        "routing.http.xff_client_port.enabled": "false", "routing.http.xff_header_processing.mode": "append",
        "routing.http2.enabled": "true", "waf.fail_open.enabled": "false", "zonal_shift.config.enabled": "false"}

    def modify(changes):
        elb.modify_load_balancer_attributes(
            LoadBalancerArn=arn, Attributes=[{"Key": key, "Value": value} for key, value in changes.items()])

    def read():
        found = elb.describe_load_balancers(LoadBalancerArns=[arn])["LoadBalancers"][0]
        attributes = elb.describe_load_balancer_attributes(LoadBalancerArn=arn)["Attributes"]
        elb.describe_capacity_reservation(LoadBalancerArn=arn)
        described = elb.describe_tags(ResourceArns=[arn])["TagDescriptions"][0]["Tags"]
        return found, {one["Key"]: one["Value"] for one in attributes}, described

    modify(wanted)
    found, attributes, described = read()
    same("attributes of the load balancer", {key: attributes.get(key) for key in wanted}, wanted)
    same("load balancer", [found["Scheme"], found["Type"], found["IpAddressType"], found["SecurityGroups"],
                           sorted(zone["SubnetId"] for zone in found["AvailabilityZones"]), described],
         ["internet-facing", "application", "ipv4", ["sg-1"], ["subnet-1", "subnet-2"], [{"Key": "team", "Value": "shop"}]])
    modify({"idle_timeout.timeout_seconds": "30", "deletion_protection.enabled": "true"})
    elb.set_security_groups(LoadBalancerArn=arn, SecurityGroups=["sg-2"])
    elb.set_subnets(LoadBalancerArn=arn, Subnets=["subnet-2", "subnet-3"])
    elb.remove_tags(ResourceArns=[arn], TagKeys=["team"])
    elb.add_tags(ResourceArns=[arn], Tags=[{"Key": "stage", "Value": "test"}])
    found, attributes, described = read()
    same("load balancer, updated", [attributes["idle_timeout.timeout_seconds"], found["SecurityGroups"], described],
         ["30", ["sg-2"], [{"Key": "stage", "Value": "test"}]])
    refused("OperationNotPermitted", elb.delete_load_balancer, LoadBalancerArn=arn)
    modify({"deletion_protection.enabled": "false"})

    group = target_group(elb)
    forward = [{"Type": "forward", "TargetGroupArn": group}]
    listener = elb.create_listener(
        LoadBalancerArn=arn, Protocol="HTTP", Port=free_port(), DefaultActions=forward,
        Tags=[{"Key": "team", "Value": "shop"}])["Listeners"][0]["ListenerArn"]
    found = elb.describe_listeners(ListenerArns=[listener])["Listeners"][0]
    same("listener", [found["Protocol"], found["DefaultActions"][0]["Type"], found["DefaultActions"][0]["TargetGroupArn"]],
         ["HTTP", "forward", group])
    elb.describe_listener_attributes(ListenerArn=listener)
    same("tags of the listener", elb.describe_tags(ResourceArns=[listener])["TagDescriptions"][0]["Tags"],
         [{"Key": "team", "Value": "shop"}])
    fixed = {"Type": "fixed-response", "Order": 1, "FixedResponseConfig": {
        "ContentType": "text/plain", "MessageBody": "nobody is here", "StatusCode": "404"}}
    elb.modify_listener(ListenerArn=listener, Port=found["Port"], Protocol="HTTP", DefaultActions=[fixed])
    same("listener, updated", elb.describe_listeners(ListenerArns=[listener])["Listeners"][0]["DefaultActions"], [fixed])

    weighted = {"Type": "forward", "Order": 1, "ForwardConfig": {
        "TargetGroups": [{"TargetGroupArn": group, "Weight": 100}], "TargetGroupStickinessConfig": {"Enabled": False, "DurationSeconds": 3600}}}
    conditions = [
        {"Field": "host-header", "HostHeaderConfig": {"Values": ["shop.example.com"]}},
        {"Field": "path-pattern", "PathPatternConfig": {"Values": ["/static/*"]}},
        {"Field": "query-string", "QueryStringConfig": {"Values": [{"Key": "health", "Value": "check"}]}}]
    rule = elb.create_rule(ListenerArn=listener, Priority=100, Actions=[weighted], Conditions=conditions,
                           Tags=[{"Key": "team", "Value": "shop"}])["Rules"][0]["RuleArn"]
    found = elb.describe_rules(RuleArns=[rule])["Rules"][0]
    # What it compares with its plan: the configuration of a condition, not the older list of values.
    plain = [{key: value for key, value in one.items() if key != "Values"} for one in found["Conditions"]]
    same("rule", [found["Priority"], plain, found["Actions"][0]["ForwardConfig"]["TargetGroups"]],
         ["100", conditions, [{"TargetGroupArn": group, "Weight": 100}]])
    same("tags of the rule", elb.describe_tags(ResourceArns=[rule])["TagDescriptions"][0]["Tags"], [{"Key": "team", "Value": "shop"}])
    elb.set_rule_priorities(RulePriorities=[{"RuleArn": rule, "Priority": 99}])
    elb.modify_rule(RuleArn=rule, Actions=[fixed], Conditions=conditions[:1])
    found = elb.describe_rules(RuleArns=[rule])["Rules"][0]
    same("rule, updated", [found["Priority"], found["Actions"]], ["99", [fixed]])
    elb.modify_rule(RuleArn=rule, Actions=[{"Type": "forward", "Order": 1, "TargetGroupArn": group}])
    return arn, group, listener, rule


def target_group(elb):
    refused("TargetGroupNotFound", elb.describe_target_groups, Names=["shop-web"])
    arn = elb.create_target_group(
        Name="shop-web", TargetType="ip", Port=8080, Protocol="HTTP", ProtocolVersion="HTTP1", VpcId="vpc-1", IpAddressType="ipv4",
        HealthCheckEnabled=True, HealthCheckIntervalSeconds=15, HealthyThresholdCount=2, UnhealthyThresholdCount=3,
        HealthCheckTimeoutSeconds=4, HealthCheckPath="/health", Matcher={"HttpCode": "200-299"}, HealthCheckPort="traffic-port",
        HealthCheckProtocol="HTTP", Tags=[{"Key": "team", "Value": "shop"}])["TargetGroups"][0]["TargetGroupArn"]
    wanted = {
        "deregistration_delay.timeout_seconds": "30", "load_balancing.algorithm.type": "round_robin",
        "load_balancing.algorithm.anomaly_mitigation": "off", "load_balancing.cross_zone.enabled": "use_load_balancer_configuration",
        "slow_start.duration_seconds": "0", "stickiness.enabled": "true", "stickiness.type": "lb_cookie",
        "stickiness.lb_cookie.duration_seconds": "600",
        "target_group_health.dns_failover.minimum_healthy_targets.count": "1",
        "target_group_health.dns_failover.minimum_healthy_targets.percentage": "off",
        "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count": "1",
        "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage": "off"}

    def modify(changes):
        elb.modify_target_group_attributes(
            TargetGroupArn=arn, Attributes=[{"Key": key, "Value": value} for key, value in changes.items()])

    def read():
        found = elb.describe_target_groups(TargetGroupArns=[arn])["TargetGroups"][0]
        attributes = elb.describe_target_group_attributes(TargetGroupArn=arn)["Attributes"]
        return found, {one["Key"]: one["Value"] for one in attributes}

    modify(wanted)
    found, attributes = read()
    same("attributes of the target group", {key: attributes.get(key) for key in wanted}, wanted)
    checks = {"HealthCheckEnabled": True, "HealthCheckIntervalSeconds": 15, "HealthyThresholdCount": 2, "UnhealthyThresholdCount": 3,
              "HealthCheckTimeoutSeconds": 4, "HealthCheckPath": "/health", "Matcher": {"HttpCode": "200-299"},
              "HealthCheckPort": "traffic-port", "HealthCheckProtocol": "HTTP", "Port": 8080, "Protocol": "HTTP",
              "ProtocolVersion": "HTTP1", "IpAddressType": "ipv4", "TargetType": "ip", "VpcId": "vpc-1"}
    same("target group", {key: found.get(key) for key in checks}, checks)
    same("tags of the target group", elb.describe_tags(ResourceArns=[arn])["TagDescriptions"][0]["Tags"],
         [{"Key": "team", "Value": "shop"}])
    modify({"stickiness.enabled": "true", "stickiness.type": "app_cookie", "stickiness.app_cookie.cookie_name": "session",
            "stickiness.app_cookie.duration_seconds": "60"})
    same("sticky by the program's cookie", read()[1]["stickiness.type"], "app_cookie")
    modify({"stickiness.enabled": "false"})
    elb.modify_target_group(
        TargetGroupArn=arn, HealthCheckEnabled=True, HealthCheckIntervalSeconds=30, HealthyThresholdCount=3, UnhealthyThresholdCount=2,
        HealthCheckTimeoutSeconds=5, HealthCheckPath="/", Matcher={"HttpCode": "200"}, HealthCheckPort="traffic-port",
        HealthCheckProtocol="HTTP")
    same("target group, updated", [read()[0][key] for key in ("HealthCheckIntervalSeconds", "HealthCheckPath")], [30, "/"])
    return arn


def service(ecs, cluster, first, group):
    """aws_ecs_service"""
    made = ecs.create_service(
        clientToken=str(uuid.uuid4()), cluster=cluster, serviceName="web", taskDefinition=first, desiredCount=2,
        schedulingStrategy="REPLICA", launchType="FARGATE", platformVersion="LATEST", enableECSManagedTags=False,
        enableExecuteCommand=False, availabilityZoneRebalancing="ENABLED", propagateTags="SERVICE", healthCheckGracePeriodSeconds=30,
        deploymentController={"type": "ECS"},
        deploymentConfiguration={
            "minimumHealthyPercent": 100, "maximumPercent": 200, "strategy": "ROLLING", "bakeTimeInMinutes": 0,
            "deploymentCircuitBreaker": {"enable": True, "rollback": True}},
        loadBalancers=[{"targetGroupArn": group, "containerName": "web", "containerPort": 8080}],
        networkConfiguration={"awsvpcConfiguration": {"subnets": ["subnet-1"], "securityGroups": ["sg-1"], "assignPublicIp": "ENABLED"}},
        tags=[{"key": "team", "value": "shop"}])["service"]

    def read():
        return ecs.describe_services(cluster=cluster, services=[made["serviceArn"]], include=["TAGS"])["services"][0]

    def stable():
        found = read()
        deployments = ecs.describe_service_deployments(serviceDeploymentArns=[found["currentServiceDeployment"]])
        over = deployments["serviceDeployments"][0]["status"] == "SUCCESSFUL"
        return over and len(found["deployments"]) == 1 and found["desiredCount"] == found["runningCount"]

    until("the service is stable", stable)
    found = read()
    same("service", [found["launchType"], found["schedulingStrategy"], found["propagateTags"], found["healthCheckGracePeriodSeconds"],
                     found["deploymentController"], found["loadBalancers"], found["tags"], found["networkConfiguration"],
                     found["enableECSManagedTags"], found["enableExecuteCommand"], found["availabilityZoneRebalancing"]],
         ["FARGATE", "REPLICA", "SERVICE", 30, {"type": "ECS"},
          [{"targetGroupArn": group, "containerName": "web", "containerPort": 8080}], [{"key": "team", "value": "shop"}],
          {"awsvpcConfiguration": {"subnets": ["subnet-1"], "securityGroups": ["sg-1"], "assignPublicIp": "ENABLED"}},
          False, False, "ENABLED"])
    configuration = found["deploymentConfiguration"]
    same("deployment configuration", [configuration["minimumHealthyPercent"], configuration["maximumPercent"], configuration["strategy"],
                                      configuration["deploymentCircuitBreaker"]["enable"]], [100, 200, "ROLLING", True])
    second = ecs.register_task_definition(**{**DEFINITION, "containerDefinitions": [{**CONTAINERS[0], "image": "busybox:2"}]})
    ecs.update_service(
        cluster=cluster, service=made["serviceArn"], forceNewDeployment=False, desiredCount=1,
        taskDefinition=second["taskDefinition"]["taskDefinitionArn"], healthCheckGracePeriodSeconds=0,
        deploymentConfiguration={
            "minimumHealthyPercent": 0, "maximumPercent": 150, "strategy": "ROLLING", "bakeTimeInMinutes": 0,
            "deploymentCircuitBreaker": {"enable": False, "rollback": False}})
    until("the service is stable again", stable)
    found = read()
    same("service, updated", [found["desiredCount"], found["healthCheckGracePeriodSeconds"], found["deploymentConfiguration"]["maximumPercent"],
                              found["taskDefinition"]], [1, 0, 150, second["taskDefinition"]["taskDefinitionArn"]])
    ecs.untag_resource(resourceArn=made["serviceArn"], tagKeys=["team"])
    ecs.tag_resource(resourceArn=made["serviceArn"], tags=[{"key": "stage", "value": "test"}])
    same("tags of the service", read()["tags"], [{"key": "stage", "value": "test"}])
    # Deleted as the provider does: emptied first, then deleted, then waited for.
    ecs.update_service(cluster=cluster, service="web", desiredCount=0)
    ecs.delete_service(cluster=cluster, service="web", force=False)
    until("the service is inactive", lambda: read()["status"] == "INACTIVE")
    return second["taskDefinition"]["taskDefinitionArn"]


DEFINITION = {
    "family": "shop-web", "networkMode": "awsvpc", "requiresCompatibilities": ["FARGATE"], "cpu": "256", "memory": "512",
    "executionRoleArn": "arn:aws:iam::000000000000:role/execution", "volumes": [{"name": "data"}]}


def main(program):
    with tempfile.TemporaryDirectory(prefix="ecs-ship-terraform.") as folder:
        with Sandbox(program, pathlib.Path(folder)) as aws:
            # What the provider begins with.
            same("caller", aws.sts.get_caller_identity()["Account"], "000000000000")
            repository(aws.ecr)
            log_group(aws.logs)
            parameter(aws.ssm)
            secret(aws.secretsmanager)
            aws.ssm.put_parameter(Name="/shop/url", Value="postgres://", Type="SecureString")
            arn = cluster(aws.ecs)
            first = definition(aws.ecs)
            lb, group, listener, rule = balancer(aws.elbv2)
            second = service(aws.ecs, arn, first, group)
            for one in (first, second):
                aws.ecs.deregister_task_definition(taskDefinition=one)
            aws.elbv2.delete_rule(RuleArn=rule)
            refused("RuleNotFound", aws.elbv2.describe_rules, RuleArns=[rule])
            aws.elbv2.delete_listener(ListenerArn=listener)
            refused("ListenerNotFound", aws.elbv2.describe_listeners, ListenerArns=[listener])
            aws.elbv2.delete_load_balancer(LoadBalancerArn=lb)
            wait(aws.elbv2, "load_balancers_deleted", LoadBalancerArns=[lb])
            aws.elbv2.delete_target_group(TargetGroupArn=group)
            refused("TargetGroupNotFound", aws.elbv2.describe_target_groups, TargetGroupArns=[group])
            aws.ecs.delete_cluster(cluster=arn)
            gone = aws.ecs.describe_clusters(clusters=[arn], include=["TAGS", "CONFIGURATIONS", "SETTINGS"])["clusters"][0]
            same("cluster, deleted", gone["status"], "INACTIVE")
    for problem, count in sorted(problems.items()):
        print(problem + (f" ({count} times)" if count > 1 else ""))
    print(f"{len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
