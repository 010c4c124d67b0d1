"""Measures what the product promises, as ratios within one run. Prints a table; exits 1 if an aim is missed."""

import json
import os
import pathlib
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
SHIP = ROOT / "target/release/docker-ecs-ship"
missed = []


def row(what, value, aim, good):
    print(f"{what:<64} {value:>16}   aim {aim:<22} {'ok' if good else 'MISSED'}", flush=True)
    if not good:
        missed.append(what)


def once(argv, env=None, cwd=None, stdin=None):
    begun = time.perf_counter()
    done = subprocess.run(argv, env=env, cwd=cwd, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return time.perf_counter() - begun, done


def medians(runs, **commands):
    """Interleaves the commands so that a busy moment of the machine meets all of them."""
    times = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            times[name].append(command())
    return {name: statistics.median(values) for name, values in times.items()}


def peak(argv, env=None, cwd=None):
    """Peak memory in MiB of a command, by GNU time's way: wait4 of the child."""
    pid = os.fork()
    if pid == 0:
        null = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(null, number)
        if cwd:
            os.chdir(cwd)
        os.execvpe(argv[0], argv, env or os.environ)
    _, status, usage = os.wait4(pid, 0)
    return usage.ru_maxrss / 1024, os.waitstatus_to_exitcode(status)


def buildx():
    found = os.environ.get("BENCH_BUILDX")
    if found:
        return found
    for folder in ("~/.docker/cli-plugins", "/usr/local/lib/docker/cli-plugins", "/usr/local/libexec/docker/cli-plugins",
                   "/usr/lib/docker/cli-plugins", "/usr/libexec/docker/cli-plugins"):
        candidate = pathlib.Path(folder).expanduser() / "docker-buildx"
        if candidate.exists():
            return str(candidate)
    return None


def start_up(work):
    bare = {"PATH": os.environ["PATH"], "HOME": str(work)}
    plugin = work / "docker-ecsship"
    plugin.symlink_to(SHIP)
    peer = buildx()
    metadata = [str(plugin), "docker-cli-plugin-metadata"]
    complete = [str(plugin), "__complete", "ecsship", "dep"]
    commands = {"metadata": lambda: once(metadata, bare)[0], "complete": lambda: once(complete, bare)[0]}
    if peer:
        commands["buildx"] = lambda: once([peer, "docker-cli-plugin-metadata"], bare)[0]
    # What starting any process costs here; taken off both sides, or the smaller one is mostly this.
    commands["nothing"] = lambda: once(["/bin/true"], bare)[0]
    got = medians(31, **commands)
    for name, argv in (("metadata", metadata), ("complete", complete)):
        if peer:
            ratio = got[name] / got["buildx"]
            row(f"start-up: {name} / docker-buildx metadata", f"{ratio:.3f}", "<= 0.10", ratio <= 0.10)
        mib, _ = peak(argv, bare)
        row(f"start-up: {name}, peak memory", f"{mib:.1f} MiB", "< 6 MiB", mib < 6)
    if not peer:
        print("start-up: no docker-buildx here; set BENCH_BUILDX to compare", flush=True)

    shim = work / "shim"
    shim.mkdir()
    (shim / "docker").symlink_to(SHIP)
    real = pathlib.Path(shutil.which("docker"))
    stand_in = work / "bin"
    stand_in.mkdir()
    # A docker that does nothing, so that only the shim is seen.
    (stand_in / "docker").symlink_to("/bin/true")
    path = {"HOME": str(work), "PATH": f"{shim}:{stand_in}:/usr/bin:/bin"}
    got = medians(51, shim=lambda: once([str(shim / "docker"), "ps"], path)[0],
                  plain=lambda: once([str(stand_in / "docker"), "ps"], path)[0])
    added = (got["shim"] - got["plain"]) * 1000
    row(f"shim: added to another docker command ({real.name})", f"{added:.2f} ms", "< 2 ms", added < 2)


def deploys(work):
    hello = work / "hello"
    subprocess.run([ROOT / "examples/hello/build.sh"], check=True)
    shutil.copytree(ROOT / "examples/hello", hello, ignore=shutil.ignore_patterns("target"))
    for words in (["init", "-q"], ["add", "-A", "-f"],
                  ["-c", "user.name=b", "-c", "user.email=b@example.com", "commit", "-qm", "hello"]):
        subprocess.run(["git", *words], cwd=hello, check=True)
    env = {"PATH": os.environ["PATH"], "HOME": str(work), "XDG_STATE_HOME": str(work / "state")}
    if "DOCKER_HOST" in os.environ:
        env["DOCKER_HOST"] = os.environ["DOCKER_HOST"]

    def ship(*words, **more):
        took, done = once([str(SHIP), *words], {**env, **more}, hello)
        if done.returncode != 0:
            sys.exit(f"{words} ended with {done.returncode}:\n{done.stderr.decode()}")
        return took, done

    ship("sandbox", "up", "--port", "0", "--speed", "1")
    try:
        deploy = ["deploy", "-e", "sandbox", "--yes", "--progress", "plain"]
        ship(*deploy, HELLO_VERSION="1")
        # The engine's own cached build, by the docker CLI, as the floor.
        tag = "bench-floor"
        floor_argv = ["docker", "build", "-q", "-t", tag, "--build-arg", "VERSION=1", "--build-arg", "CRASH_AT_START=", "."]
        floor_env = {**env, "DOCKER_BUILDKIT": "1"}
        got = medians(9, ours=lambda: ship(*deploy, HELLO_VERSION="1")[0], floor=lambda: once(floor_argv, floor_env, hello)[0])
        beyond = got["ours"] - got["floor"]
        row("deploy of an unchanged commit, beyond the cached build", f"{beyond:.2f} s", "< 1 s", beyond < 1)
        row("deploy of an unchanged commit / cached docker build", f"{got['ours'] / got['floor']:.2f}", "(ratio)", True)

        script = by_hand(work, env, hello, ship)
        if script:
            got = medians(5, ours=lambda: ship(*deploy, HELLO_VERSION="1")[0], hand=script)
            ratio = got["ours"] / got["hand"]
            row("deploy of an unchanged commit / aws + docker script", f"{ratio:.2f}", "< 1", ratio < 1)

        mib, code = peak([str(SHIP), *deploy], {**env, "HELLO_VERSION": "2"}, hello)
        row("deploy of version 2, peak memory", f"{mib:.1f} MiB", "< 60 MiB", code == 0 and mib < 60)

        record = work / "run.jsonl"
        # A thread of our own looks for the moment when the last old container is gone.
        before = tasks(env, hello)
        begun = time.time()
        child = subprocess.Popen([str(SHIP), *deploy, "--record", str(record)], env={**env, "HELLO_VERSION": "3"}, cwd=hello,
                                 stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        gone = None
        while child.poll() is None:
            if gone is None and not before & tasks(env, hello):
                gone = time.time()
            time.sleep(0.1)
        ended = time.time()
        after_gone = ended - gone if gone else float("inf")
        row("old tasks gone to exit, real time", f"{after_gone:.2f} s", "< 3 s", after_gone < 3)
        own = overhead(record, ended - begun)
        row("one-layer change: program overhead", f"{own:.2f} s", "< 1 s", own < 1)
    finally:
        ship("sandbox", "down")


def tasks(env, folder):
    done = subprocess.run([str(SHIP), "sandbox", "status", "--format", "json"], env=env, cwd=folder, stdout=subprocess.PIPE)
    sandbox = json.loads(done.stdout)["id"]
    listed = subprocess.run(["docker", "ps", "-q", "--filter", f"label=docker-ecs-ship.sandbox={sandbox}"], stdout=subprocess.PIPE)
    return set(listed.stdout.decode().split())


def overhead(record, wall):
    """The wall time less build, push and watch, which wait for the engine, the registry and ECS."""
    started, waited = {}, []
    for line in record.read_text().splitlines():
        event = json.loads(line)
        kind, step, at = event["event"]["kind"], event["event"].get("step"), event["time_ms"] / 1000
        if kind == "begun":
            kinds = {outline["id"]: outline["kind"] for outline in event["event"]["steps"]}
        elif kind == "started":
            started[step] = at
        elif kind == "done" and kinds[step] in ("build", "push", "watch"):
            waited.append((started[step], at))
    return wall - sum(end - begin for begin, end in waited)


def by_hand(work, env, hello, ship):
    """The Jenkinsfile glue: aws + docker + python for jq, against the same sandbox."""
    aws = os.environ.get("BENCH_AWS") or shutil.which("aws")
    if not aws:
        print("by hand: no aws CLI here; set BENCH_AWS to compare", flush=True)
        return None
    status = json.loads(ship("sandbox", "status", "--format", "json")[1].stdout)
    endpoint, registry = status["endpoint"], status["registry"]
    config = work / "docker-config"
    config.mkdir()
    script = work / "by-hand"
    script.write_text(f"""set -euo pipefail
aws() {{ {aws} --endpoint-url {endpoint} "$@"; }}
aws ecr get-login-password | docker login -u AWS --password-stdin {registry} >/dev/null 2>&1
image={registry}/hello:by-hand
DOCKER_BUILDKIT=1 docker build -q --build-arg VERSION=1 --build-arg CRASH_AT_START= -t "$image" . >/dev/null
docker push -q "$image" >/dev/null
live=$(aws ecs describe-services --cluster hello --services hello --query 'services[0].taskDefinition' --output text)
aws ecs describe-task-definition --task-definition "$live" --query taskDefinition >live.json
python3 -c "import json; d=json.load(open('live.json')); print(d['containerDefinitions'][0]['image'])" >/dev/null
""")
    surroundings = {**env, "PATH": env["PATH"], "DOCKER_CONFIG": str(config), "AWS_ACCESS_KEY_ID": "sandbox",
                    "AWS_SECRET_ACCESS_KEY": "sandbox", "AWS_DEFAULT_REGION": status.get("region", "us-east-1")}

    def run():
        took, done = once(["bash", str(script)], surroundings, hello)
        if done.returncode != 0:
            sys.exit(f"the script by hand failed:\n{done.stderr.decode()}")
        return took

    return run


def main():
    if not SHIP.exists():
        sys.exit("build it first: cargo build --release")
    size = SHIP.stat().st_size / 2**20
    row("release binary", f"{size:.1f} MiB", "< 25 MiB", size < 25)
    with tempfile.TemporaryDirectory(prefix="ecs-ship-bench.") as folder:
        work = pathlib.Path(folder)
        start_up(work)
        deploys(work)
    if missed:
        sys.exit(f"{len(missed)} aims missed: {', '.join(missed)}")


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main()
