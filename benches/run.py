"""Measures what the product promises, as ratios within one run. Prints one table; exits 1 if an aim is missed."""

import argparse
import base64
import contextlib
import http.server
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

import rollout

ROOT = pathlib.Path(__file__).resolve().parent.parent
# The numbers are those of a release; another binary is for trying out the measuring itself.
SHIP = pathlib.Path(os.environ.get("BENCH_SHIP", ROOT / "target/release/docker-ecs-ship"))
# What a whole rollout costs in time is ECS's, so few of them are enough; everything else is repeated.
ROLLOUTS = int(os.environ.get("BENCH_ROLLOUTS", "2"))
missed = []


def row(what, value, aim=None, good=True):
    """A line of the table. Without an aim it is for information."""
    word = ("ok" if good else "MISSED") if aim else ""
    print(f"{what:<66} {value:>13}   {aim or '':<9} {word}".rstrip(), flush=True)
    if not good:
        missed.append(what)


def heading(text):
    print(f"\n{text}", flush=True)


# Measuring

NULL = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1, 2)]


def spawned(argv, env, stdin=os.devnull):
    """Seconds from the start of a process to its end, without Python's own fork in the way."""
    begun = time.perf_counter()
    actions = [(os.POSIX_SPAWN_OPEN, 0, str(stdin), os.O_RDONLY, 0), *NULL[1:]]
    pid = os.posix_spawn(argv[0], argv, env, file_actions=actions)
    _, status = os.waitpid(pid, 0)
    took = time.perf_counter() - begun
    if status != 0:
        sys.exit(f"{argv} ended with {os.waitstatus_to_exitcode(status)}")
    return took


def run(argv, env=None, cwd=None):
    """Runs a command that must go well; answers seconds and what it wrote to stdout."""
    begun = time.perf_counter()
    done = subprocess.run([str(word) for word in argv], env=env, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True)
    took = time.perf_counter() - begun
    if done.returncode != 0:
        sys.exit(f"{argv} ended with {done.returncode}:\n{done.stdout.decode()}{done.stderr.decode()}")
    return took, done.stdout.decode()


def medians(runs, **commands):
    """Interleaves the commands, so that a busy moment of the machine meets all of them."""
    times = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            times[name].append(command())
    return {name: statistics.median(values) for name, values in times.items()}


def peak(argv, env, cwd=None):
    """Peak memory in MiB. By GNU time, because a child of Python's begins with the peak of Python."""
    timer = shutil.which("time")
    if timer is None:
        sys.exit("GNU time is missing: apt-get install time")
    with tempfile.NamedTemporaryFile("r") as note:
        run([timer, "-f", "%M", "-o", note.name, *argv], env, cwd)
        return int(note.read().split()[-1]) / 1024


# Start-up: what docker runs on every `docker --help` and every TAB


def find_buildx():
    named = os.environ.get("BENCH_BUILDX")
    folders = ("~/.docker", "/usr/local/lib/docker", "/usr/local/libexec/docker", "/usr/lib/docker", "/usr/libexec/docker")
    places = [pathlib.Path(folder).expanduser() / "cli-plugins/docker-buildx" for folder in folders]
    return named or next((str(place) for place in places if place.exists()), None)


def start_up(work, buildx):
    heading("start-up")
    # As docker itself calls a plugin: without the variable it is a person, who does not repeat the plugin's name.
    bare = {"PATH": os.environ["PATH"], "HOME": str(work), "DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND": "docker"}
    plugin = str(work / "docker-ecsship")
    os.symlink(SHIP, plugin)
    metadata, complete = [plugin, "docker-cli-plugin-metadata"], [plugin, "__complete", "ecsship", "dep"]
    commands = {"metadata": lambda: spawned(metadata, bare), "complete": lambda: spawned(complete, bare)}
    if buildx:
        commands["buildx_metadata"] = lambda: spawned([buildx, "docker-cli-plugin-metadata"], bare)
        commands["buildx_complete"] = lambda: spawned([buildx, "__complete", "buildx", "bui"], bare)
    got = medians(41, **commands)
    for name, argv in (("metadata", metadata), ("complete", complete)):
        if buildx:
            ratio = got[name] / got[f"buildx_{name}"]
            row(f"{name} / docker-buildx's", f"{ratio:.3f}", "<= 0.100", ratio <= 0.1)
        row(f"{name}, time", f"{got[name] * 1000:.2f} ms")
        mib = peak(argv, bare)
        row(f"{name}, peak memory", f"{mib:.1f} MiB", "< 6 MiB", mib < 6)
    if not buildx:
        row("docker-buildx is not installed here (set BENCH_BUILDX)", "-")

    # A docker that does nothing, so that only the shim is seen.
    shim, real = work / "shim/docker", work / "real/docker"
    for link, target in ((shim, SHIP), (real, "/bin/true")):
        link.parent.mkdir()
        link.symlink_to(target)
    path = {"HOME": str(work), "PATH": f"{shim.parent}:{real.parent}:/usr/bin:/bin"}
    got = medians(101, shim=lambda: spawned([str(shim), "ps"], path), plain=lambda: spawned([str(real), "ps"], path))
    added = (got["shim"] - got["plain"]) * 1000
    row("the shim, added to another docker command", f"{added:.2f} ms", "< 2 ms", added < 2)


