//! A sandbox on paper for one test, and calls to it as AWS's own clients make them.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    thread,
    time::Duration,
};

use crate::environment::{Environment, PROGRAM};

/// A sandbox on paper for one test, and AWS's own settings that point there.
pub(crate) struct Paper {
    pub(crate) environment: Environment,
    authority: String,
}

impl Paper {
    pub(crate) fn up(speed: &str) -> Self {
        Self::up_with(speed, "")
    }

    /// With a scenario of what is to go wrong.
    pub(crate) fn up_with(speed: &str, scenario: &str) -> Self {
        let mut environment = Environment::with_docker();
        let mut words = vec!["sandbox", "up", "--paper", "--port", "0", "--any-signature", "--speed", speed];
        if !scenario.is_empty() {
            environment.write("scenario.toml", scenario);
            words.extend(["--scenario", "scenario.toml"]);
        }
        let _ = environment.run_all(PROGRAM, &words).success();
        let status = environment.run(PROGRAM, ["sandbox", "status", "--format", "json"]).success();
        let status: serde_json::Value = serde_json::from_str(&status.stdout).expect("JSON");
        let authority = status["registry"].as_str().expect("an authority").to_owned();
        environment
            .set("AWS_ENDPOINT_URL", &format!("http://{authority}"))
            .set("AWS_ACCESS_KEY_ID", "sandbox")
            .set("AWS_SECRET_ACCESS_KEY", "sandbox");
        Self { environment, authority }
    }

    /// `host:port` of the sandbox.
    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    /// One call to ECS or ECR, as an AWS client makes it.
    fn call(&self, target: &str, body: &serde_json::Value) -> serde_json::Value {
        let answer = self.answer(target, body);
        assert!(answer.starts_with("HTTP/1.1 200"), "{target}: {answer}");
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        // Some answers are empty.
        if body.is_empty() { serde_json::Value::Null } else { serde_json::from_str(body).expect("JSON") }
    }

    /// The whole answer, whatever its status.
    fn answer(&self, target: &str, body: &serde_json::Value) -> String {
        let body = body.to_string();
        let services = [("AmazonEC2ContainerService", "ecs"), ("Logs", "logs"), ("AmazonEC2ContainerRegistry", "ecr")];
        let service = services.iter().find(|(name, _)| target.starts_with(name)).expect("a service we call").1;
        self.post(service, &format!("x-amz-target: {target}\r\ncontent-type: application/x-amz-json-1.1"), &body)
    }

    fn post(&self, service: &str, headers: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(&self.authority).expect("the sandbox listens");
        write!(
            stream,
            "POST / HTTP/1.1\r\nhost: {}\r\n{headers}\r\n\
             x-amz-date: 20260101T000000Z\r\nauthorization: AWS4-HMAC-SHA256 \
             Credential=sandbox/20260101/us-east-1/{service}/aws4_request, SignedHeaders=host;x-amz-date, \
             Signature=0000000000000000000000000000000000000000000000000000000000000000\r\n\
             connection: close\r\ncontent-length: {}\r\n\r\n{body}",
            self.authority,
            body.len()
        )
        .expect("the sandbox reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("the sandbox answers");
        answer
    }

    pub(crate) fn logs(&self, operation: &str, body: &serde_json::Value) -> serde_json::Value {
        self.call(&format!("Logs_20140328.{operation}"), body)
    }

    /// A call that may be refused.
    pub(crate) fn try_logs(&self, operation: &str, body: &serde_json::Value) {
        self.answer(&format!("Logs_20140328.{operation}"), body);
    }

    pub(crate) fn ecs(&self, operation: &str, body: &serde_json::Value) -> serde_json::Value {
        self.call(&format!("AmazonEC2ContainerServiceV20141113.{operation}"), body)
    }

    pub(crate) fn ecr(&self, operation: &str, body: &serde_json::Value) -> serde_json::Value {
        self.call(&format!("AmazonEC2ContainerRegistry_V20150921.{operation}"), body)
    }

    /// A call to ELB; gives what stands in the first element of this name.
    pub(crate) fn elb(&self, action: &str, members: &[(&str, &str)], wanted: &str) -> String {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("Action", action).append_pair("Version", "2015-12-01").extend_pairs(members);
        let answer =
            self.post("elasticloadbalancing", "content-type: application/x-www-form-urlencoded", &form.finish());
        assert!(answer.starts_with("HTTP/1.1 200"), "{action}: {answer}");
        let (_, rest) = answer.split_once(&format!("<{wanted}>")).unwrap_or_else(|| panic!("{action}: {answer}"));
        rest.split('<').next().expect("its end").to_owned()
    }

    /// Waits until no rollout of service `web` is going.
    pub(crate) fn steady(&self) {
        self.steady_in("shop");
    }

    pub(crate) fn steady_in(&self, cluster: &str) {
        self.until(cluster, "become steady", |deployments| {
            deployments.len() == 1 && deployments[0]["rolloutState"] == "COMPLETED"
        });
    }

    /// Waits until the first task of service `web` runs.
    pub(crate) fn running(&self) {
        self.until("shop", "start a task", |deployments| deployments[0]["runningCount"] != 0);
    }

    fn until(&self, cluster: &str, what: &str, so: impl Fn(&[serde_json::Value]) -> bool) {
        // Three thousand looks, a minute on an idle machine.
        for _ in 0..3000 {
            let answer = self.ecs("DescribeServices", &serde_json::json!({ "cluster": cluster, "services": ["web"] }));
            if so(answer["services"][0]["deployments"].as_array().expect("deployments")) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("service web did not {what}");
    }

    pub(crate) fn repository(&self) {
        self.repository_called("shop/web");
    }

    pub(crate) fn repository_called(&self, name: &str) {
        let name = serde_json::json!({ "repositoryName": name });
        self.call("AmazonEC2ContainerRegistry_V20150921.CreateRepository", &name);
    }

    /// Denies an action by the repository's own policy, to everybody.
    pub(crate) fn deny(&self, action: &str) {
        let statement = serde_json::json!({ "Effect": "Deny", "Principal": "*", "Action": action });
        let policy = serde_json::json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string();
        let body = serde_json::json!({ "repositoryName": "shop/web", "policyText": policy });
        self.call("AmazonEC2ContainerRegistry_V20150921.SetRepositoryPolicy", &body);
    }

    pub(crate) fn cluster(&self) {
        self.ecs("CreateCluster", &serde_json::json!({ "clusterName": "shop" }));
    }

    /// What was built for this registry is nobody else's.
    pub(crate) fn remove_images(&self) {
        let reference = format!("reference={}/*/*", self.authority);
        let listed = self.environment.run("docker", ["images", "-q", "--filter", &reference]).success();
        let mut images: Vec<&str> = listed.stdout.split_whitespace().collect();
        images.dedup();
        for image in images {
            let _ = self.environment.run("docker", ["rmi", "-f", image]);
        }
    }

    pub(crate) fn service(&self) {
        let container = serde_json::json!({ "name": "web", "image": "web:1", "memory": 64 });
        self.ecs(
            "RegisterTaskDefinition",
            &serde_json::json!({ "family": "web", "containerDefinitions": [container] }),
        );
        let service = serde_json::json!({ "cluster": "shop", "serviceName": "web", "taskDefinition": "web:1", "desiredCount": 2 });
        self.ecs("CreateService", &service);
    }
}

impl Drop for Paper {
    fn drop(&mut self) {
        let _ = self.environment.run(PROGRAM, ["sandbox", "down"]);
    }
}
