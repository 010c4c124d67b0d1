//! Plans as people read them, on 80 columns.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Paper, asides, last_line, text};
use crate::{
    config::spec::{Check, CheckWork, Percentages, Place, Spec, TaskDefinitionSource},
    id::{Key, TaskDefArn},
    plan::{
        make::plan,
        observed::{Mutability, Observed, ServiceObserved, Shipped, Unread},
        outlook::{self, Outlook},
        testing::{active, arn, deployment, digest, empty_sandbox, image, live, observed, present, service, spec},
    },
    report::style::{Colour, Letters, Style},
};

const PAPER: Paper = Paper { style: Style::BARE, width: 80 };

fn page(spec: &Spec, observed: &Observed, paper: Paper) -> String {
    let plan = plan(spec, observed).expect("a plan");
    let outlook = Outlook::of(&plan, spec, observed);
    let last = last_line(&outlook, spec.environment.name.as_deref(), "docker ecs-ship");
    format!("{}\n{last}", text(&plan, spec, observed, paper))
}

/// The page of the usual spec in a world that `change` made unusual.
fn when(change: impl FnOnce(&mut Spec, &mut Observed)) -> String {
    let (mut spec, mut observed) = (spec(Place::Aws), observed());
    spec.environment.name = Some("production".to_owned());
    change(&mut spec, &mut observed);
    let page = page(&spec, &observed, PAPER);
    for line in page.lines() {
        // What is to be copied is not cut.
        let is_whole = line.contains("arn:") || line.trim_start().starts_with('`');
        assert!(is_whole || crate::report::words::columns(line) <= 80, "{line}");
    }
    page
}

/// Gives the service a task definition from a file.
fn from_file(spec: &mut Spec, observed: &mut Observed, content: Value) {
    let path = std::path::PathBuf::from("/src/task.json");
    spec.services.get_mut(&Key::new("web")).expect("web").task_definition = TaskDefinitionSource::File(path.clone());
    observed.task_definition_files.insert(path, content);
}

