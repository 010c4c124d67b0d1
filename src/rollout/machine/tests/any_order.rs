//! Whatever happens to the answers (late, repeated, lost, bare, in words that nobody knows), part by part and in any
//! order: never done while an old task is left, never failed what ECS completes, and an end within the budgets.

use super::*;

/// What happens to one part of one look.
#[derive(Debug, Clone, Copy)]
enum Fate {
    True,
    /// Throttled, refused, or a connection that was cut.
    Lost,
    /// Answered as the world was so many milliseconds ago.
    Late(u64),
    /// The answer of the last time once more, however long ago that was.
    Repeated,
    /// Without anything that an answer need not have.
    Bare,
    /// In words newer than this program, where it is not about an end.
    Strange,
}

fn any_fate() -> impl Strategy<Value = Fate> {
    prop_oneof![
        4 => Just(Fate::True),
        2 => Just(Fate::Lost),
        3 => (0_u64..25_000).prop_map(Fate::Late),
        1 => Just(Fate::Repeated),
        1 => Just(Fate::Bare),
        1 => Just(Fate::Strange),
    ]
}

/// Takes everything away that may be missing. What tells whose a task or a deployment is stays: without it nobody could
/// know.
fn bare(mut view: View) -> View {
    if let Some(service) = &mut view.service {
        service.events.clear();
        service.current_service_deployment = None;
        for deployment in &mut service.deployments {
            // Where the service-deployments API has no answer this alone tells a rollback from somebody else's deployment.
            deployment.rollout_reason =
                deployment.rollout_reason.take().filter(|reason| reason.contains("rolling back"));
        }
    }
    if let Some(deployment) = &mut view.deployment {
        (deployment.breaker, deployment.reason, deployment.stage) = (None, None, None);
    }
    for task in view.tasks.iter_mut().flatten() {
        (task.health, task.stop_code, task.created_ms) = (None, None, None);
        for container in &mut task.containers {
            container.exit_code = None;
        }
        if task.stopped_reason.as_deref().is_none_or(|reason| !reason.starts_with("Scaling")) {
            task.stopped_reason = None;
        }
    }
    for target in view.targets.iter_mut().flatten() {
        (target.reason, target.description) = (None, None);
    }
    view
}

fn strange(mut view: View) -> View {
    let rename = |word: &mut String, known: &[&str], new: &str| {
        if known.contains(&word.as_str()) {
            new.clone_into(word);
        }
    };
    if let Some(service) = &mut view.service {
        rename(&mut service.status, &["ACTIVE"], "GLOWING");
        for deployment in &mut service.deployments {
            deployment.rollout_state.iter_mut().for_each(|state| rename(state, &["IN_PROGRESS"], "HOVERING"));
        }
    }
    if let Some(deployment) = &mut view.deployment {
        rename(&mut deployment.status, &["PENDING", "IN_PROGRESS", "STOP_REQUESTED"], "LEVITATING");
        deployment.stage = Some("PRE_LEVITATION".to_owned());
        deployment.breaker.iter_mut().for_each(|breaker| "PONDERING".clone_into(&mut breaker.status));
    }
    for task in view.tasks.iter_mut().flatten() {
        rename(&mut task.last_status, &["PENDING"], "DREAMING");
        task.health = Some("RADIANT".to_owned());
        task.stop_code.iter_mut().for_each(|code| rename(code, &["EssentialContainerExited"], "Evaporated"));
    }
    for target in view.targets.iter_mut().flatten() {
        rename(&mut target.state, &["initial"], "humming");
    }
    view
}

fn any_model() -> impl Strategy<Value = Model> {
    let course = prop_oneof![
        3 => Just(Course::Success),
        2 => Just(Course::EarlySuccess),
        1 => Just(Course::RolledBack),
        1 => Just(Course::Stalled),
        1 => Just(Course::Superseded),
        1 => Just(Course::Stuck),
        1 => Just(Course::Deleted),
    ];
    (course, 1_u32..4, 0_u64..30_000, 0_u64..15_000, 0_u64..60_000, 0_u64..10_000, any::<bool>(), any::<bool>())
        .prop_map(|(course, desired, boot, register, drain, stop, balanced, api)| Model {
            course,
            desired,
            boot,
            register,
            drain,
            stop,
            balancer: if balanced { Balancer::Attached } else { Balancer::None },
            api: if api { Api::Present } else { Api::Absent },
        })
}

