//! AWS JSON 1.1: `X-Amz-Target` names the operation, JSON comes in and goes out. Spoken by ECS, ECR, Logs,
//! SSM, Secrets Manager and CloudWatch (which says 1.0, and means the same).

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use super::super::world::{Fault, Millis, World, cloudwatch, ecr, ecs, logs, secretsmanager, ssm};

const CONTENT_TYPE: &str = "application/x-amz-json-1.1";

/// The services that speak this protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    Ecs,
    Ecr,
    Logs,
    CloudWatch,
    Ssm,
    SecretsManager,
}

impl Service {
    /// What a target begins with says whose it is.
    #[must_use]
    pub fn of_target(prefix: &str) -> Option<Self> {
        match prefix {
            "AmazonEC2ContainerServiceV20141113" => Some(Self::Ecs),
            "AmazonEC2ContainerRegistry_V20150921" => Some(Self::Ecr),
            "Logs_20140328" => Some(Self::Logs),
            "GraniteServiceVersion20100801" => Some(Self::CloudWatch),
            "AmazonSSM" => Some(Self::Ssm),
            "secretsmanager" => Some(Self::SecretsManager),
            _ => None,
        }
    }

    /// As scenarios and the AWS CLI call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::CloudWatch => "cloudwatch",
            other => other.signing_name(),
        }
    }

    /// The service's name in the scope of a signature.
    #[must_use]
    pub fn signing_name(self) -> &'static str {
        match self {
            Self::Ecs => "ecs",
            Self::Ecr => "ecr",
            Self::Logs => "logs",
            Self::CloudWatch => "monitoring",
            Self::Ssm => "ssm",
            Self::SecretsManager => "secretsmanager",
        }
    }
}

/// What a request asks for.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    pub service: Service,
    pub operation: String,
    pub input: Value,
}

impl Call {
    /// Reads the header `X-Amz-Target: <prefix>.<Operation>` and the body.
    pub fn parse(target: &str, body: &[u8]) -> Result<Self, Fault> {
        let (prefix, operation) = target.split_once('.').unwrap_or((target, ""));
        let service = Service::of_target(prefix).ok_or_else(|| {
            let message = format!("The sandbox does not emulate the service of {target}.");
            Fault::new("UnknownOperationException", message)
        })?;
        let input = if body.is_empty() { json!({}) } else { serde_json::from_slice(body).map_err(|_| malformed())? };
        if !input.is_object() {
            return Err(malformed());
        }
        Ok(Self { service, operation: operation.to_owned(), input })
    }

    /// Whether it only looks, so that nothing has to be written down.
    #[must_use]
    pub fn is_read(&self) -> bool {
        const READS: [&str; 11] = [
            "Describe",
            "List",
            "BatchGet",
            "BatchCheck",
            "GetDownload",
            "GetLog",
            "GetTaskProtection",
            "FilterLog",
            "GetParameter",
            "GetSecretValue",
            "GetResourcePolicy",
        ];
        READS.iter().any(|verb| self.operation.starts_with(verb))
    }

    pub fn apply(&self, world: &mut World, now: Millis) -> Result<Value, Fault> {
        let Self { service, operation, input } = self;
        match service {
            Service::Ecs => ecs::call(world, operation, input, now),
            Service::Ecr => ecr::call(world, operation, input, now),
            Service::Logs => logs::call(world, operation, input, now),
            Service::CloudWatch => cloudwatch::call(world, operation, input, now),
            Service::Ssm => ssm::call(world, operation, input, now),
            Service::SecretsManager => secretsmanager::call(world, operation, input, now),
        }
    }
}

/// The services answer so to a body that is no JSON object.
fn malformed() -> Fault {
    Fault::new("SerializationException", "The request could not be parsed as a JSON object.")
}

#[must_use]
pub fn answer(outcome: &Result<Value, Fault>, request_id: &str) -> Response<Full<Bytes>> {
    let (status, body, kind) = match outcome {
        Ok(value) => (StatusCode::OK, value.to_string(), None),
        Err(Fault { status, code, message }) => (
            StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            json!({ "__type": code, "message": message }).to_string(),
            HeaderValue::from_str(code).ok(),
        ),
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(http::header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
    if let Ok(id) = HeaderValue::from_str(request_id) {
        headers.insert("x-amzn-requestid", id);
    }
    if let Some(kind) = kind {
        headers.insert("x-amzn-errortype", kind);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_named_by_its_header() {
        let call = Call::parse("AmazonEC2ContainerServiceV20141113.ListClusters", b"").unwrap();
        assert_eq!((call.service, call.operation.as_str()), (Service::Ecs, "ListClusters"));
        assert_eq!(call.input, json!({}));
        let fault = Call::parse("DynamoDB_20120810.ListTables", b"{}").unwrap_err();
        assert_eq!(fault.code, "UnknownOperationException");
        for body in [&b"["[..], b"[]", b"3"] {
            let fault = Call::parse("Logs_20140328.PutLogEvents", body).unwrap_err();
            assert_eq!(fault.code, "SerializationException");
        }
    }

    #[test]
    fn reading_operations_are_known_from_their_verbs() {
        for (operation, reads) in [
            ("DescribeServices", true),
            ("ListTasks", true),
            ("BatchGetImage", true),
            ("GetParametersByPath", true),
            ("GetSecretValue", true),
            ("PutSecretValue", false),
            ("GetLogEvents", true),
            ("GetAuthorizationToken", false),
            ("UpdateService", false),
            ("BatchDeleteImage", false),
        ] {
            let call = Call::parse(&format!("AmazonEC2ContainerServiceV20141113.{operation}"), b"{}").unwrap();
            assert_eq!(call.is_read(), reads, "{operation}");
        }
    }

    #[test]
    fn a_refusal_has_the_shape_of_aws() {
        let response = answer(&Err(Fault::new("ClusterNotFoundException", "Cluster not found.")), "id-1");
        assert_eq!(response.status(), 400);
        assert_eq!(response.headers()["x-amzn-errortype"], "ClusterNotFoundException");
        assert_eq!(response.headers()["x-amzn-requestid"], "id-1");
        assert_eq!(response.headers()["content-type"], "application/x-amz-json-1.1");
    }
}
