//! The distribution API, request by request.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{future, stream};
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE};
use http::{HeaderName, Method, StatusCode};
use http_body_util::{Empty, StreamBody};
use hyper::body::Frame;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

use super::super::super::super::clock;
use super::super::super::super::world::ecr::manifest::{OCI_INDEX, OCI_MANIFEST, digest_of};
use super::server::{Reply, Server, basic};

const NONE: &[(HeaderName, &str)] = &[];

fn random(length: usize) -> Bytes {
    let mut bytes = vec![0; length];
    getrandom::fill(&mut bytes).unwrap();
    Bytes::from(bytes)
}

/// Uploads in one request and answers the digest.
async fn push_blob(server: &Server, name: &str, bytes: &Bytes) -> String {
    let digest = digest_of(bytes);
    let path = format!("/v2/{name}/blobs/uploads/?digest={digest}");
    let reply = server.send(Method::POST, &path, NONE, bytes.clone()).await;
    assert_eq!((reply.status, reply.header("docker-content-digest")), (StatusCode::CREATED, digest.as_str()));
    digest
}

fn descriptor(media_type: &str, bytes: &[u8]) -> Value {
    json!({ "mediaType": media_type, "size": bytes.len(), "digest": digest_of(bytes) })
}

fn image(config: &[u8], layers: &[&[u8]]) -> Value {
    let layers: Vec<Value> =
        layers.iter().map(|layer| descriptor("application/vnd.oci.image.layer.v1.tar", layer)).collect();
    json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": descriptor("application/vnd.oci.image.config.v1+json", config),
        "layers": layers,
    })
}

async fn put(server: &Server, name: &str, reference: &str, manifest: &Value) -> Reply {
    let kind = manifest["mediaType"].as_str().unwrap();
    let path = format!("/v2/{name}/manifests/{reference}");
    server.send(Method::PUT, &path, &[(CONTENT_TYPE, kind)], manifest.to_string()).await
}

/// Pushes a small image with something of its own in it, and answers its digest.
async fn push_image(server: &Server, name: &str, tag: &str) -> String {
    let (config, layer) = (random(40), random(400));
    push_blob(server, name, &config).await;
    push_blob(server, name, &layer).await;
    let manifest = image(&config, &[&layer]);
    let reply = put(server, name, tag, &manifest).await;
    assert_eq!(reply.status, StatusCode::CREATED, "{reply:?}");
    digest_of(manifest.to_string().as_bytes())
}

