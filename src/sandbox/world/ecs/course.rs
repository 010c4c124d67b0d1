//! How a service deployment goes: by which strategy, at which stage it is, and which hooks hold it there.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::super::{Fault, Millis};
use super::input::{invalid, list, put, seconds, strings, text};

/// `deploymentConfiguration.strategy`, with what it needs to know.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum DeploymentStrategy {
    Rolling,
    /// All traffic at once.
    BlueGreen,
    /// In equal parts, with a wait after each.
    Linear {
        step: f64,
        wait_minutes: u64,
    },
    /// A small part, and after a wait all the rest.
    Canary {
        percent: f64,
        wait_minutes: u64,
    },
}

impl DeploymentStrategy {
    /// Of a `deploymentConfiguration` that was checked when it came in.
    pub(super) fn of(configuration: &Value) -> Self {
        let (linear, canary) = (&configuration["linearConfiguration"], &configuration["canaryConfiguration"]);
        match text(configuration, "strategy") {
            Some("BLUE_GREEN") => Self::BlueGreen,
            Some("LINEAR") => Self::Linear {
                step: linear["stepPercent"].as_f64().unwrap_or(10.0),
                wait_minutes: linear["stepBakeTimeInMinutes"].as_u64().unwrap_or(6),
            },
            Some("CANARY") => Self::Canary {
                percent: canary["canaryPercent"].as_f64().unwrap_or(5.0),
                wait_minutes: canary["canaryBakeTimeInMinutes"].as_u64().unwrap_or(10),
            },
            _ => Self::Rolling,
        }
    }

    /// Whether it moves traffic instead of replacing tasks one by one.
    pub(super) fn shifts(self) -> bool {
        self != Self::Rolling
    }

    /// The next share of the production traffic, in percent.
    pub(super) fn next_share(self, production: f64) -> f64 {
        match self {
            Self::Linear { step, .. } => (production + step).min(100.0),
            Self::Canary { percent, .. } if production < percent => percent,
            Self::Rolling | Self::BlueGreen | Self::Canary { .. } => 100.0,
        }
    }

    /// How long a share that is not yet all stays.
    pub(super) fn wait_minutes(self) -> u64 {
        match self {
            Self::Rolling | Self::BlueGreen => 0,
            Self::Linear { wait_minutes, .. } | Self::Canary { wait_minutes, .. } => wait_minutes,
        }
    }
}

/// `lifecycleStage`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub(super) enum Stage {
    ReconcileService,
    PreScaleUp,
    /// Where a rolling deployment is until it bakes.
    #[default]
    ScaleUp,
    PostScaleUp,
    TestTrafficShift,
    PostTestTrafficShift,
    ProductionTrafficShift,
    PostProductionTrafficShift,
    BakeTime,
    CleanUp,
}

impl Stage {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::ReconcileService => "RECONCILE_SERVICE",
            Self::PreScaleUp => "PRE_SCALE_UP",
            Self::ScaleUp => "SCALE_UP",
            Self::PostScaleUp => "POST_SCALE_UP",
            Self::TestTrafficShift => "TEST_TRAFFIC_SHIFT",
            Self::PostTestTrafficShift => "POST_TEST_TRAFFIC_SHIFT",
            Self::ProductionTrafficShift => "PRODUCTION_TRAFFIC_SHIFT",
            Self::PostProductionTrafficShift => "POST_PRODUCTION_TRAFFIC_SHIFT",
            Self::BakeTime => "BAKE_TIME",
            Self::CleanUp => "CLEAN_UP",
        }
    }

    pub(super) fn next(self) -> Self {
        match self {
            Self::ReconcileService => Self::PreScaleUp,
            Self::PreScaleUp => Self::ScaleUp,
            Self::ScaleUp => Self::PostScaleUp,
            Self::PostScaleUp => Self::TestTrafficShift,
            Self::TestTrafficShift => Self::PostTestTrafficShift,
            Self::PostTestTrafficShift => Self::ProductionTrafficShift,
            Self::ProductionTrafficShift => Self::PostProductionTrafficShift,
            Self::PostProductionTrafficShift => Self::BakeTime,
            Self::BakeTime | Self::CleanUp => Self::CleanUp,
        }
    }
}

