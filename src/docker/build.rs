//! The builder interface and the choice between builders.
//!
//! Every builder tells its work in `BuildKit`'s terms: vertices that start, end, are cached or fail.
//! Dropping the future of [`build()`] breaks the connection, and with it the engine ends the build.

use std::{collections::BTreeMap, fmt, path::PathBuf, sync::atomic::Ordering, time::Duration};

use bytes::Bytes;
use futures_util::Stream;
use tokio::{sync::mpsc::Sender, time::MissedTickBehavior};

use self::inputs::BuildInputs;
use super::{
    context::{BuildContext, ContextStream, Reader},
    engine::Engine,
    error::DockerError,
    registry::RegistryAuth,
    tell,
};
use crate::{
    config::spec::Builder,
    event::Progress,
    image::Digest,
    plan::{
        observed::BuildKit,
        step::{BuildAction, CacheExport},
    },
};

mod buildx;
mod classic;
mod engine;
mod failure;
mod graph;
pub mod inputs;
mod session;
mod veil;

/// How often the bytes of the context are told.
const TICK: Duration = Duration::from_millis(100);

/// What came out of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Built {
    /// The engine's id of the image: of its configuration, or of its manifest with the containerd store. `None` where
    /// nobody asked for an image.
    pub image_id: Option<Digest>,
    pub builder: Chosen,
}

/// The builder that did it, and why it was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Chosen {
    pub builder: BuilderUsed,
    pub why: Why,
}

/// Why a builder is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// It was named.
    Named,
    /// It is the one for all that asks for nothing else.
    Usual,
    /// The engine has no `BuildKit`.
    NoBuildKit,
    /// `cache_to` goes where the engine's own does not write.
    CacheTo,
}

impl fmt::Display for Chosen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.why {
            Why::Named | Why::Usual => "",
            Why::NoBuildKit => ", as the engine has no BuildKit",
            Why::CacheTo => ", which writes what `cache_to` asks for",
        };
        write!(formatter, "{}{why}", self.builder)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BuilderUsed {
    /// The engine's own `BuildKit`.
    Engine,
    /// Whatever `docker buildx` uses.
    Buildx,
    /// The builder of before `BuildKit`.
    Classic,
}

impl fmt::Display for BuilderUsed {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Engine => "the engine's BuildKit",
            Self::Buildx => "buildx",
            Self::Classic => "the engine's classic builder",
        })
    }
}

/// Which builder to take: `auto` is the engine's `BuildKit`, buildx for what that cannot do, and the classic builder only
/// where the engine has nothing else.
pub fn choose(wanted: Builder, has: BuildKit, cache_to: &[CacheExport]) -> Result<Chosen, DockerError> {
    let goes_out = cache_to.iter().any(|to| matches!(to, CacheExport::Registry { .. }));
    let (builder, why) = match (wanted, has) {
        (Builder::Auto, _) if goes_out => (BuilderUsed::Buildx, Why::CacheTo),
        (Builder::Auto, BuildKit::Present) => (BuilderUsed::Engine, Why::Usual),
        (Builder::Auto, BuildKit::Absent) => (BuilderUsed::Classic, Why::NoBuildKit),
        (Builder::Engine, BuildKit::Present) => (BuilderUsed::Engine, Why::Named),
        (Builder::Engine, BuildKit::Absent) => return Err(DockerError::NoBuildKit),
        (Builder::Buildx, BuildKit::Present | BuildKit::Absent) => (BuilderUsed::Buildx, Why::Named),
        (Builder::Classic, BuildKit::Present | BuildKit::Absent) => (BuilderUsed::Classic, Why::Named),
    };
    Ok(Chosen { builder, why })
}

/// What this side lends to a build while it goes on.
#[derive(Debug, Clone, Default)]
pub struct Lent {
    pub registries: RegistryAuth,
    pub inputs: BuildInputs,
    /// Docker's configuration folder, for its plugin.
    pub docker_config: PathBuf,
    /// Where a folder may be made for the time of a build.
    pub scratch: PathBuf,
}

