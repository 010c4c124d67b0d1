//! A rollback that only one of the two answers tells of: `DescribeServiceDeployments` may name the end of the deployment
//! before ours, `DescribeServices` may have taken ours from its list.

use super::*;
use crate::event::Board;

/// One of `deployments[]`: id, status and `rolloutState`, with a reason that says nothing.
type Listed = (&'static str, &'static str, &'static str);

const GOING: &[Listed] = &[(OURS, "PRIMARY", "IN_PROGRESS"), (OLD, "ACTIVE", "COMPLETED")];

fn look(listed: Option<&[Listed]>, status: &str) -> View {
    let truth = Model::usual().at(i64::try_from(TICK).expect("small"));
    let service = listed.map(|listed| {
        let mut service = truth.service.clone().expect("it is there");
        let one = service.deployments[0].clone();
        service.deployments = listed
            .iter()
            .map(|(id, status, state)| DeploymentView {
                id: (*id).to_owned(),
                status: (*status).to_owned(),
                rollout_state: Some((*state).to_owned()),
                rollout_reason: None,
                ..one.clone()
            })
            .collect();
        service
    });
    let deployment =
        truth.deployment.map(|deployment| ServiceDeploymentView { status: status.to_owned(), ..deployment });
    View { service, deployment, ..View::default() }
}

/// Between two looks, in milliseconds.
const STEP: u64 = 4_000;

/// The end and how many looks it took, four seconds apart.
fn end_of(model: &Model, looks: &[View]) -> Option<(u64, Verdict)> {
    let mut machine = Machine::new(model.goal(DoneWhen::Drained), START);
    (0..).zip(looks).find_map(|(number, view)| match machine.see(view, START + TICK + number * STEP).next {
        Next::Ended(verdict) => Some((number, verdict)),
        Next::Look { .. } => None,
    })
}

fn end(looks: &[View]) -> Option<Verdict> {
    end_of(&Model::usual(), looks).map(|(_, verdict)| verdict)
}

fn is_rolled_back(looks: &[View]) -> bool {
    match end(looks) {
        Some(Verdict::RolledBack { .. }) => true,
        None => false,
        Some(other) => panic!("{other:?}"),
    }
}

#[test]
fn an_end_that_the_service_contradicts_is_not_ours() {
    let begun = look(Some(GOING), "IN_PROGRESS");
    assert!(!is_rolled_back(&[begun.clone(), look(Some(GOING), "ROLLBACK_SUCCESSFUL")]));
    // One word of the service that fits is enough: another is PRIMARY, or ours has failed.
    let replaced: &[Listed] = &[(OLD, "PRIMARY", "COMPLETED"), (OURS, "ACTIVE", "IN_PROGRESS")];
    assert!(is_rolled_back(&[begun.clone(), look(Some(replaced), "ROLLBACK_SUCCESSFUL")]));
    assert!(is_rolled_back(&[begun, look(Some(FAILED), "ROLLBACK_SUCCESSFUL")]));
}

/// The old one is PRIMARY again under its own id, as it was before the update: one such answer may be an old one.
#[test]
fn what_the_service_knows_no_longer_was_taken_back() {
    let forgotten = || look(Some(&[(OLD, "PRIMARY", "COMPLETED")]), "ROLLBACK_SUCCESSFUL");
    let begun = look(Some(GOING), "IN_PROGRESS");
    assert!(!is_rolled_back(&[begun.clone(), forgotten()]));
    assert!(is_rolled_back(&[begun, forgotten(), forgotten()]));
}

#[test]
fn without_a_word_of_the_service_an_end_is_believed_that_was_seen_to_come() {
    let silent = |status: &str| look(None, status);
    assert!(is_rolled_back(&[silent("IN_PROGRESS"), silent("ROLLBACK_SUCCESSFUL")]));
    assert!(!is_rolled_back(&[silent("ROLLBACK_SUCCESSFUL"), silent("ROLLBACK_SUCCESSFUL")]));
}

const FAILED: &[Listed] = &[(OURS, "PRIMARY", "FAILED"), (OLD, "ACTIVE", "COMPLETED")];

/// The same where the service-deployments API has no answer.
fn bare(mut view: View) -> View {
    view.deployment = None;
    if let Some(service) = &mut view.service {
        service.current_service_deployment = None;
    }
    view
}

/// The same look so many times after the first.
fn then(begun: View, view: &View, times: usize) -> Vec<View> {
    std::iter::once(begun).chain(std::iter::repeat_n(view.clone(), times)).collect()
}

/// Whoever replaced it shows up within half a minute; and an end that was not seen to come may be that of the one before.
#[test]
fn what_was_stopped_for_nobody_is_told_when_nobody_has_shown_up() {
    let begun = || look(Some(GOING), "IN_PROGRESS");
    let mut stopped = look(Some(GOING), "STOPPED");
    for names_it in [true, false] {
        if let Some(service) = stopped.service.as_mut().filter(|_| !names_it) {
            service.current_service_deployment = None;
        }
        // Stopped is seen first by the second look, and the one of 32 s later is clearly newer.
        assert_eq!(end_of(&Model::usual(), &then(begun(), &stopped, 12)), Some((9, Verdict::Stopped)), "{names_it}");
    }
    assert_eq!(end(&then(look(Some(GOING), "STOPPED"), &stopped, 20)), None, "never seen under way");
    let ended = end_of(&Model::usual(), &[begun(), look(Some(FAILED), "STOPPED")]);
    assert!(matches!(ended, Some((1, Verdict::Failed { .. }))), "{ended:?}");
}

/// ECS has two moves' time to take back what it calls failed, by either source.
#[test]
fn a_failure_that_is_not_taken_back_is_one_after_two_moves_of_the_scheduler() {
    let without = Model { api: Api::Absent, ..Model::usual() };
    for (model, begun, failed) in [
        (Model::usual(), look(Some(GOING), "IN_PROGRESS"), look(Some(FAILED), "IN_PROGRESS")),
        (without, bare(look(Some(GOING), "")), bare(look(Some(FAILED), ""))),
    ] {
        let ended = end_of(&model, &then(begun, &failed, 12));
        assert!(matches!(ended, Some((number, Verdict::Failed { .. })) if number == 1 + 20_000 / STEP), "{ended:?}");
    }
}

/// Without a word of the API for it: ours has failed, so what is PRIMARY in its place takes it back.
#[test]
fn what_replaces_one_that_has_failed_is_a_rollback_and_no_other_deployment() {
    let model = Model { api: Api::Absent, ..Model::usual() };
    for (state, expected) in [("FAILED", true), ("IN_PROGRESS", false)] {
        let replaced: &[Listed] = &[(THEIRS, "PRIMARY", "COMPLETED"), (OURS, "ACTIVE", state)];
        let ended = end_of(&model, &[bare(look(Some(GOING), "")), bare(look(Some(replaced), ""))]);
        assert_eq!(matches!(ended, Some((1, Verdict::RolledBack { .. }))), expected, "{ended:?}");
        assert_eq!(matches!(ended, Some((1, Verdict::Superseded { .. }))), !expected, "{ended:?}");
    }
}

/// ECS was taking it back when somebody deleted the service: it lists no deployment any more, and nothing will come of it.
#[test]
fn a_service_that_is_deleted_while_it_goes_back_has_failed_and_is_not_waited_for() {
    let back: &[Listed] = &[(OLD, "PRIMARY", "IN_PROGRESS"), (OURS, "ACTIVE", "FAILED")];
    let mut deleted = look(Some(&[]), "STOPPED");
    if let Some(service) = &mut deleted.service {
        "INACTIVE".clone_into(&mut service.status);
    }
    let looks =
        [look(Some(GOING), "IN_PROGRESS"), look(Some(back), "ROLLBACK_IN_PROGRESS"), deleted.clone(), deleted.clone()];
    let why = "the service was deleted while it was rolled out (INACTIVE)".to_owned();
    assert_eq!(end_of(&Model::usual(), &looks), Some((3, Verdict::Failed { why })), "one answer may be an old one");
    // The one of the same name that was deleted before ours was made.
    let begun = look(Some(GOING), "IN_PROGRESS");
    assert_eq!(end(&[deleted.clone(), deleted.clone(), deleted.clone(), begun.clone(), deleted, begun]), None);
}

#[test]
fn a_breaker_is_blamed_where_it_has_tripped() {
    for (status, expected) in [("TRIGGERED", "its circuit breaker tripped"), ("MONITORING", "ECS gave no reason")] {
        let mut last = look(Some(FAILED), "ROLLBACK_SUCCESSFUL");
        if let Some(deployment) = &mut last.deployment {
            deployment.breaker = Some(BreakerView { status: status.to_owned(), failures: 3, threshold: 3 });
        }
        assert_eq!(end(&[look(Some(GOING), "IN_PROGRESS"), last]), Some(Verdict::RolledBack { why: expected.into() }));
    }
}

#[test]
fn what_may_be_read_after_all_is_no_longer_said_to_be_denied() {
    let model = Model::usual();
    let mut machine = Machine::new(model.goal(DoneWhen::Drained), START);
    let mut denied = |view: &View, t: u64| {
        let progress = machine.see(view, START + t).progress;
        let mut boards = progress.into_iter().filter_map(|progress| match progress {
            Progress::Board(Board { denied, .. }) => Some(denied),
            _ => None,
        });
        boards.next_back().expect("a board")
    };
    let mut view = model.answer(&Ask::all(), TICK);
    view.tasks = None;
    view.denied = BTreeMap::from([(Part::Tasks, "ecs:ListTasks".to_owned())]);
    assert_eq!(denied(&view, TICK).len(), 1);
    assert_eq!(denied(&View::default(), TICK + 1_000).len(), 1);
    assert!(denied(&model.answer(&Ask::all(), TICK + 2_000), TICK + 2_000).is_empty());
}

/// A success of ECS, a steady state and the end of the old tasks are three things, in whatever order they come.
#[test]
fn steady_is_said_when_the_old_are_gone_and_ecs_has_said_so() {
    let steady = |at: u64| EventView {
        id: "steady".to_owned(),
        time_ms: START + at,
        text: "(service web) has reached a steady state.".to_owned(),
    };
    let ends = |model: &Model, said_at: u64| {
        let watched = watch(model.goal(DoneWhen::Steady), |ask, t| {
            let mut view = model.answer(ask, t);
            if let Some(service) = &mut view.service {
                service.events.retain(|event| event.time_ms < START || !event.text.contains("steady"));
                if t >= said_at {
                    service.events.insert(0, steady(said_at));
                }
            }
            view
        });
        (watched.verdict, watched.end)
    };
    let early = Model { course: Course::EarlySuccess, ..Model::usual() };
    let (verdict, end) = ends(&early, early.success_at());
    assert_eq!(verdict, Verdict::Steady);
    assert!(
        end >= early.drained_at(),
        "said at once, and {} ms before the last old task is gone",
        early.drained_at() - end
    );
    let usual = Model::usual();
    let late = usual.drained_at() + 30_000;
    let (verdict, end) = ends(&usual, late);
    assert_eq!(verdict, Verdict::Steady);
    assert!(end >= late, "{end}");
}

/// A task of ours died just when ECS was content: there is one too few, whatever the status says.
#[test]
fn a_success_with_too_few_tasks_is_not_drained_yet() {
    let model = Model::usual();
    let whole = model.drained_at() + 15_000;
    let watched = watch(model.goal(DoneWhen::Drained), |ask, t| {
        let mut view = model.answer(ask, t);
        let too_few = (model.success_at()..whole).contains(&t);
        if let Some(service) = view.service.as_mut().filter(|_| too_few) {
            for own in service.deployments.iter_mut().filter(|deployment| deployment.id == OURS) {
                own.running -= 1;
            }
        }
        view
    });
    assert_eq!(watched.verdict, Verdict::Drained);
    assert!(watched.end >= whole, "{} of {whole}", watched.end);
}
