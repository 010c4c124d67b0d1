//! Faults on the wire: calls that are throttled, fail, hang or are cut, as a scenario says.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use super::scenario::{FaultKind, WireFault};
use super::world::Fault;

/// The faults of a scenario, with how often each has met a call.
#[derive(Debug, Default)]
pub(super) struct Faults {
    faults: Vec<(WireFault, Mutex<Met>)>,
}

#[derive(Debug, Default)]
struct Met {
    /// Calls it is about.
    calls: u64,
    /// Those of them that it was the fate of.
    struck: u64,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Strike {
    Throttled,
    Failed,
    Denied,
    Stalled(Duration),
    Cut,
}

impl Faults {
    pub(super) fn new(faults: Vec<WireFault>) -> Self {
        Self { faults: faults.into_iter().map(|fault| (fault, Mutex::default())).collect() }
    }

    /// Whether one of them meets this call. Every fault counts the calls it is about, whichever of them strikes.
    pub(super) fn strike(&self, service: &str, operation: &str) -> Option<Strike> {
        let mut struck = None;
        for (fault, met) in &self.faults {
            let WireFault { service: about, operation: of, kind, after, times } = fault;
            let meant = about.as_deref().is_none_or(|about| about == service)
                && of.as_deref().is_none_or(|of| of.eq_ignore_ascii_case(operation));
            if !meant {
                continue;
            }
            let mut met = met.lock().unwrap_or_else(PoisonError::into_inner);
            met.calls += 1;
            let strikes = met.calls > *after && times.is_none_or(|times| met.calls <= after.saturating_add(times));
            if strikes && struck.is_none() {
                met.struck += 1;
                struck = Some(match kind {
                    FaultKind::Throttle => Strike::Throttled,
                    FaultKind::Error => Strike::Failed,
                    FaultKind::Deny => Strike::Denied,
                    FaultKind::Stall(lasts) => Strike::Stalled(*lasts),
                    FaultKind::Cut => Strike::Cut,
                });
            }
        }
        struck
    }

    /// How many calls each has struck, in their order.
    pub(super) fn struck(&self) -> Vec<u64> {
        self.faults.iter().map(|(_, met)| met.lock().unwrap_or_else(PoisonError::into_inner).struck).collect()
    }
}

impl Strike {
    /// The error that AWS would answer with, where it is one. ELB, STS and EC2 throttle under names of their own.
    pub(super) fn fault(self, service: &str, operation: &str) -> Option<Fault> {
        let throttled = || "Rate exceeded".to_owned();
        let failed = || "The scenario of the sandbox lets this call fail.".to_owned();
        let (status, code, message) = match (self, service) {
            (Self::Throttled, "elb" | "sts") => (400, "Throttling", throttled()),
            (Self::Throttled, "ec2") => (503, "RequestLimitExceeded", "Request limit exceeded.".to_owned()),
            (Self::Throttled, _) => (400, "ThrottlingException", throttled()),
            (Self::Failed, "elb" | "sts") => (500, "InternalFailure", failed()),
            (Self::Failed, "ec2") => (500, "InternalError", failed()),
            (Self::Failed, _) => (500, "ServerException", failed()),
            (Self::Denied, "elb" | "sts") => (403, "AccessDenied", denied(service, operation)),
            (Self::Denied, "ec2") => {
                (403, "UnauthorizedOperation", "You are not authorized to perform this operation.".to_owned())
            }
            (Self::Denied, "registry") => (403, "DENIED", "requested access to the resource is denied".to_owned()),
            (Self::Denied, _) => (400, "AccessDeniedException", denied(service, operation)),
            (Self::Stalled(_) | Self::Cut, _) => return None,
        };
        Some(Fault { status, code: code.to_owned(), message })
    }
}

/// As IAM says it of a user without a policy for the action.
fn denied(service: &str, operation: &str) -> String {
    let service = if service == "elb" { "elasticloadbalancing" } else { service };
    format!(
        "User: arn:aws:iam::000000000000:user/sandbox is not authorized to perform: {service}:{operation} on resource: * \
         because no identity-based policy allows the {service}:{operation} action"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(service: Option<&str>, operation: Option<&str>, after: u64, times: Option<u64>) -> WireFault {
        WireFault {
            service: service.map(str::to_owned),
            operation: operation.map(str::to_owned),
            kind: FaultKind::Throttle,
            after,
            times,
        }
    }

    #[test]
    fn a_fault_meets_its_calls_and_no_others_so_often_as_it_should() {
        let faults = Faults::new(vec![fault(Some("ecs"), Some("UpdateService"), 1, Some(2))]);
        assert_eq!(faults.strike("elb", "UpdateService"), None);
        assert_eq!(faults.strike("ecs", "DescribeServices"), None);
        let met: Vec<bool> = (0..5).map(|_| faults.strike("ecs", "UpdateService").is_some()).collect();
        assert_eq!(met, [false, true, true, false, false]);
        assert_eq!(faults.struck(), [2]);
    }

    #[test]
    fn a_fault_of_everything_meets_everything() {
        let faults = Faults::new(vec![fault(None, None, 0, None)]);
        assert_eq!(faults.strike("registry", "PUT"), Some(Strike::Throttled));
        assert_eq!(faults.strike("sts", "GetCallerIdentity"), Some(Strike::Throttled));
        let code = |strike: Strike, service| strike.fault(service, "Call").map(|fault| fault.code);
        assert_eq!(code(Strike::Throttled, "elb"), Some("Throttling".to_owned()));
        assert_eq!(code(Strike::Denied, "ecs"), Some("AccessDeniedException".to_owned()));
        let denied = Strike::Denied.fault("elb", "DescribeTargetGroups").expect("an error");
        assert!(denied.message.ends_with("allows the elasticloadbalancing:DescribeTargetGroups action"), "{denied:?}");
    }
}
