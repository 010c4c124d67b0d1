//! After how many tasks of a kind a rollout is given up: every text of the table of reasons, through the machine.

use super::*;
use crate::{
    event::FailedKind,
    rollout::{
        machine::Asked,
        reason::{
            Class, of_text,
            table::{Acts, Group, Quoted, TABLE, Told},
        },
    },
};

/// A rollout whose new tasks do not come to anything.
fn begun() -> (Model, Machine) {
    let model = Model { course: Course::Stuck, ..Model::usual() };
    let mut goal = model.goal(DoneWhen::Drained);
    goal.terms.on_failure = OnFailure::TakeBack;
    let machine = Machine::new(goal, START);
    (model, machine)
}

/// What is told of `times` tasks, or events, of a kind, and whether the rollout is given up then.
fn seen(told: Told, times: u64) -> (Vec<Progress>, bool) {
    let (model, mut machine) = begun();
    let mut view = model.answer(&Ask::all(), TICK);
    let ids = 0..times;
    match told {
        Told::Task(..) => {
            let tasks = ids.filter_map(|id| told.task(&format!("2{id}")));
            view.tasks.get_or_insert_default().extend(tasks);
        }
        Told::Event(_) => {
            let events =
                ids.map(|id| EventView { id: format!("told-{id}"), time_ms: START + TICK + id, text: told.text() });
            let service = view.service.as_mut().expect("it was asked for");
            service.events.splice(0..0, events);
        }
        Told::Log(line) => {
            let exited = |id| {
                ended(&format!("2{id}"), "EssentialContainerExited", "Essential container in task exited", Some(1))
            };
            let tasks: Vec<_> = ids.map(exited).collect();
            view.tasks.get_or_insert_default().extend(tasks.clone());
            // Its log is read when the task is told.
            machine.see(&view, START + TICK);
            for task in &tasks {
                machine.learn(&task.id, of_text(line).expect("it is understood"));
            }
        }
    }
    let heard = machine.see(&view, START + TICK + 1);
    (heard.progress, heard.take_back.is_some())
}

#[test]
fn a_rollout_is_given_up_after_the_first_the_second_or_never() {
    for Quoted { told, acts, .. } in TABLE {
        let first = (1..=4).find(|times| seen(*told, *times).1);
        let expected = match (acts, told) {
            (Acts::First, _) => Some(1),
            // What an event says of tasks is counted where the tasks are.
            (Acts::Second, Told::Event(_)) | (Acts::Never, _) => None,
            (Acts::Second, Told::Task(..) | Told::Log(_)) => Some(2),
        };
        assert_eq!(first, expected, "{told:?}");
    }
}

#[test]
fn causes_are_set_apart_by_who_is_to_blame() {
    for Quoted { told, group, .. } in TABLE {
        let Told::Task(_, reason, ..) = told else { continue };
        let failed = seen(*told, 1).0.into_iter().find_map(|progress| match progress {
            Progress::TaskFailed { task, .. } => Some(task.kind),
            _ => None,
        });
        // A replacement is no failure, and not told as one; nor is a task that the scheduler ended without a word.
        let is_replaced = reason.starts_with("Scaling activity");
        let expected = match group {
            _ if is_replaced => None,
            Group::Ours => Some(FailedKind::Failed),
            Group::Noise => Some(FailedKind::Lost),
        };
        assert_eq!(failed, expected, "{told:?}");
    }
}

#[test]
fn a_target_says_why_it_was_unhealthy() {
    let (model, mut machine) = begun();
    let sick = |state: &str, description: Option<&str>| TargetView {
        target_group: "tg".to_owned(),
        address: "10.0.0.1:20".to_owned(),
        state: state.to_owned(),
        reason: description.map(|_| "Target.ResponseCodeMismatch".to_owned()),
        description: description.map(str::to_owned),
    };
    let mut task = task("20", Side::New, "RUNNING", "RUNNING");
    let mut view = model.answer(&Ask::all(), TICK);
    view.tasks.get_or_insert_default().push(task.clone());
    view.targets.get_or_insert_default().push(sick("unhealthy", Some("Health checks failed with these codes: [503]")));
    machine.see(&view, START + TICK);
    // When the task is given up, its target drains and has no word of it any longer.
    task.last_status = "DEACTIVATING".to_owned();
    task.stopped_reason = Some("Task failed ELB health checks in (target-group tg)".to_owned());
    view.tasks = Some(vec![task]);
    view.targets = Some(vec![sick("draining", None)]);
    let told = machine.see(&view, START + TICK + 1).progress.into_iter().find_map(|progress| match progress {
        Progress::TaskFailed { task, .. } => Some(task.explanation),
        _ => None,
    });
    let said = "the load balancer found it unhealthy (Target.ResponseCodeMismatch: Health checks failed with these codes: [503]): check path";
    assert!(told.as_ref().is_some_and(|told| told.starts_with(said)), "{told:?}");
}