/// `PRE_PRODUCTION_TRAFFIC_SHIFT` is a stage of hooks that `lifecycleStage` has no word for: it is shown as
/// `PRODUCTION_TRAFFIC_SHIFT`.
pub(super) const BEFORE_EVERY_SHIFT: &str = "PRE_PRODUCTION_TRAFFIC_SHIFT";

/// Where a `PAUSE` hook may stand: not at the two stages that shift.
const PAUSABLE: [&str; 6] = [
    "RECONCILE_SERVICE",
    "PRE_SCALE_UP",
    "POST_SCALE_UP",
    "POST_TEST_TRAFFIC_SHIFT",
    BEFORE_EVERY_SHIFT,
    "POST_PRODUCTION_TRAFFIC_SHIFT",
];

/// What is to be done when a hook was answered, or nobody answered it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Answer {
    Continue,
    Rollback,
}

impl Answer {
    pub(super) fn parse(word: &str) -> Result<Self, Fault> {
        match word {
            "CONTINUE" => Ok(Self::Continue),
            "ROLLBACK" => Ok(Self::Rollback),
            other => Err(invalid(format!("Invalid action {other}. Valid values are CONTINUE and ROLLBACK."))),
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Continue => "CONTINUE",
            Self::Rollback => "ROLLBACK",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum HookStatus {
    AwaitingAction,
    Succeeded,
    Failed,
    TimedOut,
}

impl HookStatus {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::AwaitingAction => "AWAITING_ACTION",
            Self::Succeeded => "SUCCEEDED",
            Self::Failed => "FAILED",
            Self::TimedOut => "TIMED_OUT",
        }
    }
}

/// A pause that has been reached: `lifecycleHookDetails[]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Hook {
    pub(super) id: String,
    pub(super) status: HookStatus,
    pub(super) expires_at: Millis,
    /// What is done when nobody answers in time.
    pub(super) otherwise: Answer,
}

impl Hook {
    fn describe(&self) -> Value {
        let Self { id, status, expires_at, otherwise } = self;
        json!({
            "hookId": id, "targetType": "PAUSE", "status": status.word(), "expiresAt": seconds(*expires_at),
            "timeoutAction": otherwise.word()
        })
    }
}

/// What the hooks say about going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Held {
    Free,
    Waiting,
    /// One of them asks for a rollback.
    Refused,
}

/// How far a service deployment is.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Course {
    pub(super) stage: Stage,
    /// When it came to this stage.
    pub(super) since: Millis,
    /// The target revision's share of the production traffic, in percent.
    pub(super) production: f64,
    pub(super) test: f64,
    /// When production traffic was last shifted.
    pub(super) shifted_at: Option<Millis>,
    /// Whether the hooks before the next shift have been called.
    pub(super) asked: bool,
    pub(super) hooks: Vec<Hook>,
}

impl Course {
    pub(super) fn enter(&mut self, stage: Stage, now: Millis) {
        (self.stage, self.since) = (stage, now);
    }

    /// Ends the hooks that nobody answered in time, and says what they all say.
    pub(super) fn held(&mut self, now: Millis) -> Held {
        let mut held = Held::Free;
        for hook in &mut self.hooks {
            if hook.status == HookStatus::AwaitingAction && hook.expires_at <= now {
                hook.status = HookStatus::TimedOut;
            }
            let one = match (hook.status, hook.otherwise) {
                (HookStatus::Succeeded, _) | (HookStatus::TimedOut, Answer::Continue) => Held::Free,
                (HookStatus::AwaitingAction, _) => Held::Waiting,
                (HookStatus::Failed, _) | (HookStatus::TimedOut, Answer::Rollback) => Held::Refused,
            };
            held = match (held, one) {
                (Held::Refused, _) | (_, Held::Refused) => Held::Refused,
                (Held::Waiting, _) | (_, Held::Waiting) => Held::Waiting,
                (Held::Free, Held::Free) => Held::Free,
            };
        }
        held
    }

