//! Base images from the ECR of another account: whose credentials log in there.

use std::{fs, os::unix::fs::PermissionsExt as _};

use crate::{
    environment::Output,
    paper::Paper,
    stand_in::{StandIn, xml_error},
    verbs::ship,
};

/// A shop whose image is built upon one of another account, which lies on this machine already: no registry of that name
/// can be reached from here, and a build takes what is there.
struct Shop {
    paper: Paper,
    /// AWS as that account sees it.
    other: StandIn,
    base: String,
}

const OTHER: &str = "222222222222.dkr.ecr.eu-west-1.amazonaws.com";

impl Shop {
    fn new(name: &str) -> Self {
        let mut paper = Paper::up("100");
        paper.cluster();
        paper.repository();
        paper.service();
        paper.steady();
        let other = StandIn::start();
        let base = format!("{OTHER}/{name}:{}", std::process::id());
        let own = format!("http://{}", paper.authority());
        let environment = &mut paper.environment;
        // By the files alone: what a variable says would be said for both.
        for variable in ["AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
            environment.unset(variable);
        }
        environment.set("ECS_SHIP_CREDENTIAL_STORE", "file").set("AWS_EC2_METADATA_DISABLED", "true");
        let files = [
            ("config", format!("[default]\nendpoint_url = {own}\n[profile base]\nendpoint_url = {}\n", other.url)),
            (
                "credentials",
                "[default]\naws_access_key_id = sandbox\naws_secret_access_key = sandbox\n\
                 [base]\naws_access_key_id = AKIABASE000000000000\naws_secret_access_key = x\n"
                    .to_owned(),
            ),
        ];
        let folder = environment.home().join(".aws");
        fs::create_dir_all(&folder).expect("a folder");
        for (name, text) in files {
            fs::write(folder.join(name), text).expect("a file");
            fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o600)).expect("it is ours");
        }
        environment.write("base/Dockerfile", "FROM scratch\nCOPY file /file\n");
        environment.write("base/file", name);
        let _ = environment.run("docker", ["build", "--quiet", "--tag", &base, "base"]).success();
        environment.write("app/Dockerfile", &format!("FROM {base}\nCOPY file /other\n"));
        environment.write("app/file", name);
        Self { paper, other, base }
    }

    fn write(&self, environments: &str) {
        let own = "[environments.sandbox]\nsandbox = true\n[environments.production]\nregion = \"us-east-1\"\n";
        self.paper.environment.write(
            "ship.toml",
            &format!("format = 1\n[images.web]\nrepository = \"shop/web\"\ncontext = \"app\"\ntags = [\"v-{}\"]\n[services.web]\ncluster = \"shop\"\n{own}{environments}", self.other.asked().len()),
        );
    }

    fn deploy(&self, environments: &str) -> Output {
        self.write(environments);
        ship(&self.paper, &["deploy", "--yes", "--environment", "production"])
    }

    fn settings(&self, text: &str) {
        let folder = self.paper.environment.home().join(".config/docker-ecs-ship");
        fs::create_dir_all(&folder).expect("a folder");
        fs::write(folder.join("settings.toml"), text).expect("a file");
    }

    /// Who asked that account for tokens, and for which region.
    fn asked(&self) -> Vec<(String, String)> {
        let tokens = self.other.asked().into_iter().filter(|asked| asked.operation == "GetAuthorizationToken");
        tokens.map(|asked| (asked.access_key, asked.region)).collect()
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.paper.remove_images();
        let _ = self.paper.environment.run("docker", ["rmi", "-f", &self.base]);
    }
}

fn by(key: &str) -> Vec<(String, String)> {
    vec![(key.to_owned(), "eu-west-1".to_owned())]
}

