//! What ECS waits for on purpose, and what is not to be seen: traffic that is shifted in steps, a hook that waits
//! for somebody, a part that may not be read.

use super::*;
use crate::event::{Board, FailedKind};

const MINUTE: u64 = 60_000;

/// Ten minutes with 5 % of the traffic, then five of bake.
const STEP_BAKE: u64 = 10 * MINUTE;
const BAKE: u64 = 5 * MINUTE;

/// A canary of the usual rollout: the new tasks are healthy long before any traffic goes to them, and the old ones
/// stay until the bake is over. `hold` is how long a hook waits for somebody before the traffic is shifted.
fn canary(model: &Model, hold: u64, ask: &Ask, t: u64) -> View {
    let ready = model.healthy_at() + TICK;
    let first = ready + hold;
    let all = first + STEP_BAKE;
    let bake_over = all + BAKE;
    // The old tasks as they are before they drain, until the bake is over.
    let shown = if t < bake_over { t.min(model.drains_at() - 1) } else { model.drains_at() + (t - bake_over) };
    let mut view = model.answer(ask, shown);
    if let Some(deployment) = &mut view.deployment {
        let (stage, permille) = match t {
            _ if t < ready => ("SCALE_UP", 0),
            _ if t < first => ("PRE_PRODUCTION_TRAFFIC_SHIFT", 0),
            _ if t < all => ("PRODUCTION_TRAFFIC_SHIFT", 50),
            _ if t < bake_over => ("BAKE_TIME", 1000),
            _ => ("CLEAN_UP", 1000),
        };
        deployment.stage = Some(stage.to_owned());
        deployment.bake_ms = BAKE;
        deployment.shift = Some(ShiftView {
            strategy: "CANARY".to_owned(),
            production_permille: Some(permille),
            test_permille: None,
            step_bake_ms: STEP_BAKE,
            steps: 2,
        });
        deployment.hooks = vec![HookView {
            id: "hook-1".to_owned(),
            kind: "PAUSE".to_owned(),
            status: if (ready..first).contains(&t) { "AWAITING_ACTION" } else { "SUCCEEDED" }.to_owned(),
            expires_ms: Some(START + 24 * 60 * MINUTE),
            timeout_action: Some("ROLLBACK".to_owned()),
        }];
    }
    view
}

fn boards(progress: &[Progress]) -> impl Iterator<Item = &Board> {
    progress.iter().filter_map(|progress| match progress {
        Progress::Board(board) => Some(board),
        _ => None,
    })
}

#[test]
fn a_shift_of_traffic_is_neither_a_standstill_nor_live_before_its_end() {
    let model = Model::usual();
    // Twice the time that nothing may move for.
    let hold = 2 * model.budget().no_progress_ms;
    let shifted = model.healthy_at() + TICK + hold + STEP_BAKE;
    let watched = watch(model.goal(DoneWhen::Drained), |ask, t| canary(&model, hold, ask, t));
    assert_eq!((watched.verdict, watched.live), (Verdict::Drained, Live::New));
    for board in boards(&watched.progress) {
        let is_live = matches!(board.phase, Phase::Healthy | Phase::Draining | Phase::Drained);
        assert!(!is_live || board.elapsed_ms >= shifted, "live at {} ms", board.elapsed_ms);
    }
    let hooks: BTreeSet<_> = boards(&watched.progress).filter_map(|board| board.hook.as_ref()).collect();
    let [hook] = hooks.into_iter().collect::<Vec<_>>()[..] else { panic!("one hook is shown") };
    assert_eq!(hook.stage.as_deref(), Some("PRE_PRODUCTION_TRAFFIC_SHIFT"));
    assert_eq!(
        hook.command,
        format!(
            "aws ecs continue-service-deployment --service-deployment-arn {ARN} --hook-id hook-1 --action CONTINUE"
        )
    );
    let permilles: BTreeSet<_> = boards(&watched.progress)
        .filter_map(|board| board.shift.as_ref())
        .filter_map(|shift| shift.production_permille)
        .collect();
    assert_eq!(permilles, [0, 50, 1000].into());
    let baking: Vec<_> = boards(&watched.progress).filter_map(|board| board.shift.as_ref()?.bake_left_ms).collect();
    let baking = baking.into_iter();
    assert!(baking.clone().max() <= Some(BAKE) && baking.min() < Some(BAKE / 10), "it counts down");
    let live = watch(model.goal(DoneWhen::Live), |ask, t| canary(&model, hold, ask, t));
    assert_eq!(live.verdict, Verdict::Live);
    assert!(live.end >= shifted, "{} of {shifted}", live.end);
}

#[test]
fn a_hook_that_nobody_answers_ends_as_one_and_in_time() {
    let model = Model::usual();
    let watched = watch(model.goal(DoneWhen::Drained), |ask, t| canary(&model, 60 * 60 * MINUTE, ask, t));
    assert_eq!(watched.verdict, Verdict::TimedOut { clock: Clock::Somebody });
    // The total, and what the pauses take.
    assert!(watched.end <= model.budget().total_ms + 2 * STEP_BAKE + BAKE + 10_000, "{}", watched.end);
}

