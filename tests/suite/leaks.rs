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
        if path.is_symlink() || path.extension().is_some_and(|extension| extension == "token") {
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

#[test]
fn a_deploy_shows_its_token_to_nobody_but_the_registry() {
    let mut paper = Paper::up("100");
    paper.cluster();
    paper.repository();
    paper.service();
    paper.steady();
    let environment = &mut paper.environment;
    environment.set("ECS_SHIP_CREDENTIAL_STORE", "file").set("AWS_REGION", "us-east-1");
    overhear(environment, &["git", "docker"]);
    environment.write("ship.toml", "format = 1\n[images.web]\nrepository = \"shop/web\"\ncontext = \"app\"\ntags = [\"v-${env.VERSION}\"]\n[services.web]\ncluster = \"shop\"\n[environments.production]\nregion = \"us-east-1\"\n");
    environment.write("app/Dockerfile", "FROM scratch\nCOPY file /file\n");
    let mut password = String::new();
    for (version, words) in [
        vec!["deploy", "--yes", "--progress", "plain", "--record", "run.jsonl"],
        vec!["-D", "deploy", "--yes", "--progress", "json"],
        vec!["-D", "deploy", "--yes", "--progress", "quiet"],
    ]
    .into_iter()
    .enumerate()
    {
        let number = version.to_string();
        environment.write("app/file", &number);
        environment.set("VERSION", &number);
        let output = environment.run_all(PROGRAM, &words);
        assert_eq!(output.code, Some(0), "{output}");
        if version == 0 {
            password = kept_password(environment);
        }
        check(environment, &output, &words.join(" "), &[&password]);
    }
    assert_eq!(kept_password(environment), password, "one token served all of them");
    let children = fs::read_to_string(environment.home().join("children")).expect("git was called");
    assert!(children.contains("git"), "{children}");
    paper.remove_images();
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
