//! What a file means: every key's effect, the table of precedence, and that no value breaks the resolving.

use std::time::Duration;

use proptest::prelude::*;

use super::{
    environment::{guess_region, is_region},
    image::CHECK_TIMEOUT,
    *,
};
use crate::{
    config::{
        error,
        file::parse,
        spec::{
            self, BuildSecret, BuildSsh, Builder, CacheImage, Check, CheckWork, Confirm, Destination, Environment,
            Image, MissingRepository, OnFailure, OnInterrupt, Overlays, Percentages, PromotionSource, Release,
            SandboxService, TaskDefinitionSource,
        },
    },
    id::{Cluster, ServiceName},
};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn facts(variables: &[(&str, &str)]) -> Facts {
    Facts {
        root: PathBuf::from("/repo"),
        home: Some(PathBuf::from("/home/ann")),
        read: |path| match path.to_str() {
            Some("/repo/deploy/common.env") => Ok(b"LEVEL=info\nREGION=here\nTOKEN_TTL=5\n".to_vec()),
            _ => Err(io::ErrorKind::NotFound.into()),
        },
        variables: variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        git: Ok(GitFacts {
            commit: COMMIT.to_owned(),
            short: COMMIT[..12].to_owned(),
            branch: Some("main".to_owned()),
            tag: None,
            work_tree: WorkTree::Clean,
        }),
        now_ms: 1_795_462_839_000,
    }
}

fn meant(text: &str, typed: &Typed, facts: &Facts) -> Resolved {
    resolve(&parse(text), typed, facts)
        .unwrap_or_else(|errors| panic!("{}", errors.render(error::Look { colour: false, unicode: true, width: 100 })))
}

fn mistakes(text: &str, typed: &Typed, facts: &Facts) -> Vec<&'static str> {
    resolve(&parse(text), typed, facts)
        .map(|resolved| resolved.spec)
        .expect_err("mistakes")
        .errors
        .iter()
        .map(|error| error.mistake.code())
        .collect()
}

const SMALLEST: &str = "format = 1\n[images.api]\nrepository = \"jobs/api\"\n[services.api]\ncluster = \"jobs\"\n";

#[test]
fn a_cache_goes_where_it_is_written_to() {
    use crate::config::spec::CacheTo;
    let text = |written: &str| {
        format!(
            "format = 1\n[images.api]\nrepository = \"jobs/api\"\ncache_to = [\"{written}\"]\n[services.api]\ncluster = \"jobs\"\n"
        )
    };
    let meant = |written: &str| {
        let resolved = resolve(&parse(&text(written)), &Typed::default(), &facts(&[])).expect("it is right");
        let [to] = resolved.spec.images[&Key::new("api")].cache_to.as_slice() else { panic!("one place") };
        to.clone()
    };
    assert_eq!(meant("type=inline"), CacheTo::Inline);
    for (written, image, options) in [
        ("${repository}:cache", "ecr jobs/api:cache", "mode=max,image-manifest=true,oci-mediatypes=true"),
        (
            "type=registry,ref=${repository}:c,mode=min,oci-mediatypes=false",
            "ecr jobs/api:c",
            "mode=min,oci-mediatypes=false,image-manifest=true",
        ),
        ("ghcr.io/jobs/api:cache", "ghcr.io/jobs/api:cache", "mode=max"),
        ("mode=max,type=registry,ref=ghcr.io/jobs/api:cache", "ghcr.io/jobs/api:cache", "mode=max"),
    ] {
        let CacheTo::Registry { image: found, options: said } = meant(written) else { panic!("{written}") };
        let found = match found {
            CacheImage::Ecr { repository, tag } => format!("ecr {repository}:{tag}"),
            CacheImage::Elsewhere(reference) => reference.to_string(),
        };
        let said: Vec<String> = said.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!((found.as_str(), said.join(",").as_str()), (image, options), "{written}");
    }
}

