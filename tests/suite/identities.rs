//! Whose credentials a login takes: each of the SDK's ways to an identity against a live server, one token however
//! often the access key changes, and what each of them says when it fails.

use std::{fs, os::unix::fs::PermissionsExt as _};

use serde_json::{Value, json};

use crate::{
    environment::{Environment, Output, PROGRAM},
    login::add,
    stand_in::{Answer, REGISTRY, StandIn, now_seconds, xml_error},
};

const FIRST: &str = "ASIAFIRST00000000001";
const SECOND: &str = "ASIASECOND0000000002";
/// What no output may show.
const SECRET: &str = "MARKER-secret-access-key";
const SESSION: &str = "MARKER-session-token";
const SIGNED_IN: &str = "MARKER-access-token-of-the-portal";

/// Nobody yet: the services are asked at the stand-in, tokens are kept in a file.
fn nobody(stand_in: &StandIn) -> Environment {
    let mut environment = Environment::new();
    environment
        .set("AWS_ENDPOINT_URL_ECR", &stand_in.url)
        .set("AWS_ENDPOINT_URL_STS", &stand_in.url)
        .set("AWS_ENDPOINT_URL_SSO", &stand_in.url)
        .set("AWS_ENDPOINT_URL_SSO_OIDC", &stand_in.url)
        .set("AWS_EC2_METADATA_DISABLED", "true")
        .set("ECS_SHIP_CREDENTIAL_STORE", "file");
    environment
}

/// A file of the home, for its owner alone.
fn at_home(environment: &Environment, name: &str, text: &str) {
    let path = environment.home().join(name);
    fs::create_dir_all(path.parent().expect("a file has a folder")).expect("a folder");
    fs::write(&path, text).expect("a file");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("it is ours");
}

fn login(environment: &Environment, words: &[&str]) -> Output {
    let output = environment.run_all(PROGRAM, &[&["--debug", "login"], words].concat());
    for secret in [SECRET, SESSION, SIGNED_IN] {
        assert!(!output.stdout.contains(secret) && !output.stderr.contains(secret), "{output}");
    }
    output
}

/// Logs in, again after the access key has become another one, as it does every hour, and once more with a new token.
fn one_token_for_all_keys(
    stand_in: &StandIn,
    environment: &Environment,
    words: &[&str],
    identity: &str,
    change: impl FnOnce(),
) {
    let as_json = |more: &[&str]| -> Value {
        let output = login(environment, &[words, more, &["--format", "json"]].concat()).success();
        serde_json::from_str(&output.stdout).expect("JSON")
    };
    let first = as_json(&[]);
    assert_eq!((&first["identity"], &first["fetched"]), (&json!(identity), &json!(true)));
    assert_eq!(stand_in.last("GetAuthorizationToken").access_key, FIRST);
    change();
    let again = as_json(&[]);
    assert_eq!((&again["identity"], &again["fetched"]), (&json!(identity), &json!(false)));
    assert_eq!(stand_in.count("GetAuthorizationToken"), 1);
    let anew = as_json(&["--refresh"]);
    assert_eq!((&anew["identity"], &anew["fetched"]), (&json!(identity), &json!(true)));
    // So it was another key all the time.
    assert_eq!(stand_in.last("GetAuthorizationToken").access_key, SECOND);
    assert_eq!(stand_in.count("GetAuthorizationToken"), 2);
}

const CORP: &str = "[profile jobs]\nsso_session = corp\nsso_account_id = 111111111111\nsso_role_name = ship\nregion = eu-west-1\n\
                    [sso-session corp]\nsso_region = eu-west-1\nsso_start_url = https://corp.awsapps.com/start\n";
/// The file's name is the SHA-1 of the session's name.
const CACHE: &str = ".aws/sso/cache/ee0bfd2552fbd840c02cc48b6e823320543c450f.json";

/// As `aws sso login` leaves it.
fn signed_in(environment: &Environment, expires: &str) {
    at_home(environment, ".aws/config", CORP);
    let token = json!({
        "startUrl": "https://corp.awsapps.com/start",
        "region": "eu-west-1",
        "accessToken": SIGNED_IN,
        "expiresAt": expires,
        "clientId": "client",
        "clientSecret": "MARKER-client",
        "registrationExpiresAt": "2099-01-01T00:00:00Z",
        "refreshToken": "MARKER-refresh",
    });
    at_home(environment, CACHE, &token.to_string());
}

