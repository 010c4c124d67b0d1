//! The first `ship.toml` of a repo: short, with a comment where a person would ask, and nothing in it that is a
//! default anyway.

use std::{fmt::Write as _, path::PathBuf};

/// What the file says.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// The name of the service's and the image's table.
    pub key: String,
    /// How the user spells us.
    pub program: String,
    pub image: ImageDraft,
    pub service: ServiceDraft,
    pub place: PlaceDraft,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageDraft {
    pub repository: String,
    pub is_new: RepositoryDraft,
    /// Relative to the file; empty for the file's own folder.
    pub context: PathBuf,
    /// Relative to the file; `None` where it is `Dockerfile` in the context.
    pub dockerfile: Option<PathBuf>,
    pub stages: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RepositoryDraft {
    /// What runs was pulled from there.
    Known,
    /// It may not exist yet.
    New,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ServiceDraft {
    pub cluster: String,
    /// Where it is not the table's name.
    pub service: Option<String>,
    /// The container that gets the image, where it is not the only essential one; with all there are.
    pub container: Option<(String, Vec<String>)>,
    pub task_definition: Option<PathBuf>,
    /// Keys of the sandbox's table, with why they are there.
    pub sandbox: Vec<(&'static str, toml::Value, &'static str)>,
    /// Whether it runs already.
    pub runs: Runs,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runs {
    Already,
    NotYet,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlaceDraft {
    Aws { environment: String, region: String, account: String, profile: Option<String> },
    Sandbox { environment: String },
}

/// Where comments behind a line begin.
const COMMENT: usize = 44;

impl Draft {
    /// The text of the file.
    #[must_use]
    pub fn to_toml(&self) -> String {
        let Self { key, program, image, service, place } = self;
        let mut page = Page(String::new());
        let name = service.service.as_ref().unwrap_or(key);
        page.bare(&match service.runs {
            Runs::Already => format!("# Made by `{program} init` from service {name} of cluster {}.", service.cluster),
            Runs::NotYet => format!("# Made by `{program} init`."),
        });
        page.bare("# Every key is in docs/reference/ship-toml.md of docker-ecs-ship.");
        page.set("format", &1.into(), "");

        page.bare(&format!("\n[images.{}]", quoted(key)));
        page.set("repository", &image.repository.as_str().into(), "in ECR; account and region are the environment's");
        if image.is_new == RepositoryDraft::New {
            page.set("create_repository", &true.into(), "where it does not exist yet");
        }
        if !image.context.as_os_str().is_empty() {
            page.set("context", &path(&image.context), "");
        }
        if let Some(dockerfile) = &image.dockerfile {
            page.set("dockerfile", &path(dockerfile), "");
        }
        if let [.., last] = &image.stages[..] {
            let stages = image.stages.join(", ");
            page.proposal("target", &last.as_str().into(), &format!("stages: {stages}; the last one is built"));
        }

        page.bare(&format!("\n[services.{}]", quoted(key)));
        page.set("cluster", &service.cluster.as_str().into(), "");
        if let Some(service) = &service.service {
            page.set("service", &service.as_str().into(), "");
        }
        if let Some((container, all)) = &service.container {
            page.set("container", &container.as_str().into(), &format!("gets the image; there are {}", all.join(", ")));
        }
        match (&service.task_definition, service.runs) {
            (Some(file), _) => page.set("task_definition", &path(file), "registered as it is, with the new image"),
            (None, Runs::Already) => {
                page.proposal("task_definition", &"live".into(), "what runs is cloned; or a path to its JSON");
            }
            (None, Runs::NotYet) => {}
        }
        if !service.sandbox.is_empty() {
            page.with_comment(&format!("\n[services.{}.sandbox]", quoted(key)), "how the sandbox makes it");
            for (name, value, why) in &service.sandbox {
                page.set(name, value, why);
            }
        }
        page.place(place);
        page.0
    }
}

struct Page(String);

impl Page {
    fn bare(&mut self, line: &str) {
        writeln!(self.0, "{line}").expect("writing to a string cannot fail");
    }

    fn with_comment(&mut self, line: &str, comment: &str) {
        if comment.is_empty() {
            return self.bare(line);
        }
        let width = COMMENT + line.len() - line.trim_start_matches('\n').len();
        self.bare(&format!("{line:<width$}# {comment}"));
    }

    fn set(&mut self, key: &str, value: &toml::Value, comment: &str) {
        self.with_comment(&format!("{key} = {value}"), comment);
    }

    /// A key that is commented out: its default, to be changed.
    fn proposal(&mut self, key: &str, value: &toml::Value, comment: &str) {
        self.with_comment(&format!("# {key} = {value}"), comment);
    }

    fn place(&mut self, place: &PlaceDraft) {
        match place {
            PlaceDraft::Aws { environment, region, account, profile } => {
                self.bare(&format!("\n[environments.{}]", quoted(environment)));
                self.set("region", &region.as_str().into(), "");
                self.set("account", &account.as_str().into(), "credentials of another account are refused");
                if let Some(profile) = profile {
                    self.set("profile", &profile.as_str().into(), "");
                }
                self.proposal("confirm", &true.into(), "show the plan and ask before acting");
                self.with_comment("\n# [environments.sandbox]", "a rehearsal on this machine, without an account");
                self.bare("# sandbox = true");
            }
            PlaceDraft::Sandbox { environment } => {
                self.with_comment(
                    &format!("\n[environments.{}]", quoted(environment)),
                    "stands in for AWS on this machine; needs no account",
                );
                self.set("sandbox", &true.into(), "");
                self.with_comment("\n# [environments.production]", "a service that runs on AWS already");
                self.bare("# region = \"eu-west-1\"");
            }
        }
    }
}

/// A path with `/` on every system, as the file is shared.
fn path(path: &std::path::Path) -> toml::Value {
    path.to_string_lossy().replace('\\', "/").into()
}

/// A key as TOML takes it: bare where it can be.
fn quoted(key: &str) -> String {
    let is_bare = !key.is_empty() && key.chars().all(|letter| letter.is_ascii_alphanumeric() || "-_".contains(letter));
    if is_bare { key.to_owned() } else { toml::Value::from(key).to_string() }
}

#[cfg(test)]
mod tests {
    use super::{Draft, ImageDraft, PlaceDraft, RepositoryDraft, Runs, ServiceDraft};

    fn draft() -> Draft {
        Draft {
            key: "jobs-api".to_owned(),
            program: "docker ecs-ship".to_owned(),
            image: ImageDraft {
                repository: "jobs/api".to_owned(),
                is_new: RepositoryDraft::Known,
                context: "".into(),
                dockerfile: None,
                stages: Vec::new(),
            },
            service: ServiceDraft {
                cluster: "jobs".to_owned(),
                service: None,
                container: None,
                task_definition: None,
                sandbox: Vec::new(),
                runs: Runs::Already,
            },
            place: PlaceDraft::Aws {
                environment: "production".to_owned(),
                region: "eu-west-1".to_owned(),
                account: "111111111111".to_owned(),
                profile: None,
            },
        }
    }

    #[test]
    fn of_a_service_that_runs() {
        insta::assert_snapshot!(draft().to_toml(), @r#"
        # Made by `docker ecs-ship init` from service jobs-api of cluster jobs.
        # Every key is in docs/reference/ship-toml.md of docker-ecs-ship.
        format = 1

        [images.jobs-api]
        repository = "jobs/api"                     # in ECR; account and region are the environment's

        [services.jobs-api]
        cluster = "jobs"
        # task_definition = "live"                  # what runs is cloned; or a path to its JSON

        [environments.production]
        region = "eu-west-1"
        account = "111111111111"                    # credentials of another account are refused
        # confirm = true                            # show the plan and ask before acting

        # [environments.sandbox]                    # a rehearsal on this machine, without an account
        # sandbox = true
        "#);
    }

    #[test]
    fn with_all_that_may_have_to_be_said() {
        let mut draft = draft();
        draft.image.dockerfile = Some("src/Api/Dockerfile".into());
        draft.image.context = "src".into();
        draft.image.stages = vec!["build".to_owned(), "runtime".to_owned()];
        draft.service.service = Some("jobs api".to_owned());
        draft.service.container = Some(("api".to_owned(), vec!["api".to_owned(), "proxy".to_owned()]));
        draft.service.task_definition = Some("deploy/task.json".into());
        draft.key = "a.b".to_owned();
        draft.place = PlaceDraft::Aws {
            environment: "staging eu".to_owned(),
            region: "eu-west-1".to_owned(),
            account: "111111111111".to_owned(),
            profile: Some("jobs".to_owned()),
        };
        insta::assert_snapshot!(draft.to_toml(), @r#"
        # Made by `docker ecs-ship init` from service jobs api of cluster jobs.
        # Every key is in docs/reference/ship-toml.md of docker-ecs-ship.
        format = 1

        [images."a.b"]
        repository = "jobs/api"                     # in ECR; account and region are the environment's
        context = "src"
        dockerfile = "src/Api/Dockerfile"
        # target = "runtime"                        # stages: build, runtime; the last one is built

        [services."a.b"]
        cluster = "jobs"
        service = "jobs api"
        container = "api"                           # gets the image; there are api, proxy
        task_definition = "deploy/task.json"        # registered as it is, with the new image

        [environments."staging eu"]
        region = "eu-west-1"
        account = "111111111111"                    # credentials of another account are refused
        profile = "jobs"
        # confirm = true                            # show the plan and ask before acting

        # [environments.sandbox]                    # a rehearsal on this machine, without an account
        # sandbox = true
        "#);
    }

    #[test]
    fn of_a_dockerfile_alone() {
        let mut draft = draft();
        draft.image.is_new = RepositoryDraft::New;
        draft.service.runs = Runs::NotYet;
        draft.service.sandbox = vec![("container_port", 8080.into(), "exposed by the Dockerfile")];
        draft.place = PlaceDraft::Sandbox { environment: "sandbox".to_owned() };
        insta::assert_snapshot!(draft.to_toml(), @r#"
        # Made by `docker ecs-ship init`.
        # Every key is in docs/reference/ship-toml.md of docker-ecs-ship.
        format = 1

        [images.jobs-api]
        repository = "jobs/api"                     # in ECR; account and region are the environment's
        create_repository = true                    # where it does not exist yet

        [services.jobs-api]
        cluster = "jobs"

        [services.jobs-api.sandbox]                 # how the sandbox makes it
        container_port = 8080                       # exposed by the Dockerfile

        [environments.sandbox]                      # stands in for AWS on this machine; needs no account
        sandbox = true

        # [environments.production]                 # a service that runs on AWS already
        # region = "eu-west-1"
        "#);
    }
}