# A large ship.toml


def large(services):
    """As many services, each with an image, three environments with overrides, and variables all over."""
    text = ["format = 1", 'default_environment = "staging"', "[sandbox]", "desired_count = 2"]
    for number in range(services):
        name = f"service-{number:03}"
        text.append(f"""
[images.{name}]
repository = "jobs/{name}"
context = "services/{number:03}"
args = {{ COMMIT = "${{git.commit:-none}}", NUMBER = "${{env.BUILD_NUMBER:-local}}" }}
tags = ["v1-${{build}}", "latest"]

[services.{name}]
cluster = "jobs"
service = "jobs-${{image}}"
cpu = "256"
memory = "512"
environment = {{ LOG_LEVEL = "info", STAGE = "${{environment}}", REGION = "${{region}}" }}
ssm_secrets = {{ DATABASE_URL = "/jobs/${{environment}}/db-url" }}

[services.{name}.rollout]
minimum_healthy_percent = 100
timeouts = {{ total = "20m" }}""")
    for environment, digit, step in (("staging", "1", 10), ("production", "2", 1), ("sandbox", "3", 10)):
        text.append(f'[environments.{environment}]\nregion = "eu-west-1"\naccount = "{digit * 12}"')
        text += [f'[environments.{environment}.services.service-{number:03}]\ncluster = "jobs-{environment}"'
                 for number in range(0, services, step)]
    return "\n".join(text) + "\n"


def format_of_ship_toml(work):
    heading("a ship.toml of 200 services")
    folder = work / "large"
    folder.mkdir()
    (folder / "ship.toml").write_text(large(200))
    bare = {"PATH": os.environ["PATH"], "HOME": str(work), "ECS_SHIP_FILE": str(folder / "ship.toml")}
    words = {
        "version": ["version"],
        "validate": ["config", "validate"],
        "environment": ["__complete", "deploy", "--environment", "st"],
        "service": ["__complete", "deploy", "service-1"],
    }
    got = medians(41, **{name: (lambda argv=[str(SHIP), *rest]: spawned(argv, bare)) for name, rest in words.items()})
    # What is asked is the work on the file, beyond the start of the program.
    for name, what in (("validate", "config validate"), ("environment", "completing an environment"),
                       ("service", "completing a service")):
        added = (got[name] - got["version"]) * 1000
        row(f"{what}, added to the start", f"{added:.2f} ms", "< 20 ms", added < 20)


# Deploys