    pub(super) fn shown_hooks(&self) -> Vec<Value> {
        self.hooks.iter().map(Hook::describe).collect()
    }
}

/// The pauses of a configuration at this stage: minutes, and what is done when they are over.
pub(super) fn pauses_at<'a>(configuration: &'a Value, stage: &'a str) -> impl Iterator<Item = (u64, Answer)> + 'a {
    list(configuration, "lifecycleHooks")
        .iter()
        .filter(move |hook| strings(hook, "lifecycleStages").contains(&stage))
        .map(|hook| {
            let timeout = &hook["timeoutConfiguration"];
            let otherwise = match text(timeout, "action") {
                Some("CONTINUE") => Answer::Continue,
                _ => Answer::Rollback,
            };
            (timeout["timeoutInMinutes"].as_u64().unwrap_or(1440), otherwise)
        })
}

/// Checks what a configuration says about its strategy, and fills in AWS's defaults.
pub(super) fn check(configuration: &mut Value) -> Result<(), Fault> {
    let strategy = text(configuration, "strategy").unwrap_or("ROLLING").to_owned();
    let defaults = match strategy.as_str() {
        "ROLLING" | "BLUE_GREEN" => None,
        "LINEAR" => Some(("linearConfiguration", json!({ "stepPercent": 10.0, "stepBakeTimeInMinutes": 6 }))),
        "CANARY" => Some(("canaryConfiguration", json!({ "canaryPercent": 5.0, "canaryBakeTimeInMinutes": 10 }))),
        other => return Err(invalid(format!("Invalid deployment strategy {other}."))),
    };
    if let Some((member, Value::Object(defaults))) = defaults {
        let mut filled: Map<String, Value> = defaults;
        filled.extend(configuration[member].as_object().cloned().unwrap_or_default());
        configuration[member] = Value::Object(filled);
    }
    for (member, name, from, to) in [
        ("linearConfiguration", "stepPercent", 3.0, 100.0),
        ("linearConfiguration", "stepBakeTimeInMinutes", 0.0, 1440.0),
        ("canaryConfiguration", "canaryPercent", 0.1, 100.0),
        ("canaryConfiguration", "canaryBakeTimeInMinutes", 0.0, 1440.0),
    ] {
        let value = &configuration[member][name];
        if !value.is_null() && !value.as_f64().is_some_and(|value| (from..=to).contains(&value)) {
            return Err(invalid(format!("{name} must be between {from} and {to}.")));
        }
    }
    let bake = &configuration["bakeTimeInMinutes"];
    if !bake.is_null() && bake.as_u64().is_none_or(|minutes| minutes > 1440) {
        return Err(invalid("bakeTimeInMinutes must be between 0 and 1440."));
    }
    check_hooks(configuration, &strategy)
}

fn check_hooks(configuration: &Value, strategy: &str) -> Result<(), Fault> {
    let unsupported = |what: String| Fault::new("UnsupportedFeatureException", what);
    let hooks = list(configuration, "lifecycleHooks");
    if strategy == "ROLLING" && !hooks.is_empty() {
        return Err(unsupported("The sandbox does not emulate lifecycle hooks of the strategy ROLLING.".to_owned()));
    }
    if hooks.len() > 10 {
        return Err(invalid("The number of PAUSE lifecycle hooks cannot exceed 10."));
    }
    for hook in hooks {
        match text(hook, "targetType").unwrap_or("AWS_LAMBDA") {
            "PAUSE" => {}
            other => {
                return Err(unsupported(format!("The sandbox does not emulate lifecycle hooks of the type {other}.")));
            }
        }
        let stages = strings(hook, "lifecycleStages");
        if stages.is_empty() {
            return Err(invalid("lifecycleStages cannot be empty."));
        }
        if let Some(stage) = stages.iter().find(|stage| !PAUSABLE.contains(stage)) {
            return Err(invalid(format!("PAUSE hooks cannot be configured at the lifecycle stage {stage}.")));
        }
        let timeout = &hook["timeoutConfiguration"];
        if !timeout["timeoutInMinutes"].is_null()
            && !timeout["timeoutInMinutes"].as_u64().is_some_and(|minutes| (1..=20_160).contains(&minutes))
        {
            return Err(invalid("timeoutInMinutes must be between 1 and 20160."));
        }
        if let Some(word) = text(timeout, "action") {
            Answer::parse(word)?;
        }
    }
    Ok(())
}