/// ECS waited 6 min before the third start of a missing image; a breaker that counts speaks in the end.
#[test]
fn a_breaker_that_counts_is_waited_for() {
    let model = Model { course: Course::Stuck, ..Model::usual() };
    let goal = model.goal(DoneWhen::Drained);
    let end = |failures: u32, status: &str| {
        watch(goal.clone(), |ask, t| {
            let mut view = model.answer(ask, t);
            if let Some(deployment) = &mut view.deployment {
                deployment.breaker = Some(BreakerView { status: status.to_owned(), failures, threshold: 3 });
            }
            view
        })
    };
    assert_eq!(end(1, "MONITORING").verdict, Verdict::TimedOut { clock: Clock::Total });
    for (failures, status) in [(0, "MONITORING"), (1, "DISABLED"), (1, "A_NEW_WORD")] {
        assert_eq!(end(failures, status).verdict, Verdict::TimedOut { clock: Clock::NoProgress }, "{status}");
    }
}

/// Chosen to stop is not signalled: the target is deregistered one move of the scheduler later.
#[test]
fn a_task_that_is_chosen_to_stop_drains_first_and_counts_down_from_the_deregistration() {
    let model = Model::usual();
    let mut machine = Machine::new(model.goal(DoneWhen::Drained), START);
    let board = |machine: &mut Machine, view: &View, t: u64| {
        let progress = machine.see(view, START + t).progress;
        let board = progress.into_iter().find_map(|progress| match progress {
            Progress::Board(board) => Some(board),
            _ => None,
        });
        board
            .expect("a board")
            .tasks
            .into_iter()
            .find(|task| task.id == "10")
            .map(|task| (task.state, task.drain_left_ms))
    };
    let t = model.healthy_at() + 1_000;
    let mut view = model.answer(&Ask::all(), t);
    assert_eq!(board(&mut machine, &view, t), Some((TaskState::Healthy, None)));
    for task in view.tasks.iter_mut().flatten().filter(|task| task.id == "10") {
        task.desired_status = "STOPPED".to_owned();
    }
    assert_eq!(board(&mut machine, &view, t + 1_000), Some((TaskState::Draining, None)));
    let draining = model.answer(&Ask::all(), model.drains_at());
    assert_eq!(board(&mut machine, &draining, model.drains_at()), Some((TaskState::Draining, Some(model.drain))));
}

#[test]
fn who_runs_out_of_time_without_an_answer_does_not_know() {
    let model = Model::usual();
    let watched =
        watch(model.goal(DoneWhen::Drained), |ask, t| if t < 12_000 { model.answer(ask, t) } else { View::default() });
    assert_eq!(
        (watched.verdict.clone(), watched.live),
        (Verdict::TimedOut { clock: Clock::NoProgress }, Live::Unknown)
    );
    assert_eq!(watched.verdict.exit(watched.live), Exit::RolloutUnknown);
    // And of what was seen all along it is said.
    let stuck = clear(&Model { course: Course::Stuck, ..model }, DoneWhen::Drained);
    assert_eq!(stuck.live, Live::Unchanged);
}

/// Of two sources it takes one that still speaks.
#[test]
fn who_runs_out_of_time_knows_by_tasks_or_by_counts() {
    let model = Model { course: Course::Stuck, ..Model::usual() };
    for lost in [Part::Tasks, Part::Service] {
        let watched = watch(model.goal(DoneWhen::Drained), |ask, t| {
            let mut view = model.answer(ask, t);
            match lost {
                _ if t < 12_000 => {}
                Part::Tasks => view.tasks = None,
                Part::Service => view.service = None,
                Part::Deployment | Part::Targets => unreachable!("not lost here"),
            }
            view
        });
        assert_eq!(watched.verdict, Verdict::TimedOut { clock: Clock::NoProgress }, "{lost:?}");
        assert_eq!(watched.live, Live::Unchanged, "{lost:?}");
    }
}

