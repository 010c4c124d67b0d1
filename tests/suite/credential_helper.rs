//! `docker-credential-ecs-ship`: errors stand on stdout, as docker's protocol wants them.

use crate::environment::{Environment, PROGRAM};

#[test]
fn the_protocol_is_answered() {
    let environment = Environment::new();
    let helper = environment.face("docker-credential-ecs-ship");
    let version = format!("docker-credential-ecs-ship v{}\n", env!("CARGO_PKG_VERSION"));
    let not_ecr =
        "docker-credential-ecs-ship keeps logins to ECR alone, and x is none: set another `credsStore` for it\n";
    let usage = "Usage: docker-credential-ecs-ship <store|get|erase|list|version>\n";
    for (action, input, code, stdout) in [
        ("list", "unused", 0, "{}\n"),
        ("version", "", 0, version.as_str()),
        ("get", "ghcr.io\n", 1, "credentials not found in native keychain\n"),
        ("get", "https://index.docker.io/v1/", 1, "credentials not found in native keychain\n"),
        ("get", "\n", 1, "no credentials server URL\n"),
        ("store", "{\"ServerURL\":\"x\",\"Username\":\"u\",\"Secret\":\"s\"}", 1, not_ecr),
        ("erase", "x", 0, ""),
        ("erase", "", 1, "no credentials server URL\n"),
        ("frobnicate", "", 1, usage),
    ] {
        let output = environment.run_with_input(&helper, [action], input);
        assert_eq!((output.code, output.stdout.as_str(), output.stderr.as_str()), (Some(code), stdout, ""), "{action}");
    }
    assert_eq!(environment.run(&helper, []).stdout, usage);
}

/// The change is shown, nothing else in docker's file is touched, and it is undone to the letter.
#[test]
fn docker_is_told_of_the_helper_and_forgets_it_again() {
    use std::{fs, os::unix::fs::PermissionsExt as _};

    let environment = Environment::with_docker();
    let (folder, dotfiles) = (environment.home().join(".docker"), environment.work().join("dotfiles"));
    fs::create_dir_all(&folder).expect("a folder");
    fs::create_dir_all(&dotfiles).expect("a folder");
    let (link, file) = (folder.join("config.json"), dotfiles.join("docker.json"));
    let before = "{\n  \"detachKeys\": \"ctrl-x\",\n  \"credHelpers\": {\n    \"gcr.io\": \"gcloud\",\n    \
                  \"111111111111.dkr.ecr.eu-west-1.amazonaws.com\": \"ecr-login\"\n  },\n  \"unknown\": 1.10\n}\n";
    fs::write(&file, before).expect("a file");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).expect("it is ours");
    std::os::unix::fs::symlink("../../work/dotfiles/docker.json", &link).expect("a link");
    let install = |registries: &[&str]| {
        environment.run_all(PROGRAM, &[&["install", "--credential-helper"], registries].concat()).success().stderr
    };
    let shown = install(&["111111111111.dkr.ecr.eu-west-1.amazonaws.com", "public.ecr.aws"]);
    for change in [
        "the helper of 111111111111.dkr.ecr.eu-west-1.amazonaws.com from ecr-login to ecs-ship",
        "the helper of public.ecr.aws from none to ecs-ship",
    ] {
        assert!(shown.contains(change), "{change}: {shown}");
    }
    let text = fs::read_to_string(&file).expect("it stays");
    let mut expected: serde_json::Value = serde_json::from_str(before).expect("JSON");
    expected["credHelpers"]["111111111111.dkr.ecr.eu-west-1.amazonaws.com"] = "ecs-ship".into();
    expected["credHelpers"]["public.ecr.aws"] = "ecs-ship".into();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&text).expect("JSON"), expected, "{text}");
    assert!(text.starts_with("{\n  \"detachKeys\": \"ctrl-x\",\n  \"credHelpers\""), "{text}");
    assert!(text.contains("1.10"), "a number stays as it was written: {text}");
    // Once more changes nothing.
    assert!(install(&["public.ecr.aws"]).contains("it asks the credential helper already"));
    assert_eq!(fs::read_to_string(&file).expect("it stays"), text);
    let _ = environment.run(PROGRAM, ["uninstall"]).success();
    assert_eq!(fs::read_to_string(&file).expect("it stays"), before);
    assert!(link.is_symlink(), "the link stays one");
    assert_eq!(fs::metadata(&file).expect("it stays").permissions().mode() & 0o777, 0o640);
    assert_eq!(fs::read_dir(&dotfiles).expect("a folder").count(), 1, "nothing is left of the writing");
}

#[test]
fn docker_speaks_the_protocol_as_we_understand_it() {
    let mut environment = Environment::installed();
    environment.write("config/config.json", "{\"credHelpers\":{\"127.0.0.1:9\":\"overheard\"}}");
    // Docker keeps to itself what a helper answers, so a go-between writes it down.
    environment
        .script("bin/docker-credential-overheard", "docker-credential-ecs-ship \"$@\" | tee -a answers\nexit 1\n");
    environment.prepend(environment.work().join("bin"));
    let _ = environment.run("docker", ["--config", "config", "logout", "127.0.0.1:9"]).success();
    let answers = std::fs::read_to_string(environment.work().join("answers")).expect("docker has called the helper");
    assert_eq!(answers, "", "nothing to say is how a helper says that it has erased");
}
