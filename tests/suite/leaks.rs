//! No secret where it does not belong: every verb in every kind of output, with a token and keys that are
//! known, and then a look at everything that was written, recorded, logged and handed to children.

use std::{fs, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use crate::{
    environment::{Environment, Output, PROGRAM},
    login::signed_in,
    paper::Paper,
    stand_in::{REGISTRY, StandIn, token},
};

const PASSWORD: &str = "MARKER-password-of-the-registry";
const SECRET_KEY: &str = "MARKERsecretaccesskeyMARKERsecretaccess0";
const SESSION: &str = "MARKER-session-token";

/// A secret as it is, and as it looks in the ways that it is sent.
fn spellings(secret: &str) -> Vec<String> {
    let mut all = vec![secret.to_owned()];
    // Base64 looks different at each of three offsets, but for the middle.
    for before in ["", "x", "xx", "AWS:"] {
        let encoded = STANDARD.encode(format!("{before}{secret}"));
        all.push(encoded[4..encoded.len() - 4].to_owned());
    }
    all
}

fn assert_hidden(what: &str, text: &str, secrets: &[&str]) {
    for secret in secrets {
        for spelling in spellings(secret) {
            assert!(!text.contains(&spelling), "{what} shows {spelling}:\n{text}");
        }
    }
}

/// Every file below a folder, but for the store's own.
fn look_through(folder: &Path, secrets: &[&str]) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        let is_where_it_belongs = path.extension().is_some_and(|extension| extension == "token")
            // The caller's own keys, in the caller's own file.
            || path.ends_with(".aws/credentials");
        if path.is_symlink() || is_where_it_belongs {
            continue;
        }
        if path.is_dir() {
            look_through(&path, secrets);
        } else if let Ok(bytes) = fs::read(&path) {
            assert_hidden(&path.display().to_string(), &String::from_utf8_lossy(&bytes), secrets);
        }
    }
}

/// Go-betweens that note the arguments and the environment of every child.
fn overhear(environment: &mut Environment, programs: &[&str]) {
    for program in programs {
        environment.script(
            &format!("overheard/{program}"),
            &format!(
                "{{ echo \"$0 $*\"; env; }} >> {log}\nfor folder in /usr/local/bin /usr/bin /bin; do\n\
                 if [ -x $folder/{program} ]; then exec $folder/{program} \"$@\"; fi\ndone\nexit 127\n",
                log = environment.home().join("children").display()
            ),
        );
    }
    environment.prepend(environment.work().join("overheard"));
}

fn check(environment: &Environment, output: &Output, what: &str, secrets: &[&str]) {
    assert_hidden(&format!("stdout of {what}"), &output.stdout, secrets);
    assert_hidden(&format!("stderr of {what}"), &output.stderr, secrets);
    look_through(&environment.home(), secrets);
    look_through(&environment.work(), secrets);
}