class Place:
    """A sandbox of our own at real time, with a copy of examples/hello as a repo of its own."""

    def __init__(self, work, buildx):
        self.work, self.hello = work, work / "hello"
        self.env = {"PATH": os.environ["PATH"], "HOME": str(work), "XDG_STATE_HOME": str(work / "state")}
        for name in ("DOCKER_HOST", "RUSTUP_HOME", "CARGO_HOME"):
            if name in os.environ:
                self.env[name] = os.environ[name]
        if buildx:
            # docker build reaches the engine's BuildKit through this plugin only.
            plugins = work / ".docker/cli-plugins"
            plugins.mkdir(parents=True)
            (plugins / "docker-buildx").symlink_to(buildx)
        self.env["DOCKER_BUILDKIT"] = "1" if buildx else "0"
        run([ROOT / "examples/hello/build.sh"])
        shutil.copytree(ROOT / "examples/hello", self.hello, ignore=shutil.ignore_patterns("target", ".git"))
        for words in (["init", "-q"], ["add", "-A", "-f"],
                      ["-c", "user.name=b", "-c", "user.email=b@example.com", "commit", "-qm", "hello"]):
            run(["git", *words], self.env, self.hello)

    def ship(self, *words, version=None):
        env = self.env if version is None else {**self.env, "HELLO_VERSION": str(version)}
        return run([SHIP, *words], env, self.hello)

    def deploy(self, version, record=None):
        more = ["--record", str(record)] if record else []
        return self.ship("deploy", "-e", "sandbox", "--yes", "--progress", "plain", *more, version=version)[0]

    def docker(self, *words):
        return run(["docker", *words], self.env, self.hello)

    def build(self, tag, version):
        words = ["build", "-q", "-t", tag, "--build-arg", f"VERSION={version}", "--build-arg", "CRASH_AT_START=", "."]
        return self.docker(*words)[0]

    @contextlib.contextmanager
    def up(self, *more, speed="1"):
        took, _ = self.ship("sandbox", "up", "--port", "0", "--speed", speed, *more)
        status = json.loads(self.ship("sandbox", "status", "--format", "json")[1])
        self.endpoint, self.registry, self.pid, self.id = (status[name] for name in ("endpoint", "registry", "pid", "id"))
        try:
            yield took
        finally:
            with contextlib.suppress(SystemExit):
                # The registry's port is this sandbox's own, so these images are nobody else's.
                images = self.docker("images", "--format", "{{.Repository}}:{{.Tag}}", "--filter",
                                     f"reference={self.registry}/*")[1].split()
                self.ship("sandbox", "down")
                if images:
                    self.docker("rmi", "-f", *images)

    def containers(self):
        return set(self.docker("ps", "-q", "--no-trunc", "--filter", f"label=ecs-ship.sandbox={self.id}")[1].split())


def steps_of(record):
    """Begin and end of each step by kind, in seconds."""
    kinds, begun, steps = {}, {}, {}
    for line in record.read_text().splitlines():
        line = json.loads(line)
        event, at = line["event"], line["time_ms"] / 1000
        if event["kind"] == "begun":
            kinds = {outline["id"]: outline["kind"] for outline in event["steps"]}
        elif event["kind"] == "started":
            begun[event["step"]] = at
        elif event["kind"] == "done":
            steps[kinds[event["step"]]] = (begun[event["step"]], at)
    return steps


def unchanged(place):
    heading("deploy of an unchanged commit")
    place.deploy(1)
    place.build("ecs-ship-bench-floor", 1)
    record, builds = place.work / "unchanged.jsonl", []

    def ours():
        took = place.deploy(1, record)
        begin, end = steps_of(record)["build"]
        builds.append(end - begin)
        return took

    try:
        got = medians(9, ours=ours, floor=lambda: place.build("ecs-ship-bench-floor", 1))
    finally:
        place.docker("rmi", "-f", "ecs-ship-bench-floor")
    # The engine's part alone, which is less than a docker build takes.
    beyond = got["ours"] - statistics.median(builds)
    row("beyond the engine's own cached build", f"{beyond:.2f} s", "< 1 s", beyond < 1)
    row("the whole / docker build of the same", f"{got['ours'] / got['floor']:.2f}")


def changed(place):
    heading("deploy of a one-layer change, at real time")
    script = by_hand(place)
    ours, hand, overheads, steps = [], [], [], {}
    for round_ in range(ROLLOUTS):
        record = place.work / f"run-{round_}.jsonl"
        began = time.time()
        took = place.deploy(f"2.{round_}", record)
        steps = steps_of(record)
        # Build, push and watch wait for the engine, the registry and ECS; all the rest is ours.
        waited = sum(end - begin for kind, (begin, end) in steps.items() if kind in ("build", "push", "watch"))
        overheads.append(took - waited)
        # Up to the moment when the rollout is ECS's.
        ours.append((steps["watch"][0] - began, took))
        if script:
            hand.append(script(f"3.{round_}"))
    own = statistics.median(overheads)
    row("program overhead: all but build, push and watch", f"{own:.2f} s", "< 1 s", own < 1)
    row("  of the rest: build", f"{steps['build'][1] - steps['build'][0]:.2f} s")
    row("  of the rest: push", f"{steps['push'][1] - steps['push'][0]:.2f} s")
    row("  of the rest: watch", f"{steps['watch'][1] - steps['watch'][0]:.2f} s")
    if script:
        begin = statistics.median(a for a, _ in ours) / statistics.median(a for a, _ in hand)
        whole = statistics.median(b for _, b in ours) / statistics.median(b for _, b in hand)
        row("up to update-service / script of aws + docker", f"{begin:.2f}", "< 1", begin < 1)
        row("to the end / script of aws + docker with `wait services-stable`", f"{whole:.2f}", "< 1", whole < 1)
    deploy = [SHIP, "deploy", "-e", "sandbox", "--yes", "--progress", "plain"]
    mib = peak(deploy, {**place.env, "HELLO_VERSION": "4"}, place.hello)
    row("peak memory", f"{mib:.1f} MiB", "< 60 MiB", mib < 60)


