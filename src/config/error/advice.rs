//! What to do about each mistake, or to write instead: the words under its place, and the help.

use std::io;

use super::{
    BadCacheTo, BadRepository, CacheLess, Doubt, Found, Home, Mistake, Seen, Unset, in_table, list, nearest, singular,
};
use crate::{config::read::TEXT_WITH_VARIABLE, image::ReferenceError};

/// The label of a name without a neighbour.
pub(super) const NOT_KNOWN: &str = "not known";

/// The smallest file that ships a service which runs already.
const SMALLEST: &str = "  format = 1

  [images.api]
  repository = \"jobs/api\"

  [services.api]
  cluster = \"jobs\"

  [environments.production]
  region = \"eu-west-1\"";

impl Mistake {
    /// The few words drawn under the place.
    #[must_use]
    pub fn label(&self) -> Option<String> {
        Some(match self {
            Self::UnknownKey { nearest: None, .. } => "not known here".to_owned(),
            Self::UnknownKey { nearest: Some(nearest), .. }
            | Self::UnknownImage { nearest: Some(nearest), .. }
            | Self::OverrideOfUnknown { nearest: Some(nearest), .. }
            | Self::UnknownEnvironment { nearest: Some(nearest), .. }
            | Self::UnknownService { nearest: Some(nearest), .. }
            | Self::UnknownVariable { nearest: Some(nearest), .. } => format!("did you mean `{nearest}`?"),
            Self::BadBuilder { nearest: Some(nearest), .. } | Self::BadOnFailure { nearest: Some(nearest), .. } => {
                format!("did you mean `{nearest}`?")
            }
            Self::BadWord { written, words, .. } => match word_meant(written, words) {
                Some(nearest) => format!("did you mean `{nearest}`?"),
                None => NOT_KNOWN.to_owned(),
            },
            Self::UnknownImage { .. }
            | Self::OverrideOfUnknown { .. }
            | Self::UnknownEnvironment { .. }
            | Self::UnknownService { .. }
            | Self::UnknownVariable { .. }
            | Self::BadBuilder { .. }
            | Self::BadOnFailure { .. } => NOT_KNOWN.to_owned(),
            Self::WrongType { expected, .. } => format!("expected {expected}"),
            Self::Missing { key, .. } => format!("`{key}` belongs into this table"),
            Self::NoImage { .. } => "which image?".to_owned(),
            Self::Unset { why: Unset::Environment, .. } => "not in the environment".to_owned(),
            Self::Unset { why: Unset::NoGit(reason), .. } => reason.to_string(),
            Self::Unset { why: Unset::DetachedHead, .. } => "HEAD is on no branch".to_owned(),
            Self::Unset { why: Unset::NoTag, .. } => "no tag points at this commit".to_owned(),
            Self::Unset { why: Unset::NoEnvironment, .. } => "the file has no environments".to_owned(),
            Self::Unset { why: Unset::NotInEnvironment, .. } => "the environment does not say it".to_owned(),
            Self::Unset { why: Unset::NotInTable { table }, .. } => format!("not written in [{table}]"),
            Self::SecretSource { found: Found::None, .. } => "from where?".to_owned(),
            Self::CheckWork { found: Found::None } => "what is to be done?".to_owned(),
            Self::NoFile { .. }
            | Self::FileMissing { .. }
            | Self::NotText { .. }
            | Self::Utf16
            | Self::NamedText { .. }
            | Self::ControlInPath { .. }
            | Self::ExtendsUnread { .. }
            | Self::ExtendsNotText { .. }
            | Self::ExtendsCircle { .. }
            | Self::PromoteFromItself { .. }
            | Self::PromoteCircle { .. }
            | Self::PromoteFromSandbox { .. }
            | Self::BadRole { .. }
            | Self::RoleOfOtherAccount { .. }
            | Self::SecretSource { .. }
            | Self::BadSsh { .. }
            | Self::SshTwice { .. }
            | Self::SecretVariable { .. }
            | Self::CommandInOneWord { .. }
            | Self::BadCacheFrom { .. }
            | Self::BadCacheTo { .. }
            | Self::CacheToOfBuilder { .. }
            | Self::CheckWork { .. }
            | Self::BadVariableName { .. }
            | Self::BadValueFrom { .. }
            | Self::PlainAndSecret { .. }
            | Self::EnvironmentFileUnread { .. }
            | Self::EnvironmentFileNotText { .. }
            | Self::EnvironmentFileLine { .. }
            | Self::NoFormat
            | Self::NoServices
            | Self::ChooseEnvironment { .. }
            | Self::Syntax { .. }
            | Self::NewerFormat { .. }
            | Self::UnknownFormat { .. }
            | Self::Nameless { .. }
            | Self::BadName { .. }
            | Self::BrokenVariable { .. }
            | Self::Circle { .. }
            | Self::Empty { .. }
            | Self::BadRepository { .. }
            | Self::BadPlatform { .. }
            | Self::BadAccount { .. }
            | Self::BadRegion { .. }
            | Self::BadEcsName { .. }
            | Self::BadContainer { .. }
            | Self::BadTaskDefinition { .. }
            | Self::BadTag { .. }
            | Self::BadDuration { .. }
            | Self::OutOfRange { .. }
            | Self::CrossedTimeouts { .. }
            | Self::BadHealthCheckPath { .. }
            | Self::BadSetting(_)
            | Self::BadAmount { .. } => return None,
        })
    }

