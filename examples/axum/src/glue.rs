//! Everything that stands between axum and the registry.

use axum::extract::FromRequestParts;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{StatusCode, request::Parts};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use webhook_registry::{Error, Registry};

use crate::api::App;

/// An error as `application/problem+json`.
pub struct Problem(StatusCode, Value);

impl Problem {
    pub fn new(status: StatusCode, detail: &str) -> Problem {
        Problem(
            status,
            json!({"title": status.as_str(), "status": status.as_u16(), "detail": detail}),
        )
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Problem {
        let status = StatusCode::from_u16(error.kind().http_status()).expect("a status of HTTP");
        if status.is_server_error() {
            eprintln!("{error}"); // The response does not contain the details.
        }
        Problem(status, error.to_problem())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        (self.0, [(CONTENT_TYPE, "application/problem+json")], self.1.to_string()).into_response()
    }
}

/// The registry, limited to the customer whose key came with the request.
pub struct Customer(pub Registry);

impl FromRequestParts<App> for Customer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Customer, Problem> {
        let header = parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
        let key = header.and_then(|value| value.strip_prefix("Bearer "));
        match key.and_then(|key| app.customers.get(key)) {
            Some(customer) => Ok(Customer(app.registry.for_owner(customer)?)),
            None => Err(Problem::new(StatusCode::UNAUTHORIZED, "no such API key")),
        }
    }
}

/// Runs a call of the registry on a thread that may wait for the disk and for locks.
pub async fn call<T: Send + 'static>(
    job: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Problem> {
    Ok(tokio::task::spawn_blocking(job).await.expect("no call panics")?)
}