/// `lifecycleStage` and `lifecycleHookDetails` of one that is on its way.
pub(super) fn show(course: &Course, shown: &mut Map<String, Value>) {
    put(shown, "lifecycleStage", Some(course.stage.word()));
    if !course.hooks.is_empty() {
        put(shown, "lifecycleHookDetails", Some(course.shown_hooks()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_the_traffic() {
        let shares = |strategy: DeploymentStrategy| {
            let (mut all, mut production) = (Vec::new(), 0.0);
            while production < 100.0 {
                production = strategy.next_share(production);
                all.push(production);
            }
            all
        };
        assert_eq!(shares(DeploymentStrategy::BlueGreen), [100.0]);
        assert_eq!(shares(DeploymentStrategy::Linear { step: 30.0, wait_minutes: 1 }), [30.0, 60.0, 90.0, 100.0]);
        assert_eq!(shares(DeploymentStrategy::Canary { percent: 0.5, wait_minutes: 1 }), [0.5, 100.0]);
        assert_eq!(shares(DeploymentStrategy::Canary { percent: 100.0, wait_minutes: 1 }), [100.0]);
    }

    #[test]
    fn strategies_are_checked_and_filled_in() {
        let mut linear = json!({ "strategy": "LINEAR", "linearConfiguration": { "stepPercent": 25 } });
        check(&mut linear).unwrap();
        assert_eq!(linear["linearConfiguration"], json!({ "stepPercent": 25, "stepBakeTimeInMinutes": 6 }));
        let hook = |hook: Value| json!({ "strategy": "BLUE_GREEN", "lifecycleHooks": [hook] });
        for (mut configuration, words) in [
            (json!({ "strategy": "SIDEWAYS" }), "Invalid deployment strategy SIDEWAYS."),
            (
                json!({ "strategy": "LINEAR", "linearConfiguration": { "stepPercent": 1 } }),
                "stepPercent must be between 3 and 100.",
            ),
            (json!({ "bakeTimeInMinutes": 2000 }), "bakeTimeInMinutes must be between 0 and 1440."),
            (
                hook(json!({ "hookTargetArn": "arn:aws:lambda:x", "lifecycleStages": ["PRE_SCALE_UP"] })),
                "The sandbox does not emulate lifecycle hooks of the type AWS_LAMBDA.",
            ),
            (
                hook(json!({ "targetType": "PAUSE", "lifecycleStages": ["TEST_TRAFFIC_SHIFT"] })),
                "PAUSE hooks cannot be configured at the lifecycle stage TEST_TRAFFIC_SHIFT.",
            ),
            (
                hook(json!({ "targetType": "PAUSE", "lifecycleStages": ["PRE_SCALE_UP"],
                    "timeoutConfiguration": { "timeoutInMinutes": 0 } })),
                "timeoutInMinutes must be between 1 and 20160.",
            ),
            (
                json!({ "strategy": "ROLLING", "lifecycleHooks": [{ "targetType": "PAUSE" }] }),
                "The sandbox does not emulate lifecycle hooks of the strategy ROLLING.",
            ),
        ] {
            assert_eq!(check(&mut configuration).unwrap_err().message, words);
        }
    }
}
