//! `[sandbox]` and `[services.….sandbox]`: what the sandbox makes of a service.

use super::{Own, Resolver};
use crate::config::{
    error::{Home, Mistake, Place},
    file::SandboxTable,
    spec::SandboxService,
};

impl Resolver<'_> {
    pub(super) fn sandbox(&mut self, table: &SandboxTable, own: &Own) -> SandboxService {
        let SandboxTable {
            header: _,
            desired_count,
            container_port,
            listener_port,
            health_check_path,
            health_check_interval,
            deregistration_delay,
            stop_timeout,
            cpu,
            memory,
            environment,
        } = table;
        let default = SandboxService::default();
        let health_check_path = health_check_path.as_ref().and_then(|written| {
            let path = self.expand(written, own)?;
            if path.starts_with('/') && !path.contains(char::is_whitespace) {
                return Some(path);
            }
            self.mistake(Mistake::BadHealthCheckPath { written: path }, Place::File(written.span.clone()));
            None
        });
        SandboxService {
            // "Tasks per service: 5,000" (ECS service quotas).
            desired_count: self
                .number("desired_count", desired_count.as_ref(), (0, 5000, "ECS"))
                .unwrap_or(default.desired_count),
            container_port: self
                .number("container_port", container_port.as_ref(), (1, 65_535, "TCP"))
                .unwrap_or(default.container_port),
            listener_port: self.number("listener_port", listener_port.as_ref(), (1, 65_535, "ELB")),
            health_check_path: health_check_path.unwrap_or(default.health_check_path),
            // "HealthCheckIntervalSeconds: … The range is 5-300" (ELBv2 CreateTargetGroup).
            health_check_interval: self
                .duration("health_check_interval", health_check_interval.as_ref(), own, (5, 300, "ELB"))
                .unwrap_or(default.health_check_interval),
            // "deregistration_delay.timeout_seconds … The range is 0-3600 seconds" (TargetGroupAttribute).
            deregistration_delay: self
                .duration("deregistration_delay", deregistration_delay.as_ref(), own, (0, 3600, "ELB"))
                .unwrap_or(default.deregistration_delay),
            // "The max stop timeout value is 120 seconds" (ContainerDefinition, on Fargate).
            stop_timeout: self
                .duration("stop_timeout", stop_timeout.as_ref(), own, (0, 120, "ECS"))
                .unwrap_or(default.stop_timeout),
            cpu: self.amount("cpu", cpu.as_ref(), own).unwrap_or(default.cpu),
            memory: self.amount("memory", memory.as_ref(), own).unwrap_or(default.memory),
            environment: self.texts(environment, own, Home::Sandbox),
            shape: default.shape,
        }
    }
}
