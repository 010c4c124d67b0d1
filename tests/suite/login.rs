//! `login`, `logout` and the credential helper against a stand-in for AWS that counts what it is asked.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader, Write as _},
    net::TcpListener,
    os::unix::fs::PermissionsExt as _,
    process::Stdio,
    sync::{Arc, LazyLock, Mutex},
    thread,
    time::Duration,
};

use regex::Regex;
use serde_json::Value;

use crate::{
    environment::{Environment, Output, PROGRAM},
    stand_in::{self, ACCOUNT, REGISTRY, StandIn, assumed, caller, json_error, now_seconds, token, xml_error},
};

/// Long-lived keys, so that the caller has a name that stays.
pub(crate) fn signed_in(stand_in: &StandIn, store: &str) -> Environment {
    let mut environment = Environment::new();
    environment
        .set("AWS_ENDPOINT_URL", &stand_in.url)
        .set("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
        .set("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
        .set("AWS_REGION", "eu-west-1")
        .set("ECS_SHIP_CREDENTIAL_STORE", store);
    environment
}

fn get(environment: &Environment) -> Output {
    environment.run_with_input(PROGRAM_AS_HELPER.as_str(), ["get"], REGISTRY)
}

/// One link for all tests: the face is in the name.
static PROGRAM_AS_HELPER: LazyLock<String> = LazyLock::new(|| {
    let folder = tempfile::tempdir().expect("a temporary folder").keep();
    let path = folder.join("docker-credential-ecs-ship");
    std::os::unix::fs::symlink(PROGRAM, &path).expect("a link can be made");
    path.to_string_lossy().into_owned()
});

/// What changes with the clock, named.
fn steady(text: &str) -> String {
    static CHANGING: LazyLock<[(Regex, &str); 4]> = LazyLock::new(|| {
        let regex = |text| Regex::new(text).expect("a constant");
        [
            (regex(r"\d{4}-\d\d-\d\d \d\d:\d\d UTC, in \S+( \S+)?"), "TIME UTC, in A WHILE"),
            (regex(r"(?m)\S+ ago$"), "A WHILE ago"),
            (regex(r"127\.0\.0\.1:\d+"), "127.0.0.1:PORT"),
            (regex(r#"("(issued|expires)_ms"): ?\d+"#), "$1:TIME"),
        ]
    });
    CHANGING.iter().fold(text.to_owned(), |text, (regex, name)| regex.replace_all(&text, *name).into_owned())
}

pub(crate) fn told(output: &Output) -> String {
    let Output { code, stdout, stderr } = output;
    format!("exit: {}\n--- stdout\n{}--- stderr\n{}", code.unwrap_or(-1), steady(stdout), steady(stderr))
}

pub(crate) fn add(text: &mut String, what: &str, output: &Output) {
    use std::fmt::Write as _;

    write!(text, "# {what}\n{}", told(output)).expect("a String takes everything");
}

fn files(environment: &Environment) -> Vec<String> {
    let folder = environment.home().join(".local/state/docker-ecs-ship/credentials");
    let mut names: Vec<String> = fs::read_dir(folder)
        .map(|entries| entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
        .unwrap_or_default();
    names.retain(|name| name.split('.').next_back() == Some("token"));
    names.sort();
    names
}

#[test]
fn a_token_is_fetched_once_shown_kept_and_forgotten() {
    let stand_in = StandIn::start();
    let environment = signed_in(&stand_in, "file");
    let check = || environment.run(PROGRAM, ["login", "--check"]);
    assert_eq!(check(), Output { code: Some(4), stdout: String::new(), stderr: String::new() });
    insta::assert_snapshot!("login_first", told(&environment.run(PROGRAM, ["login"])));
    assert_eq!(check(), Output { code: Some(0), stdout: String::new(), stderr: String::new() });
    insta::assert_snapshot!("login_again", told(&environment.run(PROGRAM, ["login", REGISTRY])));
    insta::assert_snapshot!("login_json", told(&environment.run(PROGRAM, ["login", "--format", "json"])));
    assert_eq!(stand_in.count("GetAuthorizationToken"), 1);

    stand_in.answer("GetAuthorizationToken", token("second", 12));
    let json: Value =
        serde_json::from_str(&environment.run(PROGRAM, ["login", "--refresh", "--format", "json"]).success().stdout)
            .expect("JSON");
    assert_eq!((json["fetched"].as_bool(), json["kept_in"].as_str()), (Some(true), Some("file")));
    assert_eq!(stand_in.count("GetAuthorizationToken"), 2);
    let answer: Value = serde_json::from_str(&get(&environment).success().stdout).expect("JSON");
    assert_eq!(answer["Secret"], "second", "the helper and the verb share what is kept");

    insta::assert_snapshot!("logout", told(&environment.run(PROGRAM, ["logout"])));
    assert_eq!(check().code, Some(4));
    assert_eq!(files(&environment), Vec::<String>::new());
}

#[test]
fn fifty_processes_at_once_make_one_call() {
    let stand_in = StandIn::start();
    let environment = signed_in(&stand_in, "file");
    let helper = PROGRAM_AS_HELPER.as_str();
    let mut children: Vec<_> = (0..50)
        .map(|_| {
            let mut command = environment.command(helper);
            command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().expect("the helper starts")
        })
        .collect();
    // All of them wait for their question, so that all begin at the same moment.
    for child in &mut children {
        child.stdin.take().expect("stdin is a pipe").write_all(REGISTRY.as_bytes()).expect("the helper reads");
    }
    for child in children {
        let output = child.wait_with_output().expect("the helper ends");
        let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!((&answer["Username"], &answer["Secret"]), (&"AWS".into(), &"first".into()));
    }
    assert_eq!(stand_in.count("GetAuthorizationToken"), 1);
}

#[test]
fn what_lies_in_the_cache_is_not_believed_when_it_is_spoilt() {
    let stand_in = StandIn::start();
    let environment = signed_in(&stand_in, "file");
    let _ = get(&environment).success();
    let path = environment.home().join(".local/state/docker-ecs-ship/credentials").join(&files(&environment)[0]);
    assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
    fs::write(&path, "{").expect("it can be spoilt");
    let output = environment.run(PROGRAM, ["--debug", "login"]).success();
    assert!(
        output.stderr.contains("debug: ") && output.stderr.contains("it is not what this program writes"),
        "{output}"
    );
    assert_eq!(stand_in.count("GetAuthorizationToken"), 2);
    let _ = get(&environment).success();
    assert_eq!(stand_in.count("GetAuthorizationToken"), 2);
}

#[test]
fn nobody_leads_the_tokens_astray() {
    let folder_of = |environment: &Environment| environment.home().join(".local/state/docker-ecs-ship/credentials");
    let elsewhere_of = |environment: &Environment| {
        let elsewhere = environment.work().join("elsewhere");
        fs::create_dir_all(&elsewhere).expect("a folder");
        elsewhere
    };
    let empty = |folder: &std::path::Path| fs::read_dir(folder).expect("a folder").next().is_none();

    // The folder is a link to another one, or others may write to it: it is not used, and the login goes on without.
    for trick in ["link", "open"] {
        let stand_in = StandIn::start();
        let environment = signed_in(&stand_in, "file");
        let (folder, elsewhere) = (folder_of(&environment), elsewhere_of(&environment));
        fs::create_dir_all(folder.parent().expect("a folder")).expect("a folder");
        let why = if trick == "link" {
            std::os::unix::fs::symlink(&elsewhere, &folder).expect("a link");
            "is a link or no folder"
        } else {
            fs::create_dir(&folder).expect("a folder");
            fs::set_permissions(&folder, fs::Permissions::from_mode(0o777)).expect("it is ours");
            "others may write to"
        };
        let output = environment.run(PROGRAM, ["login"]).success();
        assert!(output.stdout.contains("memory only") && output.stderr.contains(why), "{trick}: {output}");
        assert!(empty(&elsewhere) && empty(&fs::canonicalize(&folder).expect("it is there")), "{trick}");
        assert_eq!(get(&environment).success().stderr, "", "docker hears nothing of it");
    }

    // A token that somebody has put there as a link, or under a second name, is not believed, and what it leads to
    // stays as it was.
    for trick in ["link", "second name"] {
        let stand_in = StandIn::start();
        let environment = signed_in(&stand_in, "file");
        let _ = get(&environment).success();
        let path = folder_of(&environment).join(&files(&environment)[0]);
        let planted = elsewhere_of(&environment).join("planted");
        let text = fs::read_to_string(&path).expect("a plain file").replace("first", "planted");
        fs::write(&planted, &text).expect("a file");
        fs::set_permissions(&planted, fs::Permissions::from_mode(0o600)).expect("it is ours");
        fs::remove_file(&path).expect("it is ours");
        if trick == "link" {
            std::os::unix::fs::symlink(&planted, &path).expect("a link");
        } else {
            fs::hard_link(&planted, &path).expect("a second name");
        }
        let output = environment.run(PROGRAM, ["--debug", "login"]).success();
        assert!(output.stderr.contains("it is a link, or open to others, or of another user"), "{trick}: {output}");
        let answer: Value = serde_json::from_str(&get(&environment).success().stdout).expect("JSON");
        assert_eq!((&answer["Secret"], stand_in.count("GetAuthorizationToken")), (&"first".into(), 2), "{trick}");
        assert_eq!(fs::read_to_string(&planted).expect("it stays"), text, "{trick}");
        let mode = path.symlink_metadata().expect("it is there").permissions().mode();
        assert_eq!(mode, 0o100_600, "{trick}: a file of its own");
    }
}

#[test]
fn an_old_token_helps_over_an_outage_and_says_so() {
    let stand_in = StandIn::start();
    let environment = signed_in(&stand_in, "file");
    let _ = get(&environment).success();
    // Seven hours later, by the file's own word: a plain file is its owner's to change.
    let path = environment.home().join(".local/state/docker-ecs-ship/credentials").join(&files(&environment)[0]);
    let text = fs::read_to_string(&path).expect("a plain file");
    let (line, body) = text.split_once('\n').expect("two parts");
    let mut about: Value = serde_json::from_str(line).expect("JSON");
    for key in ["issued_ms", "expires_ms"] {
        about[key] = (about[key].as_u64().expect("a number") - 7 * 3_600_000).into();
    }
    fs::write(&path, format!("{about}\n{body}")).expect("it can be changed");
    let denied = "User: arn:aws:sts::111111111111:assumed-role/ship/ci is not authorized to perform: \
                  ecr:GetAuthorizationToken on resource: * because no identity-based policy allows the \
                  ecr:GetAuthorizationToken action";
    stand_in.answer("GetAuthorizationToken", json_error("AccessDeniedException", denied));
    let output = get(&environment).success();
    let answer: Value = serde_json::from_str(&output.stdout).expect("JSON");
    assert_eq!(answer["Secret"], "first");
    assert!(
        output.stderr.starts_with("warning: a new token could not be had, so the old one is kept: ECR GetAuth"),
        "{output}"
    );
    let output = environment.run(PROGRAM, ["login"]).success();
    assert!(output.stderr.contains("the old one is kept"), "{output}");
}

#[test]
fn the_protocol_of_dockers_helpers() {
    let stand_in = StandIn::start();
    let environment = signed_in(&stand_in, "file");
    let helper = PROGRAM_AS_HELPER.as_str();
    let ask = |action: &str, input: &str| {
        let output = environment.run_with_input(helper, [action], input);
        (output.code.unwrap_or(-1), output.stdout)
    };
    assert_eq!(ask("list", "unused"), (0, "{}\n".to_owned()));
    let url = format!("https://{REGISTRY}/v2/");
    let expected = format!("{{\"ServerURL\":\"{url}\",\"Username\":\"AWS\",\"Secret\":\"first\"}}\n");
    assert_eq!(ask("get", &url), (0, expected));
    assert_eq!(ask("list", "unused"), (0, format!("{{\"{REGISTRY}\":\"AWS\"}}\n")));
    // `docker login` hands over a token of somebody else: it goes before ours until it is taken away.
    let credential = format!("{{\"ServerURL\":\"{REGISTRY}\",\"Username\":\"AWS\",\"Secret\":\"handed\"}}");
    assert_eq!(ask("store", &credential), (0, String::new()));
    assert!(ask("get", REGISTRY).1.contains("\"Secret\":\"handed\""));
    assert_eq!(ask("erase", REGISTRY), (0, String::new()));
    assert_eq!(ask("list", "unused"), (0, "{}\n".to_owned()));
    stand_in.answer("GetAuthorizationToken", token("second", 12));
    assert!(ask("get", REGISTRY).1.contains("\"Secret\":\"second\""));
    assert_eq!(ask("erase", "ghcr.io"), (0, String::new()));
    for (input, text) in [
        ("{\"ServerURL\":\"\",\"Username\":\"u\",\"Secret\":\"s\"}", "no credentials server URL\n"),
        ("{\"ServerURL\":\"a\",\"Username\":\"\",\"Secret\":\"s\"}", "no credentials username\n"),
        ("s3cret", "this is no credential as docker writes one\n"),
        (
            "{\"ServerURL\":\"ghcr.io\",\"Username\":\"u\",\"Secret\":\"s\"}",
            "docker-credential-ecs-ship keeps logins to ECR alone, and ghcr.io is none: set another `credsStore` for it\n",
        ),
    ] {
        assert_eq!(ask("store", input), (1, text.to_owned()));
    }
    // The failure is told where docker looks, with what to do.
    stand_in.answer(
        "GetAuthorizationToken",
        json_error("ExpiredTokenException", "The security token included in the request is expired"),
    );
    assert_eq!(ask("erase", REGISTRY).0, 0);
    let (code, text) = ask("get", REGISTRY);
    assert_eq!(code, 1);
    assert!(
        text.contains("ExpiredTokenException") && text.contains("fetch new ones") && text.lines().count() == 1,
        "{text}"
    );
}

#[test]
fn a_list_and_a_warm_get_touch_no_network() {
    let stand_in = StandIn::start();
    let environment = signed_in(&stand_in, "file");
    let _ = get(&environment).success();
    let before = stand_in.asked().len();
    let _ = environment.run_with_input(PROGRAM_AS_HELPER.as_str(), ["list"], "unused").success();
    let _ = get(&environment).success();
    let _ = environment.run(PROGRAM, ["login", REGISTRY]).success();
    assert_eq!(stand_in.asked().len(), before);
}

#[test]
fn every_registry_has_the_credentials_that_were_said() {
    let stand_in = StandIn::start();
    let mut environment = Environment::new();
    environment.set("AWS_ENDPOINT_URL", &stand_in.url).set("ECS_SHIP_CREDENTIAL_STORE", "none");
    let write = |name: &str, text: &str| {
        let path = environment.home().join(name);
        fs::create_dir_all(path.parent().expect("a file has a folder")).expect("a folder");
        fs::write(path, text).expect("a file");
    };
    let keys = |name: &str, key: &str| format!("[{name}]\naws_access_key_id = {key}\naws_secret_access_key = x\n");
    write(
        ".aws/credentials",
        &[
            keys("default", "AKIADEFAULT000000000"),
            keys("settings", "AKIASETTINGS00000000"),
            keys("ship", "AKIASHIP000000000000"),
        ]
        .concat(),
    );
    write(
        ".config/docker-ecs-ship/settings.toml",
        &format!(
            "[registries.\"public.ecr.aws\"]\nprofile = \"settings\"\n[registries.\"333333333333\"]\nprofile = \"settings\"\nrole_arn = \"arn:aws:iam::333333333333:role/pull\"\n[credentials]\nstore = \"auto\" # {REGISTRY}\n"
        ),
    );
    environment.write("ship.toml", "format = 1\n[environments.a]\naccount = \"222222222222\"\nprofile = \"ship\"\n");
    stand_in.answer("AssumeRole", assumed());
    let helper = PROGRAM_AS_HELPER.as_str();
    let public =
        serde_json::json!({"authorizationData": {"authorizationToken": "QVdTOnB3", "expiresAt": 4_000_000_000_u64}});
    for (host, service, key, region) in [
        (REGISTRY, "AmazonEC2ContainerRegistry_V20150921", "AKIADEFAULT000000000", "eu-west-1"),
        (
            "222222222222.dkr.ecr.us-west-2.amazonaws.com",
            "AmazonEC2ContainerRegistry_V20150921",
            "AKIASHIP000000000000",
            "us-west-2",
        ),
        (
            "333333333333.dkr.ecr.cn-north-1.amazonaws.com.cn",
            "AmazonEC2ContainerRegistry_V20150921",
            "ASIAASSUMED000000001",
            "cn-north-1",
        ),
        ("public.ecr.aws", "SpencerFrontendService", "AKIASETTINGS00000000", "us-east-1"),
    ] {
        let answer = if host == "public.ecr.aws" { (200, public.to_string()) } else { token("first", 12) };
        stand_in.answer("GetAuthorizationToken", answer);
        let _ = environment.run_with_input(helper, ["get"], host).success();
        let asked = stand_in.asked().pop().expect("a call");
        assert_eq!(
            (asked.service.as_str(), asked.access_key.as_str(), asked.region.as_str()),
            (service, key, region),
            "{host}"
        );
    }
    let assume =
        stand_in.asked().into_iter().find(|asked| asked.operation == "AssumeRole").expect("a role was taken on");
    assert!(
        assume.body.contains("RoleSessionName=docker-ecs-ship") && assume.access_key == "AKIASETTINGS00000000",
        "{assume:?}"
    );
}

#[test]
fn mistakes_in_the_settings_are_drawn() {
    let environment = Environment::new();
    let path = environment.home().join(".config/docker-ecs-ship/settings.toml");
    fs::create_dir_all(path.parent().expect("a file has a folder")).expect("a folder");
    fs::write(path, "[credentials]\nstore = \"keychian\"\n").expect("a file");
    insta::assert_snapshot!(told(&environment.run(PROGRAM, ["login", REGISTRY])));
    let output = environment.run_with_input(PROGRAM_AS_HELPER.as_str(), ["get"], REGISTRY);
    assert_eq!((output.code, output.stdout.lines().count()), (Some(1), 1), "{output}");
}

#[test]
fn docker_gets_the_login_when_asked_and_gives_it_back() {
    let stand_in = StandIn::start();
    let mut environment = signed_in(&stand_in, "file");
    let config = environment.home().join(".docker/config.json");
    insta::assert_snapshot!(
        "login_docker_file",
        told(&environment.run(PROGRAM, ["login", "--docker", REGISTRY]))
            .replace(&environment.home().display().to_string(), "$HOME")
    );
    assert_eq!(
        fs::read_to_string(&config).expect("it was made"),
        format!("{{\n\t\"auths\": {{\n\t\t\"{REGISTRY}\": {{\n\t\t\t\"auth\": \"QVdTOmZpcnN0\"\n\t\t}}\n\t}}\n}}")
    );
    let output = environment.run(PROGRAM, ["logout"]).success();
    assert!(output.stderr.contains("out of docker's store"), "{output}");
    assert_eq!(fs::read_to_string(&config).expect("it stays"), "{\n\t\"auths\": {}\n}");

    // A helper gets it by its stdin.
    environment
        .script("bin/docker-credential-mine", "echo \"$1\" >> $HOME/asked; cat >> $HOME/asked; echo >> $HOME/asked\n");
    environment.prepend(environment.work().join("bin"));
    fs::write(&config, "{\"credsStore\":\"mine\"}").expect("it can be written");
    let _ = environment.run(PROGRAM, ["login", "--docker", REGISTRY]).success();
    assert_eq!(
        fs::read_to_string(&config).expect("it is there"),
        format!("{{\"credsStore\":\"mine\",\"auths\":{{\"{REGISTRY}\":{{}}}}}}")
    );
    let _ = environment.run(PROGRAM, ["logout", REGISTRY]).success();
    let asked = fs::read_to_string(environment.home().join("asked")).expect("the helper was asked");
    assert_eq!(
        asked,
        format!(
            "store\n{{\"ServerURL\":\"{REGISTRY}\",\"Username\":\"AWS\",\"Secret\":\"first\"}}\nerase\n{REGISTRY}\n"
        )
    );
}

const SHIP: &str = "format = 1\n[images.web]\nrepository = \"shop/web\"\n[services.web]\ncluster = \"shop\"\n";

#[test]
fn what_goes_wrong_names_cause_and_cure() {
    let refusal = |action: &str, resource: &str, why: &str| {
        format!(
            "User: arn:aws:sts::{ACCOUNT}:assumed-role/ship/ci is not authorized to perform: {action} on resource: {resource} {why}"
        )
    };
    let lacks =
        |action: &str| refusal(action, "*", &format!("because no identity-based policy allows the {action} action"));
    let cases = [
        ("access denied", json_error("AccessDeniedException", &lacks("ecr:GetAuthorizationToken"))),
        (
            "denied by the organisation",
            json_error(
                "AccessDeniedException",
                &refusal("ecr:GetAuthorizationToken", "*", "with an explicit deny in a service control policy"),
            ),
        ),
        ("session over", json_error("ExpiredTokenException", "The security token included in the request is expired")),
        (
            "unknown key",
            json_error("UnrecognizedClientException", "The security token included in the request is invalid."),
        ),
        ("wrong region", json_error("InvalidSignatureException", "Credential should be scoped to a valid region. ")),
        (
            "clock skew",
            json_error(
                "InvalidSignatureException",
                "Signature expired: 20261123T090000Z is now earlier than 20261123T091000Z (20261123T091500Z - 5 min.)",
            ),
        ),
    ];
    let mut text = String::new();
    for (what, answer) in cases {
        let stand_in = StandIn::start();
        stand_in.answer("GetAuthorizationToken", answer);
        let environment = signed_in(&stand_in, "none");
        add(&mut text, what, &environment.run(PROGRAM, ["login", REGISTRY]));
    }

    let stand_in = StandIn::start();
    let mut environment = signed_in(&stand_in, "none");
    environment.write(
        "ship.toml",
        &format!("{SHIP}[environments.production]\nregion = \"eu-west-1\"\naccount = \"222222222222\"\n"),
    );
    add(&mut text, "wrong account", &environment.run(PROGRAM, ["login", "-e", "production"]));
    add(&mut text, "not of ECR", &environment.run(PROGRAM, ["login", "ghcr.io"]));
    // A port that nobody listens on.
    environment.set("AWS_ENDPOINT_URL", "http://127.0.0.1:1").set("AWS_MAX_ATTEMPTS", "1");
    add(&mut text, "unreachable", &environment.run(PROGRAM, ["login", REGISTRY]));

    // A name that only a VPC endpoint would have.
    environment.set("AWS_ENDPOINT_URL", "http://vpce-0.api.ecr.eu-west-1.vpce.invalid");
    add(&mut text, "no such name", &environment.run(PROGRAM, ["login", REGISTRY]));
    let mut environment = Environment::new();
    environment
        .set("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
        .set("AWS_SECRET_ACCESS_KEY", "x")
        .set("HTTPS_PROXY", &proxy().0)
        .set("ECS_SHIP_CREDENTIAL_STORE", "none");
    add(&mut text, "a proxy that lets nobody through", &environment.run(PROGRAM, ["login", REGISTRY]));
    let stand_in = StandIn::start();
    stand_in.answer("GetAuthorizationToken", (200, "<html>Sign in to the guest network</html>".to_owned()));
    add(&mut text, "a page instead of an answer", &signed_in(&stand_in, "none").run(PROGRAM, ["login", REGISTRY]));

    let mut environment = Environment::new();
    environment.set("AWS_EC2_METADATA_DISABLED", "true");
    add(&mut text, "nobody", &environment.run(PROGRAM, ["login", REGISTRY]));
    add(&mut text, "no region", &environment.run(PROGRAM, ["login"]));

    let stand_in = StandIn::start();
    stand_in.answer(
        "AssumeRole",
        xml_error(
            "AccessDenied",
            &refusal(
                "sts:AssumeRole",
                "arn:aws:iam::222222222222:role/ship",
                "because no identity-based policy allows the sts:AssumeRole action",
            ),
        ),
    );
    let environment = signed_in(&stand_in, "none");
    let settings = environment.home().join(".config/docker-ecs-ship/settings.toml");
    fs::create_dir_all(settings.parent().expect("a folder")).expect("a folder");
    fs::write(settings, "[registries.111111111111]\nrole_arn = \"arn:aws:iam::222222222222:role/ship\"\n")
        .expect("a file");
    add(&mut text, "role not to be taken on", &environment.run(PROGRAM, ["login", REGISTRY]));
    insta::assert_snapshot!(text);
}

/// A home with a profile whose role wants an MFA code.
fn with_mfa(stand_in: &StandIn, store: &str) -> Environment {
    stand_in.answer("AssumeRole", assumed());
    stand_in.answer("GetCallerIdentity", caller("222222222222"));
    let mut environment = Environment::new();
    environment
        .set("AWS_ENDPOINT_URL", &stand_in.url)
        .set("AWS_PROFILE", "jobs")
        .set("ECS_SHIP_CREDENTIAL_STORE", store);
    let folder = environment.home().join(".aws");
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("config"), "[profile jobs]\nregion = eu-west-1\nrole_arn = arn:aws:iam::222222222222:role/ship\nsource_profile = me\nmfa_serial = arn:aws:iam::111111111111:mfa/me\nduration_seconds = 7200\n").expect("a file");
    fs::write(
        folder.join("credentials"),
        "[me]\naws_access_key_id = AKIAME00000000000000\naws_secret_access_key = x\n",
    )
    .expect("a file");
    environment
}

/// `script` gives it a terminal of its own, on which somebody types a code.
fn typing(environment: &Environment, words: &str, code: &str) -> Output {
    environment.run_with_input("script", ["-qec", &format!("{PROGRAM} {words} {REGISTRY}"), "/dev/null"], code)
}

/// `setsid` takes the terminal away that the tests may run on.
fn without_a_terminal(environment: &Environment, words: &[&str]) -> Output {
    environment.run_all("setsid", &[&["-w", PROGRAM], words].concat())
}

#[test]
fn a_profile_with_an_mfa_device_asks_on_the_terminal_or_says_that_there_is_none() {
    let stand_in = StandIn::start();
    let environment = with_mfa(&stand_in, "none");
    insta::assert_snapshot!("mfa_without_terminal", told(&without_a_terminal(&environment, &["login", REGISTRY])));
    assert_eq!(stand_in.asked(), [], "nothing is asked of AWS without a code");
    let typed = typing(&environment, "login", "123456\n");
    assert_eq!(typed.code, Some(0), "{typed}");
    assert!(typed.stdout.contains("MFA code of arn:aws:iam::111111111111:mfa/me: "), "{typed}");
    let assume =
        stand_in.asked().into_iter().find(|asked| asked.operation == "AssumeRole").expect("a role was taken on");
    assert!(assume.body.contains("TokenCode=123456") && assume.access_key == "AKIAME00000000000000", "{assume:?}");
    assert!(assume.body.contains("DurationSeconds=7200"), "{assume:?}");
    let fetched =
        stand_in.asked().into_iter().find(|asked| asked.operation == "GetAuthorizationToken").expect("a token");
    assert_eq!(fetched.access_key, "ASIAASSUMED000000001");
}

#[test]
fn a_session_that_was_given_for_a_code_serves_the_next_commands() {
    let stand_in = StandIn::start();
    let environment = with_mfa(&stand_in, "file");
    assert_eq!(typing(&environment, "login", "123456\n").code, Some(0));
    let again = without_a_terminal(&environment, &["login", "--refresh", REGISTRY]).success();
    assert!(again.stdout.contains("role/ci") || again.stdout.contains("just now"), "{again}");
    assert_eq!((stand_in.count("AssumeRole"), stand_in.count("GetAuthorizationToken")), (1, 2));
    let last = stand_in.asked().pop().expect("calls");
    assert_eq!(last.access_key, "ASIAASSUMED000000001", "{last:?}");
    let folder = environment.home().join(".local/state/docker-ecs-ship/credentials");
    let session = fs::read_dir(&folder)
        .expect("a folder")
        .flatten()
        .find(|entry| entry.path().extension().is_some_and(|extension| extension == "session"))
        .expect("a session is kept");
    assert_eq!(session.metadata().expect("it is there").permissions().mode() & 0o777, 0o600);
    // It is no registry.
    let listed = environment.run_with_input(PROGRAM_AS_HELPER.as_str(), ["list"], "unused").success();
    assert_eq!(listed.stdout, format!("{{\"{REGISTRY}\":\"AWS\"}}\n"));
    // Who takes on another role is somebody else.
    let config = environment.home().join(".aws/config");
    let text = fs::read_to_string(&config).expect("a file");
    fs::write(&config, text.replace("role/ship", "role/admin")).expect("a file");
    assert_eq!(without_a_terminal(&environment, &["login", "--refresh", REGISTRY]).code, Some(4));
    fs::write(&config, text).expect("a file");
    let gone = environment.run(PROGRAM, ["logout"]).success();
    assert_eq!(gone.stderr, "forgot 1 token and 1 session in roles with MFA\n");
    assert_eq!(without_a_terminal(&environment, &["login", REGISTRY]).code, Some(4));
    assert_eq!(stand_in.count("AssumeRole"), 1);
}

/// The session that was given for a code, if it is still kept.
fn kept_session(environment: &Environment) -> Option<std::path::PathBuf> {
    let folder = environment.home().join(".local/state/docker-ecs-ship/credentials");
    let files = fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
    files.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "session"))
}

/// A role that was deleted and made anew, or a user whose sessions were ended.
#[test]
fn a_session_that_aws_knows_no_more_is_asked_for_anew_once() {
    for (code, words) in [
        ("InvalidClientTokenId", "The security token included in the request is invalid."),
        ("ExpiredToken", "The security token included in the request is expired"),
    ] {
        let stand_in = StandIn::start();
        let environment = with_mfa(&stand_in, "file");
        assert_eq!(typing(&environment, "login", "123456\n").code, Some(0));
        assert!(kept_session(&environment).is_some());
        stand_in.answer("GetCallerIdentity", xml_error(code, words));
        // Without anybody to ask it is forgotten all the same, and not tried again.
        assert_eq!(without_a_terminal(&environment, &["login", "--refresh", REGISTRY]).code, Some(4));
        assert_eq!(kept_session(&environment), None, "{code}");
        assert_eq!(typing(&environment, "login --refresh", "234567\n").code, Some(0));
        let typed = typing(&environment, "login --refresh", "345678\n");
        assert_eq!((typed.code, typed.stdout.matches("MFA code of").count()), (Some(0), 1), "{code}: {typed}");
        assert_eq!(stand_in.count("AssumeRole"), 3, "{code}");
        stand_in.answer("GetCallerIdentity", caller("222222222222"));
        let _ = without_a_terminal(&environment, &["login", "--refresh", REGISTRY]).success();
        assert_eq!(stand_in.count("AssumeRole"), 3, "{code}");
    }
}

/// What `AssumeRole` answers for a session that ends so many seconds from now.
fn assumed_for(seconds: u64) -> stand_in::Answer {
    let (status, body) = assumed();
    let ends = jiff::Timestamp::from_second(i64::try_from(now_seconds() + seconds).expect("this century"));
    (status, body.replace("2099-01-01T00:00:00Z", &ends.expect("a time").to_string()))
}

/// What is drawn would cover the question, and who looks away for an hour answers none.
#[test]
fn nobody_is_asked_in_the_middle_of_a_command() {
    let stand_in = StandIn::start();
    let environment = with_mfa(&stand_in, "none");
    // As good as over when the first call is made.
    stand_in.answer("AssumeRole", assumed_for(5));
    let typed = typing(&environment, "login", "123456\n654321\n");
    assert_eq!((typed.code, typed.stdout.matches("MFA code of").count()), (Some(4), 1), "{typed}");
    // In a window of eighty columns.
    let told = typed.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    let over = "error: the session in arn:aws:iam::222222222222:role/ship that an MFA code was given for is over";
    assert!(told.contains(over) && typed.stdout.contains("run the same command again"), "{typed}");
    assert_eq!((stand_in.count("AssumeRole"), stand_in.count("GetAuthorizationToken")), (1, 0));
}

/// A rollout may last longer than the rest of a session does.
#[test]
fn in_the_last_part_of_a_session_who_has_a_code_gives_it() {
    let stand_in = StandIn::start();
    let environment = with_mfa(&stand_in, "file");
    stand_in.answer("AssumeRole", assumed_for(3600));
    assert_eq!(typing(&environment, "login", "123456\n").code, Some(0));
    // Fifty minutes later, by the file's own word: a plain file is its owner's to change.
    let path = kept_session(&environment).expect("it is kept");
    let text = fs::read_to_string(&path).expect("a plain file");
    let (line, body) = text.split_once('\n').expect("two parts");
    let mut about: Value = serde_json::from_str(line).expect("JSON");
    for key in ["issued_ms", "expires_ms"] {
        about[key] = (about[key].as_u64().expect("a number") - 50 * 60_000).into();
    }
    fs::write(&path, format!("{about}\n{body}")).expect("it can be changed");
    // Nobody has one, and it is still good.
    let _ = without_a_terminal(&environment, &["login", "--refresh", REGISTRY]).success();
    assert_eq!(stand_in.count("AssumeRole"), 1);
    assert_eq!(typing(&environment, "login --refresh", "234567\n").code, Some(0));
    assert_eq!(stand_in.count("AssumeRole"), 2);
    let _ = without_a_terminal(&environment, &["login", "--refresh", REGISTRY]).success();
    assert_eq!(stand_in.count("AssumeRole"), 2);
}

#[test]
fn a_session_is_encrypted_and_one_that_is_as_good_as_over_is_not_taken() {
    let stand_in = StandIn::start();
    let environment = with_mfa(&stand_in, "keyutils");
    stand_in.answer("AssumeRole", assumed_for(30));
    assert_eq!(typing(&environment, "login", "123456\n").code, Some(0));
    assert_eq!(without_a_terminal(&environment, &["login", "--refresh", REGISTRY]).code, Some(4));
    stand_in.answer("AssumeRole", assumed());
    let kept = typing(&environment, "login --refresh", "654321\n");
    assert_eq!(kept.code, Some(0));
    if !kept.stdout.contains("memory only") {
        let _ = without_a_terminal(&environment, &["login", "--refresh", REGISTRY]).success();
        let folder = environment.home().join(".local/state/docker-ecs-ship/credentials");
        let files = fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path());
        let sessions: Vec<_> =
            files.filter(|path| path.extension().is_some_and(|extension| extension == "session")).collect();
        assert_eq!(sessions.len(), 1, "{sessions:?}");
        let bytes = fs::read(&sessions[0]).expect("a file");
        assert!(!String::from_utf8_lossy(&bytes).contains("assumed"), "the secret access key is encrypted");
    }
    let _ = environment.run(PROGRAM, ["logout"]);
}

/// A proxy that writes down where it was asked to connect to, and lets nobody through.
fn proxy() -> (String, Arc<Mutex<BTreeSet<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("it has an address"));
    let asked: Arc<Mutex<BTreeSet<String>>> = Arc::default();
    let noted = Arc::clone(&asked);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let noted = Arc::clone(&noted);
            thread::spawn(move || {
                let mut line = String::new();
                let read = BufReader::new(&stream).read_line(&mut line);
                if let (Ok(_), Some(host)) = (read, line.split_whitespace().nth(1)) {
                    noted.lock().expect("no test panics with it").insert(host.to_owned());
                }
                let _ = (&stream).write_all(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n");
            });
        }
    });
    (url, asked)
}

