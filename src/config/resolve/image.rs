//! `[images.…]`: what is built, and where it is pushed to.

use std::{collections::BTreeMap, ops::Range, time::Duration};

use super::{Own, Resolver, Scope, value::is_ecs_name};
use crate::{
    config::{
        environment_file,
        error::{BadCacheTo, BadRepository, CacheLess, Doubt, Found, Home, Mistake, Place, nearest},
        file::{BUILDERS, CheckTable, ImageTable, SecretTable, Table, Written, tidy},
        spec::{
            BuildSecret, BuildSsh, Builder, CacheImage, CacheTo, Check, CheckWork, GitFacts, Image, NoGit, WorkTree,
        },
        variables::{self, Piece},
    },
    image::{ImageName, ReferenceError, Tag},
    secret,
};

/// A stage with the tests of a large program takes minutes; one that takes longer hangs more often than not.
pub(super) const CHECK_TIMEOUT: Duration = Duration::from_mins(15);

impl Resolver<'_> {
    pub(super) fn image(&mut self, key: &str) -> Option<Image> {
        let base = self.file.images.get(key)?;
        let mut written = self.table.images.get(key).map_or_else(|| base.clone(), |table| Table::over(table, base));
        written.header = base.header.clone();
        let mut own = Own::of(format!("images.{key}"), &written);
        self.note_origins(&own.table, &written);
        own.defaults = vec![("context", ".".to_owned())];
        let before = self.errors.len();

        let (repository, missing_repository) = self.repository_of(key, &written, &own);
        let context = self.not_empty("context", written.context.as_ref(), &own, "\".\"");
        let context = match (&written.context, context) {
            (Some(written), Some(context)) => self.path(written, &context),
            _ => tidy(&self.facts.root),
        };
        let dockerfile = self
            .not_empty("dockerfile", written.dockerfile.as_ref(), &own, "\"Dockerfile\"")
            .and_then(|path| Some(self.path(written.dockerfile.as_ref()?, &path)))
            .unwrap_or_else(|| context.join("Dockerfile"));
        let target = self.not_empty("target", written.target.as_ref(), &own, "\"runtime\"");
        let args = self.texts(&written.args, &own, Home::Build);
        let secrets = self.build_secrets(&written.secrets, &own);
        let mut ssh: Vec<BuildSsh> = Vec::new();
        for written in written.ssh.iter().flat_map(|list| &list.value) {
            let Some(agent) = self.ssh(written, &own) else { continue };
            if ssh.iter().any(|known| known.id == agent.id) {
                self.mistake(Mistake::SshTwice { id: agent.id }, Place::File(written.span.clone()));
            } else {
                ssh.push(agent);
            }
        }
        let cache_from = self.each(written.cache_from.as_ref(), |resolver, written| resolver.cache_from(written, &own));
        let cache_to = self.each(written.cache_to.as_ref(), |resolver, written| resolver.cache_to(written, &own));
        let platform = written.platform.as_ref().and_then(|written| self.platform(written, &own));
        let builder = match &written.builder {
            Some(written) => self.builder(written, &own),
            None => Some(Builder::Auto),
        };
        self.refuse_cache_to(builder, written.cache_to.as_ref(), &cache_to);
        let tags = self.tags(&written, &own);
        let checks = written.checks.iter().flat_map(|checks| &checks.value);
        let checks: Vec<Check> = checks.filter_map(|check| self.check(check, &own)).collect();

        if self.errors.len() > before {
            return None;
        }
        Some(Image {
            repository: repository?,
            missing_repository,
            context,
            dockerfile,
            target,
            args,
            secrets,
            ssh,
            cache_from,
            cache_to,
            platform,
            tag: tags.as_ref().map(|(first, _)| first.clone())?,
            further_tags: tags.map(|(_, further)| further).unwrap_or_default(),
            builder: builder?,
            checks,
        })
    }

    fn build_secrets(&mut self, tables: &BTreeMap<String, SecretTable>, own: &Own) -> BTreeMap<String, BuildSecret> {
        let mut secrets = BTreeMap::new();
        for (name, table) in tables {
            let SecretTable { header, env, file } = table;
            let secret = match (env, file) {
                (Some(written), None) => self.secret_variable(name, written, own).map(BuildSecret::Variable),
                (None, Some(written)) => {
                    let path = self.not_empty("file", Some(written), own, "\"~/.npmrc\"");
                    path.map(|path| BuildSecret::File(self.path(written, &path)))
                }
                (written, _) => {
                    let found = if written.is_some() { Found::Both } else { Found::None };
                    let mistake = Mistake::SecretSource { name: name.clone(), found };
                    self.mistake(mistake, Place::File(header.clone()));
                    None
                }
            };
            secrets.extend(secret.map(|secret| (name.clone(), secret)));
        }
        secrets
    }

    fn secret_variable(&mut self, name: &str, written: &Written<String>, own: &Own) -> Option<String> {
        // Filled in, `${env.X}` would be the secret itself, in the place of a name that is told to everybody.
        let bare = written.value.trim().trim_start_matches(['$', '{']).trim_start_matches("env.").trim_end_matches('}');
        let is_reference = written.value.starts_with('$') && !written.value.starts_with("${");
        let variable = if is_reference || written.value.contains("${env.") {
            None
        } else {
            Some(self.not_empty("env", Some(written), own, "\"NUGET_TOKEN\"")?)
        };
        if let Some(variable) = variable.filter(|variable| environment_file::is_name(variable)) {
            return Some(variable);
        }
        let write = environment_file::is_name(bare).then(|| bare.to_owned());
        self.mistake(Mistake::SecretVariable { name: name.to_owned(), write }, Place::File(written.span.clone()));
        None
    }

    fn ssh(&mut self, written: &Written<String>, own: &Own) -> Option<BuildSsh> {
        let text = self.expand(written, own)?;
        let (id, path) = match text.split_once('=') {
            Some((id, path)) => (id, Some(path)),
            None => (text.as_str(), None),
        };
        // Only the default has a place to come from.
        if !is_ecs_name(id) || path == Some("") || (path.is_none() && id != "default") {
            self.mistake(Mistake::BadSsh { written: text }, Place::File(written.span.clone()));
            return None;
        }
        Some(BuildSsh { id: id.to_owned(), path: path.map(|path| self.path(written, path)) })
    }

    fn cache_from(&mut self, written: &Written<String>, own: &Own) -> Option<CacheImage> {
        let text = self.not_empty("cache_from", Some(written), own, "[\"${repository}:cache\"]")?;
        cache_image(&text)
            .map_err(|problem| {
                self.mistake(Mistake::BadCacheFrom { written: text, problem }, Place::File(written.span.clone()));
            })
            .ok()
    }

    fn cache_to(&mut self, written: &Written<String>, own: &Own) -> Option<CacheTo> {
        let text = self.not_empty("cache_to", Some(written), own, "[\"${repository}:cache\"]")?;
        cache_place(&text)
            .map_err(|why| self.mistake(Mistake::BadCacheTo { written: text, why }, Place::File(written.span.clone())))
            .ok()
    }

    /// What no builder but buildx can do is said where it is asked for.
    fn refuse_cache_to(
        &mut self,
        builder: Option<Builder>,
        written: Option<&Written<Vec<Written<String>>>>,
        to: &[CacheTo],
    ) {
        let Some(written) = written.filter(|_| !to.is_empty()) else { return };
        let goes_out = to.iter().any(|to| matches!(to, CacheTo::Registry { .. }));
        let builder = match builder {
            Some(Builder::Classic) => CacheLess::Classic,
            Some(Builder::Engine) if goes_out => CacheLess::Engine,
            Some(Builder::Auto | Builder::Engine | Builder::Buildx) | None => return,
        };
        self.mistake(Mistake::CacheToOfBuilder { builder }, Place::File(written.span.clone()));
    }

    fn check(&mut self, table: &CheckTable, own: &Own) -> Option<Check> {
        let own = own.inner("checks", table);
        let CheckTable { header, target, run, timeout } = table;
        // As long as a rollout may be watched.
        let limits = (1, 86_400, "a check");
        let timeout = self.duration("timeout", timeout.as_ref(), &own, limits).unwrap_or(CHECK_TIMEOUT);
        let work = match (target, run) {
            (Some(target), None) => self.not_empty("target", Some(target), &own, "\"test\"").map(CheckWork::Stage),
            (None, Some(run)) => {
                if run.value.is_empty() && !self.is_empty_list(&run.span) {
                    return None;
                }
                if run.value.is_empty() {
                    let mistake = Mistake::Empty { key: "run".to_owned(), example: "[\"/app/selftest\"]".to_owned() };
                    self.mistake(mistake, Place::File(run.span.clone()));
                    return None;
                }
                let words = self.each(Some(run), |resolver, written| resolver.expand(written, &own));
                if self.is_one_word("run", &words, run) {
                    return None;
                }
                (words.len() == run.value.len()).then_some(CheckWork::Run(words))
            }
            (target, _) => {
                let found = if target.is_some() { Found::Both } else { Found::None };
                self.mistake(Mistake::CheckWork { found }, Place::File(header.clone()));
                None
            }
        };
        Some(Check { work: work?, timeout })
    }

    /// A whole command in the place of its program: no shell is there to take it apart.
    pub(super) fn is_one_word(
        &mut self,
        key: &'static str,
        words: &[String],
        written: &Written<Vec<Written<String>>>,
    ) -> bool {
        let [only] = words else { return false };
        if !only.trim().contains(char::is_whitespace) {
            return false;
        }
        let words: Vec<String> = only.split_whitespace().map(ToOwned::to_owned).collect();
        let shown = secret::shown_words(&words);
        // What only a shell understands.
        let is_of_a_shell = only.contains(['|', '&', ';', '<', '>', '*', '(', '`']);
        let write = if is_of_a_shell { format!("{:?}", ["sh", "-c", &shown.join(" ")]) } else { format!("{shown:?}") };
        self.mistake(Mistake::CommandInOneWord { key, write }, Place::File(written.span.clone()));
        true
    }

    /// Whether nothing stands in the list: what is in it and no text was told already.
    pub(super) fn is_empty_list(&self, span: &Range<usize>) -> bool {
        self.shared.sources.get(span).trim_matches(['[', ']']).trim().is_empty()
    }

    pub(super) fn repository(&mut self, written: &Written<String>, own: &Own) -> Option<String> {
        let repository = self.not_empty("repository", Some(written), own, "\"jobs/api\"")?;
        let Some(why) = repository_mistake(&repository) else {
            return Some(repository);
        };
        self.mistake(Mistake::BadRepository { written: repository, why }, Place::File(written.span.clone()));
        None
    }

    fn platform(&mut self, written: &Written<String>, own: &Own) -> Option<String> {
        let platform = self.expand(written, own)?;
        let parts: Vec<&str> = platform.split('/').collect();
        let good = match parts.as_slice() {
            ["linux" | "windows", "amd64" | "arm64"] => true,
            // A variant such as `linux/arm64/v8`.
            ["linux", "arm64" | "arm" | "amd64", variant] => variant.starts_with('v'),
            _ => false,
        };
        if good {
            return Some(platform);
        }
        let lower = platform.to_ascii_lowercase();
        let write = if lower.contains("arm") || lower.contains("aarch") { "linux/arm64" } else { "linux/amd64" };
        let mistake = Mistake::BadPlatform { written: platform, write: write.to_owned() };
        self.mistake(mistake, Place::File(written.span.clone()));
        None
    }

    fn builder(&mut self, written: &Written<String>, own: &Own) -> Option<Builder> {
        let builder = self.expand(written, own)?;
        match builder.as_str() {
            "auto" => Some(Builder::Auto),
            "engine" => Some(Builder::Engine),
            "classic" => Some(Builder::Classic),
            "buildx" => Some(Builder::Buildx),
            _ => {
                let nearest = nearest(&builder, BUILDERS);
                let mistake = Mistake::BadBuilder { written: builder, nearest };
                self.mistake(mistake, Place::File(written.span.clone()));
                None
            }
        }
    }

    /// The tag of this build, and the others.
    fn tags(&mut self, table: &ImageTable, own: &Own) -> Option<(Tag, Vec<Tag>)> {
        let Some(tags) = &table.tags else {
            let tag = self.facts.build().parse();
            return Some((tag.expect("hexadecimal digits, letters and a time make a tag"), Vec::new()));
        };
        let mut read = Vec::new();
        for written in &tags.value {
            let Some(tag) = self.not_empty("tags", Some(written), own, "[\"${build}\"]") else { continue };
            match tag.parse::<Tag>() {
                Ok(tag) => read.push((tag, written)),
                Err(problem) => self.mistake(Mistake::BadTag { problem }, Place::File(written.span.clone())),
            }
        }
        if tags.value.is_empty() && self.is_empty_list(&tags.span) {
            let mistake = Mistake::Empty { key: "tags".to_owned(), example: "[\"${build}\"]".to_owned() };
            self.mistake(mistake, Place::File(tags.span.clone()));
        }
        let mut read = read.into_iter();
        let (tag, written) = read.next()?;
        let mut further: Vec<Tag> = Vec::new();
        for (other, _) in read {
            if other != tag && !further.contains(&other) {
                further.push(other);
            }
        }
        if self.scope == Scope::Here {
            match uniqueness(&written.value, &self.facts.git) {
                Uniqueness::Unique => {}
                Uniqueness::Fixed => self.doubt(Doubt::FixedTag { tag: tag.to_string() }, written.span.clone()),
                Uniqueness::OfAnotherTree => {
                    self.doubt(Doubt::DirtyTag { tag: tag.to_string() }, written.span.clone());
                }
            }
        }
        Some((tag, further))
    }
}