#[tokio::test]
async fn wants_a_password_of_its_own() {
    let server = Server::start().await;
    let now = clock::now();
    let expired = server.world().ecr.issue_token_for(now - 13 * 3_600_000, 12 * 3_600_000);
    let good = server.password();
    let mut replies = Vec::new();
    for credentials in [
        None,
        Some("Bearer abc".to_owned()),
        Some(basic("root", &good)),
        Some(basic("AWS", "guess")),
        Some(basic("AWS", &expired)),
        Some(basic("AWS", &good)),
    ] {
        let mut request = server.request(Method::GET, "/v2/");
        if let Some(credentials) = credentials {
            request = request.header(AUTHORIZATION, credentials);
        }
        let reply = server.send_as_is(request.body(Empty::new()).unwrap()).await;
        assert_eq!(reply.header("docker-distribution-api-version"), "registry/2.0");
        let challenge = reply.header("www-authenticate").replace(&server.authority, "AUTHORITY");
        let body = String::from_utf8(reply.body.to_vec()).unwrap();
        replies.push(format!("{} {challenge} {body}", reply.status.as_u16()).trim().to_owned());
    }
    insta::assert_snapshot!(replies.join("\n"), @r#"
    401 Basic realm="http://AUTHORITY/",service="ecr.amazonaws.com" Not Authorized
    401 Basic realm="http://AUTHORITY/",service="ecr.amazonaws.com" Not Authorized
    401 Basic realm="http://AUTHORITY/",service="ecr.amazonaws.com" Not Authorized
    400  {"errors":[{"code":"DENIED","message":"Your Authorization Token is invalid."}]}
    403  {"errors":[{"code":"DENIED","message":"Your authorization token has expired. Reauthenticate and try again."}]}
    200
    "#);
    // What a long push meets: the password was good a moment ago.
    server.world().ecr.expire_tokens(clock::now());
    let request = server.request(Method::GET, "/v2/").header(AUTHORIZATION, basic("AWS", &good));
    let reply = server.send_as_is(request.body(Empty::new()).unwrap()).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn takes_a_blob_in_every_way_there_is() {
    let server = Server::start().await;
    server.repository("jobs/api", "MUTABLE");
    let bytes = random(300_000);
    let digest = digest_of(&bytes);
    let blob = format!("/v2/jobs/api/blobs/{digest}");
    let missing = server.get(&blob).await;
    assert_eq!(missing.refusal(), format!("404 BLOB_UNKNOWN: blob '{digest}' unknown to registry"));

    for way in ["POST", "PUT", "chunks", "stream"] {
        server.ecr("DeleteRepository", &json!({ "repositoryName": "jobs/api" })).unwrap();
        server.repository("jobs/api", "MUTABLE");
        assert_eq!(server.send(Method::HEAD, &blob, NONE, "").await.status, StatusCode::NOT_FOUND, "{way}");
        if way == "POST" {
            push_blob(&server, "jobs/api", &bytes).await;
        } else {
            let begun = server.send(Method::POST, "/v2/jobs/api/blobs/uploads/", NONE, "").await;
            assert_eq!((begun.status, begun.header("range")), (StatusCode::ACCEPTED, "0-0"));
            let at = begun.header("location");
            assert!(at.ends_with(begun.header("docker-upload-uuid")));
            let mut rest = Bytes::new();
            match way {
                "PUT" => rest = bytes.clone(),
                "chunks" => {
                    let first = [(CONTENT_RANGE, "0-99999")];
                    let reply = server.send(Method::PATCH, at, &first, bytes.slice(..100_000)).await;
                    assert_eq!((reply.status, reply.header("range")), (StatusCode::ACCEPTED, "0-99999"));
                    let again = server.send(Method::PATCH, at, &first, bytes.slice(..100_000)).await;
                    assert_eq!((again.status.as_u16(), again.header("range")), (416, "0-99999"));
                    let second = [(CONTENT_RANGE, "100000-199999")];
                    server.send(Method::PATCH, at, &second, bytes.slice(100_000..200_000)).await;
                    let status = server.get(at).await;
                    assert_eq!((status.status, status.header("range")), (StatusCode::NO_CONTENT, "0-199999"));
                    rest = bytes.slice(200_000..);
                }
                _ => {
                    let pieces: Vec<_> = bytes
                        .chunks(7_777)
                        .map(|piece| Ok::<_, std::io::Error>(Frame::data(Bytes::copy_from_slice(piece))))
                        .collect();
                    let request = server.request(Method::PATCH, at).header(AUTHORIZATION, server.credentials());
                    let request = request.body(StreamBody::new(stream::iter(pieces))).unwrap();
                    assert!(!request.headers().contains_key(CONTENT_LENGTH));
                    let reply = server.send_as_is(request).await;
                    assert_eq!((reply.status, reply.header("range")), (StatusCode::ACCEPTED, "0-299999"));
                }
            }
            let end = format!("{at}?digest={}", digest.replace(':', "%3A"));
            let reply = server.send(Method::PUT, &end, NONE, rest).await;
            assert_eq!((reply.status, reply.header("location")), (StatusCode::CREATED, blob.as_str()), "{way}");
            assert_eq!(server.get(at).await.status, StatusCode::NOT_FOUND, "the upload is over");
        }
        let head = server.send(Method::HEAD, &blob, NONE, "").await;
        assert_eq!((head.status, head.header("content-length")), (StatusCode::OK, "300000"), "{way}");
        assert!(head.body.is_empty());
        let got = server.get(&blob).await;
        assert_eq!(got.body, bytes, "{way}");
        assert_eq!(got.header("docker-content-digest"), digest);
    }
    let part = server.send(Method::GET, &blob, &[(RANGE, "bytes=1000-1999")], "").await;
    assert_eq!((part.status.as_u16(), part.header("content-range")), (206, "bytes 1000-1999/300000"));
    assert_eq!(part.body, bytes.slice(1000..2000));
    let behind = server.send(Method::GET, &blob, &[(RANGE, "bytes=300000-")], "").await;
    assert_eq!((behind.status.as_u16(), behind.header("content-range")), (416, "bytes */300000"));
}

#[tokio::test]
async fn an_upload_survives_a_cut_connection() {
    let server = Server::start().await;
    server.repository("jobs/api", "MUTABLE");
    let bytes = random(50_000);
    let begun = server.send(Method::POST, "/v2/jobs/api/blobs/uploads/", NONE, "").await;
    let at = begun.header("location");
    let mut stream = TcpStream::connect(&server.authority).await.unwrap();
    let head = format!(
        "PATCH {at} HTTP/1.1\r\nhost: {}\r\nauthorization: {}\r\ncontent-length: 50000\r\n\r\n",
        server.authority,
        server.credentials()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&bytes[..20_000]).await.unwrap();
    drop(stream);
    let arrived = async {
        while server.get(at).await.header("range") != "0-19999" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), arrived).await.expect("what came before the cut is kept");
    let rest = [(CONTENT_RANGE, "20000-49999")];
    let reply = server.send(Method::PATCH, at, &rest, bytes.slice(20_000..)).await;
    assert_eq!(reply.status, StatusCode::ACCEPTED);
    let end = format!("{at}?digest={}", digest_of(&bytes));
    assert_eq!(server.send(Method::PUT, &end, NONE, "").await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn a_wrong_digest_or_a_lost_repository_ends_an_upload() {
    let server = Server::start().await;
    server.repository("jobs/api", "MUTABLE");
    let begin = || server.send(Method::POST, "/v2/jobs/api/blobs/uploads/", NONE, "");
    let wrong = begin().await;
    let at = wrong.header("location");
    let stated = digest_of(b"b");
    let reply = server.send(Method::PUT, &format!("{at}?digest={stated}"), NONE, "a").await;
    assert_eq!(
        reply.refusal(),
        format!(
            "400 DIGEST_INVALID: Layer digest '{stated}' does not match computed layer digest '{}'",
            digest_of(b"a")
        )
    );
    assert_eq!(server.get(at).await.status, StatusCode::NOT_FOUND);

    let cancelled = begin().await;
    let at = cancelled.header("location");
    assert_eq!(server.send(Method::DELETE, at, NONE, "").await.status, StatusCode::NO_CONTENT);
    assert_eq!(server.send(Method::PATCH, at, NONE, "a").await.status, StatusCode::NOT_FOUND);

    let lost = begin().await;
    server.ecr("DeleteRepository", &json!({ "repositoryName": "jobs/api" })).unwrap();
    let end = format!("{}?digest={}", lost.header("location"), digest_of(b"a"));
    let reply = server.send(Method::PUT, &end, NONE, "a").await;
    assert_eq!(
        reply.refusal(),
        "404 NAME_UNKNOWN: The repository with name 'jobs/api' does not exist in the registry with id '000000000000'"
    );
    let left: Vec<_> = std::fs::read_dir(server.store().join("uploads")).unwrap().collect();
    assert_eq!(left.len(), 1, "only the one nobody ended: {left:?}");
}

#[tokio::test]
async fn many_uploads_at_once() {
    let server = Server::start().await;
    server.repository("jobs/api", "MUTABLE");
    let blobs: Vec<Bytes> = (0..12).map(|number| random(200_000 + number)).collect();
    let digests = future::join_all(blobs.iter().map(|bytes| push_blob(&server, "jobs/api", bytes))).await;
    for (digest, bytes) in digests.iter().zip(&blobs) {
        assert_eq!(&server.get(&format!("/v2/jobs/api/blobs/{digest}")).await.body, bytes);
    }
}

#[tokio::test]
async fn mounts_only_where_the_account_allows_it() {
    let server = Server::start().await;
    server.repository("base", "MUTABLE");
    server.repository("jobs/api", "MUTABLE");
    let digest = push_blob(&server, "base", &random(100)).await;
    let mount = format!("/v2/jobs/api/blobs/uploads/?mount={digest}&from=base");
    assert_eq!(server.send(Method::POST, &mount, NONE, "").await.status, StatusCode::ACCEPTED);
    let setting = json!({ "name": "BLOB_MOUNTING", "value": "ENABLED" });
    assert_eq!(server.ecr("PutAccountSetting", &setting).unwrap(), setting);
    let reply = server.send(Method::POST, &mount, NONE, "").await;
    assert_eq!(reply.status, StatusCode::CREATED);
    assert_eq!(server.get(reply.header("location")).await.body.len(), 100);
    let elsewhere = mount.replace("from=base", "from=nowhere");
    assert_eq!(server.send(Method::POST, &elsewhere, NONE, "").await.status, StatusCode::ACCEPTED);
}

#[tokio::test]
async fn manifests_come_back_as_they_went() {
    let server = Server::start().await;
    server.repository("jobs/api", "MUTABLE");
    let first = push_image(&server, "jobs/api", "v1").await;
    // On disk before the answer: a kill at this moment loses nothing that was pushed.
    assert!(std::fs::read_to_string(server.store().with_file_name("world.json")).unwrap().contains(&first));
    for reference in ["v1", &first] {
        let reply = server.get(&format!("/v2/jobs/api/manifests/{reference}")).await;
        assert_eq!(digest_of(&reply.body), first);
        assert_eq!(reply.header("docker-content-digest"), first);
        assert_eq!(reply.header("content-type"), OCI_MANIFEST);
        let head = server.send(Method::HEAD, &format!("/v2/jobs/api/manifests/{reference}"), NONE, "").await;
        assert_eq!(head.header("content-length"), reply.body.len().to_string());
    }
    // The tag moves; the old image keeps its digest.
    let second = push_image(&server, "jobs/api", "v1").await;
    assert_eq!(server.world().ecr.resolve("jobs/api", "v1"), Some(second.clone()));
    assert_eq!(server.get(&format!("/v2/jobs/api/manifests/{first}")).await.status, StatusCode::OK);

    let child: Value = server.get("/v2/jobs/api/manifests/v1").await.json();
    let index = json!({
        "schemaVersion": 2,
        "mediaType": OCI_INDEX,
        "manifests": [descriptor(OCI_MANIFEST, child.to_string().as_bytes())],
    });
    let reply = put(&server, "jobs/api", "multi", &index).await;
    assert_eq!(
        (reply.status, reply.header("docker-content-digest")),
        (StatusCode::CREATED, digest_of(index.to_string().as_bytes()).as_str())
    );
    // The list stands on its child, so the child stays.
    let path = format!("/v2/jobs/api/manifests/{second}");
    assert_eq!(server.send(Method::DELETE, &path, NONE, "").await.status, StatusCode::NOT_FOUND);
    assert_eq!(
        server.send(Method::DELETE, "/v2/jobs/api/manifests/multi", NONE, "").await.status,
        StatusCode::ACCEPTED
    );
    assert_eq!(server.send(Method::DELETE, &path, NONE, "").await.status, StatusCode::ACCEPTED);
    assert_eq!(
        server.get("/v2/jobs/api/manifests/v1").await.refusal(),
        "404 MANIFEST_UNKNOWN: Requested image not found"
    );
}

#[tokio::test]
async fn refuses_manifests_as_ecr_does() {
    let server = Server::start().await;
    server.repository("x1", "IMMUTABLE");
    let first = push_image(&server, "x1", "v1").await;
    let (config, layer) = (random(30), random(30));
    push_blob(&server, "x1", &config).await;
    let incomplete = image(&config, &[&layer, &layer]);
    let index =
        json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [descriptor(OCI_MANIFEST, b"absent")] });
    let mut refusals = Vec::new();
    for (reference, manifest) in [
        ("v2", &incomplete),
        ("v2", &index),
        ("v2", &json!({ "schemaVersion": 1, "mediaType": "application/vnd.docker.distribution.manifest.v1+json" })),
        (&first, &image(&config, &[])),
        ("v1", &image(&config, &[])),
    ] {
        refusals.push(put(&server, "x1", reference, manifest).await.refusal());
    }
    refusals.push(put(&server, "nowhere", "v1", &index).await.refusal());
    let large = server.send(Method::PUT, "/v2/x1/manifests/v3", NONE, vec![b' '; 9 * 1024 * 1024]).await;
    refusals.push(large.refusal());
    let text = refusals.join("\n");
    let text =
        text.replace(&digest_of(&layer), "LAYER").replace(&digest_of(b"absent"), "CHILD").replace(&first, "FIRST");
    insta::assert_snapshot!(text, @r#"
    404 BLOB_UPLOAD_UNKNOWN: Layers with digests '[LAYER]' required for pushing image into repository with name 'x1' in the registry with id '000000000000' do not exist
    404 MANIFEST_BLOB_UNKNOWN: Images with digests '[CHILD]' required for pushing image into repository with name 'x1' in the registry with id '000000000000' do not exist
    405 UNSUPPORTED: Invalid parameter at 'ImageManifest' failed to satisfy constraint: 'Invalid JSON syntax'
    400 MANIFEST_INVALID: The image with digest 'FIRST' in repository 'x1' and registry ID '000000000000' does not match the image digest that Amazon ECR has calculated.
    400 TAG_INVALID: The image tag 'v1' already exists in the 'x1' repository and cannot be overwritten because the tag is immutable.
    404 NAME_UNKNOWN: The repository with name 'nowhere' does not exist in the registry with id '000000000000'
    413 SIZE_INVALID: the manifest is larger than 4194304 bytes
    "#);

    // "The same manifest again is success": docker pushes it whenever one deploys again.
    let same: Value = server.get("/v2/x1/manifests/v1").await.json();
    assert_eq!(put(&server, "x1", "v1", &same).await.status, StatusCode::CREATED);
    // Once the layer is there, nothing is wrong with the image.
    push_blob(&server, "x1", &layer).await;
    assert_eq!(put(&server, "x1", "v2", &incomplete).await.status, StatusCode::CREATED);
}

#[tokio::test]
async fn lists_tags_repositories_and_referrers() {
    let server = Server::start().await;
    server.repository("jobs/api", "MUTABLE");
    server.repository("jobs/web", "MUTABLE");
    assert_eq!(server.get("/v2/jobs/web/tags/list").await.json(), json!({ "name": "jobs/web", "tags": [] }));
    let digest = push_image(&server, "jobs/api", "a").await;
    let manifest: Value = server.get("/v2/jobs/api/manifests/a").await.json();
    for tag in ["b", "c", "d", "e"] {
        put(&server, "jobs/api", tag, &manifest).await;
    }
    let mut pages = Vec::new();
    let mut path = "/v2/jobs/api/tags/list?n=2".to_owned();
    loop {
        let reply = server.get(&path).await;
        pages.push(reply.json()["tags"].to_string());
        let Some(next) = reply.header("link").strip_prefix('<').and_then(|link| link.split_once('>')) else {
            break;
        };
        assert_eq!(next.1, "; rel=\"next\"");
        path = next.0.to_owned();
    }
    assert_eq!(pages, [r#"["a","b"]"#, r#"["c","d"]"#, r#"["e"]"#]);
    assert_eq!(server.get("/v2/jobs/api/tags/list?n=x").await.status, StatusCode::BAD_REQUEST);
    assert_eq!(server.get("/v2/_catalog?n=1&last=jobs/api").await.json(), json!({ "repositories": ["jobs/web"] }));

    let empty = push_blob(&server, "jobs/api", &Bytes::from_static(b"{}")).await;
    let mut signature = image(b"{}", &[]);
    signature["artifactType"] = json!("application/vnd.example.signature");
    signature["annotations"] = json!({ "by": "us" });
    signature["subject"] = json!({ "mediaType": OCI_MANIFEST, "size": manifest.to_string().len(), "digest": digest });
    let signed = digest_of(signature.to_string().as_bytes());
    let reply = put(&server, "jobs/api", &signed, &signature).await;
    assert_eq!((reply.status, reply.header("oci-subject")), (StatusCode::CREATED, digest.as_str()));
    let path = format!("/v2/jobs/api/referrers/{digest}");
    let found = server.get(&path).await;
    assert_eq!(found.header("content-type"), OCI_INDEX);
    assert_eq!(
        found.json()["manifests"],
        json!([{
            "mediaType": OCI_MANIFEST,
            "size": signature.to_string().len(),
            "digest": signed,
            "artifactType": "application/vnd.example.signature",
            "annotations": { "by": "us" },
        }])
    );
    let other = server.get(&format!("{path}?artifactType=text/plain")).await;
    assert_eq!((other.json()["manifests"].clone(), other.header("oci-filters-applied")), (json!([]), "artifactType"));
    assert_eq!(server.get(&format!("/v2/jobs/api/referrers/{empty}")).await.json()["manifests"], json!([]));
}

#[tokio::test]
async fn says_what_it_does_not_do() {
    let server = Server::start().await;
    server.repository("x1", "MUTABLE");
    let digest = digest_of(b"");
    let mut lines = Vec::new();
    for (method, path) in [
        (Method::DELETE, format!("/v2/x1/blobs/{digest}")),
        (Method::PATCH, "/v2/x1/manifests/v1".into()),
        (Method::GET, "/v2/x1/blobs/uploads/".into()),
        (Method::POST, "/v2/".into()),
        (Method::POST, "/v2/gone/blobs/uploads/".into()),
        (Method::GET, "/v2/gone/tags/list".into()),
        (Method::GET, "/v2/X1/tags/list".into()),
        (Method::PUT, "/v2/x1/blobs/uploads/no-such-upload?digest=sha256:1".into()),
        (Method::PUT, format!("/v2/x1/blobs/uploads/no-such-upload?digest={digest}")),
        (Method::GET, "/v2/x1/manifests/v1".into()),
    ] {
        let reply = server.send(method.clone(), &path, NONE, "").await;
        lines.push(format!("{method} {} {}", reply.refusal(), reply.header("allow")).trim().replace(&digest, "DIGEST"));
    }
    insta::assert_snapshot!(lines.join("\n"), @r#"
    DELETE 405 UNSUPPORTED: The operation is unsupported. GET, HEAD
    PATCH 405 UNSUPPORTED: The operation is unsupported. GET, HEAD, PUT, DELETE
    GET 405 UNSUPPORTED: The operation is unsupported. POST
    POST 405 UNSUPPORTED: The operation is unsupported. GET, HEAD
    POST 404 NAME_UNKNOWN: The repository with name 'gone' does not exist in the registry with id '000000000000'
    GET 404 NAME_UNKNOWN: The repository with name 'gone' does not exist in the registry with id '000000000000'
    GET 400 NAME_INVALID: invalid repository name 'X1'
    PUT 400 DIGEST_INVALID: 'sha256:1' is not a digest that Amazon ECR computes (sha256:<64 hexadecimal digits>)
    PUT 404 BLOB_UPLOAD_UNKNOWN: The upload 'no-such-upload' does not exist
    GET 404 MANIFEST_UNKNOWN: Requested image not found
    "#);
    assert_eq!(server.get("/v2/nothing").await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_download_address_needs_no_header_and_reads_only() {
    let server = Server::start().await;
    server.repository("x1", "MUTABLE");
    let bytes = random(5_000);
    let digest = push_blob(&server, "x1", &bytes).await;
    let input = json!({ "repositoryName": "x1", "layerDigest": digest });
    let answer = server.ecr("GetDownloadUrlForLayer", &input).unwrap();
    let address = answer["downloadUrl"].as_str().unwrap();
    let path = address.strip_prefix(&format!("http://{}", server.authority)).unwrap();
    let get = server.request(Method::GET, path).body(Empty::new()).unwrap();
    assert_eq!(server.send_as_is(get).await.body, bytes);
    let token = path.split_once('?').unwrap().1;
    for (method, path) in
        [(Method::GET, path.replace("Token=", "Token=x")), (Method::POST, format!("/v2/x1/blobs/uploads/?{token}"))]
    {
        let request = server.request(method, &path).body(Empty::new()).unwrap();
        assert!(server.send_as_is(request).await.status.is_client_error(), "{path}");
    }
}

#[tokio::test]
async fn a_blob_lost_from_the_disk_is_pushed_again() {
    let server = Server::start().await;
    server.repository("x1", "MUTABLE");
    let bytes = random(500);
    let digest = push_blob(&server, "x1", &bytes).await;
    let hash = digest.strip_prefix("sha256:").unwrap();
    std::fs::remove_file(server.store().join("blobs/sha256").join(hash)).unwrap();
    let path = format!("/v2/x1/blobs/{digest}");
    assert_eq!(server.send(Method::HEAD, &path, NONE, "").await.status, StatusCode::NOT_FOUND);
    push_blob(&server, "x1", &bytes).await;
    assert_eq!(server.get(&path).await.body, bytes);
}
