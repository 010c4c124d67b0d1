"""The sandbox through `ecs deploy`, a deploy tool for ECS that nobody here wrote (pypi.org/project/ecs-deploy).

    python ecs_deploy_client.py PROGRAM

Its commands in the order in which somebody would run them, each judged by what it prints, by how it ends, and by what the
sandbox says afterwards: a new tag, an environment variable, another image, a scaling, a single task, and deploys that cannot
start, with and without a circuit breaker.
"""

import os
import pathlib
import subprocess
import sys
import tempfile

from botocore_client import Sandbox, problems, same, wait

FARGATE = ["--launchtype", "FARGATE", "--subnet", "subnet-1", "--securitygroup", "sg-1"]


class Tool:
    def __init__(self, aws, folder):
        self.aws = aws
        self.env = {
            "PATH": os.environ["PATH"], "HOME": str(folder), "LANG": "C.UTF-8", "AWS_ENDPOINT_URL": aws.endpoint,
            "AWS_ACCESS_KEY_ID": "sandbox", "AWS_SECRET_ACCESS_KEY": "sandbox", "AWS_DEFAULT_REGION": "us-east-1"}

    def __call__(self, *words, says=(), code=0):
        done = subprocess.run(
            [pathlib.Path(sys.prefix) / "bin" / "ecs", *words], env=self.env, capture_output=True, text=True, timeout=120)
        said = done.stdout + done.stderr
        lacks = [text for text in says if text not in said]
        if done.returncode != code or lacks:
            problems[f"ecs {' '.join(words)}: ended with {done.returncode}, and lacks {lacks}:\n{said}"] += 1
        return said

    def now(self, service="web"):
        """What serves: revision, image, environment."""
        ecs = self.aws.ecs
        wait(ecs, "services_stable", cluster="shop", services=[service])
        found = ecs.describe_services(cluster="shop", services=[service])["services"][0]
        definition = ecs.describe_task_definition(taskDefinition=found["taskDefinition"])["taskDefinition"]
        container = definition["containerDefinitions"][0]
        environment = {one["name"]: one["value"] for one in container["environment"]}
        return [definition["revision"], container["image"].rpartition("/")[2], environment, found["runningCount"]]

    def status(self, definition):
        return self.aws.ecs.describe_task_definition(taskDefinition=definition)["taskDefinition"]["status"]


def prepare(aws):
    aws.ecs.create_cluster(clusterName="shop")
    aws.ecs.register_task_definition(
        family="web", requiresCompatibilities=["FARGATE"], networkMode="awsvpc", cpu="256", memory="512",
        tags=[{"key": "team", "value": "shop"}],
        containerDefinitions=[{"name": "web", "image": "busybox:1", "environment": [{"name": "COLOUR", "value": "green"}]}])
    for name, breaker in (("web", False), ("guarded", True)):
        aws.ecs.create_service(
            cluster="shop", serviceName=name, taskDefinition="web", desiredCount=2,
            deploymentConfiguration={"deploymentCircuitBreaker": {"enable": breaker, "rollback": False}})
        wait(aws.ecs, "services_stable", cluster="shop", services=[name])


def deploys(ecs):
    ecs("deploy", "shop", "web", "--tag", "2", "--no-deregister",
        says=['Changed image of container "web" to: "busybox:2" (was: "busybox:1")', "Successfully created revision: 2",
              "Successfully changed task definition to: web:2", "Deployment successful"])
    same("a new tag", ecs.now(), [2, "busybox:2", {"COLOUR": "green"}, 2])
    tags = ecs.aws.ecs.describe_task_definition(taskDefinition="web:2", include=["TAGS"])["tags"]
    same("the tags came along", tags, [{"key": "team", "value": "shop"}])
    ecs("deploy", "shop", "web", "--env", "web", "COLOUR", "blue", "--env", "web", "SIZE", "large",
        says=['Changed environment "COLOUR" of container "web" to: "blue"', "Successfully deregistered revision: 2",
              "Deployment successful"])
    same("an environment", ecs.now(), [3, "busybox:2", {"COLOUR": "blue", "SIZE": "large"}, 2])
    same("the one before is deregistered", [ecs.status("web:2"), ecs.status("web:3")], ["INACTIVE", "ACTIVE"])
    ecs("deploy", "shop", "web", "--image", "web", "shop/api:7", "--exclusive-env", "--no-deregister", "--force-new-deployment",
        says=["Deployment successful"])
    same("another image", ecs.now(), [4, "api:7", {}, 2])
    ecs("diff", "web", "3", "4", says=["busybox:2", "shop/api:7", "COLOUR"])
    ecs("deploy", "shop", "nope", code=1, says=["Service not found"])
    ecs("deploy", "nope", "web", code=1, says=["ClusterNotFoundException"])
    ecs("deploy", "shop", "web", "--task", "web:99", code=1, says=["Unknown task definition arn: web:99"])


def scales_and_runs(ecs):
    ecs("scale", "shop", "web", "4", says=["Successfully changed desired count to: 4", "Scaling successful"])
    same("more", ecs.now()[3], 4)
    ecs("scale", "shop", "web", "0", says=["Scaling successful"])
    same("none", ecs.now()[3], 0)
    ecs("scale", "shop", "web", "1", says=["Scaling successful"])
    ecs("run", "shop", "web:4", "2", "--command", "web", "migrate all", "--env", "web", "STEP", "1", *FARGATE,
        says=["Successfully started 2 instances of task: web:4", "arn:aws:ecs:us-east-1:000000000000:task/shop/"])
    ran = ecs.aws.ecs.list_tasks(cluster="shop", family="web", startedBy="ecs-deploy", desiredStatus="RUNNING")
    own = ran["taskArns"] or ecs.aws.ecs.list_tasks(cluster="shop", family="web", desiredStatus="RUNNING")["taskArns"]
    tasks = [task for task in ecs.aws.ecs.describe_tasks(cluster="shop", tasks=own)["tasks"] if task["group"] == "family:web"]
    same("two tasks with overrides", [
        [task["overrides"]["containerOverrides"][0]["command"], task["overrides"]["containerOverrides"][0]["environment"]]
        for task in tasks], [[["migrate", "all"], [{"name": "STEP", "value": "1"}]]] * 2)
    ecs("run", "shop", "nope", *FARGATE, code=1, says=["Unknown task definition arn: nope"])
    ecs("update", "web", "--env", "web", "ONLY", "registered", "--no-deregister", says=["Successfully created revision: 5"])


def fails(ecs, authority):
    """An image that is not there: what AWS's events say about it is what the tool goes by."""
    missing = f"{authority}/shop/web:nope"
    ecs.aws.ecr.create_repository(repositoryName="shop/web")
    ecs("deploy", "shop", "web", "--image", "web", missing, "--rollback", "--timeout", "60", code=1,
        says=["is unable to consistently start tasks successfully", "Rolling back to task definition: web:4", "Rollback successful"])
    same("rolled back", ecs.now()[:2], [4, "api:7"])
    ecs("deploy", "shop", "guarded", "--image", "web", missing, "--timeout", "60", "--ignore-warnings", code=1,
        says=["Deployment Failed! ECS deployment circuit breaker: tasks failed to start.", "tasks failed to start"])


def main(program):
    with tempfile.TemporaryDirectory(prefix="ecs-ship-ecs-deploy.") as folder:
        with Sandbox(program, pathlib.Path(folder)) as aws:
            prepare(aws)
            ecs = Tool(aws, folder)
            deploys(ecs)
            scales_and_runs(ecs)
            fails(ecs, aws.endpoint.removeprefix("http://"))
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