/// The same by an old AWS CLI, which gets nothing to refresh it with.
fn signed_in_for_once(environment: &Environment, expires: &str) {
    at_home(environment, ".aws/config", CORP);
    let token = json!({
        "startUrl": "https://corp.awsapps.com/start", "region": "eu-west-1", "accessToken": SIGNED_IN, "expiresAt": expires,
    });
    at_home(environment, CACHE, &token.to_string());
}

const PORTAL: &str = "GET /federation/credentials";

fn of_portal(key: &str) -> Answer {
    let expiration = (now_seconds() + 3600) * 1000;
    let credentials =
        json!({ "accessKeyId": key, "secretAccessKey": SECRET, "sessionToken": SESSION, "expiration": expiration });
    (200, json!({ "roleCredentials": credentials }).to_string())
}

#[test]
fn a_sign_in_at_the_portal() {
    let stand_in = StandIn::start();
    let environment = nobody(&stand_in);
    signed_in(&environment, "2099-01-01T00:00:00Z");
    stand_in.answer(PORTAL, of_portal(FIRST));
    one_token_for_all_keys(&stand_in, &environment, &["--profile", "jobs", REGISTRY], "profile jobs", || {
        stand_in.answer(PORTAL, of_portal(SECOND));
    });
    assert_eq!(stand_in.last(PORTAL).headers["x-amz-sso_bearer_token"], SIGNED_IN);
    assert_eq!(stand_in.count("POST /token"), 0);
}

#[test]
fn a_sign_in_that_is_over_is_refreshed() {
    let stand_in = StandIn::start();
    let environment = nobody(&stand_in);
    signed_in(&environment, "2020-01-01T00:00:00Z");
    stand_in.answer(PORTAL, of_portal(FIRST));
    let fresh = json!({ "accessToken": "fresh", "expiresIn": 28800, "refreshToken": "next", "tokenType": "Bearer" });
    stand_in.answer("POST /token", (200, fresh.to_string()));
    one_token_for_all_keys(&stand_in, &environment, &["--profile", "jobs", REGISTRY], "profile jobs", || {
        stand_in.answer(PORTAL, of_portal(SECOND));
    });
    let asked: Value = serde_json::from_str(&stand_in.last("POST /token").body).expect("JSON");
    assert_eq!((&asked["grantType"], &asked["refreshToken"]), (&json!("refresh_token"), &json!("MARKER-refresh")));
    assert_eq!(stand_in.last(PORTAL).headers["x-amz-sso_bearer_token"], "fresh");
    // For the AWS CLI, too, and for the next hours.
    let path = environment.home().join(CACHE);
    let kept: Value = serde_json::from_str(&fs::read_to_string(&path).expect("a file")).expect("JSON");
    assert_eq!((&kept["accessToken"], &kept["refreshToken"]), (&json!("fresh"), &json!("next")));
    assert_eq!(fs::metadata(path).expect("it is there").permissions().mode() & 0o777, 0o600);
    assert_eq!(stand_in.count("POST /token"), 1);
}

/// What STS gives for a role.
fn of_sts(operation: &str, key: &str) -> Answer {
    let body = format!(
        "<{operation}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><{operation}Result><Credentials>\
         <AccessKeyId>{key}</AccessKeyId><SecretAccessKey>{SECRET}</SecretAccessKey><SessionToken>{SESSION}</SessionToken>\
         <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials><AssumedRoleUser><AssumedRoleId>AROAX:ci</AssumedRoleId>\
         <Arn>arn:aws:sts::111111111111:assumed-role/ship/ci</Arn></AssumedRoleUser></{operation}Result></{operation}Response>"
    );
    (200, body)
}

const BY_WEB: &str = "AssumeRoleWithWebIdentity";

/// As GitHub and Kubernetes do it: a token in a file, and a role to take on with it.
fn with_web_identity(stand_in: &StandIn) -> Environment {
    let mut environment = nobody(stand_in);
    let token = environment.work().join("token");
    environment.write("token", "eyJ.web.identity");
    environment
        .set("AWS_WEB_IDENTITY_TOKEN_FILE", &token.display().to_string())
        .set("AWS_ROLE_ARN", "arn:aws:iam::111111111111:role/ship")
        .set("AWS_ROLE_SESSION_NAME", "build-7")
        .set("AWS_REGION", "eu-west-1");
    environment
}