#[test]
fn the_first_tasks_of_a_service_are_not_healthy_before_they_are_registered() {
    let model = Model { course: Course::Stuck, desired: 2, ..Model::usual() };
    let mut goal = model.goal(DoneWhen::Drained);
    goal.started.previous = None;
    let mut machine = Machine::new(goal, START);
    let tasks = ["20", "21"].map(|id| task(id, Side::New, "RUNNING", "RUNNING")).to_vec();
    let states = |machine: &mut Machine, view: &View, now| {
        let heard = machine.see(view, now);
        let states = boards(&heard.progress).flat_map(|board| board.tasks.iter().map(|task| task.state)).collect();
        let states: Vec<TaskState> = states;
        states
    };
    let ask = Ask { parts: [Part::Service].into() };
    // The targets were not read yet; there are none yet; they were not asked for their health yet.
    let first = View { tasks: Some(tasks), ..model.answer(&ask, 0) };
    assert_eq!(states(&mut machine, &first, START), [TaskState::Registering; 2]);
    let none = View { targets: Some(Vec::new()), ..View::default() };
    assert_eq!(states(&mut machine, &none, START + 1_000), [TaskState::Registering; 2]);
    let target = |id: &str, state: &str| TargetView {
        target_group: "tg".to_owned(),
        address: format!("10.0.0.1:{id}"),
        state: state.to_owned(),
        reason: None,
        description: None,
    };
    let both = |state| View { targets: Some(vec![target("20", state), target("21", state)]), ..View::default() };
    assert_eq!(states(&mut machine, &both("initial"), START + 2_000), [TaskState::Registering; 2]);
    assert_eq!(states(&mut machine, &both("healthy"), START + 3_000), [TaskState::Healthy; 2]);
    // Targets under names that nobody told us must not hold anything back.
    let strangers = View { targets: Some(vec![target("77", "healthy")]), ..View::default() };
    assert_eq!(states(&mut machine, &strangers, START + 4_000), [TaskState::Healthy; 2]);
}

#[test]
fn what_may_not_be_read_is_said_and_holds_nothing_back() {
    let model = Model::usual();
    let deny = |ask: &Ask, t: u64| {
        let mut view = model.answer(ask, t);
        if ask.wants(Part::Tasks) {
            view.tasks = None;
            view.denied.insert(Part::Tasks, "ecs:ListTasks".to_owned());
        }
        view
    };
    let watched = watch(model.goal(DoneWhen::Drained), deny);
    assert_eq!(watched.verdict, Verdict::Drained);
    let told: BTreeSet<_> = boards(&watched.progress).map(|board| board.denied.clone()).collect();
    assert_eq!(told, [vec!["tasks: ecs:ListTasks".to_owned()]].into());
}

/// A role that may not be assumed leaves no task to look at, only an event.
#[test]
fn an_event_that_says_never_is_enough() {
    let model = Model { course: Course::Stuck, ..Model::usual() };
    let text = "(service web) failed to launch a task with (error ECS was unable to assume the role 'arn:aws:iam::1:role/x' that was provided for this task. Please verify that the role being passed has the proper trust relationship and permissions and that your IAM user has permissions to pass this role.).";
    let mut goal = model.goal(DoneWhen::Drained);
    goal.terms.on_failure = OnFailure::TakeBack;
    let mut machine = Machine::new(goal, START);
    let mut view = model.answer(&Ask::all(), TICK);
    let event = EventView { id: "role".to_owned(), time_ms: START + TICK, text: text.to_owned() };
    if let Some(service) = &mut view.service {
        service.events.insert(0, event);
    }
    let heard = machine.see(&view, START + TICK);
    assert!(heard.take_back.is_some_and(|why| why.contains("ecs-tasks.amazonaws.com")));
    let said = heard.progress.iter().any(|progress| {
        matches!(progress, Progress::ServiceEvent { meaning: Some(meaning), .. } if meaning.contains("assume the role"))
    });
    assert!(said, "what it means is said beside it");
}

#[test]
fn tasks_that_were_lost_are_set_apart_and_not_counted() {
    let model = Model { course: Course::Stuck, ..Model::usual() };
    let mut machine = Machine::new(model.goal(DoneWhen::Drained), START);
    let tasks = vec![
        ended("a", "SpotInterruption", "Your Spot Task was interrupted.", None),
        ended("b", "EssentialContainerExited", "Essential container in task exited", Some(1)),
    ];
    let heard = machine.see(&View { tasks: Some(tasks), ..model.answer(&Ask::all(), 0) }, START);
    let kinds: Vec<_> = heard
        .progress
        .iter()
        .filter_map(|progress| match progress {
            Progress::TaskFailed { task, .. } => Some(task.kind),
            _ => None,
        })
        .collect();
    assert_eq!(kinds, [FailedKind::Lost, FailedKind::Failed]);
    assert_eq!(boards(&heard.progress).map(|board| board.failed).collect::<Vec<_>>(), [1]);
}

#[test]
fn who_took_it_back_is_said() {
    let model = Model { course: Course::RolledBack, ..Model::usual() };
    let why = |change: fn(&mut ServiceDeploymentView)| {
        let silent = |ask: &Ask, t: u64| {
            let mut view = model.answer(ask, t);
            // Without the tasks, which would say more.
            view.tasks = view.tasks.map(|_| Vec::new());
            view.deployment.iter_mut().for_each(change);
            view
        };
        match watch(model.goal(DoneWhen::Drained), silent).verdict {
            Verdict::RolledBack { why } => why,
            other => panic!("{other:?}"),
        }
    };
    let alarm = why(|seen| seen.alarms = vec!["web-5xx".to_owned()]);
    assert_eq!(alarm, "the alarm web-5xx fired");
    let breaker = why(|seen| {
        seen.breaker = Some(BreakerView { status: "TRIGGERED".to_owned(), failures: 3, threshold: 3 });
    });
    assert_eq!(breaker, "its circuit breaker tripped");
    assert_eq!(why(|seen| seen.reason = Some("stopped by user".to_owned())), "stopped by user");
}
