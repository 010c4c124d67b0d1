//! Deployment alarms: what a service deployment watches, and what it has seen.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::super::cloudwatch::Alarms;
use super::input::{flag, strings};

/// Whether an alarm undoes the deployment, or only ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum OnAlarm {
    RollBack,
    Fail,
}

/// `deploymentConfiguration.alarms` of one service deployment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Watch {
    pub(super) names: Vec<String>,
    pub(super) then: OnAlarm,
    /// "An alarm already in ALARM when the deployment starts is ignored for that deployment."
    ignored: Vec<String>,
    pub(super) triggered: Vec<String>,
}

impl Watch {
    /// What `configuration` asks to be watched from now on, if anything.
    pub(super) fn begin(configuration: &Value, alarms: &Alarms) -> Option<Self> {
        let asked = &configuration["alarms"];
        if flag(asked, "enable") != Some(true) {
            return None;
        }
        let names: Vec<String> = strings(asked, "alarmNames").into_iter().map(ToOwned::to_owned).collect();
        let then = if flag(asked, "rollback") == Some(true) { OnAlarm::RollBack } else { OnAlarm::Fail };
        let ignored = names.iter().filter(|name| alarms.is_alarming(name)).cloned().collect();
        Some(Self { names, then, ignored, triggered: Vec::new() })
    }

    /// Looks at the alarms; says whether one of them has gone off.
    pub(super) fn look(&mut self, alarms: &Alarms) -> bool {
        let Self { names, then: _, ignored, triggered } = self;
        let gone_off = |name: &&String| alarms.is_alarming(name) && !ignored.contains(name);
        *triggered = names.iter().filter(gone_off).cloned().collect();
        !triggered.is_empty()
    }

    /// `ServiceDeployment.alarms`.
    pub(super) fn describe(watch: Option<&Self>, is_underway: bool) -> Value {
        let Some(Self { names, triggered, .. }) = watch else { return json!({ "status": "DISABLED" }) };
        let status = match (triggered.is_empty(), is_underway) {
            (false, _) => "TRIGGERED",
            (true, true) => "MONITORING",
            (true, false) => "MONITORING_COMPLETE",
        };
        json!({ "status": status, "alarmNames": names, "triggeredAlarmNames": triggered })
    }
}