#[test]
fn a_web_identity() {
    let stand_in = StandIn::start();
    let environment = with_web_identity(&stand_in);
    stand_in.answer(BY_WEB, of_sts(BY_WEB, FIRST));
    let identity = "role arn:aws:iam::111111111111:role/ship by web identity";
    one_token_for_all_keys(&stand_in, &environment, &[REGISTRY], identity, || {
        // The next token of the same job.
        environment.write("token", "eyJ.next.identity");
        stand_in.answer(BY_WEB, of_sts(BY_WEB, SECOND));
    });
    let asked = stand_in.last(BY_WEB);
    assert_eq!(asked.access_key, "", "nobody has signed it");
    for part in ["WebIdentityToken=eyJ.next.identity", "RoleSessionName=build-7"] {
        assert!(asked.body.contains(part), "{asked:?}");
    }
}

fn of_container(key: &str) -> Answer {
    let role = "arn:aws:iam::111111111111:role/ship";
    let credentials = json!({ "RoleArn": role, "AccessKeyId": key, "SecretAccessKey": SECRET, "Token": SESSION, "Expiration": "2099-01-01T00:00:00Z" });
    (200, credentials.to_string())
}

const AGENT: &str = "GET /v1/credentials";

fn in_a_container(stand_in: &StandIn) -> Environment {
    let mut environment = nobody(stand_in);
    environment
        .set("AWS_CONTAINER_CREDENTIALS_FULL_URI", &format!("{}/v1/credentials", stand_in.url))
        .set("AWS_REGION", "eu-west-1");
    environment
}

#[test]
fn a_containers_role() {
    for by_file in [false, true] {
        let stand_in = StandIn::start();
        let mut environment = in_a_container(&stand_in);
        if by_file {
            // EKS Pod Identity.
            let path = environment.write("authorization", "Bearer of-the-pod");
            environment.set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &path.display().to_string());
        } else {
            environment.set("AWS_CONTAINER_AUTHORIZATION_TOKEN", "Basic of-the-agent");
        }
        stand_in.answer(AGENT, of_container(FIRST));
        one_token_for_all_keys(&stand_in, &environment, &[REGISTRY], "the container's role", || {
            stand_in.answer(AGENT, of_container(SECOND));
        });
        let expected = if by_file { "Bearer of-the-pod" } else { "Basic of-the-agent" };
        assert_eq!(stand_in.last(AGENT).headers["authorization"], expected);
    }
}

const ROLE_OF_INSTANCE: &str = "GET /latest/meta-data/iam/security-credentials/";

fn on_an_instance(stand_in: &StandIn) -> Environment {
    let mut environment = nobody(stand_in);
    environment
        .set("AWS_EC2_METADATA_DISABLED", "false")
        .set("AWS_EC2_METADATA_SERVICE_ENDPOINT", &stand_in.url)
        .set("AWS_REGION", "eu-west-1");
    stand_in.answer("PUT /latest/api/token", (200, "session-of-the-metadata".to_owned()));
    stand_in.answer(ROLE_OF_INSTANCE, (200, "ship".to_owned()));
    environment
}

fn of_instance(key: &str) -> Answer {
    let credentials = json!({
        "Code": "Success", "LastUpdated": "2026-11-25T00:00:00Z", "Type": "AWS-HMAC", "AccessKeyId": key,
        "SecretAccessKey": SECRET, "Token": SESSION, "Expiration": "2099-01-01T00:00:00Z",
    });
    (200, credentials.to_string())
}

#[test]
fn an_instances_role() {
    let stand_in = StandIn::start();
    let environment = on_an_instance(&stand_in);
    let place = format!("{ROLE_OF_INSTANCE}ship");
    stand_in.answer(&place, of_instance(FIRST));
    one_token_for_all_keys(&stand_in, &environment, &[REGISTRY], "the instance's role", || {
        stand_in.answer(&place, of_instance(SECOND));
    });
    assert_eq!(stand_in.last(&place).headers["x-aws-ec2-metadata-token"], "session-of-the-metadata");
}

/// A profile whose credentials a program prints.
fn by_a_process(stand_in: &StandIn, script: &str) -> Environment {
    let environment = nobody(stand_in);
    let program = environment.script("vault-says", script);
    let config = format!("[profile jobs]\nregion = eu-west-1\ncredential_process = {}\n", program.display());
    at_home(&environment, ".aws/config", &config);
    environment
}