/// The names on the right are those of the SDK's own rules; ours is to tell them region and kind.
#[test]
fn every_kind_of_host_is_asked_for_its_token_at_its_own_endpoint() {
    const TABLE: [(&str, &str); 16] = [
        ("123456789012.dkr.ecr.us-east-1.amazonaws.com", "api.ecr.us-east-1.amazonaws.com"),
        ("123456789012.dkr.ecr-fips.us-east-1.amazonaws.com", "api.ecr-fips.us-east-1.amazonaws.com"),
        ("123456789012.dkr-ecr.us-west-2.on.aws", "ecr.us-west-2.api.aws"),
        ("123456789012.dkr-ecr-fips.us-west-2.on.aws", "ecr-fips.us-west-2.api.aws"),
        ("123456789012.dkr.ecr.us-gov-west-1.amazonaws.com", "api.ecr.us-gov-west-1.amazonaws.com"),
        ("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "api.ecr-fips.us-gov-west-1.amazonaws.com"),
        ("123456789012.dkr-ecr-fips.us-gov-east-1.on.aws", "ecr-fips.us-gov-east-1.api.aws"),
        ("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "api.ecr.cn-north-1.amazonaws.com.cn"),
        (
            "123456789012.dkr-ecr.cn-northwest-1.on.amazonwebservices.com.cn",
            "ecr.cn-northwest-1.api.amazonwebservices.com.cn",
        ),
        ("123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu", "api.ecr.eusc-de-east-1.amazonaws.eu"),
        ("123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov", "api.ecr.us-iso-east-1.c2s.ic.gov"),
        ("123456789012.dkr.ecr.us-isob-east-1.sc2s.sgov.gov", "api.ecr.us-isob-east-1.sc2s.sgov.gov"),
        ("123456789012.dkr.ecr.eu-isoe-west-1.cloud.adc-e.uk", "api.ecr.eu-isoe-west-1.cloud.adc-e.uk"),
        ("123456789012.dkr.ecr.us-isof-south-1.csp.hci.ic.gov", "api.ecr.us-isof-south-1.csp.hci.ic.gov"),
        ("public.ecr.aws", "api.ecr-public.us-east-1.amazonaws.com"),
        ("ecr-public.aws.com", "ecr-public.us-east-1.api.aws"),
    ];
    for (host, endpoint) in TABLE {
        let (proxy, asked) = proxy();
        let mut environment = Environment::new();
        environment
            .set("HTTPS_PROXY", &proxy)
            .set("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
            .set("AWS_SECRET_ACCESS_KEY", "x")
            // The host's own word wins.
            .set("AWS_REGION", "sa-east-1")
            .set("ECS_SHIP_CREDENTIAL_STORE", "none");
        let mut command = environment.command(PROGRAM_AS_HELPER.as_str());
        let mut child = command
            .arg("get")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the helper starts");
        child.stdin.take().expect("a pipe").write_all(host.as_bytes()).expect("the helper reads");
        let known = || asked.lock().expect("no test panics with it").iter().next().cloned();
        let mut told = None;
        for _ in 0..1500 {
            told = known();
            if told.is_some() {
                break;
            }
            thread::sleep(Duration::from_millis(10));
        }
        // It would try again a few times.
        child.kill().expect("it is ours");
        let _ = child.wait();
        assert_eq!(told, Some(format!("{endpoint}:443")), "{host}");
    }
}