/// Builds and tags one image.
pub async fn build(
    engine: &Engine,
    action: &BuildAction,
    lent: &Lent,
    updates: &Sender<Progress>,
) -> Result<Built, DockerError> {
    let chosen = choose(action.builder, engine.buildkit(), &action.cache_to)?;
    let builder = chosen.builder;
    if builder == BuilderUsed::Classic && !lent.inputs.is_empty() {
        return Err(DockerError::ClassicHasNone);
    }
    let reader = match builder {
        BuilderUsed::Engine | BuilderUsed::Buildx => Reader::BuildKit,
        BuilderUsed::Classic => Reader::Classic,
    };
    let (folder, dockerfile) = (action.context.clone(), action.dockerfile.clone());
    let context = tokio::task::spawn_blocking(move || BuildContext::open(&folder, &dockerfile, reader))
        .await
        .map_err(|source| DockerError::Broken { operation: "read the context", source: Box::new(source) })?
        .map_err(DockerError::Context)?;
    if builder == BuilderUsed::Buildx {
        // It reads the context itself; that it is there has been seen.
        let image_id = buildx::build(engine, action, lent, updates).await?;
        return Ok(Built { image_id, builder: chosen });
    }
    let request = BuildRequest { engine, action, lent, dockerfile: context.dockerfile.clone() };
    let ContextStream { pieces, progress, mut outcome } = context.stream();

    let mut ticker = tokio::time::interval(TICK);
    ticker.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut told = 0;
    let mut result = {
        let work = run(reader, &request, pieces, updates);
        tokio::pin!(work);
        loop {
            tokio::select! {
                result = &mut work => break result,
                _ = ticker.tick() => {
                    let sent = progress.load(Ordering::Relaxed);
                    if sent > told {
                        told = sent;
                        tell(updates, Progress::Context { sent }).await;
                    }
                }
            }
        }
    };
    match outcome.try_recv() {
        Ok(Ok(sent)) => {
            let all = progress.load(Ordering::Relaxed);
            if all > told {
                tell(updates, Progress::Context { sent: all }).await;
            }
            if let Some(message) = sent.warning() {
                tell(updates, Progress::BuildWarning { message }).await;
            }
        }
        // The engine answered before it had read everything; its answer is the reason, not the broken pipe.
        Ok(Err(_)) if matches!(result, Err(DockerError::Build(_) | DockerError::Refused { .. })) => {}
        Ok(Err(error)) => result = Err(DockerError::Context(error)),
        Err(_) => {}
    }
    result.map(|image_id| Built { image_id, builder: chosen })
}

async fn run(
    reader: Reader,
    request: &BuildRequest<'_>,
    pieces: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static,
    updates: &Sender<Progress>,
) -> Result<Option<Digest>, DockerError> {
    match reader {
        Reader::BuildKit => engine::build(request, pieces, updates).await,
        Reader::Classic => classic::build(request, pieces, updates).await,
    }
}

/// What every builder needs besides the context.
struct BuildRequest<'a> {
    engine: &'a Engine,
    action: &'a BuildAction,
    lent: &'a Lent,
    /// The name in the tar.
    dockerfile: String,
}

impl BuildRequest<'_> {
    /// The query of `POST /build`; `more` is what only one builder takes. bollard's own options know
    /// one tag only.
    fn query(&self, more: &[(&str, &str)]) -> String {
        let BuildAction {
            image: _,
            context: _,
            dockerfile: _,
            builder: _,
            // Asked for over the session.
            secrets: _,
            ssh: _,
            target,
            args,
            cache_from,
            cache_to,
            platform,
            tags,
        } = self.action;
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query.append_pair("dockerfile", &self.dockerfile);
        for tag in tags {
            query.append_pair("t", &tag.to_string());
        }
        // What the user set wins over the proxies of docker's configuration.
        let mut arguments: BTreeMap<&str, &str> = BTreeMap::new();
        for (name, value) in self.engine.endpoint().proxy_arguments.iter().chain(args) {
            arguments.insert(name, value);
        }
        if cache_to.contains(&CacheExport::Inline) && !tags.is_empty() {
            // As `docker build` without buildx is told to (BuildKit, frontend/dockerfile and builder-next).
            arguments.insert("BUILDKIT_INLINE_CACHE", "1");
        }
        if !arguments.is_empty() {
            let arguments: serde_json::Map<_, _> =
                arguments.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
            query.append_pair("buildargs", &serde_json::Value::Object(arguments).to_string());
        }
        if !cache_from.is_empty() {
            // "JSON array of images used for build cache resolution" (POST /build).
            let images: Vec<String> = cache_from.iter().map(ToString::to_string).collect();
            query.append_pair("cachefrom", &serde_json::Value::from(images).to_string());
        }
        for (name, value) in [("target", target), ("platform", platform)] {
            if let Some(value) = value {
                query.append_pair(name, value);
            }
        }
        for (name, value) in more {
            query.append_pair(name, value);
        }
        query.finish()
    }
}

#[cfg(test)]
mod tests;