/// Answers in which each part has its own fate; the fates repeat when they run out.
fn disturbed<'a>(model: &'a Model, fates: &'a [[Fate; 4]]) -> impl FnMut(&Ask, u64) -> View + 'a {
    let mut looks = fates.iter().cycle();
    let mut last: [Option<View>; 4] = [const { None }; 4];
    move |ask, t| {
        let fates = looks.next().expect("a cycle");
        let at = |t: u64, by: u64| model.at(i64::try_from(t).expect("small") - i64::try_from(by).expect("small"));
        let parts = [Part::Service, Part::Deployment, Part::Tasks, Part::Targets];
        for (index, fate) in fates.iter().enumerate().filter(|(index, _)| ask.wants(parts[*index])) {
            last[index] = match fate {
                Fate::True => Some(at(t, 0)),
                Fate::Lost => None,
                Fate::Late(by) => Some(at(t, *by)),
                Fate::Repeated => last[index].take(),
                Fate::Bare => Some(bare(at(t, 0))),
                Fate::Strange => Some(strange(at(t, 0))),
            };
        }
        let answer = |index: usize| last[index].clone().filter(|_| ask.wants(parts[index]));
        View {
            service: answer(0).and_then(|view| view.service),
            deployment: answer(1).and_then(|view| view.deployment),
            tasks: answer(2).and_then(|view| view.tasks),
            targets: answer(3).and_then(|view| view.targets),
            denied: BTreeMap::new(),
        }
    }
}

fn fates() -> impl Strategy<Value = Vec<[Fate; 4]>> {
    prop::collection::vec([any_fate(), any_fate(), any_fate(), any_fate()], 1..40)
}