#[test]
fn the_smallest_file_means_the_defaults() {
    let resolved = meant(SMALLEST, &Typed::default(), &facts(&[]));
    let key = Key::new("api");
    assert_eq!(resolved.warnings, []);
    assert_eq!(
        resolved.spec,
        Spec {
            root: PathBuf::from("/repo"),
            environment: Environment {
                name: None,
                place: spec::Place::Aws,
                region: None,
                profile: None,
                role_arn: None,
                account: None,
                confirm: Confirm::Never,
            },
            images: BTreeMap::from([(
                key.clone(),
                Image {
                    repository: "jobs/api".to_owned(),
                    missing_repository: MissingRepository::Refuse,
                    context: PathBuf::from("/repo"),
                    dockerfile: PathBuf::from("/repo/Dockerfile"),
                    target: None,
                    args: BTreeMap::new(),
                    secrets: BTreeMap::new(),
                    ssh: Vec::new(),
                    cache_from: Vec::new(),
                    cache_to: Vec::new(),
                    platform: None,
                    tag: "0123456789ab".parse().expect("a tag"),
                    further_tags: Vec::new(),
                    builder: Builder::Auto,
                    checks: Vec::new(),
                }
            )]),
            services: BTreeMap::from([(
                key.clone(),
                Service {
                    image: key,
                    container: None,
                    cluster: Cluster::new("jobs"),
                    service: ServiceName::new("api"),
                    task_definition: TaskDefinitionSource::Live,
                    overlays: Overlays::default(),
                    before: None,
                    rollout: Rollout::default(),
                    sandbox: SandboxService::default(),
                }
            )]),
            release: Release::Independent,
            promotion: None,
        }
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "one long file and all that it means")]
fn every_key_has_its_effect() {
    let text = r#"
format = 1
default_environment = "local"
release = "all-or-nothing"

[sandbox]
desired_count = 3
environment = { A = "top", B = "top" }

[images.web]
repository = "jobs/web"
create_repository = true
context = "./src"
dockerfile = "docker/${target}.Dockerfile"
target = "runtime"
args = { COMMIT = "${git.commit}", PRICE = "5$$", WHERE = "${environment}/${account}/${region}", T = "${git.tag:-none}" }
platform = "linux/arm64"
builder = "classic"
tags = ["v1-${build}", "latest", "${environment}", "latest"]
secrets = { nuget = { env = "NUGET_${environment}" }, npmrc = { file = "~/.npmrc" }, key = { file = "${target}.pem" } }
ssh = ["default", "deploy=~/.ssh/id_ed25519"]
cache_from = ["${repository}:cache", "ghcr.io/jobs/base:1", "jobs/other"]
checks = [{ target = "test", timeout = "2m" }, { run = ["/app/selftest", "--env=${environment}"] }]

[services.api]
image = "web"
container = "app"
cluster = "arn:aws:ecs:${region}:${account}:cluster/jobs"
service = "jobs-${image}"
task_definition = "deploy/api.json"
cpu = "512"
memory = "1 GB"
environment = { LEVEL = "debug", WHERE = "${environment}" }
environment_files = ["deploy/common.env"]
ssm_secrets = { DATABASE_URL = "/jobs/${environment}/db-url", TOKEN_TTL = "arn:aws:ssm:${region}:${account}:parameter/ttl" }

[services.api.rollout]
timeouts = { no_progress = "90s", total = "1h30m" }
on_failure = "leave"
on_interrupt = "rollback"
done_when = "steady"
minimum_healthy_percent = 50
maximum_percent = 150

[services.api.sandbox]
container_port = 80
listener_port = 8000
health_check_path = "/up"
health_check_interval = "10s"
deregistration_delay = "0s"
stop_timeout = "2m"
cpu = "1024"
memory = "2048"
environment = { B = "${service}", PORT = "${container_port}" }

[environments.local]
sandbox = true
account = "222222222222"
region = "${env.REGION:-eu-central-1}"
profile = "${environment}-${region}"
role_arn = "arn:aws:iam::${account}:role/ship"
services.api.sandbox.environment.C = "here"
images.web.args.T = "override"
"#;
    let resolved = meant(text, &Typed::default(), &facts(&[("REGION", ""), ("AWS_REGION", "us-east-1")]));
    assert_eq!(resolved.warnings, []);
    let Spec { root: _, environment, images, services, release, promotion } = resolved.spec;
    assert_eq!(promotion, None);
    assert_eq!(release, Release::AllOrNothing);
    assert_eq!(
        environment,
        Environment {
            name: Some("local".to_owned()),
            place: spec::Place::Sandbox,
            region: Some("eu-central-1".to_owned()),
            profile: Some("local-eu-central-1".to_owned()),
            role_arn: Some("arn:aws:iam::222222222222:role/ship".to_owned()),
            account: Some("222222222222".to_owned()),
            confirm: Confirm::Never,
        }
    );
    let texts = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(
        images[&Key::new("web")],
        Image {
            repository: "jobs/web".to_owned(),
            missing_repository: MissingRepository::Create,
            context: PathBuf::from("/repo/src"),
            dockerfile: PathBuf::from("/repo/docker/runtime.Dockerfile"),
            target: Some("runtime".to_owned()),
            args: texts(&[
                ("COMMIT", COMMIT),
                ("PRICE", "5$"),
                ("T", "override"),
                ("WHERE", "local/222222222222/eu-central-1"),
            ]),
            secrets: BTreeMap::from([
                ("key".to_owned(), BuildSecret::File(PathBuf::from("/repo/runtime.pem"))),
                ("npmrc".to_owned(), BuildSecret::File(PathBuf::from("/home/ann/.npmrc"))),
                ("nuget".to_owned(), BuildSecret::Variable("NUGET_local".to_owned())),
            ]),
            ssh: vec![
                BuildSsh { id: "default".to_owned(), path: None },
                BuildSsh { id: "deploy".to_owned(), path: Some(PathBuf::from("/home/ann/.ssh/id_ed25519")) },
            ],
            cache_from: vec![
                CacheImage::Ecr { repository: "jobs/web".to_owned(), tag: "cache".parse().expect("a tag") },
                CacheImage::Elsewhere("ghcr.io/jobs/base:1".parse().expect("a reference")),
                CacheImage::Ecr { repository: "jobs/other".to_owned(), tag: "latest".parse().expect("a tag") },
            ],
            cache_to: Vec::new(),
            platform: Some("linux/arm64".to_owned()),
            tag: "v1-0123456789ab".parse().expect("a tag"),
            further_tags: ["latest", "local"].map(|tag| tag.parse().expect("a tag")).to_vec(),
            builder: Builder::Classic,
            checks: vec![
                Check { work: CheckWork::Stage("test".to_owned()), timeout: Duration::from_mins(2) },
                Check {
                    work: CheckWork::Run(vec!["/app/selftest".to_owned(), "--env=local".to_owned()]),
                    timeout: CHECK_TIMEOUT,
                },
            ],
        }
    );
    assert_eq!(
        services[&Key::new("api")],
        Service {
            image: Key::new("web"),
            container: Some("app".to_owned()),
            cluster: Cluster::new("arn:aws:ecs:eu-central-1:222222222222:cluster/jobs"),
            service: ServiceName::new("jobs-web"),
            task_definition: TaskDefinitionSource::File(PathBuf::from("/repo/deploy/api.json")),
            overlays: Overlays {
                cpu: Some("512".to_owned()),
                memory: Some("1024".to_owned()),
                // The table goes before the file, and a secret before both.
                environment: texts(&[("LEVEL", "debug"), ("REGION", "here"), ("WHERE", "local")]),
                secrets: texts(&[
                    ("DATABASE_URL", "/jobs/local/db-url"),
                    ("TOKEN_TTL", "arn:aws:ssm:eu-central-1:222222222222:parameter/ttl"),
                ]),
            },
            before: None,
            rollout: Rollout {
                no_progress: Duration::from_secs(90),
                total: Duration::from_mins(90),
                done_when: DoneWhen::Steady,
                on_failure: OnFailure::Leave,
                on_interrupt: OnInterrupt::Rollback,
                percentages: Percentages { minimum_healthy: Some(50), maximum: Some(150) },
            },
            sandbox: SandboxService {
                desired_count: 3,
                container_port: 80,
                listener_port: Some(8000),
                health_check_path: "/up".to_owned(),
                health_check_interval: Duration::from_secs(10),
                deregistration_delay: Duration::ZERO,
                stop_timeout: Duration::from_mins(2),
                cpu: "1024".to_owned(),
                memory: "2048".to_owned(),
                environment: texts(&[("A", "top"), ("B", "jobs-web"), ("C", "here"), ("PORT", "80")]),
                shape: crate::config::spec::Shape::default(),
            },
        }
    );
}

