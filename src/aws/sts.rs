//! STS: who we are.

use aws_sdk_sts as sdk;

use super::{
    call::send,
    connect::Aws,
    error::{AwsError, Service},
};

const SERVICE: Service = Service::Sts;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub account: String,
    /// `arn:aws:sts::111111111111:assumed-role/ship/ci`.
    pub arn: String,
}

impl Caller {
    /// `aws`, `aws-cn`, `aws-us-gov`, …
    #[must_use]
    pub fn partition(&self) -> &str {
        self.arn.split(':').nth(1).unwrap_or("aws")
    }
}

/// `GetCallerIdentity`, which needs no permission.
pub async fn caller(aws: &Aws) -> Result<Caller, AwsError> {
    let answer = send!(aws, "GetCallerIdentity", aws.sts.get_caller_identity())?;
    let account =
        answer.account.ok_or_else(|| AwsError::unreadable(aws, SERVICE, "GetCallerIdentity", "it names no account"))?;
    Ok(Caller { account, arn: answer.arn.unwrap_or_default() })
}
