//! What is called live or done without all of the answers, and what is not.

use super::*;

/// One look in the middle: so many tasks of ours run by ECS's counts, and the old ones are still wanted or not.
#[derive(Clone, Copy)]
struct Counts {
    desired: u32,
    own: u32,
    old_desired: u32,
}

const WHOLE: Counts = Counts { desired: 2, own: 2, old_desired: 0 };

#[derive(Clone, Copy, PartialEq)]
enum Read {
    Nothing,
    Tasks,
    Targets,
    Both,
}

/// Whether one such look is enough for `done_when = live`, before ECS has called it a success.
fn is_live(counts: Counts, read: Read) -> bool {
    let model = Model::usual();
    let t = model.healthy_at();
    let mut view = model.answer(&Ask::all(), t);
    let service = view.service.as_mut().expect("it was asked for");
    service.desired = counts.desired;
    for deployment in &mut service.deployments {
        if deployment.id == OURS {
            (deployment.running, deployment.desired) = (counts.own, counts.desired);
        } else {
            deployment.desired = counts.old_desired;
        }
    }
    if matches!(read, Read::Nothing | Read::Targets) {
        view.tasks = None;
        view.denied.insert(Part::Tasks, "ecs:ListTasks".to_owned());
    }
    if matches!(read, Read::Nothing | Read::Tasks) {
        view.targets = None;
    }
    let mut machine = Machine::new(model.goal(DoneWhen::Live), START);
    match machine.see(&view, START + t).next {
        Next::Ended(Verdict::Live) => true,
        Next::Ended(other) => panic!("{other:?}"),
        Next::Look { .. } => false,
    }
}

/// | read              | old ones by ECS's counts | live |
/// |-------------------|--------------------------|------|
/// | tasks and targets | wanted                   | yes  |
/// | not both          | wanted                   | no   |
/// | nothing           | wanted no more           | yes  |
#[test]
fn live_is_what_was_read_or_what_ecs_acts_upon() {
    assert!(is_live(Counts { old_desired: 2, ..WHOLE }, Read::Both));
    for read in [Read::Nothing, Read::Tasks, Read::Targets] {
        assert!(!is_live(Counts { old_desired: 2, ..WHOLE }, read), "the old ones are all wanted still");
    }
    assert!(is_live(WHOLE, Read::Nothing));
}

#[test]
fn too_few_by_the_counts_are_not_live_whatever_else_was_read() {
    for read in [Read::Nothing, Read::Both] {
        assert!(!is_live(Counts { own: 1, ..WHOLE }, read));
        assert!(!is_live(Counts { own: 0, ..WHOLE }, read));
        assert!(!is_live(Counts { desired: 0, own: 0, old_desired: 0 }, read), "none of none");
    }
}

/// ECS calls it a success and counts all as running, and the list of tasks knows of one that has ended meanwhile and is
/// replaced only later.
#[test]
fn a_success_is_not_done_while_a_task_of_ours_is_known_to_have_ended() {
    let model = Model::usual();
    let whole = model.drained_at() + 15_000;
    let watched = watch(model.goal(DoneWhen::Drained), |ask, t| {
        let mut view = model.answer(ask, t);
        if t >= model.success_at() {
            for task in view.tasks.iter_mut().flatten().filter(|task| task.id == "20") {
                (task.last_status, task.desired_status) = ("STOPPED".to_owned(), "STOPPED".to_owned());
            }
        }
        if t >= whole {
            let target = |id: &str| TargetView {
                target_group: "tg".to_owned(),
                address: format!("10.0.0.1:{id}"),
                state: "healthy".to_owned(),
                reason: None,
                description: None,
            };
            view.tasks.iter_mut().for_each(|tasks| tasks.push(task("22", Side::New, "RUNNING", "RUNNING")));
            view.targets.iter_mut().for_each(|targets| targets.push(target("22")));
        }
        view
    });
    assert_eq!(watched.verdict, Verdict::Drained);
    assert!(watched.end >= whole, "{} of {whole}", watched.end);
}

/// Read once before any of ours was there, and never again: then ECS's own word has to do.
#[test]
fn tasks_that_may_not_be_read_any_more_do_not_keep_a_success_from_its_end() {
    let model = Model::usual();
    let watched = watch(model.goal(DoneWhen::Drained), |ask, t| {
        let mut view = model.answer(ask, t);
        if t > 0 && ask.wants(Part::Tasks) {
            view.tasks = None;
            view.denied.insert(Part::Tasks, "ecs:ListTasks".to_owned());
        }
        view
    });
    assert_eq!(watched.verdict.exit(watched.live), Exit::Done, "{:?}", watched.verdict);
    assert!(watched.end >= model.drained_at());
}

/// Where the percentages let nothing start before an old task is gone, a whole drain passes without a move.
#[test]
fn a_drain_before_the_first_start_is_no_standstill() {
    let model = Model { course: Course::Stuck, ..Model::usual() };
    let budget = model.budget();
    let end = |drains: bool| {
        let watched = watch(model.goal(DoneWhen::Drained), |ask, t| {
            let mut view = model.answer(ask, t);
            for task in view.tasks.iter_mut().flatten().filter(|task| drains && task.id == "10") {
                (task.last_status, task.desired_status) = ("DEACTIVATING".to_owned(), "STOPPED".to_owned());
            }
            view
        });
        assert_eq!(watched.verdict, Verdict::TimedOut { clock: Clock::NoProgress });
        watched.end
    };
    assert!((budget.no_progress_ms..budget.no_progress_ms + 10_000).contains(&end(false)));
    let longer = budget.no_progress_ms + budget.drain_ms;
    assert!((longer..longer + 10_000).contains(&end(true)));
}

/// The old ones drain for ever, and one of ours has died since: nobody may say that the new revision serves alone.
#[test]
fn a_drain_that_runs_out_under_too_few_tasks_is_out_of_time() {
    let model = Model { drain: 600_000, ..Model::usual() };
    let mut goal = model.goal(DoneWhen::Drained);
    goal.terms.budget.drain_ms = 60_000;
    let end = |dies: bool| {
        let watched = watch(goal.clone(), |ask, t| {
            let mut view = model.answer(ask, t);
            if dies && t > model.drains_at() + 20_000 {
                let own = view.service.iter_mut().flat_map(|service| &mut service.deployments);
                own.filter(|deployment| deployment.id == OURS).for_each(|own| own.running = 1);
                view.tasks.iter_mut().for_each(|tasks| tasks.retain(|task| task.id != "20"));
            }
            view
        });
        watched.verdict
    };
    assert_eq!(end(false), Verdict::DrainUnfinished);
    assert_eq!(end(true), Verdict::TimedOut { clock: Clock::Drain });
}