    /// What to do, or to write instead.
    #[must_use]
    #[expect(clippy::too_many_lines, reason = "one sentence for each mistake, side by side")]
    pub fn help(&self) -> Option<String> {
        Some(match self {
            Self::BadSetting(choice) => choice.help(),
            Self::NoFile { looked } => {
                let mut help = "looked in this folder and in those above it:".to_owned();
                for path in looked {
                    help.push_str("\n  ");
                    help.push_str(&path.display().to_string());
                }
                help.push_str("\nname another one with --file, or write the smallest one:\n");
                help.push_str(SMALLEST);
                help
            }
            Self::FileMissing { .. } => "--file (or ECS_SHIP_FILE) names the file itself, not its folder".to_owned(),
            Self::NotText { .. } | Self::ExtendsNotText { .. } | Self::EnvironmentFileNotText { .. } => {
                "save the file as UTF-8".to_owned()
            }
            Self::Utf16 => "save the file as UTF-8; Windows PowerShell writes UTF-16 where `>` makes a file".to_owned(),
            Self::NamedText { section, key, write, .. } => {
                format!("write `{write}`, or `[{section}.{key}]` with its keys in lines of their own")
            }
            Self::ControlInPath { path, .. } => format!(
                "a backslash begins an escape in double quotes: write `\"{}\"`",
                path.replace('\n', "/n").replace('\t', "/t").replace('\r', "/r").replace('\\', "/")
            ),
            Self::ExtendsUnread { path, why: io::ErrorKind::NotFound } if path.contains("://") => {
                "only files are read: keep a copy in the repository".to_owned()
            }
            Self::ExtendsUnread { path, why: io::ErrorKind::NotFound }
            | Self::EnvironmentFileUnread { path, why: io::ErrorKind::NotFound }
                if path.starts_with('~') =>
            {
                "`~` is not the home folder here; the path is relative to the file it is written in".to_owned()
            }
            Self::ExtendsUnread { why: io::ErrorKind::NotFound, .. }
            | Self::EnvironmentFileUnread { why: io::ErrorKind::NotFound, .. } => {
                "the path is relative to the file it is written in".to_owned()
            }
            Self::ExtendsUnread { why: io::ErrorKind::IsADirectory, .. }
            | Self::EnvironmentFileUnread { why: io::ErrorKind::IsADirectory, .. } => {
                "name the file in it that is meant".to_owned()
            }
            Self::ExtendsUnread { .. } | Self::EnvironmentFileUnread { .. } => {
                "it must be a file that you may read".to_owned()
            }
            Self::ExtendsCircle { .. } => "take one of the `extends` out".to_owned(),
            Self::PromoteFromItself { .. } => {
                "name the environment whose images are to come here, as in `promote_from = \"staging\"`; without \
                 `promote_from` the images are built"
                    .to_owned()
            }
            Self::PromoteCircle { .. } => {
                "take one `promote_from` out: the images must be built somewhere".to_owned()
            }
            Self::PromoteFromSandbox { .. } => {
                "what ran on this machine alone has proven nothing about AWS: name an environment of AWS, or take \
                 `promote_from` out"
                    .to_owned()
            }
            Self::BadRole { written, .. } if written.contains(":user/") => {
                "that is a user, and nobody can act as one: write the ARN of a role, as in \
                 `role_arn = \"arn:aws:iam::111111111111:role/ship\"`"
                    .to_owned()
            }
            Self::BadRole { write, .. } => format!("write `role_arn = \"{write}\"`"),
            Self::RoleOfOtherAccount { .. } => {
                "one of the two is wrong: who acts as a role acts in its account".to_owned()
            }
            Self::SecretSource { name, .. } => format!(
                "write `{name} = {{ env = \"…\" }}` for a variable of the environment, or `{name} = {{ file = \"…\" }}`"
            ),
            Self::BadSsh { .. } => {
                "write `\"default\"` for the agent of SSH_AUTH_SOCK, or `\"id=path\"` with the socket of another agent"
                    .to_owned()
            }
            Self::SshTwice { id } => {
                format!("one mount has one agent: take one of them out, or give it another id than `{id}`")
            }
            Self::SecretVariable { name, write: Some(write) } => format!(
                "write `{name} = {{ env = \"{write}\" }}`: the value is read when the image is built, and stands nowhere \
                 before"
            ),
            Self::SecretVariable { name, write: None } => format!(
                "write the name alone, as in `{name} = {{ env = \"NUGET_TOKEN\" }}`: letters, digits and `_`, and no digit \
                 in front"
            ),
            Self::CommandInOneWord { key, write } if write.starts_with("[\"sh\", ") => {
                format!("`&&`, pipes and the like are a shell's, so write `{key} = {write}` if the image has one")
            }
            Self::CommandInOneWord { key, write } => format!(
                "write `{key} = {write}`; for pipes, variables and `&&` a shell of the image: `{key} = [\"sh\", \"-c\", \
                 \"…\"]`"
            ),
            Self::BadCacheFrom { written, .. } if written.contains("type=") => {
                let image = written.split(',').find_map(|field| field.trim().strip_prefix("ref="));
                format!("write the image alone: `\"{}\"`", image.unwrap_or("${repository}:cache"))
            }
            Self::BadCacheFrom { problem, .. } => {
                format!("{problem}; write an image and its tag, such as `\"${{repository}}:cache\"`")
            }
            Self::BadCacheTo { why, .. } => cache_to_help(why),
            Self::CacheToOfBuilder { builder: CacheLess::Engine } => {
                "take `builder` out, or write `builder = \"buildx\"`, to have buildx write it; or put the cache into the image \
                 with `cache_to = [\"type=inline\"]`"
                    .to_owned()
            }
            Self::CacheToOfBuilder { builder: CacheLess::Classic } => {
                "take `cache_to` out, or `builder`: BuildKit and buildx write caches".to_owned()
            }
            Self::CheckWork { .. } => {
                "write `target = \"test\"` to build a stage, or `run = [\"/app/selftest\"]` to run a \
                                       command in the built image; a second check is a second `[[…checks]]`"
                    .to_owned()
            }
            Self::BadVariableName { .. } => {
                "a name has letters, digits and `_`, and does not begin with a digit".to_owned()
            }
            Self::BadValueFrom { key, write: None, .. } => format!(
                "write the name of a parameter in SSM, `{key} = \"/jobs/db-url\"`, or the whole ARN of a parameter or of a \
                 secret in Secrets Manager; never the secret itself"
            ),
            Self::PlainAndSecret { name } => format!("ECS takes one of them: take `{name}` out of `environment`"),
            Self::Syntax { write, .. } => return write.clone(),
            Self::NoFormat => "write `format = 1` as the first line: it lets later versions read this file as \
                               it is meant today"
                .to_owned(),
            Self::NewerFormat { .. } => "update docker-ecs-ship; the rest of the file was not looked at".to_owned(),
            Self::UnknownFormat { .. } => "write `format = 1`".to_owned(),
            Self::UnknownKey { belongs: Some(belongs), .. } => belongs.clone(),
            // The label says it.
            Self::UnknownKey { nearest: Some(_), .. } | Self::UnknownVariable { nearest: Some(_), .. } => return None,
            Self::UnknownKey { known, table, .. } => {
                format!("keys {}: {}", in_table(table), known.join(", "))
            }
            Self::Nameless { section, key } if section == "environments" => {
                format!("name the environment: write `[environments.production]` above `{key}`")
            }
            Self::Nameless { section, key } if section.ends_with(".secrets") => {
                format!(
                    "write `{key} = {{ env = \"…\" }}` for a variable of the environment, or `{key} = {{ file = \"…\" }}`"
                )
            }
            Self::Nameless { section, key } => {
                format!("name the {}: write `[{section}.api]` above `{key}`", singular(section))
            }
            Self::BadName { key, .. } if key.contains("${") => {
                "the names of tables are fixed: what differs from place to place stands in `[environments.…]`".to_owned()
            }
            Self::WrongType { found, write, .. } if *found == TEXT_WITH_VARIABLE => format!(
                "write `{write}`: only a text holds variables; what differs from place to place stands in `[environments.…]`"
            ),
            Self::WrongType { write, .. } | Self::BadName { write, .. } | Self::BadRegion { write, .. } => {
                format!("write `{write}`")
            }
            Self::NoServices => format!("the smallest file that ships a service:\n{SMALLEST}"),
            Self::Missing { key, example, .. } => format!("write `{key} = {example}`"),
            Self::NoImage { service, known } => match known.as_slice() {
                [] => format!("write an `[images.{service}]` table with its `repository`"),
                [only] => format!("write `image = \"{only}\"`, or an `[images.{service}]` table"),
                _ => format!("write `image = …` with one of {}, or an `[images.{service}]` table", list(known)),
            },
            Self::UnknownImage { image, known, .. } if image.contains([':', '/', '.']) && !known.is_empty() => format!(
                "what is shipped is built here: write the name of an `[images.…]` table; there is {}",
                list(known)
            ),
            Self::UnknownImage { known, .. } => known_or(known, "images", "write an `[images.…]` table"),
            Self::OverrideOfUnknown { kind, known, .. } => known_or(
                known,
                &format!("{kind}s"),
                &format!("an environment overrides what a `[{kind}s.…]` table says; write that first"),
            ),
            Self::UnknownEnvironment { known, .. } => {
                known_or(known, "environments", "the file has none: write an `[environments.…]` table")
            }
            Self::ChooseEnvironment { .. } => {
                "name it with --environment, ECS_SHIP_ENVIRONMENT, or `default_environment` in the file".to_owned()
            }
            Self::UnknownService { known, .. } => known_or(known, "services", "write a `[services.…]` table"),
            Self::Unset { variable, why } => unset_help(variable, why),
            Self::UnknownVariable { .. } => {
                "variables are git.commit, git.branch, git.tag, build, environment, account, region, env.NAME and the other \
                 keys of the same table"
                    .to_owned()
            }
            Self::BrokenVariable { write, .. }
            | Self::EnvironmentFileLine { write }
            | Self::BadValueFrom { write: Some(write), .. } => write.clone(),
            Self::Circle { .. } => "give one of them a value that does not name the other".to_owned(),
            Self::Empty { key, example } if matches!(key.as_str(), "repository" | "cluster") => {
                format!("write `{key} = {example}`")
            }
            Self::Empty { key, example } => format!("write `{key} = {example}`, or leave the key out"),
            Self::BadRepository { why, .. } => repository_help(why),
            Self::BadPlatform { write, .. } => {
                format!("write `platform = \"{write}\"`, in docker's words")
            }
            Self::BadAccount { written } => {
                let digits: String = written.chars().filter(char::is_ascii_digit).collect();
                let meant = if digits.len() == 12 { digits.as_str() } else { "111111111111" };
                format!("an account id has 12 digits and nothing else: `account = \"{meant}\"`")
            }
            Self::BadEcsName { kind: "cluster", written } if written.contains(":service/") => {
                let mut parts = written.rsplit('/');
                let (service, cluster) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
                let cluster = if cluster.is_empty() || cluster.contains(':') { "jobs" } else { cluster };
                format!("that is the ARN of a service: write `cluster = \"{cluster}\"` and `service = \"{service}\"`")
            }
            Self::BadEcsName { kind: "service", written } if written.starts_with("arn:") => {
                let name = written.rsplit('/').next().unwrap_or_default();
                format!("write the name alone: `service = \"{name}\"`; its cluster is `cluster`")
            }
            Self::BadEcsName { kind, .. } => {
                let arn = if *kind == "cluster" { "; the ARN of the cluster will do too" } else { "" };
                format!("ECS takes up to 255 letters, digits, `-` and `_`{arn}")
            }
            Self::BadContainer { .. } => "ECS takes up to 255 letters, digits, `-` and `_`".to_owned(),
            Self::BadTaskDefinition { .. } => {
                "write \"live\" to clone what the service runs now, or the path of a JSON file such as \
                 \"deploy/api.json\", as `aws ecs register-task-definition --cli-input-json` takes it"
                    .to_owned()
            }
            Self::BadOnFailure { .. } => {
                "write `\"rollback\"` (the default), `\"leave\"`, or `\"wait\"` to let ECS's circuit breaker decide"
                    .to_owned()
            }
            Self::BadWord { key: "done_when", .. } => {
                "write `\"live\"` (the new tasks serve), `\"drained\"` (the old ones are gone as well: the default) or \
                 `\"steady\"` (ECS says so)"
                    .to_owned()
            }
            Self::BadWord { key: "on_interrupt", .. } => {
                "write `\"leave\"` (the rollout goes on: the default) or `\"rollback\"`".to_owned()
            }
            Self::BadWord { key: "release", .. } => {
                "write `\"independent\"` (a failure is one service's own: the default) or `\"all-or-nothing\"` (all are \
                 taken back)"
                    .to_owned()
            }
            Self::BadWord { words, .. } => {
                let words: Vec<_> = words.iter().map(|word| format!("`\"{word}\"`")).collect();
                format!("write {}", words.join(" or "))
            }
            Self::BadBuilder { .. } => {
                "builders: auto (what the build needs), engine (the engine's BuildKit), buildx (what `docker buildx` uses), classic \
                 (what engines had before BuildKit)"
                    .to_owned()
            }
            Self::BadTag { problem: ReferenceError::Tag { tag: written } } if written.contains(':') => {
                let tag = written.rsplit(':').next().unwrap_or_default();
                format!("write the tag alone, `\"{tag}\"`: the repository is `repository`")
            }
            Self::BadTag { problem: ReferenceError::Tag { tag: written } } if !written.contains('/') && !written.is_empty() => {
                let good = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | '-');
                let tag: String =
                    written.chars().map(|letter| if good(letter) { letter } else { '-' }).take(128).collect();
                format!("write `\"{}\"`, or leave `tags` out to get a tag from the commit", tag.trim_start_matches(['.', '-']))
            }
            Self::BadTag { problem } if problem.to_string().contains('/') => {
                "a branch with `/` in its name makes no tag: write \"v1-${build}\", or what your CI makes of the branch, such \
                 as GitLab's ${env.CI_COMMIT_REF_SLUG}"
                    .to_owned()
            }
            Self::BadTag { .. } => {
                "leave `tags` out to get a tag from the commit, or write one such as \"v1-${build}\"".to_owned()
            }
            Self::BadDuration { write, .. } => {
                format!("write `\"{write}\"`: hours, minutes and seconds as in \"1h30m\", \"5m\" or \"90s\"")
            }
            Self::OutOfRange { source_of_limits, .. } => format!("these are the limits of {source_of_limits}"),
            Self::CrossedTimeouts { .. } => {
                "the total ends first, so no_progress could never be reached: make it the shorter one".to_owned()
            }
            Self::BadHealthCheckPath { .. } => "a path starts with `/`: `health_check_path = \"/health\"`".to_owned(),
            Self::BadAmount { key: "cpu", written } => match cores(written) {
                Some(cores) => format!("CPU units or vCPU in quotes: write `cpu = \"{cores} vCPU\"`"),
                None => "CPU units or vCPU in quotes: `cpu = \"256\"` is a quarter of a core, `cpu = \"1 vCPU\"` a whole one"
                    .to_owned(),
            },
            Self::BadAmount { key, written } => {
                let lower = written.trim().to_ascii_lowercase();
                let number = lower.trim_end_matches(|letter: char| letter.is_ascii_alphabetic()).trim_end();
                let unit = lower[number.len()..].trim_start();
                let meant = match (number.parse::<u32>(), unit) {
                    (Ok(number), "m" | "mb" | "mib") => number.to_string(),
                    (Ok(number), "g" | "gib") => format!("{number} GB"),
                    _ => "512".to_owned(),
                };
                format!("MiB or GB in quotes: write `{key} = \"{meant}\"`")
            }
        })
    }
}