#[test]
fn percentages_that_differ_are_a_change_without_a_rollout() {
    let other = |spec: &mut Spec| {
        let web = spec.services.get_mut(&Key::new("web")).expect("web");
        web.rollout.percentages = Percentages { minimum_healthy: Some(50), maximum: Some(200) };
    };
    insta::assert_snapshot!(when(|spec, observed| {
        other(spec);
        observed.repositories.insert(Key::new("web"), present(Mutability::Immutable, Some(digest('a'))));
    }), @"
    Plan for production, account 111111111111 in eu-west-1

    web  web:41 runs 4f2c1d already, and its tasks stay
      update    ~ minimumHealthyPercent  100 → 50

    settings of 1 service to change: docker ecs-ship deploy --environment production
    ");
    // With a new image they go in one call.
    insta::assert_snapshot!(when(|spec, _| other(spec)), @"
    Plan for production, account 111111111111 in eu-west-1

    web  2 tasks of web:41 in cluster shop
      build     shop/web:4f2c1d, and push it
      register  ~ image  aaaaaaaaaaaa → 4f2c1d
      update    ~ minimumHealthyPercent  100 → 50
      roll out  2 tasks, then drain those of web:41 (7m00s at most)

    1 service to ship: docker ecs-ship deploy --environment production
    ");
}

#[test]
fn one_service_gets_a_new_image() {
    insta::assert_snapshot!(when(|_, _| ()), @"
    Plan for production, account 111111111111 in eu-west-1

    web  2 tasks of web:41 in cluster shop
      build     shop/web:4f2c1d, and push it
      register  ~ image  aaaaaaaaaaaa → 4f2c1d
      roll out  2 tasks, then drain those of web:41 (7m00s at most)

    1 service to ship: docker ecs-ship deploy --environment production
    ");
}

#[test]
fn checks_stand_below_the_build_that_they_are_of() {
    insta::assert_snapshot!(when(|spec, _| {
        spec.images.get_mut(&Key::new("web")).expect("web").checks = vec![
            Check { work: CheckWork::Stage("test".to_owned()), timeout: Duration::from_mins(15) },
            Check { work: CheckWork::Run(vec!["/app/selftest".to_owned()]), timeout: Duration::from_mins(2) },
        ];
    }), @"
    Plan for production, account 111111111111 in eu-west-1

    web  2 tasks of web:41 in cluster shop
      build     shop/web:4f2c1d, and push it
      check     stage test must build within 15m
      check     /app/selftest must end with 0 within 2m
      register  ~ image  aaaaaaaaaaaa → 4f2c1d
      roll out  2 tasks, then drain those of web:41 (7m00s at most)

    1 service to ship: docker ecs-ship deploy --environment production
    ");
}

#[test]
fn fields_that_change_stand_below_each_other() {
    insta::assert_snapshot!(when(|spec, observed| {
        live(observed).tags.push(("docker-ecs-ship:image-tag".to_owned(), "91ab02c".to_owned()));
        live(observed).shipped = Shipped::ThisRevision;
        live(observed).definition["containerDefinitions"][0]["environment"] =
            json!([{ "name": "LOG_LEVEL", "value": "info" }, { "name": "OLD", "value": "1" }]);
        spec.images.get_mut(&Key::new("web")).expect("web").platform = Some("linux/arm64".to_owned());
        from_file(spec, observed, json!({
            "family": "web", "cpu": "512", "memory": "512",
            "containerDefinitions": [
                { "name": "web", "image": "x", "portMappings": [{ "containerPort": 8080 }],
                  "environment": [{ "name": "LOG_LEVEL", "value": "debug" },
                  { "name": "DB_PASSWORD", "value": "hunter2" },
                  { "name": "GREETING", "value": "a text that is much longer than a line of a terminal has columns" }] },
                { "name": "log", "image": "l", "essential": false },
            ],
        }));
    }), @r#"
    Plan for production, account 111111111111 in eu-west-1

    web  2 tasks of web:41 in cluster shop
      build     shop/web:4f2c1d for linux/arm64, and push it
      register  ~ image                      91ab02c → 4f2c1d
                ~ cpu                        256 → 512
                ~ environment[LOG_LEVEL]     info → debug
                - environment[OLD]           1
                + environment[DB_PASSWORD]   ****
                + environment[GREETING]      a text that is much longer than a line…
                + containerDefinitions[log]  {"name":"log","image":"l","essential":…
      roll out  2 tasks, then drain those of web:41 (7m00s at most)

    1 service to ship: docker ecs-ship deploy --environment production
    "#);
}

#[test]
fn what_is_set_up_in_the_sandbox_is_said_once() {
    let mut spec = spec(Place::Sandbox);
    spec.environment.name = Some("sandbox".to_owned());
    insta::assert_snapshot!(page(&spec, &empty_sandbox(), PAPER), @"
    Plan for the sandbox

    create cluster shop  (the sandbox has none of that name)
    create repository shop/web  (shop/web does not exist in eu-west-1)

    web  new in cluster shop
      build     shop/web:4f2c1d, and push it
      create    load balancer, listener and target group (the sandbox has no service
                web)
      register  its first task definition
      roll out  2 tasks, the first of service web

    1 service to ship: docker ecs-ship deploy --environment sandbox
    ");
}

fn five(spec: &mut Spec, observed: &mut Observed) {
    for (name, image_name) in [("admin", "web"), ("cron", "job"), ("mailer", "job"), ("worker", "job")] {
        spec.services.insert(Key::new(name), service(image_name, name));
        spec.images.entry(Key::new("job")).or_insert_with(|| image("shop/job"));
        observed.services.insert(Key::new(name), ServiceObserved::Active(Box::new(active(name, &[name]))));
        observed.repositories.insert(Key::new("job"), present(Mutability::Mutable, None));
    }
}

#[test]
fn five_services_fit_on_a_screen() {
    let page = when(five);
    assert!(page.lines().count() <= 30, "{page}");
    insta::assert_snapshot!(page, @"
    Plan for production, account 111111111111 in eu-west-1

    admin  2 tasks of admin:41 in cluster shop
      build     shop/web:4f2c1d, and push it
      register  ~ image  aaaaaaaaaaaa → 4f2c1d
      roll out  2 tasks, then drain those of admin:41 (7m00s at most)

    cron  2 tasks of cron:41 in cluster shop
      build     shop/job:4f2c1d, and push it
      register  ~ image  aaaaaaaaaaaa → 4f2c1d
      roll out  2 tasks, then drain those of cron:41 (7m00s at most)

    mailer  2 tasks of mailer:41 in cluster shop
      build     the same image as cron
      register  ~ image  aaaaaaaaaaaa → 4f2c1d
      roll out  2 tasks, then drain those of mailer:41 (7m00s at most)

    web  2 tasks of web:41 in cluster shop
      build     the same image as admin
      register  ~ image  aaaaaaaaaaaa → 4f2c1d
      roll out  2 tasks, then drain those of web:41 (7m00s at most)

    worker  2 tasks of worker:41 in cluster shop
      build     the same image as cron
      register  ~ image  aaaaaaaaaaaa → 4f2c1d
      roll out  2 tasks, then drain those of worker:41 (7m00s at most)

    5 services to ship: docker ecs-ship deploy --environment production
    ");
}

#[test]
fn a_service_that_runs_this_build_has_nothing_to_do() {
    insta::assert_snapshot!(when(|spec, observed| {
        five(spec, observed);
        observed.repositories.insert(Key::new("job"), present(Mutability::Mutable, Some(digest('a'))));
    }), @"
    Plan for production, account 111111111111 in eu-west-1

    admin  2 tasks of admin:41 in cluster shop
      build     shop/web:4f2c1d, and push it
      register  ~ image  aaaaaaaaaaaa → 4f2c1d
      roll out  2 tasks, then drain those of admin:41 (7m00s at most)

    cron  nothing to do: cron:41 runs 4f2c1d already
    mailer  nothing to do: mailer:41 runs 4f2c1d already

    web  2 tasks of web:41 in cluster shop
      build     the same image as admin
      register  ~ image  aaaaaaaaaaaa → 4f2c1d
      roll out  2 tasks, then drain those of web:41 (7m00s at most)

    worker  nothing to do: worker:41 runs 4f2c1d already

    2 of 5 services to ship: docker ecs-ship deploy --environment production
    ");
    insta::assert_snapshot!(when(|_, observed| {
        observed.repositories.insert(Key::new("web"), present(Mutability::Immutable, Some(digest('a'))));
    }), @"
    Plan for production, account 111111111111 in eu-west-1

    web  nothing to do: web:41 runs 4f2c1d already

    nothing to do
    ");
}

#[test]
fn a_rollout_of_this_build_is_watched_or_tried_again() {
    let with = |state: &str| {
        when(|_, observed| {
            observed.repositories.insert(Key::new("web"), present(Mutability::Mutable, Some(digest('a'))));
            live(observed).deployments = vec![deployment("ecs-svc/1", "PRIMARY", state, &arn("web:41"))];
        })
    };
    insta::assert_snapshot!(with("IN_PROGRESS"), @"
    Plan for production, account 111111111111 in eu-west-1

    web  web:41 with 4f2c1d is being rolled out already
      watch     until the older tasks have drained

    1 service to ship: docker ecs-ship deploy --environment production
    ");
    insta::assert_snapshot!(with("FAILED"), @"
    Plan for production, account 111111111111 in eu-west-1

    web  2 tasks of web:41 in cluster shop
      build     shop/web:4f2c1d, and push it
      register  nothing, the revision is there
      roll out  2 tasks of web:41 once more, its rollout failed

    1 service to ship: docker ecs-ship deploy --environment production
    ");
}

#[test]
fn drift_says_of_each_field_what_becomes_of_it() {
    let drifted = |observed: &mut Observed| {
        let live = live(observed);
        let mut shipped = live.definition.clone();
        shipped["containerDefinitions"][0]["environment"] = json!([{ "name": "LOG_LEVEL", "value": "info" }]);
        live.definition["cpu"] = json!("1024");
        live.definition["containerDefinitions"][0]["environment"] = json!([{ "name": "LOG_LEVEL", "value": "debug" }]);
        live.shipped = Shipped::Earlier { arn: arn("web:40"), definition: shipped };
    };
    insta::assert_snapshot!(when(|_, observed| drifted(observed)), @"
    Plan for production, account 111111111111 in eu-west-1

    web  2 tasks of web:41 in cluster shop
      drift     web:41 comes from outside of docker-ecs-ship; since web:40, its last
                ship:
                ~ cpu                     256 → 1024    kept
                ~ environment[LOG_LEVEL]  info → debug  kept
      build     shop/web:4f2c1d, and push it
      register  ~ image  aaaaaaaaaaaa → 4f2c1d
      roll out  2 tasks, then drain those of web:41 (7m00s at most)

    1 service to ship: docker ecs-ship deploy --environment production
    ");
    let overwritten = |spec: &mut Spec, observed: &mut Observed| {
        drifted(observed);
        from_file(
            spec,
            observed,
            json!({ "family": "web", "cpu": "1024", "memory": "512", "containerDefinitions":
            [{ "name": "web", "image": "x", "portMappings": [{ "containerPort": 8080 }],
               "environment": [{ "name": "LOG_LEVEL", "value": "warn" }] }] }),
        );
    };
    insta::assert_snapshot!(when(overwritten), @"
    Plan for production, account 111111111111 in eu-west-1

    web  2 tasks of web:41 in cluster shop
      drift     web:41 comes from outside of docker-ecs-ship; since web:40, its last
                ship:
                ~ cpu                     256 → 1024    kept
                ~ environment[LOG_LEVEL]  info → debug  overwritten
      build     shop/web:4f2c1d, and push it
      register  ~ image                   aaaaaaaaaaaa → 4f2c1d
                ~ environment[LOG_LEVEL]  debug → warn
      roll out  2 tasks, then drain those of web:41 (7m00s at most)

    1 service to ship: docker ecs-ship deploy --environment production
    ");
    // A deploy that shows no plan shows this much.
    let (mut spec, mut observed) = (spec(Place::Aws), observed());
    overwritten(&mut spec, &mut observed);
    let plan = plan(&spec, &observed).expect("a plan");
    insta::assert_snapshot!(asides(&plan, &spec, &observed, PAPER), @"
    web
      drift     web:41 comes from outside of docker-ecs-ship; since web:40, its last
                ship:
                ~ cpu                     256 → 1024    kept
                ~ environment[LOG_LEVEL]  info → debug  overwritten
    ");
    live(&mut observed).shipped = Shipped::ThisRevision;
    assert_eq!(asides(&plan, &spec, &observed, PAPER), "");
}

#[test]
fn warnings_come_last_with_what_to_do() {
    insta::assert_snapshot!(when(|_, observed| {
        live(observed).minimum_healthy_percent = 0;
        live(observed).target_groups[0].deregistration_delay_s = 0;
        observed.unread.insert(Unread::Repository("shop/web".to_owned()));
        observed.unread.insert(Unread::Attached("web".to_owned()));
    }), @"
    Plan for production, account 111111111111 in eu-west-1

    web  2 tasks of web:41 in cluster shop
      build     shop/web:4f2c1d, and push it
      register  ~ image  aaaaaaaaaaaa → 4f2c1d
      roll out  2 tasks, then drain those of web:41 (2m00s at most)

    warning: service web may be without a task during the rollout: 0 % of 2 rounds
             up to none that must run
      hint:  let ECS start new tasks first:
             `aws ecs update-service --cluster shop --service web --deployment-configuration minimumHealthyPercent=100,maximumPercent=200`
    warning: requests that run when a task of web is replaced are cut off: the
             deregistration delay of web is 0 s
      hint:  let them finish:
             `aws elbv2 modify-target-group-attributes --target-group-arn arn:aws:elasticloadbalancing:eu-west-1:111111111111:targetgroup/web/73e2d6bc24d8a067 --attributes Key=deregistration_delay.timeout_seconds,Value=30`
    note: whether repository shop/web exists, and what its tags are, is not known
          until the push (ecr:DescribeRepositories is not allowed)
    note: whether a load balancer forwards to web is not known
          (elasticloadbalancing:DescribeTargetGroups is not allowed)

    1 service to ship: docker ecs-ship deploy --environment production
    ");
}

#[test]
fn a_narrow_terminal_an_ascii_one_and_a_colourful_one() {
    let (mut spec, mut observed) = (spec(Place::Aws), observed());
    from_file(
        &mut spec,
        &mut observed,
        json!({ "family": "web", "cpu": "512", "containerDefinitions":
            [{ "name": "web", "image": "x", "portMappings": [{ "containerPort": 8080 }] }] }),
    );
    let ascii = Style { colour: Colour::Off, letters: Letters::Ascii };
    let page = |paper| page(&spec, &observed, paper);
    insta::assert_snapshot!(page(Paper { style: ascii, width: 44 }), @"
    Plan for account 111111111111 in eu-west-1

    web  2 tasks of web:41 in cluster shop
      build     shop/web:4f2c1d, and push it
      register  ~ image   aaaaaaaaaaaa -> 4f2c1d
                ~ cpu     256 -> 512
                - memory  512
      roll out  2 tasks, then drain those of
                web:41 (7m00s at most)

    1 service to ship: docker ecs-ship deploy
    ");
    let colour = Style { colour: Colour::On, letters: Letters::Unicode };
    insta::assert_snapshot!(page(Paper { style: colour, width: 80 }).replace('\u{1b}', "^"), @"
    ^[1mPlan for account 111111111111 in eu-west-1^[0m

    ^[1mweb^[0m  2 tasks of web:41 in cluster shop
      ^[36mbuild     ^[0mshop/web:4f2c1d, and push it
      ^[36mregister  ^[0m^[33m~^[0m image   aaaaaaaaaaaa → 4f2c1d
      ^[36m          ^[0m^[33m~^[0m cpu     256 → 512
      ^[36m          ^[0m^[31m-^[0m memory  512
      ^[36mroll out  ^[0m2 tasks, then drain those of web:41 (7m00s at most)

    1 service to ship: docker ecs-ship deploy
    ");
}

#[test]
#[expect(clippy::too_many_lines, reason = "the whole document is the test")]
fn tools_get_all_of_it() {
    let (mut spec, mut observed) = (spec(Place::Aws), observed());
    let mut shipped = live(&mut observed).definition.clone();
    shipped["memory"] = json!("256");
    live(&mut observed).shipped = Shipped::Earlier { arn: TaskDefArn::new("web:40"), definition: shipped };
    from_file(
        &mut spec,
        &mut observed,
        json!({ "family": "web", "cpu": "512", "memory": "512", "containerDefinitions": [
        { "name": "web", "image": "x", "portMappings": [{ "containerPort": 8080 }], "environment": [{ "name": "API_TOKEN", "value": "hunter2" }] }] }),
    );
    let document = outlook::json(&spec, &observed, &plan(&spec, &observed));
    insta::assert_snapshot!(format!("{document:#}"), @r#"
    {
      "schema": 1,
      "outcome": "changes",
      "environment": null,
      "sandbox": false,
      "account": "111111111111",
      "region": "eu-west-1",
      "services": [
        {
          "service": "web",
          "cluster": "shop",
          "name": "web",
          "expected": "change",
          "task_definition": "arn:aws:ecs:eu-west-1:111111111111:task-definition/web:41",
          "desired_count": 2,
          "image": {
            "image": "web",
            "container": "web",
            "from": "aaaaaaaaaaaa",
            "to": "4f2c1d",
            "digest": null
          },
          "changes": [
            {
              "path": "cpu",
              "change": "changed",
              "from": "256",
              "to": "512"
            },
            {
              "path": "containerDefinitions[web].environment[API_TOKEN]",
              "change": "added",
              "to": "****"
            }
          ],
          "settings": [],
          "drift": {
            "shipped": "web:40",
            "live": "arn:aws:ecs:eu-west-1:111111111111:task-definition/web:41",
            "fields": [
              {
                "path": "memory",
                "change": "changed",
                "from": "256",
                "to": "512",
                "fate": "kept"
              }
            ]
          },
          "drain_ms": 420000
        }
      ],
      "steps": [
        {
          "id": 1,
          "kind": "login",
          "title": "log in to 111111111111.dkr.ecr.eu-west-1.amazonaws.com",
          "subject": null,
          "cause": "to push web",
          "needs": []
        },
        {
          "id": 2,
          "kind": "build",
          "title": "build web",
          "subject": "web",
          "cause": "tag 4f2c1d",
          "needs": [
            1
          ]
        },
        {
          "id": 3,
          "kind": "push",
          "title": "push web",
          "subject": "web",
          "cause": "shop/web:4f2c1d for web",
          "needs": [
            1,
            2
          ]
        },
        {
          "id": 4,
          "kind": "register",
          "title": "register web",
          "subject": "web",
          "cause": "new image, cpu 256 → 512, containerDefinitions[web].environment[API_TOKEN] added",
          "needs": [
            3
          ]
        },
        {
          "id": 5,
          "kind": "update",
          "title": "update web",
          "subject": "web",
          "cause": "it runs web:41",
          "needs": [
            4
          ]
        },
        {
          "id": 6,
          "kind": "watch",
          "title": "roll out web",
          "subject": "web",
          "cause": "until the tasks of web:41 have drained",
          "needs": [
            5
          ]
        }
      ],
      "warnings": [],
      "unread": [],
      "refusals": []
    }
    "#);
    observed.services.clear();
    let document = outlook::json(&spec, &observed, &plan(&spec, &observed));
    insta::assert_snapshot!(format!("{document:#}"), @r#"
    {
      "schema": 1,
      "outcome": "refused",
      "environment": null,
      "sandbox": false,
      "account": "111111111111",
      "region": "eu-west-1",
      "services": [],
      "steps": [],
      "warnings": [],
      "unread": [],
      "refusals": [
        {
          "code": "plan::service_missing",
          "message": "service web does not exist in cluster shop",
          "hint": "check `service` and `cluster` of [services.web]; `aws ecs list-services --cluster shop --region eu-west-1` shows what is there. A deploy updates services, it does not create them"
        }
      ]
    }
    "#);
}
