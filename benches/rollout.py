"""How soon a rollout is understood and ended, and what it costs AWS: beside `aws ecs wait services-stable` and the circuit breaker."""

import contextlib
import datetime
import http.client
import http.server
import json
import os
import re
import shutil
import statistics
import subprocess
import threading
import time
import urllib.parse

FLEETS = (1, 10, 100)
# Ten seconds of ECS's scheduler are half of one.
FLEET_SPEED = 20


def real_time(place, bench):
    """In a sandbox that is up, with the service shipped already."""
    aws = os.environ.get("BENCH_AWS") or shutil.which("aws")
    bench.heading("a rollout and its end, at real time")
    if aws is None:
        bench.row("no aws CLI here (set BENCH_AWS)", "-")
    drained(place, bench, aws)
    crashed(place, bench, aws)


def fleets(place, bench):
    bench.heading(f"rollouts of {', '.join(map(str, FLEETS))} services in one command, on paper, at {FLEET_SPEED} times real time")
    for services in FLEETS:
        fleet(place, bench, services)


def cli(place, aws):
    """The AWS CLI against this sandbox, and the environment it needs."""
    env = {**place.env, "AWS_DEFAULT_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "sandbox", "AWS_SECRET_ACCESS_KEY": "sandbox"}
    return [aws, "--endpoint-url", place.endpoint], env


class Waiter(threading.Thread):
    """Runs `aws ecs wait services-stable` so many seconds after a recorded deploy has updated its service."""

    def __init__(self, place, aws, record, after=0):
        super().__init__(daemon=True)
        self.words, self.env = cli(place, aws) if aws else (None, None)
        self.record, self.after, self.ended, self.code = record, after, None, None
        self.start()

    def run(self):
        if self.words is None:
            return
        while not any(event["kind"] == "done" and event["step"] in kinds(self.record, "update") for event, _ in events(self.record)):
            time.sleep(0.05)
        time.sleep(self.after)
        words = [*self.words, "ecs", "wait", "services-stable", "--cluster", "hello", "--services", "hello"]
        self.code = subprocess.run(words, env=self.env, capture_output=True).returncode
        self.ended = time.time()


def events(record):
    """What a record holds so far, each event with its time in seconds."""
    with contextlib.suppress(FileNotFoundError):
        for line in record.read_text().splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                line = json.loads(line)
                yield line["event"], line["time_ms"] / 1000


def kinds(record, kind):
    """The steps of a kind."""
    return [step["id"] for event, _ in events(record) if event["kind"] == "begun" for step in event["steps"] if step["kind"] == kind]


@contextlib.contextmanager
def deaths(place):
    """Hears the engine tell when containers end: time and id of each, also while it goes on."""
    words = ["docker", "events", "--filter", "event=die", "--filter", f"label=ecs-ship.sandbox={place.id}", "--format", "{{.TimeNano}} {{.Actor.ID}}"]
    hearing = subprocess.Popen(words, env=place.env, stdout=subprocess.PIPE, text=True)
    heard = []

    def read():
        for line in hearing.stdout:
            at, container = line.split()
            heard.append((int(at) / 1e9, container))

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        yield heard
    finally:
        hearing.terminate()
        reader.join()


def drained(place, bench, aws):
    """From the last old task's end to the end of the command, beside the waiter's end of the same rollout."""
    record, old = place.work / "drained.jsonl", place.containers()
    with deaths(place) as heard:
        # It asks every fifteen seconds, and how soon after the end is a matter of luck: five of them are their mean.
        waiters = [Waiter(place, aws, record, after) for after in range(0, 15, 3)]
        place.deploy("drained", record)
        ended = time.time()
        for waiter in waiters:
            waiter.join(120)
    gone = max(at for at, container in heard if container in old)
    told = [event["progress"] for event, _ in events(record) if event["kind"] == "told" and event["progress"]["what"] == "service_event"]
    word = max(one["time_ms"] / 1000 for one in told if "deployment completed" in one["text"])
    # ECS looks every ten seconds, and whoever waits for its word waits for that.
    bench.row("last old task gone to ECS's own word of it", f"{word - gone:.1f} s")
    over = max(gone, word)
    ours = ended - over
    bench.row("old tasks gone and ECS's word to exit", f"{ours:.1f} s", "< 3 s", ours < 3)
    if aws:
        theirs = statistics.mean(waiter.ended - over for waiter in waiters)
        bench.row("the same to the end of `aws ecs wait services-stable`, on average", f"{theirs:.1f} s")
        bench.row("  the waiter's / ours", f"{theirs / ours:.1f}", ">= 2", theirs / ours >= 2)


def crashed(place, bench, aws):
    """From the first crash to the printed reason, beside the breaker's word and the waiter's. ECS is left to itself."""
    file, record, old = place.hello / "ship.toml", place.work / "crashed.jsonl", place.containers()
    text = file.read_text()
    file.write_text(text + '\n[services.hello.rollout]\non_failure = "leave"\n')
    try:
        with deaths(place) as heard:
            waiter = Waiter(place, aws, record)
            words = [str(bench.SHIP), "deploy", "-e", "sandbox", "--yes", "--progress", "plain", "--record", str(record)]
            deploy = subprocess.Popen(words, env={**place.env, "HELLO_VERSION": "crash", "HELLO_CRASH": "1"}, cwd=place.hello,
                                      stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            printed = None
            for line in deploy.stderr:
                # The container's own last words come with the reason.
                if printed is None and "exited (1)" in line:
                    printed = time.time()
            code, ended = deploy.wait(), time.time()
            waiter.join(600)
        crash = min(at for at, container in heard if container not in old)
    finally:
        file.write_text(text)
    if printed is None or code not in (20, 21):
        raise SystemExit(f"a deploy that crashes ended with {code}, its reason told: {printed is not None}")
    said, verdict = printed - crash, ended - crash
    bench.row("first crash to the printed reason, with its log", f"{said:.1f} s", "< 10 s", said < 10)
    bench.row("first crash to the end of the command", f"{verdict:.1f} s")
    if not aws:
        return
    words, env = cli(place, aws)
    words = [*words, "ecs", "describe-services", "--cluster", "hello", "--services", "hello", "--query", "services[0].events"]
    told = json.loads(bench.run(words, env)[1])
    failed = [event["createdAt"] for event in told if "deployment failed" in event["message"]]
    breaker = parsed(failed[0]) - crash
    bench.row("first crash to the circuit breaker's word", f"{breaker:.1f} s")
    bench.row("  the breaker's / ours", f"{breaker / said:.1f}", ">= 3", breaker / said >= 3)
    waited = waiter.ended - crash
    what = "which calls it a success" if waiter.code == 0 else f"which ends with {waiter.code}"
    bench.row(f"first crash to the end of the waiter, {what}", f"{waited:.1f} s")
    bench.row("  the waiter's / ours", f"{waited / said:.1f}", ">= 5", waited / said >= 5)


def parsed(stamp):
    """The CLI prints an ISO date or seconds, by its version."""
    if isinstance(stamp, (int, float)):
        return float(stamp)
    return datetime.datetime.fromisoformat(stamp).timestamp()


# Many services: what they cost AWS


class Counting(http.server.BaseHTTPRequestHandler):
    """Passes everything on to the sandbox and counts the calls by their names."""

    protocol_version = "HTTP/1.1"
    upstream, own, calls, lock = None, None, None, threading.Lock()

    def name(self, body):
        target = self.headers.get("x-amz-target")
        if target:
            return target.rsplit(".", 1)[1]
        if self.command == "POST" and self.path == "/":
            return urllib.parse.parse_qs(body.decode()).get("Action", ["?"])[0]
        return None

    def pass_on(self):
        chunked = self.headers.get("transfer-encoding", "").lower() == "chunked"
        body = self.chunks() if chunked else self.rfile.read(int(self.headers.get("content-length") or 0))
        called = self.name(body)
        if called:
            with self.lock:
                self.calls.append((time.monotonic(), called))
        host, port = self.upstream.split(":")
        upstream = http.client.HTTPConnection(host, int(port), timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("transfer-encoding", "connection")}
        headers["Content-Length"] = str(len(body))
        upstream.request(self.command, self.path, body, headers)
        answer = upstream.getresponse()
        content = answer.read()
        if self.path.startswith("/_sandbox/"):
            content = content.replace(self.upstream.encode(), self.own.encode())
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        # The answer to HEAD tells the length of what it does not send.
        self.send_header("content-length", answer.getheader("content-length") if self.command == "HEAD" else str(len(content)))
        self.end_headers()
        self.wfile.write(b"" if self.command == "HEAD" else content)
        upstream.close()

    def chunks(self):
        whole = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            whole += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return whole

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = pass_on

    def log_message(self, *_):
        pass


# ECS's and ELB's buckets, with a quarter of what flows into each in a minute.
BUCKETS = {
    "services": (("DescribeServices", "ListServices"), 300),
    "deployments": (("DescribeServiceDeployments", "ListServiceDeployments"), 300),
    "tasks": (("ListTasks", "DescribeTasks", "DescribeContainerInstances"), 300),
    "definitions": (("DescribeTaskDefinition",), 300),
    "ELB": (("DescribeTargetHealth", "DescribeTargetGroups", "DescribeTargetGroupAttributes", "DescribeLoadBalancers", "DescribeListeners"), 150),
}


@contextlib.contextmanager
def counted(place):
    """A state folder whose sandbox is a counting one in front of the real one."""
    run_file = next((place.work / "state").rglob("sandbox.json"))
    Counting.upstream, Counting.calls = place.registry, []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Counting)
    server.daemon_threads = True
    Counting.own = f"127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    state = place.work / "counted"
    note = state / run_file.relative_to(place.work / "state")
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(run_file.read_text().replace(place.registry, Counting.own))
    usual = place.env["XDG_STATE_HOME"]
    place.env["XDG_STATE_HOME"] = str(state)
    try:
        yield Counting.calls
    finally:
        place.env["XDG_STATE_HOME"] = usual
        images = place.docker("images", "--format", "{{.Repository}}:{{.Tag}}", "--filter", f"reference={Counting.own}/*")[1].split()
        if images:
            place.docker("rmi", "-f", *images)
        server.shutdown()
        shutil.rmtree(state)


def fleet(place, bench, services):
    """Ships so many services of one image, and ships them once more with every call counted."""
    file = place.hello / "ship.toml"
    text = file.read_text()
    one = re.search(r"\[services\.hello\].*?(?=\n# And this|\Z)", text, re.S)[0].split("[environments.sandbox]")[0]
    many = "".join(one.replace("services.hello", f"services.s{number:03}").replace('cluster = "hello"', f'cluster = "hello"\nimage = "hello"\nservice = "s{number:03}"')
                   for number in range(services))
    file.write_text(text.replace(one, many))
    try:
        with place.up("--paper", speed=str(FLEET_SPEED)):
            place.deploy(f"fleet-{services}-1")
            with counted(place) as calls:
                deploy = [bench.SHIP, "deploy", "-e", "sandbox", "--yes", "--progress", "plain"]
                began = time.monotonic()
                mib = bench.peak(deploy, {**place.env, "HELLO_VERSION": f"fleet-{services}-2"}, place.hello)
                took = time.monotonic() - began
    finally:
        file.write_text(text)
    many = "1 service" if services == 1 else f"{services} services"
    minutes = took * FLEET_SPEED / 60
    # What ECS itself needs, and a minute and a half in which so many revisions may be registered.
    limit = 60 if services < 100 else 120
    bench.row(f"{many}: duration (the build with it)", f"{took:.1f} s", f"< {limit} s", took < limit)
    bench.row(f"{many}: peak memory", f"{mib:.1f} MiB", "< 60 MiB" if services < 100 else "< 120 MiB", mib < (60 if services < 100 else 120))
    bench.row(f"{many}: calls", str(len(calls)))
    for what, (names, quarter) in BUCKETS.items():
        made = sum(name in names for _, name in calls)
        # The first minute may be shorter than one and still have the burst in it.
        rate = made / max(minutes, 1)
        bench.row(f"{many}: calls a minute, {what}", f"{rate:.0f}", f"<= {quarter}", rate <= quarter)