impl Doubt {
    #[must_use]
    pub fn help(&self) -> String {
        match self {
            Self::UnusedImage { image } => {
                format!("take the table out, or name it in a service: `image = \"{image}\"`")
            }
            Self::UnusedOverride { .. } => "take the table out: what it says is built for nobody".to_owned(),
            Self::NotBuilt { .. } => {
                "take it out: with `promote_from` the images come as they run there, and only `repository` and \
                 `create_repository` say something about them"
                    .to_owned()
            }
            Self::EmptyOverride { .. } => "take the table out, or write what is different there".to_owned(),
            Self::FixedTag { .. } => {
                "the tag of an older build is lost with each push, and a rollback by tag finds the wrong \
                                      image; write something unique into it, such as \"${build}\""
                    .to_owned()
            }
            Self::DirtyTag { .. } => {
                "commit first, or write \"${build}\", which carries the time as long as there are changes".to_owned()
            }
            Self::LooksSecret { key, seen, home } => {
                let who = match seen {
                    Seen::InTheFile => "everybody who can read the repository can read it",
                    Seen::InTheTask => "everybody who may describe the task definition can read it",
                    Seen::InTheImage => "everybody who can pull the image can read it",
                };
                let instead = match home {
                    Home::Service => {
                        format!("put it into SSM or Secrets Manager and name it: `ssm_secrets = {{ {key} = \"/jobs/…\" }}`")
                    }
                    Home::Build => format!(
                        "give it to the build as a secret, `secrets = {{ {key} = {{ env = \"{key}\" }} }}`, and read it \
                         with `RUN --mount=type=secret,id={key}`"
                    ),
                    Home::Sandbox => format!("take it from the environment of the deploy: `{key} = \"${{env.{key}}}\"`"),
                };
                format!("{who}; {instead}")
            }
            Self::Unset { variable, why } => unset_help(variable, why),
            Self::QuotedValue { .. } => {
                "in such a file everything behind the `=` is taken as it is, by ECS and docker alike; leave the quotes out"
                    .to_owned()
            }
        }
    }
}