def by_hand(place):
    """The glue of many a Jenkinsfile, against the same sandbox; its answer runs it for a version."""
    aws = os.environ.get("BENCH_AWS") or shutil.which("aws")
    if not aws:
        row("no aws CLI here (set BENCH_AWS)", "-")
        return None
    script = place.work / "by-hand"
    script.write_text("""
set -euo pipefail
image=$REGISTRY/hello:by-hand-$VERSION
aws() { "$AWS" --endpoint-url "$ENDPOINT" "$@"; }
aws ecr get-login-password | docker login -u AWS --password-stdin "$REGISTRY" >/dev/null 2>&1
docker build -q --build-arg VERSION="$VERSION" --build-arg CRASH_AT_START= -t "$image" . >/dev/null
docker push -q "$image" >/dev/null
live=$(aws ecs describe-services --cluster hello --services hello --query 'services[0].taskDefinition' --output text)
aws ecs describe-task-definition --task-definition "$live" --query taskDefinition >live.json
python3 -c '
import json, sys
live = json.load(open("live.json"))
for name in ("taskDefinitionArn", "revision", "status", "requiresAttributes", "compatibilities", "registeredAt", "registeredBy",
             "deregisteredAt"):
    live.pop(name, None)
live["containerDefinitions"][0]["image"] = sys.argv[1]
json.dump(live, open("new.json", "w"))' "$image"
new=$(aws ecs register-task-definition --cli-input-json file://new.json --query taskDefinition.taskDefinitionArn --output text)
aws ecs update-service --cluster hello --service hello --task-definition "$new" >/dev/null
date +%s.%N
aws ecs wait services-stable --cluster hello --services hello
""")
    env = {**place.env, "AWS": aws, "ENDPOINT": place.endpoint, "REGISTRY": place.registry, "AWS_DEFAULT_REGION": "us-east-1",
           "AWS_ACCESS_KEY_ID": "sandbox", "AWS_SECRET_ACCESS_KEY": "sandbox"}

    def once(version):
        began = time.time()
        took, said = run(["bash", script], {**env, "VERSION": version}, place.hello)
        return float(said.split()[-1]) - began, took

    return once


# The login: a warm cache against those of the other ways to log in


class Ecr(http.server.BaseHTTPRequestHandler):
    """ECR's and STS's answers, in the words and the size of the real ones."""

    protocol_version = "HTTP/1.1"
    token = base64.b64encode(b"AWS:" + base64.b64encode(b"x" * 1400)).decode()

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        if b"GetCallerIdentity" in body:
            kind, answer = "text/xml", (
                "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>"
                "<Arn>arn:aws:iam::111111111111:user/bench</Arn><UserId>AIDAX</UserId><Account>111111111111</Account>"
                "</GetCallerIdentityResult></GetCallerIdentityResponse>")
        else:
            kind, answer = "application/x-amz-json-1.1", json.dumps({"authorizationData": [{
                "authorizationToken": self.token, "expiresAt": int(time.time()) + 12 * 3600,
                "proxyEndpoint": f"https://{REGISTRY}"}]})
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer.encode())

    def log_message(self, *_):
        pass


REGISTRY = "111111111111.dkr.ecr.eu-west-1.amazonaws.com"


