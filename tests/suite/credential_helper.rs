//! `docker-credential-ecs-ship`: errors stand on stdout, as docker's protocol wants them.

use crate::environment::Environment;

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
