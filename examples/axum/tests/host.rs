//! The host as its customers see it, and a delivery from the order to the receiver.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::{Router, routing::post};
use http_body_util::BodyExt;
use rusqlite::Connection;
use serde_json::{Value, json};
use tower::ServiceExt;
use webhook_registry::{NewSubscription, Registry, Signature, SigningSecret, UrlPolicy};
use webhook_registry_axum::{api, outbox};

/// Returns the host with a registry whose ids, secrets and times repeat in every run.
fn host() -> Router {
    let registry = Registry::options().deterministic(1).max_subscriptions(2).in_memory().unwrap();
    registry.register_event_types(["order.paid", "order.refunded"]).unwrap();
    let customers = ["acme", "globex"].map(|name| (format!("{name}-key"), name.to_owned()));
    api::router(api::App { registry, customers: Arc::new(HashMap::from(customers)) })
}

/// Sends a request with the key of a customer, and returns the status and the body.
async fn send(host: &Router, customer: &str, line: &str, body: &str) -> (StatusCode, Value) {
    let (method, path) = line.split_once(' ').unwrap();
    let request = Request::builder().method(method).uri(path);
    let request = request.header("authorization", format!("Bearer {customer}-key"));
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let response = host.clone().oneshot(request).await.unwrap();
    let status = response.status();
    if !status.is_success() {
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

#[tokio::test]
async fn a_customer_manages_its_own_subscriptions_only() {
    let host = host();
    let new = r#"{"name": "crm", "url": "https://crm.example/", "events": ["order.*"]}"#;
    let (status, created) = send(&host, "acme", "POST /subscriptions", new).await;
    assert_eq!((status, &created["owner"]), (StatusCode::CREATED, &json!("acme")));
    let line = |method: &str| {
        format!("{method} /subscriptions/{}", created["subscriptionId"].as_str().unwrap())
    };

    let (status, read) = send(&host, "acme", &line("GET"), "").await;
    assert_eq!((status, &read["name"], read.get("secret")), (StatusCode::OK, &json!("crm"), None));
    let off = r#"{"enabled": false, "disabledReason": "holiday"}"#;
    let (status, patched) = send(&host, "acme", &line("PATCH"), off).await;
    assert_eq!((status, &patched["disabledReason"]), (StatusCode::OK, &json!("holiday")));
    let (_, page) = send(&host, "acme", "GET /subscriptions?enabled=false&limit=5", "").await;
    assert_eq!(page["subscriptions"][0]["name"], "crm");
    let (status, rotated) = send(&host, "acme", &(line("POST") + "/secret"), "{}").await;
    assert_eq!(status, StatusCode::OK);
    assert_ne!(rotated["secret"], created["secret"]);

    for method in ["GET", "PATCH", "DELETE"] {
        let (status, _) = send(&host, "globex", &line(method), "{}").await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{method}");
    }
    assert_eq!(
        send(&host, "globex", "GET /subscriptions", "").await.1,
        json!({"subscriptions": []})
    );
    assert_eq!(send(&host, "nobody", "GET /subscriptions", "").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(send(&host, "acme", &line("DELETE"), "").await.0, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_refusal_is_a_problem_with_every_fault() {
    let host = host();
    let body = r#"{"name": 5, "evnts": [], "allowUnknownEvents": true}"#;
    let (status, problem) = send(&host, "acme", "POST /subscriptions", body).await;
    assert_eq!((status.as_u16(), &problem["status"]), (422, &json!(422)));
    assert_eq!(problem["errors"].as_array().unwrap().len(), 5, "{problem}");
    let (status, problem) = send(&host, "acme", "GET /subscriptions?limit=x", "").await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{problem}");
    for (name, expected) in [("a", 201), ("a", 409), ("b", 201), ("c", 409)] {
        let new = json!({"name": name, "url": "https://a.example/", "events": ["order.*"]});
        let (status, _) = send(&host, "acme", "POST /subscriptions", &new.to_string()).await;
        assert_eq!(status.as_u16(), expected, "{name}");
    }
}

#[tokio::test]
async fn an_order_reaches_the_receiver_with_a_signature_that_verifies() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("shop.db");
    let mut shop = Connection::open(&path).unwrap();
    shop.execute_batch(outbox::TABLES).unwrap();
    let registry = Registry::options().guest(true).open(&path).unwrap();
    registry.register_event_type("order.paid").unwrap();

    let received: Arc<Mutex<Vec<(HeaderMap, Bytes)>>> = Arc::default();
    let list = received.clone();
    let receive = move |headers: HeaderMap, body: Bytes| async move {
        list.lock().unwrap().push((headers, body));
        if list.lock().unwrap().len() < 2 { StatusCode::NO_CONTENT } else { StatusCode::GONE }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let receiver = Router::new().route("/hook", post(receive));
    tokio::spawn(async move { axum::serve(listener, receiver).await });

    let acme = registry.for_owner("acme").unwrap();
    let created = acme.create(NewSubscription::new("crm", url, ["order.*"])).unwrap();
    assert_eq!(outbox::pay(&mut shop, "acme", 7).unwrap(), 1);
    assert_eq!(outbox::pay(&mut shop, "acme", 8).unwrap(), 1);
    assert_eq!(outbox::pay(&mut shop, "globex", 9).unwrap(), 0);
    let all = registry.for_every_owner().unwrap();
    let deliver = move || outbox::deliver(&shop, &all, &UrlPolicy::any()).unwrap();
    tokio::task::spawn_blocking(deliver).await.unwrap();

    let received = received.lock().unwrap();
    let orders: Vec<_> = received.iter().map(|(_, body)| &body[..]).collect();
    assert_eq!(orders, [br#"{"order":7}"#, br#"{"order":8}"#]);
    for (headers, body) in received.iter() {
        verify(headers, created.secret(), body).unwrap();
        verify(headers, created.secret(), b"{}").unwrap_err();
    }
    // The second answer was 410 Gone.
    let crm = acme.get(created.subscription().id()).unwrap().unwrap();
    assert_eq!((crm.enabled(), crm.disabled_reason()), (false, Some("410 Gone")));
}

/// Verifies a delivery as a receiver does.
fn verify(
    headers: &HeaderMap,
    secret: &SigningSecret,
    body: &[u8],
) -> webhook_registry::Result<()> {
    let header = |name: &str| Some(headers.get(name)?.to_str().ok()?.to_owned());
    let signature = Signature::from_headers(header)?;
    signature.verify(secret, body, SystemTime::now(), Duration::from_secs(300))
}