def login(work):
    heading("the ECR login, with a warm cache")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Ecr)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    home = work / "login"
    (home / ".docker").mkdir(parents=True)
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "eu-west-1",
           "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}", "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
           "AWS_SECRET_ACCESS_KEY": "bench"}
    env |= {name: os.environ[name] for name in ("PYENV_ROOT", "DBUS_SESSION_BUS_ADDRESS") if name in os.environ}
    ours = str(home / "docker-credential-ecs-ship")
    os.symlink(SHIP, ours)
    theirs = os.environ.get("BENCH_ECR_LOGIN") or shutil.which("docker-credential-ecr-login")
    aws = os.environ.get("BENCH_AWS") or shutil.which("aws")
    question = home / "registry"
    question.write_text(REGISTRY)
    words = [str(SHIP), "login", REGISTRY]

    def asked(argv):
        return lambda: spawned(argv, env, question)

    commands = {"get": asked([ours, "get"]), "login": asked(words), "list": asked([ours, "list"])}
    if theirs:
        commands["theirs"] = asked([theirs, "get"])
    # Warm from here on.
    for command in commands.values():
        command()
    kept = json.loads(run([*words, "--format", "json"], env)[1])["kept_in"]
    row("kept in", kept or "memory only")
    got = medians(41, **commands)
    row("docker-credential-ecs-ship get", f"{got['get'] * 1000:.2f} ms")
    row("docker-credential-ecs-ship list", f"{got['list'] * 1000:.2f} ms")
    row("docker-ecs-ship login", f"{got['login'] * 1000:.2f} ms")
    if theirs:
        ratio = got["theirs"] / got["get"]
        row("docker-credential-ecr-login get / ours", f"{ratio:.1f}", ">= 3", ratio >= 3)
        row("docker-credential-ecr-login get / docker-ecs-ship login", f"{got['theirs'] / got['login']:.1f}")
    else:
        row("docker-credential-ecr-login is not installed here (set BENCH_ECR_LOGIN)", "-")
    if not aws:
        row("no aws CLI here (set BENCH_AWS)", "-")
        return
    # The docker login at the end of the pipe asks a registry that is on this machine: its network costs nothing.
    pipe = ["/bin/sh", "-c", f"{aws} ecr get-login-password | docker login -u AWS --password-stdin "
                             f"127.0.0.1:{registry_that_lets_in()}"]
    took = statistics.median(spawned(pipe, env) for _ in range(5))
    ratio = took / got["get"]
    row("aws ecr get-login-password | docker login / our get", f"{ratio:.0f}", ">= 50", ratio >= 50)
    row("aws ecr get-login-password | docker login / our login", f"{took / got['login']:.0f}")


def registry_that_lets_in():
    """The port of a registry that takes any login."""

    class Registry(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            known = "Authorization" in self.headers
            self.send_response(200 if known else 401)
            self.send_header("docker-distribution-api-version", "registry/2.0")
            if not known:
                self.send_header("www-authenticate", 'Basic realm="bench"')
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


# The sandbox itself


def many(place, desired, *more):
    """Ships a service of so many tasks, twice: the second time all of them are replaced. Seconds, and the memory at the end."""
    file = place.hello / "ship.toml"
    text = file.read_text()
    file.write_text(text.replace("desired_count = 2", f"desired_count = {desired}"))
    # A deploy does not change how many tasks a service is to have, and a sandbox keeps its services from run to run.
    known, place.env["XDG_STATE_HOME"] = place.env["XDG_STATE_HOME"], str(place.work / f"state-of-{desired}")
    try:
        with place.up(*more, speed="20"):
            took = [place.deploy(f"{desired}{version}") for version in (1, 2)]
            return took[1], memory(place)
    finally:
        file.write_text(text)
        place.env["XDG_STATE_HOME"] = known


def memory(place):
    return int(re.search(r"VmRSS:\s+(\d+)", pathlib.Path(f"/proc/{place.pid}/status").read_text())[1]) / 1024


def limits(place):
    heading("the sandbox's limits, at 20 times real time")
    for desired, what, more in ((200, "200 tasks of paper", ("--paper",)), (20, "20 real tasks", ())):
        took, rss = many(place, desired, *more)
        # Minutes would mean that the sandbox, and not ECS's own waits, is what is waited for.
        row(f"{what} replaced by one deploy", f"{took:.1f} s", "< 60 s", took < 60)
        row(f"{what}: memory", f"{rss:.1f} MiB")


def sandbox(place, up):
    heading("the sandbox, with two tasks")
    row("sandbox up, to the first answered call", f"{up:.2f} s", "< 0.30 s", up < 0.3)
    ticks = os.sysconf("SC_CLK_TCK")

    def used():
        words = pathlib.Path(f"/proc/{place.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(words[11]) + int(words[12])) / ticks

    begun, cpu = time.monotonic(), used()
    # The one thing here that is a stretch of time and not a state.
    time.sleep(10)
    share = (used() - cpu) / (time.monotonic() - begun) * 100
    row("idle: processor", f"{share:.1f} %", "< 1 %", share < 1)
    row("idle: memory", f"{memory(place):.1f} MiB", "< 40 MiB", memory(place) < 40)
    storm(place)
    if shutil.which("wrk") is None:
        row("balancer: wrk is not installed here", "-")
        return
    url = place.ship("status", "-e", "sandbox", "--format", "url", "hello")[1].strip()
    ports = [place.docker("port", container)[1].split()[-1] for container in place.containers()]

    def throughput(url):
        said = run(["wrk", "-t1", "-c16", "-d2s", url])[1]
        if "Non-2xx" in said:
            sys.exit(f"answers of {url} were not all good:\n{said}")
        return float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])

    got = medians(3, balancer=lambda: throughput(url), task=lambda: throughput(f"http://{ports[0]}/"))
    row("balancer: requests a second / those of one task directly", f"{got['balancer'] / got['task']:.2f}")
    row("balancer: requests a second", f"{got['balancer']:.0f}")


