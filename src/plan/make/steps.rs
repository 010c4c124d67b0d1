//! The steps of a plan, in the order in which they are told, each with its cause and what it waits for.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::{
    Given, RepositoryStep, Resolved, Source, Wanted, is_missing,
    service::{rollout_of, running},
    watch::{budget, expected_ms, terms},
};
use crate::{
    config::{
        duration,
        spec::{self, CacheImage, CacheTo, CheckWork, Image, SandboxService, Service, Spec},
    },
    id::{Cluster, Key, StepId},
    image::{Digest, ImageName, Reference},
    plan::{
        diff::{self, Change, Difference},
        observed::Observed,
        outlook::percentages,
        step::{
            Action, Behind, BuildAction, CacheExport, CheckAction, CheckCall, CheckRun, ImagePatch, Later,
            LiveDefinition, OneOff, RegisterAction, RolloutObserved, Step, Terms, Toward,
        },
    },
    secret,
};

/// The steps so far; ids are dense because only [`Steps::add`] gives them.
#[derive(Default)]
pub(super) struct Steps {
    pub(super) steps: Vec<Step>,
}

impl Steps {
    pub(super) fn add(&mut self, action: Action, cause: impl Into<String>, needs: &[StepId]) -> StepId {
        let id = StepId(u32::try_from(self.steps.len() + 1).expect("a plan of four thousand million steps"));
        let mut needs = needs.to_vec();
        needs.sort_unstable();
        needs.dedup();
        self.steps.push(Step { id, action, cause: cause.into(), needs });
        id
    }

    /// The clusters the sandbox lacks, with the step that creates each.
    pub(super) fn clusters(&mut self, services: &[Resolved], observed: &Observed) -> BTreeMap<Cluster, StepId> {
        let wanted: BTreeSet<_> = services.iter().map(|service| &service.spec.cluster).collect();
        wanted
            .into_iter()
            .filter(|cluster| is_missing(observed, cluster))
            .map(|cluster| {
                let action = Action::CreateCluster { cluster: cluster.clone() };
                (cluster.clone(), self.add(action, "the sandbox has none of that name", &[]))
            })
            .collect()
    }

    /// Every image once, however many services run it.
    pub(super) fn images(&mut self, images: &[Wanted], observed: &Observed) -> BTreeMap<Key, Later<Digest>> {
        let mut repositories = BTreeMap::new();
        for wanted in images {
            if let Source::Build { repository: RepositoryStep::Create } = wanted.source {
                // Two images may share one repository.
                repositories.entry(&wanted.image.repository).or_insert_with(|| {
                    let repository = wanted.image.repository.clone();
                    let cause = format!("{repository} does not exist in {}", observed.region);
                    self.add(Action::CreateRepository { repository }, cause, &[])
                });
            }
        }
        let mut login = None;
        let mut built = Vec::new();
        for wanted in images {
            if let Source::Build { .. } = wanted.source {
                // Before the build: a base image may be in the same registry, and credentials that have
                // run out are better found now than after ten minutes of compiling.
                let login = *login.get_or_insert_with(|| {
                    let registry = observed.registry.clone();
                    self.add(Action::Login { registry }, pushes(images), &[])
                });
                built.push((wanted, login, self.build(wanted, login)));
            }
        }
        let mut digests: BTreeMap<_, _> = images
            .iter()
            .filter_map(|wanted| match &wanted.source {
                Source::Pushed(digest) => Some((wanted.key.clone(), Later::Known(digest.clone()))),
                Source::Build { .. } => None,
            })
            .collect();
        // Of all images, not only of its own: what goes out together is judged together.
        let mut checks = Vec::new();
        for (wanted, login, build) in &built {
            self.checks(wanted, *login, *build, &mut checks);
        }
        for (wanted, login, build) in built {
            let reference = Reference::tagged(wanted.name.clone(), wanted.image.tag.clone());
            let cause = format!("{}:{} for {}", wanted.image.repository, wanted.image.tag, words(&wanted.services));
            let mut needs = vec![login, build];
            needs.extend(&checks);
            needs.extend(repositories.get(&wanted.image.repository));
            let push = self.add(Action::Push { image: wanted.key.clone(), reference, login }, cause, &needs);
            for tag in &wanted.image.further_tags {
                let reference = Reference::tagged(wanted.name.clone(), tag.clone());
                let cause = format!("the same image as {}:{}", wanted.image.repository, wanted.image.tag);
                self.add(Action::PushTag { image: wanted.key.clone(), reference, login }, cause, &[push]);
            }
            digests.insert(wanted.key.clone(), Later::From(push));
        }
        digests
    }