proptest! {
    #[test]
    fn it_is_never_done_while_an_old_task_is_left(model in any_model(), fates in fates()) {
        let watched = watch(model.goal(DoneWhen::Drained), disturbed(&model, &fates));
        let succeeds = matches!(model.course, Course::Success | Course::EarlySuccess);
        match &watched.verdict {
            Verdict::Drained => {
                prop_assert!(succeeds);
                prop_assert!(watched.end >= model.drained_at(), "done at {} of {}", watched.end, model.drained_at());
            }
            Verdict::RolledBack { .. } => prop_assert_eq!(model.course, Course::RolledBack),
            Verdict::Failed { .. } => {
                prop_assert!(matches!(model.course, Course::Stalled | Course::Deleted | Course::RolledBack));
            }
            Verdict::Superseded { .. } => prop_assert_eq!(model.course, Course::Superseded),
            Verdict::DrainUnfinished => prop_assert!(watched.end >= model.healthy_at()),
            Verdict::TimedOut { .. } => {}
            other @ (Verdict::Live | Verdict::Steady | Verdict::NothingProven | Verdict::Stopped) => {
                prop_assert!(false, "{other:?}");
            }
        }
        // What ECS completes is never called failed: it is done, or not known.
        if succeeds {
            let exit = watched.verdict.exit(watched.live);
            prop_assert!(
                matches!(exit, Exit::Done | Exit::DrainUnfinished | Exit::RolloutUnknown),
                "{exit:?} {:?} {:?}", watched.verdict, watched.live
            );
        }
        prop_assert!(watched.end <= longest_ms(&model.budget()) + 60_000, "{} ms", watched.end);
        let times: Vec<_> = watched.progress.iter().filter_map(|progress| match progress {
            Progress::Board(board) => Some(board.elapsed_ms),
            _ => None,
        }).collect();
        prop_assert!(times.is_sorted());
    }

    /// Nothing that may happen to answers makes a rollout look hopeless that ECS completes.
    #[test]
    fn what_ecs_completes_is_never_taken_back(model in any_model(), fates in fates()) {
        let model = Model { course: Course::Success, ..model };
        let mut goal = model.goal(DoneWhen::Drained);
        goal.terms.on_failure = OnFailure::TakeBack;
        let mut machine = Machine::new(goal, START);
        let mut answer = disturbed(&model, &fates);
        let (mut t, mut ask) = (0, Ask::all());
        loop {
            let heard = machine.see(&answer(&ask, t), START + t);
            prop_assert_eq!(heard.take_back, None);
            match heard.next {
                Next::Ended(_) => break,
                Next::Look { after_ms, ask: next } => (t, ask) = (t + after_ms, next),
            }
        }
    }

    #[test]
    fn a_clear_view_gets_the_right_verdict_in_time(model in any_model()) {
        let watched = clear(&model, DoneWhen::Drained);
        match model.course {
            Course::Success | Course::EarlySuccess => {
                prop_assert_eq!(&watched.verdict, &Verdict::Drained);
                prop_assert!(watched.end - model.drained_at() < 3_000, "{} ms late", watched.end - model.drained_at());
            }
            Course::RolledBack => {
                let rolled_back = matches!(watched.verdict, Verdict::RolledBack { .. });
                prop_assert!(rolled_back, "{:?}", watched.verdict);
            }
            Course::Stalled | Course::Deleted => {
                let failed = matches!(watched.verdict, Verdict::Failed { .. });
                prop_assert!(failed, "{:?}", watched.verdict);
            }
            Course::Superseded => {
                prop_assert_eq!(&watched.verdict, &Verdict::Superseded { by: THEIRS.to_owned() });
            }
            Course::Stuck => {
                prop_assert_eq!(&watched.verdict, &Verdict::TimedOut { clock: Clock::NoProgress });
            }
        }
    }

    #[test]
    fn the_same_views_get_the_same_verdict(model in any_model(), fates in fates()) {
        let [one, two] = [0; 2].map(|_| watch(model.goal(DoneWhen::Drained), disturbed(&model, &fates)));
        prop_assert_eq!(one.verdict, two.verdict);
        prop_assert_eq!(one.end, two.end);
        prop_assert_eq!(one.progress, two.progress);
    }

    #[test]
    fn live_is_only_said_of_what_is_live(model in any_model(), fates in fates()) {
        let watched = watch(model.goal(DoneWhen::Live), disturbed(&model, &fates));
        if watched.verdict == Verdict::Live {
            prop_assert!(watched.end >= model.healthy_at());
        }
    }

    #[test]
    fn any_words_at_any_time_come_to_an_end(
        words in prop::collection::vec("[A-Z_]{0,12}|PRIMARY|ACTIVE|STOPPED|RUNNING|SUCCESSFUL|FAILED|COMPLETED|draining|ROLLBACK_IN_PROGRESS|STOP_REQUESTED", 1..30),
        steps in prop::collection::vec(1_500_u64..20_000, 1..20),
    ) {
        let model = Model::usual();
        let mut machine = Machine::new(model.goal(DoneWhen::Drained), START);
        let mut words = words.iter().cycle();
        let mut word = move || words.next().expect("a cycle").clone();
        let mut now = START;
        let mut ended = false;
        for (index, step) in steps.iter().cycle().take(2_000).enumerate() {
            now += step;
            let mut view = model.answer(&Ask::all(), 24_000);
            if let Some(service) = &mut view.service {
                service.status = word();
                for deployment in &mut service.deployments {
                    deployment.id = word();
                    deployment.status = word();
                    deployment.rollout_state = Some(word());
                }
            }
            if let Some(deployment) = &mut view.deployment {
                deployment.status = word();
                deployment.stage = Some(word());
                deployment.shift = Some(ShiftView {
                    strategy: word(),
                    production_permille: Some(500),
                    test_permille: None,
                    step_bake_ms: 60_000,
                    steps: 2,
                });
                deployment.hooks = vec![HookView {
                    id: word(),
                    kind: word(),
                    status: word(),
                    expires_ms: None,
                    timeout_action: Some(word()),
                }];
            }
            for task in view.tasks.iter_mut().flatten() {
                task.last_status = word();
                task.desired_status = word();
                task.started_by = Some(word());
            }
            for target in view.targets.iter_mut().flatten() {
                target.state = word();
            }
            // Clocks are set back now and then.
            let told = if index % 7 == 6 { now - 60_000 } else { now };
            if matches!(machine.see(&view, told).next, Next::Ended(_)) {
                ended = true;
                break;
            }
        }
        prop_assert!(ended);
    }
}