/// Each row switches one more source off, from the strongest to the weakest.
#[test]
fn precedence() {
    let text = format!(
        "{SMALLEST}container = \"table\"\n\
         [environments.a]\nregion = \"eu-table-1\"\nprofile = \"table\"\nservices.api.container = \"environment\"\n\
         [environments.bare]\n[environments.flag]\n[environments.ours]\n"
    );
    let with_default = text.replacen("format = 1\n", "format = 1\ndefault_environment = \"a\"\n", 1);
    let all = [
        ("ECS_SHIP_ENVIRONMENT", "ours"),
        ("ECS_SHIP_REGION", "eu-ours-1"),
        ("ECS_SHIP_PROFILE", "ours"),
        ("AWS_REGION", "eu-aws-1"),
        ("AWS_DEFAULT_REGION", "eu-default-1"),
        ("AWS_PROFILE", "aws"),
    ];
    let flags = |environment: Option<&str>| Typed {
        environment: environment.map(ToOwned::to_owned),
        region: Some("eu-flag-1".to_owned()),
        profile: Some("flag".to_owned()),
        services: Vec::new(),
        done_when: None,
        images: Images::AsWritten,
    };
    let only = |environment: &str| Typed { environment: Some(environment.to_owned()), ..Typed::default() };
    #[rustfmt::skip]
    let rows = [
        // typed, variables → environment, region, profile, container
        (flags(Some("flag")), &all[..],    "flag", Some("eu-flag-1"),    Some("flag"),  "table"),
        (flags(None),         &all[..],   "ours", Some("eu-flag-1"),    Some("flag"),  "table"),
        (Typed::default(),    &all[..],   "ours", Some("eu-ours-1"),    Some("ours"),  "table"),
        (only("a"),           &all[..],   "a",    Some("eu-ours-1"),    Some("ours"),  "environment"),
        (Typed::default(),    &all[3..],  "a",    Some("eu-table-1"),   Some("table"), "environment"),
        (only("bare"),        &all[3..],  "bare", Some("eu-aws-1"),     Some("aws"),   "table"),
        (only("bare"),        &all[4..5], "bare", Some("eu-default-1"), None,       "table"),
        (only("bare"),        &all[..0],  "bare", None,                 None,          "table"),
    ];
    for (typed, variables, name, region, profile, container) in rows {
        let spec = meant(&with_default, &typed, &facts(variables)).spec;
        let environment = &spec.environment;
        let service = &spec.services[&Key::new("api")];
        assert_eq!(
            (
                environment.name.as_deref(),
                environment.region.as_deref(),
                environment.profile.as_deref(),
                service.container.as_deref()
            ),
            (Some(name), region, profile, Some(container)),
            "{typed:?} {variables:?}"
        );
    }
    // Without a default: the only one, or a question.
    assert_eq!(mistakes(&text, &Typed::default(), &facts(&[])), ["config::choose_environment"]);
    let single = format!("{SMALLEST}[environments.a]\n");
    assert_eq!(meant(&single, &Typed::default(), &facts(&[])).spec.environment.name.as_deref(), Some("a"));
}