/// A name without a registry is one in the environment's own.
fn cache_image(text: &str) -> Result<CacheImage, ReferenceError> {
    let first = text.split('/').next().unwrap_or_default();
    if text.contains('/') && (first.contains(['.', ':']) || first == "localhost") {
        return text.parse().map(CacheImage::Elsewhere);
    }
    let (repository, tag) = text.split_once(':').unwrap_or((text, "latest"));
    // Any registry will do to judge the name of a repository.
    ImageName::new("localhost", repository)?;
    Ok(CacheImage::Ecr { repository: repository.to_owned(), tag: tag.parse()? })
}

/// An image, or `type=…` as buildx takes it.
fn cache_place(text: &str) -> Result<CacheTo, BadCacheTo> {
    let mut options = Vec::new();
    let image = if text.split(',').any(|field| field.trim_start().starts_with("type=")) {
        for field in text.split(',').map(str::trim) {
            let (name, value) = field.split_once('=').ok_or_else(|| BadCacheTo::Field(field.to_owned()))?;
            options.push((name.to_owned(), value.to_owned()));
        }
        let mut take = |wanted: &str| {
            let place = options.iter().position(|(name, _)| name == wanted)?;
            Some(options.remove(place).1)
        };
        let (kind, image) = (take("type").unwrap_or_default(), take("ref"));
        match (kind.as_str(), image) {
            ("inline", None) => return Ok(CacheTo::Inline),
            ("inline", Some(_)) => return Err(BadCacheTo::RefOfInline),
            ("registry", Some(image)) => cache_image(&image).map_err(BadCacheTo::Name)?,
            ("registry", None) => return Err(BadCacheTo::NoRef),
            _ => return Err(BadCacheTo::Type(kind)),
        }
    } else {
        // All stages: those that a small image leaves behind are what takes the time.
        options.push(("mode".to_owned(), "max".to_owned()));
        cache_image(text).map_err(BadCacheTo::Name)?
    };
    if let CacheImage::Ecr { .. } = image {
        // ECR refuses the index that a cache is otherwise (https://aws.amazon.com/blogs/containers, "Announcing remote
        // cache support in Amazon ECR for BuildKit clients").
        for name in ["image-manifest", "oci-mediatypes"] {
            if !options.iter().any(|(said, _)| said == name) {
                options.push((name.to_owned(), "true".to_owned()));
            }
        }
    }
    Ok(CacheTo::Registry { image, options })
}