/// `0.5`, `500m`, `2 cores`: a number of cores, as other tools write it.
fn cores(written: &str) -> Option<String> {
    let lower = written.trim().to_ascii_lowercase();
    if let Some(thousandths) = lower.strip_suffix('m') {
        let thousandths: u32 = thousandths.trim().parse().ok()?;
        let decimals = format!("{:03}", thousandths % 1000);
        let decimals = decimals.trim_end_matches('0');
        let dot = if decimals.is_empty() { "" } else { "." };
        return Some(format!("{}{dot}{decimals}", thousandths / 1000));
    }
    let number =
        ["cores", "core", "cpus", "cpu"].iter().find_map(|unit| lower.strip_suffix(unit)).unwrap_or(&lower).trim();
    let is_number = !number.is_empty() && number.chars().all(|letter| letter.is_ascii_digit() || letter == '.');
    (is_number && number.matches('.').count() <= 1 && number.contains(|letter: char| matches!(letter, '1'..='9')))
        .then(|| number.to_owned())
}

/// What other tools call these words.
fn word_meant(written: &str, words: &[&'static str]) -> Option<&'static str> {
    let habit = match written {
        "stable" => Some("steady"),
        "atomic" => Some("all-or-nothing"),
        _ => None,
    };
    habit.filter(|word| words.contains(word)).or_else(|| nearest(written, words.iter().copied()))
}

fn unset_help(variable: &str, why: &Unset) -> String {
    let or_default = format!("or write `${{{variable}:-…}}` with what to take instead");
    match why {
        Unset::Environment => {
            let name = variable.strip_prefix("env.").unwrap_or(variable);
            format!("set {name} before you start, {or_default}")
        }
        Unset::NoGit(_) => or_default.replacen("or w", "w", 1),
        Unset::DetachedHead => format!(
            "CI checkouts are often like that, but the CI knows the branch: Jenkins has ${{env.BRANCH_NAME}}, GitLab \
             ${{env.CI_COMMIT_REF_NAME}}, GitHub ${{env.GITHUB_REF_NAME}}; {or_default}"
        ),
        Unset::NoTag => format!("tag the commit, {or_default}"),
        Unset::NoEnvironment => format!("write an `[environments.…]` table, {or_default}"),
        Unset::NotInEnvironment => format!("write `{variable} = …` into the environment's table, {or_default}"),
        Unset::NotInTable { table } => format!("write `{variable} = …` into [{table}], {or_default}"),
    }
}

fn cache_to_help(why: &BadCacheTo) -> String {
    let write = "write an image, such as `\"${repository}:cache\"`, or in buildx's words \
                 `\"type=registry,ref=${repository}:cache,mode=max\"`";
    match why {
        BadCacheTo::Name(problem) => format!("{problem}; {write}"),
        BadCacheTo::NoRef => format!("`type=registry` wants `ref=…`, the image to write to; {write}"),
        BadCacheTo::RefOfInline => {
            "`type=inline` goes into the image that is built: write `\"type=inline\"` alone".to_owned()
        }
        BadCacheTo::Field(field) => format!("`{field}` is not `name=value`; {write}"),
        BadCacheTo::Type(_) => format!(
            "a cache is kept in a registry or in the image, where `cache_from` finds it again: {write}; or \
             `\"type=inline\"`"
        ),
    }
}

fn repository_help(why: &BadRepository) -> String {
    match why {
        BadRepository::Registry { repository } => format!(
            "account and region come from the environment, so that one file serves them all: write `repository = \
             \"{repository}\"`"
        ),
        BadRepository::Tag { repository } => {
            format!("write `repository = \"{repository}\"`; the tag comes from `tags` or from the commit")
        }
        BadRepository::UpperCase { repository } => {
            format!("ECR takes lower case only: write `repository = \"{repository}\"`")
        }
        BadRepository::Letters => {
            "ECR takes lower-case letters and digits, single `.`, `_` and `-` between them, and `/` \
                                   between the parts: `repository = \"jobs/api\"`"
                .to_owned()
        }
        BadRepository::Length => "ECR takes 2 to 256 letters".to_owned(),
    }
}

fn known_or(known: &[String], what: &str, otherwise: &str) -> String {
    if known.is_empty() { otherwise.to_owned() } else { format!("known {what}: {}", list(known)) }
}