#[test]
fn the_default_tag_names_the_build() {
    let tag = |git: Result<GitFacts, NoGit>| {
        let spec = meant(SMALLEST, &Typed::default(), &Facts { git, ..facts(&[]) }).spec;
        spec.images[&Key::new("api")].tag.to_string()
    };
    let clean = facts(&[]).git.expect("git facts");
    assert_eq!(tag(Ok(clean.clone())), "0123456789ab");
    assert_eq!(tag(Ok(GitFacts { work_tree: WorkTree::Dirty, ..clean })), "0123456789ab-dirty-20261123T194039Z");
    assert_eq!(tag(Err(NoGit::NotARepository)), "ship-20261123T194039Z");
}

#[test]
fn services_are_selected_by_key() {
    let text = format!(
        "{SMALLEST}[images.worker]\nrepository = \"jobs/worker\"\ntags = [\"${{env.NOT_SET}}\"]\n\
         [services.worker]\n[services.cron]\nimage = \"api\"\ncluster = \"jobs\"\n"
    );
    let select =
        |names: &[&str]| Typed { services: names.iter().map(|name| (*name).to_owned()).collect(), ..Typed::default() };
    // What only the worker lacks does not matter to the others.
    let spec = meant(&text, &select(&["api", "cron"]), &facts(&[])).spec;
    assert_eq!(spec.services.keys().map(Key::as_str).collect::<Vec<_>>(), ["api", "cron"]);
    assert_eq!(spec.images.keys().map(Key::as_str).collect::<Vec<_>>(), ["api"]);
    assert_eq!(mistakes(&text, &Typed::default(), &facts(&[])), ["config::unset_variable", "config::missing_key"]);
    assert_eq!(mistakes(&text, &select(&["nobody"]), &facts(&[])), ["config::unknown_service"]);
}

