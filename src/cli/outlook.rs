//! The plan as people read it: before `deploy` asks, and as the output of `plan`.
//!
//! One block a service, because that is what people decide about: what it runs, what is built for it, what changes,
//! and how it is rolled out. The single steps with their needs are in `plan --format json`.

use std::collections::BTreeMap;

pub(crate) use super::page::Paper;
use super::page::{Page, Row};
use crate::{
    config::spec::{Place, Spec},
    id::Key,
    plan::{
        drift::{Drift, Fate},
        observed::Observed,
        outlook::{self, Expected, Outlook, ServiceOutlook},
        step::{Action, BuildAction, CopyAction, Plan, Step},
    },
    report::{style::Meaning, words},
    secret,
};

/// Everything that a plan comes to. Ends with a line break.
pub(crate) fn text(plan: &Plan, spec: &Spec, observed: &Observed, paper: Paper) -> String {
    let outlook = Outlook::of(plan, spec, observed);
    let mut page = Page::new(paper);
    page.line(&paper.style.paint(Meaning::Strong, title(spec, observed)));
    let of_nobody: Vec<_> = plan.steps.iter().filter(|step| step.action.subject().is_none()).collect();
    let set_up: Vec<_> = of_nobody.iter().filter(|step| !matches!(step.action, Action::Login { .. })).collect();
    if !set_up.is_empty() {
        page.line("");
    }
    for step in set_up {
        page.line(&page.fitted(&format!("{}  ({})", step.action.title(), step.cause)));
    }
    let mut built = BTreeMap::new();
    let mut before = None;
    for service in &outlook.services {
        // Services without a block of their own stand together.
        if before != Some(Expected::Nothing) || service.expected != Expected::Nothing {
            page.line("");
        }
        before = Some(service.expected);
        page.service(service, plan, &mut built);
    }
    if !(outlook.warnings.is_empty() && outlook.unread.is_empty()) {
        page.line("");
    }
    page.asides(&outlook);
    page.text()
}

/// What was changed behind our back, and what there is to know: for a deploy that shows no plan. Mostly empty.
pub(crate) fn asides(plan: &Plan, spec: &Spec, observed: &Observed, paper: Paper) -> String {
    let mut page = Page::new(paper);
    let outlook = Outlook::of(plan, spec, observed);
    for service in &outlook.services {
        if let Some(drift) = &service.drift {
            page.line(&paper.style.paint(Meaning::Strong, &service.service));
            page.drift(drift, service);
        }
    }
    page.asides(&outlook);
    page.text()
}

/// Whether there is anything to do, and how to do it.
pub(crate) fn last_line(outlook: &Outlook, environment: Option<&str>, name: &str) -> String {
    let verdict = verdict(outlook);
    if !outlook.changes() {
        return verdict;
    }
    let environment = environment.map(|name| format!(" --environment {name}")).unwrap_or_default();
    format!("{verdict}: {name} deploy{environment}")
}

/// Whether there is anything to do, in one sentence.
fn verdict(outlook: &Outlook) -> String {
    let all = outlook.services.len();
    let changing = outlook.services.iter().filter(|service| service.expected != Expected::Nothing).count();
    match (changing, all) {
        (0, 1) => "nothing to do".to_owned(),
        (0, _) => format!("nothing to do for all {all} services"),
        _ if outlook.services.iter().all(|service| is_kept(service.expected)) => {
            format!("settings of {} to change", words::count(changing, "service"))
        }
        (_, 1) => "1 service to ship".to_owned(),
        _ if changing == all => format!("{all} services to ship"),
        _ => format!("{changing} of {all} services to ship"),
    }
}

/// Whether the tasks that run stay.
const fn is_kept(expected: Expected) -> bool {
    match expected {
        Expected::Nothing | Expected::Configure => true,
        Expected::Create | Expected::Change | Expected::PickUp | Expected::Retry => false,
    }
}

fn title(spec: &Spec, observed: &Observed) -> String {
    let place = match spec.environment.place {
        Place::Sandbox => "the sandbox".to_owned(),
        Place::Aws => format!("account {} in {}", observed.account, observed.region),
    };
    match &spec.environment.name {
        Some(name) if spec.environment.place == Place::Sandbox && name == "sandbox" => {
            "Plan for the sandbox".to_owned()
        }
        Some(name) => format!("Plan for {name}, {place}"),
        None => format!("Plan for {place}"),
    }
}