RATE, STORM = 5000, 10


def storm(place):
    """Puts a fixed rate on the balancer and counts what is lost: it must never be the cause of an error."""
    url = place.ship("status", "-e", "sandbox", "--format", "url", "hello")[1].strip()
    words = [str(SHIP), "sandbox", "load", url, "--rate", str(RATE), "--connections", "256"]
    load = subprocess.Popen(words, env=place.env, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    # A stretch of time again.
    time.sleep(STORM)
    load.send_signal(signal.SIGINT)
    said = dict(pair.split("=") for pair in load.communicate()[0].split())
    rate = int(said["requests"]) / STORM
    row(f"balancer: requests a second, {RATE} asked for", f"{rate:.0f}", f">= {RATE * 0.98:.0f}", rate >= RATE * 0.98)
    row("balancer: requests lost", said["failed"], "0", said["failed"] == "0")
    row("balancer: slowest answer", f"{said['slowest_ms']} ms")


GROUPS = ("start-up", "ship.toml", "login", "deploy", "rollout", "sandbox", "limits")


def arguments():
    parser = argparse.ArgumentParser(prog="benches/run", description=__doc__)
    parser.add_argument("--only", action="append", choices=GROUPS, metavar="GROUP",
                        help=f"measure this group of rows alone; may be given several times: {', '.join(GROUPS)}")
    return parser.parse_args()


def main():
    wanted = arguments().only or GROUPS
    if not SHIP.exists():
        sys.exit("build it first: cargo build --release")
    heading(f"binary (load average of this machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors)")
    size = SHIP.stat().st_size / 2**20
    row("release binary", f"{size:.1f} MiB", "< 25 MiB", size < 25)
    buildx = find_buildx()
    with tempfile.TemporaryDirectory(prefix="ecs-ship-bench.") as folder:
        work = pathlib.Path(folder)
        if "start-up" in wanted:
            start_up(work, buildx)
        if "ship.toml" in wanted:
            format_of_ship_toml(work)
        if "login" in wanted:
            login(work)
        if not {"deploy", "rollout", "sandbox", "limits"}.isdisjoint(wanted):
            place = Place(work, buildx)
            if not {"deploy", "rollout", "sandbox"}.isdisjoint(wanted):
                with place.up() as took:
                    if "deploy" in wanted:
                        unchanged(place)
                        changed(place)
                    else:
                        place.deploy(1)
                    if "sandbox" in wanted:
                        sandbox(place, took)
                    # Last, because it leaves a revision behind that crashes.
                    if "rollout" in wanted:
                        rollout.real_time(place, sys.modules[__name__])
            if "rollout" in wanted:
                rollout.fleets(place, sys.modules[__name__])
            if "limits" in wanted:
                limits(place)
    if missed:
        print(f"\n{len(missed)} aims missed: {'; '.join(missed)}", flush=True)
        sys.exit(1)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