#[test]
fn a_short_total_shortens_the_wait_for_progress() {
    let text = format!("{SMALLEST}rollout.timeouts.total = \"2m\"\n");
    let spec = meant(&text, &Typed::default(), &facts(&[])).spec;
    let two_minutes = Duration::from_mins(2);
    assert_eq!(
        spec.services[&Key::new("api")].rollout,
        Rollout { no_progress: two_minutes, total: two_minutes, ..Rollout::default() }
    );
}

#[test]
fn the_example_is_understood() {
    let text = include_str!("../../../examples/hello/ship.toml");
    let spec = meant(text, &Typed::default(), &facts(&[("HELLO_VERSION", "3"), ("HELLO_CRASH", "1")])).spec;
    assert_eq!(spec.environment.place, spec::Place::Sandbox);
    let image = &spec.images[&Key::new("hello")];
    assert_eq!(image.tag.as_str(), "v3-0123456789ab");
    assert_eq!(image.args["VERSION"], "3");
    assert_eq!(image.args["CRASH_AT_START"], "1");
    let spec = meant(text, &Typed::default(), &facts(&[])).spec;
    assert_eq!(spec.images[&Key::new("hello")].args["CRASH_AT_START"], "");
}

#[test]
fn regions_are_known_by_their_form() {
    for region in ["eu-west-1", "us-gov-west-1", "eusc-de-east-1", "ap-southeast-7"] {
        assert!(is_region(region), "{region}");
    }
    for (written, meant) in [("eu-west-1a", "eu-west-1"), ("EU-West-1", "eu-west-1"), ("ireland", "eu-west-1")] {
        assert!(!is_region(written), "{written}");
        assert_eq!(guess_region(written), meant);
    }
}