impl Page {
    fn service(&mut self, service: &ServiceOutlook, plan: &Plan, built: &mut BTreeMap<Key, Key>) {
        let name = self.paper.style.paint(Meaning::Strong, &service.service);
        let revision = service.runs.as_ref().map(|runs| runs.task_definition.to_string()).unwrap_or_default();
        let to = &service.image.to;
        let head = match (&service.runs, service.expected) {
            (_, Expected::Nothing) => format!("nothing to do: {revision} runs {to} already"),
            (_, Expected::Configure) => format!("{revision} runs {to} already, and its tasks stay"),
            (_, Expected::PickUp) => format!("{revision} with {to} is being rolled out already"),
            (Some(runs), _) => {
                format!("{} of {revision} in cluster {}", words::count(runs.desired as usize, "task"), cluster(service))
            }
            (None, _) => format!("new in cluster {}", cluster(service)),
        };
        self.line(&format!("{name}  {head}"));
        if let Some(drift) = &service.drift {
            self.drift(drift, service);
        }
        match service.expected {
            Expected::Nothing => return,
            Expected::Configure => return self.settings(service),
            Expected::PickUp => {
                self.settings(service);
                return self.item("watch", "until the older tasks have drained");
            }
            Expected::Create | Expected::Change | Expected::Retry => {}
        }
        let steps: Vec<_> = plan.steps.iter().filter(|step| is_of(step, service)).collect();
        self.image(service, &steps, built);
        let made: Vec<_> = steps
            .iter()
            .filter(|step| {
                matches!(
                    step.action,
                    Action::CreateTargetGroup { .. }
                        | Action::CreateLoadBalancer { .. }
                        | Action::CreateListener { .. }
                )
            })
            .collect();
        if let Some(first) = made.first() {
            self.item("create", &format!("load balancer, listener and target group ({})", first.cause));
        }
        self.register(service);
        for step in &steps {
            match &step.action {
                Action::CreateService { settings, .. } => {
                    let tasks = words::count(settings.desired_count as usize, "task");
                    self.item("roll out", &format!("{tasks}, the first of service {}", service.name));
                }
                Action::Before { one_off, .. } => {
                    self.item("before", &format!("run {}", secret::shown_command(&one_off.command)));
                }
                Action::Update { .. } => {
                    self.settings(service);
                    self.roll_out(service);
                }
                Action::CreateCluster { .. }
                | Action::CreateRepository { .. }
                | Action::CreateTargetGroup { .. }
                | Action::CreateLoadBalancer { .. }
                | Action::CreateListener { .. }
                | Action::Login { .. }
                | Action::Build(_)
                | Action::Check(_)
                | Action::Push { .. }
                | Action::PushTag { .. }
                | Action::Copy(_)
                | Action::StopDeployment { .. }
                | Action::Register(_)
                | Action::Watch { .. } => {}
            }
        }
    }

    /// Warnings with what to do, then what is not known.
    fn asides(&mut self, outlook: &Outlook) {
        for warning in &outlook.warnings {
            self.labelled("warning: ", Meaning::Caution, &warning.to_string());
            self.labelled("  hint:  ", Meaning::Aside, &warning.hint());
        }
        for unread in &outlook.unread {
            self.labelled("note: ", Meaning::Aside, &format!("{unread} ({} is not allowed)", unread.action()));
        }
    }

