//! The desktop's keyring: a real GNOME keyring under a D-Bus of its own, and what a login does when there is
//! none, when it is locked, when it never answers and when it lies.

use std::{
    process::{Child, Stdio},
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use crate::{
    desktop::{self, Desktop, Impostor},
    environment::{Environment, Output, PROGRAM},
    keyrings::{holds, login, tokens},
    login::signed_in,
    stand_in::{REGISTRY, StandIn},
};

/// A login that waits for a keyring longer than it may is one that hangs. The two seconds are the
/// program's; the rest is for a machine that does much else.
const LONGEST: Duration = Duration::from_secs(10);

fn timed_login(environment: &Environment) -> Output {
    #[expect(clippy::disallowed_methods, reason = "how long a keyring took is a matter of the real clock")]
    let begun = Instant::now();
    let output = login(environment).success();
    assert!(begun.elapsed() < LONGEST, "{:?}: {output}", begun.elapsed());
    output
}

/// Where the key is when the desktop's keyring is of no use.
fn assert_kept_elsewhere(environment: &Environment, output: &Output, why: &str) {
    let told = output.stderr.matches(&format!("debug: credential store secret-service: {why}")).count();
    assert_eq!(told, 1, "{output}");
    if output.stdout.contains("memory only") {
        // This kernel has no keyring either, see `keyrings`: that is said, too.
        assert!(output.stderr.contains("keyutils: not there"), "{output}");
        return;
    }
    assert!(output.stdout.contains("the kernel's keyring (keyutils)"), "{output}");
    assert!(tokens(environment).iter().all(|name| name.starts_with("keyutils-")), "{:?}", tokens(environment));
}

#[test]
fn an_unlocked_keyring_keeps_the_key() {
    let stand_in = StandIn::start();
    let mut environment = signed_in(&stand_in, "auto");
    let desktop = Desktop::unlocked(&mut environment);
    let output = login(&environment).success();
    assert!(output.stdout.contains("the desktop's keyring (Secret Service)"), "{output}");
    assert!(!output.stderr.contains("debug: "), "{output}");
    let names = tokens(&environment);
    assert!(names.len() == 1 && names[0].starts_with("secret-service-"), "{names:?}");
    assert!(!holds(&environment.home(), b"first"), "the token is encrypted");
    assert_eq!(desktop.entries(), 1);
    let _ = login(&environment).success();
    assert_eq!(stand_in.count("GetAuthorizationToken"), 1);
    // By name it is the same one.
    environment.set("ECS_SHIP_CREDENTIAL_STORE", "secret-service");
    let _ = login(&environment).success();
    assert_eq!(stand_in.count("GetAuthorizationToken"), 1);
    let _ = environment.run(PROGRAM, ["logout"]).success();
    assert_eq!((tokens(&environment), desktop.entries()), (Vec::new(), 0));
}

#[test]
fn many_first_runs_make_one_key_in_it() {
    let stand_in = StandIn::start();
    let mut environment = signed_in(&stand_in, "secret-service");
    let desktop = Desktop::unlocked(&mut environment);
    let registries: Vec<String> =
        (0..6).map(|number| format!("{number:012}.dkr.ecr.eu-west-1.amazonaws.com")).collect();
    let start = |registry: &String| {
        let mut command = environment.command(PROGRAM);
        command.args(["login", registry]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
    };
    let children: Vec<_> = registries.iter().map(start).collect();
    for child in children {
        let output = child.and_then(Child::wait_with_output).expect("it starts and ends");
        assert!(output.status.success(), "{output:?}");
    }
    assert_eq!(desktop.entries(), 1);
    // On a busy machine one may have given up on the keyring; what is kept opens with the one key.
    let kept = tokens(&environment).len();
    for registry in &registries {
        let _ = environment.run(PROGRAM, ["login", registry]).success();
    }
    assert_eq!(stand_in.count("GetAuthorizationToken"), 6 + (6 - kept));
}

#[test]
fn a_locked_keyring_is_passed_over_without_a_word_to_anybody() {
    let stand_in = StandIn::start();
    let mut environment = signed_in(&stand_in, "auto");
    let mut desktop = Desktop::unlocked(&mut environment);
    let _ = login(&environment).success();
    desktop.lock(&environment);
    let windows = desktop::windows(&desktop);
    // The token that lies there cannot be opened now, so a new one is fetched and kept elsewhere.
    let output = timed_login(&environment);
    assert_eq!(output.stderr.matches("debug: credential store secret-service: locked").count(), 1, "{output}");
    assert_eq!(stand_in.count("GetAuthorizationToken"), 2);
    let quiet = environment.run(PROGRAM, ["login", REGISTRY]).success();
    if !quiet.stdout.contains("memory only") {
        assert!(quiet.stdout.contains("the kernel's keyring (keyutils)") && quiet.stderr.is_empty(), "{quiet}");
        assert_eq!(stand_in.count("GetAuthorizationToken"), 2);
    }
    let by_name = environment.set("ECS_SHIP_CREDENTIAL_STORE", "secret-service").run(PROGRAM, ["login", REGISTRY]);
    assert!(by_name.success().stderr.contains("hint: no keyring works here (secret-service: locked"));
    assert_eq!(windows.load(Ordering::SeqCst), 0, "nobody was asked to unlock it");
    // This proves the instrument: a window would have been seen.
    desktop.ask_for_the_password();
    desktop.wait("the window", |_| windows.load(Ordering::SeqCst) > 0);
    environment.set("ECS_SHIP_CREDENTIAL_STORE", "keyutils");
    let _ = environment.run(PROGRAM, ["logout"]);
}

#[test]
fn a_keyring_that_is_not_there_is_passed_over() {
    let stand_in = StandIn::start();
    let mut environment = signed_in(&stand_in, "auto");
    environment.set("XDG_RUNTIME_DIR", "/nonexistent");
    let output = timed_login(&environment);
    assert_kept_elsewhere(&environment, &output, "not there: no D-Bus session");
    let _ = environment.run(PROGRAM, ["logout"]);
    let _desktop = Desktop::start(&mut environment);
    let output = timed_login(&environment);
    assert_kept_elsewhere(&environment, &output, "not there: no Secret Service is on the session's D-Bus");
    let _ = environment.run(PROGRAM, ["logout"]);
    environment.set("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus");
    let output = timed_login(&environment);
    assert_kept_elsewhere(&environment, &output, "not there: no D-Bus answers at unix:path=/nonexistent/bus");
    let _ = environment.run(PROGRAM, ["logout"]);
}

#[test]
fn a_bus_that_never_answers_costs_two_seconds_and_only_when_it_is_wanted() {
    let stand_in = StandIn::start();
    let mut environment = signed_in(&stand_in, "auto");
    let (path, taken) = desktop::mute(&environment.work());
    environment.set("DBUS_SESSION_BUS_ADDRESS", &format!("unix:path={}", path.display()));
    let output = timed_login(&environment);
    assert_kept_elsewhere(&environment, &output, "no answer in time");
    assert_eq!(taken.load(Ordering::SeqCst), 1, "asked once, then never again");
    if !tokens(&environment).is_empty() {
        // What is kept is opened where it is kept; nobody else is asked.
        let _ = login(&environment).success();
        let _ = environment.run_with_input(environment.face("docker-credential-ecs-ship"), ["get"], REGISTRY).success();
        assert_eq!((taken.load(Ordering::SeqCst), stand_in.count("GetAuthorizationToken")), (1, 1));
    }
    environment.set("ECS_SHIP_CREDENTIAL_STORE", "keyutils");
    let _ = environment.run(PROGRAM, ["logout"]);
}

#[test]
fn a_keyring_that_lies_is_not_believed() {
    for (behaviour, why) in [
        (Impostor::KeepsNothing, "it gave back something else than it was given"),
        (Impostor::Silent, "no answer in time"),
    ] {
        let stand_in = StandIn::start();
        let mut environment = signed_in(&stand_in, "auto");
        let desktop = Desktop::start(&mut environment);
        let asked = desktop::impostor(&desktop, behaviour);
        let output = timed_login(&environment);
        assert_kept_elsewhere(&environment, &output, why);
        assert!(asked.load(Ordering::SeqCst) > 0, "it was asked");
        let _ = environment.run(PROGRAM, ["logout"]);
    }
}

#[test]
fn a_keyring_that_gives_another_key_each_time_costs_one_fetch_more() {
    let stand_in = StandIn::start();
    let mut environment = signed_in(&stand_in, "auto");
    let desktop = Desktop::start(&mut environment);
    let _asked = desktop::impostor(&desktop, Impostor::AnotherEachTime);
    let _ = timed_login(&environment);
    let output = timed_login(&environment);
    assert!(output.stderr.contains("it does not open with the key of the keyring"), "{output}");
    assert_kept_elsewhere(&environment, &output, "it gave back something else than it was given");
    if !tokens(&environment).is_empty() {
        let _ = timed_login(&environment);
        assert_eq!(stand_in.count("GetAuthorizationToken"), 2);
    }
    let _ = environment.run(PROGRAM, ["logout"]);
}

#[test]
fn a_key_that_somebody_has_changed_costs_one_fetch() {
    let stand_in = StandIn::start();
    let mut environment = signed_in(&stand_in, "secret-service");
    let desktop = Desktop::unlocked(&mut environment);
    let _ = login(&environment).success();
    for (spoilt, fetched) in [("short", 2), ("another key that has 32 bytes ..", 3)] {
        desktop.spoil(&environment, spoilt);
        let output = login(&environment).success();
        assert!(output.stdout.contains("the desktop's keyring (Secret Service)"), "{output}");
        assert_eq!(stand_in.count("GetAuthorizationToken"), fetched, "{spoilt}");
        let _ = login(&environment).success();
        assert_eq!(stand_in.count("GetAuthorizationToken"), fetched, "{spoilt}");
    }
}