    fn build(&mut self, wanted: &Wanted, login: StepId) -> StepId {
        let Image { tag, further_tags, .. } = wanted.image;
        let tags = std::iter::once(tag).chain(further_tags);
        let action = Action::Build(Box::new(BuildAction {
            tags: tags.map(|tag| Reference::tagged(wanted.name.clone(), tag.clone())).collect(),
            ..build_action(wanted)
        }));
        self.add(action, format!("tag {tag}{}", cache_words(wanted.image)), &[login])
    }

    /// What must succeed before anything is pushed.
    fn checks(&mut self, wanted: &Wanted, login: StepId, build: StepId, checks: &mut Vec<StepId>) {
        for spec::Check { work, timeout } in &wanted.image.checks {
            let within = duration::print(*timeout);
            let (call, cause, needs) = match work {
                CheckWork::Stage(stage) => {
                    let build_stage = BuildAction { target: Some(stage.clone()), ..build_action(wanted) };
                    let call = CheckCall::Stage { stage: stage.clone(), build: Box::new(build_stage) };
                    // After the image: what both have in common is in the cache by then.
                    (call, format!("stage {stage} must build within {within}"), vec![login, build])
                }
                CheckWork::Run(command) => {
                    let run = CheckRun {
                        command: command.clone(),
                        platform: wanted.platform.clone(),
                        memory_mib: wanted.memory_mib,
                    };
                    let cause = format!("{} must end with 0 within {within}", run.line());
                    (CheckCall::Run { built: Later::From(build), run }, cause, vec![build])
                }
            };
            let timeout_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
            let action = CheckAction { image: wanted.key.clone(), call, timeout_ms };
            checks.push(self.add(Action::Check(Box::new(action)), cause, &needs));
        }
    }

    pub(super) fn register(&mut self, service: &Resolved, given: Given) -> StepId {
        let Given { digest, after } = given;
        let mut needs: Vec<StepId> = after.into_iter().collect();
        let mut causes = Vec::new();
        match &digest {
            Later::From(push) => {
                needs.push(*push);
                causes.push("new image".to_owned());
            }
            Later::Known(digest) => causes.push(format!("image {}", digest.short())),
        }
        if let Some(live) = service.live {
            causes.extend(changes(&live.definition, &service.base, &service.container));
        }
        let action = Action::Register(Box::new(RegisterAction {
            service: service.key.clone(),
            base: service.base.clone(),
            tags: service.tags.clone(),
            images: vec![ImagePatch {
                container: service.container.clone(),
                name: service.name.clone(),
                tag: service.tag.clone(),
                digest,
            }],
            compare_to: service
                .live
                .map(|live| LiveDefinition { arn: live.task_definition.clone(), definition: live.definition.clone() }),
        }));
        self.add(action, causes.join(", "), &needs)
    }

    /// The task that must succeed before the service is updated, if there is one.
    pub(super) fn before(
        &mut self,
        service: &Resolved,
        register: StepId,
        clusters: &BTreeMap<Cluster, StepId>,
    ) -> Option<StepId> {
        let spec::Before { command, timeout, container } = service.spec.before.as_ref()?;
        let one_off = OneOff {
            cluster: service.spec.cluster.clone(),
            container: container.clone().unwrap_or_else(|| service.container.clone()),
            command: command.clone(),
            launch: service.live.map(|live| live.launch.clone()).unwrap_or_default(),
        };
        let action = Action::Before {
            service: service.key.clone(),
            task_definition: Later::From(register),
            one_off,
            timeout_ms: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
            running: service.live.map(|live| running(live).task_definition),
        };
        let needs: Vec<StepId> = [register].into_iter().chain(clusters.get(&service.spec.cluster).copied()).collect();
        Some(self.add(action, secret::shown_command(command), &needs))
    }