enum Uniqueness {
    Unique,
    Fixed,
    /// It names a commit, and what is built is not that commit.
    OfAnotherTree,
}

/// Whether a tag tells this build from others. A variable of the environment is believed to: CI build
/// numbers are given that way.
fn uniqueness(tag: &str, git: &Result<GitFacts, NoGit>) -> Uniqueness {
    let names: Vec<String> = variables::pieces(tag)
        .unwrap_or_default()
        .into_iter()
        .filter_map(|piece| match piece {
            Piece::Variable(variable) => Some(variable.name),
            Piece::Literal(_) => None,
        })
        .collect();
    let dirty = matches!(git, Ok(GitFacts { work_tree: WorkTree::Dirty, .. }));
    if names.iter().any(|name| name == "build" || name.starts_with("env.")) {
        Uniqueness::Unique
    } else if names.iter().any(|name| name == "git.commit" || name == "git.tag") {
        if dirty { Uniqueness::OfAnotherTree } else { Uniqueness::Unique }
    } else {
        Uniqueness::Fixed
    }
}

fn repository_mistake(repository: &str) -> Option<BadRepository> {
    // A browser shows it so.
    if let Some((_, address)) = repository.split_once("://") {
        return Some(match repository_mistake(address) {
            Some(why @ BadRepository::Registry { .. }) => why,
            _ => BadRepository::Letters,
        });
    }
    // ECR's own pattern: (?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*
    let good = |repository: &str| {
        repository.split('/').all(|part| {
            let word = |word: &str| {
                !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
            };
            part.split(['.', '_', '-']).all(word)
        })
    };
    let (name, tail) = repository.split_at(repository.find('@').unwrap_or(repository.len()));
    let (name, tag) = match name.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (name, ""),
    };
    // ECR would take a host as the first part of a name, but nobody means that.
    if let Some((host, path)) = name.split_once('/')
        && host.contains(['.', ':'])
        && good(path)
        && (host.contains(':') || host.contains(".dkr") || matches!(host.rsplit('.').next(), Some("io" | "com")))
    {
        return Some(BadRepository::Registry { repository: path.to_owned() });
    }
    if good(repository) {
        return (!(2..=256).contains(&repository.len())).then_some(BadRepository::Length);
    }
    if (!tag.is_empty() || !tail.is_empty()) && good(name) {
        return Some(BadRepository::Tag { repository: name.to_owned() });
    }
    let lower = repository.to_ascii_lowercase();
    Some(if good(&lower) { BadRepository::UpperCase { repository: lower } } else { BadRepository::Letters })
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use proptest::prelude::*;
    use regex::Regex;

    use super::*;

    /// `repositoryName` of `CreateRepository`, as the API reference has it: pattern and length.
    static ECR: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r"^(?:[a-z0-9]+(?:[._-][a-z0-9]+)*/)*[a-z0-9]+(?:[._-][a-z0-9]+)*$").expect("ECR's own")
    });

    fn taken_by_ecr(name: &str) -> bool {
        (2..=256).contains(&name.len()) && ECR.is_match(name)
    }

    #[test]
    fn the_ends_of_the_length_are_those_of_ecr() {
        for (length, good) in [(1, false), (2, true), (256, true), (257, false)] {
            let name = "a".repeat(length);
            assert_eq!((repository_mistake(&name).is_none(), taken_by_ecr(&name)), (good, good), "{length}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn a_name_is_taken_where_ecr_takes_it(name in "([a-z0-9]{0,3}[._/-]{0,2}){0,6}|[a-zA-Z0-9._/:@ -]{0,12}|(api|jobs|[._-]|/|\u{e9}){0,9}") {
            match repository_mistake(&name) {
                None => prop_assert!(taken_by_ecr(&name), "ECR refuses {:?}", name),
                // A name that ECR would take, and that nobody means: `docker.io/api`.
                Some(BadRepository::Registry { repository }) => prop_assert!(name.ends_with(&repository)),
                Some(why) => prop_assert!(!taken_by_ecr(&name), "ECR takes {:?}, refused as {:?}", name, why),
            }
        }

        #[test]
        fn advice_is_taken_itself(name in "[a-zA-Z0-9./:-]{0,16}") {
            if let Some(BadRepository::Tag { repository } | BadRepository::UpperCase { repository }) = repository_mistake(&name)
                && repository.len() >= 2
            {
                let again = repository_mistake(&repository);
                prop_assert!(matches!(again, None | Some(BadRepository::Registry { .. })), "{:?} of {:?}", again, name);
            }
        }
    }
}