/// The verbs as the help lists them, so that a new one is not forgotten.
fn verbs(environment: &Environment) -> Vec<String> {
    let help = environment.run(PROGRAM, ["--help"]).success().stdout;
    let (_, commands) = help.split_once("Commands:\n").expect("a list of commands");
    commands
        .lines()
        .take_while(|line| line.starts_with("  "))
        // Further in stands the rest of a description.
        .filter(|line| !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn no_verb_shows_a_secret_in_any_kind_of_output() {
    let stand_in = StandIn::start();
    stand_in.answer("GetAuthorizationToken", token(PASSWORD, 12));
    let mut environment = signed_in(&stand_in, "file");
    environment.set("AWS_SECRET_ACCESS_KEY", SECRET_KEY).set("AWS_SESSION_TOKEN", SESSION);
    environment.write("ship.toml", "format = 1\n[images.web]\nrepository = \"shop/web\"\n[services.web]\ncluster = \"shop\"\n[environments.production]\nregion = \"eu-west-1\"\n");
    // AWS_SECRET_ACCESS_KEY comes from the caller's own environment, and children of it have that anyway.
    let secrets = [PASSWORD, SECRET_KEY, SESSION];
    let verbs = verbs(&environment);
    assert!(verbs.len() >= 9 && verbs.iter().any(|verb| verb == "login"), "{verbs:?}");
    for verb in verbs.iter().filter(|verb| !matches!(verb.as_str(), "sandbox" | "install" | "uninstall")) {
        for words in [vec![], vec!["--debug"], vec!["--log-level", "debug", "-D"]] {
            for flags in [
                vec![],
                vec!["--progress", "plain"],
                vec!["--progress", "json"],
                vec!["--progress", "quiet"],
                vec!["--format", "json"],
                vec!["--help"],
            ] {
                let all: Vec<&str> =
                    words.iter().copied().chain([verb.as_str()]).chain(flags.iter().copied()).collect();
                let output = environment.run_all(PROGRAM, &all);
                check(&environment, &output, &all.join(" "), &secrets);
            }
        }
    }
    for words in [
        vec!["login", REGISTRY],
        vec!["login", "--docker", REGISTRY, "--format", "json"],
        vec!["login", "--refresh", REGISTRY],
        vec!["logout"],
    ] {
        let output = environment.run_all(PROGRAM, &[&["-D"], words.as_slice()].concat());
        assert_hidden(&words.join(" "), &format!("{output}"), &secrets);
    }
    let helper = environment.face("docker-credential-ecs-ship");
    for action in ["list", "version", "erase", "store"] {
        let credential = format!("{{\"ServerURL\":\"{REGISTRY}\",\"Username\":\"AWS\",\"Secret\":\"{PASSWORD}\"}}");
        let output =
            environment.run_with_input(&helper, [action], if action == "store" { &credential } else { REGISTRY });
        assert_hidden(action, &format!("{output}"), &secrets);
    }
}

/// How a run is shown; on a terminal by a pseudo terminal of its own.
const FACES: [&str; 4] = ["plain", "json", "quiet", "tty"];

/// A run on one of the faces, with all the talk that there is.
fn shown(environment: &Environment, face: &str, words: &[&str]) -> Output {
    let all = [&["-D"], words, &["--progress", face]].concat();
    if face == "tty" { on_a_terminal(environment, &all) } else { environment.run_all(PROGRAM, &all) }
}

fn on_a_terminal(environment: &Environment, words: &[&str]) -> Output {
    environment.run("script", ["-qec", &format!("TERM=xterm {PROGRAM} {}", words.join(" ")), "/dev/null"])
}

/// An account on paper whose caller has a profile with these keys, so that no child has them from its parent.
fn paper_with_keys() -> Paper {
    let mut paper = Paper::up("100");
    paper.cluster();
    paper.repository();
    paper.service();
    paper.steady();
    let environment = &mut paper.environment;
    environment.set("AWS_ACCESS_KEY_ID", "").set("AWS_SECRET_ACCESS_KEY", "");
    let aws = environment.home().join(".aws");
    fs::create_dir_all(&aws).expect("a folder");
    let keys = format!(
        "[default]\naws_access_key_id = ASIAMARKER0000000000\naws_secret_access_key = {SECRET_KEY}\naws_session_token = {SESSION}\n"
    );
    fs::write(aws.join("credentials"), keys).expect("a file");
    environment.set("ECS_SHIP_CREDENTIAL_STORE", "file").set("AWS_REGION", "us-east-1");
    overhear(environment, &["git", "docker"]);
    environment.write("ship.toml", "format = 1\n[images.web]\nrepository = \"shop/web\"\ncontext = \"app\"\ntags = [\"v-${env.VERSION}\"]\n[services.web]\ncluster = \"shop\"\n[environments.production]\nregion = \"us-east-1\"\n");
    environment.write("app/Dockerfile", "FROM scratch\nCOPY file /file\n");
    paper
}

#[test]
fn a_run_shows_its_secrets_to_nobody_but_those_they_are_for() {
    let mut paper = paper_with_keys();
    let environment = &mut paper.environment;
    let mut password = String::new();
    for (number, face) in FACES.into_iter().enumerate() {
        environment.write("app/file", face);
        environment.set("VERSION", &number.to_string());
        let record = format!("run-{face}.jsonl");
        let output = shown(environment, face, &["deploy", "--yes", "--record", &record]);
        assert_eq!(output.code, Some(0), "{face}: {output}");
        if password.is_empty() {
            password = kept_password(environment);
        }
        let secrets = [password.as_str(), SECRET_KEY, SESSION];
        check(environment, &output, &format!("deploy on {face}"), &secrets);
        for words in [
            &["watch", "web"][..],
            &["rollback", "--yes", "web"],
            &["replay", &record],
            // There is no load balancer to rehearse with, and it says so; a whole rehearsal is below.
            &["rehearse"],
        ] {
            let output = shown(environment, face, words);
            check(environment, &output, &format!("{} on {face}", words.join(" ")), &secrets);
        }
    }
    assert_eq!(kept_password(environment), password, "one token served all of them");
    let secrets = [password.as_str(), SECRET_KEY, SESSION];
    let helper = format!("install --credential-helper {REGISTRY}");
    for words in [
        "plan",
        "plan --format json",
        "status",
        "status --format json",
        "status --format url web",
        "history",
        "history --format json",
        "tasks",
        "tasks --format json",
        "logs web",
        "run web",
        "exec web ls",
        "stop-deployment --yes web",
        "init --cluster shop --service web --file made.toml",
        "config validate --format json",
        "config show",
        "config show --format json",
        "config schema",
        "sandbox status",
        "sandbox status --format json",
        "sandbox up",
        "login",
        "login --format json",
        "login --check",
        helper.as_str(),
        "uninstall",
        "version",
        "completion bash",
        "logout",
    ] {
        let all: Vec<&str> = ["-D"].into_iter().chain(words.split(' ')).collect();
        check(environment, &environment.run_all(PROGRAM, &all), words, &secrets);
        check(environment, &on_a_terminal(environment, &all), &format!("{words} on a terminal"), &secrets);
    }
    // Everything there is has had its turn here or above; a new verb must be added to one of the lists.
    let known = [
        "deploy",
        "watch",
        "rollback",
        "replay",
        "rehearse",
        "plan",
        "status",
        "history",
        "tasks",
        "logs",
        "run",
        "exec",
        "stop-deployment",
        "init",
        "config",
        "sandbox",
        "login",
        "install",
        "uninstall",
        "version",
        "completion",
        "logout",
    ];
    for verb in verbs(environment) {
        assert!(known.contains(&verb.as_str()), "{verb} is in no list of this test");
    }
    let children = fs::read_to_string(environment.home().join("children")).expect("git was called");
    assert!(children.contains("git"), "{children}");
    paper.remove_images();
}

/// What is live is pulled with a login, and every container of the rehearsal is one that could be told too much.
#[test]
fn a_rehearsal_shows_its_secrets_to_nobody() {
    let mut paper = paper_with_keys();
    let environment = &mut paper.environment;
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).is_file());
    let busybox = busybox.expect("this test needs busybox-static, which tests/ensure-tools installs");
    environment.install_program(Path::new(busybox), &environment.work().join("app/busybox"));
    environment.write("app/index.html", "hello");
    environment.write("app/Dockerfile", "FROM scratch\nCOPY busybox /busybox\nCOPY index.html /www/index.html\nEXPOSE 8080\nCMD [\"/busybox\", \"httpd\", \"-f\", \"-p\", \"8080\", \"-h\", \"/www\"]\n");
    environment.write("ship.toml", "format = 1\n[images.web]\nrepository = \"shop/web\"\ncontext = \"app\"\ntags = [\"v-1\"]\n[services.site]\nimage = \"web\"\ncluster = \"shop\"\n[services.site.sandbox]\ndesired_count = 1\ncontainer_port = 8080\nhealth_check_path = \"/index.html\"\nderegistration_delay = \"1s\"\nstop_timeout = \"1s\"\n[environments.sandbox]\nsandbox = true\n[environments.production]\nregion = \"us-east-1\"\n");
    // A service behind a load balancer, as the account has it.
    let _ = environment.run(PROGRAM, ["deploy", "--yes", "--environment", "sandbox"]).success();
    paper.remove_images();
    for face in ["json", "tty"] {
        let environment = &paper.environment;
        let words = ["rehearse", "--environment", "production", "--speed", "100", "--path", "/index.html"];
        let output = shown(environment, face, &words);
        // The old task does not hear SIGTERM, which may cost requests.
        assert!(matches!(output.code, Some(0 | 25)) && output.stdout.contains("Rehearsal of site"), "{face}: {output}");
        let password = kept_password(environment);
        let secrets = [password.as_str(), SECRET_KEY, SESSION];
        check(environment, &output, &format!("rehearse on {face}"), &secrets);
    }
    paper.remove_images();
}

/// What is looked for would be found: the same eyes see a secret that is shown.
#[test]
fn a_secret_that_is_shown_would_be_seen() {
    let environment = Environment::new();
    for text in [
        PASSWORD.to_owned(),
        STANDARD.encode(format!("AWS:{PASSWORD}")),
        format!("{{\"auth\":\"{}\"}}", STANDARD.encode(format!("x{PASSWORD}y"))),
    ] {
        environment.write("shown", &text);
        let seen = std::panic::catch_unwind(|| look_through(&environment.work(), &[PASSWORD]));
        assert!(seen.is_err(), "{text}");
    }
    environment.write("shown", "nothing of it");
    look_through(&environment.work(), &[PASSWORD]);
}

/// The password that lies in the plain file.
fn kept_password(environment: &Environment) -> String {
    let folder = environment.home().join(".local/state/docker-ecs-ship/credentials");
    let file = fs::read_dir(folder)
        .expect("a folder")
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|extension| extension == "token"))
        .expect("a token is kept");
    let text = fs::read_to_string(file).expect("a plain file");
    let (_, body) = text.split_once('\n').expect("two parts");
    let pair: serde_json::Value = serde_json::from_str(body).expect("JSON");
    pair["password"].as_str().expect("a password").to_owned()
}