    /// Where its image comes from; one that several services run is told with the first of them.
    fn image(&mut self, service: &ServiceOutlook, steps: &[&Step], told: &mut BTreeMap<Key, Key>) {
        if let Some(first) = told.get(&service.image.image) {
            return self.item("build", &format!("the same image as {first}"));
        }
        let building = steps.iter().find_map(|step| {
            let Action::Build(building) = &step.action else { return None };
            Some(&**building)
        });
        let copying = steps.iter().find_map(|step| {
            let Action::Copy(copy) = &step.action else { return None };
            Some((&**copy, &step.cause))
        });
        if let Some((CopyAction { to, tag, digest, .. }, cause)) = copying {
            return self.item("copy", &format!("{}:{tag}, {}: {cause}", to.repository, digest.short()));
        }
        match (building, &service.image.digest) {
            (Some(BuildAction { tags, platform, .. }), _) => {
                told.insert(service.image.image.clone(), service.service.clone());
                let name = tags.first().map_or_else(
                    || service.image.to.clone(),
                    |tag| format!("{}:{}", tag.name.repository, service.image.to),
                );
                let further: Vec<_> =
                    tags.iter().skip(1).filter_map(|tag| tag.tag.as_ref()).map(ToString::to_string).collect();
                let further =
                    if further.is_empty() { String::new() } else { format!(", as {} too", further.join(", ")) };
                let platform = platform.as_ref().map(|platform| format!(" for {platform}")).unwrap_or_default();
                self.item("build", &format!("{name}{platform}, and push it{further}"));
                for step in steps.iter().filter(|step| matches!(step.action, Action::Check(_))) {
                    self.item("check", &step.cause);
                }
            }
            (None, Some(digest)) => {
                self.item("image", &format!("{} is in the registry already, {}", service.image.to, digest.short()));
            }
            (None, None) => {}
        }
    }

    fn register(&mut self, service: &ServiceOutlook) {
        let arrow = match &service.image.from {
            _ if service.runs.is_none() => return self.item("register", "its first task definition"),
            Some(from) if *from == service.image.to => format!("{from}, built again"),
            Some(from) => format!("{from} → {}", service.image.to),
            None => service.image.to.clone(),
        };
        if service.expected == Expected::Retry {
            return self.item("register", "nothing, the revision is there");
        }
        let mut rows =
            vec![Row { sign: "~", meaning: Meaning::Caution, path: "image".to_owned(), value: arrow, aside: "" }];
        rows.extend(service.changes.iter().map(|change| Row::of(change, &service.image.container, "")));
        self.rows("register", &rows);
    }

    /// What becomes different of the service itself.
    fn settings(&mut self, service: &ServiceOutlook) {
        let rows: Vec<_> =
            service.settings.iter().map(|change| Row::of(change, &service.image.container, "")).collect();
        self.rows("update", &rows);
    }

    fn drift(&mut self, drift: &Drift, service: &ServiceOutlook) {
        let Drift { shipped, live, changes: _ } = drift;
        self.item("drift", &format!("{live} comes from outside of docker-ecs-ship; since {shipped}, its last ship:"));
        let made = outlook::with_image(&service.changes, &service.image.container);
        let rows: Vec<_> = drift
            .fates(&made)
            .into_iter()
            .map(|(field, fate)| {
                let aside = match fate {
                    Fate::Kept => "kept",
                    Fate::Overwritten(_) => "overwritten",
                };
                Row::of(field, &service.image.container, aside)
            })
            .collect();
        self.rows("", &rows);
    }

    fn roll_out(&mut self, service: &ServiceOutlook) {
        let Some(runs) = &service.runs else { return };
        let tasks = words::count(runs.desired as usize, "task");
        let text = match (service.expected, runs.desired) {
            (_, 0) => "the service wants no task, so nothing is started".to_owned(),
            (Expected::Retry, _) => format!("{tasks} of {} once more, its rollout failed", runs.task_definition),
            _ => {
                let drain = words::countdown(service.drain_ms);
                format!("{tasks}, then drain those of {} ({drain} at most)", runs.task_definition)
            }
        };
        self.item("roll out", &text);
    }
}

fn cluster(service: &ServiceOutlook) -> &str {
    service.cluster.as_str().rsplit('/').next().unwrap_or_default()
}

/// Whether a step is about the service, or about the image it runs.
fn is_of(step: &Step, service: &ServiceOutlook) -> bool {
    match &step.action {
        Action::Build(build) => build.image == service.image.image,
        Action::Check(check) => check.image == service.image.image,
        Action::Push { image, .. } | Action::PushTag { image, .. } => *image == service.image.image,
        // Services with one image may run two versions of it there.
        Action::Copy(copy) => copy.image == service.image.image && Some(&copy.digest) == service.image.digest.as_ref(),
        other => other.subject() == Some(&service.service),
    }
}

#[cfg(test)]
mod tests;
