//! A small server that speaks as much of S3 as an object store needs, and fails as it is told.

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

/// What is wrong with it, for reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    None,
    /// It never answers.
    Hangs,
    /// The body ends before its length.
    CutOff,
    WrongBytes,
    Slow,
}

#[derive(Default)]
struct Held {
    objects: BTreeMap<String, Vec<u8>>,
    parts: BTreeMap<(String, u32), Vec<u8>>,
    unsigned: u32,
}

#[derive(Clone)]
pub(crate) struct S3 {
    pub(crate) endpoint: String,
    held: Arc<Mutex<Held>>,
    fault: Arc<Mutex<Fault>>,
}

impl S3 {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let server = Self { endpoint, held: Arc::default(), fault: Arc::new(Mutex::new(Fault::None)) };
        let app = Router::new().fallback(answer).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, app).await });
        server
    }

    pub(crate) fn fails(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.held.lock().unwrap().objects.keys().cloned().collect()
    }

    pub(crate) fn lose(&self, key: &str) {
        self.held.lock().unwrap().objects.remove(key);
    }

    pub(crate) fn unsigned(&self) -> u32 {
        self.held.lock().unwrap().unsigned
    }
}

async fn answer(State(s3): State<S3>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 64 << 20).await.unwrap();
    let signed = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let signed = signed.is_some_and(|value| value.starts_with("AWS4-HMAC-SHA256 Credential=id/"));
    s3.held.lock().unwrap().unsigned += u32::from(!signed);
    let path = parts.uri.path().trim_start_matches('/').to_owned();
    let key = path.split_once('/').map_or("", |(_, key)| key).to_owned();
    let query: BTreeMap<String, String> =
        url::form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let fault = *s3.fault.lock().unwrap();
    match (&parts.method, query.get("uploadId")) {
        (&Method::POST, None) if query.contains_key("uploads") => {
            format!("<InitiateMultipartUploadResult><Bucket>b</Bucket><Key>{key}</Key><UploadId>one</UploadId></InitiateMultipartUploadResult>")
                .into_response()
        }
        (&Method::PUT, Some(_)) => {
            let number = query["partNumber"].parse().unwrap();
            s3.held.lock().unwrap().parts.insert((key, number), body.to_vec());
            ([(header::ETAG, "\"part\"")], "").into_response()
        }
        (&Method::POST, Some(_)) => {
            let mut held = s3.held.lock().unwrap();
            let of_key: Vec<_> = held.parts.keys().filter(|(of, _)| *of == key).cloned().collect();
            let whole = of_key.iter().flat_map(|part| held.parts.remove(part).unwrap()).collect();
            held.objects.insert(key, whole);
            "<CompleteMultipartUploadResult><ETag>\"whole\"</ETag></CompleteMultipartUploadResult>".into_response()
        }
        (&Method::PUT, None) => {
            s3.held.lock().unwrap().objects.insert(key, body.to_vec());
            ([(header::ETAG, "\"whole\"")], "").into_response()
        }
        (&Method::DELETE, _) => {
            s3.held.lock().unwrap().objects.remove(&key);
            StatusCode::NO_CONTENT.into_response()
        }
        (&Method::GET, _) if query.contains_key("list-type") => list(&s3),
        _ => read(&s3, &key, fault, parts.method == Method::HEAD).await,
    }
}

fn list(s3: &S3) -> Response {
    let held = s3.held.lock().unwrap();
    let rows: String = held
        .objects
        .iter()
        .map(|(key, content)| {
            format!("<Contents><Key>{key}</Key><LastModified>2020-01-01T00:00:00.000Z</LastModified><ETag>\"x\"</ETag><Size>{}</Size></Contents>", content.len())
        })
        .collect();
    format!("<ListBucketResult><Name>b</Name><KeyCount>{}</KeyCount><IsTruncated>false</IsTruncated>{rows}</ListBucketResult>", held.objects.len())
        .into_response()
}

async fn read(s3: &S3, key: &str, fault: Fault, head: bool) -> Response {
    if fault == Fault::Hangs {
        std::future::pending::<()>().await;
    }
    let Some(mut content) = s3.held.lock().unwrap().objects.get(key).cloned() else {
        return (StatusCode::NOT_FOUND, "<Error><Code>NoSuchKey</Code></Error>").into_response();
    };
    if fault == Fault::WrongBytes {
        content[0] ^= 1;
    }
    let length = content.len();
    let body = match fault {
        _ if head => Body::empty(),
        Fault::CutOff => {
            let half = Bytes::from(content[..length / 2].to_vec());
            let pieces = [Ok(half), Err(std::io::Error::other("cut off"))];
            Body::from_stream(futures::stream::iter(pieces))
        }
        Fault::Slow => {
            let pieces: Vec<Bytes> =
                content.chunks(length.div_ceil(8)).map(|piece| Bytes::from(piece.to_vec())).collect();
            Body::from_stream(futures::StreamExt::then(futures::stream::iter(pieces), |piece| async {
                tokio::time::sleep(Duration::from_millis(40)).await;
                Ok::<_, std::io::Error>(piece)
            }))
        }
        _ => Body::from(content),
    };
    Response::builder()
        .header(header::CONTENT_LENGTH, length)
        .header(header::ETAG, "\"whole\"")
        .header(header::LAST_MODIFIED, "Wed, 01 Jan 2020 00:00:00 GMT")
        .body(body)
        .unwrap()
}