    /// The step that starts the rollout.
    pub(super) fn roll_out(
        &mut self,
        service: &Resolved,
        register: StepId,
        needs: &[StepId],
        clusters: &BTreeMap<Cluster, StepId>,
    ) -> StepId {
        let Some(live) = service.live else { return self.create_service(service, register, needs, clusters) };
        let running = running(live);
        let mut cause = match running.rollout {
            RolloutObserved::Complete => format!("it runs {}", running.task_definition),
            RolloutObserved::Going => format!("its rollout to {} is still going", running.task_definition),
            RolloutObserved::Failed => format!("its rollout to {} failed", running.task_definition),
        };
        for Difference { path, change } in percentages(&running, service.spec.rollout.percentages) {
            if let Change::Changed { from, to } = change {
                cause = format!("{cause}, {} {from} → {to}", path.rsplit('.').next().unwrap_or(&path));
            }
        }
        let action = Action::Update {
            service: service.key.clone(),
            cluster: service.spec.cluster.clone(),
            name: service.spec.service.clone(),
            task_definition: Later::From(register),
            running,
            percentages: service.spec.rollout.percentages,
        };
        self.add(action, cause, needs)
    }

    fn create_service(
        &mut self,
        service: &Resolved,
        register: StepId,
        needs: &[StepId],
        clusters: &BTreeMap<Cluster, StepId>,
    ) -> StepId {
        let key = service.key;
        let settings = Box::new(service.spec.sandbox.clone());
        let name = balancer_name(service.spec);
        let cause = format!("the sandbox has no service {}", service.spec.service);
        let first = Balanced {
            group: name.clone(),
            balancer: name.clone(),
            container: service.container.clone(),
            settings: settings.clone(),
        };
        let further = settings.shape.further_groups.iter().zip(2..).map(|(group, number)| {
            let balancer = numbered(&name, number);
            Balanced {
                // Two groups cannot have one name, and the first has that of the service.
                group: if group.name == name { balancer.clone() } else { group.name.clone() },
                balancer,
                container: group.container.clone(),
                settings: Box::new(settings.behind(group)),
            }
        });
        let target_groups: Vec<Behind> =
            [first].into_iter().chain(further).map(|making| self.balance(key, making, &cause)).collect();
        let mut needs = needs.to_vec();
        needs.extend(target_groups.iter().map(|behind| behind.listener));
        needs.extend(target_groups.iter().filter_map(|behind| match &behind.target_group {
            Later::From(step) => Some(*step),
            Later::Known(_) => None,
        }));
        needs.extend(clusters.get(&service.spec.cluster));
        let action = Action::CreateService {
            service: key.clone(),
            cluster: service.spec.cluster.clone(),
            name: service.spec.service.clone(),
            task_definition: Later::From(register),
            target_groups,
            settings,
            percentages: service.spec.rollout.percentages,
        };
        self.add(action, cause, &needs)
    }

    /// A target group with a load balancer and a listener of its own in front of it.
    fn balance(&mut self, key: &Key, making: Balanced, cause: &str) -> Behind {
        let Balanced { group, balancer, container, settings } = making;
        let (container_port, port) = (settings.container_port, settings.listener_port);
        let group = self.add(Action::CreateTargetGroup { service: key.clone(), name: group, settings }, cause, &[]);
        let balancer = self.add(Action::CreateLoadBalancer { service: key.clone(), name: balancer }, cause, &[]);
        let listener = self.add(
            Action::CreateListener {
                service: key.clone(),
                load_balancer: Later::From(balancer),
                target_group: Later::From(group),
                port,
            },
            cause,
            &[group, balancer],
        );
        Behind { target_group: Later::From(group), container, container_port, listener }
    }

    pub(super) fn watch(&mut self, service: &Resolved, started: StepId, whole: &Spec) {
        let cause = match service.live {
            None => "until its first tasks are healthy".to_owned(),
            Some(live) => match service.spec.rollout.done_when {
                spec::DoneWhen::Live => "until its new tasks are healthy".to_owned(),
                spec::DoneWhen::Drained if rollout_of(live) == RolloutObserved::Going => {
                    "until every older task has drained".to_owned()
                }
                spec::DoneWhen::Drained => format!("until the tasks of {} have drained", live.task_definition),
                spec::DoneWhen::Steady => "until ECS says that it is steady".to_owned(),
            },
        };
        let action = Action::Watch {
            service: service.key.clone(),
            cluster: service.spec.cluster.clone(),
            name: service.spec.service.clone(),
            deployment: Later::From(started),
            terms: Terms {
                expected_ms: Some(expected_ms(service, &whole.environment.place)),
                ..terms(&service.spec.rollout, budget(service), whole.release)
            },
            toward: Toward::New,
        };
        self.add(action, cause, &[started]);
    }
}