fn crashed(id: &str) -> TaskView {
    ended(id, "EssentialContainerExited", "Essential container in task exited", Some(1))
}

/// ECS need not have begun to take it back when the next task falls.
#[test]
fn a_rollout_is_given_up_once() {
    let (model, mut machine) = begun();
    let mut look = |ids: &[&str], t: u64| {
        let tasks = ids.iter().map(|id| crashed(id)).collect();
        let view = View { tasks: Some(tasks), ..model.answer(&Ask::all(), t) };
        let given_up = machine.see(&view, START + t).take_back.is_some();
        (given_up, machine.may_be_taken_back())
    };
    assert_eq!(look(&["20"], TICK), (false, true));
    assert_eq!(look(&["20", "21"], TICK + 1_000), (true, false));
    assert_eq!(look(&["20", "21", "22"], TICK + 2_000), (false, false));
    assert_eq!(look(&["20", "21", "22", "23"], TICK + 3_000), (false, false));
    assert_eq!(machine.take_back_for("others failed"), Asked::Already);
}

/// What dies of one that is live is replaced by ECS; and one that ECS takes back needs no asking.
#[test]
fn what_is_live_or_goes_back_already_is_not_given_up() {
    let given_up = |course: Course, looks: &[(u64, usize)]| {
        let model = Model { course, ..Model::usual() };
        let mut goal = model.goal(DoneWhen::Drained);
        goal.terms.on_failure = OnFailure::TakeBack;
        let mut machine = Machine::new(goal, START);
        let mut given_up = false;
        for (t, fallen) in looks {
            let mut view = model.answer(&Ask::all(), *t);
            view.tasks.get_or_insert_default().extend((0..*fallen).map(|id| crashed(&format!("3{id}"))));
            given_up |= machine.see(&view, START + t).take_back.is_some();
        }
        given_up
    };
    let healthy = Model::usual().healthy_at();
    assert!(given_up(Course::Success, &[(TICK, 0), (healthy - 1_000, 2)]), "not live yet");
    assert!(!given_up(Course::Success, &[(TICK, 0), (healthy, 0), (healthy + 1_000, 2)]), "live");
    assert!(!given_up(Course::RolledBack, &[(TICK, 0), (TURN, 2), (TURN + 1_000, 3)]), "on its way back");
}

#[test]
fn only_ours_is_counted_of_many_kinds() {
    let (model, mut machine) = begun();
    let spot = |id: &str| ended(id, "SpotInterruption", "Your Spot Task was interrupted.", None);
    let crash = ended("30", "EssentialContainerExited", "Essential container in task exited", Some(1));
    let tasks = vec![spot("20"), spot("21"), spot("22"), crash];
    let heard = machine.see(&View { tasks: Some(tasks), ..model.answer(&Ask::all(), 0) }, START);
    assert_eq!(heard.take_back, None, "one crash among hosts that were taken away");
    assert_eq!(of_text("Your Spot Task was interrupted.").map(|reason| reason.class), Some(Class::Noise));
}

/// An old task died, and its image is gone: that is no reason to go back to it.
#[test]
fn what_befalls_the_old_revision_is_not_held_against_the_new_one() {
    let text = "(service web) was unable to place a task. Reason: CannotPullContainerError: ref pull has been retried 1 time(s): failed to resolve ref 111111111111.dkr.ecr.eu-west-1.amazonaws.com/web:41: not found.";
    let given_up = |old_failed: u32, own_failed: u32| {
        let (model, mut machine) = begun();
        let mut view = model.answer(&Ask::all(), TICK);
        let service = view.service.as_mut().expect("it was asked for");
        service.events.insert(0, EventView { id: "pull".to_owned(), time_ms: START + TICK, text: text.to_owned() });
        for deployment in &mut service.deployments {
            deployment.failed = if deployment.id == OURS { own_failed } else { old_failed };
        }
        machine.see(&view, START + TICK).take_back.is_some()
    };
    assert_eq!([given_up(0, 0), given_up(0, 1), given_up(1, 1), given_up(1, 0)], [true, true, true, false]);
}
