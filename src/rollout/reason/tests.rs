//! Reasons are found in the texts that AWS writes, row by row; what is not known stays in its own words.

use super::{
    Class, Reason, explain, memory_limit, of_event, of_text, reason,
    rows::{ROWS, Row},
    table::{Acts, Group, Quoted, TABLE, Told},
};

fn understood(told: Told) -> Option<Reason> {
    match told {
        Told::Task(..) => told.task("1").map(|task| reason(&task)),
        Told::Event(_) => of_event(&told.text()),
        Told::Log(text) => of_text(text),
    }
}

#[test]
fn every_row_of_the_table_is_understood() {
    for Quoted { told, group, acts, words } in TABLE {
        let found = understood(*told).unwrap_or_else(|| panic!("not understood: {told:?}"));
        let expected = match (group, acts) {
            (Group::Noise, _) | (_, Acts::Never) => Class::Noise,
            (Group::Ours, Acts::First) => Class::Deterministic,
            (Group::Ours, Acts::Second) => Class::NeedsTwo,
        };
        assert_eq!(found.class, expected, "{told:?}: {}", found.words);
        for word in *words {
            assert!(found.words.contains(word), "{told:?}: {word:?} is not in {:?}", found.words);
        }
        if let Some(task) = told.task("1") {
            assert_eq!(explain(&task), found.words);
        }
    }
}

/// The row that decides about a text, and those of its alternatives that are in it.
fn matched(text: &str) -> Option<(usize, Vec<usize>)> {
    let lower = text.to_lowercase();
    let holds = |fragments: &&[&str]| fragments.iter().all(|fragment| lower.contains(fragment));
    ROWS.iter().enumerate().find_map(|(index, Row { any, .. })| {
        let alternatives: Vec<_> = (0..any.len()).filter(|alternative| holds(&any[*alternative])).collect();
        (!alternatives.is_empty()).then_some((index, alternatives))
    })
}

/// An alternative that no quoted text shows was made up here, and would agree with nothing but itself.
#[test]
fn no_alternative_is_an_invention() {
    let shown: Vec<_> = TABLE.iter().filter_map(|quoted| matched(&quoted.told.text())).collect();
    for (index, Row { any, .. }) in ROWS.iter().enumerate() {
        for (alternative, fragments) in any.iter().enumerate() {
            let is_shown = shown.iter().any(|(row, found)| *row == index && found.contains(&alternative));
            assert!(is_shown, "no text shows {fragments:?}");
        }
    }
}

/// A word of ECS's that changes is no longer understood as before: it is passed on as it is, and never taken for
/// something surer.
#[test]
fn a_changed_text_is_noticed() {
    for Quoted { told, .. } in TABLE {
        let text = told.text();
        let Some((row, alternatives)) = matched(&text) else { continue };
        let mut changed = text.to_lowercase();
        for alternative in alternatives {
            for fragment in ROWS[row].any[alternative] {
                let misspelt: String = fragment.chars().rev().collect();
                changed = changed.replace(fragment, &misspelt);
            }
        }
        assert_ne!(matched(&changed).map(|(row, _)| row), Some(row), "{changed}");
    }
    let known = "ResourceInitializationError: failed to validate logger args: The specified log group does not exist.";
    assert_eq!(of_text(known).map(|reason| reason.class), Some(Class::Deterministic));
    let changed = "ResourceInitializationError: could not validate the logger's args: there is no such log group.";
    assert_eq!(of_text(changed).map(|reason| reason.class), Some(Class::NeedsTwo));
}

#[test]
fn what_happens_every_day_is_no_trouble() {
    for text in [
        "(service web) has reached a steady state.",
        "(service web) has started 1 tasks: (task 0123456789abcdef).",
        // 27 of 2,190 in a census of production events.
        "(service web) has started 1 tasks: (task 0123). Amazon ECS replaced 1 tasks due to an unhealthy status.",
        "(service web) registered 1 targets in (target-group arn:x)",
        "(service web) deregistered 1 targets in (target-group arn:x)",
        "(service web) has begun draining connections on 1 tasks.",
        "(service web, taskSet ecs-svc/1) has begun draining connections on 1 tasks.",
        "(service web) has stopped 1 running tasks: (task 0123).",
        "(service web) stopped 2 pending tasks.",
        "(service web) (deployment ecs-svc/1) deployment completed.",
        "(service web) is AZ balanced with 2 tasks in eu-west-1a, 2 tasks in eu-west-1b.",
        "(service web) is not AZ balanced with 3 tasks in eu-west-1a, 1 tasks in eu-west-1b. AZ Rebalancing in progress.",
        "(service web) has started 1 tasks in eu-west-1b to AZ Rebalance: (task 0123).",
        // What ECS concludes is not why.
        "(service web) (deployment ecs-svc/2) deployment failed: tasks failed to start.",
        "(service web) rolling back to deployment ecs-svc/1.",
    ] {
        assert_eq!(of_event(text), None, "{text}");
    }
}

#[test]
fn a_process_that_does_not_hear_is_told_how_long_it_was_asked() {
    let told = Told::Task("EssentialContainerExited", "Essential container in task exited", Some(137), "");
    let mut task = told.task("1").unwrap();
    task.stopped_ms = task.stopping_ms.map(|asked| asked + 30_400);
    assert!(explain(&task).contains("30 s after it was asked to end"), "{}", explain(&task));
}

#[test]
fn a_limit_of_memory_is_that_of_the_container_else_of_the_task() {
    let definition = |own: serde_json::Value| serde_json::json!({"memory": "512", "containerDefinitions": [{"name": "web", "memory": own}]});
    assert_eq!(memory_limit(&definition(256.into()), "web").as_deref(), Some("256"));
    assert_eq!(memory_limit(&definition(serde_json::Value::Null), "web").as_deref(), Some("512"));
}