#[test]
fn the_registry_of_a_base_image_is_logged_in_to_as_the_settings_say() {
    let shop = Shop::new("by-settings");
    shop.settings("[registries.222222222222]\nprofile = \"base\"\n");
    let _ = shop.deploy("").success();
    assert_eq!(shop.asked(), by("AKIABASE000000000000"));
    // Once for all that come after.
    let _ = shop.deploy("").success();
    assert_eq!(shop.asked().len(), 1);
    // What was named is a mistake when it does not work.
    let denied = "User: arn:aws:iam::222222222222:user/base is not authorized to perform: sts:AssumeRole on resource: \
                  arn:aws:iam::222222222222:role/pull";
    shop.other.answer("AssumeRole", xml_error("AccessDenied", denied));
    shop.settings(
        "[registries.222222222222]\nprofile = \"base\"\nrole_arn = \"arn:aws:iam::222222222222:role/pull\"\n",
    );
    let refused = shop.deploy("");
    assert_eq!(refused.code, Some(10), "{refused}");
    assert!(refused.stderr.contains("allow sts:AssumeRole on arn:aws:iam::222222222222:role/pull"), "{refused}");
}

#[test]
fn the_registry_of_a_base_image_is_logged_in_to_as_an_environment_for_its_account_says() {
    let shop = Shop::new("by-environment");
    let shared = "[environments.shared]\naccount = \"222222222222\"\nprofile = \"base\"\n";
    let _ = shop.deploy(shared).success();
    assert_eq!(shop.asked(), by("AKIABASE000000000000"));
    // Whose credentials are not to be had here, as in the pipeline of another environment: the repository's policy decides.
    let elsewhere = shared.replace("profile", "role_arn = \"arn:aws:iam::222222222222:role/ci\"\nprofile");
    shop.other.answer("AssumeRole", xml_error("AccessDenied", "not authorized"));
    let _ = shop.deploy(&elsewhere).success();
    assert_eq!(shop.asked().len(), 1);
    // An environment for another account has nothing to say.
    let _ = shop.deploy("[environments.shared]\naccount = \"333333333333\"\nprofile = \"base\"\n").success();
    assert_eq!(shop.asked().len(), 1);
}

#[test]
fn a_build_for_the_sandbox_logs_in_to_ecr_too() {
    let shop = Shop::new("for-the-sandbox");
    shop.settings("[registries.222222222222]\nprofile = \"base\"\n");
    shop.write("");
    let _ = ship(&shop.paper, &["deploy", "--yes", "--environment", "sandbox"]).success();
    assert_eq!(shop.asked(), by("AKIABASE000000000000"));
    // Without anybody who could: the image may be on this machine, as it is here.
    shop.settings("[registries.222222222222]\nprofile = \"nobody\"\n");
    fs::remove_file(shop.paper.environment.home().join(".aws/credentials")).expect("it was there");
    shop.paper.environment.write("app/file", "another");
    let _ = ship(&shop.paper, &["deploy", "--yes", "--environment", "sandbox"]).success();
    assert_eq!(shop.asked().len(), 1);
}

/// What the registry answers to a push that the repository's own policy denies.
#[test]
fn what_a_repositorys_policy_denies_is_told_with_what_to_do() {
    let paper = Paper::up("100");
    paper.cluster();
    paper.repository();
    paper.service();
    paper.steady();
    paper.environment.write("ship.toml", "format = 1\n[images.web]\nrepository = \"shop/web\"\ncontext = \"app\"\ntags = [\"v1\"]\n[services.web]\ncluster = \"shop\"\n[environments.production]\nregion = \"us-east-1\"\n");
    paper.environment.write("app/Dockerfile", "FROM scratch\nCOPY file /file\n");
    paper.environment.write("app/file", "denied");
    paper.deny("ecr:InitiateLayerUpload");
    let denied = ship(&paper, &["deploy", "--yes", "--environment", "production", "--progress", "quiet"]);
    paper.remove_images();
    assert_eq!(denied.code, Some(11), "{denied}");
    for part in [
        "ecr:InitiateLayerUpload",
        "with an explicit deny in a resource-based policy",
        "see `aws ecr get-repository-policy` for the repository's own",
    ] {
        assert!(denied.stderr.contains(part), "{part}: {denied}");
    }
}