proptest! {
    #[test]
    fn no_value_breaks_the_resolving(value in "\\PC{0,20}|[a-z0-9:/@._${}-]{0,30}", key in 0_usize..12) {
        let lines = [
            "[images.api]\nrepository", "[images.api]\nplatform", "[images.api]\ntarget", "[images.api.args]\nA",
            "[services.api]\ncluster", "[services.api]\ntask_definition", "[services.api.rollout.timeouts]\ntotal",
            "[sandbox]\nhealth_check_path", "[sandbox]\ncpu", "[environments.a]\nregion", "[environments.a]\naccount",
            "[services.api]\nimage",
        ];
        let written = toml::Value::String(value).to_string();
        let text = format!("format = 1\n{} = {written}\n", lines[key]);
        if let Err(errors) = resolve(&parse(&text), &Typed::default(), &facts(&[])) {
            for error in &errors.errors {
                if let Place::File(span) = &error.place {
                    prop_assert!(text.get(span.clone()).is_some());
                }
            }
            let look = error::Look { colour: false, unicode: false, width: 80 };
            prop_assert!(!errors.render(look).is_empty());
        }
    }
}

const PROMOTED: &str = r#"format = 1
[images.api]
repository = "jobs/api"
tags = ["${env.BUILD_NUMBER}"]
args = { NUMBER = "${env.BUILD_NUMBER}" }
[services.api]
cluster = "jobs-staging"
environment = { LEVEL = "${env.LEVEL}" }
[environments.staging]
region = "eu-west-1"
profile = "staging"
account = "111111111111"
services.api.service = "api-staging"
services.api.container = "app"
[environments.production]
region = "eu-central-1"
promote_from = "staging"
services.api.cluster = "jobs"
services.api.environment.LEVEL = "warn"
images.api.repository = "production/api"
images.api.create_repository = true
"#;

/// Nothing of a build is looked at, nor what is laid over the service there; and no flag steers that environment.
#[test]
fn what_is_promoted_is_not_built() {
    let typed = Typed {
        environment: Some("production".to_owned()),
        region: Some("us-east-1".to_owned()),
        profile: Some("mine".to_owned()),
        ..Typed::default()
    };
    let variables = [("AWS_PROFILE", "other"), ("ECS_SHIP_REGION", "us-west-2")];
    let spec = meant(PROMOTED, &typed, &facts(&variables)).spec;
    let key = Key::new("api");
    assert_eq!(spec.images, BTreeMap::new());
    assert_eq!(spec.environment.region.as_deref(), Some("us-east-1"));
    assert_eq!(spec.services[&key].cluster, Cluster::new("jobs"));
    let promotion = spec.promotion.expect("it promotes");
    assert_eq!(promotion.from, "staging");
    assert_eq!(
        promotion.environment,
        Environment {
            name: Some("staging".to_owned()),
            place: spec::Place::Aws,
            region: Some("eu-west-1".to_owned()),
            profile: Some("staging".to_owned()),
            role_arn: None,
            account: Some("111111111111".to_owned()),
            confirm: Confirm::Never,
        }
    );
    let source = PromotionSource {
        cluster: Cluster::new("jobs-staging"),
        service: ServiceName::new("api-staging"),
        container: Some("app".to_owned()),
    };
    assert_eq!(promotion.sources, BTreeMap::from([(key.clone(), source)]));
    let destination =
        Destination { repository: "production/api".to_owned(), missing_repository: MissingRepository::Create };
    assert_eq!(promotion.destinations, BTreeMap::from([(key, destination)]));
}

/// A rehearsal builds, whatever the environment says, and then all of the build must be right.
#[test]
fn what_is_rehearsed_is_built() {
    let typed = Typed { environment: Some("production".to_owned()), images: Images::Built, ..Typed::default() };
    assert_eq!(mistakes(PROMOTED, &typed, &facts(&[])), ["config::unset_variable"; 2]);
    let spec = meant(PROMOTED, &typed, &facts(&[("BUILD_NUMBER", "7")])).spec;
    assert_eq!(spec.promotion, None);
    assert_eq!(spec.images[&Key::new("api")].tag.as_str(), "7");
}