/// What is made for one target group.
struct Balanced {
    group: String,
    balancer: String,
    container: String,
    settings: Box<SandboxService>,
}

/// What is the same in every build of an image, without a tag.
fn build_action(wanted: &Wanted) -> BuildAction {
    // Fully taken apart, so that a new key of an image cannot be forgotten here.
    let Image {
        repository: _,
        missing_repository: _,
        context,
        dockerfile,
        target,
        args,
        secrets,
        ssh,
        cache_from,
        cache_to,
        platform: _,
        tag: _,
        further_tags: _,
        builder,
        checks: _,
    } = wanted.image;
    let image = |image: &CacheImage| match image {
        CacheImage::Ecr { repository, tag } => {
            let name = ImageName { repository: repository.clone(), ..wanted.name.clone() };
            Reference::tagged(name, tag.clone())
        }
        CacheImage::Elsewhere(reference) => reference.clone(),
    };
    BuildAction {
        image: wanted.key.clone(),
        context: context.clone(),
        dockerfile: dockerfile.clone(),
        target: target.clone(),
        args: args.clone(),
        secrets: secrets.clone(),
        ssh: ssh.clone(),
        cache_from: cache_from.iter().map(image).collect(),
        cache_to: cache_to
            .iter()
            .map(|to| match to {
                CacheTo::Inline => CacheExport::Inline,
                CacheTo::Registry { image: to, options } => {
                    CacheExport::Registry { image: image(to), options: options.clone() }
                }
            })
            .collect(),
        // Which may be what the task definition wants.
        platform: wanted.platform.clone(),
        tags: Vec::new(),
        builder: *builder,
    }
}

/// `, cache to jobs/api:cache`.
fn cache_words(image: &Image) -> String {
    let named: Vec<String> = image
        .cache_to
        .iter()
        .filter_map(|to| match to {
            CacheTo::Registry { image: CacheImage::Ecr { repository, tag }, .. } => Some(format!("{repository}:{tag}")),
            CacheTo::Registry { image: CacheImage::Elsewhere(reference), .. } => Some(reference.to_string()),
            CacheTo::Inline => None,
        })
        .collect();
    if named.is_empty() { String::new() } else { format!(", cache to {} by buildx", named.join(", ")) }
}

/// What registering `base` changes beside the image of `container`, `cpu 256 → 512`.
fn changes(live: &Value, base: &Value, container: &str) -> Vec<String> {
    let image = format!("containerDefinitions[{container}].image");
    diff::differences(live, base)
        .into_iter()
        .filter(|difference| difference.path != image)
        .map(|Difference { path, change }| match change {
            Change::Changed { from, to } => format!("{path} {from} → {to}"),
            // The whole of what comes or goes may be pages long; its name says enough here.
            Change::Added(_) => format!("{path} added"),
            Change::Removed(_) => format!("{path} removed"),
        })
        .collect()
}

fn pushes(images: &[Wanted]) -> String {
    let keys: Vec<_> = images.iter().filter(|wanted| matches!(wanted.source, Source::Build { .. })).collect();
    format!("to push {}", words(&keys.iter().map(|wanted| wanted.key).collect::<Vec<_>>()))
}

fn words(keys: &[&Key]) -> String {
    keys.iter().map(|key| key.as_str()).collect::<Vec<_>>().join(", ")
}

/// ELB takes up to 32 letters, digits and hyphens, none of them at the ends, and load balancers not
/// `internal-` in front. The hash keeps services of one name in two clusters apart.
pub(super) fn balancer_name(service: &Service) -> String {
    let hash = hex::encode(Sha256::digest(format!("{}/{}", service.cluster, service.service)));
    let allowed = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
    let readable: String = service.service.as_str().chars().map(allowed).take(20).collect();
    format!("ship-{}-{}", readable.trim_matches('-'), &hash[..6])
}

/// The same for the balancer of a further target group: the hash is what must be left of it.
fn numbered(name: &str, number: usize) -> String {
    let hash = name.rsplit('-').next().unwrap_or_default();
    format!("ship-{number}-{hash}")
}