#[test]
fn a_process_that_prints_credentials() {
    let stand_in = StandIn::start();
    let environment = by_a_process(&stand_in, "cat printed\n");
    let print = |key: &str| {
        let printed = json!({ "Version": 1, "AccessKeyId": key, "SecretAccessKey": SECRET, "SessionToken": SESSION, "Expiration": "2099-01-01T00:00:00Z" });
        environment.write("printed", &printed.to_string());
    };
    print(FIRST);
    one_token_for_all_keys(&stand_in, &environment, &["--profile", "jobs", REGISTRY], "profile jobs", || print(SECOND));
}

/// A profile with a role that another profile's keys take on.
fn by_a_source_profile(stand_in: &StandIn) -> Environment {
    let environment = nobody(stand_in);
    at_home(
        &environment,
        ".aws/config",
        "[profile jobs]\nregion = eu-west-1\nrole_arn = arn:aws:iam::111111111111:role/ship\nsource_profile = me\nrole_session_name = nightly\n",
    );
    at_home(
        &environment,
        ".aws/credentials",
        &format!("[me]\naws_access_key_id = AKIAME00000000000000\naws_secret_access_key = {SECRET}\n"),
    );
    environment
}

#[test]
fn a_role_by_another_profile() {
    let stand_in = StandIn::start();
    let environment = by_a_source_profile(&stand_in);
    stand_in.answer("AssumeRole", of_sts("AssumeRole", FIRST));
    one_token_for_all_keys(&stand_in, &environment, &["--profile", "jobs", REGISTRY], "profile jobs", || {
        stand_in.answer("AssumeRole", of_sts("AssumeRole", SECOND));
    });
    let asked = stand_in.last("AssumeRole");
    assert_eq!(asked.access_key, "AKIAME00000000000000");
    assert!(asked.body.contains("RoleSessionName=nightly"), "{asked:?}");
}

const SHIP: &str = "format = 1\n[images.web]\nrepository = \"shop/web\"\n[services.web]\ncluster = \"shop\"\n[environments.production]\n\
                    region = \"eu-west-1\"\nrole_arn = \"arn:aws:iam::111111111111:role/ship\"\n";

#[test]
fn the_role_of_an_environment_by_whatever_there_is() {
    let environments: [fn(&StandIn) -> Environment; 2] = [by_a_source_profile, with_web_identity];
    for (number, made) in environments.into_iter().enumerate() {
        let stand_in = StandIn::start();
        let mut environment = made(&stand_in);
        environment.write("ship.toml", SHIP);
        stand_in.answer("AssumeRole", of_sts("AssumeRole", FIRST));
        stand_in.answer(BY_WEB, of_sts(BY_WEB, "ASIAWEB0000000000000"));
        let (by, key, session) = if number == 0 {
            environment.set("AWS_PROFILE", "me").set("USER", "ana");
            ("profile me", "AKIAME00000000000000", "docker-ecs-ship-ana")
        } else {
            ("role arn:aws:iam::111111111111:role/ship by web identity", "ASIAWEB0000000000000", "build-7")
        };
        let identity = format!("role arn:aws:iam::111111111111:role/ship by {by}");
        one_token_for_all_keys(&stand_in, &environment, &["--environment", "production"], &identity, || {
            stand_in.answer("AssumeRole", of_sts("AssumeRole", SECOND));
        });
        let asked = stand_in.last("AssumeRole");
        assert_eq!(asked.access_key, key);
        assert!(asked.body.contains(&format!("RoleSessionName={session}")), "{asked:?}");
    }
}

