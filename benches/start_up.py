"""Writes src/start-up.ld: which functions a start runs, found by running every start that must be quick.

    cargo rustc --release --bin docker-ecs-ship -- -C strip=none
    python3 -B benches/start_up.py

Needs valgrind and nm. The names are written without what a compiler or a version adds to them, so that the list
outlives both; what it does not know any more is linked where it was before.
"""

import fnmatch
import http.server
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading

import run

# A pattern that fits more than this brings in more pages than it saves.
WIDEST = 100_000
NARROW = 2_000
# The oldest C library that Rust links with: every name up to it is in all of them.
OLDEST = (2, 17)

HEAD = """\
/* What a start runs, put together: it touches few pages instead of a few of everywhere. Written by
   benches/start_up.py, read by LLD and GNU ld; the why is in docs/decisions/0006-fixed-address.md. */
"""


def called(work, binary, name, words, env, question):
    """The functions of the binary that ran."""
    link, out = work / name, work / "callgrind"
    if not link.exists():
        link.symlink_to(binary)
    with open(question) as stdin:
        done = subprocess.run(["valgrind", "--tool=callgrind", "--demangle=no", f"--callgrind-out-file={out}",
                               str(link), *words], env=env, stdin=stdin, capture_output=True)
    if done.returncode != 0:
        sys.exit(f"{name} {words} ended with {done.returncode}:\n{done.stdout.decode()}{done.stderr.decode()}")
    names, objects, current, found = {}, {}, None, set()
    for line in out.read_text().splitlines():
        match = re.match(r"(c?)(ob|fn)=\((\d+)\)(?: (.*))?", line)
        if not match:
            continue
        callee, kind, number, text = match.groups()
        known = objects if kind == "ob" else names
        if text is not None:
            known[number] = text
        if kind == "ob" and not callee:
            current = known[number]
        elif kind == "fn" and not callee and current and pathlib.Path(current).resolve() == binary.resolve():
            found.add(re.sub(r"'\d+$", "", known[number]))
    return found


def pattern(name):
    """The name without hashes of crates and types, of units and of versions."""
    name = re.sub(r"\.llvm\.\d+$", "", name)
    name = re.sub(r"17h[0-9a-f]{16}E$", "17h*", name)
    name = re.sub(r"^aws_lc_\d+_\d+_\d+_", "aws_lc_*_", name)
    name = re.sub(r"Cs[0-9A-Za-z]{5,14}_(?=\d)", "Cs*_", name)
    return name + "*" if name.startswith("_R") else name


def sizes(binary):
    lines = (line.split() for line in subprocess.run(["nm", "-S", "--defined-only", binary], check=True,
                                                     capture_output=True, text=True).stdout.splitlines())
    return {line[3]: int(line[1], 16) for line in lines if len(line) == 4 and line[2] in "tTwW"}


def imports(binary):
    """What the C library is asked for by name: the loader writes an address for each, on as many pages as they lie."""
    said = subprocess.run(["nm", "-D", "--with-symbol-versions", binary], check=True, capture_output=True, text=True).stdout
    found = re.findall(r"^ +U (\w+)@GLIBC_(\d+)\.(\d+)", said, re.M)
    return sorted({name for name, major, minor in found if (int(major), int(minor)) <= OLDEST})


def starts(work, binary):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), run.Ecr)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    home = work / "home"
    (home / ".docker").mkdir(parents=True)
    shim, real = work / "shim/docker", work / "real/docker"
    for link, target in ((shim, binary), (real, "/bin/true")):
        link.parent.mkdir()
        link.symlink_to(target)
    question, nothing = work / "registry", work / "nothing"
    question.write_text(run.REGISTRY)
    nothing.write_text("")
    env = {"PATH": f"{real.parent}:{os.environ['PATH']}", "HOME": str(home), "AWS_REGION": "eu-west-1",
           "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.server_port}", "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
           "AWS_SECRET_ACCESS_KEY": "bench"}
    by_docker = {**env, "DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND": "docker"}
    helper, plugin = "docker-credential-ecs-ship", "docker-ecsship"
    # Once without being looked at: warm from here on.
    subprocess.run([binary, "login", run.REGISTRY], env=env, check=True, capture_output=True)
    yield called(work, binary, helper, ["get"], env, question)
    yield called(work, binary, helper, ["list"], env, nothing)
    yield called(work, binary, plugin, ["docker-cli-plugin-metadata"], by_docker, nothing)
    yield called(work, binary, plugin, ["__complete", "ecsship", "dep"], by_docker, nothing)
    yield called(work, binary, "shim/docker", ["ps"], env, nothing)


def main():
    binary = run.SHIP.resolve()
    known = sizes(binary)
    if not known:
        sys.exit("it has no names: cargo rustc --release --bin docker-ecs-ship -- -C strip=none")
    by = {}
    with tempfile.TemporaryDirectory(prefix="ecs-ship-start-up.") as folder:
        for number, found in enumerate(starts(pathlib.Path(folder), binary)):
            for name in found & known.keys():
                by.setdefault(pattern(name), set()).add(number)

    def width(text):
        fits = re.compile(fnmatch.translate(text)).match
        return sum(size for name, size in known.items() if fits(name))

    widths = {text: width(text) for text in by}
    # The narrow come first, close together, and among them what several starts share; then the wide, of each of which a
    # start runs a little.
    chosen = sorted((text for text in by if widths[text] <= WIDEST), key=lambda text: (
        widths[text] > NARROW, -len(by[text]), sorted(by[text]), widths[text], text))
    lines = [HEAD, "/* The C library's functions, so that their addresses stand side by side. */", "EXTERN("]
    lines += [f"  {name}" for name in imports(binary)]
    lines += [")", "", "SECTIONS {", "  .text.start_up : {"]
    # Also those that the compiler has put among the unlikely ones.
    lines += [f"    *(.text*.{text})" for text in chosen]
    lines += ["  }", "} INSERT BEFORE .text;", ""]
    (run.ROOT / "src/start-up.ld").write_text("\n".join(lines))
    print(f"{len(chosen)} patterns for {sum(widths[text] for text in chosen) / 1024:.0f} KiB; "
          f"{len(by) - len(chosen)} that fit too much are left out")


if __name__ == "__main__":
    main()