#[test]
fn each_of_them_says_what_it_lacks() {
    let mut text = String::new();
    let jobs = |text: &mut String, what: &str, environment: &Environment| {
        add(text, what, &login(environment, &["--profile", "jobs", REGISTRY]));
    };

    let stand_in = StandIn::start();
    let environment = nobody(&stand_in);
    at_home(&environment, ".aws/config", CORP);
    jobs(&mut text, "SSO: never signed in", &environment);
    signed_in_for_once(&environment, "2020-01-01T00:00:00Z");
    jobs(&mut text, "SSO: over, and nothing to refresh it with", &environment);
    let revoked = json!({ "__type": "UnauthorizedException", "message": "Session token not found or invalid" });
    stand_in.answer(PORTAL, (401, revoked.to_string()));
    let refused = json!({ "error": "invalid_grant", "error_description": "Invalid refresh token provided", "__type": "InvalidGrantException" });
    stand_in.answer("POST /token", (400, refused.to_string()));
    signed_in(&environment, "2020-01-01T00:00:00Z");
    jobs(&mut text, "SSO: over, and the refresh is refused", &environment);
    signed_in(&environment, "2099-01-01T00:00:00Z");
    jobs(&mut text, "SSO: revoked", &environment);
    let forbidden = json!({ "__type": "com.amazonaws.switchboard.portal#ForbiddenException", "message": "No access" });
    stand_in.answer(PORTAL, (403, forbidden.to_string()));
    jobs(&mut text, "SSO: the role is not assigned", &environment);
    let mut environment = nobody(&stand_in);
    signed_in(&environment, "2099-01-01T00:00:00Z");
    environment.set("AWS_ENDPOINT_URL_SSO", "http://127.0.0.1:1");
    jobs(&mut text, "SSO: no way to the portal", &environment);

    let web = |text: &mut String, what: &str, answer: Answer| {
        let stand_in = StandIn::start();
        stand_in.answer(BY_WEB, answer);
        add(text, what, &login(&with_web_identity(&stand_in), &[REGISTRY]));
    };
    let over = "Token expired: current date/time 1790000100 must be before the expiration date/time 1790000000";
    web(&mut text, "web identity: over", xml_error("ExpiredTokenException", over));
    let issuer = "No OpenIDConnect provider found in your account for https://token.actions.githubusercontent.com";
    web(&mut text, "web identity: of an unknown issuer", xml_error("InvalidIdentityToken", issuer));
    web(
        &mut text,
        "web identity: not trusted",
        xml_error("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity"),
    );
    let environment = with_web_identity(&stand_in);
    fs::remove_file(environment.work().join("token")).expect("it was there");
    add(&mut text, "web identity: no token", &login(&environment, &[REGISTRY]));

    stand_in.answer(
        AGENT,
        (403, json!({ "code": "AccessDeniedException", "message": "no association found" }).to_string()),
    );
    let mut environment = in_a_container(&stand_in);
    add(&mut text, "container: refused", &login(&environment, &[REGISTRY]));
    environment.set("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/nonexistent/token");
    add(&mut text, "container: no token", &login(&environment, &[REGISTRY]));
    let mut environment = in_a_container(&stand_in);
    environment.set("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/v1/credentials");
    add(&mut text, "container: nobody there", &login(&environment, &[REGISTRY]));
    environment.set("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://192.0.2.1/v1/credentials");
    add(&mut text, "container: elsewhere", &login(&environment, &[REGISTRY]));

    stand_in.answer(ROLE_OF_INSTANCE, (404, String::new()));
    let environment = on_an_instance(&stand_in);
    stand_in.answer(ROLE_OF_INSTANCE, (404, String::new()));
    add(&mut text, "instance: without a role", &login(&environment, &[REGISTRY]));
    stand_in.answer("PUT /latest/api/token", (403, String::new()));
    add(&mut text, "instance: it may not ask", &login(&environment, &[REGISTRY]));

    jobs(&mut text, "process: fails", &by_a_process(&stand_in, "echo vault is sealed >&2; exit 3\n"));
    jobs(&mut text, "process: prints something else", &by_a_process(&stand_in, "echo Enter your PIN:\n"));

    let denied = "User: arn:aws:iam::111111111111:user/me is not authorized to perform: sts:AssumeRole on resource: \
                  arn:aws:iam::111111111111:role/ship";
    stand_in.answer("AssumeRole", xml_error("AccessDenied", denied));
    jobs(&mut text, "role by another profile: refused", &by_a_source_profile(&stand_in));
    let unknown = "The security token included in the request is invalid.";
    stand_in.answer("AssumeRole", xml_error("InvalidClientTokenId", unknown));
    jobs(&mut text, "role by another profile: an unknown key", &by_a_source_profile(&stand_in));
    let environment = by_a_source_profile(&stand_in);
    at_home(&environment, ".aws/credentials", "");
    jobs(&mut text, "role by another profile: that is not there", &environment);
    insta::assert_snapshot!(text.replace(&stand_in.url, "http://127.0.0.1:PORT"));
}
